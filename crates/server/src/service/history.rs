//! The past: reading a company's change log, and naming the changes that are in the way of a write.

use std::{collections::HashSet, sync::Arc, time::Instant};

use tokio::task::yield_now;

use super::{
    MOST_LOOKED_AT,
    long_work::LongWork,
    snapshot::{Marks, Snapshots},
};
use crate::{
    catalog::{
        access::{Actor, Caller, Grant},
        change::Change,
        delta::Delta,
        entry::{Catalog, Revision},
        error::{Error, Kind, MOST_NAMED, Past, Result, few},
        etag::Etag,
        id::{CompanyId, KeyId, StaffId},
        log::Line,
        replay::Replay,
        settings::{Settings, Subject},
        stream::{Among, LineFilter, LinePlace, Stream, Streams},
        time::Timestamp,
    },
    store::Store,
};

mod plans;

pub(super) use plans::undone;

/// Lines that one look-up reads.
const PAGE: u32 = 500;
/// How many lines an error looks back for the change after which an etag was read.
const MAX_SEARCHED: u32 = 200;
/// The most rows that are hashed for that.
const MOST_HASHED: usize = 100_000;
/// The most things that a summary names.
const MAX_SUMMARIZED: usize = 3;
/// The most characters of a name in a summary.
const MAX_NAME_CHARS: usize = 40;

/// A choice of changes to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only changes of this subject (for a catalog: of any of its entries).
    pub subject: Option<Subject>,
    /// Only changes that this key made.
    pub key: Option<KeyId>,
    /// Only changes of this author.
    pub staff: Option<StaffId>,
    /// Only changes at this moment or later.
    pub from: Option<Timestamp>,
    /// Only changes before this moment.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether the changes of this actor are listed.
    pub(super) fn takes(&self, actor: &Actor) -> bool {
        self.key.as_ref().is_none_or(|key| actor.key_id.as_ref() == Some(key))
            && self.staff.as_ref().is_none_or(|staff| actor.staff_id == *staff)
    }

    /// The filter's two moments as places of a log, which is in the order of time.
    pub(super) async fn places(
        &self,
        store: &dyn Store,
        among: &Streams,
    ) -> Result<[Option<LinePlace>; 2]> {
        let mut places = [None, None];
        for (place, time) in places.iter_mut().zip([self.from, self.until]) {
            if let Some(time) = time {
                *place = Some(place_at(store, among, time).await?);
            }
        }
        Ok(places)
    }
}

/// The place of the first line at a moment or later.
async fn place_at(store: &dyn Store, among: &Streams, time: Timestamp) -> Result<LinePlace> {
    match among.among() {
        Among::One(stream) => {
            let before = Timestamp::from_micros(time.as_micros() - 1);
            let last = store.revision_at(stream, before).await?.unwrap_or_default();
            Ok(LinePlace::at(last.next()))
        }
        Among::All(_) => Ok(LinePlace { time, of: String::new(), revision: Revision(0) }),
    }
}

/// A page of changes that were shown to the caller, newest first.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Changes<P> {
    pub page: P,
    /// The line before which the next page begins; `None` on the last page.
    pub next: Option<LinePlace>,
    /// The company's etag now.
    pub etag: Etag,
    /// The revision of that etag.
    pub marks: Marks,
}

/// Reads change logs. All of this is long work.
pub struct HistoryService {
    store: Arc<dyn Store>,
    snapshots: Arc<Snapshots>,
    long_work: Arc<LongWork>,
}

impl HistoryService {
    /// Changes come from the store, the company itself from its snapshot.
    pub fn new(store: Arc<dyn Store>, snapshots: Arc<Snapshots>, long_work: Arc<LongWork>) -> Self {
        Self { store, snapshots, long_work }
    }

