//! The change log, undoing and rolling back.

use std::mem::take;

use customer_settings_contract::customersettings::v1::{
    Change, ChangeResult, GetChangeRequest, ListChangesRequest, ListChangesResponse,
    RollBackRequest, UndoChangeRequest, history_service_server::HistoryService,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    Admin, convert,
    paging::{Asked, CHANGES, Page},
    request::{Envelope, catalog, revision, written},
};
use crate::{
    api::marks::marked,
    catalog::{
        error::{Error, Result},
        id::{CompanyId, EntryId},
        log::Line,
    },
    service::{
        history::Filter,
        settings::{Ask, Written},
    },
};

impl Admin {
    async fn go_back(
        &self,
        envelope: &Envelope,
        (rpc, message): (&str, &impl Message),
        (company_id, request_id, validate_only): (&str, &str, bool),
        ask: Result<Ask>,
    ) -> Result<(Written, ChangeResult)> {
        let company = CompanyId::parse("company_id", company_id)?;
        let write = envelope.write(rpc, message, request_id, validate_only, ask?)?;
        let written = self.0.settings.write(envelope.caller()?, &company, write).await?;
        let result = ChangeResult {
            revision: convert::revision(written.settings.revision),
            etag: written.settings.etag().to_string(),
            change: written.line.as_ref().map(|line| convert::change(&company, line)),
        };
        Ok((written, result))
    }
}

#[tonic::async_trait]
impl HistoryService for Admin {
    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let list = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let filter = filter(&message)?;
            let asked = Asked::parse("ListChanges", &message, (size, &token), CHANGES)?;
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
        let (envelope, message) = Envelope::open(request);
        let get = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
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
        let (envelope, mut message) = Envelope::open(request);
        let id = take(&mut message.request_id);
        let ask = revision(message.revision).and_then(|revision| {
            Ok(Ask::Undo { revision, etag: envelope.etag(&[&message.etag])? })
        });
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        written(self.go_back(&envelope, ("UndoChange", &message), of, ask).await)
    }

    async fn roll_back(
        &self,
        request: Request<RollBackRequest>,
    ) -> Result<Response<ChangeResult>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = take(&mut message.request_id);
        let ask = revision(message.revision).and_then(|revision| {
            Ok(Ask::RollBack { revision, etag: envelope.etag(&[&message.etag])? })
        });
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        written(self.go_back(&envelope, ("RollBack", &message), of, ask).await)
    }
}

fn take_change((company, page): &mut (CompanyId, Page<Change>), line: &Line) -> bool {
    page.takes(convert::change(company, line))
}

fn no_part(there_are: &str) -> Error {
    Error::invalid("part", "OUT_OF_RANGE", format!("must be {there_are}, or 0 for the first"))
}

fn filter(message: &ListChangesRequest) -> Result<Filter> {
    let catalog = match message.collection.as_str() {
        "" => None,
        collection => Some(catalog(collection)?),
    };
    let entry = match message.entry_id.as_str() {
        "" => None,
        id => Some(EntryId::parse("entry_id", id)?),
    };
    if entry.is_some() && catalog.is_none() {
        let description = "is required with entry_id, since ids are unique per collection";
        return Err(Error::invalid("collection", "REQUIRED", description));
    }
    Ok(Filter { catalog, entry })
}
