//! Keys. A secret stands only in the answer of the request that made it.

use std::{collections::BTreeSet, mem::take};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use customer_settings_contract::customersettings::v1::{
    CreateKeyRequest, CreateSignInLinkRequest, EndSessionRequest, EndSessionResponse,
    GetKeyRequest, Key as KeyMessage, KeyChange, KeyWithSecret, ListKeyChangesRequest,
    ListKeyChangesResponse, ListKeysRequest, ListKeysResponse, ListSessionsRequest,
    ListSessionsResponse, RevokeKeyRequest, RotateKeyRequest, Session, SignInLink,
    UpdateKeyRequest, key::State, key_service_server::KeyService,
};
use ipnet::IpNet;
use prost_types::FieldMask;
use tonic::{Request, Response, Status};

use super::{
    Admin, convert,
    paging::{Asked, CHANGES, Page, ROWS},
    request::{
        Envelope, Mask, Writes, line_filter, moment, optional, refuse_etag, repeatable, required,
        same_id,
    },
};
use crate::{
    api::{convert::timestamp, marks::answer},
    auth::{
        api_key::Secret,
        sessions::{Listed, SessionPlace},
    },
    catalog::{
        access::{Coverage, Scope, Scopes},
        error::{Error, Result, Violation, Violations},
        id::{CompanyId, KeyId, SessionId, StaffId},
        key::{Key, SecretDigest, check_addresses, check_companies, summary},
        log::Line,
        network,
        text::Name,
        time::Timestamp,
    },
    service::keys::{
        By, KeyAfter, KeyDraft, KeyFilter, KeyRow, Rotation, note_link, revoke, rotate,
    },
};

const FIELDS: [&str; 7] =
    ["name", "scopes", "company_ids", "all_companies", "addresses", "expires_time", "staff_id"];
const DEFAULT_OVERLAP_SECONDS: i64 = 24 * 60 * 60;
/// The longest time that an old secret works after a rotation.
pub(crate) const MAX_OVERLAP_SECONDS: i64 = 30 * 24 * 60 * 60;

/// The caller and the conditions of a write, with what was parsed of its message.
fn by<M: Writes, T, E: Into<Error>>(
    envelope: &Envelope<M>,
    parsed: Result<T, E>,
) -> Result<(By, T)> {
    let (caller, deadline) = (envelope.caller()?.clone(), envelope.deadline()?);
    let validate_only = envelope.message.validate_only();
    let mut wrong = Violations::default();
    let (request, etag) = (wrong.check(envelope.log_request()), wrong.check(envelope.etag()));
    let parsed = wrong.check(parsed);
    wrong.finish(|| {
        let (actor, caller) = (caller.actor.clone(), Some(caller));
        let by = By { actor, caller, request: request?, validate_only, etag: etag?, deadline };
        Some((by, parsed?))
    })
}

/// The answer with a new secret.
fn with_secret(by: &By, kept: KeyAfter, secret: &Secret, now: Timestamp) -> (bool, KeyWithSecret) {
    let (secret, note) = match (kept.repeated, by.validate_only) {
        (true, _) => (
            String::new(),
            "The secret was in the first answer to this request id and is kept nowhere; if it is lost, rotate the key.",
        ),
        (false, true) => (String::new(), "Nothing was written, so there is no secret."),
        (false, false) => {
            (secret.expose().to_owned(), "Keep the secret: it is shown only this once.")
        }
    };
    let key = Some(message(&kept.key, None, now));
    (kept.repeated, KeyWithSecret { key, secret, note: note.to_owned() })
}

