//! Locks, connections that break, servers that fall silent, and full disks: what becomes of the work meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_those_of_one_moment() {
    let url = new_database().await;
    let store = Arc::new(open(&url).await);
    commit(&*store, "cmp_a", vec![made_company(company("cmp_a", "A"))]).await.unwrap();
    let is_enough = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, is_enough) = (Arc::clone(&store), Arc::clone(&is_enough));
        async move {
            for i in 0.. {
                if i >= 100 && is_enough.load(Ordering::Relaxed) {
                    break;
                }
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
        is_enough.store(seen > 10, Ordering::Relaxed);
    }
    writing.await.unwrap();
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
    let mut writing = std::pin::pin!(append(&store, log, &plan.line));
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
        silence("JOIN companies");
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
    // The store counts as replaced until a look finds it again.
    assert_eq!(store.epoch().await.unwrap(), 1);
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
