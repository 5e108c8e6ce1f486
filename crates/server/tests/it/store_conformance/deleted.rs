//! Deleted entries: their ids, and the way back.

use super::*;

pub(super) async fn an_id_of_a_deleted_entry_is_not_used_again(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let first = made.entries(TAGS)[0].clone();
    assert!(!was_deleted(&*store, "cmp_a", TAGS, &first.id).await);
    // The id is refused later on, and in the same change.
    let at_once = with(touching(&made), |line| {
        line.deltas = vec![deleted(TAGS, &first), made_entry(TAGS, first.clone())];
    });
    let outcome = append(&*store, &stream("cmp_a"), &at_once.line).await;
    assert!(matches!(outcome, Err(StoreError::Taken(Kind::Entry, _))), "{outcome:?}");
    assert!(!was_deleted(&*store, "cmp_a", TAGS, &first.id).await);

    let after = commit(&*store, "cmp_a", vec![deleted(TAGS, &first)]).await.unwrap();
    assert_eq!(after.entry(TAGS, &first.id), None);
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap().as_ref(), Some(&after));
    assert!(was_deleted(&*store, "cmp_a", TAGS, &first.id).await);
    let deltas = vec![
        made_entry(TAGS, entry("second", "Second", 5)),
        made_entry(TAGS, entry("first", "Other", 9)),
    ];
    match commit(&*store, "cmp_a", deltas).await {
        Err(StoreError::Taken(Kind::Entry, id)) => assert_eq!(id, "first"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
    assert_eq!(log(&*store, "cmp_a").await.len(), 2);
    drop(store);
    let store = engine.open().await;
    assert!(was_deleted(&*store, "cmp_a", TAGS, &first.id).await);
    assert_eq!(replay(&*store, "cmp_a").await, store.settings(&grant("cmp_a")).await.unwrap());
}

pub(super) async fn a_deleted_entry_comes_back_with_its_id(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let first = made.entries(TAGS)[0].clone();
    for _ in 0..2 {
        commit(&*store, "cmp_a", vec![deleted(TAGS, &first)]).await.unwrap();
        let after = commit(&*store, "cmp_a", vec![revived(TAGS, &first)]).await.unwrap();
        assert_eq!(after.catalogs, made.catalogs);
        assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
        assert!(!was_deleted(&*store, "cmp_a", TAGS, &first.id).await);
    }
    assert_eq!(replay(&*store, "cmp_a").await, store.settings(&grant("cmp_a")).await.unwrap());
}

pub(super) async fn a_deleted_entry_frees_its_name_its_place_and_its_being_the_default(
    engine: &dyn Engine,
) {
    const CYCLES: Catalog = Catalog::LifeCycles;
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let first = made.entries(CYCLES)[0].clone();
    let second = Entry { id: EntryId::parse("id", "second").unwrap(), ..first.clone() };
    // In either order: the new entry takes everything that the deleted one had.
    let deltas = vec![made_entry(CYCLES, second.clone()), deleted(CYCLES, &first)];
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
    // Back again, while a third entry leaves its place and a fourth one takes the free place.
    let third = Entry { is_default: false, rank: 1, ..entry("third", "Third", 1) };
    commit(&*store, "cmp_a", vec![made_entry(CYCLES, third.clone())]).await.unwrap();
    let back = Entry { name: name("Third"), rank: 1, ..first.clone() };
    let deltas = vec![
        revived(CYCLES, &back),
        changed_entry(CYCLES, &third, |cycle| (cycle.name, cycle.rank) = (name("First"), 2)),
        made_entry(CYCLES, entry("fourth", "Fourth", first.rank)),
        deleted(CYCLES, &second),
    ];
    let after = commit(&*store, "cmp_a", deltas).await.unwrap();
    let ids: Vec<_> = after.entries(CYCLES).iter().map(|cycle| cycle.id.as_str()).collect();
    assert_eq!(ids, ["first", "third", "fourth"]);
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
    assert_eq!(replay(&*store, "cmp_a").await, store.settings(&grant("cmp_a")).await.unwrap());
}

pub(super) async fn ids_are_deleted_per_catalog_and_company(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let first = made.entries(Catalog::CustomerTags)[0].clone();
    commit(&*store, "cmp_a", vec![deleted(Catalog::CustomerTags, &first)]).await.unwrap();
    for (company, catalog, expected) in [
        ("cmp_a", Catalog::CustomerTags, true),
        ("cmp_a", Catalog::LifeCycles, false),
        ("cmp_b", Catalog::CustomerTags, false),
        ("cmp_x", Catalog::CustomerTags, false),
    ] {
        let found = was_deleted(&*store, company, catalog, &first.id).await;
        assert_eq!(found, expected, "{company} {catalog}");
    }
    let unknown = EntryId::parse("id", "FIRST").unwrap();
    let ids = [unknown, first.id.clone()];
    let found = store.deleted_among(&grant("cmp_a"), Catalog::CustomerTags, &ids).await;
    assert_eq!(found.unwrap(), [first.id]);
}

pub(super) async fn was_deleted(
    store: &dyn Store,
    company: &str,
    catalog: Catalog,
    id: &EntryId,
) -> bool {
    let ids = std::slice::from_ref(id);
    !store.deleted_among(&grant(company), catalog, ids).await.unwrap().is_empty()
}
