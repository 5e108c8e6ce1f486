//! The properties of the SQLite store alone: the data directory, its files and locks, backup and restore.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use customer_settings_server::{
    catalog::{
        entry::Catalog,
        key::{Key, SecretDigest},
        settings::Settings,
    },
    store::{
        Access, Companies, Keys, Log, Meta, StoreError, Uses, sound,
        sqlite::{DATABASE, OpenError, Restored, SqliteStore, backup, backup_nameless, restore},
    },
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store_samples::*;

mod backups;

const WAL: &str = "customer-settings.db-wal";
const SERVE: Access = Access::Serve { make_directory: false };

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(dir.path(), Access::Write).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|found| found.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Runs any SQL on a database, past the program.
fn tamper(database: &Path, sql: &str) {
    Connection::open(database).unwrap().execute_batch(sql).unwrap();
}

async fn settings(store: &SqliteStore, company: &str) -> Option<Settings> {
    store.settings(&grant(company)).await.unwrap()
}

fn copy_in(dir: &TempDir) -> PathBuf {
    dir.path().join("copy.db")
}

fn revived(restored: Restored) -> Vec<Key> {
    let mut keys = Vec::new();
    restored.revived(|key| keys.push(key.clone())).unwrap();
    keys
}

#[test]
fn a_mistyped_path_creates_nothing() {
    let dir = dir();
    let missing = dir.path().join("missing");
    for access in [SERVE, Access::Write, Access::Read] {
        let error = SqliteStore::open(&missing, access).unwrap_err();
        let path = missing.display();
        assert_eq!(
            error.to_string(),
            format!(
                "there is no directory {path}: check the path, or make it first with 'mkdir {path}'"
            )
        );
    }
    assert!(!missing.exists());
}

#[test]
fn a_server_may_make_its_directory_where_it_is_told_to() {
    let dir = dir();
    let path = dir.path().join("demo-data");
    let store = SqliteStore::open(&path, Access::Serve { make_directory: true }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    drop(store);
    SqliteStore::open(&path, Access::Serve { make_directory: true }).unwrap();
}

#[test]
fn a_file_is_not_a_data_directory() {
    let dir = dir();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(SqliteStore::open(&file, SERVE), Err(OpenError::NotADirectory(_))));
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    for access in [SERVE, Access::Serve { make_directory: true }, Access::Write, Access::Read] {
        let dir = dir();
        fs::write(dir.path().join(".hidden"), "").unwrap();
        let error = SqliteStore::open(dir.path(), access).unwrap_err();
        assert!(error.to_string().contains("holds other files (.hidden) and no store"), "{error}");
        assert_eq!(names(dir.path()), [".hidden"]);
    }
}

#[test]
fn a_new_volume_is_an_empty_directory() {
    let dir = dir();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    open(&dir);
}

#[test]
fn reading_makes_no_store() {
    let dir = dir();
    assert!(matches!(SqliteStore::open(dir.path(), Access::Read), Err(OpenError::NoStore(_))));
    assert!(names(dir.path()).is_empty());
    // A program that dies while it makes a store leaves these files.
    for left in ["customer-settings.db.new", "customer-settings.db.new-journal"] {
        fs::write(dir.path().join(left), "").unwrap();
    }
    assert!(matches!(SqliteStore::open(dir.path(), Access::Read), Err(OpenError::NoStore(_))));
    open(&dir);
    assert_eq!(names(dir.path()), [DATABASE]);
    SqliteStore::open(dir.path(), Access::Read).unwrap();
}

