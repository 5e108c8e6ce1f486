//! Companies as they are written: every row and field, bases, ids and names.

use super::*;

pub(super) async fn a_company_is_read_as_it_was_committed(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "Caf\u{e9} \u{1f415}").await;
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), Some(Revision(1)));
    let business = BusinessId::parse("id", "biz_cmp_a").unwrap();
    assert_eq!(store.company_of(&business).await.unwrap(), Some(company_id("cmp_a")));
    let business = BusinessId::parse("id", "BIZ_CMP_A").unwrap();
    assert_eq!(store.company_of(&business).await.unwrap(), None);
}

pub(super) async fn every_field_of_every_row_can_change(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "Before").await;

    let mut company = company("cmp_a", "After");
    company.country = Country::default();
    company.timezone = Default::default();
    company.state = State::Archived;
    company.audit.revision = Revision(2);
    let mut business = business("biz_cmp_a", "Side Street");
    business.contact = Default::default();
    business.address = None;
    business.state = State::Archived;
    business.audit.created_time = time(5);
    let tag = &made.entries(Catalog::CustomerTags)[0];
    let deltas = vec![
        Delta::company(Some(made.company.clone()), company),
        Delta::business(Some(made.businesses[0].clone()), business),
        changed_entry(Catalog::CustomerTags, tag, |tag| {
            tag.name = name("Renamed");
            tag.description = Default::default();
            tag.color = None;
            tag.rank = u32::MAX;
            tag.state = State::Archived;
            tag.audit.last_updated_by = actor("key_1").staff_id;
            tag.audit.revision = Revision(2);
        }),
    ];
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
}

pub(super) async fn only_the_current_revision_is_a_base(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let current = touch(&*store, "cmp_a").await;
    for base in [1, 3, u64::MAX - 1] {
        let plan = from_base(touching(&current), base);
        let outcome = append(&*store, &stream("cmp_a"), &plan.line).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{base}: {outcome:?}");
    }
    let mut elsewhere = current.clone();
    elsewhere.company.id = company_id("cmp_b");
    let outcome = append(&*store, &stream("cmp_b"), &touching(&elsewhere).line).await;
    assert!(
        matches!(outcome, Err(StoreError::Conflict)),
        "a company that does not exist: {outcome:?}"
    );
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), Some(Revision(2)));
}

pub(super) async fn a_company_is_made_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let again = plan(None, vec![made_company(company("cmp_a", "B"))]);
    assert!(matches!(
        append(&*store, &stream("cmp_a"), &again.line).await,
        Err(StoreError::Conflict)
    ));
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
}

pub(super) async fn of_writers_with_one_base_one_wins(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let mut writers = Vec::new();
    for i in 0..20_u32 {
        let store = Arc::clone(&store);
        let tag = entry(&format!("tag_{i}"), &format!("Tag {i}"), i + 1);
        let plan = plan(Some(&made), vec![made_entry(Catalog::CustomerTags, tag)]);
        writers
            .push(tokio::spawn(async move { append(&*store, &stream("cmp_a"), &plan.line).await }));
    }
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
    let now = store.settings(&grant("cmp_a")).await.unwrap().unwrap();
    assert_eq!((now.revision, now.entries(Catalog::CustomerTags).len()), (Revision(2), 2));
}

pub(super) async fn a_conflict_writes_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let stale =
        plan(Some(&made), vec![made_entry(Catalog::CustomerTags, entry("lost", "Lost", 5))]);
    let current = touch(&*store, "cmp_a").await;
    assert!(matches!(
        append(&*store, &stream("cmp_a"), &stale.line).await,
        Err(StoreError::Conflict)
    ));
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(current));
    assert_eq!(log(&*store, "cmp_a").await.len(), 2);
}

