//! Companies, entries, keys and plans for the tests of the stores.

use std::sync::Arc;

use customer_settings_server::{
    catalog::{
        access::{Actor, Coverage, CoveredGrant, Grant, Holder, Rights, Scope, Scopes, Task},
        company::{Address, AddressKind, Business, Company, Contact, Coordinate, ShortText},
        delta::Delta,
        entry::{Audit, Catalog, Entry, Revision, State},
        id::{BusinessId, CompanyId, EntryId, KeyId, StaffId},
        key::{Key, SecretDigest},
        log::{Line, Request, RequestId},
        place::{Country, TimeZone},
        plan::Plan,
        replay,
        settings::{Settings, Subject},
        source::Source,
        stream::{Stream, Streams},
        text::{Color, Description, Name},
        time::Timestamp,
    },
    store::{Store, StoreError},
};

pub(crate) fn company_id(id: &str) -> CompanyId {
    CompanyId::parse("id", id).unwrap()
}

pub(crate) fn grant(company: &str) -> Grant {
    Task::Load.grant(&company_id(company))
}

/// The company's log.
pub(crate) fn stream(company: &str) -> Stream {
    grant(company).stream().clone()
}

/// The lines of the company's log, newest first.
pub(crate) fn lines_of(company: &str) -> Streams {
    Streams::one(&stream(company))
}

/// Writes one line, in any state of the acting key.
pub(crate) async fn append(
    store: &dyn Store,
    stream: &Stream,
    line: &Line,
) -> Result<(), StoreError> {
    store.commit(&[(stream, line)], None).await
}

/// The right to read these companies.
pub(crate) fn covering(companies: &[&str]) -> CoveredGrant {
    let coverage = Coverage::Only(companies.iter().map(|id| company_id(id)).collect());
    let all = Task::Export.holder();
    let rights = Arc::new(Rights { coverage, ..(*all.rights).clone() });
    Holder { rights, ..all }.permitted(&[]).unwrap().grant_covered()
}

pub(crate) fn covering_all() -> CoveredGrant {
    Task::Export.grant_covered()
}

pub(crate) fn actor(key: &str) -> Actor {
    Actor {
        key_id: Some(KeyId::parse("id", key).unwrap()),
        key_name: Some(Arc::new(Name::parse("name", "Ana Díaz").unwrap())),
        staff_id: StaffId::parse("id", "staff_001").unwrap(),
        address: None,
    }
}

pub(crate) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn audit(revision: u64) -> Audit {
    Audit {
        created_by: StaffId::parse("id", "load").unwrap(),
        created_time: time(1_672_567_200_000_000),
        last_updated_by: StaffId::parse("id", "staff_001").unwrap(),
        last_updated_time: time(1_672_567_200_000_000 + i64::try_from(revision).unwrap()),
        revision: Revision(revision),
    }
}

pub(crate) fn name(name: &str) -> Name {
    Name::parse("name", name).unwrap()
}

fn short(value: &str) -> ShortText {
    ShortText::parse("text", value).unwrap()
}

pub(crate) fn company(id: &str, company_name: &str) -> Company {
    Company {
        id: company_id(id),
        name: name(company_name),
        country: Country::parse("country", "US").unwrap(),
        timezone: TimeZone::parse("timezone", "America/New_York").unwrap(),
        state: State::Active,
        source: Some(Source::stored("moego cutover").unwrap()),
        audit: audit(1),
    }
}

/// A location with all of its fields.
pub(crate) fn business(id: &str, business_name: &str) -> Business {
    Business {
        id: BusinessId::parse("id", id).unwrap(),
        name: name(business_name),
        contact: Contact {
            phone: short("+1 555 0100"),
            website: short("https://example.com/?a=\"b\""),
            ..Contact::default()
        },
        address: Some(Address {
            address1: short("1 Main Street"),
            country: Country::parse("country", "US").unwrap(),
            // These numbers need all digits of a double.
            coordinate: Some(Coordinate::new(40.712_776_000_000_004, -74.005_974).unwrap()),
            kind: AddressKind::Primary,
            ..Address::default()
        }),
        state: State::Active,
        audit: audit(1),
    }
}

