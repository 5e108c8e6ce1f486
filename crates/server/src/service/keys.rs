//! Issuing, listing and revoking keys.

use std::sync::Arc;

use ipnet::IpNet;

use super::new_id;
use crate::{
    auth::api_key::Secret,
    catalog::{
        access::{Actor, Coverage, Scopes},
        entry::{Audit, Revision},
        error::{Error, Kind, Result},
        id::{KeyId, StaffId},
        key::Key,
        text::Name,
        time::Timestamp,
    },
    clock::Clock,
    store::{Store, StoreError},
};

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct KeyDraft {
    /// What people call it.
    pub name: Name,
    /// What it may do.
    pub scopes: Scopes,
    /// For which companies.
    pub coverage: Coverage,
    /// From which addresses; empty means from anywhere.
    pub addresses: Vec<IpNet>,
    /// Until when.
    pub expires_time: Option<Timestamp>,
    /// The staff member it acts as.
    pub staff_id: Option<StaffId>,
}

/// Issues, lists and revokes keys.
pub struct KeysService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl KeysService {
    /// Keys live in the store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Makes a key of that secret, which the caller generated or brought along.
    pub async fn create(&self, actor: &Actor, draft: KeyDraft, secret: &Secret) -> Result<Key> {
        let now = self.clock.now();
        let audit = Audit {
            created_by: actor.staff_id.clone(),
            created_time: now,
            last_updated_by: actor.staff_id.clone(),
            last_updated_time: now,
            revision: Revision(1),
        };
        let key = Key {
            id: KeyId::parse("id", &new_id(KeyId::PREFIX))?,
            name: draft.name,
            secret: secret.digest(),
            scopes: draft.scopes,
            coverage: draft.coverage,
            addresses: draft.addresses,
            expires_time: draft.expires_time,
            staff_id: draft.staff_id,
            revoked_time: None,
            audit,
        };
        self.store.commit_key(Revision(0), &key, actor, now).await?;
        Ok(key)
    }

    /// All keys, by id, with the coarse time of their last use.
    pub async fn list(&self) -> Result<Vec<(Key, Option<Timestamp>)>> {
        Ok(self.store.keys().await?)
    }

    /// Revokes a key; one that is revoked already stays as it is.
    pub async fn revoke(&self, actor: &Actor, id: &KeyId) -> Result<Key> {
        loop {
            let found = self.store.keys().await?.into_iter().find(|(key, _)| key.id == *id);
            let absent = || Error::NotFound { kind: Kind::Key, id: id.to_string() };
            let (key, _) = found.ok_or_else(absent)?;
            if key.revoked_time.is_some() {
                return Ok(key);
            }
            let before = key.audit.revision;
            let now = Timestamp::after(self.clock.now(), Some(key.audit.last_updated_time));
            let audit = Audit {
                last_updated_by: actor.staff_id.clone(),
                last_updated_time: now,
                revision: before.next(),
                ..key.audit.clone()
            };
            let revoked = Key { revoked_time: Some(now), audit, ..key };
            match self.store.commit_key(before, &revoked, actor, now).await {
                Ok(()) => return Ok(revoked),
                // Another process changed the key just now; look again.
                Err(StoreError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }
}
