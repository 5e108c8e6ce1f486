//! The change log, undoing and rolling back.

use std::mem::take;

use customer_settings_contract::customersettings::v1::{
    Change, ChangeResult, GetChangeRequest, ListChangesRequest, ListChangesResponse,
    RollBackRequest, UndoChangeRequest, history_service_server::HistoryService,
};
use tonic::{Request, Response, Status};

use super::{
    Admin, convert,
    paging::{Asked, CHANGES, Page},
    request::{Envelope, OfCompany, Writes, catalog, line_filter, revision},
};
use crate::{
    api::{guard, marks::marked},
    catalog::{
        change,
        entry::Revision,
        error::{Error, Result, Violations},
        etag::Etag,
        id::{CompanyId, EntryId},
        log::Line,
        settings::Subject,
    },
    service::{history::Filter, settings::Written},
};

/// Makes the answer to an undo or a roll back. The change shows the past, also in a dry run: its content is for those who
/// may read it in the history.
fn result<M: OfCompany>(
    request: &Request<M>,
) -> impl Fn(&M, &Written) -> Result<ChangeResult> + use<M> {
    let may_read = guard::may_call(request.extensions(), "HistoryService/GetChange");
    move |sent, written| {
        let company = CompanyId::parse("company_id", sent.company_id())?;
        let mut change = written.line.as_ref().map(|line| convert::change(&company, line));
        if let Some(change) = change.as_mut().filter(|_| !may_read) {
            change.summary.clear();
            change.deltas.clear();
            change.parts = 1;
        }
        let (revision, etag) = (written.settings.revision, written.settings.etag().to_string());
        Ok(ChangeResult { revision: convert::revision(revision), etag, change })
    }
}

#[tonic::async_trait]
impl HistoryService for Admin {
    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let message = &mut envelope.message;
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let list = async {
            let (company, message) = (envelope.company()?, &envelope.message);
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let mut wrong = Violations::default();
            let subject = wrong.check(subject(message));
            let filter = wrong.check(line_filter(message));
            let asked = wrong.check(Asked::parse("ListChanges", message, (size, &token), CHANGES));
            let (filter, asked) = wrong.finish(|| {
                let filter = Filter { subject: subject?, ..filter? };
                Some((filter, asked?))
            })?;
            let which = (filter, asked.before()?, u32::from(asked.size()));
            let page = (company.clone(), asked.page());
            let list = self.0.history.list(caller, &company, which, deadline, page, take_change);
            let changes = list.await?;
            let answer = ListChangesResponse {
                changes: changes.page.1.rows,
                next_page_token: asked.before_token(changes.next),
                revision: convert::revision(changes.marks.token.revision),
                etag: changes.etag.to_string(),
            };
            Ok((changes.marks, answer))
        };
        marked(list.await)
    }

    async fn get_change(
        &self,
        request: Request<GetChangeRequest>,
    ) -> Result<Response<Change>, Status> {
        let envelope = Envelope::open(request);
        let get = async {
            let (company, message) = (envelope.company()?, &envelope.message);
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let revision = revision(message.revision)?;
            let part = match usize::try_from(message.part) {
                Ok(part) => part.max(1),
                Err(_) => return Err(no_part("from 1")),
            };
            let of = company.clone();
            let show = move |line: &Line| {
                let no_more = |parts| no_part(&format!("1 to {parts}, as this change has no more"));
                convert::change_part(&of, line, part).map_err(no_more)
            };
            self.0.history.get(caller, &company, revision, deadline, show).await
        };
        marked(get.await)
    }

    async fn undo_change(
        &self,
        request: Request<UndoChangeRequest>,
    ) -> Result<Response<ChangeResult>, Status> {
        let change = |sent: &Envelope<UndoChangeRequest>| {
            let (revision, etag) = back(sent, sent.message.revision)?;
            Ok(change::Change::Undo { revision, etag })
        };
        let result = result(&request);
        self.write(request, change, result).await
    }

    async fn roll_back(
        &self,
        request: Request<RollBackRequest>,
    ) -> Result<Response<ChangeResult>, Status> {
        let change = |sent: &Envelope<RollBackRequest>| {
            let (revision, etag) = back(sent, sent.message.revision)?;
            Ok(change::Change::RollBack { revision, etag })
        };
        let result = result(&request);
        self.write(request, change, result).await
    }
}

/// The revision that a request goes back to, with the etag that its caller knows.
fn back<M: Writes>(sent: &Envelope<M>, number: i64) -> Result<(Revision, Option<Etag>)> {
    let mut wrong = Violations::default();
    let (revision, etag) = (wrong.check(revision(number)), wrong.check(sent.etag()));
    wrong.finish(|| Some((revision?, etag?)))
}

fn take_change((company, page): &mut (CompanyId, Page<Change>), line: &Line) -> bool {
    page.takes(convert::change(company, line))
}

fn no_part(there_are: &str) -> Error {
    Error::invalid("part", "OUT_OF_RANGE", format!("must be {there_are}, or 0 for the first"))
}

/// The thing that the changes are about.
fn subject(message: &ListChangesRequest) -> Result<Option<Subject>> {
    let catalog = match message.collection.as_str() {
        "" => None,
        collection => Some(catalog(collection)?),
    };
    let entry = match message.entry_id.as_str() {
        "" => None,
        id => Some(EntryId::parse("entry_id", id)?),
    };
    match (catalog, entry) {
        (None, Some(_)) => {
            let description = "is required with entry_id, since ids are unique per collection";
            Err(Error::invalid("collection", "REQUIRED", description))
        }
        (Some(catalog), Some(entry)) => Ok(Some(Subject::Entry(catalog, entry))),
        (catalog, None) => Ok(catalog.map(Subject::Catalog)),
    }
}