pub(crate) fn entry(id: &str, entry_name: &str, rank: u32) -> Entry {
    Entry {
        id: EntryId::parse("id", id).unwrap(),
        name: name(entry_name),
        description: Description::parse("description", "two\nlines").unwrap(),
        color: Some(Color::parse("color", "#00FF00").unwrap()),
        is_default: false,
        rank,
        state: State::Active,
        audit: audit(1),
    }
}

pub(crate) fn made_company(company: Company) -> Delta {
    Delta::company(None, company)
}

pub(crate) fn made_business(business: Business) -> Delta {
    Delta::business(None, business)
}

pub(crate) fn made_entry(catalog: Catalog, entry: Entry) -> Delta {
    Delta::entry(catalog, None, entry)
}

pub(crate) fn changed_entry(
    catalog: Catalog,
    before: &Entry,
    change: impl FnOnce(&mut Entry),
) -> Delta {
    let mut after = before.clone();
    change(&mut after);
    Delta::entry(catalog, Some(before.clone()), after)
}

pub(crate) fn moved(catalog: Catalog, id: &str, from: u32, to: u32) -> Delta {
    Delta::moved(catalog, EntryId::parse("id", id).unwrap(), from, to)
}

pub(crate) fn deleted(catalog: Catalog, entry: &Entry) -> Delta {
    Delta::deleted(catalog, entry.clone())
}

pub(crate) fn revived(catalog: Catalog, entry: &Entry) -> Delta {
    Delta::revived(catalog, entry.clone())
}

/// A change without meaning.
fn touched(company: &Company) -> Delta {
    let mut after = company.clone();
    after.audit.revision = after.audit.revision.next();
    Delta::company(Some(company.clone()), after)
}

pub(crate) fn request_id(id: &str) -> RequestId {
    RequestId::parse("request_id", id).unwrap()
}

/// A request whose digest is filled with this number.
pub(crate) fn request(id: &str, digest: u8) -> Request {
    Request { id: request_id(id), digest: [digest; 32] }
}

/// The time of the change that makes this revision, in [`plan`].
pub(crate) fn time_of(revision: u64) -> Timestamp {
    time(1_700_000_000_000_000 + i64::try_from(revision).unwrap())
}

/// The plan that applies the deltas to a state; without deltas it needs a request.
pub(crate) fn plan(current: Option<&Settings>, deltas: Vec<Delta>) -> Plan {
    let base = current.map(|settings| settings.revision).unwrap_or_default();
    let time = time_of(base.0 + 1);
    let after = match current {
        Some(current) if deltas.is_empty() => current.clone(),
        _ => replay::apply(current.cloned(), base.next(), time, &deltas).unwrap(),
    };
    let line = Line {
        revision: after.revision,
        time,
        actor: actor("key_1"),
        request: None,
        subjects: Some(vec![]),
        deltas,
    };
    Plan { line, after, loaded: Default::default() }
}

/// The plan with a changed line.
pub(crate) fn with(mut plan: Plan, change: impl FnOnce(&mut Line)) -> Plan {
    change(&mut plan.line);
    plan
}

/// The same plan from another base.
pub(crate) fn from_base(plan: Plan, base: u64) -> Plan {
    with(plan, |line| line.revision = Revision(base + u64::from(!line.is_empty())))
}

/// Commits the deltas to the company's current state.
pub(crate) async fn commit(
    store: &dyn Store,
    company: &str,
    deltas: Vec<Delta>,
) -> Result<Settings, StoreError> {
    let grant = grant(company);
    let plan = plan(store.settings(&grant).await?.as_ref(), deltas);
    append(store, grant.stream(), &plan.line).await?;
    Ok(plan.after)
}

/// Commits a change without meaning to the company's current state.
pub(crate) async fn touch(store: &dyn Store, company: &str) -> Settings {
    let current = store.settings(&grant(company)).await.unwrap().unwrap();
    commit(store, company, vec![touched(&current.company)]).await.unwrap()
}

/// The plan of a change without meaning.
pub(crate) fn touching(current: &Settings) -> Plan {
    plan(Some(current), vec![touched(&current.company)])
}