#[tonic::async_trait]
impl KeyService for Admin {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<KeyWithSecret>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let (by, draft) = by(&envelope, draft(envelope.message.key.as_ref()))?;
            let secret = Secret::generate()?;
            let kept = self.0.keys.create_within(&by, draft, &secret).await?;
            Ok(with_secret(&by, kept, &secret, self.0.keys.now()))
        };
        repeatable(made.await)
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<KeyMessage>, Status> {
        let envelope = Envelope::open(request);
        let get = async {
            let caller = envelope.caller()?;
            let id = KeyId::parse("id", &envelope.message.id)?;
            let (key, last_used) = self.0.keys.get_within(caller, &id).await?;
            Ok(message(&key, last_used, self.0.keys.now()))
        };
        answer(get.await)
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let sent = &mut envelope.message;
        let (size, token) = (take(&mut sent.page_size), take(&mut sent.page_token));
        let list = async {
            let sent = &envelope.message;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let mut wrong = Violations::default();
            let asked = wrong.check(Asked::parse("ListKeys", sent, (size, &token), ROWS));
            let created_by = optional("created_by_key_id", &sent.created_by_key_id, KeyId::parse);
            let created_by = wrong.check(created_by).flatten();
            let asked = wrong.finish(|| asked)?;
            let after = asked.after(1, |words| KeyId::parse("id", words.first()?).ok())?;
            let filter = KeyFilter { created_by, show_revoked: sent.show_revoked };
            let page = KeyPage { page: asked.page(), damaged_ids: vec![], now: self.0.keys.now() };
            let list = self.0.keys.list_within(caller, (filter, after), deadline, page, take_key);
            let (KeyPage { page, damaged_ids, .. }, next) = list.await?;
            let next_page_token = next.map(|id| asked.token(id.as_str())).unwrap_or_default();
            Ok(ListKeysResponse { keys: page.rows, next_page_token, damaged_ids })
        };
        answer(list.await)
    }

    async fn list_key_changes(
        &self,
        request: Request<ListKeyChangesRequest>,
    ) -> Result<Response<ListKeyChangesResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let sent = &mut envelope.message;
        let (size, token) = (take(&mut sent.page_size), take(&mut sent.page_token));
        let list = async {
            let sent = &envelope.message;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let mut wrong = Violations::default();
            let key = wrong.check(one_or_all(&sent.id)).flatten();
            let asked = wrong.check(Asked::parse("ListKeyChanges", sent, (size, &token), CHANGES));
            let filter = wrong.check(line_filter(sent));
            let (filter, asked) = wrong.finish(|| Some((filter?, asked?)))?;
            let (which, page) = ((key, filter, asked.before()?), asked.page());
            let list = self.0.keys.changes_within(caller, which, deadline, page, take_change);
            let (page, next) = list.await?;
            let next_page_token = asked.before_token(next);
            Ok(ListKeyChangesResponse { changes: page.rows, next_page_token })
        };
        answer(list.await)
    }

    async fn update_key(
        &self,
        request: Request<UpdateKeyRequest>,
    ) -> Result<Response<KeyMessage>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let sent = &envelope.message;
            let (by, (id, patch)) = by(&envelope, update(sent))?;
            let sent_state = sent.key.as_ref().map_or(0, |key| key.state);
            let change = |key: &mut Key, now| {
                let before = state(key, now);
                patch.clone().apply(key);
                same_state(sent_state, &[before, state(key, now)])
            };
            let kept = self.0.keys.change(&by, &id, change).await?;
            Ok((kept.repeated, message(&kept.key, None, self.0.keys.now())))
        };
        repeatable(made.await)
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<KeyWithSecret>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let sent = &envelope.message;
            let (by, (id, how)) = by(&envelope, rotation(sent))?;
            let secret = Secret::generate()?;
            let change = |key: &mut Key, now| rotate(key, &secret, how, now);
            let kept = self.0.keys.change(&by, &id, change).await?;
            Ok(with_secret(&by, kept, &secret, self.0.keys.now()))
        };
        repeatable(made.await)
    }

    async fn create_sign_in_link(
        &self,
        request: Request<CreateSignInLinkRequest>,
    ) -> Result<Response<SignInLink>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let sent = &envelope.message;
            let (by, id) = by(&envelope, KeyId::parse("id", &sent.id))?;
            // The log comes first: no link works of which it says nothing.
            let kept = self.0.keys.change(&by, &id, note_link).await?;
            let note = match (kept.repeated, sent.validate_only) {
                (true, _) => {
                    "The link was in the first answer to this request id and is kept nowhere: make another one."
                }
                (false, true) => "Nothing was written, so there is no link.",
                (false, false) => {
                    let (token, expires_time) = self.0.sessions.make_link(&id).await?;
                    let path = format!("/console/link?token={}", token.expose());
                    let note =
                        "Send it to the person and to nobody else: it is shown only this once.";
                    let expires_time = Some(timestamp(expires_time));
                    return Ok((false, SignInLink { path, expires_time, note: note.to_owned() }));
                }
            };
            Ok((kept.repeated, SignInLink { note: note.to_owned(), ..Default::default() }))
        };
        repeatable(made.await)
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let sent = &mut envelope.message;
        let (size, token) = (take(&mut sent.page_size), take(&mut sent.page_token));
        let list = async {
            let sent = &envelope.message;
            let (caller, deadline) = (envelope.caller()?.clone(), envelope.deadline()?);
            let mut wrong = Violations::default();
            let key = wrong.check(one_or_all(&sent.id)).flatten();
            let asked = wrong.check(Asked::parse("ListSessions", sent, (size, &token), ROWS));
            let asked = wrong.finish(|| asked)?;
            let after = asked.after(2, session_place)?;
            if let Some(id) = &key {
                self.0.keys.get_within(&caller, id).await?;
            }
            let (sessions, page) = (self.0.sessions.clone(), asked.page());
            let acting = caller.actor.key_id.clone();
            let list = async move {
                let take = |page: &mut Page<Session>, one| page.takes(session(one));
                sessions.list_within(&caller, (key, after), page, take).await
            };
            let (page, next) = self.0.long_work.run(acting.as_ref(), deadline, list).await?;
            let token = |(key, SecretDigest(id))| {
                asked.token(&format!("{key} {}", URL_SAFE_NO_PAD.encode(id)))
            };
            let next_page_token = next.map(token).unwrap_or_default();
            Ok(ListSessionsResponse { sessions: page.rows, next_page_token })
        };
        answer(list.await)
    }

    async fn end_session(
        &self,
        request: Request<EndSessionRequest>,
    ) -> Result<Response<EndSessionResponse>, Status> {
        let envelope = Envelope::open(request);
        let end = async {
            let sent = &envelope.message;
            let id = KeyId::parse("id", &sent.id)?;
            let one = SessionId::parse("session_id", &sent.session_id)?;
            let one = Some(one.as_str()).filter(|one| *one != "-");
            self.0.keys.get_within(envelope.caller()?, &id).await?;
            let ended = self.0.sessions.end_of_key(&id, one, sent.validate_only).await?;
            Ok(EndSessionResponse { sessions: ended.into_iter().map(session).collect() })
        };
        answer(end.await)
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<KeyMessage>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let sent = &envelope.message;
            let (by, id) = by(&envelope, KeyId::parse("id", &sent.id))?;
            let kept = match sent.with_created {
                true => self.0.keys.revoke_with_created(&by, &id).await?,
                false => self.0.keys.change(&by, &id, revoke).await?,
            };
            let also_revoked_ids = kept.also_revoked.iter().map(ToString::to_string).collect();
            let key = message(&kept.key, None, self.0.keys.now());
            Ok((kept.repeated, KeyMessage { also_revoked_ids, ..key }))
        };
        repeatable(made.await)
    }
}

