//! Keys: what one may do, for whom, from where and until when. The secret itself never comes here.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{
    access::{Actor, Caller, Coverage, Scopes},
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

/// A key. All its restrictions apply together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Unique on the server; not secret.
    pub id: KeyId,
    /// What people call it.
    pub name: Name,
    /// The digest of its secret.
    pub secret: SecretDigest,
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

    /// Who calls with this key, if it may be used now and from there.
    pub fn caller(&self, now: Timestamp, address: IpAddr) -> Result<Caller> {
        self.check_usable(now)?;
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
        })
    }
}
