//! The change log, undoing and rolling back.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use customer_settings_contract::customersettings::v1::{
    Change, ChangeResult, GetChangeRequest, ListChangesRequest, ListChangesResponse,
    RollBackRequest, UndoChangeRequest, history_service_server::HistoryService,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    Admin, convert,
    request::{Envelope, catalog, revision, written},
};
use crate::{
    api::marks::marked,
    catalog::{
        access::Scope,
        entry::Revision,
        error::{Error, Result},
        id::{CompanyId, EntryId},
    },
    service::{
        history::Filter,
        settings::{Ask, Written},
    },
};

const DEFAULT_PAGE_SIZE: u32 = 100;
const MAX_PAGE_SIZE: u32 = 500;

impl Admin {
    async fn go_back(
        &self,
        envelope: &Envelope,
        (rpc, message): (&str, &impl Message),
        (company_id, request_id, validate_only): (&str, &str, bool),
        ask: Result<Ask>,
    ) -> Result<(Written, ChangeResult)> {
        let company = CompanyId::parse("company_id", company_id)?;
        let caller = envelope.caller()?;
        caller.grant(Scope::SettingsWrite, &company)?;
        let write = envelope.write(rpc, message, request_id, validate_only, ask?)?;
        let written = self.0.settings.write(&caller, &company, write).await?;
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
        let (envelope, message) = Envelope::open(request);
        let list = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let caller = envelope.caller()?;
            caller.grant(Scope::HistoryRead, &company)?;
            let filter = filter(&message)?;
            let limit = page_size(message.page_size)?;
            let below = below(&message.page_token)?;
            let changes = self.0.history.list(&caller, &company, &filter, below, limit).await?;
            let answer = ListChangesResponse {
                changes: changes.lines.iter().map(|line| convert::change(&company, line)).collect(),
                next_page_token: changes.next.map(token).unwrap_or_default(),
                revision: convert::revision(changes.settings.revision),
                etag: changes.settings.etag().to_string(),
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
            let caller = envelope.caller()?;
            caller.grant(Scope::HistoryRead, &company)?;
            let revision = revision(message.revision)?;
            let (marks, line) = self.0.history.get(&caller, &company, revision).await?;
            Ok((marks, convert::change(&company, &line)))
        };
        marked(get.await)
    }

    async fn undo_change(
        &self,
        request: Request<UndoChangeRequest>,
    ) -> Result<Response<ChangeResult>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
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
        let id = std::mem::take(&mut message.request_id);
        let ask = revision(message.revision).and_then(|revision| {
            Ok(Ask::RollBack { revision, etag: envelope.etag(&[&message.etag])? })
        });
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        written(self.go_back(&envelope, ("RollBack", &message), of, ask).await)
    }
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

pub(super) fn page_size(size: i32) -> Result<u32> {
    match u32::try_from(size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
        _ => {
            let description = format!("must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}");
            Err(Error::invalid("page_size", "OUT_OF_RANGE", description))
        }
    }
}

fn token(below: Revision) -> String {
    URL_SAFE_NO_PAD.encode(format!("below {below}"))
}

fn below(token: &str) -> Result<Option<Revision>> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|text| String::from_utf8(text).ok());
    let below = text.as_deref().and_then(|text| text.strip_prefix("below ")?.parse().ok());
    below.map(|below| Some(Revision(below))).ok_or_else(|| {
        let description = "must be the next_page_token of the page before";
        Error::invalid("page_token", "MALFORMED_PAGE_TOKEN", description)
    })
}
