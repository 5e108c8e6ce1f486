//! Keys: their rows, their secrets, their logs, and those that they made.

use super::*;

pub(super) async fn a_key_is_read_as_it_was_committed(engine: &dyn Engine) {
    let store = engine.open().await;
    let key = key("key_1", 1);
    commit_key(&*store, &key).await.unwrap();
    assert_eq!(store.key_by_secret(&key.secret).await.unwrap(), Some(key.clone()));
    assert_eq!(store.key_by_secret(&SecretDigest([2; 32])).await.unwrap(), None);
    assert_eq!(sound(store.keys(None, None, 100).await.unwrap()).unwrap(), [(key, None)]);
}

pub(super) async fn a_key_that_covers_all_and_may_all_is_read_as_it_was_committed(
    engine: &dyn Engine,
) {
    let store = engine.open().await;
    let mut all = key("key_1", 1);
    all.scopes = Scopes::All;
    all.coverage = Coverage::All;
    all.addresses = Vec::new();
    all.expires_time = None;
    all.staff_id = None;
    let mut nothing = key("key_0", 2);
    nothing.scopes = Scopes::Only([].into());
    nothing.coverage = Coverage::Only([].into());
    nothing.revoked_time = Some(time(7));
    for key in [&all, &nothing] {
        commit_key(&*store, key).await.unwrap();
    }
    assert_eq!(
        sound(store.keys(None, None, 100).await.unwrap()).unwrap(),
        [(nothing.clone(), None), (all.clone(), None)]
    );
    assert_eq!(sound(store.keys(None, None, 1).await.unwrap()).unwrap(), [(nothing.clone(), None)]);
    assert_eq!(
        sound(store.keys(None, Some(&nothing.id), 1).await.unwrap()).unwrap(),
        [(all.clone(), None)]
    );
    assert!(sound(store.keys(None, Some(&all.id), 1).await.unwrap()).unwrap().is_empty());
}

pub(super) async fn a_key_changes_only_from_its_current_revision(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = key("key_1", 1);
    let second = changed_key(&first, |key| key.revoked_time = Some(time(9)));
    assert!(matches!(commit_key(&*store, &second).await, Err(StoreError::Conflict)));
    commit_key(&*store, &first).await.unwrap();
    commit_key(&*store, &second).await.unwrap();
    assert!(matches!(commit_key(&*store, &second).await, Err(StoreError::Conflict)));
    let fourth = changed_key(&changed_key(&second, |_| {}), |_| {});
    assert!(matches!(commit_key(&*store, &fourth).await, Err(StoreError::Conflict)));
    assert_eq!(store.key_by_secret(&first.secret).await.unwrap(), Some(second));
}

