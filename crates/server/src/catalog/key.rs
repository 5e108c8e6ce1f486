//! Keys: what one may do, for whom, from where and until when. The secret itself never comes here.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{
    access::{Actor, Caller, Coverage, Scope, Scopes},
    entry::Audit,
    error::{Error, Result},
    id::{KeyId, StaffId},
    text::Name,
    time::Timestamp,
};

/// The SHA-256 of a secret: what is kept in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest(pub [u8; 32]);

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// The secret from before a rotation, while it still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The digest of the secret.
    pub digest: SecretDigest,
    /// Until when it works; the moment itself is outside.
    pub expires_time: Timestamp,
}

/// A key. All its restrictions apply together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Unique on the server; not secret.
    pub id: KeyId,
    /// What people call it.
    pub name: Name,
    /// The digest of its secret.
    pub secret: SecretDigest,
    /// The secret from before the last rotation.
    pub previous: Option<PreviousSecret>,
    /// What it may do.
    pub scopes: Scopes,
    /// For which companies.
    pub coverage: Coverage,
    /// From which addresses; empty means from anywhere.
    pub addresses: Vec<IpNet>,
    /// Until when; the moment itself is outside.
    pub expires_time: Option<Timestamp>,
    /// The staff member it acts as.
    pub staff_id: Option<StaffId>,
    /// When it was revoked.
    pub revoked_time: Option<Timestamp>,
    /// Who and when; the revision counts this key's own changes.
    pub audit: Audit,
}

impl Key {
    /// Whether the key may be used at that moment.
    pub fn check_usable(&self, now: Timestamp) -> Result<()> {
        if self.revoked_time.is_some() {
            return Err(Error::RevokedKey);
        }
        match self.expires_time {
            Some(expired) if now >= expired => Err(Error::ExpiredKey { expired }),
            _ => Ok(()),
        }
    }

    /// Who calls with this key and this secret of it, if it may be used now and from there.
    pub fn caller(&self, now: Timestamp, address: IpAddr, secret: &SecretDigest) -> Result<Caller> {
        self.check_usable(now)?;
        if let Some(previous) = self.previous.filter(|previous| previous.digest == *secret)
            && now >= previous.expires_time
        {
            return Err(Error::ExpiredKey { expired: previous.expires_time });
        }
        // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d.
        let address = address.to_canonical();
        if !self.addresses.is_empty() && !self.addresses.iter().any(|net| net.contains(&address)) {
            return Err(Error::AddressNotAllowed { address: address.to_string() });
        }
        let staff_id = self.staff_id.clone().unwrap_or_else(|| {
            StaffId::parse("key_id", self.id.as_str())
                .unwrap_or_else(|_| unreachable!("ids have one form"))
        });
        Ok(Caller {
            actor: Actor { key_id: Some(self.id.clone()), staff_id, address: Some(address) },
            scopes: self.scopes.clone(),
            coverage: self.coverage.clone(),
            addresses: self.addresses.clone(),
            expires_time: self.expires_time,
            staff_id: self.staff_id.clone(),
        })
    }

    /// Whether the key can do nothing that the caller cannot; else the first restriction of the
    /// caller that it goes beyond.
    pub fn lies_within(&self, caller: &Caller) -> Result<(), &'static str> {
        let scopes = match (&caller.scopes, &self.scopes) {
            (Scopes::All, _) => true,
            (Scopes::Only(_), Scopes::All) => false,
            (Scopes::Only(all), Scopes::Only(own)) => own.is_subset(all),
        };
        let companies = match (&caller.coverage, &self.coverage) {
            (Coverage::All, _) => true,
            (Coverage::Only(_), Coverage::All) => false,
            (Coverage::Only(all), Coverage::Only(own)) => own.is_subset(all),
        };
        let inside = |own: &IpNet| caller.addresses.iter().any(|net| net.contains(own));
        let addresses = caller.addresses.is_empty()
            || (!self.addresses.is_empty() && self.addresses.iter().all(inside));
        let expiry = match (caller.expires_time, self.expires_time) {
            (None, _) => true,
            (Some(last), Some(own)) => own <= last,
            (Some(_), None) => false,
        };
        let staff_id = caller.staff_id == self.staff_id || caller.scopes.contains(Scope::StaffAny);
        for (is_inside, restriction) in [
            (scopes, "scopes"),
            (companies, "companies"),
            (addresses, "addresses"),
            (expiry, "expiry"),
            (staff_id, "staff id"),
        ] {
            if !is_inside {
                return Err(restriction);
            }
        }
        Ok(())
    }
}
