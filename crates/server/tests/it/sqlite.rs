//! The properties of the SQLite store alone: the data directory, its files and locks, backup and restore.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
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

fn revived(restored: Restored) -> Vec<Key> {
    let mut keys = Vec::new();
    restored.revived(|key| keys.push(key.clone())).unwrap();
    keys
}

fn copy_in(dir: &TempDir) -> PathBuf {
    dir.path().join("copy.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_server_is_restored_as_one_moment() {
    let (data, copies, target) = (dir(), dir(), dir());
    let store = Arc::new(SqliteStore::open(data.path(), SERVE).unwrap());
    for id in ["cmp_a", "cmp_b"] {
        make_company(&*store, id, id).await;
    }
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for i in 1..100 {
                for id in ["cmp_a", "cmp_b"] {
                    let tag = entry(&format!("tag_{i}"), &format!("Tag {i}"), i);
                    commit(&*store, id, vec![made_entry(Catalog::CustomerTags, tag)])
                        .await
                        .unwrap();
                }
            }
        }
    });
    while store.revision(&grant("cmp_b")).await.unwrap().unwrap().0 < 10 {
        tokio::task::yield_now().await;
    }
    backup(data.path(), &copy_in(&copies)).unwrap();
    writing.await.unwrap();

    assert_eq!(names(copies.path()), ["copy.db"]);
    assert_eq!(fs::metadata(copy_in(&copies)).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = restore(target.path(), &copy_in(&copies), false).unwrap();
    assert_eq!((restored.epoch, &restored.kept), (2, &None));
    drop(restored);
    let copy = open(&target);
    assert_eq!(copy.epoch().await.unwrap(), 2);
    let (a, b) = (settings(&copy, "cmp_a").await.unwrap(), settings(&copy, "cmp_b").await.unwrap());
    assert!(
        a.revision.0 >= 10 && a.revision.0 - b.revision.0 <= 1,
        "{} {}",
        a.revision,
        b.revision
    );
    for (id, state) in [("cmp_a", a), ("cmp_b", b)] {
        let lines = log(&*store, id).await;
        assert_eq!(log(&copy, id).await, lines[..usize::try_from(state.revision.0).unwrap()]);
        assert_eq!(replay(&copy, id).await, Some(state));
    }
}

#[tokio::test]
async fn an_unchanged_store_is_restored_equal() {
    let (data, copies, target) = (dir(), dir(), dir());
    let store = open(&data);
    let made = make_company(&store, "cmp_a", "A").await;
    commit_key(&store, &key("key_1", 1)).await.unwrap();
    store.touch_keys(&[(key("key_1", 1).id, time(5))]).await.unwrap();
    backup(data.path(), &copy_in(&copies)).unwrap();
    let restored = restore(target.path(), &copy_in(&copies), false).unwrap();
    assert_eq!(revived(restored), [key("key_1", 1)]);
    let copy = open(&target);
    assert_eq!(settings(&copy, "cmp_a").await, Some(made));
    assert_eq!(
        sound(copy.keys(None, None, 100).await.unwrap()).unwrap(),
        sound(store.keys(None, None, 100).await.unwrap()).unwrap()
    );
    assert_eq!(log(&copy, "cmp_a").await, log(&store, "cmp_a").await);
}

#[test]
fn a_backup_overwrites_nothing() {
    let (data, copies) = (dir(), dir());
    drop(open(&data));
    fs::write(copy_in(&copies), "precious").unwrap();
    assert!(matches!(backup(data.path(), &copy_in(&copies)), Err(OpenError::Exists(_))));
    assert_eq!(fs::read_to_string(copy_in(&copies)).unwrap(), "precious");
    assert_eq!(names(copies.path()), ["copy.db"]);
    // A backup makes neither the directory nor the store.
    let empty = dir();
    assert!(matches!(backup(empty.path(), &empty.path().join("copy")), Err(OpenError::NoStore(_))));
    assert!(names(empty.path()).is_empty());
    assert!(backup(data.path(), &copies.path().join("missing/copy.db")).is_err());
}

