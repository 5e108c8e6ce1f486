//! Request ids: which request is found, and which one is a conflict.

use super::*;

pub(super) fn with_request(plan: Plan, id: &str) -> Plan {
    with(plan, |line| line.request = Some(request(id, 7)))
}

pub(super) async fn a_request_is_found_by_its_id(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let key = KeyId::parse("id", "key_1").unwrap();
    let find = async |store: &dyn Store, company, key: &str, id| {
        let key = KeyId::parse("id", key).unwrap();
        store.request(&lines_of(company), &key, &request_id(id)).await.unwrap()
    };
    assert_eq!(find(&*store, "cmp_a", "key_1", "r-1").await, None);
    let subjects = vec![Subject::Company, Subject::Catalog(Catalog::CustomerTags)];
    let plan = with(with_request(touching(&made), "r-1"), |line| {
        line.subjects = Some(subjects.clone());
    });
    assert_eq!(plan.line.actor.key_id, Some(key));
    append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
    touch(&*store, "cmp_a").await;

    let expected = LoggedRequest {
        of: "cmp_a".to_owned(),
        digest: [7; 32],
        revision: Revision(2),
        changed: true,
        subjects,
    };
    assert_eq!(find(&*store, "cmp_a", "key_1", "r-1").await, Some(expected.clone()));
    for (company, key, id) in [
        ("cmp_b", "key_1", "r-1"),
        ("cmp_a", "key_2", "r-1"),
        ("cmp_a", "key_1", "R-1"),
        ("cmp_a", "key_1", "r-2"),
    ] {
        assert_eq!(find(&*store, company, key, id).await, None, "{company} {key} {id}");
    }
    drop(store);
    let store = engine.open().await;
    assert_eq!(find(&*store, "cmp_a", "key_1", "r-1").await, Some(expected));
}

pub(super) async fn a_request_id_is_taken_as_it_is(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    let key = KeyId::parse("id", "key_1").unwrap();
    let longest = "~".repeat(128);
    for id in ["a", "\"\"a\"\"", "\" a \"", "'; --", longest.as_str()] {
        let plan = with_request(touching(&current), id);
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        assert!(store.request(&lines_of("cmp_a"), &key, &request_id(id)).await.unwrap().is_some());
        let line = log(&*store, "cmp_a").await.pop().unwrap();
        assert_eq!(line.request.map(|one| one.id), Some(request_id(id)), "{id}");
        current = plan.after;
    }
    assert_eq!(current.revision, Revision(6), "all of them are different");
}

pub(super) async fn a_request_id_is_used_once_per_company_and_key(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let first = with_request(touching(&made), "1");
    append(&*store, &stream("cmp_a"), &first.line).await.unwrap();
    let current = first.after;

    // The same key and the same company: another change, or nothing to change.
    for plan in [touching(&current), plan(Some(&current), Vec::new())] {
        let outcome = append(&*store, &stream("cmp_a"), &with_request(plan, "1").line).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(current.clone()));
    assert_eq!(log(&*store, "cmp_a").await.len(), 2);

    // Another key, another company, another id, and no id.
    let mut other_key = with_request(touching(&current), "1");
    other_key.line.actor = actor("key_2");
    append(&*store, &stream("cmp_a"), &other_key.line).await.unwrap();
    let b = store.settings(&grant("cmp_b")).await.unwrap().unwrap();
    append(&*store, &stream("cmp_b"), &with_request(touching(&b), "1").line).await.unwrap();
    let other_id = with_request(touching(&other_key.after), "2");
    append(&*store, &stream("cmp_a"), &other_id.line).await.unwrap();
    touch(&*store, "cmp_a").await;
    touch(&*store, "cmp_a").await;
    for (key, revision) in [("key_1", 2), ("key_2", 3)] {
        let key = KeyId::parse("id", key).unwrap();
        let found =
            store.request(&lines_of("cmp_a"), &key, &request_id("1")).await.unwrap().unwrap();
        assert_eq!(found.revision, Revision(revision));
    }
}