/// The refusal that every command gets which opens the directory. No command changes the directory.
fn refused_by_all(dir: &TempDir) -> String {
    let before = names(dir.path());
    let copy = dir.path().join("copy");
    let open = |access| SqliteStore::open(dir.path(), access).unwrap_err().to_string();
    let mut told: Vec<_> = [SERVE, Access::Write, Access::Read].into_iter().map(open).collect();
    told.push(backup(dir.path(), &copy).unwrap_err().to_string());
    assert_eq!(names(dir.path()), before);
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[tokio::test]
async fn a_database_that_was_emptied_is_not_a_new_one() {
    let (data, copies) = (dir(), dir());
    let store = SqliteStore::open(data.path(), SERVE).unwrap();
    make_company(&store, "cmp_a", "A").await;
    drop(store);
    backup(data.path(), &copy_in(&copies)).unwrap();
    let database = data.path().join(DATABASE);
    for (bytes, sql) in [("", ""), ("S", ""), ("", "CREATE TABLE one (id TEXT); DROP TABLE one")] {
        fs::write(&database, bytes).unwrap();
        tamper(&database, sql);
        let told = refused_by_all(&data);
        assert!(told.contains("customer-settings.db is empty, so what it held is lost"), "{told}");
        assert!(told.contains("restore --replace"), "{told}");
    }
    // The advice of the refusal helps.
    fs::write(&database, "").unwrap();
    let wal = data.path().join("customer-settings.db-wal");
    fs::write(&wal, "perhaps all that is left").unwrap();
    refused_by_all(&data);
    assert!(restore(data.path(), &copy_in(&copies), true).is_err());
    assert!(wal.exists());
    fs::remove_file(wal).unwrap();
    let restored = restore(data.path(), &copy_in(&copies), true).unwrap();
    let kept = data.path().join("customer-settings.db.replaced-0");
    assert_eq!(restored.kept.as_deref(), Some(&*kept));
    assert_eq!(restored.epoch, 2);
    assert!(revived(restored).is_empty());
    assert!(settings(&open(&data), "cmp_a").await.is_some());
}

#[tokio::test]
async fn a_store_without_its_database_is_not_a_new_one() {
    let (data, copies) = (dir(), dir());
    let store = SqliteStore::open(data.path(), SERVE).unwrap();
    make_company(&store, "cmp_a", "A").await;
    backup(data.path(), &copy_in(&copies)).unwrap();
    let wal = fs::read(data.path().join("customer-settings.db-wal")).unwrap();
    drop(store);
    fs::remove_file(data.path().join(DATABASE)).unwrap();
    // The lock file shows that a server had a store here.
    let told = refused_by_all(&data);
    assert!(told.contains("customer-settings.db is gone") && told.contains("serve.lock"), "{told}");
    let other = dir();
    for left in ["customer-settings.db-wal", "customer-settings.db.replaced-1"] {
        fs::write(other.path().join(left), &wal).unwrap();
        let told = refused_by_all(&other);
        assert!(told.contains("is gone") && told.contains(left), "{told}");
        // SQLite would use the old log for the restored database.
        assert!(restore(other.path(), &copy_in(&copies), true).is_err());
        fs::remove_file(other.path().join(left)).unwrap();
    }
    restore(data.path(), &copy_in(&copies), false).unwrap();
    assert!(settings(&open(&data), "cmp_a").await.is_some());
}

#[tokio::test]
async fn a_database_that_was_cut_is_damaged_wherever_it_was_cut() {
    let data = dir();
    let store = open(&data);
    make_company(&store, "cmp_a", "A").await;
    drop(store);
    let database = data.path().join(DATABASE);
    let whole = fs::read(&database).unwrap();
    for bytes in [2, 16, 100, 511, 512, 4_095, 4_096, 5_000, whole.len() / 2, whole.len() - 4_096] {
        fs::write(&database, &whole[..bytes]).unwrap();
        let told = refused_by_all(&data);
        assert!(told.contains("damaged") && told.contains("into an empty directory"), "{told}");
        assert_eq!(fs::metadata(&database).unwrap().len(), bytes as u64);
    }
    fs::write(&database, &whole).unwrap();
    assert!(settings(&open(&data), "cmp_a").await.is_some());
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let dir = dir();
    let store = SqliteStore::open(dir.path(), SERVE).unwrap();
    make_company(&store, "cmp_a", "A").await;
    let names = names(dir.path());
    assert_eq!(
        names,
        [DATABASE, "customer-settings.db-shm", "customer-settings.db-wal", "serve.lock"]
    );
    for name in names {
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_server_is_refused_and_other_commands_are_not() {
    let dir = dir();
    let first = SqliteStore::open(dir.path(), SERVE).unwrap();
    let error = SqliteStore::open(dir.path(), SERVE).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(!error.to_string().contains('\n'));
    SqliteStore::open(dir.path(), Access::Write).unwrap();
    SqliteStore::open(dir.path(), Access::Read).unwrap();
    drop(first);
    SqliteStore::open(dir.path(), SERVE).unwrap();
}

#[test]
fn many_programs_may_make_one_store_at_once() {
    let dir = dir();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| open(&dir));
        }
    });
    assert_eq!(names(dir.path()), [DATABASE]);
}

