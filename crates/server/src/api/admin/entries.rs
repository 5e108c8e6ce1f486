//! Entries: the same methods for all four catalogs.

use std::cell::LazyCell;

use customer_settings_contract::customersettings::v1::{
    ArchiveEntryRequest, BatchChangeEntriesRequest, BatchChangeEntriesResponse, BatchResult,
    CreateEntryRequest, DeleteEntryRequest, Entry, EntryChange, GetEntryRequest,
    ListEntriesRequest, ListEntriesResponse, ReorderEntriesRequest, RestoreEntryRequest,
    UpdateEntryRequest, entry_change, entry_service_server::EntryService,
};
use prost::Message;
use prost_types::FieldMask;
use tonic::{Request, Response, Status};

use super::{
    Admin, convert, list,
    paging::MAX_PAGE_BYTES,
    request::{
        Envelope, Mask, as_of, catalog, id_of_new, one_etag, refuse_etag, required, same_id,
        written,
    },
};
use crate::{
    api::marks::marked,
    catalog::{
        change::{EntryPatch, Step},
        entry::{Catalog, MAX_ENTRIES},
        error::{Cause, Error, Kind, Result},
        etag::Etag,
        id::{CompanyId, EntryId},
        settings::{Settings, Subject},
        text::{Color, Description, Name},
    },
    service::settings::{Ask, MOST_AT_ONCE, Written},
};

/// The most changes of a batch.
const MAX_BATCH: usize = MAX_ENTRIES;

const FIELDS: [&str; 4] = ["name", "description", "color", "is_default"];

impl Admin {
    /// Makes one step; `message` is without its request id.
    async fn one_step(
        &self,
        envelope: &Envelope,
        (rpc, message): (&str, &impl Message),
        (company_id, request_id, validate_only): (&str, &str, bool),
        step: Result<Step>,
    ) -> Result<Written> {
        let company = CompanyId::parse("company_id", company_id)?;
        let ask = Ask::Steps { etag: None, steps: vec![step?], is_batch: false };
        let write = envelope.write(rpc, message, request_id, validate_only, ask)?;
        self.0.settings.write(envelope.caller()?, &company, write).await
    }

    async fn change_entries(
        self,
        envelope: Envelope,
        mut message: BatchChangeEntriesRequest,
    ) -> Result<(Written, BatchChangeEntriesResponse)> {
        let id = std::mem::take(&mut message.request_id);
        let company = CompanyId::parse("company_id", &message.company_id)?;
        let etag = envelope.etag(&[&message.etag])?;
        let ask = Ask::Steps { etag, steps: batch_steps(&message)?, is_batch: true };
        let rpc = "BatchChangeEntries";
        let write = envelope.write(rpc, &message, &id, message.validate_only, ask)?;
        let written = self.0.settings.write(envelope.caller()?, &company, write).await?;
        let results = batch_results(&written.settings, &written.subjects);
        let answer = BatchChangeEntriesResponse {
            revision: convert::revision(written.settings.revision),
            etag: written.settings.etag().to_string(),
            results,
        };
        Ok((written, answer))
    }
}

/// The entry that a single step was about.
fn the_entry(written: Written) -> Result<(Written, Entry)> {
    let found = match written.subjects.first() {
        Some(Subject::Entry(catalog, id)) => convert::entry(&written.settings, *catalog, id),
        _ => None,
    };
    let gone = || Error::Internal(Cause::new("a step's entry is not there after it"));
    found.map(|entry| (written, entry)).ok_or_else(gone)
}

#[tonic::async_trait]
impl EntryService for Admin {
    async fn create_entry(
        &self,
        request: Request<CreateEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
        let etag = envelope.etag(&[&message.etag]);
        let step = etag.and_then(|etag| create_step(&message, etag));
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        let made = self.one_step(&envelope, ("CreateEntry", &message), of, step).await;
        written(made.and_then(the_entry))
    }

