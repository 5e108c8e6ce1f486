//! A company as it was costs few lines of the log, however long that is. Checkpoints make it so, and no answer relies
//! on them.

use customer_settings_server::catalog::{
    checkpoint::{self, Checkpoint},
    delta::Delta,
    entry::{Catalog, Revision},
    log::Line,
    settings::Settings,
};
use serde_json::{Value, json};

use crate::{admin::Desk, harness::*, store_samples};

const COMPANY: &str = "/admin/v1/companies/cmp_001";
const TAG: &str = "/admin/v1/companies/cmp_001/customer_tags/tag_001";

impl Desk {
    /// A desk at revision 321 of a company, with all checkpoints that are due.
    async fn of_long_ago() -> Self {
        let desk = Self::open().await;
        desk.rename(320).await;
        for revision in [128, 256] {
            desk.until_checkpoint(revision, revision).await;
        }
        desk
    }

    /// Waits for a checkpoint among these revisions.
    async fn until_checkpoint(&self, first: u64, last: u64) {
        let among = Revision(first)..Revision(last + 1);
        eventually(async || {
            let stream = store_samples::stream("cmp_001");
            self.server.store.checkpoint(&stream, among.clone()).await.unwrap().is_some()
        })
        .await;
    }

    /// The lines of the log that a request reads.
    async fn lines_of(&self, method: &str, path: &str, body: Value) -> (Value, usize) {
        let before = self.server.probe.lines_read();
        let answer = self.ok(method, path, body).await;
        (answer, self.server.probe.lines_read() - before)
    }

    async fn findings(&self) -> Vec<String> {
        let verified = self.server.services.verify.verify(|_| ()).await.unwrap();
        verified.findings.into_iter().map(|one| format!("{}: {}", one.of, one.what)).collect()
    }

    /// The tag's name at a revision, and the lines that were read for it.
    async fn name_at(&self, revision: u64) -> (String, usize) {
        let path = format!("{TAG}?revision={revision}");
        let (tag, lines) = self.lines_of("GET", &path, Value::Null).await;
        (tag["name"].as_str().unwrap().to_owned(), lines)
    }
}

fn name_of(revision: u64) -> String {
    format!("Name {}", revision - 2)
}

#[tokio::test]
async fn an_old_state_is_few_lines_away() {
    let desk = Desk::of_long_ago().await;
    for (revision, lines) in
        [(2, 127), (127, 2), (128, 1), (129, 128), (256, 1), (257, 65), (300, 22)]
    {
        assert_eq!(desk.name_at(revision).await, (name_of(revision), lines), "{revision}");
        let change = format!("{COMPANY}/changes/{revision}");
        let change = desk.ok("GET", &change, Value::Null).await;
        let at = format!("{TAG}?read_time={}", change["time"].as_str().unwrap());
        let (tag, read) = desk.lines_of("GET", &at, Value::Null).await;
        assert_eq!((tag["name"].as_str().unwrap(), read), (&*name_of(revision), lines), "{at}");
        let body = json!({"revision": revision.to_string(), "validateOnly": true});
        let (_, read) = desk.lines_of("POST", &format!("{COMPANY}:rollback"), body).await;
        assert_eq!(read, lines, "a dry run to {revision}");
    }
    let body = json!({"revision": "2"});
    let (back, lines) = desk.lines_of("POST", &format!("{COMPANY}:rollback"), body).await;
    assert_eq!((&back["revision"], lines), (&json!("322"), 127));
    assert_eq!(desk.ok("GET", TAG, Value::Null).await["name"], name_of(2));
    assert_eq!(desk.findings().await, [""; 0]);
}

#[tokio::test]
async fn a_walk_that_was_long_makes_later_ones_short() {
    let desk = Desk::of_long_ago().await;
    desk.server.data().tamper("DELETE FROM checkpoints").await;
    assert_eq!(desk.name_at(2).await, (name_of(2), 320));
    desk.until_checkpoint(2, 127).await;
    for revision in [2, 40, 128, 250] {
        let (name, lines) = desk.name_at(revision).await;
        assert_eq!(name, name_of(revision));
        assert!(lines <= 128, "{revision}: {lines}");
    }
    assert_eq!(desk.findings().await, [""; 0]);
}

#[tokio::test]
async fn a_damaged_checkpoint_is_named_passed_over_and_replaced() {
    let desk = Desk::of_long_ago().await;
    for (sql, what) in [
        ("body = zeroblob(32)", "128 cannot be read (it is not as it was written)"),
        ("time = time + 1", "128 differs from its log"),
        ("revision = 100", "100 differs from its log"),
    ] {
        let sql = format!("UPDATE checkpoints SET {sql} WHERE revision = 128");
        desk.server.data().tamper(&sql).await;
        let found = desk.findings().await;
        let expected = format!("cmp_001: its checkpoint of revision {what}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{sql}: {found:?}");
        let (name, lines) = desk.name_at(2).await;
        assert_eq!(name, name_of(2), "{sql}");
        assert!(lines >= 255, "{sql}: {lines}");
        desk.until_checkpoint(128, 128).await;
        eventually(async || desk.findings().await.is_empty()).await;
    }
    // Damage of what nobody needs is none of the data's.
    assert_eq!(desk.server.get("/readyz").send().await.text().lines().count(), 1);
    let sql = "UPDATE checkpoints SET revision = 9999 WHERE revision = 256";
    desk.server.data().tamper(sql).await;
    let found = desk.findings().await;
    assert!(
        found.len() == 1 && found[0].contains("9999 is beyond the end of its log"),
        "{found:?}"
    );
    assert_eq!(desk.name_at(200).await.0, name_of(200));
}

