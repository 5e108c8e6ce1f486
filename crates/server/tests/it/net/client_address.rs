//! Addresses of clients behind proxies.

use customer_settings_server::{config::parse_network, net::ClientAddress};
use http::{HeaderMap, HeaderValue};

#[test]
fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
    let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| parse_network(network).unwrap());
    for (peer, lines, client) in [
        // The header of a peer that is not trusted does not count.
        ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
        ("192.0.2.1", vec![], "192.0.2.1"),
        ("::ffff:192.0.2.1", vec![], "192.0.2.1"),
        ("10.0.0.1", vec![], "10.0.0.1"),
        ("10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
        ("2001:db8::9", vec!["2001:db9::1"], "2001:db9::1"),
        // Addresses that the client wrote itself stand further left.
        ("10.0.0.1", vec!["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", vec!["203.0.113.9, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", vec!["203.0.113.9", "198.51.100.7", "10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", vec!["nonsense, 198.51.100.7"], "198.51.100.7"),
        // If all addresses are trusted, the first one is the client's.
        ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        // All forms of an address.
        ("10.0.0.1", vec!["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", vec!["[2001:db9::1]:4711"], "2001:db9::1"),
        ("10.0.0.1", vec!["[2001:db9::1]"], "2001:db9::1"),
        ("10.0.0.1", vec!["  198.51.100.7 "], "198.51.100.7"),
        ("10.0.0.1", vec!["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", vec!["[::ffff:198.51.100.7]:1"], "198.51.100.7"),
        // If the address that counts is unreadable, the client is the peer.
        ("10.0.0.1", vec![""], "10.0.0.1"),
        ("10.0.0.1", vec!["198.51.100.7,"], "10.0.0.1"),
        ("10.0.0.1", vec!["unknown"], "10.0.0.1"),
        ("10.0.0.1", vec!["198.51.100.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", vec!["198.51.100.7:"], "10.0.0.1"),
        ("10.0.0.1", vec!["198.51.100.7:65536"], "10.0.0.1"),
        ("10.0.0.1", vec!["[2001:db9::1]x"], "10.0.0.1"),
        ("10.0.0.1", vec!["[2001:db9::1"], "10.0.0.1"),
        ("10.0.0.1", vec!["[198.51.100.7]"], "10.0.0.1"),
        ("10.0.0.1", vec!["\u{e9}"], "10.0.0.1"),
    ] {
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        // The other header never counts.
        headers.append("forwarded", HeaderValue::from_static("for=203.0.113.66"));
        let expected = ClientAddress(client.parse().unwrap());
        assert_eq!(
            ClientAddress::of(peer.parse().unwrap(), &headers, &trusted),
            expected,
            "{peer} {lines:?}"
        );
    }
}
