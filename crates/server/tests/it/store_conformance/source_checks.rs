//! The last comparisons of companies with their sources.

use super::*;

pub(super) fn check(at: i64, problems: &str, held_back: Option<&str>) -> SourceCheck {
    let text = |text: &str| ShortText::parse("text", text).unwrap();
    SourceCheck {
        checked_time: time(at),
        is_changed: at % 2 == 0,
        problems: text(problems),
        held_back: held_back.map(text),
    }
}

pub(super) async fn a_comparison_with_a_source_replaces_the_one_before(engine: &dyn Engine) {
    let store = engine.open().await;
    let (id, grant) = (company_id("cmp_a"), grant("cmp_a"));
    let read = async || {
        let ids = std::slice::from_ref(&id);
        engine.open().await.source_checks(&covering_all(), ids).await.unwrap()
    };
    store.leave_source_check(&grant, &check(1, "", None)).await.unwrap();
    assert_eq!(read().await, [], "there is no such company");
    let made = make_company(&*store, "cmp_a", "A").await;
    assert_eq!(read().await, []);
    for (report, held_back) in [
        (check(4, "", None), ""),
        (check(5, "a list lost much; it’s 🐾", Some("customer_tags:1")), "customer_tags:1"),
        (check(6, "was not read", None), "customer_tags:1"),
        // A clock that goes back hides no report.
        (check(3, "", Some("")), ""),
    ] {
        store.leave_source_check(&grant, &report).await.unwrap();
        let stored = ShortText::parse("held_back", held_back).unwrap();
        let expected = SourceCheck { held_back: Some(stored), ..report };
        assert_eq!(read().await, [(id.clone(), expected)]);
    }
    assert_eq!(store.settings(&grant).await.unwrap(), Some(made), "it is no change");
    assert_eq!(log(&*store, "cmp_a").await.len(), 1);
}

pub(super) async fn the_comparison_of_a_removed_source_is_forgotten(engine: &dyn Engine) {
    let store = engine.open().await;
    let source = |mode| Some(Source { kind: SourceKind::MoeGo, mode });
    for id in ["cmp_a", "cmp_b"] {
        let made = Company { source: source(SourceMode::Mirror), ..company(id, id) };
        commit(&*store, id, vec![made_company(made)]).await.unwrap();
        store.leave_source_check(&grant(id), &check(1, "", Some("tags:1"))).await.unwrap();
    }
    let ids = [company_id("cmp_a"), company_id("cmp_b")];
    for (after, left) in
        [(source(SourceMode::Cutover), 2), (None, 1), (source(SourceMode::Mirror), 1)]
    {
        let held = store.settings(&grant("cmp_a")).await.unwrap().unwrap().company;
        let changed = Company { source: after, ..held.clone() };
        commit(&*store, "cmp_a", vec![Delta::company(Some(held), changed)]).await.unwrap();
        let read = store.source_checks(&covering_all(), &ids).await.unwrap();
        assert_eq!(read.len(), left, "{after:?}");
    }
}

pub(super) async fn comparisons_are_read_of_covered_companies_alone(engine: &dyn Engine) {
    let store = engine.open().await;
    for id in ["cmp_a", "cmp_b", "cmp_c", "cmp_d"] {
        make_company(&*store, id, id).await;
    }
    for id in ["cmp_a", "cmp_b", "cmp_d"] {
        store.leave_source_check(&grant(id), &check(1, id, Some(""))).await.unwrap();
    }
    for (covered, asked, expected) in [
        (covering_all(), vec!["cmp_a", "cmp_b", "cmp_c", "cmp_9"], vec!["cmp_a", "cmp_b"]),
        (covering_all(), vec![], vec![]),
        (covering(&["cmp_b", "cmp_d"]), vec!["cmp_a", "cmp_b", "cmp_c"], vec!["cmp_b"]),
        (covering(&[]), vec!["cmp_a"], vec![]),
    ] {
        let ids: Vec<_> = asked.iter().map(|id| company_id(id)).collect();
        let mut read = store.source_checks(&covered, &ids).await.unwrap();
        read.sort_by(|(one, _), (other, _)| one.cmp(other));
        let wanted = expected.iter().map(|id| (company_id(id), check(1, id, Some(""))));
        assert_eq!(read, wanted.collect::<Vec<_>>(), "{asked:?}");
    }
}