#[test]
fn a_database_for_newer_programs_is_refused() {
    let dir = dir();
    drop(open(&dir));
    tamper(
        &dir.path().join(DATABASE),
        "UPDATE meta SET schema_version = 9, oldest_schema_version = 8",
    );
    for access in [SERVE, Access::Write, Access::Read] {
        let error = SqliteStore::open(dir.path(), access).unwrap_err().to_string();
        assert!(
            error.contains("needs a program of schema 8 or later and this one has schema 1"),
            "{error}"
        );
    }
    assert!(matches!(backup(dir.path(), &dir.path().join("copy")), Err(OpenError::TooNew { .. })));
    tamper(&dir.path().join(DATABASE), "UPDATE meta SET oldest_schema_version = 1");
    open(&dir);
}

#[test]
fn a_store_without_one_of_its_tables_is_refused() {
    for table in ["changes", "console_links", "meta"] {
        let dir = dir();
        drop(open(&dir));
        let database = dir.path().join(DATABASE);
        tamper(&database, &format!("DROP TABLE {table}"));
        for access in [SERVE, Access::Write, Access::Read] {
            let told = SqliteStore::open(dir.path(), access).unwrap_err().to_string();
            assert!(
                told.contains("is damaged") && told.contains("restore a sound backup"),
                "{told}"
            );
            let is_named = told.contains(&format!("it has no table {table}"));
            assert!(is_named || table == "meta", "{told}");
        }
        let other = self::dir();
        assert!(restore(other.path(), &database, false).is_err());
    }
}

#[test]
fn a_file_of_something_else_is_refused() {
    let dir = dir();
    let database = dir.path().join(DATABASE);
    tamper(&database, "CREATE TABLE theirs (id TEXT)");
    assert!(matches!(SqliteStore::open(dir.path(), SERVE), Err(OpenError::NotOurs(_))));
    fs::write(&database, "no database at all, but long enough to be looked at".repeat(100))
        .unwrap();
    assert!(matches!(SqliteStore::open(dir.path(), SERVE), Err(OpenError::NotOurs(_))));
}