/// A company with a location and an entry in each catalog.
pub(crate) async fn make_company(store: &dyn Store, id: &str, company_name: &str) -> Settings {
    let mut deltas = vec![
        made_company(company(id, company_name)),
        made_business(business(&format!("biz_{id}"), "Main Street")),
    ];
    for catalog in Catalog::ALL {
        let mut first = entry("first", "First", 1_024);
        first.is_default = catalog.has_default();
        deltas.push(made_entry(catalog, first));
    }
    commit(store, id, deltas).await.unwrap()
}

/// The changes of the company.
pub(crate) async fn log(store: &dyn Store, company: &str) -> Vec<Line> {
    let whole = store.log(&stream(company), (Revision(0), 0), u32::MAX).await.unwrap();
    whole.into_iter().filter(|(part, _)| *part == 0).map(|(_, line)| line).collect()
}

/// The company according to its log alone.
pub(crate) async fn replay(store: &dyn Store, company: &str) -> Option<Settings> {
    let mut settings = None;
    for line in log(store, company).await {
        settings = Some(replay::apply(settings, line.revision, line.time, &line.deltas).unwrap());
    }
    settings
}

/// A key with every restriction; `secret` fills its digest.
pub(crate) fn key(id: &str, secret: u8) -> Key {
    Key {
        id: KeyId::parse("id", id).unwrap(),
        name: name("Till"),
        secret: SecretDigest([secret; 32]),
        scopes: Scopes::Only([Scope::SettingsRead, Scope::HistoryRead].into()),
        coverage: Coverage::Only([company_id("cmp_a"), company_id("cmp_b")].into()),
        addresses: vec!["10.1.2.3/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        expires_time: Some(time(2_000_000_000_000_000)),
        staff_id: Some(StaffId::parse("id", "staff_009").unwrap()),
        revoked_time: None,
        link_time: None,
        previous: None,
        created_by_key_id: Some(KeyId::parse("id", "key_0").unwrap()),
        audit: audit(1),
    }
}

/// The key after one more change.
pub(crate) fn changed_key(before: &Key, change: impl FnOnce(&mut Key)) -> Key {
    let mut after = before.clone();
    change(&mut after);
    after.audit.revision = before.audit.revision.next();
    after
}

/// A line of a key's log, and the log.
pub(crate) type KeyLine = (Stream, Line);

/// The line of a key that follows the revision before its own, where it had another name.
pub(crate) fn key_line(key: &Key) -> KeyLine {
    let mut before = key.clone();
    before.name = name("Before");
    before.audit.revision = Revision(key.audit.revision.0 - 1);
    key_change(Some(before).filter(|before| before.audit.revision != Revision(0)).as_ref(), key)
}

/// The line of a change of a key.
pub(crate) fn key_change(before: Option<&Key>, after: &Key) -> KeyLine {
    let line = Line {
        revision: after.audit.revision,
        time: time(1),
        actor: actor("key_1"),
        request: None,
        subjects: Some(vec![]),
        deltas: vec![Delta::key(before.cloned(), after.clone())],
    };
    (Stream::key(&after.id), line)
}

/// The same with another line.
pub(crate) fn with_line((stream, mut line): KeyLine, change: impl FnOnce(&mut Line)) -> KeyLine {
    change(&mut line);
    (stream, line)
}

/// The line of a request that found nothing to change.
pub(crate) fn nothing(key: &Key, id: &str) -> KeyLine {
    with_line(key_line(key), |line| {
        (line.deltas, line.request) = (vec![], Some(request(id, 7)));
    })
}

/// That keys were revoked along.
pub(crate) fn along(ids: &[&Key]) -> Option<Vec<Subject>> {
    Some(ids.iter().map(|key| Subject::Key(key.id.clone())).collect())
}

/// Writes this key over its revision before.
pub(crate) async fn commit_key(store: &dyn Store, key: &Key) -> Result<(), StoreError> {
    commit_key_line(store, &key_line(key)).await
}

/// Writes one key, in any state of the acting key.
pub(crate) async fn commit_key_line(store: &dyn Store, line: &KeyLine) -> Result<(), StoreError> {
    append(store, &line.0, &line.1).await
}
