//! Whether a request travelled encrypted: to here, or to a proxy that we trust.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::client_address::lies_in;

const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Whether the client's connection is encrypted, in a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted(pub bool);

/// How a server can tell.
pub(super) struct Encryption {
    /// Whether the port itself speaks TLS.
    pub(super) is_on: bool,
    /// The proxies that are believed.
    pub(super) trusted: Vec<IpNet>,
}

impl Encryption {
    /// Of a request from a peer.
    pub(super) fn of(&self, peer: IpAddr, headers: &HeaderMap) -> Encrypted {
        let says_https = || {
            let mut values = headers.get_all(FORWARDED_PROTO).iter();
            let first = values.next().is_some_and(|value| value.as_bytes() == b"https");
            first && values.next().is_none()
        };
        Encrypted(self.is_on || (lies_in(&self.trusted, peer.to_canonical()) && says_https()))
    }
}