/// The answer of the first attempt is in the log, so the second attempt must not be refused because of it.
pub(super) async fn a_used_request_id_is_a_conflict_before_anything_else(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    make_company(&*store, "cmp_b", "B").await;
    let mut made = make_company(&*store, "cmp_a", "A").await;
    let first = made.entries(TAGS)[0].clone();
    let plan_first = with_request(plan(Some(&made), vec![deleted(TAGS, &first)]), "1");
    append(&*store, &stream("cmp_a"), &plan_first.line).await.unwrap();
    made = plan_first.after;
    for delta in [made_entry(TAGS, first), made_business(business("biz_cmp_b", "Taken"))] {
        let again = plan(Some(&made), vec![delta]);
        let outcome = append(&*store, &stream("cmp_a"), &again.line).await;
        assert!(matches!(outcome, Err(StoreError::Taken(..))), "{outcome:?}");
        let outcome = append(&*store, &stream("cmp_a"), &with_request(again, "1").line).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
}

pub(super) async fn a_request_that_changed_nothing_is_found_and_raises_no_revision(
    engine: &dyn Engine,
) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let current = touch(&*store, "cmp_a").await;
    let lines = log(&*store, "cmp_a").await;
    let first = Subject::Entry(Catalog::LifeCycles, EntryId::parse("id", "first").unwrap());
    for (id, subjects) in [("1", vec![first]), ("2", vec![Subject::Company]), ("3", Vec::new())] {
        let plan = with(with_request(plan(Some(&current), vec![]), id), |line| {
            line.subjects = Some(subjects.clone());
        });
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        let key = plan.line.actor.key_id.unwrap();
        let found = store.request(&lines_of("cmp_a"), &key, &request_id(id)).await.unwrap();
        let expected = LoggedRequest {
            of: "cmp_a".to_owned(),
            digest: [7; 32],
            revision: Revision(2),
            changed: false,
            subjects,
        };
        assert_eq!(found, Some(expected));
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(current));
    assert_eq!(log(&*store, "cmp_a").await, lines);
    drop(store);

    let store = engine.open().await;
    let key = KeyId::parse("id", "key_1").unwrap();
    assert!(store.request(&lines_of("cmp_a"), &key, &request_id("1")).await.unwrap().is_some());
    assert_eq!(touch(&*store, "cmp_a").await.revision, Revision(3));
    assert_eq!(log(&*store, "cmp_a").await.len(), 3);
    assert_eq!(replay(&*store, "cmp_a").await, store.settings(&grant("cmp_a")).await.unwrap());
}

pub(super) async fn lines_of_one_stream_are_written_together_or_not_at_all(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = plan(None, vec![made_company(company("cmp_a", "A"))]);
    let second = with_request(touching(&made.after), "1");
    let nothing = with_request(plan(Some(&second.after), vec![]), "2");
    let third = touching(&second.after);
    let of_company: Vec<_> =
        [&made, &second, &nothing, &third].map(|plan| (stream("cmp_a"), plan.line.clone())).into();
    let keys: Vec<Key> = (1..=3)
        .map(|revision| {
            // Each revision has another secret.
            let mut key = key("key_9", revision);
            key.audit.revision = Revision(revision.into());
            key
        })
        .collect();
    let of_key = vec![
        key_change(None, &keys[0]),
        key_change(Some(&keys[0]), &keys[1]),
        self::nothing(&keys[1], "2"),
        key_change(Some(&keys[1]), &keys[2]),
    ];
    for lines in [of_company, of_key] {
        let commit = async |lines: &[(Stream, Line)]| {
            let lines: Vec<_> = lines.iter().map(|(stream, line)| (stream, line)).collect();
            store.commit(&lines, None).await
        };
        let log = async || store.log(&lines[0].0, (Revision(0), 0), 9).await.unwrap();
        // Without the second line, the last one has no base.
        let gap = [lines[0].clone(), lines[3].clone()];
        assert!(matches!(commit(&gap).await, Err(StoreError::Conflict)));
        assert!(log().await.is_empty());
        commit(&lines).await.unwrap();
        let written: Vec<Line> = log().await.into_iter().map(|(_, line)| line).collect();
        assert!(written.iter().eq(lines.iter().map(|(_, line)| line)), "{written:?}");
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(third.after));
    assert_eq!(store.key(&keys[2].id).await.unwrap().unwrap().0, keys[2]);
}

