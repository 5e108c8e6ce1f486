//! The check of scopes: the contract names the scopes of a method, and they are checked once, before any handler
//! and before the body is read.
//!
//! Every way into the methods passes this check: HTTP/JSON, gRPC, answers at once, and the program itself.

use std::{collections::HashMap, sync::Arc};

use customer_settings_contract::descriptors;
use http::{HeaderMap, HeaderName, Method as Verb, header, request::Parts};
use prost_reflect::{MethodDescriptor, Value};

use super::{
    counts::Lists,
    http::{ignores_unknown, is_document, names_a_thing, rpc_path},
    marks::MIN_REVISION,
};
use crate::{
    catalog::{
        access::{Actor, Caller, Holder, Scope},
        error::{Cause, Error, Result},
        id::KeyId,
        token::RevisionToken,
    },
    net::{RouteLabel, Seat, Who},
};

/// The header with the staff member who acts.
const STAFF_ID: &str = "settings-staff-id";

/// The header that names a request, like the field `request_id`.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A method of the contract.
pub(super) struct Method {
    /// The method's name in metrics and the log.
    pub(super) label: RouteLabel,
    /// The scopes that a key needs.
    scopes: Vec<Scope>,
    /// Whether unknown names are refused. The management API refuses them. The compatible surface must not.
    is_strict: bool,
    /// Whether the method takes an etag.
    takes_etag: bool,
    /// Whether the method takes a request id.
    takes_request_id: bool,
    /// Whether the method takes a revision that its caller knows.
    takes_min_revision: bool,
    /// Whether its requests hold documents.
    pub(super) is_document: bool,
    /// The lists of its request.
    pub(super) lists: Lists,
}

/// All methods, by their paths.
pub(super) struct Methods(HashMap<String, Arc<Method>>);

impl Methods {
    /// The contract's methods.
    pub(super) fn new() -> Self {
        let services = descriptors().services();
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        Self(methods.map(|method| (rpc_path(&method), Arc::new(Method::new(&method)))).collect())
    }

    pub(super) fn get(&self, path: &str) -> Option<&Arc<Method>> {
        self.0.get(path)
    }
}

impl Method {
    fn new(rpc: &MethodDescriptor) -> Self {
        let path = rpc_path(rpc);
        let known = |name: &String| {
            Scope::named(name).unwrap_or_else(|| unreachable!("{path} needs no scope {name}"))
        };
        let scopes: Vec<Scope> = scopes(rpc).iter().map(known).collect();
        assert!(!scopes.is_empty(), "the contract names no scope for {path}");
        Self {
            label: RouteLabel::new(&path),
            scopes,
            is_strict: !ignores_unknown(rpc),
            takes_etag: rpc.input().get_field_by_name("etag").is_some(),
            takes_request_id: rpc.input().get_field_by_name("request_id").is_some(),
            takes_min_revision: takes_min_revision(rpc),
            is_document: is_document(rpc),
            lists: Lists::of(&rpc.input()),
        }
    }

    /// The caller, if the holder's key has the scopes.
    pub(super) fn permitted(&self, holder: Holder) -> Result<Caller> {
        holder.permitted(&self.scopes)
    }

    /// The caller, with the staff member and the revision in the request's headers.
    fn caller(&self, holder: Holder, verb: &Verb, headers: &HeaderMap) -> Result<Caller> {
        let staff_id = text(headers, STAFF_ID).filter(|id| self.is_strict && !id.is_empty());
        // The scopes are checked first, and all at once: a key that lacks some learns which, and nothing else.
        let by_header = staff_id.filter(|_| self.takes_request_id).map(|_| Scope::StaffAny);
        let needed: Vec<Scope> = self.scopes.iter().copied().chain(by_header).collect();
        let mut caller = holder.permitted(&needed)?;
        self.refuse_repeated(headers)?;
        self.refuse_idle(verb, headers)?;
        if let Some(staff_id) = staff_id {
            caller = caller.acting_as("Settings-Staff-Id", staff_id)?;
        }
        if let Some(token) = text(headers, MIN_REVISION.as_str()) {
            caller = caller.reading_at_least(RevisionToken::parse("Settings-Min-Revision", token)?);
        }
        Ok(caller)
    }

    /// Refuses repeated headers of which only one would count. Headers that the compatible surface does not
    /// know are ignored there.
    fn refuse_repeated(&self, headers: &HeaderMap) -> Result<()> {
        let everywhere = [("Settings-Min-Revision", MIN_REVISION)];
        let strict = [
            ("Settings-Staff-Id", HeaderName::from_static(STAFF_ID)),
            ("If-Match", header::IF_MATCH),
            ("Idempotency-Key", HeaderName::from_static(IDEMPOTENCY_KEY)),
        ];
        let strict = strict.into_iter().filter(|_| self.is_strict);
        let is_repeated =
            |(_, name): &(&str, HeaderName)| headers.get_all(name).iter().nth(1).is_some();
        let Some((name, _)) = everywhere.into_iter().chain(strict).find(is_repeated) else {
            return Ok(());
        };
        Err(Error::invalid(name, "CONFLICTING_VALUES", "was sent twice: send one"))
    }

