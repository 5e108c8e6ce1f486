//! The rules for every engine, written once: each case becomes a named test of each engine.

use std::sync::Arc;

use async_trait::async_trait;
use customer_settings_server::{
    catalog::{
        access::{Actor, Coverage, Scopes},
        checkpoint::Checkpoint,
        delta::{Delta, Row},
        entry::{Catalog, Entry, Revision, State},
        error::Kind,
        id::{BusinessId, EntryId, KeyId, StaffId},
        key::{Key, PreviousSecret, SecretDigest, sides},
        log::{Line, LoggedRequest},
        place::Country,
        plan::Plan,
        replay,
        session::{MOST_LINKS, MOST_SESSIONS, Session, SignInLink},
        settings::Subject,
        stream::{LineFilter, LinePlace, Stream, StreamKind, Streams},
    },
    store::{
        Access, PlanFamily, Store, StoreError, postgres::PostgresStore, sound, sqlite::SqliteStore,
    },
};

use crate::{harness::eventually, postgres_server, store_samples::*};

/// An empty store of one engine. Dropping it deletes the store.
#[async_trait]
trait Engine: Send + Sync {
    /// Opens the store, each time like another program.
    async fn open(&self) -> Arc<dyn Store>;
}

macro_rules! conformance {
    ($($case:ident,)+) => {
        engine!(sqlite, Sqlite::new(), $($case,)+);
        engine!(postgres, Postgres::new().await, $($case,)+);
    };
}

macro_rules! engine {
    ($engine:ident, $new:expr, $($case:ident,)+) => {
        mod $engine {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(&$new).await;
                }
            )+
        }
    };
}

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.0.path(), Access::Write).unwrap())
    }
}

/// The URL of a database.
struct Postgres(String);

impl Postgres {
    async fn new() -> Self {
        Self(postgres_server::new_database().await)
    }
}

#[async_trait]
impl Engine for Postgres {
    async fn open(&self) -> Arc<dyn Store> {
        let opened = PostgresStore::open(&self.0, postgres_server::OPTIONS, Access::Write).await;
        Arc::new(opened.unwrap())
    }
}

conformance! {
    a_new_store_is_empty_and_in_its_first_epoch,
    a_company_is_read_as_it_was_committed,
    every_field_of_every_row_can_change,
    only_the_current_revision_is_a_base,
    a_company_is_made_once,
    of_writers_with_one_base_one_wins,
    a_conflict_writes_nothing,
    a_business_id_of_another_company_is_taken,
    a_refused_plan_leaves_no_row_behind,
    entries_swap_names_and_places,
    a_whole_catalog_is_reversed,
    the_default_moves,
    an_archived_entry_frees_its_name,
    one_id_is_used_in_every_catalog_and_company,
    a_plan_that_does_not_fit_is_refused,
    a_plan_for_another_company_is_refused,
    companies_are_listed_by_code_points_and_then_id,
    companies_are_paged,
    companies_are_paged_after_a_name_and_an_id,
    archived_companies_are_not_listed,
    businesses_are_listed_across_covered_companies,
    a_coverage_may_name_what_does_not_exist,
    companies_are_found_by_their_fold_key,
    the_log_is_read_in_pages,
    the_log_keeps_who_and_when,
    the_log_keeps_where_from_and_what_was_asked,
    the_log_is_read_newest_first,
    the_newest_lines_about_a_subject_are_found,
    only_the_wanted_lines_of_a_log_are_read,
    the_revision_at_a_moment_is_that_of_the_last_change,
    the_revision_at_a_moment_is_found_in_a_log_of_any_length,
    a_checkpoint_is_read_as_it_was_left,
    a_request_is_found_by_its_id,
    a_request_id_is_taken_as_it_is,
    a_request_id_is_used_once_per_company_and_key,
    a_used_request_id_is_a_conflict_before_anything_else,
    a_request_that_changed_nothing_is_found_and_raises_no_revision,
    a_request_that_changes_nothing_needs_the_current_base,
    a_request_needs_a_key_and_an_empty_plan_a_request,
    an_id_of_a_deleted_entry_is_not_used_again,
    a_deleted_entry_comes_back_with_its_id,
    a_deleted_entry_frees_its_name_its_place_and_its_being_the_default,
    ids_are_deleted_per_catalog_and_company,
    company_ids_are_paged_by_id,
    the_log_alone_rebuilds_every_revision,
    one_company_does_not_see_another,
    a_key_is_read_as_it_was_committed,
    a_key_that_covers_all_and_may_all_is_read_as_it_was_committed,
    a_key_changes_only_from_its_current_revision,
    a_key_id_or_secret_is_taken_once,
    a_replaced_secret_is_forgotten,
    a_key_revision_follows_the_one_before,
    the_secrets_that_were_written_since_are_read,
    the_keys_that_descend_from_one_are_found,
    a_session_is_read_as_it_was_begun_and_ends_once,
    a_session_takes_the_place_of_another,
    a_link_is_used_up_by_one_session,
    sessions_and_links_of_a_key_are_bounded,
    keys_are_written_together_or_not_at_all,
    a_key_that_is_revoked_writes_nothing_more,
    nothing_is_made_while_a_key_ends_with_all_that_it_made,
    uses_of_keys_are_remembered_and_never_move_back,
    the_next_expiry_is_that_of_a_key_that_still_works,
    another_program_sees_every_commit,
    the_change_mark_moves_with_every_write_of_anybody,
    concurrent_writers_leave_no_gap,
    a_previous_secret_finds_its_key_and_belongs_to_nobody_else,
    a_request_about_a_key_is_remembered_per_acting_key,
    a_request_that_changed_no_key_is_found_and_raises_no_revision,
    the_key_log_is_read_newest_first,
    the_whole_log_has_the_empty_lines_too,
    the_whole_key_log_is_read_by_key,
    a_new_kind_of_stream_has_a_log,
    a_store_says_its_schema_and_its_size,
    an_epoch_is_raised_and_never_lowered,
    everything_is_there_after_reopening,
}