pub(super) async fn a_request_that_changes_nothing_needs_the_current_base(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let current = touch(&*store, "cmp_a").await;
    for base in [1, 3, u64::MAX - 1] {
        let nothing = with_request(plan(Some(&current), Vec::new()), "1");
        let plan = from_base(nothing, base);
        let outcome = append(&*store, &stream("cmp_a"), &plan.line).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{base}: {outcome:?}");
    }
    let mut elsewhere = current.clone();
    elsewhere.company.id = company_id("cmp_b");
    let nothing = with_request(plan(Some(&elsewhere), Vec::new()), "1");
    let outcome = append(&*store, &stream("cmp_b"), &nothing.line).await;
    assert!(matches!(outcome, Err(StoreError::Conflict)), "no such company: {outcome:?}");
    let key = KeyId::parse("id", "key_1").unwrap();
    assert_eq!(store.request(&lines_of("cmp_a"), &key, &request_id("1")).await.unwrap(), None);
    let right = with_request(plan(Some(&current), Vec::new()), "1");
    append(&*store, &stream("cmp_a"), &right.line).await.unwrap();
}

pub(super) async fn a_request_needs_a_key_and_an_empty_plan_a_request(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let nothing = plan(Some(&made), Vec::new());
    let by_nobody = |plan| with(plan, |line| line.actor = grant("cmp_a").actor().clone());
    for (what, plan) in [
        ("no request", nothing.clone()),
        ("no key", by_nobody(with_request(nothing.clone(), "1"))),
        ("a change without a key", by_nobody(with_request(touching(&made), "1"))),
        ("no company", from_base(with_request(nothing, "1"), 0)),
    ] {
        let outcome = append(&*store, &stream("cmp_a"), &plan.line).await;
        assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{what}: {outcome:?}");
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
    assert_eq!(log(&*store, "cmp_a").await.len(), 1);
}

pub(super) async fn a_request_about_a_key_is_remembered_per_acting_key(engine: &dyn Engine) {
    let store = engine.open().await;
    let (first, second) = (key("key_1", 1), key("key_2", 2));
    let commit = async |key: &Key, by: &str| {
        let line = with_line(key_line(key), |line| {
            (line.actor, line.request) = (actor(by), Some(request("r", 7)));
        });
        commit_key_line(&*store, &line).await
    };
    commit(&first, "key_a").await.unwrap();
    assert!(matches!(commit(&second, "key_a").await, Err(StoreError::Conflict)));
    assert_eq!(
        sound(store.keys(None, None, 100).await.unwrap()).unwrap().len(),
        1,
        "a conflict writes nothing"
    );
    commit(&second, "key_b").await.unwrap();
    for (actor, expected) in [("key_a", Some("key_1")), ("key_b", Some("key_2")), ("key_c", None)] {
        let actor = KeyId::parse("id", actor).unwrap();
        let found = store.request(&Streams::keys(), &actor, &request_id("r")).await.unwrap();
        let expected = expected.map(|of| LoggedRequest {
            of: of.to_owned(),
            digest: [7; 32],
            revision: Revision(1),
            changed: true,
            subjects: vec![],
        });
        assert_eq!(found, expected);
    }
}

pub(super) async fn a_request_that_changed_no_key_is_found_and_raises_no_revision(
    engine: &dyn Engine,
) {
    let store = engine.open().await;
    let key = key("key_1", 1);
    commit_key(&*store, &key).await.unwrap();
    for id in ["r1", "r2"] {
        commit_key_line(&*store, &nothing(&key, id)).await.unwrap();
        let by = actor("key_1").key_id.unwrap();
        let found = store.request(&Streams::keys(), &by, &request_id(id)).await.unwrap().unwrap();
        assert_eq!(
            (found.of.as_str(), found.revision, found.changed),
            ("key_1", Revision(1), false)
        );
    }
    let again = commit_key_line(&*store, &nothing(&key, "r1")).await;
    assert!(matches!(again, Err(StoreError::Conflict)));
    assert_eq!(sound(store.keys(None, None, 100).await.unwrap()).unwrap(), [(key.clone(), None)]);
    assert_eq!(store.log_before(&Streams::keys(), None, None, 9).await.unwrap().len(), 1);
    let without = with_line(nothing(&key, "r3"), |line| line.request = None);
    let local = with_line(nothing(&key, "r3"), |line| line.actor.key_id = None);
    for unfit in [without, local] {
        let outcome = commit_key_line(&*store, &unfit).await;
        assert!(matches!(outcome, Err(StoreError::Damaged(_))));
    }
    let next = changed_key(&key, |key| key.name = name("Other"));
    commit_key(&*store, &next).await.unwrap();
    let late = commit_key_line(&*store, &nothing(&key, "r3")).await;
    assert!(matches!(late, Err(StoreError::Conflict)));
}
