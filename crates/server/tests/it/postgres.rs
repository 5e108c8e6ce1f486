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

mod failures;
mod notices;
mod speed;

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

/// A server that accepts connections and sends nothing.
async fn silent_server() -> (u16, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    timeout(PATIENCE, notices.recv()).await.expect("no notice comes").unwrap()
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
        (format!("postgres:secret@127.0.0.1:{port}/postgres?sslmode=verify-ca"), "trust"),
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