    async fn get_entry(
        &self,
        request: Request<GetEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        let (envelope, message) = Envelope::open(request);
        let get = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let (catalog, id) = target(&message.collection, &message.id)?;
            let as_of = as_of(message.revision, message.read_time)?;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let read = self.0.settings.read(caller, &company, as_of, deadline);
            let (settings, marks) = read.await?;
            let entry = convert::entry(&settings, catalog, &id);
            let absent = || Error::NotFound { kind: Kind::Entry, id: id.to_string() };
            Ok((marks, entry.ok_or_else(absent)?))
        };
        marked(get.await)
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let (envelope, message) = Envelope::open(request);
        let list = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let catalog = catalog(&message.collection)?;
            let listing = list::Listing::parse(message)?;
            let as_of = listing.as_of();
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let read = self.0.settings.read(caller, &company, as_of, deadline);
            let (settings, marks) = read.await?;
            Ok((marks, listing.answer(&settings, catalog)))
        };
        marked(list.await)
    }

    async fn update_entry(
        &self,
        request: Request<UpdateEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
        let etag = envelope.etag(&[&message.etag, entry_etag(message.entry.as_ref())]);
        let step = etag.and_then(|etag| update_step(&message, etag));
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        let made = self.one_step(&envelope, ("UpdateEntry", &message), of, step).await;
        written(made.and_then(the_entry))
    }

    async fn archive_entry(
        &self,
        request: Request<ArchiveEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
        let step = envelope.etag(&[&message.etag]).and_then(|etag| archive_step(&message, etag));
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        let made = self.one_step(&envelope, ("ArchiveEntry", &message), of, step).await;
        written(made.and_then(the_entry))
    }

    async fn restore_entry(
        &self,
        request: Request<RestoreEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
        let step = envelope.etag(&[&message.etag]).and_then(|etag| restore_step(&message, etag));
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        let made = self.one_step(&envelope, ("RestoreEntry", &message), of, step).await;
        written(made.and_then(the_entry))
    }

    async fn delete_entry(
        &self,
        request: Request<DeleteEntryRequest>,
    ) -> Result<Response<()>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
        let step = envelope.etag(&[&message.etag]).and_then(|etag| delete_step(&message, etag));
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        let made = self.one_step(&envelope, ("DeleteEntry", &message), of, step).await;
        written(made.map(|written| (written, ())))
    }

    async fn reorder_entries(
        &self,
        request: Request<ReorderEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = std::mem::take(&mut message.request_id);
        let step = envelope.etag(&[&message.etag]).and_then(|etag| reorder_step(&message, etag));
        let of = (message.company_id.as_str(), id.as_str(), message.validate_only);
        let made = self.one_step(&envelope, ("ReorderEntries", &message), of, step).await;
        let answered = made.and_then(|written| {
            let list = list::all_active(&written.settings, catalog(&message.collection)?);
            Ok((written, list))
        });
        self::written(answered)
    }

    async fn batch_change_entries(
        &self,
        request: Request<BatchChangeEntriesRequest>,
    ) -> Result<Response<BatchChangeEntriesResponse>, Status> {
        let (envelope, message) = Envelope::open(request);
        let made = async {
            let count = message.changes.len();
            if count == 0 || count > MAX_BATCH {
                let description = format!("must be 1 to {MAX_BATCH} changes; there are {count}");
                return Err(Error::invalid("changes", "OUT_OF_RANGE", description));
            }
            let (key, deadline) = (envelope.caller()?.actor.key_id.clone(), envelope.deadline()?);
            let change = self.clone().change_entries(envelope, message);
            match count > MOST_AT_ONCE {
                // With all that is made of it before and after.
                true => self.0.long_work.run(key.as_ref(), deadline, change).await,
                false => change.await,
            }
        };
        written(made.await)
    }
}

fn entry_etag(entry: Option<&Entry>) -> &str {
    entry.map(|entry| entry.etag.as_str()).unwrap_or_default()
}

fn patch(entry: Option<&Entry>, mask: Option<&FieldMask>) -> Result<EntryPatch> {
    let none = Entry::default();
    let entry = entry.unwrap_or(&none);
    let mask = Mask::parse(mask, &FIELDS)?;
    let color = |text: String| match text.trim() {
        "" => Ok(None),
        text => Color::parse("entry.color", text).map(Some),
    };
    Ok(EntryPatch {
        name: mask.take("name", entry.name.as_ref(), |t| Name::parse("entry.name", &t))?,
        description: mask.take("description", entry.description.as_ref(), |t| {
            Description::parse("entry.description", &t)
        })?,
        color: mask.take("color", entry.color.as_ref(), color)?,
        is_default: mask.take("is_default", entry.is_default.as_ref(), Ok)?,
        state: convert::sent_state("entry.state", entry.state)?,
    })
}

fn create_step(message: &CreateEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let catalog = catalog(&message.collection)?;
    let sent = message.entry.as_ref();
    let id = match message.entry_id.as_str() {
        "" => None,
        id => Some(EntryId::parse("entry_id", id)?),
    };
    let hint = "; the catalog's goes into the request's own etag, in the query or as If-Match";
    refuse_etag("entry.etag", entry_etag(sent), hint)?;
    id_of_new("entry.id", sent.map_or("", |sent| &sent.id), &message.entry_id, "entry_id")?;
    let patch = patch(sent, None)?;
    required("entry.name", patch.name.as_ref())?;
    Ok(Step::CreateEntry { catalog, id, patch, etag })
}

fn update_step(message: &UpdateEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let catalog = catalog(&message.collection)?;
    let id = EntryId::parse("id", &message.id)?;
    let sent = message.entry.as_ref();
    same_id("entry.id", sent.map_or("", |sent| &sent.id), &message.id)?;
    let patch = patch(sent, message.update_mask.as_ref())?;
    Ok(Step::UpdateEntry { catalog, id, patch, etag })
}