async fn a_new_store_is_empty_and_in_its_first_epoch(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.epoch().await.unwrap(), 1);
    assert!(
        sound(store.list_companies(&covering_all(), false, None, 0, 10).await.unwrap())
            .unwrap()
            .is_empty()
    );
    assert!(store.list_businesses(&covering_all(), 0, 10).await.unwrap().is_empty());
    assert!(sound(store.keys(None, None, 100).await.unwrap()).unwrap().is_empty());
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), None);
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), None);
    assert!(log(&*store, "cmp_a").await.is_empty());
}

async fn a_company_is_read_as_it_was_committed(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "Caf\u{e9} \u{1f415}").await;
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), Some(Revision(1)));
    let business = BusinessId::parse("id", "biz_cmp_a").unwrap();
    assert_eq!(store.company_of(&business).await.unwrap(), Some(company_id("cmp_a")));
    let business = BusinessId::parse("id", "BIZ_CMP_A").unwrap();
    assert_eq!(store.company_of(&business).await.unwrap(), None);
}

async fn every_field_of_every_row_can_change(engine: &dyn Engine) {
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

async fn only_the_current_revision_is_a_base(engine: &dyn Engine) {
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

async fn a_company_is_made_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let again = plan(None, vec![made_company(company("cmp_a", "B"))]);
    assert!(matches!(
        append(&*store, &stream("cmp_a"), &again.line).await,
        Err(StoreError::Conflict)
    ));
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(made));
}