/// The id of a key, or none for all keys.
fn one_or_all(id: &str) -> Result<Option<KeyId>, Violation> {
    Some(id).filter(|id| *id != "-").map(|id| KeyId::parse("id", id)).transpose()
}

/// The terms of a rotation, with the id of the key.
fn rotation(sent: &RotateKeyRequest) -> Result<(KeyId, Rotation)> {
    let mut wrong = Violations::default();
    let id = wrong.check(KeyId::parse("id", &sent.id));
    let overlap = sent.overlap.as_ref().map_or(DEFAULT_OVERLAP_SECONDS, |one| one.seconds);
    let nanos = sent.overlap.as_ref().map_or(0, |one| one.nanos);
    if !(0..=MAX_OVERLAP_SECONDS).contains(&overlap) || nanos != 0 {
        let description = format!("must be whole seconds, 0s to {MAX_OVERLAP_SECONDS}s (30 days)");
        wrong.note(Violation::new("overlap", "OUT_OF_RANGE", description));
    }
    let how = Rotation { overlap_seconds: overlap, end_overlap: sent.end_overlap };
    wrong.finish(|| Some((id?, how)))
}

/// The fields that an update changes, with the id of the key.
fn update(sent: &UpdateKeyRequest) -> Result<(KeyId, Patch)> {
    let mut wrong = Violations::default();
    let id = wrong.check(KeyId::parse("id", &sent.id));
    wrong.check(same_id("key.id", sent.key.as_ref().map_or("", |key| &key.id), &sent.id));
    let patch = wrong.check(patch(sent.key.as_ref(), sent.update_mask.as_ref()));
    wrong.finish(|| Some((id?, patch?)))
}

/// A page of keys while it is filled.
struct KeyPage {
    page: Page<KeyMessage>,
    damaged_ids: Vec<String>,
    now: Timestamp,
}

fn take_key(KeyPage { page, damaged_ids, now }: &mut KeyPage, row: &KeyRow) -> bool {
    match row {
        Ok((key, last_used)) => page.takes(message(key, *last_used, *now)),
        Err(damaged) => {
            let fits = page.passes();
            damaged_ids.extend(fits.then(|| damaged.place.to_string()));
            fits
        }
    }
}

fn take_change(page: &mut Page<KeyChange>, line: &Line, sides: (Option<&Key>, &Key)) -> bool {
    page.takes(key_change(line, sides))
}