pub(super) async fn a_key_id_or_secret_is_taken_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = key("key_1", 1);
    commit_key(&*store, &first).await.unwrap();
    let other = key("key_2", 2);
    commit_key(&*store, &other).await.unwrap();
    for taken in
        [key("key_1", 3), key("key_3", 1), changed_key(&other, |key| key.secret = first.secret)]
    {
        match commit_key(&*store, &taken).await {
            Err(StoreError::Taken(Kind::Key, holder)) => assert_eq!(holder, "key_1"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        sound(store.keys(None, None, 100).await.unwrap()).unwrap(),
        [(first, None), (other, None)]
    );
}

pub(super) async fn a_replaced_secret_is_forgotten(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = key("key_1", 1);
    commit_key(&*store, &first).await.unwrap();
    let second = changed_key(&first, |key| key.secret = SecretDigest([2; 32]));
    commit_key(&*store, &second).await.unwrap();
    assert_eq!(store.key_by_secret(&first.secret).await.unwrap(), None);
    assert_eq!(store.key_by_secret(&second.secret).await.unwrap(), Some(second));
}

pub(super) async fn a_key_revision_follows_the_one_before(engine: &dyn Engine) {
    let store = engine.open().await;
    let key = key("key_1", 1);
    let far = with_line(key_line(&key), |line| line.revision = Revision(8));
    let of_other = (Stream::key(&KeyId::parse("id", "key_2").unwrap()), key_line(&key).1);
    let made_later = key_change(None, &changed_key(&key, |_| {}));
    for unfit in [far, of_other, made_later] {
        let outcome = commit_key_line(&*store, &unfit).await;
        assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{outcome:?}");
    }
    assert!(sound(store.keys(None, None, 100).await.unwrap()).unwrap().is_empty());
}

pub(super) fn made_by(by: Option<&str>, id: &str, secret: u8) -> Key {
    let created_by_key_id = by.map(|by| KeyId::parse("id", by).unwrap());
    Key { created_by_key_id, ..key(id, secret) }
}

pub(super) fn ids(keys: Vec<Key>) -> Vec<String> {
    keys.iter().map(|key| key.id.to_string()).collect()
}

/// key_1 made key_2, which made key_3 and key_4. Another key made key_5.
pub(super) async fn make_family(store: &dyn Store) -> Vec<Key> {
    let family = [(None, 1), (Some("key_1"), 2), (Some("key_2"), 3), (Some("key_2"), 4), (None, 5)];
    let family = family.map(|(by, number)| made_by(by, &format!("key_{number}"), number));
    for key in &family {
        commit_key(store, key).await.unwrap();
    }
    family.to_vec()
}

pub(super) fn revoked(key: &Key) -> Key {
    changed_key(key, |key| key.revoked_time = Some(time(9)))
}

pub(super) async fn the_secrets_that_were_written_since_are_read(engine: &dyn Engine) {
    let store = engine.open().await;
    assert!(store.secrets(0, 9).await.unwrap().is_empty());
    let family = make_family(&*store).await;
    let digest = |number: u8| SecretDigest([number; 32]);
    let all = store.secrets(0, 9).await.unwrap();
    let secrets: Vec<_> = all.iter().map(|one| (one.secret, one.previous)).collect();
    assert_eq!(secrets, (1..=5).map(|number| (digest(number), None)).collect::<Vec<_>>());
    assert!(all.is_sorted_by(|one, next| one.sequence < next.sequence));
    // In pages, without repeating a row.
    let (first, last) = (all[0].sequence, all[4].sequence);
    assert_eq!(store.secrets(first, 2).await.unwrap(), all[1..3]);
    assert!(store.secrets(last, 9).await.unwrap().is_empty());
    let rotated = changed_key(&family[1], |key| {
        let previous = PreviousSecret { digest: key.secret, expires_time: time(9) };
        (key.previous, key.secret) = (Some(previous), digest(9));
    });
    // Another program's view.
    let other = engine.open().await;
    commit_key(&*other, &rotated).await.unwrap();
    commit_key(&*other, &revoked(&family[2])).await.unwrap();
    let since = store.secrets(last, 9).await.unwrap();
    let secrets: Vec<_> = since.iter().map(|one| (one.secret, one.previous)).collect();
    assert_eq!(secrets, [(digest(9), Some(digest(2))), (digest(3), None)]);
    assert!(since[0].sequence > last && since[1].sequence > since[0].sequence);
}

pub(super) async fn the_keys_that_descend_from_one_are_found(engine: &dyn Engine) {
    let store = engine.open().await;
    let family = make_family(&*store).await;
    let of =
        async |i: usize, limit| ids(store.key_descendants(&family[i].id, limit).await.unwrap());
    assert_eq!(of(0, 9).await, ["key_2", "key_3", "key_4"]);
    assert_eq!(of(0, 2).await, ["key_2", "key_3"]);
    assert_eq!(of(1, 9).await, ["key_3", "key_4"]);
    assert!(of(2, 9).await.is_empty());
    // The descendants of a revoked key count too.
    commit_key(&*store, &revoked(&family[1])).await.unwrap();
    assert_eq!(of(0, 9).await, ["key_3", "key_4"]);
    let made = async |by: usize, after: Option<&KeyId>| {
        let keys = sound(store.keys(Some(&family[by].id), after, 9).await.unwrap()).unwrap();
        ids(keys.into_iter().map(|(key, _)| key).collect())
    };
    assert_eq!(made(0, None).await, ["key_2"]);
    assert_eq!(made(1, None).await, ["key_3", "key_4"]);
    assert_eq!(made(1, Some(&family[2].id)).await, ["key_4"]);
    assert!(made(4, None).await.is_empty());
}

/// Always these lines.
pub(super) fn always(lines: &[KeyLine]) -> PlanFamily {
    let lines = lines.to_vec();
    Arc::new(move |_| Some(lines.clone()))
}

pub(super) async fn keys_are_written_together_or_not_at_all(engine: &dyn Engine) {
    let store = engine.open().await;
    let family = make_family(&*store).await;
    let along = along(&[&family[1]]);
    let lines = [
        with_line(key_line(&revoked(&family[0])), |line| {
            (line.request, line.subjects) = (Some(request("r", 7)), along.clone());
        }),
        key_line(&revoked(&family[1])),
    ];
    let late = key_line(&revoked(&revoked(&family[2])));
    let taken = key_line(&made_by(None, "key_9", 3));
    let unfit = with_line(key_line(&family[2]), |line| line.revision = Revision(8));
    let commit = async |plan| store.commit_key_family(&family[0].id, 9, plan, None).await;
    for (more, expected) in [(late, "Conflict"), (taken, "Taken"), (unfit, "Damaged")] {
        let outcome = commit(always(&[lines.to_vec(), vec![more]].concat())).await;
        let outcome = format!("{:?}", outcome.unwrap_err());
        assert!(outcome.starts_with(expected), "{outcome}");
    }
    assert!(matches!(commit(Arc::new(|_| None)).await, Err(StoreError::Conflict)));
    assert_eq!(store.key(&family[0].id).await.unwrap().unwrap().0, family[0]);
    let acting = KeyId::parse("id", "key_1").unwrap();
    let find = async || store.request(&Streams::keys(), &acting, &request_id("r")).await.unwrap();
    assert_eq!(find().await, None);

    commit(always(&lines)).await.unwrap();
    for i in [0, 1] {
        assert_eq!(store.key(&family[i].id).await.unwrap().unwrap().0, revoked(&family[i]));
    }
    let seen = find().await.unwrap();
    assert_eq!((seen.of.as_str(), seen.revision), ("key_1", Revision(2)));
    assert_eq!(Some(seen.subjects), along);
    let of_head = Streams::one(&lines[0].0);
    assert_eq!(store.log_before(&of_head, None, None, 1).await.unwrap(), [lines[0].1.clone()]);
    let whole = store.log(&lines[0].0, (Revision(0), 0), 9).await.unwrap();
    assert_eq!(whole[1], (0, lines[0].1.clone()));
}

pub(super) async fn a_key_that_is_revoked_writes_nothing_more(engine: &dyn Engine) {
    let store = engine.open().await;
    let family = make_family(&*store).await;
    let make = async |number: u8, live: &Key| {
        let new = made_by(Some("key_2"), &format!("key_{number}"), number);
        let (stream, line) = key_line(&new);
        store.commit(&[(&stream, &line)], Some(&live.id)).await
    };
    make(6, &family[1]).await.unwrap();
    commit_key(&*store, &revoked(&family[1])).await.unwrap();
    assert!(matches!(make(7, &family[1]).await, Err(StoreError::Conflict)));
    // A key that does not exist makes no keys either.
    assert!(matches!(make(7, &key("key_8", 8)).await, Err(StoreError::Conflict)));
    let all = always(&[key_line(&revoked(&family[0]))]);
    let outcome = store.commit_key_family(&family[0].id, 9, all.clone(), Some(&family[1].id)).await;
    assert!(matches!(outcome, Err(StoreError::Conflict)));
    // A key may end itself.
    store.commit_key_family(&family[0].id, 9, all, Some(&family[0].id)).await.unwrap();
}

/// Each child makes keys for as long as possible, until the first key ends with all of its descendants.
pub(super) async fn nothing_is_made_while_a_key_ends_with_all_that_it_made(engine: &dyn Engine) {
    let store = engine.open().await;
    let head = made_by(None, "head", 1);
    commit_key(&*store, &head).await.unwrap();
    let mut makers = Vec::new();
    for child in 0..4_u8 {
        let mut name = format!("child_{child}");
        commit_key(&*store, &made_by(Some("head"), &name, 2 + child)).await.unwrap();
        let store = Arc::clone(&store);
        makers.push(tokio::spawn(async move {
            for made in 0_u32.. {
                let mut new = made_by(Some(&name), &format!("child_{child}_{made}"), 0);
                new.secret.0[0] = child;
                new.secret.0[1..5].copy_from_slice(&made.to_be_bytes());
                let live = KeyId::parse("id", &name).unwrap();
                let (stream, line) = key_line(&new);
                match store.commit(&[(&stream, &line)], Some(&live)).await {
                    Ok(()) => {}
                    Err(StoreError::Conflict) => return,
                    Err(other) => panic!("{other:?}"),
                }
                // The newest key makes the next one. No other thread may have met it yet.
                name = new.id.to_string();
            }
        }));
    }
    let made = async || store.key_descendants(&head.id, 10_000).await.unwrap().len();
    eventually(async || made().await > 20).await;
    let of_head = head.clone();
    let plan: PlanFamily = Arc::new(move |found| {
        Some([&of_head].into_iter().chain(found).map(|key| key_line(&revoked(key))).collect())
    });
    store.commit_key_family(&head.id, 10_000, plan, None).await.unwrap();
    assert_eq!(made().await, 0);
    for maker in makers {
        maker.await.unwrap();
    }
    assert_eq!(made().await, 0);
}

pub(super) async fn the_next_expiry_is_that_of_a_key_that_still_works(engine: &dyn Engine) {
    let store = engine.open().await;
    let next = async |after| store.next_key_expiry(time(after)).await.unwrap();
    assert_eq!(next(0).await, None);
    let expiring =
        |id, secret, at: Option<i64>| Key { expires_time: at.map(time), ..key(id, secret) };
    let soon = expiring("key_soon", 1, Some(10));
    for key in [&soon, &expiring("key_later", 2, Some(20)), &expiring("key_never", 3, None)] {
        commit_key(&*store, key).await.unwrap();
    }
    assert_eq!((next(9).await, next(10).await), (Some(time(10)), Some(time(20))));
    assert_eq!(next(20).await, None);
    let revoked = changed_key(&soon, |key| key.revoked_time = Some(time(5)));
    commit_key(&*store, &revoked).await.unwrap();
    assert_eq!(next(0).await, Some(time(20)));
}

pub(super) async fn uses_of_keys_are_remembered_and_never_move_back(engine: &dyn Engine) {
    let store = engine.open().await;
    for (id, secret) in [("key_1", 1), ("key_2", 2)] {
        commit_key(&*store, &key(id, secret)).await.unwrap();
    }
    let id = |id| KeyId::parse("id", id).unwrap();
    store.touch_keys(&[]).await.unwrap();
    store.touch_keys(&[(id("key_1"), time(5)), (id("key_9"), time(5))]).await.unwrap();
    store.touch_keys(&[(id("key_1"), time(4))]).await.unwrap();
    let uses: Vec<_> = sound(store.keys(None, None, 100).await.unwrap())
        .unwrap()
        .into_iter()
        .map(|(_, used)| used)
        .collect();
    assert_eq!(uses, [Some(time(5)), None]);
    store.touch_keys(&[(id("key_1"), time(6))]).await.unwrap();
    assert_eq!(
        sound(store.keys(None, None, 100).await.unwrap()).unwrap()[0],
        (key("key_1", 1), Some(time(6)))
    );
}

pub(super) async fn a_previous_secret_finds_its_key_and_belongs_to_nobody_else(
    engine: &dyn Engine,
) {
    let store = engine.open().await;
    let first = key("key_1", 1);
    commit_key(&*store, &first).await.unwrap();
    let rotated = changed_key(&first, |key| {
        let previous = PreviousSecret { digest: key.secret, expires_time: time(9) };
        (key.previous, key.secret) = (Some(previous), SecretDigest([2; 32]));
    });
    commit_key(&*store, &rotated).await.unwrap();
    for secret in [1, 2] {
        let found = store.key_by_secret(&SecretDigest([secret; 32])).await.unwrap();
        assert_eq!(found.as_ref(), Some(&rotated), "{secret}");
    }
    let thief = key("key_2", 1);
    assert!(matches!(commit_key(&*store, &thief).await, Err(StoreError::Taken(..))));
}

pub(super) async fn the_whole_key_log_is_read_by_key(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, two) = (key("key_1", 1), key("key_2", 2));
    commit_key(&*store, &two).await.unwrap();
    commit_key(&*store, &one).await.unwrap();
    commit_key_line(&*store, &nothing(&one, "r")).await.unwrap();
    commit_key(&*store, &changed_key(&one, |key| key.name = name("Other"))).await.unwrap();
    let log = async |key: &Key, after: (Revision, u32), limit| {
        store.log(&Stream::key(&key.id), after, limit).await.unwrap()
    };
    let whole = log(&one, (Revision(0), 0), 9).await;
    let places: Vec<_> = whole.iter().map(|(part, line)| (line.revision, *part)).collect();
    assert_eq!(places, [(Revision(1), 0), (Revision(1), 1), (Revision(2), 0)]);
    for (i, after) in places.iter().enumerate() {
        assert_eq!(log(&one, *after, 9).await, whole[i + 1..]);
    }
    assert_eq!(log(&one, places[0], 1).await, whole[1..2]);
    assert_eq!(log(&two, (Revision(0), 0), 9).await.len(), 1);
    let ids = [one.id, two.id];
    assert_eq!(store.key_ids(None, 9).await.unwrap(), ids);
    assert_eq!(store.key_ids(None, 1).await.unwrap(), ids[..1]);
    assert_eq!(store.key_ids(Some(&ids[0]), 9).await.unwrap(), ids[1..]);
    assert!(store.key_ids(Some(&ids[1]), 9).await.unwrap().is_empty());
}