pub(super) async fn a_business_id_of_another_company_is_taken(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let deltas = vec![made_business(business("biz_cmp_a", "Elsewhere"))];
    match commit(&*store, "cmp_b", deltas).await {
        Err(StoreError::Taken(Kind::Business, id)) => assert_eq!(id, "biz_cmp_a"),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_refused_plan_leaves_no_row_behind(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let deltas = vec![
        made_company(company("cmp_b", "B")),
        made_entry(Catalog::CustomerTags, entry("tag", "Tag", 1)),
        made_business(business("biz_new", "New")),
        made_business(business("biz_cmp_a", "Taken")),
    ];
    assert!(matches!(commit(&*store, "cmp_b", deltas).await, Err(StoreError::Taken(..))));
    assert_eq!(store.settings(&grant("cmp_b")).await.unwrap(), None);
    assert_eq!(store.company_of(&BusinessId::parse("id", "biz_new").unwrap()).await.unwrap(), None);
    assert!(log(&*store, "cmp_b").await.is_empty());
    make_company(&*store, "cmp_b", "B").await;
}

pub(super) async fn entries_swap_names_and_places(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let (a, b, c) = (entry("a", "A", 1), entry("b", "B", 2), entry("c", "C", 3));
    let mut deltas = vec![made_company(company("cmp_a", "A"))];
    deltas.extend([&a, &b, &c].map(|tag| made_entry(TAGS, tag.clone())));
    commit(&*store, "cmp_a", deltas).await.unwrap();

    // b takes a's name before a gives it up, and c moves to b's place.
    let deltas = vec![
        changed_entry(TAGS, &b, |tag| (tag.name, tag.rank) = (name("a"), 3)),
        changed_entry(TAGS, &a, |tag| tag.name = name("b")),
        moved(TAGS, "c", 3, 2),
    ];
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    let read = store.settings(&grant("cmp_a")).await.unwrap().unwrap();
    assert_eq!(read, after);
    let names: Vec<_> = read.entries(TAGS).iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, ["b", "C", "a"]);
}

pub(super) async fn a_whole_catalog_is_reversed(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let mut deltas = vec![made_company(company("cmp_a", "A"))];
    deltas.extend(
        (0..1_000).map(|i| made_entry(TAGS, entry(&format!("tag_{i}"), &format!("Tag {i}"), i))),
    );
    commit(&*store, "cmp_a", deltas).await.unwrap();
    let deltas = (0..1_000).map(|i| moved(TAGS, &format!("tag_{i}"), i, 999 - i)).collect();
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    assert_eq!(after.entries(TAGS)[0].id.as_str(), "tag_999");
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
}

pub(super) async fn the_default_moves(engine: &dyn Engine) {
    const CYCLES: Catalog = Catalog::LifeCycles;
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let mut second = entry("second", "Second", 2_048);
    second.is_default = true;
    let first = &made.entries(CYCLES)[0];
    let deltas = vec![
        made_entry(CYCLES, second),
        changed_entry(CYCLES, first, |cycle| cycle.is_default = false),
    ];
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
}

pub(super) async fn an_archived_entry_frees_its_name(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let first = &made.entries(TAGS)[0];
    let deltas = vec![
        made_entry(TAGS, entry("second", "FIRST", 7)),
        changed_entry(TAGS, first, |tag| tag.state = State::Archived),
    ];
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
}

pub(super) async fn one_id_is_used_in_every_catalog_and_company(engine: &dyn Engine) {
    let store = engine.open().await;
    let a = make_company(&*store, "cmp_a", "A").await;
    let b = make_company(&*store, "cmp_b", "B").await;
    for catalog in Catalog::ALL {
        assert_eq!(a.entries(catalog)[0].id, b.entries(catalog)[0].id);
    }
    assert_eq!(store.settings(&grant("cmp_b")).await.unwrap(), Some(b));
}

/// A right plan never has any of these. The store protects its rows all the same.
pub(super) async fn a_plan_that_does_not_fit_is_refused(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    const CYCLES: Catalog = Catalog::LifeCycles;
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let unknown = entry("unknown", "Unknown", 9);
    let mut second_default = entry("second", "Second", 9);
    second_default.is_default = true;
    let first = &made.entries(TAGS)[0];
    for (what, delta) in [
        ("an id twice", made_entry(TAGS, entry("first", "Other", 9))),
        ("a rank twice", made_entry(TAGS, entry("second", "Second", 1_024))),
        ("a second default", made_entry(CYCLES, second_default)),
        (
            "a change of what is not there",
            changed_entry(TAGS, &unknown, |tag| tag.name = name("X")),
        ),
        ("a move of what is not there", moved(TAGS, "unknown", 1, 2)),
        ("a move from elsewhere", moved(TAGS, "first", 1, 2)),
        ("a deletion of what is not there", deleted(TAGS, &unknown)),
        ("a deletion from elsewhere", deleted(TAGS, &entry("first", "First", 1))),
        ("a return of what was not deleted", revived(TAGS, &unknown)),
        ("a return of what is there", revived(TAGS, &entry("first", "Other", 9))),
        ("a company that was made before", made_company(company("cmp_b", "B"))),
        (
            "a business that is not there",
            Delta::business(Some(business("b", "B")), business("b", "B")),
        ),
    ] {
        let deltas = vec![changed_entry(TAGS, first, |tag| tag.color = None), delta];
        let plan = with(touching(&made), |line| line.deltas = deltas);
        let outcome = append(&*store, &stream("cmp_a"), &plan.line).await;
        assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{what}: {outcome:?}");
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
}

pub(super) async fn a_plan_for_another_company_is_refused(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let renamed = Delta::company(Some(made.company.clone()), company("cmp_a", "Renamed"));
    for (grant, plan) in [
        (grant("cmp_b"), plan(Some(&made), vec![renamed])),
        (grant("cmp_c"), plan(None, vec![made_company(company("cmp_d", "D"))])),
    ] {
        assert!(matches!(
            append(&*store, grant.stream(), &plan.line).await,
            Err(StoreError::Damaged(_))
        ));
    }
    assert_eq!(store.revision(&grant("cmp_b")).await.unwrap(), Some(Revision(1)));
    assert_eq!(store.revision(&grant("cmp_d")).await.unwrap(), None);
}