fn session(one: Listed) -> Session {
    Session {
        id: one.id,
        key_id: one.key_id.to_string(),
        key_name: one.key_name,
        by_link: one.by_link,
        created_time: Some(timestamp(one.created_time)),
        last_used_time: Some(timestamp(one.seen_time)),
        expires_time: Some(timestamp(one.expires_time)),
        browser: one.browser,
    }
}

fn session_place(words: &[&str]) -> Option<SessionPlace> {
    let [key, id] = words else { return None };
    let id = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
    Some((KeyId::parse("id", key).ok()?, SecretDigest(id)))
}

fn state(key: &Key, now: Timestamp) -> State {
    match (key.revoked_time, key.expires_time) {
        (Some(_), _) => State::Revoked,
        (None, Some(end)) if now >= end => State::Expired,
        _ => State::Active,
    }
}

/// Refuses a state that the key has neither before the change nor after it.
fn same_state(sent: i32, own: &[State]) -> Result<()> {
    if sent == i32::from(State::Unspecified) || own.iter().any(|own| sent == i32::from(*own)) {
        return Ok(());
    }
    let own = own.first().copied().unwrap_or(State::Active).as_str_name();
    let description = format!(
        "must be left out or be {own}, as it is: the method revoke ends a key for good, and expires_time says until \
         when it works"
    );
    Err(Error::invalid("key.state", "NOT_SETTABLE", description))
}

