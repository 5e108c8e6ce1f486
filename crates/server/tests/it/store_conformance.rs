//! The rules for every engine, written once: each case becomes a named test of each engine.

use std::sync::Arc;

use async_trait::async_trait;
use customer_settings_server::{
    catalog::{
        access::{Actor, Coverage, Scopes},
        checkpoint::Checkpoint,
        company::{Company, ShortText},
        delta::{Delta, Row},
        entry::{Catalog, Entry, Revision, State},
        error::Kind,
        id::{BusinessId, EntryId, KeyId, StaffId},
        key::{Key, PreviousSecret, SecretDigest, sides},
        log::{Line, LoggedRequest},
        place::Country,
        plan::Plan,
        replay,
        session::{MOST_SESSIONS, Session, SignInLink},
        settings::Subject,
        source::{Source, SourceCheck, SourceKind, SourceMode},
        stream::{LineFilter, LinePlace, Stream, StreamKind, Streams},
    },
    store::{
        Access, PlanFamily, Store, StoreError, postgres::PostgresStore, sound, sqlite::SqliteStore,
    },
};

use crate::{harness::eventually, postgres_server, store_samples::*};

use companies::*;
use deleted::*;
use keys::*;
use lists::*;
use log::*;
use requests::*;
use sessions::*;
use source_checks::*;
use watched::*;

mod companies;
mod deleted;
mod keys;
mod lists;
mod log;
mod requests;
mod sessions;
mod source_checks;
mod watched;

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
    all_sessions_are_paged_by_key_and_id,
    sessions_and_links_of_a_key_are_bounded,
    a_comparison_with_a_source_replaces_the_one_before,
    the_comparison_of_a_removed_source_is_forgotten,
    comparisons_are_read_of_covered_companies_alone,
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
    no_call_is_hidden_from_those_that_watch,
    lines_of_one_stream_are_written_together_or_not_at_all,
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

async fn an_epoch_is_raised_and_never_lowered(engine: &dyn Engine) {
    let store = engine.open().await;
    for (to, expected) in [(1, 1), (3, 3), (2, 3)] {
        store.raise_epoch(to).await.unwrap();
        assert_eq!(store.epoch().await.unwrap(), expected);
    }
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