async fn of_writers_with_one_base_one_wins(engine: &dyn Engine) {
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

async fn a_conflict_writes_nothing(engine: &dyn Engine) {
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

async fn a_business_id_of_another_company_is_taken(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let deltas = vec![made_business(business("biz_cmp_a", "Elsewhere"))];
    match commit(&*store, "cmp_b", deltas).await {
        Err(StoreError::Taken(Kind::Business, id)) => assert_eq!(id, "biz_cmp_a"),
        other => panic!("{other:?}"),
    }
}

async fn a_refused_plan_leaves_no_row_behind(engine: &dyn Engine) {
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

async fn entries_swap_names_and_places(engine: &dyn Engine) {
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

async fn a_whole_catalog_is_reversed(engine: &dyn Engine) {
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

async fn the_default_moves(engine: &dyn Engine) {
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

async fn an_archived_entry_frees_its_name(engine: &dyn Engine) {
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

async fn one_id_is_used_in_every_catalog_and_company(engine: &dyn Engine) {
    let store = engine.open().await;
    let a = make_company(&*store, "cmp_a", "A").await;
    let b = make_company(&*store, "cmp_b", "B").await;
    for catalog in Catalog::ALL {
        assert_eq!(a.entries(catalog)[0].id, b.entries(catalog)[0].id);
    }
    assert_eq!(store.settings(&grant("cmp_b")).await.unwrap(), Some(b));
}

/// A right plan never has any of these. The store protects its rows all the same.
async fn a_plan_that_does_not_fit_is_refused(engine: &dyn Engine) {
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

async fn a_plan_for_another_company_is_refused(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    let renamed = Delta::company(Some(made.company.clone()), company("cmp_a", "Renamed"));
    for (grant, plan) in [
        (grant("cmp_b"), plan(Some(&made), vec![renamed])),
        (grant("cmp_c"), plan(None, vec![made_company(company("cmp_d", "D"))])),
    ] {
        assert!(matches!(
            append(&*store, &grant.stream(), &plan.line).await,
            Err(StoreError::Damaged(_))
        ));
    }
    assert_eq!(store.revision(&grant("cmp_b")).await.unwrap(), Some(Revision(1)));
    assert_eq!(store.revision(&grant("cmp_d")).await.unwrap(), None);
}

async fn names_of_companies(store: &dyn Store, offset: u64, limit: u32) -> Vec<String> {
    let companies =
        sound(store.list_companies(&covering_all(), false, None, offset, limit).await.unwrap())
            .unwrap();
    companies.iter().map(|company| format!("{}/{}", company.name, company.id)).collect()
}

async fn companies_are_listed_by_code_points_and_then_id(engine: &dyn Engine) {
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

async fn companies_are_paged(engine: &dyn Engine) {
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

async fn companies_are_paged_after_a_name_and_an_id(engine: &dyn Engine) {
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

async fn archived_companies_are_not_listed(engine: &dyn Engine) {
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

async fn businesses_are_listed_across_covered_companies(engine: &dyn Engine) {
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

async fn a_coverage_may_name_what_does_not_exist(engine: &dyn Engine) {
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

async fn companies_are_found_by_their_fold_key(engine: &dyn Engine) {
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

async fn the_log_is_read_in_pages(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    for _ in 0..4 {
        touch(&*store, "cmp_a").await;
    }
    for (after, limit, expected) in [
        (0, 2, &[1, 2][..]),
        (2, 2, &[3, 4]),
        (4, 2, &[5]),
        (5, 2, &[]),
        (0, 0, &[]),
        (u64::MAX, u32::MAX, &[]),
    ] {
        let after = (Revision(after), u32::MAX);
        let lines = store.log(&stream("cmp_a"), after, limit).await.unwrap();
        assert_eq!(lines.iter().map(|(_, line)| line.revision.0).collect::<Vec<_>>(), expected);
    }
}

async fn the_log_keeps_who_and_when(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = plan(None, vec![made_company(company("cmp_a", "A"))]);
    append(&*store, &stream("cmp_a"), &made.line).await.unwrap();
    // A time before 1970 and an actor without a key.
    let plan = with(touching(&made.after), |line| {
        (line.time, line.actor) = (time(-1), grant("cmp_a").actor().clone());
    });
    append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();

    let lines = log(&*store, "cmp_a").await;
    assert_eq!(
        (lines[0].time, &lines[0].actor, &lines[0].deltas),
        (made.line.time, &made.line.actor, &made.line.deltas)
    );
    assert_eq!((lines[1].time, &lines[1].actor), (time(-1), &plan.line.actor));
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap().unwrap().changed_time, time(-1));
}

fn with_request(plan: Plan, id: &str) -> Plan {
    with(plan, |line| line.request = Some(request(id, 7)))
}

async fn the_log_keeps_where_from_and_what_was_asked(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    assert_eq!(log(&*store, "cmp_a").await[0].request, None);
    let tag = |id| Subject::Entry(Catalog::CustomerTags, EntryId::parse("id", id).unwrap());
    let all = vec![
        Subject::Company,
        Subject::Business(BusinessId::parse("id", "biz_cmp_a").unwrap()),
        tag("first"),
        tag("first"),
        Subject::Catalog(Catalog::LifeCycles),
    ];
    for (address, subjects) in
        [(Some("192.0.2.7"), all), (Some("2001:db8::7"), vec![tag("second")]), (None, Vec::new())]
    {
        let mut plan = with_request(touching(&current), &format!("{address:?}"));
        plan.line.actor.address = address.map(|address| address.parse().unwrap());
        plan.line.subjects = Some(subjects);
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        let line = log(&*store, "cmp_a").await.pop().unwrap();
        assert_eq!(line, plan.line);
        current = plan.after;
    }
}

async fn the_log_is_read_newest_first(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    for _ in 0..4 {
        touch(&*store, "cmp_a").await;
    }
    let nothing = plan(store.settings(&grant("cmp_a")).await.unwrap().as_ref(), Vec::new());
    append(&*store, &stream("cmp_a"), &with_request(nothing, "1").line).await.unwrap();
    for (before, limit, expected) in [
        (None, 2, &[5, 4][..]),
        (Some(4), 2, &[3, 2]),
        (Some(2), 2, &[1]),
        (Some(1), 2, &[]),
        (Some(0), 2, &[]),
        (Some(u64::MAX), u32::MAX, &[5, 4, 3, 2, 1]),
        (None, 0, &[]),
    ] {
        let before = before.map(|before| LinePlace::at(Revision(before)));
        let of = lines_of("cmp_a");
        let lines = store.log_before(&of, before.as_ref(), None, limit).await.unwrap();
        assert_eq!(lines.iter().map(|line| line.revision.0).collect::<Vec<_>>(), expected);
    }
    let mut newest = store.log_before(&lines_of("cmp_a"), None, None, 9).await.unwrap();
    newest.reverse();
    assert_eq!(newest, log(&*store, "cmp_a").await);
    assert!(store.log_before(&lines_of("cmp_b"), None, None, 9).await.unwrap().is_empty());
}

async fn the_newest_lines_about_a_subject_are_found(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let (tag, other) = (entry("tag_1", "Tag", 1), entry("tag_12", "Other", 2));
    for deltas in [
        vec![made_entry(TAGS, tag.clone())],
        vec![made_entry(TAGS, other)],
        vec![moved(TAGS, "tag_12", 2, 3), moved(TAGS, "tag_1", 1, 2)],
        vec![moved(TAGS, "tag_12", 3, 4)],
        vec![deleted(TAGS, &Entry { rank: 2, ..tag.clone() })],
        vec![revived(TAGS, &tag)],
    ] {
        commit(&*store, "cmp_a", deltas).await.unwrap();
    }
    let revisions = async |before: Option<u64>, place: &str, limit| {
        let before = before.map(|before| LinePlace::at(Revision(before)));
        let of = lines_of("cmp_a");
        let wanted = Some(LineFilter { subject: Subject::at(place), ..LineFilter::default() });
        let lines = store.log_before(&of, before.as_ref(), wanted.as_ref(), limit).await.unwrap();
        lines.iter().map(|line| line.revision.0).collect::<Vec<_>>()
    };
    for (place, expected) in [
        ("customer_tags/tag_1", &[7, 6, 4, 2][..]),
        ("customer_tags/tag_12", &[5, 4, 3]),
        ("customer_tags", &[7, 6, 5, 4, 3, 2, 1]),
        ("life_cycles", &[1]),
        ("life_cycles/tag_1", &[]),
        ("businesses/biz_cmp_a", &[1]),
        ("company", &[1]),
    ] {
        assert_eq!(revisions(None, place, 99).await, expected, "{place}");
    }
    assert_eq!(revisions(None, "customer_tags/tag_1", 1).await, [7]);
    assert_eq!(revisions(Some(7), "customer_tags/tag_1", 99).await, [6, 4, 2]);
}

async fn only_the_wanted_lines_of_a_log_are_read(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    for (key, staff) in [("key_1", "staff_2"), ("key_2", "staff_1"), ("key_2", "staff_2")] {
        let (number, staff) = (current.revision.0 as u8, StaffId::parse("id", staff).unwrap());
        let actor = Actor { staff_id: staff, ..actor(key) };
        let plan = with(touching(&current), |line| line.actor = actor.clone());
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        current = plan.after;
        let id = format!("key_{}", 9 - number);
        let line = with_line(key_line(&self::key(&id, number)), |line| {
            (line.actor, line.time) = (actor, time(i64::from(number)));
        });
        commit_key_line(&*store, &line).await.unwrap();
    }
    // The numbers of the company's revisions; the keys' lines have the same as their times.
    let found = async |of: &Streams, from, before: Option<LinePlace>, key: &str, staff: &str| {
        let wanted = LineFilter {
            from,
            subject: None,
            key: KeyId::parse("id", key).ok(),
            staff: StaffId::parse("id", staff).ok(),
        };
        store.log_before(of, before.as_ref(), Some(&wanted), 9).await.unwrap()
    };
    let at = |number: u64| Some(LinePlace::at(Revision(number)));
    let of = lines_of("cmp_a");
    for (from, before, key, staff, expected) in [
        (None, None, "key_1", "", &[2, 1][..]),
        (None, None, "key_2", "", &[4, 3]),
        (None, None, "", "staff_2", &[4, 2]),
        (None, None, "key_2", "staff_2", &[4]),
        (at(3), None, "", "", &[4, 3]),
        (at(2), at(4), "", "", &[3, 2]),
        (at(2), at(4), "key_2", "", &[3]),
        (at(3), at(3), "", "", &[]),
        (at(9), None, "", "", &[]),
    ] {
        let lines = found(&of, from, before, key, staff).await;
        assert_eq!(lines.iter().map(|line| line.revision.0).collect::<Vec<_>>(), expected);
    }
    let at = |number: i64| {
        Some(LinePlace { time: time(number), of: String::new(), revision: Revision(0) })
    };
    for (from, before, key, staff, expected) in [
        (None, None, "key_1", "", &[1][..]),
        (None, None, "key_2", "staff_1", &[2]),
        (at(2), None, "", "", &[3, 2]),
        (at(1), at(3), "", "", &[2, 1]),
        (at(2), at(2), "", "", &[]),
    ] {
        let lines = found(&Streams::keys(), from, before, key, staff).await;
        let times: Vec<i64> = lines.iter().map(|line| line.time.as_micros()).collect();
        assert_eq!(times, expected);
    }
}

async fn the_revision_at_a_moment_is_that_of_the_last_change(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    // The second change is 10 microseconds after the first, and the third 10 after that.
    let mut current = made;
    for revision in [2, 3] {
        let time = time(time_of(1).as_micros() + 10 * (revision - 1));
        let plan = with(touching(&current), |line| line.time = time);
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        current = plan.after;
    }
    // A later request that changes nothing makes no revision.
    let nothing = with(plan(Some(&current), Vec::new()), |line| line.time = time_of(1_000));
    append(&*store, &stream("cmp_a"), &with_request(nothing, "1").line).await.unwrap();

    let at = async |after_first: i64| {
        let time = time(time_of(1).as_micros() + after_first);
        store.revision_at(&stream("cmp_a"), time).await.unwrap().map(|revision| revision.0)
    };
    for (after_first, expected) in [
        (-1, None),
        (0, Some(1)),
        (9, Some(1)),
        (10, Some(2)),
        (19, Some(2)),
        (20, Some(3)),
        (5_000, Some(3)),
    ] {
        assert_eq!(at(after_first).await, expected, "{after_first}");
    }
    assert_eq!(store.revision_at(&stream("cmp_b"), time_of(1)).await.unwrap(), None);
}

async fn the_revision_at_a_moment_is_found_in_a_log_of_any_length(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut current = make_company(&*store, "cmp_a", "A").await;
    // A change each ten microseconds.
    let at = |revision: u64| time_of(10 * revision);
    for length in 2..=20 {
        let plan = with(touching(&current), |line| line.time = at(length));
        append(&*store, &stream("cmp_a"), &plan.line).await.unwrap();
        current = plan.after;
        for revision in 2..=length {
            for (later, expected) in [(-1, revision - 1), (0, revision), (9, revision)] {
                let then = time(at(revision).as_micros() + later);
                let found = store.revision_at(&stream("cmp_a"), then).await.unwrap();
                assert_eq!(found, Some(Revision(expected)), "{revision} of {length}, {later}");
            }
        }
    }
}

async fn a_checkpoint_is_read_as_it_was_left(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let of = |revision: u64| Checkpoint { revision: Revision(revision), ..Checkpoint::of(&made) };
    let read = async |company: &str, from: u64, below: u64| {
        let among = Revision(from)..Revision(below);
        let found = store.checkpoint(&stream(company), among).await.unwrap();
        found.map(|found| found.map_err(|unreadable| unreadable.place).unwrap())
    };
    assert_eq!(read("cmp_a", 0, u64::MAX).await, None);
    for revision in [3, 7, 5] {
        store.leave_checkpoint(&stream("cmp_a"), &of(revision)).await.unwrap();
    }
    let cases =
        [((0, 9), Some(3)), ((3, 4), Some(3)), ((4, 9), Some(5)), ((4, 5), None), ((8, 9), None)];
    for ((from, below), expected) in cases {
        assert_eq!(read("cmp_a", from, below).await, expected.map(of), "{from} to {below}");
    }
    assert_eq!(read("cmp_b", 0, 9).await, None);
    // The last one stays, of several programs too.
    let other = engine.open().await;
    let later = Checkpoint { time: time(5), ..of(5) };
    for _ in 0..2 {
        other.leave_checkpoint(&stream("cmp_a"), &later).await.unwrap();
    }
    assert_eq!(read("cmp_a", 4, 9).await, Some(later));
    // A checkpoint alone is no company.
    store.leave_checkpoint(&stream("cmp_c"), &of(1)).await.unwrap();
    assert_eq!(store.company_ids(&covering_all(), None, 9).await.unwrap(), [company_id("cmp_a")]);
}

async fn a_request_is_found_by_its_id(engine: &dyn Engine) {
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

async fn a_request_id_is_taken_as_it_is(engine: &dyn Engine) {
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

async fn a_request_id_is_used_once_per_company_and_key(engine: &dyn Engine) {
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
async fn a_used_request_id_is_a_conflict_before_anything_else(engine: &dyn Engine) {
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

async fn a_request_that_changed_nothing_is_found_and_raises_no_revision(engine: &dyn Engine) {
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

async fn a_request_that_changes_nothing_needs_the_current_base(engine: &dyn Engine) {
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

async fn a_request_needs_a_key_and_an_empty_plan_a_request(engine: &dyn Engine) {
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

async fn an_id_of_a_deleted_entry_is_not_used_again(engine: &dyn Engine) {
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

async fn a_deleted_entry_comes_back_with_its_id(engine: &dyn Engine) {
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

async fn a_deleted_entry_frees_its_name_its_place_and_its_being_the_default(engine: &dyn Engine) {
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

async fn ids_are_deleted_per_catalog_and_company(engine: &dyn Engine) {
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

async fn company_ids_are_paged_by_id(engine: &dyn Engine) {
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

/// A long run of mixed changes against the model, which is `replay::apply`.
async fn the_log_alone_rebuilds_every_revision(engine: &dyn Engine) {
    const TAGS: Catalog = Catalog::CustomerTags;
    let store = engine.open().await;
    let mut model = make_company(&*store, "cmp_a", "A").await;
    let mut states = vec![model.clone()];
    // A fixed sequence that looks random (Numerical Recipes' generator).
    let mut seed = 12_345_u32;
    let mut pick = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    for step in 0..60 {
        let entries = model.entries(TAGS);
        let count = u32::try_from(entries.len()).unwrap();
        let chosen = &entries[pick(count) as usize];
        let other = &entries[pick(count) as usize];
        let free = entries.iter().map(|tag| tag.rank).max().unwrap() + 1;
        let deltas = match pick(5) {
            0 | 1 => {
                vec![made_entry(TAGS, entry(&format!("tag_{step}"), &format!("Tag {step}"), free))]
            }
            2 => vec![changed_entry(TAGS, chosen, |tag| tag.state = State::Archived)],
            3 if chosen.id != other.id => vec![
                moved(TAGS, chosen.id.as_str(), chosen.rank, other.rank),
                changed_entry(TAGS, other, |tag| (tag.rank, tag.color) = (chosen.rank, None)),
            ],
            _ => vec![moved(TAGS, chosen.id.as_str(), chosen.rank, free)],
        };
        model = commit(&*store, "cmp_a", deltas).await.unwrap();
        states.push(model.clone());
    }
    assert_eq!(replay(&*store, "cmp_a").await, Some(model));

    let mut replayed = None;
    for (line, state) in log(&*store, "cmp_a").await.iter().zip(states) {
        let next = replay::apply(replayed, line.revision, line.time, &line.deltas).unwrap();
        assert_eq!(next, state);
        replayed = Some(next);
    }
}

async fn one_company_does_not_see_another(engine: &dyn Engine) {
    let store = engine.open().await;
    let a = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "CMP_A", "A").await;
    touch(&*store, "CMP_A").await;
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(a));
    assert_eq!(store.revision(&grant("cmp_a")).await.unwrap(), Some(Revision(1)));
    assert_eq!(log(&*store, "cmp_a").await.len(), 1);
}

async fn a_key_is_read_as_it_was_committed(engine: &dyn Engine) {
    let store = engine.open().await;
    let key = key("key_1", 1);
    commit_key(&*store, &key).await.unwrap();
    assert_eq!(store.key_by_secret(&key.secret).await.unwrap(), Some(key.clone()));
    assert_eq!(store.key_by_secret(&SecretDigest([2; 32])).await.unwrap(), None);
    assert_eq!(sound(store.keys(None, None, 100).await.unwrap()).unwrap(), [(key, None)]);
}

async fn a_key_that_covers_all_and_may_all_is_read_as_it_was_committed(engine: &dyn Engine) {
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

async fn a_key_changes_only_from_its_current_revision(engine: &dyn Engine) {
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

async fn a_key_id_or_secret_is_taken_once(engine: &dyn Engine) {
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

async fn a_replaced_secret_is_forgotten(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = key("key_1", 1);
    commit_key(&*store, &first).await.unwrap();
    let second = changed_key(&first, |key| key.secret = SecretDigest([2; 32]));
    commit_key(&*store, &second).await.unwrap();
    assert_eq!(store.key_by_secret(&first.secret).await.unwrap(), None);
    assert_eq!(store.key_by_secret(&second.secret).await.unwrap(), Some(second));
}

async fn a_key_revision_follows_the_one_before(engine: &dyn Engine) {
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

fn made_by(by: Option<&str>, id: &str, secret: u8) -> Key {
    let created_by_key_id = by.map(|by| KeyId::parse("id", by).unwrap());
    Key { created_by_key_id, ..key(id, secret) }
}

fn ids(keys: Vec<Key>) -> Vec<String> {
    keys.iter().map(|key| key.id.to_string()).collect()
}

/// key_1 made key_2, which made key_3 and key_4. Another key made key_5.
async fn make_family(store: &dyn Store) -> Vec<Key> {
    let family = [(None, 1), (Some("key_1"), 2), (Some("key_2"), 3), (Some("key_2"), 4), (None, 5)];
    let family = family.map(|(by, number)| made_by(by, &format!("key_{number}"), number));
    for key in &family {
        commit_key(store, key).await.unwrap();
    }
    family.to_vec()
}

fn revoked(key: &Key) -> Key {
    changed_key(key, |key| key.revoked_time = Some(time(9)))
}

async fn the_secrets_that_were_written_since_are_read(engine: &dyn Engine) {
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

async fn the_keys_that_descend_from_one_are_found(engine: &dyn Engine) {
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
fn always(lines: &[KeyLine]) -> PlanFamily {
    let lines = lines.to_vec();
    Arc::new(move |_| Some(lines.clone()))
}

async fn keys_are_written_together_or_not_at_all(engine: &dyn Engine) {
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

async fn a_key_that_is_revoked_writes_nothing_more(engine: &dyn Engine) {
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
async fn nothing_is_made_while_a_key_ends_with_all_that_it_made(engine: &dyn Engine) {
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

async fn the_next_expiry_is_that_of_a_key_that_still_works(engine: &dyn Engine) {
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

async fn uses_of_keys_are_remembered_and_never_move_back(engine: &dyn Engine) {
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

async fn another_program_sees_every_commit(engine: &dyn Engine) {
    let (one, other) = (engine.open().await, engine.open().await);
    let made = make_company(&*one, "cmp_a", "A").await;
    assert_eq!(other.settings(&grant("cmp_a")).await.unwrap(), Some(made.clone()));
    let after = touch(&*other, "cmp_a").await;
    assert_eq!(one.settings(&grant("cmp_a")).await.unwrap(), Some(after));
    let stale = touching(&made);
    assert!(matches!(
        append(&*one, &stream("cmp_a"), &stale.line).await,
        Err(StoreError::Conflict)
    ));
}

async fn the_change_mark_moves_with_every_write_of_anybody(engine: &dyn Engine) {
    let (one, other) = (engine.open().await, engine.open().await);
    let Some(mut last) = one.change_mark().await.unwrap() else { return };
    assert_eq!(one.change_mark().await.unwrap(), Some(last), "without a write it stays");
    let mut moved = async |what: &str| {
        let mark = one.change_mark().await.unwrap().unwrap();
        assert_ne!(mark, last, "{what}");
        last = mark;
    };
    make_company(&*one, "cmp_a", "A").await;
    moved("its own commit").await;
    touch(&*other, "cmp_a").await;
    moved("another's commit").await;
    commit_key(&*other, &key("key_1", 1)).await.unwrap();
    moved("a key").await;
}

async fn concurrent_writers_leave_no_gap(engine: &dyn Engine) {
    const WRITERS: u32 = 16;
    const COMMITS: u32 = 8;
    let stores = [engine.open().await, engine.open().await];
    for id in ["shared", "own_0", "own_1", "own_2", "own_3"] {
        commit(&*stores[0], id, vec![made_company(company(id, id))]).await.unwrap();
    }
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&stores[writer as usize % 2]);
        // Half of the writers compete for one company, and the others share the other companies.
        let id = if writer < 8 { "shared".to_owned() } else { format!("own_{}", writer % 4) };
        writers.push(tokio::spawn(async move {
            for i in 0..COMMITS {
                let number = writer * COMMITS + i;
                let tag = entry(&format!("tag_{number}"), &format!("Tag {number}"), number);
                loop {
                    match commit(&*store, &id, vec![made_entry(Catalog::CustomerTags, tag.clone())])
                        .await
                    {
                        Ok(_) => break,
                        Err(StoreError::Conflict) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut acknowledged = Vec::new();
    for id in ["shared", "own_0", "own_1", "own_2", "own_3"] {
        let lines = log(&*stores[0], id).await;
        let revisions: Vec<u64> = lines.iter().map(|line| line.revision.0).collect();
        assert_eq!(revisions, (1..=revisions.len() as u64).collect::<Vec<_>>(), "{id}");
        acknowledged.extend(lines[1..].iter().map(|line| match &line.deltas[..] {
            [Delta { after: Some(Row::Entry(after)), .. }] => after.rank,
            other => panic!("{other:?}"),
        }));
        assert_eq!(replay(&*stores[0], id).await, stores[1].settings(&grant(id)).await.unwrap());
    }
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (0..WRITERS * COMMITS).collect::<Vec<_>>());
}

async fn a_previous_secret_finds_its_key_and_belongs_to_nobody_else(engine: &dyn Engine) {
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

async fn a_request_about_a_key_is_remembered_per_acting_key(engine: &dyn Engine) {
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

async fn a_request_that_changed_no_key_is_found_and_raises_no_revision(engine: &dyn Engine) {
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

async fn the_whole_log_has_the_empty_lines_too(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    make_company(&*store, "cmp_b", "B").await;
    for id in ["1", "2"] {
        let nothing = with_request(plan(Some(&made), vec![]), id);
        append(&*store, &stream("cmp_a"), &nothing.line).await.unwrap();
    }
    touch(&*store, "cmp_a").await;
    let whole = store.log(&stream("cmp_a"), (Revision(0), 0), 9).await.unwrap();
    let places: Vec<_> = whole.iter().map(|(part, line)| (line.revision.0, *part)).collect();
    assert_eq!(places, [(1, 0), (1, 1), (1, 2), (2, 0)]);
    assert!(whole[1].1.deltas.is_empty());
    assert_eq!(whole[2].1.request.as_ref().map(|one| &one.id), Some(&request_id("2")));
    for (after, limit, expected) in [
        ((1, 0), 9, &whole[1..]),
        ((1, 1), 1, &whole[2..3]),
        ((1, 9), 9, &whole[3..]),
        ((2, 0), 9, &[]),
    ] {
        let after = (Revision(after.0), after.1);
        assert_eq!(store.log(&stream("cmp_a"), after, limit).await.unwrap(), expected);
    }
}

async fn the_whole_key_log_is_read_by_key(engine: &dyn Engine) {
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

/// A kind that no program has: its log works before anything else of it is there.
async fn a_new_kind_of_stream_has_a_log(engine: &dyn Engine) {
    const KIND: StreamKind = StreamKind::new("webhook", true);
    let store = engine.open().await;
    make_company(&*store, "a", "A").await;
    let (a, b) = (Stream::new(KIND, "a").unwrap(), Stream::new(KIND, "b").unwrap());
    assert_eq!(Stream::new(StreamKind::COMPANY, "a"), None, "a company's comes of a grant");
    let line = |revision, id: &str| {
        let (_, line) = key_line(&key("any", 1));
        Line { revision: Revision(revision), request: Some(request(id, 7)), ..line }
    };
    append(&*store, &a, &line(1, "r")).await.unwrap();
    append(&*store, &a, &line(2, "s")).await.unwrap();
    for late in [line(2, "t"), line(4, "t")] {
        let outcome = append(&*store, &a, &late).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
    }
    // Its request ids are unique per stream, as the kind says.
    assert!(matches!(append(&*store, &a, &line(3, "r")).await, Err(StoreError::Conflict)));
    append(&*store, &b, &line(1, "r")).await.unwrap();
    // Together with other streams, or not at all.
    let (key_stream, key_line) = key_line(&key("key_1", 1));
    let late = line(7, "u");
    let both = [(&key_stream, &key_line), (&b, &late)];
    assert!(matches!(store.commit(&both, None).await, Err(StoreError::Conflict)));
    assert!(store.keys(None, None, 9).await.unwrap().is_empty());
    let next = line(2, "u");
    store.commit(&[(&key_stream, &key_line), (&b, &next)], None).await.unwrap();

    let nothing = Line { deltas: vec![], ..line(2, "n") };
    append(&*store, &a, &nothing).await.unwrap();
    let whole = store.log(&a, (Revision(0), 0), 9).await.unwrap();
    assert_eq!(whole, [(0, line(1, "r")), (0, line(2, "s")), (1, nothing)]);
    let newest = store.log_before(&Streams::one(&a), None, None, 9).await.unwrap();
    assert_eq!(newest, [line(2, "s"), line(1, "r")]);
    assert_eq!(store.revision_at(&a, time(1)).await.unwrap(), Some(Revision(2)));
    let by = actor("key_1").key_id.unwrap();
    let found = store.request(&Streams::one(&b), &by, &request_id("r")).await.unwrap().unwrap();
    assert_eq!((found.of.as_str(), found.revision), ("b", Revision(1)));
    // Nobody else sees it.
    assert_eq!(log(&*store, "a").await.len(), 1);
    assert_eq!(store.company_ids(&covering_all(), None, 9).await.unwrap(), [company_id("a")]);
    assert_eq!(store.log_before(&Streams::keys(), None, None, 9).await.unwrap(), [key_line]);
}

async fn a_store_says_its_schema_and_its_size(engine: &dyn Engine) {
    let store = engine.open().await;
    let facts = store.facts().await.unwrap();
    assert_eq!(facts.schema, 1);
    assert!((10_000..100_000_000).contains(&facts.bytes), "{facts:?}");
}

async fn an_epoch_is_raised_and_never_lowered(engine: &dyn Engine) {
    let store = engine.open().await;
    for (to, expected) in [(1, 1), (3, 3), (2, 3)] {
        store.raise_epoch(to).await.unwrap();
        assert_eq!(store.epoch().await.unwrap(), expected);
    }
}

async fn the_key_log_is_read_newest_first(engine: &dyn Engine) {
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

async fn everything_is_there_after_reopening(engine: &dyn Engine) {
    let store = engine.open().await;
    make_company(&*store, "cmp_a", "A").await;
    let after = touch(&*store, "cmp_a").await;
    commit_key(&*store, &key("key_1", 1)).await.unwrap();
    store.touch_keys(&[(key("key_1", 1).id, time(5))]).await.unwrap();
    let lines = log(&*store, "cmp_a").await;
    drop(store);

    let store = engine.open().await;
    assert_eq!(store.epoch().await.unwrap(), 1);
    assert_eq!(store.settings(&grant("cmp_a")).await.unwrap(), Some(after));
    assert_eq!(
        sound(store.keys(None, None, 100).await.unwrap()).unwrap(),
        [(key("key_1", 1), Some(time(5)))]
    );
    assert_eq!(log(&*store, "cmp_a").await, lines);
}

async fn was_deleted(store: &dyn Store, company: &str, catalog: Catalog, id: &EntryId) -> bool {
    let ids = std::slice::from_ref(id);
    !store.deleted_among(&grant(company), catalog, ids).await.unwrap().is_empty()
}

fn digest(at: u32) -> SecretDigest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&at.to_be_bytes());
    SecretDigest(bytes)
}

/// A session that began at a second and lasts for a thousand.
fn session(at: u32, key: &Key, began: i64) -> Session {
    Session {
        id: digest(at),
        key_id: key.id.clone(),
        secret: at.is_multiple_of(2).then_some(key.secret),
        created_time: time(began),
        seen_time: time(began),
        expires_time: time(began + 1_000),
    }
}

async fn with_keys(store: &dyn Store) -> (Key, Key) {
    let (one, other) = (key("key_1", 1), key("key_2", 2));
    for key in [&one, &other] {
        commit_key(store, key).await.unwrap();
    }
    (one, other)
}

async fn a_session_is_read_as_it_was_begun_and_ends_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let (key, _) = with_keys(&*store).await;
    for at in [1, 2] {
        let begun = session(at, &key, 5);
        store.begin_session(&begun, None, None).await.unwrap();
        assert_eq!(engine.open().await.session(&begun.id).await.unwrap(), Some(begun));
    }
    store.touch_session(&digest(1), time(9)).await.unwrap();
    store.touch_session(&digest(1), time(7)).await.unwrap();
    store.touch_session(&digest(9), time(7)).await.unwrap();
    let touched = Session { seen_time: time(9), ..session(1, &key, 5) };
    let listed = store.sessions(&key.id, 9).await.unwrap();
    assert_eq!(listed, [touched, session(2, &key, 5)]);
    assert_eq!(store.sessions(&key.id, 1).await.unwrap().len(), 1);
    for _ in 0..2 {
        store.end_session(&digest(1)).await.unwrap();
        assert_eq!(store.session(&digest(1)).await.unwrap(), None);
    }
    assert!(store.session(&digest(2)).await.unwrap().is_some());
}

async fn a_session_takes_the_place_of_another(engine: &dyn Engine) {
    let store = engine.open().await;
    let (key, other) = with_keys(&*store).await;
    store.begin_session(&session(1, &key, 5), None, None).await.unwrap();
    store.begin_session(&session(2, &other, 6), Some(&digest(1)), None).await.unwrap();
    assert_eq!(store.session(&digest(1)).await.unwrap(), None);
    // Those that have expired are forgotten along with it.
    store.begin_session(&session(3, &key, 1_006), Some(&digest(9)), None).await.unwrap();
    assert_eq!(store.session(&digest(2)).await.unwrap(), None);
    assert!(store.session(&digest(3)).await.unwrap().is_some());
}

async fn a_link_is_used_up_by_one_session(engine: &dyn Engine) {
    let store = engine.open().await;
    let (key, _) = with_keys(&*store).await;
    let link = SignInLink { id: digest(7), key_id: key.id.clone(), expires_time: time(50) };
    store.add_link(&link, time(1)).await.unwrap();
    assert_eq!(engine.open().await.link(&digest(7)).await.unwrap(), Some(link));
    let late = store.begin_session(&session(1, &key, 50), None, Some(&digest(7))).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    store.begin_session(&session(2, &key, 49), None, Some(&digest(7))).await.unwrap();
    assert_eq!(store.link(&digest(7)).await.unwrap(), None);
    for link in [7, 8] {
        let again = store.begin_session(&session(3, &key, 49), None, Some(&digest(link))).await;
        assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
        assert_eq!(store.session(&digest(3)).await.unwrap(), None);
    }
}

async fn sessions_and_links_of_a_key_are_bounded(engine: &dyn Engine) {
    let store = engine.open().await;
    let (key, other) = with_keys(&*store).await;
    store.begin_session(&session(9_999, &other, 1), None, None).await.unwrap();
    for at in 0..MOST_SESSIONS + 2 {
        store.begin_session(&session(at, &key, 10 + i64::from(at)), None, None).await.unwrap();
    }
    assert_eq!(store.sessions(&key.id, 1_000).await.unwrap().len(), MOST_SESSIONS as usize);
    assert_eq!(store.session(&digest(1)).await.unwrap(), None);
    assert!(store.session(&digest(2)).await.unwrap().is_some());
    assert!(store.session(&digest(9_999)).await.unwrap().is_some());
    for at in 0..MOST_LINKS + 1 {
        let (id, expires_time) = (digest(at), time(10 + i64::from(at)));
        let link = SignInLink { id, key_id: key.id.clone(), expires_time };
        store.add_link(&link, time(1)).await.unwrap();
    }
    assert_eq!(store.link(&digest(0)).await.unwrap(), None);
    assert!(store.link(&digest(1)).await.unwrap().is_some());
    let last = SignInLink { id: digest(77), key_id: other.id.clone(), expires_time: time(99) };
    store.add_link(&last, time(11)).await.unwrap();
    assert_eq!(store.link(&digest(1)).await.unwrap(), None);
}