fn message(key: &Key, last_used: Option<Timestamp>, now: Timestamp) -> KeyMessage {
    let (company_ids, all_companies) = match &key.coverage {
        Coverage::All => (vec![], true),
        Coverage::Only(ids) => (ids.iter().map(ToString::to_string).collect(), false),
    };
    KeyMessage {
        id: key.id.to_string(),
        name: Some(key.name.to_string()),
        scopes: key.scopes.names().into_iter().map(str::to_owned).collect(),
        company_ids,
        all_companies: Some(all_companies),
        addresses: key.addresses.iter().map(ToString::to_string).collect(),
        expires_time: key.expires_time.map(timestamp),
        staff_id: Some(key.staff_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        state: state(key, now).into(),
        revoked_time: key.revoked_time.map(timestamp),
        previous_secret_expires_time: key
            .previous
            .filter(|one| now < one.expires_time)
            .map(|one| timestamp(one.expires_time)),
        last_used_time: last_used.map(timestamp),
        last_link_time: key.link_time.map(timestamp),
        etag: key.etag().to_string(),
        created_by: key.audit.created_by.to_string(),
        created_time: Some(timestamp(key.audit.created_time)),
        last_updated_by: key.audit.last_updated_by.to_string(),
        last_updated_time: Some(timestamp(key.audit.last_updated_time)),
        created_by_key_id: key
            .created_by_key_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        also_revoked_ids: Vec::new(),
    }
}

fn key_change(line: &Line, (before, after): (Option<&Key>, &Key)) -> KeyChange {
    KeyChange {
        id: after.id.to_string(),
        revision: convert::revision(line.revision),
        time: Some(timestamp(line.time)),
        staff_id: line.actor.staff_id.to_string(),
        key_id: line.actor.key_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        key_name: line.actor.key_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: line.actor.address.map(|address| address.to_string()).unwrap_or_default(),
        request_id: line.request.as_ref().map(|one| one.id.to_string()).unwrap_or_default(),
        summary: summary(line),
        key_before: before.map(|key| message(key, None, line.time)),
        key_after: Some(message(after, None, line.time)),
    }
}

/// The fields of a key in a request. `None` leaves a field as it is.
#[derive(Clone, Default)]
struct Patch {
    name: Option<Name>,
    scopes: Option<Scopes>,
    coverage: Option<Coverage>,
    addresses: Option<Vec<IpNet>>,
    expires_time: Option<Option<Timestamp>>,
    staff_id: Option<Option<StaffId>>,
}

impl Patch {
    fn apply(self, key: &mut Key) {
        key.name = self.name.unwrap_or_else(|| key.name.clone());
        key.scopes = self.scopes.unwrap_or_else(|| key.scopes.clone());
        key.coverage = self.coverage.unwrap_or_else(|| key.coverage.clone());
        key.addresses = self.addresses.unwrap_or_else(|| key.addresses.clone());
        key.expires_time = self.expires_time.unwrap_or(key.expires_time);
        key.staff_id = self.staff_id.unwrap_or_else(|| key.staff_id.clone());
    }
}

fn patch(sent: Option<&KeyMessage>, mask: Option<&FieldMask>) -> Result<Patch> {
    let none = KeyMessage::default();
    let sent = sent.unwrap_or(&none);
    let mask = Mask::parse(mask, &FIELDS)?;
    let name = |text: String| Name::parse("key.name", &text);
    let mut wrong = Violations::default();
    let mut patch = Patch {
        name: wrong.check(mask.take("name", sent.name.as_ref(), name)).flatten(),
        ..Patch::default()
    };
    if mask.takes("scopes", !sent.scopes.is_empty()) {
        patch.scopes = wrong.check(scopes(&sent.scopes));
    }
    let names_companies = mask.takes("company_ids", !sent.company_ids.is_empty());
    if names_companies || mask.takes("all_companies", sent.all_companies.is_some()) {
        patch.coverage = wrong.check(coverage(sent));
    }
    if mask.takes("addresses", !sent.addresses.is_empty()) {
        patch.addresses = wrong.check(addresses(&sent.addresses));
    }
    if mask.takes("expires_time", sent.expires_time.is_some()) {
        let end = sent.expires_time.map(|time| moment("key.expires_time", time));
        patch.expires_time = wrong.check(end.transpose());
    }
    let staff_id = mask.take("staff_id", sent.staff_id.as_ref(), |id| match id.as_str() {
        "" => Ok(None),
        id => StaffId::parse("key.staff_id", id).map(Some),
    });
    patch.staff_id = wrong.check(staff_id).flatten();
    wrong.finish(|| Some(patch))
}

fn draft(sent: Option<&KeyMessage>) -> Result<KeyDraft> {
    let none = KeyMessage::default();
    let given = sent.unwrap_or(&none);
    let mut wrong = Violations::default();
    wrong.check(required("key.name", given.name.as_ref()));
    // A patch has what was given. The rest is missing.
    if given.scopes.is_empty() {
        wrong.check(scopes(&[]));
    }
    if given.company_ids.is_empty() && given.all_companies.is_none() {
        wrong.check(coverage(given));
    }
    let patch = wrong.check(patch(sent, None));
    wrong.check(refuse_etag("key.etag", &given.etag, ""));
    if !given.id.is_empty() {
        let description = "must be left out: the server gives keys their ids";
        wrong.note(Violation::new("key.id", "NOT_SETTABLE", description));
    }
    wrong.check(same_state(given.state, &[State::Active]));
    wrong.finish(|| {
        let patch = patch?;
        Some(KeyDraft {
            name: patch.name?,
            scopes: patch.scopes?,
            coverage: patch.coverage?,
            addresses: patch.addresses.unwrap_or_default(),
            expires_time: patch.expires_time.flatten(),
            staff_id: patch.staff_id.flatten(),
        })
    })
}

fn scopes(names: &[String]) -> Result<Scopes, Violation> {
    if names.is_empty() {
        let known = Scope::ALL.map(Scope::as_str).join(", ");
        let description = format!("is required; there are {known} and *");
        return Err(Violation::new("key.scopes", "REQUIRED", description));
    }
    Scopes::parse("key.scopes", names.iter().map(String::as_str))
}

fn coverage(sent: &KeyMessage) -> Result<Coverage> {
    check_companies(sent.company_ids.len())?;
    let mut wrong = Violations::default();
    let ids = sent.company_ids.iter().enumerate();
    let parse = |(i, id): (usize, &String)| {
        wrong.check(CompanyId::parse(&format!("key.company_ids[{i}]"), id))
    };
    let ids: BTreeSet<CompanyId> = ids.filter_map(parse).collect();
    let ids = wrong.finish(|| Some(ids))?;
    match (ids.is_empty(), sent.all_companies.unwrap_or(false)) {
        (true, true) => Ok(Coverage::All),
        (false, false) => Ok(Coverage::Only(ids)),
        (true, false) => Err(Error::invalid(
            "key.company_ids",
            "REQUIRED",
            "is required, or all_companies must be true",
        )),
        (false, true) => Err(Error::invalid(
            "key.company_ids",
            "CONFLICTING_VALUES",
            "must be empty if all_companies is true",
        )),
    }
}

fn addresses(texts: &[String]) -> Result<Vec<IpNet>> {
    check_addresses(texts.len())?;
    let mut wrong = Violations::default();
    let parse = |(i, text): (usize, &String)| {
        wrong.check(network::parse(text).ok_or_else(|| {
            let description = "must be an address or a network such as 10.0.0.0/8 or 2001:db8::/32";
            Violation::new(&format!("key.addresses[{i}]"), "MALFORMED_ADDRESS", description)
        }))
    };
    let found = texts.iter().enumerate().filter_map(parse).collect();
    wrong.finish(|| Some(found))
}
