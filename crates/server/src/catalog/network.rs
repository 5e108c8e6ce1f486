//! The addresses that count as one client.

use std::net::{IpAddr, Ipv6Addr};

/// The address by which a client is counted. A subscriber of IPv6 holds a whole /64, so all addresses of a /64 are one.
pub fn of_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}