    /// Shows the changes before a place (`None`: from the newest on) to a page, newest first, until `take` refuses one
    /// or enough lines were looked at. About `limit` changes are wanted.
    pub async fn list<P: Send + 'static>(
        &self,
        caller: &Caller,
        company: &CompanyId,
        (filter, below, limit): (Filter, Option<LinePlace>, u32),
        deadline: Instant,
        mut page: P,
        take: fn(&mut P, &Line) -> bool,
    ) -> Result<Changes<P>> {
        let grant = caller.grant(company)?;
        let snapshot = self.snapshots.get(&grant).await?;
        let absent = || caller.absent(Kind::Company, company.as_str());
        let seen = snapshot.ok_or_else(absent)?;
        let (settings, marks) = (seen.settings.clone(), seen.marks());
        let store = self.store.clone();
        let read = limit.saturating_add(1).min(PAGE);
        let list = async move {
            let (etag, among) = (settings.etag(), Streams::one(grant.stream()));
            let [from, until] = filter.places(&*store, &among).await?;
            // No line is newer than the revision that the answer names.
            let newest = settings.revision.next();
            let mut below = below.or(until).map_or(newest, |place| place.revision.min(newest));
            let oldest = from.map_or(Revision(1), |place| place.revision);
            // Revisions have no gaps.
            let last = Revision(below.0.saturating_sub(MOST_LOOKED_AT.into())).max(oldest);
            let Filter { subject, key, staff, .. } = filter;
            let wanted = LineFilter { from: Some(LinePlace::at(last)), subject, key, staff };
            loop {
                let before = LinePlace::at(below);
                let lines = store.log_before(&among, Some(&before), Some(&wanted), read).await?;
                if lines.is_empty() {
                    let next = wanted.from.filter(|_| last > oldest);
                    return Ok(Changes { page, next, etag, marks });
                }
                for line in lines {
                    if !take(&mut page, &line) {
                        return Ok(Changes { page, next: Some(LinePlace::at(below)), etag, marks });
                    }
                    below = line.revision;
                }
            }
        };
        self.long_work.run(caller.actor.key_id.as_ref(), deadline, list).await
    }

    /// Shows the change that made `revision`, with the marks of the company now.
    pub async fn get<T: Send + 'static>(
        &self,
        caller: &Caller,
        company: &CompanyId,
        revision: Revision,
        deadline: Instant,
        show: impl FnOnce(&Line) -> Result<T> + Send + 'static,
    ) -> Result<(Marks, T)> {
        let grant = caller.grant(company)?;
        let absent = || caller.absent(Kind::Company, company.as_str());
        let seen = self.snapshots.get(&grant).await?.ok_or_else(absent)?;
        let (marks, newest) = (seen.marks(), seen.settings.revision);
        let store = self.store.clone();
        let get = async move { show(&line(&*store, grant.stream(), revision, newest).await?) };
        let shown = self.long_work.run(caller.actor.key_id.as_ref(), deadline, get).await?;
        Ok((marks, shown))
    }
}

/// The change that made the revision, in the log of a stream that is at `newest` or later.
pub(super) async fn line(
    store: &dyn Store,
    stream: &Stream,
    revision: Revision,
    newest: Revision,
) -> Result<Line> {
    let before = (Revision(revision.0.saturating_sub(1)), u32::MAX);
    let found = store.log(stream, before, 1).await?.into_iter().next();
    let mut found = found.map(|(_, line)| line).filter(|line| line.revision == revision);
    if found.is_none() && revision <= newest {
        // The line was there: its absence is damage, as this answer says.
        let only = LineFilter { from: Some(LinePlace::at(revision)), ..LineFilter::default() };
        let (among, below) = (Streams::one(stream), LinePlace::at(revision.next()));
        found = store.log_before(&among, Some(&below), Some(&only), 1).await?.pop();
    }
    found.ok_or_else(|| Error::NotFound { kind: Kind::Change, id: revision.to_string() })
}

/// Whether an error is about changes that are in the way. The refusal of a plan that was shown may be.
pub(super) fn is_explained(error: &Error, change: &Change) -> bool {
    match error {
        Error::EtagMismatch { .. } | Error::ChangedSince { .. } | Error::PlanChanged(_) => true,
        Error::InBatch { error, .. } => is_explained(error, change),
        error => match change {
            Change::Load { options, .. } => options.expected.is_some() && error.is_of_content(),
            _ => false,
        },
    }
}

/// Adds to an error the changes that are in the way, if it is about such changes.
pub(super) async fn explained(
    store: &dyn Store,
    grant: &Grant,
    current: Option<&Settings>,
    change: &Change,
    error: Error,
) -> Error {
    if let Change::Load { document, options } = change {
        return plans::changed(store, grant, current, (document, options), error).await;
    }
    let Some(current) = current else { return error };
    match error {
        Error::InBatch { index, error } => {
            let found = match change {
                Change::Steps { steps, .. } => steps.get(index).and_then(|step| step.expected()),
                _ => None,
            };
            let error = match found {
                Some((subject, etag)) => {
                    mismatch(store, grant, current, Some(subject), etag, *error).await
                }
                None => *error,
            };
            Error::InBatch { index, error: Box::new(error) }
        }
        Error::ChangedSince { revision, fields, .. } => {
            let now = current.revision;
            let since = touching(store, grant, (revision, now), &fields).await.unwrap_or_default();
            Error::ChangedSince { revision, fields, since }
        }
        error => match expected(change) {
            Some((subject, etag)) => mismatch(store, grant, current, subject, etag, error).await,
            None => error,
        },
    }
}

/// The etag that the caller knows, of the settings as a whole or of one thing.
fn expected(change: &Change) -> Option<(Option<Subject>, &Etag)> {
    match change {
        Change::Steps { etag: Some(etag), .. }
        | Change::Undo { etag: Some(etag), .. }
        | Change::RollBack { etag: Some(etag), .. } => Some((None, etag)),
        Change::Steps { steps, .. } => steps
            .first()
            .and_then(|step| step.expected())
            .map(|(subject, etag)| (Some(subject), etag)),
        _ => None,
    }
}

