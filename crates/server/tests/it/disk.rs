//! Disks that fail or are full, and data that is deleted, under a running server. The server serves data in
//! memory, acknowledges only writes that are stored, and reports each fault by its own name.

use std::{fs, path::Path, time::Duration};

use customer_settings_server::{
    catalog::error::Cause,
    store::{StoreError, sqlite::DATABASE},
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{console::Browser, harness::*};

also_on_postgres! {
    a_full_disk_refuses_writes_in_its_own_words_and_nothing_else,
    pages_are_shown_on_a_full_disk_also_after_a_pause,
    a_disk_that_gives_nothing_is_no_damage_and_comes_back,
    a_disk_that_fails_in_part_is_told_of_all_the_time,
    writes_that_fail_leave_reads_alone_and_come_back,
}

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

fn new_tag(name: &str) -> Value {
    json!({"companyId": "cmp_001", "collection": "customer_tags", "entry": {"name": name}})
}

async fn tags(server: &Server, secret: &str) -> Answer {
    server.get(TAGS).bearer(secret).send().await
}

/// The refusal of a write, which is the same over every protocol.
async fn refused_write(server: &Server, secret: &str) -> Refusal {
    let refusal = server.refusal(secret, "CreateEntry", new_tag("Never Written")).await;
    assert_eq!((refusal.code, refusal.retries), (Code::Unavailable, true));
    assert_eq!(refusal.header("retry-after"), Some("1"));
    refusal
}

/// Waits until the server reports that all is well, which takes a while after the last failure.
async fn is_told_to_be_well(server: &Server) {
    server.clock.advance(Duration::from_secs(10));
    eventually(async || server.get("/readyz").send().await.text() == "ok\n").await;
}

/// Checks that all is well again, and that no refused write was made.
async fn is_well(server: &Server, secret: &str) {
    is_told_to_be_well(server).await;
    let name = format!("Written Again {}", server.probe.calls("change_mark"));
    let write = server.grpc_as(secret, "CreateEntry", new_tag(&name)).await;
    assert_eq!(write.unwrap()["name"], name);
    let listed = tags(server, secret).await;
    assert_eq!((listed.status.as_u16(), listed.header("settings-stale")), (200, None));
    assert!(listed.text().contains(&name) && !listed.text().contains("Never Written"));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_in_its_own_words_and_nothing_else() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let full = StoreError::Full(Cause::new("the inside of a full disk"));
    server.probe.fail_writes_as(Some(full.clone()));
    let refusal = refused_write(&server, &secret).await;
    assert_eq!(refusal.reason, "STORE_FULL");
    let message = &refusal.message;
    assert!(message.contains("disk of the database is full: nothing was written"), "{message}");
    assert!(!message.contains("does not answer") && !message.contains("inside"), "{message}");
    let draft = json!({"key": {"name": "k", "scopes": ["settings:read"], "allCompanies": true}});
    let key = server.grpc_as(&secret, "CreateKey", draft).await.unwrap_err();
    assert!(key.message().contains("disk of the database is full"), "{key}");
    // Reads continue, of data in memory and of other data.
    assert_eq!(tags(&server, &secret).await.status, 200);
    assert_eq!(server.get("/admin/v1/companies").bearer(&secret).send().await.status, 200);
    assert_eq!(server.get("/readyz").send().await.text(), "ok\n");
    // If a query needs room on the disk and gets none, the database still answers.
    server.probe.fail_as(Some(full));
    let companies = server.refusal(&secret, "ListCompanies", json!({})).await;
    assert_eq!(companies.reason, "STORE_FULL");
    server.clock.advance(Duration::from_secs(10));
    assert_eq!(tags(&server, &secret).await.status, 200);
    assert_eq!(server.get("/readyz").send().await.text(), "ok\n");
    server.probe.fail_as(None);
    server.probe.fail_writes_as(None);
    is_well(&server, &secret).await;
}

#[tokio::test]
async fn pages_are_shown_on_a_full_disk_also_after_a_pause() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let list = "/console/c/cmp_001/customer_tags";
    server.probe.fail_writes_as(Some(StoreError::Full(Cause::new("inside"))));
    // Each page would write down that the person is active again.
    for _ in 0..2 {
        server.clock.advance(Duration::from_secs(301));
        let before = server.probe.calls("touch_session");
        let page = browser.get(list).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains(">VIP Customer<"), "{}", page.text());
        assert_eq!(server.probe.calls("touch_session"), before + 1);
    }
    let refused = browser.post(&format!("{list}/add"), &[("name", "Never Written")]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("disk of the database is full"), "{}", refused.text());
    // Without any activity that is written down, the session ends when it would have ended.
    server.clock.advance(Duration::from_secs(14 * 24 * 3_600));
    let gone = browser.get(list).await;
    assert_eq!(gone.status, 303, "{}", gone.text());
    assert!(gone.header("location").unwrap().starts_with("/console/sign-in"));
}