fn archive_step(message: &ArchiveEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let successor = match message.successor_id.as_str() {
        "" => None,
        id => Some(EntryId::parse("successor_id", id)?),
    };
    let (catalog, id) = target(&message.collection, &message.id)?;
    Ok(Step::ArchiveEntry { catalog, id, successor, etag })
}

fn restore_step(message: &RestoreEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let (catalog, id) = target(&message.collection, &message.id)?;
    Ok(Step::RestoreEntry { catalog, id, etag })
}

fn delete_step(message: &DeleteEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let (catalog, id) = target(&message.collection, &message.id)?;
    Ok(Step::DeleteEntry { catalog, id, etag })
}

fn reorder_step(message: &ReorderEntriesRequest, etag: Option<Etag>) -> Result<Step> {
    let catalog = catalog(&message.collection)?;
    let count = message.ids.len();
    // Before they are looked at.
    if count > MAX_ENTRIES {
        let description = format!("must be at most {MAX_ENTRIES} ids; there are {count}");
        return Err(Error::invalid("ids", "OUT_OF_RANGE", description));
    }
    let parse = |(i, id): (usize, &String)| EntryId::parse(&format!("ids[{i}]"), id);
    let ids = message.ids.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    Ok(Step::ReorderEntries { catalog, ids, etag })
}

fn target(collection: &str, id: &str) -> Result<(Catalog, EntryId)> {
    Ok((catalog(collection)?, EntryId::parse("id", id)?))
}

fn batch_steps(message: &BatchChangeEntriesRequest) -> Result<Vec<Step>> {
    let at = |(index, change): (usize, &EntryChange)| {
        batch_step(change, &message.company_id)
            .map_err(|error| Error::InBatch { index, error: Box::new(error) })
    };
    message.changes.iter().enumerate().map(at).collect()
}

fn batch_step(change: &EntryChange, batch: &str) -> Result<Step> {
    use entry_change::Change as One;
    let Some(change) = &change.change else {
        let description =
            "must be exactly one of create, update, archive, restore, delete, reorder";
        return Err(Error::invalid("change", "REQUIRED", description));
    };
    let own = |company: &str, request_id: &str, validate_only: bool| {
        let refuse = |field: &str, description: &str| {
            Err(Error::invalid(field, "BELONGS_TO_BATCH", description))
        };
        if !company.is_empty() && company != batch {
            return refuse("company_id", "must be the batch's company, or empty");
        }
        if !request_id.is_empty() {
            return refuse("request_id", "belongs to the batch itself: give it there");
        }
        if validate_only {
            return refuse("validate_only", "belongs to the batch itself: give it there");
        }
        Ok(())
    };
    match change {
        One::Create(one) => {
            own(&one.company_id, &one.request_id, one.validate_only)?;
            create_step(one, one_etag([one.etag.as_str()])?)
        }
        One::Update(one) => {
            own(&one.company_id, &one.request_id, one.validate_only)?;
            update_step(one, one_etag([one.etag.as_str(), entry_etag(one.entry.as_ref())])?)
        }
        One::Archive(one) => {
            own(&one.company_id, &one.request_id, one.validate_only)?;
            archive_step(one, one_etag([one.etag.as_str()])?)
        }
        One::Restore(one) => {
            own(&one.company_id, &one.request_id, one.validate_only)?;
            restore_step(one, one_etag([one.etag.as_str()])?)
        }
        One::Delete(one) => {
            own(&one.company_id, &one.request_id, one.validate_only)?;
            delete_step(one, one_etag([one.etag.as_str()])?)
        }
        One::Reorder(one) => {
            own(&one.company_id, &one.request_id, one.validate_only)?;
            reorder_step(one, one_etag([one.etag.as_str()])?)
        }
    }
}

/// Entries are left out once the answer would be larger than a page of them.
fn batch_results(settings: &Settings, subjects: &[Subject]) -> Vec<BatchResult> {
    let mut room = MAX_PAGE_BYTES;
    let places =
        Catalog::ALL.map(|catalog| LazyCell::new(move || convert::places(settings, catalog)));
    let result = |subject: &Subject| match subject {
        Subject::Entry(catalog, id) => {
            let found = places[catalog.index()].get(id).filter(|_| room > 0);
            let entry = found.map(|(entry, position)| convert::entry_at(entry, *position));
            let result = BatchResult { collection: catalog.to_string(), id: id.to_string(), entry };
            room = room.saturating_sub(result.encoded_len());
            result
        }
        Subject::Catalog(catalog) => {
            BatchResult { collection: catalog.to_string(), ..Default::default() }
        }
        Subject::Company | Subject::Business(_) | Subject::Key(_) => BatchResult::default(),
    };
    subjects.iter().map(result).collect()
}
