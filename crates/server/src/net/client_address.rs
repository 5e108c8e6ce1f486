//! Where a request comes from: the peer of the connection, unless that is a proxy we trust.
//!
//! `X-Forwarded-For` alone is read. Were `Forwarded` read too, a client could send whichever of the
//! two its proxy does not overwrite.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address, in a request's extensions. Never IPv4 in IPv6's clothes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The last address of `X-Forwarded-For` that is no trusted proxy's, if the peer is one; the
    /// first if all are. What cannot be read was not written by a proxy that we understand, so
    /// then it is the peer.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        if !lies_in(trusted, peer) {
            return Self(peer);
        }
        let mut client = peer;
        // A proxy appends to the last line or adds one.
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

    /// What counts as one client: a subscriber holds a whole IPv6 /64.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 => v4,
        }
    }
}

/// Whether the address is one of these networks'.
pub(super) fn lies_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Whether there is any sign of a proxy between the client and us.
pub(super) fn looks_forwarded(headers: &HeaderMap) -> bool {
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