#[tokio::test]
async fn a_restore_in_place_keeps_the_old_store_and_names_the_revived_keys() {
    let (data, copies) = (dir(), dir());
    let store = open(&data);
    make_company(&store, "cmp_a", "A").await;
    let kept = key("key_1", 1);
    let revoked_before = changed_key(&key("key_2", 2), |key| key.revoked_time = Some(time(9)));
    let revoked_after = key("key_3", 3);
    let rotated_after = key("key_5", 5);
    for key in [&kept, &key("key_2", 2), &revoked_before, &revoked_after, &rotated_after] {
        commit_key(&store, key).await.unwrap();
    }
    backup(data.path(), &copy_in(&copies)).unwrap();
    let then = settings(&store, "cmp_a").await;
    let now = touch(&store, "cmp_a").await;
    commit_key(&store, &changed_key(&revoked_after, |key| key.revoked_time = Some(time(9))))
        .await
        .unwrap();
    commit_key(&store, &key("key_4", 4)).await.unwrap();
    let rotated = changed_key(&rotated_after, |key| key.secret = SecretDigest([6; 32]));
    commit_key(&store, &rotated).await.unwrap();
    drop(store);

    assert!(matches!(restore(data.path(), &copy_in(&copies), false), Err(OpenError::HasStore(_))));
    let restored = restore(data.path(), &copy_in(&copies), true).unwrap();
    assert_eq!(restored.epoch, 2);
    let old = restored.kept.clone().unwrap();
    assert_eq!(revived(restored), [revoked_after, rotated_after]);
    assert_eq!(old, data.path().join("customer-settings.db.replaced-1"));
    assert_eq!(names(data.path()), [DATABASE, "customer-settings.db.replaced-1", "serve.lock"]);
    assert_eq!(settings(&open(&data), "cmp_a").await, then);

    // The old store can be restored in the same way, as a third epoch.
    let restored = restore(data.path(), &old, true).unwrap();
    assert_eq!(restored.epoch, 3);
    let revived = revived(restored);
    assert_eq!(revived.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["key_4", "key_5"]);
    let store = open(&data);
    assert_eq!(store.epoch().await.unwrap(), 3);
    assert_eq!(settings(&store, "cmp_a").await, Some(now));
}

#[test]
fn a_store_in_use_is_not_replaced() {
    let (data, copies) = (dir(), dir());
    drop(open(&data));
    backup(data.path(), &copy_in(&copies)).unwrap();
    let server = SqliteStore::open(data.path(), SERVE).unwrap();
    assert!(matches!(restore(data.path(), &copy_in(&copies), true), Err(OpenError::InUse(_))));
    drop(server);
    restore(data.path(), &copy_in(&copies), true).unwrap();
}

/// Such a command holds none of our locks, but the engine's own locks show it.
#[test]
fn a_store_that_a_command_uses_is_not_replaced() {
    let (data, copies) = (dir(), dir());
    drop(open(&data));
    backup(data.path(), &copy_in(&copies)).unwrap();
    let command = SqliteStore::open(data.path(), Access::Write).unwrap();
    let error = restore(data.path(), &copy_in(&copies), true).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(!names(data.path()).contains(&"customer-settings.db.restoring".to_owned()));
    drop(command);
    restore(data.path(), &copy_in(&copies), true).unwrap();
}

#[tokio::test]
async fn what_is_no_whole_backup_is_not_restored() {
    let (data, copies, target) = (dir(), dir(), dir());
    let store = open(&data);
    make_company(&store, "cmp_a", "A").await;
    backup(data.path(), &copy_in(&copies)).unwrap();
    let whole = fs::read(copy_in(&copies)).unwrap();
    let bad = copies.path().join("bad.db");

    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("text", b"text".repeat(5_000)),
        ("half", whole[..whole.len() / 2].to_vec()),
    ] {
        fs::write(&bad, bytes).unwrap();
        let error = restore(target.path(), &bad, false).unwrap_err();
        assert!(
            matches!(error, OpenError::NotOurs(_) | OpenError::Damaged { .. }),
            "{what}: {error}"
        );
        assert!(error.to_string().contains("bad.db"), "{what}: {error}");
    }
    fs::write(&bad, &whole).unwrap();
    tamper(&bad, "PRAGMA foreign_keys = OFF; DELETE FROM companies");
    assert!(matches!(restore(target.path(), &bad, false), Err(OpenError::Damaged { .. })));
    fs::write(&bad, &whole).unwrap();
    tamper(&bad, "UPDATE meta SET schema_version = 9, oldest_schema_version = 9");
    assert!(matches!(restore(target.path(), &bad, false), Err(OpenError::TooNew { .. })));
    assert!(restore(target.path(), &copies.path().join("missing.db"), false).is_err());

    // After all of these, the directory still counts as empty.
    restore(target.path(), &copy_in(&copies), false).unwrap();
}

#[test]
fn a_restore_touches_no_other_directory() {
    let (data, copies, other) = (dir(), dir(), dir());
    drop(open(&data));
    backup(data.path(), &copy_in(&copies)).unwrap();
    fs::write(other.path().join("thesis.txt"), "").unwrap();
    for replace in [false, true] {
        assert!(matches!(
            restore(other.path(), &copy_in(&copies), replace),
            Err(OpenError::NotEmpty { .. })
        ));
    }
    assert_eq!(names(other.path()), ["thesis.txt"]);
    assert!(matches!(
        restore(&other.path().join("missing"), &copy_in(&copies), false),
        Err(OpenError::NoDirectory(_))
    ));
}

