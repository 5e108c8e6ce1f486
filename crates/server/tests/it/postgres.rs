//! The properties of the PostgreSQL store alone: the URL and the connection, the schema that many nodes make
//! at once, the traces of a broken connection, and notices.

use std::{
    fs,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use customer_settings_server::{
    Services,
    catalog::{
        entry::{Catalog, Revision},
        id::KeyId,
    },
    clock::{Clock, SystemClock},
    config::Config,
    store::{
        Access, Companies, Keys, Log, Meta, Notice, StoreError, Uses,
        postgres::{OpenError, PoolOptions, PostgresStore},
        sound,
    },
};
use futures_util::{FutureExt, future::join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::{
    harness::{PATIENCE, eventually, load},
    postgres_server::{Disk, OPTIONS, PostgresServer, connect, new_database, programs, server},
    store_samples::*,
};

const SERVE: Access = Access::Serve { make_directory: false };

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(url, OPTIONS, Access::Write).await.unwrap()
}

async fn refused(url: &str, access: Access) -> OpenError {
    PostgresStore::open(url, OPTIONS, access).await.unwrap_err()
}

async fn tamper(url: &str, sql: &str) {
    connect(url).await.batch_execute(sql).await.unwrap();
}

async fn number(url: &str, sql: &str) -> i64 {
    connect(url).await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn many_nodes_may_make_one_store_at_once() {
    let url = new_database().await;
    let stores = join_all((0..8).map(|_| PostgresStore::open(&url, OPTIONS, SERVE))).await;
    for store in stores {
        assert_eq!(store.unwrap().epoch().await.unwrap(), 1);
    }
    assert_eq!(number(&url, "SELECT count(*) FROM meta WHERE schema_version = 1").await, 1);
}

#[tokio::test]
async fn a_database_for_newer_programs_is_refused() {
    let url = new_database().await;
    drop(open(&url).await);
    tamper(&url, "UPDATE meta SET schema_version = 9, oldest_schema_version = 8").await;
    for access in [SERVE, Access::Write, Access::Read] {
        let error = refused(&url, access).await.to_string();
        let expected = "needs a program of schema 8 or later and this one has schema 1";
        assert!(error.contains(expected), "{error}");
    }
    tamper(&url, "UPDATE meta SET oldest_schema_version = 1, schema_version = 9").await;
    open(&url).await;
}

#[tokio::test]
async fn a_database_of_another_layout_is_refused() {
    let url = new_database().await;
    drop(open(&url).await);
    for other in ["UPDATE meta SET layout = 1", "ALTER TABLE meta DROP COLUMN layout"] {
        tamper(&url, other).await;
        for access in [SERVE, Access::Write, Access::Read] {
            let error = refused(&url, access).await.to_string();
            assert!(
                error.contains("is of another program from before the first release"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn reading_makes_no_store() {
    let url = new_database().await;
    assert!(matches!(refused(&url, Access::Read).await, OpenError::NoStore(_)));
    assert_eq!(number(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, 0);
    open(&url).await;
    PostgresStore::open(&url, OPTIONS, Access::Read).await.unwrap();
}

#[tokio::test]
async fn a_database_with_other_tables_is_left_alone() {
    let url = new_database().await;
    tamper(&url, "CREATE TABLE theirs (id TEXT)").await;
    for access in [SERVE, Access::Write, Access::Read] {
        let error = refused(&url, access).await;
        assert!(
            matches!(&error, OpenError::NotEmpty { found, .. } if found == "theirs"),
            "{error}"
        );
    }
    tamper(&url, "CREATE TABLE meta (name TEXT)").await;
    assert!(matches!(refused(&url, SERVE).await, OpenError::NotOurs(_)));
    assert_eq!(number(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, 2);
    // A schema of its own beside these tables counts as an empty database.
    tamper(&url, "CREATE SCHEMA settings").await;
    let store = open(&format!("{url}&options=-csearch_path%3Dsettings")).await;
    make_company(&store, "cmp_a", "A").await;
}

#[tokio::test]
async fn a_store_that_was_there_is_not_made_anew() {
    let url = new_database().await;
    drop(open(&url).await);
    tamper(&url, "CREATE SCHEMA other").await;
    let elsewhere = format!("{url}&options=-csearch_path%3Dother");
    for access in [SERVE, Access::Write, Access::Read] {
        let error = refused(&elsewhere, access).await.to_string();
        assert!(error.contains("holds a store in the schema public, and none in other"), "{error}");
        assert!(error.contains("options=-csearch_path%3Dpublic"), "{error}");
    }
    tamper(&url, "ALTER TABLE key_uses RENAME TO aside").await;
    for access in [SERVE, Access::Write, Access::Read] {
        let error = refused(&url, access).await.to_string();
        assert!(error.contains("holds a store without its table key_uses"), "{error}");
    }
    // Without any tables the database counts as new.
    tamper(&url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    drop(open(&url).await);
}

#[tokio::test]
async fn a_schema_that_cannot_be_made_is_not_half_made() {
    let url = new_database().await;
    drop(open(&url).await);
    tamper(&url, "DROP TABLE companies CASCADE; UPDATE meta SET schema_version = 0").await;
    let before = number(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert!(matches!(refused(&url, SERVE).await, OpenError::NotOurs(_)));
    let after = number(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(before, after);
    assert_eq!(number(&url, "SELECT schema_version FROM meta").await, 0);
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_named_in_one_line_without_the_password() {
    let port = server().port;
    let admin = server().url("postgres");
    let sql =
        "DO $$ BEGIN CREATE ROLE locked LOGIN PASSWORD 'right'; EXCEPTION WHEN OTHERS THEN END $$";
    tamper(&admin, sql).await;
    let (silent, _listener) = silent_server().await;
    let quick = PoolOptions { connect_timeout: Duration::from_millis(300), ..OPTIONS };
    let roots = server().roots.display().to_string();
    for (url, expected) in [
        (format!("locked:secret@127.0.0.1:{port}/postgres"), "check user and password"),
        (format!("locked@127.0.0.1:{port}/postgres"), "check user and password"),
        (format!("postgres:secret@127.0.0.1:{port}/missing"), "\"missing\" does not exist"),
        (
            "u:secret@127.0.0.1:1/d".to_owned(),
            "127.0.0.1:1 cannot be reached: error connecting to server: Connection refused",
        ),
        (format!("u:secret@127.0.0.1:{silent}/d"), "no answer within 300 ms"),
        (
            "u:secret@no-such-host.invalid/d".to_owned(),
            "no-such-host.invalid:5432 cannot be reached",
        ),
        (format!("postgres:secret@127.0.0.1:{port}/postgres?sslmode=verify-full"), "trust"),
        (
            format!(
                "postgres:secret@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={roots}"
            ),
            "is not trusted",
        ),
        (
            format!("locked:right@127.0.0.1:{port}/postgres?sslmode=disable"),
            "the user may not use the database postgres at 127.0.0.1",
        ),
    ] {
        // A server that answers may need more time.
        let options = if expected.contains("300 ms") { quick } else { OPTIONS };
        let opened = PostgresStore::open(&format!("postgres://{url}"), options, SERVE).await;
        let error = opened.unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn tls_is_spoken_and_certificates_are_checked_as_the_url_says() {
    let url = new_database().await;
    let roots = server().roots.display().to_string();
    for (host, mode) in [
        ("127.0.0.1", format!("verify-full&sslrootcert={roots}")),
        ("localhost", format!("verify-ca&sslrootcert={roots}")),
        ("localhost", format!("require&sslrootcert={roots}")),
        ("localhost", "require".to_owned()),
        ("localhost", "prefer".to_owned()),
    ] {
        let url = url.replace("127.0.0.1", host).replace("disable", &mode);
        let sql = "SELECT count(*) FROM pg_stat_ssl WHERE ssl AND pid <> pg_backend_pid()";
        let sql = format!(
            "{sql} AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
        );
        let store = open(&url).await;
        store.epoch().await.unwrap();
        let plain = server().url(
            url.rsplit('/')
                .find(|part| part.starts_with("test_"))
                .unwrap()
                .split('?')
                .next()
                .unwrap(),
        );
        assert!(number(&plain, &sql).await >= 1, "{mode}");
        drop(store);
    }
}

#[tokio::test]
async fn a_password_is_checked_with_the_certificate_bound_to_it() {
    let admin = server().url("postgres");
    let sql =
        "DO $$ BEGIN CREATE ROLE locked LOGIN PASSWORD 'right'; EXCEPTION WHEN OTHERS THEN END $$";
    tamper(&admin, sql).await;
    let url = new_database().await;
    tamper(&url, "GRANT ALL ON SCHEMA public TO locked").await;
    let roots = server().roots.display();
    let url = url.replace("postgres@", "locked:right@");
    let url =
        url.replace("disable", &format!("verify-full&sslrootcert={roots}&channel_binding=require"));
    open(&url).await;
}

#[tokio::test]
async fn a_standby_is_refused_for_writing_and_read_from() {
    let url = new_database().await;
    drop(open(&url).await);
    let read_only = format!("{url}&options=-cdefault_transaction_read_only%3Don");
    assert!(matches!(refused(&read_only, SERVE).await, OpenError::ReadOnly(_)));
    let store = PostgresStore::open(&read_only, OPTIONS, Access::Read).await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), 1);
}

#[tokio::test]
async fn a_host_that_hangs_or_is_gone_or_takes_no_writes_is_passed_over() {
    let (silent, _listener) = silent_server().await;
    let url = new_database().await;
    let port = server().port;
    let hosts = format!("@127.0.0.1:{silent},127.0.0.1:1,127.0.0.1:{port}/");
    let url = url.replace(&format!("@127.0.0.1:{port}/"), &hosts);
    let options = PoolOptions { connect_timeout: Duration::from_secs(1), ..OPTIONS };
    let url = format!("{url}&target_session_attrs=read-write");
    let store = PostgresStore::open(&url, options, SERVE).await.unwrap();
    make_company(&store, "cmp_a", "A").await;
    assert_eq!(store.name().split(' ').next_back(), Some(&*format!("127.0.0.1:{port}")));
    let read_only = format!("{url}&options=-cdefault_transaction_read_only%3Don");
    let error = PostgresStore::open(&read_only, options, SERVE).await.unwrap_err();
    assert!(error.to_string().contains("database does not allow writes"), "{error}");
}

/// The instructions of docs/operating.md for the time after a restore.
#[tokio::test]
async fn an_operator_raises_the_epoch_after_a_restore() {
    let url = new_database().await;
    let store = open(&url).await;
    tamper(&url, "UPDATE meta SET epoch = epoch + 1").await;
    assert_eq!(store.epoch().await.unwrap(), 2);
}

#[tokio::test]
async fn a_row_that_cannot_be_understood_is_damage_and_not_a_panic() {
    let url = new_database().await;
    let store = open(&url).await;
    make_company(&store, "cmp_a", "A").await;
    tamper(
        &url,
        "UPDATE entries SET color = 'green', rank = -5 - rank; UPDATE changes SET body = '{}'",
    )
    .await;
    assert!(matches!(store.settings(&grant("cmp_a")).await, Err(StoreError::Damaged(_))));
    let lines = store.log(&stream("cmp_a"), Default::default(), 10).await;
    assert!(matches!(lines, Err(StoreError::Damaged(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_those_of_one_moment() {
    let url = new_database().await;
    let store = Arc::new(open(&url).await);
    commit(&*store, "cmp_a", vec![made_company(company("cmp_a", "A"))]).await.unwrap();
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for i in 0..100 {
                let tag = entry(&format!("tag_{i}"), &format!("Tag {i}"), i);
                commit(&*store, "cmp_a", vec![made_entry(Catalog::CustomerTags, tag)])
                    .await
                    .unwrap();
            }
        }
    });
    let mut seen = 0;
    while !writing.is_finished() {
        let settings = store.settings(&grant("cmp_a")).await.unwrap().unwrap();
        let tags = settings.entries(Catalog::CustomerTags).len() as u64;
        assert_eq!(settings.revision, Revision(tags + 1));
        seen += 1;
    }
    writing.await.unwrap();
    assert!(seen > 10, "{seen}");
}

/// Locks a company's row until the client is dropped, like a node in the middle of a write.
async fn lock(url: &str, company: &str) -> tokio_postgres::Client {
    let client = connect(url).await;
    let sql = format!("BEGIN; SELECT 1 FROM companies WHERE id = '{company}' FOR UPDATE");
    client.batch_execute(&sql).await.unwrap();
    client
}

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
const IN_TRANSACTION: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                              AND state LIKE 'idle in transaction%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_leaves_nothing_behind() {
    let url = new_database().await;
    // One connection only, so that its state after an error affects the next use.
    let options = PoolOptions { size: 1, ..OPTIONS };
    let store = Arc::new(PostgresStore::open(&url, options, SERVE).await.unwrap());
    let made = make_company(&*store, "cmp_a", "A").await;
    let holder = lock(&url, "cmp_a").await;
    let writing = tokio::spawn({
        let (store, plan) = (Arc::clone(&store), touching(&made));
        async move { append(&*store, &stream("cmp_a"), &plan.line).await }
    });
    eventually(async || number(&url, WAITING).await == 1).await;
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    drop(holder);
    eventually(async || number(&url, WAITING).await + number(&url, IN_TRANSACTION).await == 0)
        .await;
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
    touch(&*store, "cmp_a").await;
}

#[tokio::test]
async fn a_statement_has_its_time_and_the_connection_goes_on() {
    let url = new_database().await;
    let options = PoolOptions { statement_timeout: Duration::from_secs(1), size: 1, ..OPTIONS };
    let store = PostgresStore::open(&url, options, SERVE).await.unwrap();
    let made = make_company(&store, "cmp_a", "A").await;
    let holder = lock(&url, "cmp_a").await;
    let outcome = append(&store, &stream("cmp_a"), &touching(&made).line).await;
    assert!(
        matches!(&outcome, Err(StoreError::Unavailable(cause)) if cause.for_log().contains("57014"))
    );
    drop(holder);
    touch(&store, "cmp_a").await;
}

#[tokio::test]
async fn more_work_than_connections_waits_and_then_gives_up() {
    let url = new_database().await;
    let options = PoolOptions { connect_timeout: Duration::from_millis(200), size: 1, ..OPTIONS };
    let store = PostgresStore::open(&url, options, SERVE).await.unwrap();
    let made = make_company(&store, "cmp_a", "A").await;
    let _holder = lock(&url, "cmp_a").await;
    let plan = touching(&made);
    let locked = grant("cmp_a");
    let log = locked.stream();
    let mut writing = std::pin::pin!(append(&store, &log, &plan.line));
    assert!(writing.as_mut().now_or_never().is_none());
    eventually(async || {
        _ = writing.as_mut().now_or_never();
        number(&url, WAITING).await == 1
    })
    .await;
    let outcome = store.revision(&grant("cmp_a")).await;
    let expected = "every connection to the database is in use";
    assert!(matches!(&outcome, Err(StoreError::Unavailable(cause)) if cause.for_log() == expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_leave_connections_to_reads() {
    let url = new_database().await;
    let options = PoolOptions { connect_timeout: Duration::from_secs(1), size: 4, ..OPTIONS };
    let store = Arc::new(PostgresStore::open(&url, options, SERVE).await.unwrap());
    let (mut made, mut holders, mut writing) = (Vec::new(), Vec::new(), Vec::new());
    for company in ["cmp_a", "cmp_b", "cmp_c", "cmp_d"] {
        made.push((company, make_company(&*store, company, "A").await));
        holders.push(lock(&url, company).await);
    }
    for (company, made) in made {
        let store = Arc::clone(&store);
        writing.push(tokio::spawn(async move {
            append(&*store, &stream(company), &touching(&made).line).await
        }));
    }
    eventually(async || number(&url, WAITING).await == 2).await;
    assert_eq!(store.epoch().await.unwrap(), 1);
    // Writes without a place are refused.
    let is_told = async || writing.iter().filter(|writing| writing.is_finished()).count() == 2;
    eventually(is_told).await;
    assert_eq!(store.epoch().await.unwrap(), 1);
    drop(holders);
    let mut outcomes = Vec::new();
    for writing in writing {
        outcomes.push(writing.await.unwrap().is_ok());
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes, [false, false, true, true]);
}

#[tokio::test]
async fn the_store_recovers_when_its_connections_are_cut() {
    let url = new_database().await;
    let store = open(&url).await;
    make_company(&store, "cmp_a", "A").await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(number(&url, cut).await >= 1);
    eventually(async || store.revision(&grant("cmp_a")).await.is_ok()).await;
    touch(&store, "cmp_a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_remember_the_same_uses_do_not_wait_for_each_other() {
    let url = new_database().await;
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let ids: Vec<KeyId> = (0..20).map(|i| key(&format!("key_{i}"), i).id).collect();
    for i in 0..20 {
        commit_key(&*stores[0], &key(&format!("key_{i}"), i)).await.unwrap();
    }
    let mut writing = Vec::new();
    for (store, turned) in [(&stores[0], false), (&stores[1], true)] {
        let mut uses: Vec<_> = ids.iter().map(|id| (id.clone(), time(5))).collect();
        // Twice in one call, too: the later time counts.
        uses.extend(ids.iter().map(|id| (id.clone(), time(6))));
        if turned {
            uses.reverse();
        }
        let store = Arc::clone(store);
        writing.push(tokio::spawn(async move {
            for _ in 0..50 {
                store.touch_keys(&uses).await.unwrap();
            }
        }));
    }
    for writing in writing {
        writing.await.unwrap();
    }
    let keys = sound(stores[0].keys(None, None, 100).await.unwrap()).unwrap();
    assert!(keys.iter().all(|(_, used)| *used == Some(time(6))));
}

/// Makes changes of companies fail with this code, at once or only at COMMIT, this many times.
async fn fail_changes(url: &str, code: &str, is_deferred: bool, times: u32) {
    let kind = match is_deferred {
        true => "CONSTRAINT TRIGGER fails AFTER UPDATE ON companies DEFERRABLE INITIALLY DEFERRED",
        false => "TRIGGER fails BEFORE UPDATE ON companies",
    };
    // A sequence continues to count after a roll back.
    let sql = format!(
        "DROP TRIGGER IF EXISTS fails ON companies;
         DROP SEQUENCE IF EXISTS failures;
         CREATE SEQUENCE failures;
         CREATE OR REPLACE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('failures') <= {times} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF;
             RETURN NEW;
         END $$;
         CREATE {kind} FOR EACH ROW EXECUTE FUNCTION fails()"
    );
    tamper(url, &sql).await;
}

#[tokio::test]
async fn a_serialization_failure_is_a_conflict_and_planned_again() {
    let url = new_database().await;
    let store = Arc::new(open(&url).await);
    let clock = Arc::new(SystemClock);
    let services = Services::open(store.clone(), clock, &Config::default()).await.unwrap();
    let document = |name: &str| format!("companies: [{{id: cmp_a, name: {name}}}]");
    load(&services, &document("A")).await;
    // A serialization failure, and a deadlock.
    for code in ["40001", "40P01"] {
        for is_deferred in [false, true] {
            let made = store.settings(&grant("cmp_a")).await.unwrap().unwrap();
            fail_changes(&url, code, is_deferred, 3).await;
            let outcome = append(&*store, &stream("cmp_a"), &touching(&made).line).await;
            assert!(matches!(outcome, Err(StoreError::Conflict)), "{code}: {outcome:?}");
            let name = format!("A{code}{is_deferred}");
            load(&services, &document(&name)).await;
            let now = store.settings(&grant("cmp_a")).await.unwrap().unwrap();
            assert_eq!(now.company.name.as_str(), name);
            assert_eq!(now.revision, made.revision.next());
        }
    }
}

// Connections that are cut in the middle

/// A server that accepts connections and sends nothing.
async fn silent_server() -> (u16, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

/// The proxy cuts the connection when a client sends this word.
#[derive(Clone, Copy)]
struct Cut {
    word: &'static str,
    /// Whether the server still receives the word.
    passes_on: bool,
    /// Whether the client gets no error.
    is_silent: bool,
}

/// The next cut, if there is one.
type NextCut = Arc<Mutex<Option<Cut>>>;

/// A proxy to the test server. It cuts a connection once, when a client sends the word. Gives the proxy's
/// port.
async fn cutting_proxy(next: NextCut) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(pass_on(client, Arc::clone(&next)));
        }
    });
    port
}

async fn pass_on(mut client: TcpStream, next: NextCut) {
    let mut server = TcpStream::connect(("127.0.0.1", server().port)).await.unwrap();
    let (mut from_client, mut from_server) = ([0; 65_536], [0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &from_client[..length];
                let says = |cut: &mut Cut| {
                    sent.windows(cut.word.len()).any(|part| part == cut.word.as_bytes())
                };
                let hit = next.lock().unwrap().take_if(says);
                if hit.is_none_or(|cut| cut.passes_on) {
                    server.write_all(sent).await.unwrap();
                }
                if let Some(cut) = hit {
                    // The server has carried the statement out when it answers.
                    if cut.passes_on {
                        _ = server.read(&mut from_server).await;
                    }
                    if cut.is_silent {
                        std::future::pending().await
                    }
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&from_server[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_write_is_unknown_only_once_its_commit_was_sent() {
    let url = new_database().await;
    let next = NextCut::default();
    let port = cutting_proxy(Arc::clone(&next)).await;
    let proxied = url.replace(&server().port.to_string(), &port.to_string());
    let options = PoolOptions { size: 1, ..OPTIONS };
    let direct = open(&url).await;
    make_company(&direct, "cmp_a", "A").await;
    let store = PostgresStore::open(&proxied, options, SERVE).await.unwrap();
    for (word, passes_on, is_unknown, is_written) in [
        ("READ COMMITTED", false, false, false),
        ("READ COMMITTED", true, false, false),
        ("COMMIT\0", false, true, false),
        ("COMMIT\0", true, true, true),
    ] {
        let current = touch(&store, "cmp_a").await;
        *next.lock().unwrap() = Some(Cut { word, passes_on, is_silent: false });
        let outcome = append(&store, &stream("cmp_a"), &touching(&current).line).await;
        let what = format!("{word:?} {passes_on}: {outcome:?}");
        match outcome {
            Err(StoreError::OutcomeUnknown(_)) => assert!(is_unknown, "{what}"),
            Err(StoreError::Unavailable(_)) => assert!(!is_unknown, "{what}"),
            _ => panic!("{what}"),
        }
        let expected = current.revision.0 + u64::from(is_written);
        eventually(async || number(&url, IN_TRANSACTION).await == 0).await;
        let now = direct.revision(&grant("cmp_a")).await.unwrap();
        assert_eq!(now, Some(Revision(expected)), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_not_waited_for() {
    let url = new_database().await;
    let next = NextCut::default();
    let port = cutting_proxy(Arc::clone(&next)).await;
    let proxied = url.replace(&server().port.to_string(), &port.to_string());
    let options = PoolOptions { size: 1, statement_timeout: Duration::from_secs(1), ..OPTIONS };
    let store = PostgresStore::open(&proxied, options, SERVE).await.unwrap();
    let made = make_company(&store, "cmp_a", "A").await;
    let silence = |word| {
        *next.lock().unwrap() = Some(Cut { word, passes_on: false, is_silent: true });
    };
    let is_unavailable = |outcome: Result<(), StoreError>| {
        let expected = "the database server does not answer";
        assert!(
            matches!(&outcome, Err(StoreError::Unavailable(cause)) if cause.for_log() == expected),
            "{outcome:?}"
        );
    };
    let asked = async {
        silence("FROM meta");
        is_unavailable(store.epoch().await.map(drop));
        silence("FROM companies");
        is_unavailable(store.settings(&grant("cmp_a")).await.map(drop));
        silence("READ COMMITTED");
        is_unavailable(append(&store, &stream("cmp_a"), &touching(&made).line).await);
        silence("READ COMMITTED");
        is_unavailable(commit_key(&store, &key("key_1", 1)).await.map(drop));
    };
    timeout(PATIENCE, asked).await.unwrap();
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
}

#[tokio::test]
async fn every_index_is_missed_and_can_be_made_again() {
    let url = new_database().await;
    let store = open(&url).await;
    let indexes = async || {
        number(&url, "SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema()").await
    };
    let all = indexes().await;
    assert!(store.structural_faults(100).await.unwrap().is_empty());
    let drop_all = "DO $$ DECLARE one record; BEGIN
        FOR one IN SELECT conrelid::regclass AS indexed, conname FROM pg_constraint
                   WHERE contype = 'p' AND connamespace = current_schema()::regnamespace LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', one.indexed, one.conname);
        END LOOP;
        FOR one IN SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() LOOP
            EXECUTE format('DROP INDEX %I', one.indexname);
        END LOOP; END $$";
    tamper(&url, drop_all).await;
    assert_eq!(indexes().await, 0);
    assert_eq!(store.structural_faults(3).await.unwrap().len(), 3);
    let faults = store.structural_faults(100).await.unwrap();
    assert_eq!(i64::try_from(faults.len()).unwrap(), all, "{faults:?}");
    for fault in faults {
        tamper(&url, fault.split_once("mend it with: ").unwrap().1).await;
    }
    assert!(store.structural_faults(100).await.unwrap().is_empty());
    assert_eq!(indexes().await, all);
    // CREATE INDEX CONCURRENTLY leaves such an index if it could not finish.
    let sql =
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'keys_by_secret'::regclass";
    tamper(&url, sql).await;
    let faults = store.structural_faults(100).await.unwrap();
    let mend = "mend it with: REINDEX INDEX keys_by_secret";
    assert!(matches!(&faults[..], [one] if one.ends_with(mend)), "{faults:?}");
    tamper(&url, "REINDEX INDEX keys_by_secret").await;
    assert!(store.structural_faults(100).await.unwrap().is_empty());
}

/// The database itself says which kind of trouble it has.
#[tokio::test]
async fn a_full_disk_a_failing_one_and_damage_are_told_apart() {
    let url = new_database().await;
    let store = open(&url).await;
    let made = make_company(&store, "cmp_a", "A").await;
    let sql = "CREATE TABLE trouble (code TEXT);
               INSERT INTO trouble VALUES ('');
               CREATE FUNCTION fail() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                   IF (SELECT code <> '' FROM trouble) THEN
                       RAISE 'the inside' USING ERRCODE = (SELECT code FROM trouble);
                   END IF;
                   RETURN true; END $$;
               CREATE FUNCTION fail_insert() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM fail(); RETURN NEW; END $$;
               CREATE TRIGGER fails BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION fail_insert();
               ALTER TABLE meta RENAME TO meta_itself;
               CREATE VIEW meta AS SELECT * FROM meta_itself WHERE fail()";
    tamper(&url, sql).await;
    let kind = |error: StoreError| match error {
        StoreError::Full(_) => "full",
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Damaged(_) => "damaged",
        StoreError::Replaced(_) => "replaced",
        other => panic!("{other:?}"),
    };
    for (code, expected) in [
        ("53000", "unavailable"),
        ("53100", "full"),
        ("53200", "unavailable"),
        ("53400", "unavailable"),
        ("58000", "unavailable"),
        ("58030", "unavailable"),
        ("58P01", "unavailable"),
        ("XX001", "damaged"),
        ("XX002", "damaged"),
        ("42P01", "replaced"),
    ] {
        tamper(&url, &format!("UPDATE trouble SET code = '{code}'")).await;
        let written = append(&store, &stream("cmp_a"), &touching(&made).line).await.unwrap_err();
        assert_eq!(kind(written), expected, "{code}");
        assert_eq!(kind(store.epoch().await.unwrap_err()), expected, "{code}");
    }
    tamper(&url, "UPDATE trouble SET code = ''").await;
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
}

/// A server that gives up waiting for its standby reports success, so it must never be made to give up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_its_standby_however_long_that_takes() {
    let server = PostgresServer::start(Disk::Unsafe);
    let url = server.make_database("settings").await;
    let options = PoolOptions { statement_timeout: Duration::from_millis(100), ..OPTIONS };
    let store = Arc::new(PostgresStore::open(&url, options, SERVE).await.unwrap());
    let made = make_company(&*store, "cmp_a", "A").await;
    let standbys = async |names: &str| {
        tamper(&url, &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'")).await;
        tamper(&url, "SELECT pg_reload_conf()").await;
        let sql = "SELECT count(*) FROM pg_settings
                   WHERE name = 'synchronous_standby_names' AND setting =";
        eventually(async || number(&url, &format!("{sql} '{names}'")).await == 1).await;
    };
    standbys("nobody").await;
    let writing = tokio::spawn({
        let (store, plan) = (Arc::clone(&store), touching(&made));
        async move { append(&*store, &stream("cmp_a"), &plan.line).await }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event = 'SyncRep' AND query_start < clock_timestamp() - interval '400 ms'";
    eventually(async || number(&url, waiting).await == 1).await;
    assert!(!writing.is_finished());
    standbys("").await;
    writing.await.unwrap().unwrap();
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), Some(Revision(2)));
}

// Notices

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    timeout(PATIENCE, notices.recv()).await.expect("no notice comes").unwrap()
}

#[tokio::test]
async fn writes_of_one_node_are_told_to_the_others() {
    let url = new_database().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let mut notices = other.notices().await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Everything);
    let id = company_id("cmp_a");
    make_company(&one, "cmp_a", "A").await;
    assert_eq!(next(&mut notices).await, Notice::Company(id.clone()));
    touch(&one, "cmp_a").await;
    assert_eq!(next(&mut notices).await, Notice::Company(id.clone()));
    commit_key(&one, &key("key_1", 1)).await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Keys);
    // A node gets notices of its own writes as well, but none of refused ones.
    let stale = plan(None, vec![made_company(company("cmp_a", "B"))]);
    assert!(append(&other, &stream("cmp_a"), &stale.line).await.is_err());
    touch(&other, "cmp_a").await;
    assert_eq!(next(&mut notices).await, Notice::Company(id));
}

#[tokio::test]
async fn everything_may_have_changed_while_nobody_listened() {
    let url = new_database().await;
    let store = open(&url).await;
    let mut notices = store.notices().await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Everything);
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'customer-settings notices'";
    eventually(async || number(&url, cut).await == 1).await;
    assert_eq!(next(&mut notices).await, Notice::Everything);
    make_company(&store, "cmp_a", "A").await;
    let expected = Notice::Company(company_id("cmp_a"));
    assert_eq!(next(&mut notices).await, expected);
}

#[tokio::test]
async fn who_listens_too_slowly_hears_of_everything() {
    let url = new_database().await;
    let store = open(&url).await;
    let (mut slow, mut quick) = (store.notices().await.unwrap(), store.notices().await.unwrap());
    assert_eq!(next(&mut slow).await, Notice::Everything);
    assert_eq!(next(&mut quick).await, Notice::Everything);
    let client = connect(&url).await;
    let sql = "SELECT pg_notify('customer_settings', 'company cmp_' || number)
               FROM generate_series(1, 3000) AS number";
    client.batch_execute(sql).await.unwrap();
    let last = Notice::Company(company_id("cmp_3000"));
    while next(&mut quick).await != last {}
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(next(&mut slow).await);
    }
    assert!(heard.len() < 3_000 && heard.contains(&Notice::Everything), "{}", heard.len());
    drop(store);
    while slow.recv().await.is_some() {}
}

// Measuring

/// Prints commits per second through the trait, beside pgbench with the same statements and with
/// single rows, on a server that syncs its disk.
/// `cargo test --release -p customer-settings-server --test it -- --ignored --nocapture postgres::commits_per_second`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn commits_per_second() {
    let server = PostgresServer::start(Disk::Safe);
    let url = server.make_database("bench").await;
    {
        let store = Arc::new(PostgresStore::open(&url, OPTIONS, SERVE).await.unwrap());
        // The companies that pgbench writes to.
        write_many(&store, "bench", 64, 1).await;
        tamper(&url, "CREATE TABLE single_rows (client BIGINT, body TEXT)").await;
    }
    for (writers, commits) in [(1_u32, 1_000_u32), (16, 250), (64, 100)] {
        for size in [16, 64] {
            let options = PoolOptions { size, ..OPTIONS };
            let store = Arc::new(PostgresStore::open(&url, options, SERVE).await.unwrap());
            // The first run warms up: connections, and prepared statements.
            write_many(&store, &format!("warm_{writers}_{size}"), writers, 20).await;
            let rate = write_many(&store, &format!("cmp_{writers}_{size}"), writers, commits).await;
            println!("{writers} writers, {size} connections: {rate:.0} commits/s");
        }
        let same = pgbench(&server, writers, SAME_STATEMENTS);
        let single = pgbench(&server, writers, SINGLE_ROWS);
        println!(
            "{writers} pgbench clients: {same} with the same statements, {single} single rows"
        );
    }
    let store = PostgresStore::open(&url, OPTIONS, SERVE).await.unwrap();
    let whole = grant("cmp_64_16_0");
    let reads = 2_000;
    for settings in [false, true] {
        let start = SystemClock.monotonic();
        for _ in 0..reads {
            if settings {
                store.settings(&whole).await.unwrap();
            } else {
                store.revision(&whole).await.unwrap();
            }
        }
        let each = (SystemClock.monotonic() - start).as_secs_f64() / f64::from(reads);
        let what = if settings { "settings of 104 entries" } else { "revision" };
        println!("{what}: {:.0} µs", each * 1e6);
    }
}

/// Prints the time from a commit until its notice reaches another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn delay_of_notices() {
    let server = PostgresServer::start(Disk::Safe);
    let url = server.make_database("bench").await;
    let (one, other) = (open(&url).await, open(&url).await);
    let mut notices = other.notices().await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Everything);
    let mut current = make_company(&one, "cmp_a", "A").await;
    next(&mut notices).await;
    let mut delays = Vec::new();
    for _ in 0..1_000 {
        let plan = touching(&current);
        append(&one, &stream("cmp_a"), &plan.line).await.unwrap();
        let start = SystemClock.monotonic();
        next(&mut notices).await;
        delays.push((SystemClock.monotonic() - start).as_secs_f64() * 1e3);
        current = plan.after;
    }
    delays.sort_by(f64::total_cmp);
    println!(
        "median {:.1} ms, 99 % {:.1} ms, longest {:.1} ms",
        delays[499], delays[989], delays[999]
    );
}

/// Each writer adds entries to a company of its own: commits per second.
async fn write_many(store: &Arc<PostgresStore>, prefix: &str, writers: u32, commits: u32) -> f64 {
    let mut currents = Vec::new();
    for writer in 0..writers {
        currents.push(make_company(&**store, &format!("{prefix}_{writer}"), "A").await);
    }
    let start = SystemClock.monotonic();
    let writing = currents.into_iter().map(|mut current| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let grant = grant(current.company.id.as_str());
            for i in 0..commits {
                let tag = entry(&format!("tag_{i}"), &format!("Tag {i}"), i);
                let plan = plan(Some(&current), vec![made_entry(Catalog::CustomerTags, tag)]);
                append(&*store, &grant.stream(), &plan.line).await.unwrap();
                current = plan.after;
            }
        })
    });
    for writing in join_all(writing).await {
        writing.unwrap();
    }
    f64::from(writers * commits) / (SystemClock.monotonic() - start).as_secs_f64()
}

/// The statements of a commit of one new entry. Each client has a company of its own.
const SAME_STATEMENTS: &str = "\
\\set revision :revision + 1
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
UPDATE companies SET revision = revision + 1, changed_time = :revision WHERE id = 'bench_' || :client_id;
INSERT INTO changes (stream_kind, stream_id, revision, part, time, actor_key_id, actor_staff_id, subjects, body)
    VALUES ('company', 'bench_' || :client_id, :revision, 0, :revision, 'key_1', 'staff_001', '[]', repeat('x', 400));
INSERT INTO entries (company_id, catalog, id, rank, name, description, color, is_default, state,
        created_by, created_time, last_updated_by, last_updated_time, last_updated_revision)
    VALUES ('bench_' || :client_id, 'life_cycles', 'p_' || :revision, :revision, 'P ' || :revision,
        'two lines', '#00FF00', FALSE, 'active', 'load', 1, 'staff_001', 1, 1);
COMMIT;
";
const SINGLE_ROWS: &str = "INSERT INTO single_rows VALUES (:client_id, repeat('x', 400));\n";

/// Transactions per second of this script.
fn pgbench(server: &PostgresServer, clients: u32, script: &str) -> String {
    // Every run uses revisions of its own.
    static RUNS: AtomicU32 = AtomicU32::new(1);
    let first = RUNS.fetch_add(1, Ordering::SeqCst) * 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sql");
    fs::write(&file, script).unwrap();
    let program = programs().join("pgbench");
    let mut run = Command::new(if program.exists() { program } else { "pgbench".into() });
    run.args(["--no-vacuum", "--protocol=prepared", "--time=5", "--jobs=2", "--username=postgres"])
        .arg(format!("--client={clients}"))
        .arg(format!("--define=revision={first}"))
        .arg(format!("--port={}", server.port))
        .arg("--file")
        .arg(&file)
        .args(["--host=127.0.0.1", "bench"])
        .env("PGSSLMODE", "disable");
    let output = run.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("tps")).unwrap();
    format!("{:.0}/s", line.split(' ').nth(2).unwrap().parse::<f64>().unwrap())
}
