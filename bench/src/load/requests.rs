//! The requests' bytes, made before the measurement begins.

use std::rc::Rc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use super::{Ask, Protocol};

/// The number of different unknown keys in a flood, and of different writes.
const DIFFERENT: usize = 16_384;

/// The number of entries in the company that writes change.
const WRITTEN_ENTRIES: usize = 100;

/// A repeatable order of companies is enough, so no crate is needed.
struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The requested companies, and their order.
#[derive(Clone)]
pub(crate) struct Companies {
    pub(crate) ids: Rc<[String]>,
    order: Rc<[usize]>,
}

impl Companies {
    pub(crate) fn one(id: &str) -> Self {
        Self::in_turn(vec![id.to_owned()])
    }

    /// Each company once, then again from the beginning.
    pub(crate) fn in_turn(ids: Vec<String>) -> Self {
        let order = (0..ids.len()).collect();
        Self { ids: ids.into(), order }
    }

    /// The first company is requested twice as often as the second, three times as often as the third …
    /// (Zipf).
    pub(crate) fn skewed(ids: Vec<String>) -> Self {
        let mut sum = 0.0;
        let sums = (1..=ids.len()).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let sums: Vec<f64> = sums.collect();
        let mut random = Random(1);
        let draws = (0..1 << 18).map(|_| {
            let at = random.fraction() * sum;
            sums.partition_point(|sum| *sum <= at).min(ids.len() - 1)
        });
        let order = draws.collect();
        Self { ids: ids.into(), order }
    }

    /// The order for one of several connections. Each begins at a different place.
    pub(super) fn turns(&self, number: usize, connections: usize) -> Turns {
        Turns { order: self.order.clone(), at: number * self.order.len() / connections.max(1) }
    }

    /// The same for requests that each have their own bytes.
    pub(super) fn turns_of(requests: usize, number: usize, connections: usize) -> Turns {
        Turns { order: (0..requests).collect(), at: number * requests / connections.max(1) }
    }
}

/// The order of requests, without an end.
pub(super) struct Turns {
    order: Rc<[usize]>,
    at: usize,
}

impl Turns {
    pub(super) fn next(&mut self) -> usize {
        if self.at >= self.order.len() {
            self.at = 0;
        }
        self.at += 1;
        self.order[self.at - 1]
    }
}

/// The keys of a flood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Keys that begin like the service's keys, with a wrong checksum.
    Mistyped,
    /// Keys that could be imported keys, so that only limits stop them before the store.
    Plausible,
}

/// The header in the form that most programs send.
pub(super) fn authorization(key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{key}:")))
}

pub(crate) fn path(company: &str) -> String {
    format!("/v1/setting/companies/{company}/customer/tags:list")
}

/// GET of the list of a company's customer tags over HTTP/1.1. `more` has further lines of the head.
pub(crate) fn list(key: &str, company: &str, more: &str) -> Vec<u8> {
    get(key, &path(company), more)
}

pub(crate) fn get(key: &str, path: &str, more: &str) -> Vec<u8> {
    let authorization = authorization(key);
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A request with a body of JSON.
pub(crate) fn with_body(method: &str, key: &str, path: &str, body: &str) -> Vec<u8> {
    let (authorization, length) = (authorization(key), body.len());
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One request for each company.
pub(super) fn http1(ask: &Ask, key: &str) -> Vec<Vec<u8>> {
    let known = ask.if_none_match.as_ref().map(|etag| format!("if-none-match: {etag}\r\n"));
    let request = |company: &String| match ask.protocol {
        Protocol::Post => {
            with_body("POST", key, &path(company), &format!("{{\"companyId\": \"{company}\"}}"))
        }
        _ => list(key, company, known.as_deref().unwrap_or_default()),
    };
    ask.companies.ids.iter().map(request).collect()
}

/// Changes of the names of the first company's tags. A name repeats only after all of them.
pub(super) fn writes(ask: &Ask, key: &str) -> Vec<Vec<u8>> {
    let company = &ask.companies.ids[0];
    let write = |number| {
        let tag = 1 + number % WRITTEN_ENTRIES;
        let path = format!("/admin/v1/companies/{company}/customer_tags/tag_{tag:04}");
        with_body("PATCH", key, &path, &format!("{{\"name\": \"Changed tag {number:05}\"}}"))
    };
    (0..DIFFERENT).map(write).collect()
}

/// The same request with a different unknown key each time.
pub(super) fn flood(unknown: Unknown, ask: &Ask) -> Vec<Vec<u8>> {
    unknown_keys(unknown).map(|key| list(&key, &ask.companies.ids[0], "")).collect()
}

/// Keys that the server does not know.
pub(crate) fn unknown_keys(unknown: Unknown) -> impl Iterator<Item = String> {
    let mut random = Random(2);
    (0..DIFFERENT).map(move |_| {
        let bytes: Vec<u8> = (0..4).flat_map(|_| random.next().to_le_bytes()).collect();
        let prefix = if unknown == Unknown::Mistyped { "cs_" } else { "" };
        format!("{prefix}{}AAAAAA", URL_SAFE_NO_PAD.encode(bytes))
    })
}
