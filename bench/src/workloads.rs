//! The workloads, each with its yardstick.

use crate::{
    load::{Ask, Beside, Protocol, Unknown},
    servers::{Which, many_skewed},
};

/// A row of the table: one server that is measured, and its yardstick.
pub(crate) struct Workload {
    /// The name for `--only`.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) measured: (Which, Ask),
    pub(crate) yardstick: (Which, Ask),
}

impl Workload {
    fn new(name: &str, title: &str, which: Which, ask: Ask, yardstick: Which) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            measured: (which, ask.clone()),
            yardstick: (yardstick, ask),
        }
    }

    /// Whether it needs servers of other people.
    pub(crate) fn is_alternative(&self) -> bool {
        matches!(self.measured.0, Which::Nginx | Which::Fastify | Which::FastApi)
    }
}

fn get() -> Ask {
    Ask::new(Protocol::Get, 64, 1)
}

fn of(entries: u16, mut ask: Ask) -> Ask {
    ask.companies = crate::load::Companies::one(&format!("cmp_{entries}"));
    ask
}

/// All workloads, in the order of the table. `etag` is the etag of the list of 100 entries.
pub(crate) fn all(etag: &str) -> Vec<Workload> {
    let mut all = http1();
    all.extend(http2());
    all.extend(grpc());
    all.extend(special(etag));
    all.extend(alternatives());
    all
}

fn http1() -> Vec<Workload> {
    let post = Ask::new(Protocol::Post, 64, 1);
    let mut all: Vec<Workload> = [100, 20, 1_000]
        .map(|entries| {
            let (name, title) =
                (format!("get-{entries}"), format!("HTTP/1.1 GET, {entries} entries"));
            Workload::new(&name, &title, Which::Ours, of(entries, get()), Which::Http1(entries))
        })
        .into();
    all.push(Workload::new("post", "HTTP/1.1 POST", Which::Ours, post, Which::Http1(100)));
    all.push(Workload::new("get-tls", "HTTP/1.1 GET, TLS", Which::OursTls, get(), Which::Http1Tls));
    all
}

fn http2() -> Vec<Workload> {
    let one = Ask::new(Protocol::Http2, 64, 1);
    let eight = Ask::new(Protocol::Http2, 8, 8);
    let (ours, tls) = (Which::Ours, Which::OursTls);
    let mut all = vec![
        Workload::new("h2-64x1", "HTTP/2 GET, 64 x 1", ours, one.clone(), Which::Http2(100)),
        Workload::new("h2-8x8", "HTTP/2 GET, 8 x 8", ours, eight.clone(), Which::Http2(100)),
    ];
    all.extend([20, 1_000].map(|entries| {
        let name = format!("h2-8x8-{entries}");
        let title = format!("HTTP/2 GET, 8 x 8, {entries} entries");
        Workload::new(&name, &title, ours, of(entries, eight.clone()), Which::Http2(entries))
    }));
    all.push(Workload::new("h2-64x1-tls", "HTTP/2 GET, 64 x 1, TLS", tls, one, Which::Http2Tls));
    all.push(Workload::new("h2-8x8-tls", "HTTP/2 GET, 8 x 8, TLS", tls, eight, Which::Http2Tls));
    all
}

fn grpc() -> Vec<Workload> {
    let one = Ask::new(Protocol::Grpc, 64, 1);
    let eight = Ask::new(Protocol::Grpc, 8, 8);
    let (ours, frames) = (Which::Ours, Which::Frames(100));
    let mut all = vec![
        Workload::new("grpc-64x1", "gRPC, 64 x 1", ours, one.clone(), Which::Tonic(100)),
        Workload::new("grpc-8x8", "gRPC, 8 x 8", ours, eight.clone(), Which::Tonic(100)),
        Workload::new("grpc-64x1-frames", "gRPC, 64 x 1", ours, one, frames),
        Workload::new("grpc-8x8-frames", "gRPC, 8 x 8", ours, eight.clone(), frames),
    ];
    all.extend([20, 1_000].map(|entries| {
        let name = format!("grpc-8x8-{entries}");
        let title = format!("gRPC, 8 x 8, {entries} entries");
        Workload::new(&name, &title, ours, of(entries, eight.clone()), Which::Tonic(entries))
    }));
    all
}

/// The workloads that differ from the first in one thing.
fn special(etag: &str) -> Vec<Workload> {
    let with = |change: fn(&mut Ask)| {
        let mut ask = get();
        change(&mut ask);
        ask
    };
    let ours = Which::Ours;
    let hyper = Which::Http1(100);
    let mut known = Workload::new("get-304", "GET, `If-None-Match` hit", ours, get(), hyper);
    known.measured.1.if_none_match = Some(etag.to_owned());
    let many = with(|ask| ask.companies = many_skewed());
    let latency = with(|ask| ask.per_second = Some(2_000.0));
    // The yardstick of these is this service without the other load.
    let beside = |name: &str, title: &str, beside: Beside| {
        let ask = of(100, get());
        let mut workload = Workload::new(name, title, ours, ask, ours);
        workload.measured.1.beside = beside;
        workload
    };
    let mut writes = beside("get-writes", "GET, 1 % writes beside", Beside::Writes);
    for (_, ask) in [&mut writes.measured, &mut writes.yardstick] {
        ask.companies = crate::load::Companies::one("cmp_written");
    }
    let against_many = |name: &str, yardstick| {
        Workload::new(
            name,
            "GET, 10,000 companies, skewed",
            Which::OursMany,
            many.clone(),
            yardstick,
        )
    };
    let mistyped = Beside::Flood(Unknown::Mistyped);
    let plausible = Beside::Flood(Unknown::Plausible);
    vec![
        known,
        against_many("get-many", hyper),
        against_many("get-many-bodies", Which::Http1Many),
        writes,
        beside("get-flood-mistyped", "GET, flood of mistyped keys beside", mistyped),
        beside("get-flood-plausible", "GET, flood of plausible keys beside", plausible),
        Workload::new("get-log", "GET, access log on", Which::OursLogging, get(), ours),
        Workload::new("get-latency", "GET, 2,000 per second", ours, latency, hyper),
    ]
}

fn alternatives() -> Vec<Workload> {
    let alternative =
        |name, title, which| Workload::new(name, title, which, get(), Which::Http1(100));
    vec![
        alternative("nginx", "HTTP/1.1 GET", Which::Nginx),
        alternative("fastify", "HTTP/1.1 GET", Which::Fastify),
        alternative("fastapi", "HTTP/1.1 GET", Which::FastApi),
    ]
}
