//! Backups and restores, and what they leave when they are killed.

use super::*;

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

#[tokio::test]
async fn a_database_is_restored_with_the_log_beside_it() {
    let running = dir();
    let store = SqliteStore::open(running.path(), SERVE).unwrap();
    make_company(&store, "cmp_a", "A").await;
    commit_key(&store, &key("key_1", 1)).await.unwrap();
    let made = touch(&store, "cmp_a").await;
    let (killed, links) = (killed(running.path()), dir());
    let link = links.path().join("link.db");
    std::os::unix::fs::symlink(killed.path().join(DATABASE), &link).unwrap();
    let before = rows_in(killed.path());
    for from in [killed.path().join(DATABASE), link, running.path().join(DATABASE)] {
        let target = dir();
        let restored = restore(target.path(), &from, false).unwrap();
        assert_eq!(revived(restored), [key("key_1", 1)]);
        assert_eq!(names(target.path()), [DATABASE]);
        assert_eq!(settings(&open(&target), "cmp_a").await, Some(made.clone()));
        assert!(rows_in(killed.path()) == before);
    }
    touch(&store, "cmp_a").await;
    // The engine would delete the log of an empty file.
    fs::write(killed.path().join(DATABASE), "").unwrap();
    let error = restore(dir().path(), &killed.path().join(DATABASE), false).unwrap_err();
    assert!(matches!(error, OpenError::NotOurs(_)), "{error}");
    assert!(rows_in(killed.path())[1] == before[1]);
    // Damage is told of the file that was given.
    fs::write(killed.path().join(DATABASE), "text".repeat(5_000)).unwrap();
    fs::remove_file(killed.path().join(WAL)).unwrap();
    fs::write(killed.path().join(WAL), "").unwrap();
    let error = restore(dir().path(), &killed.path().join(DATABASE), false).unwrap_err();
    assert!(error.to_string().contains(&killed.path().display().to_string()), "{error}");
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