/// Names the changes since the etag was read: goes back until the etag fits.
async fn mismatch(
    store: &dyn Store,
    grant: &Grant,
    current: &Settings,
    subject: Option<Subject>,
    etag: &Etag,
    error: Error,
) -> Error {
    let Error::EtagMismatch { what, .. } = error else { return error };
    let (among, below) = (Streams::one(grant.stream()), LinePlace::at(current.revision.next()));
    let lines = store.log_before(&among, Some(&below), None, MAX_SEARCHED).await;
    let lines = lines.unwrap_or_default();
    let mut replay = Replay::from(current.clone());
    let (mut since, mut hashed) = (Vec::new(), 0);
    for line in lines {
        let touches = |delta: &Delta| subject.as_ref().is_none_or(|subject| delta.touches(subject));
        let is_touched = line.deltas.iter().any(touches);
        if is_touched && since.len() < MOST_NAMED {
            since.extend(past(grant, &line));
        }
        let before = Revision(line.revision.0.saturating_sub(1));
        if replay.unapply(before, line.time, &line.deltas).is_err() {
            break;
        }
        if !is_touched {
            continue;
        }
        let Some(settings) = replay.settings() else { break };
        if settings.etag_of(subject.as_ref()).as_ref() == Some(etag) {
            return Error::EtagMismatch { what, was_its: true, since };
        }
        hashed += hashed_rows(&settings, subject.as_ref());
        if hashed > MOST_HASHED {
            break;
        }
        // Lets other tasks run.
        yield_now().await;
    }
    // If the thing never had the etag, no change is named.
    Error::EtagMismatch { what, was_its: false, since: Vec::new() }
}

/// How many rows the etag of a thing is made from.
fn hashed_rows(settings: &Settings, subject: Option<&Subject>) -> usize {
    match subject {
        Some(Subject::Catalog(catalog)) => settings.entries(*catalog).len(),
        Some(Subject::Company | Subject::Business(_) | Subject::Entry(..) | Subject::Key(_)) => 1,
        None => {
            let entries = Catalog::ALL.iter().map(|catalog| settings.entries(*catalog).len());
            settings.businesses.len() + entries.sum::<usize>()
        }
    }
}

/// The changes after a revision until now that touched one of the fields, newest first. Only the newest
/// [`MOST_LOOKED_AT`] lines are read.
async fn touching(
    store: &dyn Store,
    grant: &Grant,
    (revision, now): (Revision, Revision),
    fields: &[String],
) -> Result<Vec<Past>> {
    // Revisions have no gaps.
    let last = Revision(now.0.saturating_sub(MOST_LOOKED_AT.into())).max(revision);
    let wanted = LineFilter { from: Some(LinePlace::at(last.next())), ..LineFilter::default() };
    let (mut found, mut below) = (Vec::new(), LinePlace::at(now.next()));
    let among = Streams::one(grant.stream());
    let named: HashSet<&str> = fields.iter().map(String::as_str).collect();
    // The part `customer_tags/tag_1` of `customer_tags/tag_1.name`.
    let of_fields = fields.iter().filter_map(|field| field.rsplit_once('.'));
    let places: HashSet<&str> = of_fields.map(|(place, _)| place).collect();
    loop {
        let lines = store.log_before(&among, Some(&below), Some(&wanted), PAGE).await?;
        for line in &lines {
            if found.len() == MOST_NAMED {
                return Ok(found);
            }
            let is_in_the_way = |delta: &Delta| {
                let place = delta.subject.place();
                let touched = delta.fields();
                let is_named = |field: &&str| named.contains(format!("{place}.{field}").as_str());
                named.contains(place.as_str())
                    || touched.iter().any(is_named)
                    || (touched.is_empty() && places.contains(place.as_str()))
            };
            if line.deltas.iter().any(is_in_the_way) {
                found.extend(past(grant, line));
            }
        }
        let Some(last) = lines.last() else { return Ok(found) };
        below = LinePlace::at(last.revision);
    }
}

/// A change in one line, if the key may read what it is about.
fn past(grant: &Grant, line: &Line) -> Option<Past> {
    let may_read = grant.may_read(line.deltas.iter().map(|delta| &delta.subject));
    may_read.then(|| Past::of(line, summary(&line.deltas)))
}

/// A name without its end, if it is long.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// A summary of a change in one line, for people.
pub fn summary(deltas: &[Delta]) -> String {
    let (mut parts, mut reordered) = (Vec::new(), HashSet::new());
    for delta in deltas {
        if let Some((catalog, ..)) = delta.ranks() {
            // Many moves make one new order.
            if reordered.insert(catalog) {
                parts.push(format!("reordered {catalog}"));
            }
            continue;
        }
        // Further things are only counted, so they need no words.
        if parts.len() >= MAX_SUMMARIZED {
            parts.push(String::new());
            continue;
        }
        let fields = delta.fields();
        let fields: Vec<&str> = fields.into_iter().filter(|field| *field != "state").collect();
        let list = match fields[..] {
            [] => String::new(),
            _ => format!(" ({})", fields.join(", ")),
        };
        let name = delta.name().map(|name| format!(" \"{}\"", shortened(name.as_str())));
        let name = name.unwrap_or_default();
        parts.push(format!("{} {}{name}{list}", delta.verb(), delta.subject.place()));
    }
    few(&parts, MAX_SUMMARIZED)
}