/// A directory with a store, and a backup of it.
fn backed_up() -> (TempDir, TempDir) {
    let (data, copies) = (dir(), dir());
    drop(open(&data));
    backup(data.path(), &copy_in(&copies)).unwrap();
    (data, copies)
}

const RESTORING: &str = "customer-settings.db.restoring";

#[test]
fn what_a_killed_restore_left_in_an_empty_directory_is_named_and_the_next_one_cleans_up() {
    let (_data, copies) = backed_up();
    for left in
        [&[RESTORING][..], &[RESTORING, "customer-settings.db.restoring-journal", "serve.lock"]]
    {
        let target = dir();
        for name in left {
            fs::write(target.path().join(name), "half").unwrap();
        }
        for access in [Access::Read, Access::Write, SERVE] {
            let error = SqliteStore::open(target.path(), access).unwrap_err();
            assert!(matches!(error, OpenError::Unfinished(_)), "{error}");
            assert!(error.to_string().contains("repeat the restore"), "{error}");
        }
        drop(restore(target.path(), &copy_in(&copies), false).unwrap());
        let expected = [DATABASE, "serve.lock"];
        assert_eq!(names(target.path()), expected[..if left.len() > 1 { 2 } else { 1 }]);
    }
}

#[tokio::test]
async fn what_a_killed_restore_left_beside_a_store_goes_with_the_next_one_or_the_next_writer() {
    let (data, copies) = backed_up();
    let kept = data.path().join("customer-settings.db.replaced-1");
    let leave = || {
        // The state between the two renames of a restore.
        fs::write(data.path().join(RESTORING), "half").unwrap();
        fs::write(data.path().join("customer-settings.db.restoring-wal"), "half").unwrap();
        fs::hard_link(data.path().join(DATABASE), &kept).unwrap();
    };
    leave();
    let reader = SqliteStore::open(data.path(), Access::Read).unwrap();
    assert!(data.path().join(RESTORING).exists());
    drop(reader);
    let store = open(&data);
    make_company(&store, "cmp_a", "A").await;
    drop(store);
    assert_eq!(names(data.path()), [DATABASE]);

    leave();
    let restored = restore(data.path(), &copy_in(&copies), true).unwrap();
    assert_eq!((restored.epoch, restored.kept.as_deref()), (2, Some(&*kept)));
    drop(restored);
    assert_eq!(names(data.path()), [DATABASE, "customer-settings.db.replaced-1", "serve.lock"]);
    assert_eq!(settings(&open(&data), "cmp_a").await, None);
    drop(restore(data.path(), &kept, true).unwrap());
    assert!(settings(&open(&data), "cmp_a").await.is_some());
}

/// On a file system without links there is a moment without a database.
#[test]
fn a_store_that_was_set_aside_is_named() {
    let (data, copies) = backed_up();
    let kept = data.path().join("customer-settings.db.replaced-1");
    fs::rename(data.path().join(DATABASE), &kept).unwrap();
    fs::write(data.path().join(RESTORING), "half").unwrap();
    for replace in [false, true] {
        let error = restore(data.path(), &copy_in(&copies), replace).unwrap_err().to_string();
        assert!(
            error.contains("customer-settings.db.replaced-1 is left")
                && error.contains("put it back"),
            "{error}"
        );
    }
    assert_eq!(names(data.path()), ["customer-settings.db.replaced-1"]);
}

#[test]
fn what_a_killed_backup_left_goes_with_the_next_one() {
    let (data, copies) = backed_up();
    // A backup to standard output leaves this beside the data, with the id of its process.
    let left = data.path().join("customer-settings.db.backup-1");
    fs::write(&left, [0; 100]).unwrap();
    let running = data.path().join("customer-settings.db.backup-2");
    fs::write(&running, "").unwrap();
    let lock = fs::File::open(&running).unwrap();
    lock.try_lock().unwrap();
    drop(open(&data));
    assert!(!left.exists() && running.exists(), "one that is made just now stays");
    drop(lock);
    drop(backup_nameless(data.path()).unwrap());
    drop(open(&data));
    assert_eq!(names(data.path()), [DATABASE]);

    // A backup to a file leaves this, also if it was killed after the file got its name.
    let partial = copies.path().join("copy.db.partial");
    fs::hard_link(copy_in(&copies), &partial).unwrap();
    assert!(
        matches!(backup(data.path(), &copy_in(&copies)), Err(OpenError::Exists(path)) if path == copy_in(&copies))
    );
    assert_eq!(names(copies.path()), ["copy.db"]);
    fs::write(copies.path().join("new.db.partial"), [0; 100]).unwrap();
    backup(data.path(), &copies.path().join("new.db")).unwrap();
    assert_eq!(names(copies.path()), ["copy.db", "new.db"]);
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
