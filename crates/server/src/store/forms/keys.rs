//! How the engines write the bodies of the key log.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    AuditForm, FORMAT, LineId, StoreError, addresses, check_format, coverage, decode, encode,
    not_as_written, scopes, unknown,
};
use crate::catalog::{
    access::Coverage,
    entry::Revision,
    error::Violation,
    id::{KeyId, StaffId},
    key::{Key, KeyPlan, PreviousSecret, SecretDigest},
    log::RequestId,
    text::Name,
    time::Timestamp,
};

/// What the body of a line of the key log says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct KeyChangeBody {
    pub(in crate::store) before: Option<Key>,
    pub(in crate::store) after: Key,
    /// `None` if this is not what was written for that line.
    pub(in crate::store) also_revoked: Option<Vec<KeyId>>,
}

/// The body of a plan's line, where the key is so far as `before` says.
pub(in crate::store) fn encode_key_change(before: Option<&Key>, plan: &KeyPlan) -> String {
    let (after, request) = (&plan.after, plan.request.as_ref().map(|request| &request.id));
    let line =
        LineId::new(after.id.as_str(), after.audit.revision, plan.actor.key_id.as_ref(), request);
    let also_revoked: Vec<_> = plan.also_revoked.iter().map(ToString::to_string).collect();
    encode(&KeyChangeForm {
        v: FORMAT,
        check: line.check(&also_revoked),
        before: before.map(KeyForm::from),
        after: after.into(),
        also_revoked,
    })
}

/// What [`encode_key_change`] wrote for that line.
pub(in crate::store) fn decode_key_line(
    (key, revision): (&str, Revision),
    body: &str,
    acting: Option<&KeyId>,
    request: Option<&RequestId>,
) -> Result<KeyChangeBody, StoreError> {
    let body = decode_key_change(body, acting, request)?;
    if body.after.id.as_str() != key || body.after.audit.revision != revision {
        return Err(not_as_written("its body is of another line"));
    }
    Ok(body)
}

/// What [`encode_key_change`] wrote for a request of that key.
pub(in crate::store) fn decode_key_change(
    body: &str,
    acting: Option<&KeyId>,
    request: Option<&RequestId>,
) -> Result<KeyChangeBody, StoreError> {
    check_format(body)?;
    let form: KeyChangeForm = decode(body)?;
    let after = form.after.into_key()?;
    let line = LineId::new(after.id.as_str(), after.audit.revision, acting, request);
    let is_as_written = form.check == line.check(&form.also_revoked);
    let also_revoked = form.also_revoked.iter().map(|id| KeyId::parse("id", id).ok());
    let also_revoked = also_revoked.collect::<Option<_>>().filter(|_| is_as_written);
    Ok(KeyChangeBody {
        before: form.before.map(KeyForm::into_key).transpose()?,
        after,
        also_revoked,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyChangeForm {
    v: u32,
    #[serde(default)]
    check: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<KeyForm>,
    after: KeyForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_revoked: Vec<String>,
}

/// Digests of secrets are part of it, so that one that was exchanged by hand is found.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    id: String,
    name: String,
    secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<(String, i64)>,
    scopes: Vec<String>,
    /// Left out: every company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    companies: Option<Vec<String>>,
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staff_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by_key_id: Option<String>,
    audit: AuditForm,
}

impl From<&Key> for KeyForm {
    fn from(key: &Key) -> Self {
        let companies = match &key.coverage {
            Coverage::All => None,
            Coverage::Only(companies) => Some(companies.iter().map(ToString::to_string).collect()),
        };
        let digest = |digest: SecretDigest| STANDARD_NO_PAD.encode(digest.0);
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            secret: digest(key.secret),
            previous: key.previous.map(|one| (digest(one.digest), one.expires_time.as_micros())),
            scopes: key.scopes.names().into_iter().map(str::to_owned).collect(),
            companies,
            addresses: key.addresses.iter().map(ToString::to_string).collect(),
            expires_time: key.expires_time.map(Timestamp::as_micros),
            staff_id: key.staff_id.as_ref().map(ToString::to_string),
            revoked_time: key.revoked_time.map(Timestamp::as_micros),
            created_by_key_id: key.created_by_key_id.as_ref().map(ToString::to_string),
            audit: (&key.audit).into(),
        }
    }
}

impl KeyForm {
    fn into_key(self) -> Result<Key, StoreError> {
        let previous = self.previous.map(|(digest, expires_time)| {
            let expires_time = Timestamp::from_micros(expires_time);
            Ok::<_, StoreError>(PreviousSecret { digest: secret_digest(&digest)?, expires_time })
        });
        Ok(Key {
            id: KeyId::parse("id", &self.id)?,
            name: Name::stored(&self.name)?,
            secret: secret_digest(&self.secret)?,
            previous: previous.transpose()?,
            scopes: scopes(&self.scopes)?,
            coverage: coverage(self.companies)?,
            addresses: addresses(&self.addresses)?,
            expires_time: self.expires_time.map(Timestamp::from_micros),
            staff_id: self.staff_id.map(|id| StaffId::parse("staff_id", &id)).transpose()?,
            revoked_time: self.revoked_time.map(Timestamp::from_micros),
            created_by_key_id: creator(self.created_by_key_id)?,
            audit: self.audit.into_audit()?,
        })
    }
}

pub(in crate::store) fn creator(id: Option<String>) -> Result<Option<KeyId>, Violation> {
    id.map(|id| KeyId::parse("created_by_key_id", &id)).transpose()
}

fn secret_digest(text: &str) -> Result<SecretDigest, StoreError> {
    let bytes = STANDARD_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(SecretDigest).ok_or_else(|| unknown("digest", text))
}
