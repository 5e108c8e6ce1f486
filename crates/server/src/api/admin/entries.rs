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
        Envelope, Mask, OfCompany, Writes, as_of, catalog, id_of_new, one_etag, optional,
        refuse_etag, required, same_id, written,
    },
};
use crate::{
    catalog::{
        change::{Change, EntryPatch, Step},
        entry::{Catalog, MAX_ENTRIES},
        error::{Cause, Error, Kind, Result, Violations},
        etag::Etag,
        id::EntryId,
        settings::{Settings, Subject},
        text::{Color, Description, Name},
    },
    service::settings::{MOST_AT_ONCE, Written},
};

/// The most changes of a batch.
const MAX_BATCH: usize = MAX_ENTRIES;

const FIELDS: [&str; 4] = ["name", "description", "color", "is_default"];

/// The entry that a single step was about.
fn the_entry<M>(_: &M, written: &Written) -> Result<Entry> {
    let found = match written.subjects.first() {
        Some(Subject::Entry(catalog, id)) => convert::entry(&written.settings, *catalog, id),
        _ => None,
    };
    found.ok_or_else(|| Error::Internal(Cause::new("a step's entry is not there after it")))
}

fn the_batch(_: &BatchChangeEntriesRequest, written: &Written) -> BatchChangeEntriesResponse {
    let settings = &written.settings;
    BatchChangeEntriesResponse {
        revision: convert::revision(settings.revision),
        etag: settings.etag().to_string(),
        results: batch_results(settings, &written.subjects),
    }
}

#[tonic::async_trait]
impl EntryService for Admin {
    async fn create_entry(
        &self,
        request: Request<CreateEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        self.step(request, create_step, the_entry).await
    }

    async fn get_entry(
        &self,
        request: Request<GetEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        let asked = |sent: GetEntryRequest| {
            let mut wrong = Violations::default();
            let target = wrong.check(target(&sent.collection, &sent.id));
            let as_of = wrong.check(as_of(sent.revision, sent.read_time));
            wrong.finish(|| Some((as_of?, target?)))
        };
        let show = |settings: &Settings, (catalog, id): (Catalog, EntryId)| {
            let absent = || Error::NotFound { kind: Kind::Entry, id: id.to_string() };
            convert::entry(settings, catalog, &id).ok_or_else(absent)
        };
        self.read(request, asked, show).await
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let asked = |sent: ListEntriesRequest| {
            let mut wrong = Violations::default();
            let catalog = wrong.check(catalog(&sent.collection));
            let listing = wrong.check(list::Listing::parse(sent));
            let (listing, catalog) = wrong.finish(|| Some((listing?, catalog?)))?;
            Ok((listing.as_of(), (listing, catalog)))
        };
        let show = |settings: &Settings, (listing, catalog): (list::Listing, Catalog)| {
            Ok(listing.answer(settings, catalog))
        };
        let rows = |settings: &Settings, (listing, catalog): &(list::Listing, Catalog)| {
            listing.looks_at(settings, *catalog)
        };
        self.read_rows(request, asked, rows, show).await
    }

    async fn update_entry(
        &self,
        request: Request<UpdateEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        self.step(request, update_step, the_entry).await
    }

    async fn archive_entry(
        &self,
        request: Request<ArchiveEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        self.step(request, archive_step, the_entry).await
    }

    async fn restore_entry(
        &self,
        request: Request<RestoreEntryRequest>,
    ) -> Result<Response<Entry>, Status> {
        self.step(request, restore_step, the_entry).await
    }

    async fn delete_entry(
        &self,
        request: Request<DeleteEntryRequest>,
    ) -> Result<Response<()>, Status> {
        self.step(request, delete_step, |_, _| Ok(())).await
    }

    async fn reorder_entries(
        &self,
        request: Request<ReorderEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let show = |sent: &ReorderEntriesRequest, written: &Written| {
            Ok(list::all_active(&written.settings, catalog(&sent.collection)?))
        };
        self.step(request, reorder_step, show).await
    }

    async fn batch_change_entries(
        &self,
        request: Request<BatchChangeEntriesRequest>,
    ) -> Result<Response<BatchChangeEntriesResponse>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let count = envelope.message.changes.len();
            if count == 0 || count > MAX_BATCH {
                let description = format!("must be 1 to {MAX_BATCH} changes; there are {count}");
                return Err(Error::invalid("changes", "OUT_OF_RANGE", description));
            }
            let (key, deadline) = (envelope.caller()?.actor.key_id.clone(), envelope.deadline()?);
            let admin = self.clone();
            let change = async move {
                let change = |sent: &Envelope<BatchChangeEntriesRequest>| {
                    let mut wrong = Violations::default();
                    let (etag, steps) = (sent.etag(), batch_steps(&sent.message));
                    let (etag, steps) = (wrong.check(etag), wrong.check(steps));
                    wrong.finish(|| {
                        Some(Change::Steps { etag: etag?, steps: steps?, is_batch: true })
                    })
                };
                let show = |sent: &_, written: &_| Ok(the_batch(sent, written));
                admin.write_to(envelope.company(), &envelope, change, show).await
            };
            // Together with making the steps and the answer.
            self.0.long_work.run_if(count > MOST_AT_ONCE, key.as_ref(), deadline, change).await
        };
        written(made.await)
    }
}

