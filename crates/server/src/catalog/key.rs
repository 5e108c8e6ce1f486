//! Keys: their scopes, companies, networks and expiry. No secret comes here, only digests.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    access::{Actor, Coverage, Holder, Rights, Scope, Scopes},
    delta::{Delta, Row},
    entry::{Audit, Revision},
    error::{Beyond, Error, MOST_NAMED, Result, few},
    id::{KeyId, StaffId},
    log::Line,
    text::Name,
    time::Timestamp,
};

/// The most companies that a key may name.
pub const MAX_COMPANIES: usize = 1_000;
/// The most networks that a key may name.
pub const MAX_ADDRESSES: usize = 100;

/// Refuses more companies than a key may name.
pub fn check_companies(count: usize) -> Result<()> {
    check_count("companies of a key", count, MAX_COMPANIES)
}

/// Refuses more networks than a key may name.
pub fn check_addresses(count: usize) -> Result<()> {
    check_count("addresses of a key", count, MAX_ADDRESSES)
}

fn check_count(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Error::TooMany { what: what.to_owned(), most, archived: 0 });
    }
    Ok(())
}

/// The most keys that are revoked together with the key that made them.
pub const MAX_REVOKED_ALONG: usize = 500;

/// The SHA-256 of a secret, which is stored instead of the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest(pub [u8; 32]);

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// The secret from before the last rotation. After its expiry, requests with it learn that the key was rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct PreviousSecret {
    pub digest: SecretDigest,
    /// The first moment at which the secret no longer works.
    pub expires_time: Timestamp,
}

/// The digests of a key's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct KeySecrets {
    /// The number of the key's last write, among the writes of all keys.
    pub sequence: u64,
    pub secret: SecretDigest,
    /// The secret from before the last rotation, whether or not it still works.
    pub previous: Option<SecretDigest>,
}

/// A key. All its restrictions apply together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub struct Key {
    /// Unique on the server, and not secret.
    pub id: KeyId,
    pub name: Name,
    pub secret: SecretDigest,
    /// The secret from before the last rotation.
    pub previous: Option<PreviousSecret>,
    pub scopes: Scopes,
    pub coverage: Coverage,
    /// Networks from which the key may be used; if empty, from anywhere.
    pub addresses: Vec<IpNet>,
    /// The first moment at which the key no longer works.
    pub expires_time: Option<Timestamp>,
    /// The staff member that the key acts as.
    pub staff_id: Option<StaffId>,
    pub revoked_time: Option<Timestamp>,
    /// When the last link for signing in to the console was made. A key that has one is a person's.
    pub link_time: Option<Timestamp>,
    /// The key that made this one; none for local commands.
    pub created_by_key_id: Option<KeyId>,
    /// The revision counts this key's own changes.
    pub audit: Audit,
}

impl Key {
    /// The current secret, and the one from before the last rotation if there is one.
    pub fn secrets(&self) -> impl Iterator<Item = SecretDigest> {
        [Some(self.secret), self.previous.map(|previous| previous.digest)].into_iter().flatten()
    }

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

    /// Whether the key may be used now with this secret.
    pub fn check_secret(&self, now: Timestamp, secret: &SecretDigest) -> Result<()> {
        self.check_usable(now)?;
        match self.previous.filter(|previous| previous.digest == *secret) {
            Some(previous) if now < previous.expires_time => Ok(()),
            Some(previous) => Err(Error::RotatedSecret { expired: previous.expires_time }),
            None if *secret == self.secret => Ok(()),
            None => Err(Error::UnknownKey),
        }
    }

    /// Whether the key may be used now, from this address, with this one of its secrets.
    pub fn admit(&self, now: Timestamp, address: IpAddr, secret: &SecretDigest) -> Result<()> {
        self.check_secret(now, secret)?;
        // A dual-stack listener shows IPv4 peers as `::ffff:a.b.c.d`.
        let address = address.to_canonical();
        if !self.addresses.is_empty() && !self.addresses.iter().any(|net| net.contains(&address)) {
            return Err(Error::AddressNotAllowed { address: address.to_string() });
        }
        Ok(())
    }

