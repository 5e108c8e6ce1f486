//! The address that a request comes from: the peer of the connection, unless the peer is a trusted proxy.
//!
//! Only `X-Forwarded-For` is read. If `Forwarded` was read too, a client could send the one of the two headers that
//! its proxy does not overwrite.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::catalog::network;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address, in a request's extensions. An IPv4 address is never written as IPv6 (`::ffff:…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The last address of `X-Forwarded-For` that is not a trusted proxy's, if the peer is a trusted proxy; the
    /// first address if all are trusted. A header that cannot be parsed was not written by a known proxy, so then
    /// the peer is the client.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        if !lies_in(trusted, peer) {
            return Self(peer);
        }
        let mut client = peer;
        // A proxy appends its client to the last line, or adds a line.
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        for line in lines.into_iter().rev() {
            let Ok(line) = line.to_str() else { return Self(peer) };
            for hop in line.rsplit(',') {
                let Some(address) = parse_hop(hop.trim()) else { return Self(peer) };
                client = address;
                if !lies_in(trusted, address) {
                    return Self(client);
                }
            }
        }
        Self(client)
    }

    /// The address by which the client is counted.
    pub fn network(self) -> IpAddr {
        network::of_client(self.0)
    }
}

/// Whether the address lies in one of the networks.
pub(super) fn lies_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Whether a header shows that a proxy stands between the client and the server.
pub fn looks_forwarded(headers: &HeaderMap) -> bool {
    let mut names = headers.keys().map(http::HeaderName::as_str);
    names.any(|name| {
        matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-")
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let address = match hop.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            if !(port.is_empty() || is_port(port.strip_prefix(':')?)) {
                return None;
            }
            IpAddr::V6(address.parse().ok()?)
        }
        None => match hop.split_once(':') {
            Some((address, port)) if is_port(port) => IpAddr::V4(address.parse().ok()?),
            _ => hop.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}