#[tokio::test]
async fn nothing_fails_where_no_checkpoint_can_be_written() {
    let desk = Desk::of_long_ago().await;
    desk.server.data().tamper("DELETE FROM checkpoints").await;
    let full = customer_settings_server::store::StoreError::Full(Default::default());
    desk.server.probe.fail_writes_as(Some(full));
    for _ in 0..2 {
        assert_eq!(desk.name_at(2).await, (name_of(2), 320));
    }
}

#[tokio::test]
async fn a_copy_has_checkpoints_of_its_own() {
    let desk = Desk::of_long_ago().await;
    let data = Data::of_the_other_engine().await;
    let to = data.services(Default::default()).await;
    desk.server.services.copy_into(&to).copy(|_| ()).await.unwrap();
    assert!(to.verify.verify(|_| ()).await.unwrap().findings.is_empty());
    drop(to);
    let copied = Server::reopened(data).await;
    let copied = Desk { server: copied, secret: desk.secret.clone() };
    assert_eq!(copied.name_at(100).await, (name_of(100), 29));
}

also_on_postgres! {
    an_old_state_is_few_lines_away,
    a_walk_that_was_long_makes_later_ones_short,
    a_damaged_checkpoint_is_named_passed_over_and_replaced,
}

/// A line with so many made entries, and so many that move.
fn line(revision: u64, made: u32, moved: u32) -> Line {
    let tags = Catalog::CustomerTags;
    let made = (0..made).map(|i| {
        let id = format!("made_{i}");
        store_samples::made_entry(tags, store_samples::entry(&id, &id, i))
    });
    let moves = (0..moved).map(|i| store_samples::moved(tags, &format!("moved_{i}"), i, i + 1));
    let deltas: Vec<Delta> = made.chain(moves).collect();
    let (_, sample) = store_samples::key_line(&store_samples::key("any", 1));
    Line { revision: Revision(revision), deltas, ..sample }
}

fn with_entries(count: u32) -> Settings {
    let company = store_samples::made_company(store_samples::company("cmp_a", "A"));
    let mut made = line(1, count, 0);
    made.deltas.insert(0, company);
    store_samples::plan(None, made.deltas).after
}

#[test]
fn checkpoints_are_due_by_the_work_that_lies_between_them() {
    let due = |entries, made, moved| {
        let settings = with_entries(entries);
        let is_due = |revision: &u64| checkpoint::is_due(&settings, &line(*revision, made, moved));
        (1..=10_000).find(is_due).unwrap()
    };
    for ((entries, made, moved), first) in [
        ((0, 1, 0), 128),
        ((100, 1, 0), 128),
        ((1_000, 1, 0), 512),
        ((100, 1, 20), 32),
        ((100, 8, 0), 16),
        ((100, 0, 1_000), 2),
        // Nothing is before the first revision.
        ((100, 1_000, 0), 2),
        ((1_000, 100, 0), 4),
    ] {
        assert_eq!(due(entries, made, moved), first, "{entries} {made} {moved}");
    }
    let nothing = line(128, 0, 0);
    assert!(!checkpoint::is_due(&with_entries(1), &nothing), "of an empty line");
}

#[test]
fn a_checkpoint_is_the_state() {
    let settings = with_entries(100);
    let mut replay = Checkpoint::of(&settings).replay().unwrap();
    assert_eq!(replay.settings(), Some(settings));
}

#[tokio::test]
async fn a_query_says_what_became_of_a_plus_and_what_is_a_header() {
    let desk = Desk::open().await;
    for (query, field, said) in [
        (
            "read_time=2026-11-23T18:00:00+02:00",
            "read_time",
            "a + in a query means a blank, so write %2B for it",
        ),
        ("if_match=a", "if_match", "is a header: send it as 'If-Match: …', and not in the query"),
        ("Idempotency-Key=a", "Idempotency-Key", "is a header: send it as 'Idempotency-Key: …'"),
        ("idempotencyKey=a", "idempotencyKey", "is a header: send it as 'Idempotency-Key: …'"),
        ("settings_min_revision=1", "settings_min_revision", "is a header"),
    ] {
        let (status, refusal, _) = desk.no("GET", &format!("{TAG}?{query}"), Value::Null).await;
        assert_eq!((status, &refusal.fields[..]), (400, &[field.to_owned()][..]), "{query}");
        assert!(refusal.message.contains(said), "{query}: {}", refusal.message);
    }
    let (_, refusal, _) = desk.no("GET", &format!("{TAG}?read_time=yesterday"), Value::Null).await;
    assert!(!refusal.message.contains("%2B"), "{}", refusal.message);
}
