//! Lists of companies and locations: their order, their pages, and what a caller covers.

use super::*;

pub(super) async fn names_of_companies(store: &dyn Store, offset: u64, limit: u32) -> Vec<String> {
    let companies =
        sound(store.list_companies(&covering_all(), false, None, offset, limit).await.unwrap())
            .unwrap();
    companies.iter().map(|company| format!("{}/{}", company.name, company.id)).collect()
}

pub(super) async fn companies_are_listed_by_code_points_and_then_id(engine: &dyn Engine) {
    let store = engine.open().await;
    for (id, name) in [
        ("5", "b"),
        ("4", "\u{1f415}"),
        ("3", "\u{ff21}"),
        ("b", "B"),
        ("a", "b"),
        ("A", "b"),
        ("2", "\u{e9}"),
        ("1", "a b"),
        ("0", "a-b"),
    ] {
        commit(&*store, id, vec![made_company(company(id, name))]).await.unwrap();
    }
    let expected =
        ["B/b", "a b/1", "a-b/0", "b/5", "b/A", "b/a", "\u{e9}/2", "\u{ff21}/3", "\u{1f415}/4"];
    assert_eq!(names_of_companies(&*store, 0, 100).await, expected);
}

pub(super) async fn companies_are_paged(engine: &dyn Engine) {
    let store = engine.open().await;
    for id in ["c", "a", "b"] {
        commit(&*store, id, vec![made_company(company(id, "Same"))]).await.unwrap();
    }
    for (offset, limit, expected) in [
        (0, 2, &["Same/a", "Same/b"][..]),
        (2, 2, &["Same/c"]),
        (3, 2, &[]),
        (1, 1, &["Same/b"]),
        (0, 0, &[]),
        (u64::MAX, u32::MAX, &[]),
    ] {
        assert_eq!(names_of_companies(&*store, offset, limit).await, expected, "{offset} {limit}");
    }
}

pub(super) async fn companies_are_paged_after_a_name_and_an_id(engine: &dyn Engine) {
    let store = engine.open().await;
    for (id, name) in [("c", "B"), ("a", "B"), ("b", "B"), ("d", "A"), ("e", "C")] {
        commit(&*store, id, vec![made_company(company(id, name))]).await.unwrap();
    }
    let made = store.settings(&grant("b")).await.unwrap().unwrap();
    let mut archived = made.company.clone();
    archived.state = State::Archived;
    let delta = Delta::company(Some(made.company), archived);
    commit(&*store, "b", vec![delta]).await.unwrap();

    let few = covering(&["a", "b", "d"]);
    for (grant, show_archived, after, offset, expected) in [
        (covering_all(), false, ("A", "d"), 0, "a c"),
        (covering_all(), true, ("A", "d"), 0, "a b"),
        (covering_all(), true, ("A", "d"), 1, "b c"),
        (covering_all(), true, ("B", "b"), 0, "c e"),
        // The place of a deleted row is still a place.
        (covering_all(), true, ("B", "aa"), 0, "b c"),
        (covering_all(), true, ("C", "e"), 0, ""),
        (few.clone(), true, ("A", "c"), 0, "d a"),
        (few.clone(), true, ("B", "a"), 0, "b"),
        (few, false, ("B", "a"), 0, ""),
    ] {
        let id = company_id(after.1);
        let found = store.list_companies(&grant, show_archived, Some((after.0, &id)), offset, 2);
        let ids: Vec<String> =
            sound(found.await.unwrap()).unwrap().iter().map(|held| held.id.to_string()).collect();
        assert_eq!(ids.join(" "), expected, "{after:?}");
    }
}

pub(super) async fn archived_companies_are_not_listed(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let mut archived = made.company.clone();
    archived.state = State::Archived;
    let delta = Delta::company(Some(made.company), archived);
    let after = commit(&*store, "cmp_a", vec![delta]).await.unwrap();

    assert_eq!(names_of_companies(&*store, 0, 10).await, ["B/cmp_b"]);
    let businesses = store.list_businesses(&covering_all(), 0, 10).await.unwrap();
    assert_eq!(
        businesses.iter().map(|(company, _)| company.as_str()).collect::<Vec<_>>(),
        ["cmp_b"]
    );
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
    let business = BusinessId::parse("id", "biz_cmp_a").unwrap();
    assert_eq!(store.company_of(&business).await.unwrap(), Some(company_id("cmp_a")));
}