    /// The holder of this key, at an address that is not known yet.
    pub fn holder(&self) -> Holder {
        let staff_id = self.staff_id.clone().unwrap_or_else(|| {
            StaffId::parse("key_id", self.id.as_str())
                .unwrap_or_else(|_| unreachable!("ids have one form"))
        });
        let rights = Rights {
            scopes: self.scopes.clone(),
            coverage: self.coverage.clone(),
            addresses: self.addresses.clone(),
            expires_time: self.expires_time,
            staff_id: self.staff_id.clone(),
        };
        Holder {
            actor: Actor {
                key_id: Some(self.id.clone()),
                key_name: Some(Arc::new(self.name.clone())),
                staff_id,
                address: None,
            },
            rights: Arc::new(rights),
            at_least: None,
        }
    }

    /// Refuses lists that are longer than anybody needs, as every request carries them.
    pub fn check_size(&self) -> Result<()> {
        if let Coverage::Only(ids) = &self.coverage {
            check_companies(ids.len())?;
        }
        check_addresses(self.addresses.len())
    }

    /// Whether the key lies within the caller's restrictions. The error names the first restriction of the
    /// caller that it goes beyond.
    pub fn lies_within(&self, caller: &Holder) -> Result<(), Beyond> {
        let beyond = |restriction, own| Err(Beyond { restriction, own });
        let caller = &*caller.rights;
        let scopes = match (&caller.scopes, &self.scopes) {
            (Scopes::All, _) => true,
            (Scopes::Only(_), Scopes::All) => false,
            (Scopes::Only(all), Scopes::Only(own)) => own.is_subset(all),
        };
        if !scopes {
            return beyond("scopes", caller.scopes.names().join(", "));
        }
        if let Coverage::Only(all) = &caller.coverage
            && !matches!(&self.coverage, Coverage::Only(own) if own.is_subset(all))
        {
            return beyond("companies", few(&all.iter().collect::<Vec<_>>(), MOST_NAMED));
        }
        let inside = |own: &IpNet| caller.addresses.iter().any(|net| net.contains(own));
        let is_anywhere = self.addresses.is_empty();
        if !caller.addresses.is_empty() && (is_anywhere || !self.addresses.iter().all(inside)) {
            return beyond("addresses", few(&caller.addresses, MOST_NAMED));
        }
        if let Some(last) = caller.expires_time
            && self.expires_time.is_none_or(|own| own > last)
        {
            return beyond("expiry", last.to_string());
        }
        // A key without a staff id acts for itself alone, so it can pose as nobody.
        let is_nobody_else = self.staff_id.is_none() || self.staff_id == caller.staff_id;
        if !is_nobody_else && !caller.scopes.contains(Scope::StaffAny) {
            let own = caller.staff_id.as_ref().map_or("none", StaffId::as_str);
            return beyond("staff id", own.to_owned());
        }
        Ok(())
    }
}

/// The key before and after a line of its log; none before if the line made the key.
pub fn sides(line: &Line) -> Option<(Option<&Key>, &Key)> {
    let delta = line.deltas.first()?;
    Some((delta.before.as_ref().and_then(Row::key), delta.after.as_ref()?.key()?))
}

/// A change of a key in one line, for people. The subjects of such a line are the keys that were revoked along.
pub fn summary(line: &Line) -> String {
    let fields = line.deltas.first().map(Delta::fields).unwrap_or_default();
    match fields[..] {
        [] if line.base() == Revision(0) => "created the key".to_owned(),
        _ if fields.contains(&"revoked_time") => match line.subjects.as_ref().map_or(0, Vec::len) {
            0 => "revoked the key".to_owned(),
            along => format!("revoked the key, and {along} made by it"),
        },
        _ if fields.contains(&"secret") => "rotated the key".to_owned(),
        ["link_time"] => "made a link for signing in".to_owned(),
        _ => format!("updated the key ({})", fields.join(", ")),
    }
}
