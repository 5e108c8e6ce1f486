//! How fast the SQLite store commits, beside a bare connection that runs the same statements with the
//! same settings, in turns. Nothing is asserted: it prints.
//!
//! `cargo test --release -p customer-settings-server --test it -- --ignored --nocapture sqlite_speed::`

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use customer_settings_server::{
    catalog::{access::Grant, entry::Catalog, plan::Plan, settings::Settings, stream::Streams},
    clock::{Clock, SystemClock},
    store::{
        Access, Store,
        sqlite::{DATABASE, SqliteStore},
    },
};
use rusqlite::{Connection, params};
use tokio::task::JoinSet;

use crate::store_samples::*;

const ROUNDS: u32 = 7;
/// The commits of one measurement, shared by its writers.
const COMMITS: u32 = 2_048;
const WRITERS: [u32; 3] = [1, 16, 64];

fn now() -> Instant {
    SystemClock.monotonic()
}

fn per_second(count: u32, start: Instant) -> f64 {
    f64::from(count) / (now() - start).as_secs_f64()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Changes of one entry, one after the other, each with a request id.
struct Writer {
    grant: Grant,
    current: Settings,
}

impl Writer {
    async fn new(store: &dyn Store, id: &str) -> Self {
        Self { grant: grant(id), current: make_company(store, id, "A").await }
    }

    /// Made before the clock is looked at: planning is not the store's work.
    fn plans(&mut self, count: u32) -> Vec<Plan> {
        let mut plans = Vec::new();
        for _ in 0..count {
            let number = self.current.revision.0;
            let before = &self.current.catalogs[Catalog::CustomerTags.index()][0];
            let renamed = changed_entry(Catalog::CustomerTags, before, |tag| {
                tag.name = name(&format!("Tag {number}"));
                tag.audit.revision = self.current.revision.next();
            });
            let mut plan = plan(Some(&self.current), vec![renamed]);
            plan.line.request = Some(request(&format!("\"request-{number}\""), 1));
            self.current = plan.after.clone();
            plans.push(plan);
        }
        plans
    }
}

/// Commits through the trait.
async fn store_rate(store: &Arc<dyn Store>, writers: &mut [Writer]) -> f64 {
    let each = COMMITS / u32::try_from(writers.len()).unwrap();
    let work: Vec<_> =
        writers.iter_mut().map(|writer| (writer.grant.clone(), writer.plans(each))).collect();
    let start = now();
    let mut tasks = JoinSet::new();
    for (grant, plans) in work {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for plan in &plans {
                append(&*store, grant.stream(), &plan.line).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    per_second(COMMITS, start)
}

/// A connection of its own to a database of its own, with what the store's writer has.
struct Bare {
    db: Connection,
    revision: i64,
    body: String,
}

impl Bare {
    async fn open(dir: &Path) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir, Access::Write).unwrap());
        let mut writer = Writer::new(&*store, "cmp_bare").await;
        let plans = writer.plans(1);
        append(&*store, writer.grant.stream(), &plans[0].line).await.unwrap();
        drop(store);
        let db = Connection::open(dir.join(DATABASE)).unwrap();
        db.busy_timeout(Duration::from_secs(5)).unwrap();
        db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL").unwrap();
        db.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(())).unwrap();
        db.set_prepared_statement_cache_capacity(64);
        let sql = "SELECT body FROM changes WHERE revision = 2";
        let body = db.query_row(sql, [], |row| row.get(0)).unwrap();
        Self { db, revision: 2, body }
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) {
        self.db.prepare_cached(sql).unwrap().execute(params).unwrap();
    }

    /// The statements of `store/sqlite/companies.rs` for an entry that changes.
    fn commit(&mut self) {
        let (company, base, next) = ("cmp_bare", self.revision, self.revision + 1);
        let time = 1_700_000_000_000_000 + next;
        self.run("BEGIN IMMEDIATE", []);
        let sql =
            "UPDATE companies SET revision = ?3, changed_time = ?4 WHERE id = ?1 AND revision = ?2";
        self.run(sql, params![company, base, next, time]);
        let sql = "INSERT INTO changes
                   (stream_kind, stream_id, revision, part, time, actor_key_id, actor_staff_id, address,
                    request_scope, request_id, request_digest, subjects, body)
                   VALUES ('company', ?1, ?2, 0, ?3, 'key_1', 'staff_001', NULL, ?1, ?4, ?5, '[]', ?6)
                   ON CONFLICT (stream_kind, request_scope, actor_key_id, request_id)
                       WHERE request_id IS NOT NULL DO NOTHING";
        self.run(
            sql,
            params![company, next, time, format!("request-{base}"), [1_u8; 32], self.body],
        );
        let sql =
            "UPDATE entries SET rank = ?4, name = ?5, fold_key = ?6, description = ?7, color = ?8,
                       is_default = ?9, state = ?10, created_by = ?11, created_time = ?12,
                       last_updated_by = ?13, last_updated_time = ?14, last_updated_revision = ?15
                   WHERE company_id = ?1 AND catalog = ?2 AND id = ?3 AND rank = ?4";
        let (name, fold_key) = (format!("Tag {base}"), format!("tag {base}"));
        let (created, updated) = (1_672_567_200_000_000_i64, 1_672_567_200_000_001_i64);
        self.run(
            sql,
            params![
                company,
                "customer_tags",
                "first",
                1_024,
                name,
                fold_key,
                "two\nlines",
                "#00FF00",
                0,
                "active",
                "load",
                created,
                "staff_001",
                updated,
                next,
            ],
        );
        self.run("COMMIT", []);
        self.revision = next;
    }

    fn rate(&mut self) -> f64 {
        let start = now();
        for _ in 0..COMMITS {
            self.commit();
        }
        per_second(COMMITS, start)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn commits_per_second() {
    let (dir, bare_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path(), Access::Write).unwrap());
    let mut bare = Bare::open(bare_dir.path()).await;
    let mut groups = Vec::new();
    for writers in WRITERS {
        let mut group = Vec::new();
        for writer in 0..writers {
            group.push(Writer::new(&*store, &format!("cmp_{writers}_{writer}")).await);
        }
        groups.push(group);
    }
    let (mut bare_rates, mut rates) = (Vec::new(), [const { Vec::new() }; 3]);
    // The first round warms up.
    for round in 0..=ROUNDS {
        let bare_rate = bare.rate();
        for (rates, group) in rates.iter_mut().zip(&mut groups) {
            let rate = store_rate(&store, group).await;
            if round > 0 {
                rates.push((rate, rate / bare_rate));
            }
        }
        bare_rates.push(bare_rate);
    }
    let kinds = format!("median of {ROUNDS} rounds of {COMMITS} commits");
    println!("bare connection: {:.0} commits/s ({kinds})", median(bare_rates.split_off(1)));
    let mut one = None;
    for (writers, rates) in WRITERS.into_iter().zip(rates) {
        let rate = median(rates.iter().map(|(rate, _)| *rate).collect());
        let mut ratios: Vec<f64> = rates.iter().map(|(_, ratio)| *ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let one = *one.get_or_insert(rate);
        println!(
            "{writers} writers: {rate:.0} commits/s, {:.2} of bare ({least:.2} to {most:.2}), {:.2} of one writer",
            median(ratios),
            rate / one
        );
    }
}

/// Prints how long the reads take that stand in the way of a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn reads_per_second() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path(), Access::Write).unwrap());
    let mut deltas = Vec::new();
    for i in 0..100 {
        let tag = entry(&format!("tag_{i}"), &format!("Tag {i}"), i);
        deltas.push(made_entry(Catalog::CustomerTags, tag));
    }
    make_company(&*store, "cmp_a", "A").await;
    commit(&*store, "cmp_a", deltas).await.unwrap();
    let grant = grant("cmp_a");
    let (key, id) = (actor("key_1").key_id.unwrap(), request_id("\"never used\""));
    let reads = 5_000;
    for what in ["revision", "request id", "settings of 104 entries"] {
        let start = now();
        for _ in 0..reads {
            match what {
                "revision" => drop(store.revision(&grant).await.unwrap()),
                "request id" => {
                    drop(store.request(&Streams::one(grant.stream()), &key, &id).await.unwrap())
                }
                _ => drop(store.settings(&grant).await.unwrap()),
            }
        }
        println!("{what}: {:.0} µs", 1e6 / per_second(reads, start));
    }
}