    /// Refuses headers that have no effect on this method.
    fn refuse_idle(&self, verb: &Verb, headers: &HeaderMap) -> Result<()> {
        if headers.contains_key(MIN_REVISION) && !self.takes_min_revision {
            return Err(idle_min_revision());
        }
        if !self.is_strict {
            return Ok(());
        }
        let is_read = matches!(*verb, Verb::GET | Verb::HEAD);
        let refuse = |name, hint: &str| Err(idle(name, hint));
        if headers.contains_key(header::IF_NONE_MATCH) && !is_read {
            return refuse(
                "If-None-Match",
                "what shall not be there yet is created under an id of your own, and what was seen goes into If-Match",
            );
        }
        if headers.contains_key(header::IF_MATCH) && !self.takes_etag {
            return refuse("If-Match", "the method takes no etag, so leave it out");
        }
        if headers.contains_key(IDEMPOTENCY_KEY) && !self.takes_request_id {
            return refuse(
                "Idempotency-Key",
                "the method takes no request id, and is safe to repeat without one, so leave it out",
            );
        }
        if text(headers, STAFF_ID).is_some_and(|id| !id.is_empty()) && !self.takes_request_id {
            return refuse(
                "Settings-Staff-Id",
                "nothing is signed that changes no settings and no key, so leave it out",
            );
        }
        if headers.contains_key(header::IF_UNMODIFIED_SINCE) {
            return refuse("If-Unmodified-Since", "send the etag that was read as If-Match");
        }
        Ok(())
    }
}

/// The text of a header without blanks around it; `?` for one that is no text.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?").trim())
}

fn idle(name: &str, hint: &str) -> Error {
    Error::invalid(name, "NO_EFFECT", format!("has no effect here: {hint}"))
}

fn idle_min_revision() -> Error {
    let hint = "a revision is that of one company, and the request is not about one that exists, so leave it out";
    idle("Settings-Min-Revision", hint)
}

/// Refuses the revision of a company in a request that is about several.
pub(super) fn refuse_min_revision(caller: &Caller) -> Result<()> {
    caller.at_least.map_or(Ok(()), |_| Err(idle_min_revision()))
}

/// Whether a method is about one company that exists, or can be: its path names the company, or a request that reads
/// may do so.
pub(super) fn takes_min_revision(rpc: &MethodDescriptor) -> bool {
    let scopes = scopes(rpc);
    let is_of_keys = scopes.iter().any(|scope| scope.starts_with("keys:"));
    let is_read = scopes.iter().all(|scope| scope.ends_with(":read"));
    let may_name_one = rpc.input().get_field_by_name("company_id").is_some();
    !is_of_keys && (names_a_thing(rpc) || is_read && may_name_one)
}

/// The scopes that the contract names for a method.
pub(super) fn scopes(rpc: &MethodDescriptor) -> Vec<String> {
    let Some(option) = rpc.parent_pool().get_extension_by_name("customersettings.v1.scope") else {
        return Vec::new();
    };
    let options = rpc.options();
    let value = options.get_extension(&option);
    let names = value.as_list().unwrap_or_default().iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// Whether the caller's key has the scopes of another method of the management API, named `Service/Method`.
pub(super) fn may_call(extensions: &http::Extensions, name: &str) -> bool {
    let of_name =
        |rpc: &MethodDescriptor| format!("{}/{}", rpc.parent_service().name(), rpc.name()) == name;
    let services =
        descriptors().services().filter(|one| one.package_name() == "customersettings.v1");
    let rpc = services.flat_map(|service| service.methods().collect::<Vec<_>>()).find(of_name);
    let (Some(rpc), Ok(caller)) = (rpc, caller(extensions)) else { return false };
    let held = |name: &String| {
        Scope::named(name).is_some_and(|scope| caller.rights.scopes.contains(scope))
    };
    scopes(&rpc).iter().all(held)
}

/// The caller, which [`admit`] has put into the extensions.
pub(super) fn caller(extensions: &http::Extensions) -> Result<&Caller> {
    let absent = || Error::Internal(Cause::new("a method was reached without a caller"));
    extensions.get().ok_or_else(absent)
}

/// Admits a request: checks the scopes, and puts the caller into the extensions.
pub(super) fn admit(method: &Method, holder: Holder, parts: &mut Parts) -> Result<()> {
    let caller = method.caller(holder, &parts.method, &parts.headers)?;
    parts.extensions.get::<Who>().iter().for_each(|who| tell(who, &caller.actor));
    if let (Some(seat), Some(key)) = (parts.extensions.get::<Seat>(), &caller.actor.key_id) {
        seat.belongs_to(key.as_str())?;
    }
    parts.extensions.insert(caller);
    Ok(())
}

/// Gives the log the key, and the staff member if there is one.
pub(super) fn tell(who: &Who, actor: &Actor) {
    let key = actor.key_id.as_ref().map(KeyId::as_str);
    key.iter().for_each(|id| who.shows_key(id));
    if key != Some(actor.staff_id.as_str()) {
        who.acts_as(actor.staff_id.as_str());
    }
}
