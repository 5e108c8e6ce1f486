//! A key in the log.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{AuditForm, StoreError, addresses, coverage, scopes, unknown};
use crate::catalog::{
    access::Coverage,
    id::{KeyId, StaffId},
    key::{Key, PreviousSecret, SecretDigest},
    text::Name,
    time::Timestamp,
};

/// Includes the digests of secrets, so that `verify` finds an exchanged digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyForm {
    id: String,
    name: String,
    secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<(String, i64)>,
    scopes: Vec<String>,
    /// If it is left out, the key covers every company.
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
    link_time: Option<i64>,
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
            link_time: key.link_time.map(Timestamp::as_micros),
            created_by_key_id: key.created_by_key_id.as_ref().map(ToString::to_string),
            audit: (&key.audit).into(),
        }
    }
}

impl KeyForm {
    pub(super) fn into_key(self) -> Result<Key, StoreError> {
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
            link_time: self.link_time.map(Timestamp::from_micros),
            created_by_key_id: self
                .created_by_key_id
                .map(|id| KeyId::parse("created_by_key_id", &id))
                .transpose()?,
            audit: self.audit.into_audit()?,
        })
    }
}

fn secret_digest(text: &str) -> Result<SecretDigest, StoreError> {
    let bytes = STANDARD_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(SecretDigest).ok_or_else(|| unknown("digest", text))
}
