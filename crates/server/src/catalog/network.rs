//! Networks as people write them, and the addresses that count as one client.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The network of a text: one such as `10.0.0.0/8`, or a single address. An IPv4 network that is written as IPv6
/// (`::ffff:a.b.c.d`) is one of IPv4, as callers' addresses are compared in that form.
pub fn parse(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let net = text.parse::<IpNet>().ok();
    let net = net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let prefix = net.prefix_len().checked_sub(96).filter(|_| net.addr().is_ipv6());
    let same = prefix.and_then(|prefix| IpNet::new(net.addr().to_canonical(), prefix).ok());
    Some(same.filter(|same| same.addr().is_ipv4()).unwrap_or(net))
}

/// The address by which a client is counted. A subscriber of IPv6 holds a whole /64, so all addresses of a /64 are one.
pub fn of_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}