pub(super) async fn the_key_log_is_read_newest_first(engine: &dyn Engine) {
    let store = engine.open().await;
    let of_all = async |before: Option<&LinePlace>, limit| {
        store.log_before(&Streams::keys(), before, None, limit).await.unwrap()
    };
    assert!(of_all(None, 9).await.is_empty());
    let (one, two) = (key("key_1", 1), key("key_2", 2));
    let three = changed_key(&one, |key| {
        let previous = PreviousSecret { digest: key.secret, expires_time: time(9) };
        (key.previous, key.secret) = (Some(previous), SecretDigest([3; 32]));
    });
    for (line, at, asked) in [
        (key_change(None, &one), 1, None),
        (key_change(None, &two), 1, None),
        (key_change(Some(&one), &three), 2, Some(request("r", 7))),
    ] {
        let line = with_line(line, |line| (line.time, line.request) = (time(at), asked));
        commit_key_line(&*store, &line).await.unwrap();
    }
    let all = of_all(None, 9).await;
    let shown: Vec<_> = all.iter().map(|line| sides(line).unwrap()).collect();
    assert_eq!(shown, [(Some(&one), &three), (None, &two), (None, &one)]);
    assert_eq!(all[0].request.as_ref().map(|request| &request.id), Some(&request_id("r")));
    assert_eq!((all[0].actor.clone(), all[0].time), (actor("key_1"), time(2)));
    let of_one = Streams::one(&Stream::key(&one.id));
    let of_one = store.log_before(&of_one, None, None, 9).await.unwrap();
    assert_eq!(of_one, [all[0].clone(), all[2].clone()]);
    let mut paged: Vec<Line> = Vec::new();
    while let Some(line) = of_all(paged.last().map(LinePlace::of_key).as_ref(), 1).await.pop() {
        paged.push(line);
    }
    assert_eq!(paged, all);
    assert!(of_all(None, 0).await.is_empty());
}