#[tokio::test]
async fn a_row_that_cannot_be_understood_is_damage_and_not_a_panic() {
    let dir = dir();
    let store = open(&dir);
    make_company(&store, "cmp_a", "A").await;
    tamper(
        &dir.path().join(DATABASE),
        "UPDATE entries SET color = 'green'; UPDATE changes SET body = '{}'",
    );
    assert!(matches!(store.settings(&grant("cmp_a")).await, Err(StoreError::Damaged(_))));
    let lines = store.log(&stream("cmp_a"), Default::default(), 10).await;
    assert!(matches!(lines, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn dropping_the_store_leaves_one_file() {
    let dir = dir();
    let store = open(&dir);
    make_company(&store, "cmp_a", "A").await;
    drop(store);
    assert_eq!(names(dir.path()), [DATABASE]);
}

/// The directory of a server that was killed: its rows are in the log.
fn killed(running: &Path) -> TempDir {
    let dir = dir();
    for name in [DATABASE, WAL] {
        fs::copy(running.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

/// The files that hold rows.
fn rows_in(dir: &Path) -> [Vec<u8>; 2] {
    [DATABASE, WAL].map(|name| fs::read(dir.join(name)).unwrap())
}

#[tokio::test]
async fn whoever_only_reads_leaves_what_a_killed_server_left() {
    let running = dir();
    let store = SqliteStore::open(running.path(), SERVE).unwrap();
    let made = make_company(&store, "cmp_a", "A").await;
    let (data, copies) = (killed(running.path()), dir());
    let before = rows_in(data.path());
    for _ in 0..2 {
        let reader = SqliteStore::open(data.path(), Access::Read).unwrap();
        assert_eq!(settings(&reader, "cmp_a").await, Some(made.clone()));
        drop(reader);
        assert!(rows_in(data.path()) == before);
        drop(backup_nameless(data.path()).unwrap());
        assert!(rows_in(data.path()) == before);
    }
    backup(data.path(), &copy_in(&copies)).unwrap();
    assert!(rows_in(data.path()) == before);
    // The next program that writes moves the rows into the database.
    let writer = open(&data);
    assert_eq!(settings(&writer, "cmp_a").await, Some(made));
    drop(writer);
    assert_eq!(names(data.path()), [DATABASE]);
}

#[tokio::test]
async fn a_log_that_is_cut_or_overwritten_is_noticed_and_spoils_nothing() {
    type Damage = Box<dyn Fn(&fs::File)>;
    let cut = |length: u64| move |file: &fs::File| file.set_len(length).unwrap();
    let zeros = |at: u64, many: usize| {
        move |file: &fs::File| file.write_all_at(&vec![0; many], at).unwrap()
    };
    let damages: [(&str, Damage); 5] = [
        ("emptied", Box::new(cut(0))),
        ("only its header", Box::new(cut(32))),
        ("shorter", Box::new(cut(5_000))),
        ("overwritten", Box::new(zeros(0, 100_000))),
        ("another header", Box::new(zeros(16, 8))),
    ];
    for (what, damage) in damages {
        let data = dir();
        let store = SqliteStore::open(data.path(), SERVE).unwrap();
        make_company(&store, "cmp_a", "A").await;
        let [before, _] = rows_in(data.path());
        damage(&fs::OpenOptions::new().write(true).open(data.path().join(WAL)).unwrap());
        let made = vec![made_company(company("cmp_b", "B"))];
        let written = commit(&store, "cmp_b", made).await;
        assert!(matches!(written, Err(StoreError::Replaced(_))), "{what}: {written:?}");
        let read = store.settings(&grant("cmp_a")).await;
        assert!(matches!(read, Err(StoreError::Replaced(_))), "{what}: {read:?}");
        assert!(store.change_mark().await.is_err(), "{what}");
        drop(store);
        assert!(fs::read(data.path().join(DATABASE)).unwrap() == before, "{what}");
        // The rows that were in the log are lost, and all others are there.
        assert_eq!(open(&data).epoch().await.unwrap(), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_another_program_empties_is_no_lost_one() {
    let data = dir();
    let store = Arc::new(SqliteStore::open(data.path(), SERVE).unwrap());
    make_company(&*store, "cmp_a", "A").await;
    let path = data.path().to_owned();
    let others = tokio::spawn(async move {
        for id in ["cmp_b", "cmp_c", "cmp_d", "cmp_e"] {
            for round in 0..10 {
                let other = SqliteStore::open(&path, Access::Write).unwrap();
                match round {
                    0 => drop(make_company(&other, id, id).await),
                    _ => drop(touch(&other, id).await),
                }
            }
        }
    });
    while !others.is_finished() {
        touch(&*store, "cmp_a").await;
        for _ in 0..20 {
            store.change_mark().await.unwrap();
        }
    }
    others.await.unwrap();
}

#[tokio::test]
async fn whoever_only_reads_changes_nothing() {
    let data = dir();
    let store = open(&data);
    make_company(&store, "cmp_a", "A").await;
    drop(store);
    let database = data.path().join(DATABASE);
    tamper(&database, "PRAGMA journal_mode = DELETE; UPDATE meta SET fold_key_version = 0");
    let before = fs::read(&database).unwrap();
    let reader = SqliteStore::open(data.path(), Access::Read).unwrap();
    assert_eq!(reader.fold_key(&grant("cmp_a")).await.unwrap().unwrap().0, 0);
    assert!(reader.raise_epoch(9).await.is_err());
    drop(reader);
    assert_eq!(fs::read(&database).unwrap(), before);
    // Opening the store for writing renews the keys.
    assert_eq!(open(&data).fold_key(&grant("cmp_a")).await.unwrap().unwrap().0, 1);
    tamper(&database, "UPDATE meta SET schema_version = 0");
    let error = SqliteStore::open(data.path(), Access::Read).unwrap_err();
    assert!(error.to_string().contains("has schema 0 and this program reads schema 1"), "{error}");
}