#[tokio::test]
async fn a_disk_that_gives_nothing_is_no_damage_and_comes_back() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    assert_eq!(tags(&server, &secret).await.status, 200);
    let dead = || Some(StoreError::Unavailable(Cause::new("Input/output error")));
    for _ in 0..3 {
        server.probe.fail_as(dead());
        server.clock.advance(Duration::from_secs(10));
        let listed = tags(&server, &secret).await;
        assert_eq!(listed.status, 200, "{}", listed.text());
        assert!(listed.header("settings-stale").is_some());
        assert_eq!(refused_write(&server, &secret).await.reason, "STORE_UNAVAILABLE");
        let companies = server.refusal(&secret, "ListCompanies", json!({})).await;
        assert_eq!(companies.reason, "STORE_UNAVAILABLE");
        let ready = server.get("/readyz").send().await;
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("the store has not answered for"), "{}", ready.text());
        assert!(!ready.text().contains("damaged"), "{}", ready.text());
        server.probe.fail_as(None);
        is_told_to_be_well(&server).await;
    }
    is_well(&server, &secret).await;
}

#[tokio::test]
async fn a_disk_that_fails_in_part_is_told_of_all_the_time() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    // Without the mark, each company is looked up by itself.
    server.hide_change_mark().await;
    assert_eq!(tags(&server, &secret).await.status, 200);
    let said = async || {
        let ready = server.get("/readyz").send().await;
        (ready.status.as_u16(), ready.text().to_owned())
    };
    for (error, status, told) in [
        (StoreError::Unavailable(Cause::new("inside")), 200, "what is in memory is served"),
        (StoreError::Replaced(Cause::new("inside")), 503, "deleted or replaced"),
    ] {
        server.probe.fail_companies_as(Some(error));
        server.clock.advance(Duration::from_secs(2));
        let listed = tags(&server, &secret).await;
        assert_eq!(listed.status, 200, "{}", listed.text());
        assert!(listed.header("settings-stale").is_some());
        // The server's own queries continue, and are answered.
        let polls = server.probe.calls("change_mark");
        eventually(async || {
            let (code, text) = said().await;
            assert!(code == status && text.contains(told), "{code} {text}");
            server.probe.calls("change_mark") >= polls + 3
        })
        .await;
        server.probe.fail_companies_as(None);
        is_told_to_be_well(&server).await;
    }
    let listed = tags(&server, &secret).await;
    assert_eq!((listed.status.as_u16(), listed.header("settings-stale")), (200, None));
}

#[tokio::test]
async fn writes_that_fail_leave_reads_alone_and_come_back() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (error, reason) in [
        (StoreError::Unavailable(Cause::new("inside")), "STORE_UNAVAILABLE"),
        (StoreError::OutcomeUnknown(Cause::new("inside")), "OUTCOME_UNKNOWN"),
        (StoreError::Replaced(Cause::new("inside")), "STORE_REPLACED"),
    ] {
        server.probe.fail_writes_as(Some(error));
        let refusal = refused_write(&server, &secret).await;
        assert_eq!(refusal.reason, reason);
        assert!(!refusal.message.contains("inside"), "{}", refusal.message);
        server.clock.advance(Duration::from_secs(10));
        let listed = tags(&server, &secret).await;
        assert_eq!((listed.status.as_u16(), listed.header("settings-stale")), (200, None));
    }
    server.probe.fail_writes_as(None);
    is_well(&server, &secret).await;
}

/// Checks the answers of a server whose data was deleted. `put_back` must restore the data.
async fn serves_from_memory_until(server: &Server, secret: &str, put_back: impl AsyncFnOnce()) {
    eventually(async || server.get("/readyz").send().await.status == 503).await;
    let ready = server.get("/readyz").send().await;
    assert!(ready.text().contains("deleted or replaced while the server runs"), "{}", ready.text());
    let refusal = refused_write(server, secret).await;
    assert_eq!(refusal.reason, "STORE_REPLACED");
    assert!(refusal.message.contains("nothing was written"), "{}", refusal.message);
    // Past the bound the data is marked as stale.
    server.clock.advance(Duration::from_secs(10));
    let listed = tags(server, secret).await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    assert!(listed.header("settings-stale").is_some());
    let companies = server.refusal(secret, "ListCompanies", json!({})).await;
    assert_eq!(companies.reason, "STORE_REPLACED");
    put_back().await;
    is_well(server, secret).await;
}

