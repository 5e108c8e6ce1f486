//! The calls of an engine that others watch: all of them.

use std::{any::Any, collections::BTreeSet, sync::Mutex};

use customer_settings_server::{
    catalog::error::Cause,
    store::calls::{Call, Watch},
};

use super::*;

/// The methods that write.
const WRITES: [&str; 10] = [
    "commit",
    "commit_key_family",
    "leave_checkpoint",
    "touch_keys",
    "leave_source_check",
    "begin_session",
    "touch_session",
    "end_session",
    "add_link",
    "raise_epoch",
];

/// Refuses each call, and remembers whether it writes.
#[derive(Default)]
struct Refusing(Mutex<Vec<(&'static str, bool)>>);

#[async_trait]
impl Watch for Refusing {
    async fn before(&self, call: Call<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap().push((call.method, call.is_write));
        Err(StoreError::Unavailable(Cause::new("refused")))
    }

    fn after(
        &self,
        _: Call<'_>,
        answer: Result<&mut dyn Any, &StoreError>,
    ) -> Result<(), StoreError> {
        assert!(answer.is_err());
        Ok(())
    }
}

pub(super) async fn no_call_is_hidden_from_those_that_watch(engine: &dyn Engine) {
    let store = engine.open().await;
    let made = make_company(&*store, "cmp_a", "A").await;
    let refusing = Arc::new(Refusing::default());
    store.watch(refusing.clone());
    let (grant, all, log) = (grant("cmp_a"), covering_all(), stream("cmp_a"));
    let (key, request) = (key("key_1", 1), request_id("r"));
    let (tags, session) = (Catalog::CustomerTags, session(1, &key, 1));
    let (id, key_id) = (digest(1), key.id.clone());
    let link = SignInLink { id, key_id, expires_time: time(2), used_time: None };
    let line = touching(&made).line;
    let commit = append(&*store, &log, &line).await;
    let family = store.commit_key_family(&key.id, 9, always(&[]), None).await;
    let checkpoint = Checkpoint::of(&made);
    let (compared, companies) = (check(1, "", None), [company_id("cmp_a")]);
    let refused = [
        ("list_companies", store.list_companies(&all, true, None, 0, 9).await.err()),
        ("list_businesses", store.list_businesses(&all, 0, 9).await.err()),
        ("company_ids", store.company_ids(&all, None, 9).await.err()),
        ("company_of", store.company_of(&business("b", "B").id).await.err()),
        ("companies_named", store.companies_named(&all, "a").await.err()),
        ("fold_key", store.fold_key(&grant).await.err()),
        ("settings", store.settings(&grant).await.err()),
        ("revision", store.revision(&grant).await.err()),
        ("deleted_among", store.deleted_among(&grant, tags, &[]).await.err()),
        ("commit", commit.err()),
        ("commit_key_family", family.err()),
        ("request", store.request(&lines_of("cmp_a"), &key.id, &request).await.err()),
        ("log", store.log(&log, (Revision(0), 0), 9).await.err()),
        ("log_before", store.log_before(&Streams::keys(), None, None, 9).await.err()),
        ("revision_at", store.revision_at(&log, time(1)).await.err()),
        ("checkpoint", store.checkpoint(&log, Revision(0)..Revision(9)).await.err()),
        ("leave_checkpoint", store.leave_checkpoint(&log, &checkpoint).await.err()),
        ("key_by_secret", store.key_by_secret(&key.secret).await.err()),
        ("keys", store.keys(None, None, 9).await.err()),
        ("key", store.key(&key.id).await.err()),
        ("secrets", store.secrets(0, 9).await.err()),
        ("key_descendants", store.key_descendants(&key.id, 9).await.err()),
        ("key_ids", store.key_ids(None, 9).await.err()),
        ("next_key_expiry", store.next_key_expiry(time(1)).await.err()),
        ("touch_keys", store.touch_keys(&[(key.id.clone(), time(1))]).await.err()),
        ("leave_source_check", store.leave_source_check(&grant, &compared).await.err()),
        ("source_checks", store.source_checks(&all, &companies).await.err()),
        ("begin_session", store.begin_session(&session, None, None).await.err()),
        ("session", store.session(&session.id).await.err()),
        ("sessions", store.sessions(&key.id, 9).await.err()),
        ("touch_session", store.touch_session(&session.id, time(1)).await.err()),
        ("end_session", store.end_session(&session.id).await.err()),
        ("add_link", store.add_link(&link, time(1)).await.err()),
        ("link", store.link(&link.id).await.err()),
        ("epoch", store.epoch().await.err()),
        ("facts", store.facts().await.err()),
        ("raise_epoch", store.raise_epoch(1).await.err()),
        ("change_mark", store.change_mark().await.err()),
        ("structural_faults", store.structural_faults(9).await.err()),
    ];
    for (method, error) in &refused {
        assert!(matches!(error, Some(StoreError::Unavailable(_))), "{method}: {error:?}");
    }
    assert!(store.notices().await.is_none());
    let seen: BTreeSet<_> = refusing.0.lock().unwrap().iter().copied().collect();
    let expected = refused.iter().map(|(method, _)| *method).chain(["notices"]);
    assert_eq!(seen, expected.map(|method| (method, WRITES.contains(&method))).collect());
}