pub(super) async fn businesses_are_listed_across_covered_companies(engine: &dyn Engine) {
    let store = engine.open().await;
    for (id, businesses) in [("cmp_a", ["m", "z"]), ("cmp_b", ["a", "n"]), ("cmp_c", ["b", "c"])] {
        let mut deltas = vec![made_company(company(id, id))];
        deltas
            .extend(businesses.map(|name| made_business(business(&format!("{id}_{name}"), name))));
        commit(&*store, id, deltas).await.unwrap();
    }
    let mut closed = business("cmp_a_closed", "closed");
    closed.state = State::Archived;
    commit(&*store, "cmp_a", vec![made_business(closed)]).await.unwrap();

    for (grant, offset, limit, expected) in [
        (covering_all(), 0, 10, &["a", "b", "c", "m", "n", "z"][..]),
        (covering(&["cmp_a", "cmp_b"]), 0, 10, &["a", "m", "n", "z"]),
        (covering(&["cmp_a", "cmp_b"]), 1, 2, &["m", "n"]),
        (covering(&["cmp_c"]), 0, 1, &["b"]),
        (covering(&[]), 0, 10, &[]),
    ] {
        let found = store.list_businesses(&grant, offset, limit).await.unwrap();
        assert_eq!(
            found.iter().map(|(_, business)| business.name.as_str()).collect::<Vec<_>>(),
            expected
        );
    }
    let found = store.list_businesses(&covering(&["cmp_b"]), 0, 1).await.unwrap();
    assert_eq!(found, [(company_id("cmp_b"), business("cmp_b_a", "a"))]);
}

pub(super) async fn a_coverage_may_name_what_does_not_exist(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let found = sound(
        store.list_companies(&covering(&["cmp_a", "cmp_x"]), false, None, 0, 10).await.unwrap(),
    )
    .unwrap();
    assert_eq!(found, [company("cmp_a", "A")]);
    assert!(
        sound(store.list_companies(&covering(&["cmp_x"]), false, None, 0, 10).await.unwrap())
            .unwrap()
            .is_empty()
    );
    assert!(
        sound(store.list_companies(&covering(&[]), false, None, 0, 10).await.unwrap())
            .unwrap()
            .is_empty()
    );
}

pub(super) async fn companies_are_found_by_their_fold_key(engine: &dyn Engine) {
    let store = engine.open().await;
    for (id, name) in [("b", "STRASSE"), ("a", "Stra\u{df}e"), ("c", "Strasse 2")] {
        commit(&*store, id, vec![made_company(company(id, name))]).await.unwrap();
    }
    let fold_key = name("strasse").fold_key();
    let found = store.companies_named(&covering_all(), &fold_key).await.unwrap();
    assert_eq!(found, [company_id("a"), company_id("b")]);
    let found = store.companies_named(&covering(&["b", "c"]), &fold_key).await.unwrap();
    assert_eq!(found, [company_id("b")]);

    let made = store.settings(&grant("a")).await.unwrap().unwrap();
    let renamed = Delta::company(Some(made.company), company("a", "X"));
    commit(&*store, "a", vec![renamed]).await.unwrap();
    assert_eq!(store.companies_named(&covering_all(), &fold_key).await.unwrap(), [company_id("b")]);
    assert_eq!(store.companies_named(&covering_all(), "x").await.unwrap(), [company_id("a")]);
}

pub(super) async fn company_ids_are_paged_by_id(engine: &dyn Engine) {
    let store = engine.open().await;
    assert!(store.company_ids(&covering_all(), None, 9).await.unwrap().is_empty());
    for (id, name) in [("b", "Y"), ("B", "Z"), ("-", "W"), ("a", "X")] {
        let mut made = company(id, name);
        made.state = State::Archived;
        commit(&*store, id, vec![made_company(made)]).await.unwrap();
        touch(&*store, id).await;
    }
    for (grant, after, limit, expected) in [
        (covering_all(), None, 9, &["-", "B", "a", "b"][..]),
        (covering_all(), None, 2, &["-", "B"]),
        (covering_all(), Some("B"), 2, &["a", "b"]),
        (covering_all(), Some("a"), 2, &["b"]),
        (covering_all(), Some("b"), 2, &[]),
        (covering_all(), Some("A"), 1, &["B"]),
        (covering_all(), None, 0, &[]),
        (covering(&["b", "-", "x"]), None, 9, &["-", "b"]),
        (covering(&[]), None, 9, &[]),
    ] {
        let after = after.map(company_id);
        let found = store.company_ids(&grant, after.as_ref(), limit).await.unwrap();
        assert_eq!(found.iter().map(|id| id.as_str()).collect::<Vec<_>>(), expected);
    }
}

pub(super) async fn one_company_does_not_see_another(engine: &dyn Engine) {
    let store = engine.open().await;
    let a = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "CMP_A", "A").await;
    touch(&*store, "CMP_A").await;
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(a));
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), Some(Revision(1)));
    assert_eq!(log(&*store, "cmp_a").await.len(), 1);
}