fn patch(entry: Option<&Entry>, mask: Option<&FieldMask>) -> Result<EntryPatch> {
    let none = Entry::default();
    let entry = entry.unwrap_or(&none);
    let mask = Mask::parse(mask, &FIELDS)?;
    let color = |text: String| match text.trim() {
        "" => Ok(None),
        text => Color::parse("entry.color", text).map(Some),
    };
    let name = |text: String| Name::parse("entry.name", &text);
    let description = |text: String| Description::parse("entry.description", &text);
    let mut wrong = Violations::default();
    let patch = EntryPatch {
        name: wrong.check(mask.take("name", entry.name.as_ref(), name)).flatten(),
        description: wrong
            .check(mask.take("description", entry.description.as_ref(), description))
            .flatten(),
        color: wrong.check(mask.take("color", entry.color.as_ref(), color)).flatten(),
        is_default: wrong.check(mask.take("is_default", entry.is_default.as_ref(), Ok)).flatten(),
        state: wrong.check(convert::sent_state("entry.state", entry.state)).flatten(),
    };
    wrong.finish(|| Some(patch))
}

fn create_step(message: &CreateEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let mut wrong = Violations::default();
    let catalog = wrong.check(catalog(&message.collection));
    let sent = message.entry.as_ref();
    let id = wrong.check(optional("entry_id", &message.entry_id, EntryId::parse)).flatten();
    let hint = "; the catalog's goes into the request's own etag, in the query or as If-Match";
    wrong.check(refuse_etag("entry.etag", sent.map_or("", |sent| &sent.etag), hint));
    let inner = sent.map_or("", |sent| &sent.id);
    wrong.check(id_of_new("entry.id", inner, &message.entry_id, "entry_id"));
    wrong.check(required("entry.name", sent.and_then(|sent| sent.name.as_ref())));
    let patch = wrong.check(patch(sent, None));
    wrong.finish(|| Some(Step::CreateEntry { catalog: catalog?, id, patch: patch?, etag }))
}

fn update_step(message: &UpdateEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let mut wrong = Violations::default();
    let target = wrong.check(target(&message.collection, &message.id));
    let sent = message.entry.as_ref();
    wrong.check(same_id("entry.id", sent.map_or("", |sent| &sent.id), &message.id));
    let patch = wrong.check(patch(sent, message.update_mask.as_ref()));
    wrong.finish(|| {
        let (catalog, id) = target?;
        Some(Step::UpdateEntry { catalog, id, patch: patch?, etag })
    })
}

fn archive_step(message: &ArchiveEntryRequest, etag: Option<Etag>) -> Result<Step> {
    let mut wrong = Violations::default();
    let target = wrong.check(target(&message.collection, &message.id));
    let successor = optional("successor_id", &message.successor_id, EntryId::parse);
    let successor = wrong.check(successor).flatten();
    wrong.finish(|| {
        let (catalog, id) = target?;
        Some(Step::ArchiveEntry { catalog, id, successor, etag })
    })
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
    let count = message.ids.len();
    // Before the ids are parsed.
    if count > MAX_ENTRIES {
        let description = format!("must be at most {MAX_ENTRIES} ids; there are {count}");
        return Err(Error::invalid("ids", "OUT_OF_RANGE", description));
    }
    let mut wrong = Violations::default();
    let catalog = wrong.check(catalog(&message.collection));
    let parse = |(i, id): (usize, &String)| wrong.check(EntryId::parse(&format!("ids[{i}]"), id));
    let ids = message.ids.iter().enumerate().filter_map(parse).collect();
    wrong.finish(|| Some(Step::ReorderEntries { catalog: catalog?, ids, etag }))
}

fn target(collection: &str, id: &str) -> Result<(Catalog, EntryId)> {
    let mut wrong = Violations::default();
    let catalog = wrong.check(catalog(collection));
    let id = wrong.check(EntryId::parse("id", id));
    wrong.finish(|| Some((catalog?, id?)))
}

fn batch_steps(message: &BatchChangeEntriesRequest) -> Result<Vec<Step>> {
    let mut wrong = Violations::default();
    let at = |(index, change): (usize, &EntryChange)| {
        let step = batch_step(change, &message.company_id);
        wrong.check(step.map_err(|error| Error::in_batch(index, error)))
    };
    let steps = message.changes.iter().enumerate().filter_map(at).collect();
    wrong.finish(|| Some(steps))
}

fn batch_step(change: &EntryChange, batch: &str) -> Result<Step> {
    use entry_change::Change as One;
    let Some(change) = &change.change else {
        let description =
            "must be exactly one of create, update, archive, restore, delete, reorder";
        return Err(Error::invalid("change", "REQUIRED", description));
    };
    match change {
        One::Create(one) => own_step(one, batch, create_step),
        One::Update(one) => own_step(one, batch, update_step),
        One::Archive(one) => own_step(one, batch, archive_step),
        One::Restore(one) => own_step(one, batch, restore_step),
        One::Delete(one) => own_step(one, batch, delete_step),
        One::Reorder(one) => own_step(one, batch, reorder_step),
    }
}

/// The step of a request within a batch, which must leave out what belongs to the batch.
fn own_step<M: Writes + OfCompany>(
    one: &M,
    batch: &str,
    step: fn(&M, Option<Etag>) -> Result<Step>,
) -> Result<Step> {
    let refuse = |field: &str, description: &str| {
        Err(Error::invalid(field, "BELONGS_TO_BATCH", description))
    };
    if !one.company_id().is_empty() && one.company_id() != batch {
        return refuse("company_id", "must be the batch's company, or empty");
    }
    if !one.request_id().is_empty() {
        return refuse("request_id", "belongs to the batch itself: give it there");
    }
    if one.validate_only() {
        return refuse("validate_only", "belongs to the batch itself: give it there");
    }
    let mut wrong = Violations::default();
    let etag = wrong.check(one_etag(one.etags())).flatten();
    let step = wrong.check(step(one, etag));
    wrong.finish(|| step)
}

/// The results of a batch. Entries are left out once the answer would be larger than a page of them.
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