/// Puts another file, or nothing, in the place of a file or directory.
fn replace(path: &Path, by: impl FnOnce(&Path)) -> impl AsyncFnOnce() {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    by(path);
    let path = path.to_owned();
    async move || {
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        fs::rename(aside, path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_is_deleted_or_replaced_under_a_server_is_noticed() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    assert_eq!(tags(&server, &secret).await.status, 200);
    let dir = server.data().path().to_owned();
    let wal = dir.join(format!("{DATABASE}-wal"));
    let store = dir.join(DATABASE);
    let bytes = fs::read(&wal).unwrap();
    for (what, path, by) in [
        ("no directory", &dir, None),
        ("no database", &store, None),
        ("another database", &store, Some(bytes.clone())),
        ("no write-ahead log", &wal, None),
        ("a copy of the log", &wal, Some(bytes)),
    ] {
        println!("{what}");
        let put_back = replace(path, |path| {
            if let Some(bytes) = by {
                fs::write(path, bytes).unwrap();
            }
        });
        serves_from_memory_until(&server, &secret, put_back).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_cut_under_a_server_is_noticed_until_it_is_started_again() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    assert_eq!(tags(&server, &secret).await.status, 200);
    let store = server.data().path().join(DATABASE);
    let wal = server.data().path().join(format!("{DATABASE}-wal"));
    let before = fs::read(&store).unwrap();
    fs::OpenOptions::new().write(true).open(&wal).unwrap().set_len(0).unwrap();
    assert_eq!(refused_write(&server, &secret).await.reason, "STORE_REPLACED");
    eventually(async || server.get("/readyz").send().await.status == 503).await;
    let data = server.stop().await;
    assert!(fs::read(&store).unwrap() == before, "the stop moves nothing");
    let server = Server::reopened(data).await;
    assert_eq!(server.get("/readyz").send().await.text(), "ok\n");
}

#[test]
fn tables_that_are_gone_or_replaced_under_a_server_are_noticed() {
    // A copy of the tables, with the rows of some, in the place of the store.
    const OTHER: &str = "ALTER SCHEMA public RENAME TO aside; CREATE SCHEMA public;
        DO $$ DECLARE one record; BEGIN
            FOR one IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'aside' LOOP
                EXECUTE format('CREATE TABLE public.%I (LIKE aside.%I INCLUDING ALL)', one.name, one.name);
            END LOOP; END $$;
        INSERT INTO public.meta SELECT * FROM aside.meta; UPDATE public.meta SET mark = mark + 1;
        INSERT INTO public.companies SELECT * FROM aside.companies";
    const BACK: &str = "DROP SCHEMA public CASCADE; ALTER SCHEMA aside RENAME TO public";
    on_postgres(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let server = Server::demo().await;
            let secret = server.any_key().await;
            assert_eq!(tags(&server, &secret).await.status, 200);
            let tables = ["changes", "keys", "entries", "deleted_entries", "key_uses"];
            let tables = tables.map(|table| {
                let away = format!("ALTER TABLE {table} RENAME TO gone");
                (away, format!("ALTER TABLE gone RENAME TO {table}"))
            });
            let schemas = [
                ("ALTER SCHEMA public RENAME TO aside; CREATE SCHEMA public", BACK),
                (OTHER, BACK),
                (
                    "CREATE TABLE kept AS SELECT * FROM meta; TRUNCATE meta",
                    "INSERT INTO meta SELECT * FROM kept",
                ),
            ];
            let schemas = schemas.map(|(away, back)| (away.to_owned(), back.to_owned()));
            for (away, back) in tables.into_iter().chain(schemas) {
                println!("{away}");
                server.data().tamper(&away).await;
                if away == OTHER {
                    // No request meets the other store, even before the server has looked.
                    assert_eq!(refused_write(&server, &secret).await.reason, "STORE_REPLACED");
                    server.clock.advance(Duration::from_secs(10));
                    assert_eq!(tags(&server, &secret).await.status, 200);
                }
                let put_back = async || server.data().tamper(&back).await;
                serves_from_memory_until(&server, &secret, put_back).await;
            }
        });
    });
}
