//! The filters of lists: changes by key, author and time, companies by text. All pages of a filtered list together have
//! what filtering the whole list gives, and no request looks at more than 2,000 rows.

use std::time::Duration;

use customer_settings_server::{
    catalog::{
        access::Actor,
        entry::{Catalog, Entry},
        id::{KeyId, StaffId},
        log::Line,
        stream::Stream,
    },
    service::keys::KeyDraft,
    store::Store,
};
use proptest::{option, prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    harness::*,
    store_samples::{
        actor, changed_entry, commit, company, entry, grant, made_company, made_entry, plan,
        stream, time_of, touching, with,
    },
};

/// The method of the management API, as the compatible surface has one of that name too.
const COMPANIES: &str = "customersettings.v1.CompanyService/ListCompanies";
/// How many rows a request looks at.
const LOOKED_AT: u64 = 2_000;

also_on_postgres! {
    any_filter_of_changes_gives_what_filtering_all_of_them_gives,
    changes_of_keys_are_filtered_by_the_acting_key_its_author_and_time,
    companies_are_found_by_their_names_and_ids,
    a_company_is_found_among_thousands_in_pages_that_may_be_empty,
    a_wrong_value_of_a_filter_is_refused_by_its_name,
    a_page_token_belongs_to_its_filter,
    the_changes_in_the_way_of_an_undo_are_looked_for_among_so_many,
}

/// A list that is read page by page.
struct List<'a> {
    server: &'a Server,
    secret: &'a str,
    method: &'static str,
    rows: &'static str,
}

impl List<'_> {
    /// One page: the field of its rows, and the next page's token.
    async fn page(&self, request: &Value, field: &str) -> (Vec<String>, String) {
        let answer = self.server.answer(self.secret, self.method, request.clone()).await;
        let rows = answer[self.rows].as_array().unwrap().iter();
        let rows = rows.map(|row| row[field].as_str().unwrap().to_owned()).collect();
        (rows, answer["nextPageToken"].as_str().unwrap().to_owned())
    }

    /// The field of all rows, and how many of them each page has.
    async fn all(&self, mut request: Value, field: &str) -> (Vec<String>, Vec<usize>) {
        let (mut all, mut pages) = (Vec::new(), Vec::new());
        loop {
            let (rows, token) = self.page(&request, field).await;
            pages.push(rows.len());
            all.extend(rows);
            if token.is_empty() {
                return (all, pages);
            }
            assert!(pages.len() < 100, "{request}: the pages have no end");
            request["pageToken"] = json!(token);
        }
    }
}

/// A time within the log of [`many_changes`], some nanoseconds after that of a revision.
fn moment(revision: u64, nanos: u64) -> String {
    let micros = time_of(revision).as_micros();
    let seconds = humantime::format_rfc3339_seconds(
        std::time::UNIX_EPOCH + Duration::from_secs(micros as u64 / 1_000_000),
    );
    let text = seconds.to_string();
    format!("{}.{:06}{nanos:03}Z", text.trim_end_matches('Z'), micros % 1_000_000)
}

/// The author of a revision.
fn author(revision: u64) -> Actor {
    let key = match revision {
        5 | 2_050 => "key_rare",
        revision if revision.is_multiple_of(13) => "key_few",
        _ => "key_most",
    };
    let mut author = actor(key);
    if revision.is_multiple_of(7) {
        author.staff_id = StaffId::parse("id", "staff_007").unwrap();
    }
    if revision.is_multiple_of(11) {
        author.key_name = None;
        author = Actor { key_id: None, staff_id: StaffId::parse("id", "load").unwrap(), ..author };
    }
    author
}

/// Whether a revision is about a customer tag.
fn is_about_a_tag(revision: u64) -> bool {
    revision.is_multiple_of(400)
}

/// Writes the log of a company of that many changes, a microsecond apart.
async fn many_changes(store: &dyn Store, company: &str, revisions: u64) {
    let stream = stream(company);
    let mut current = None;
    let mut lines: Vec<Line> = Vec::new();
    for revision in 1..=revisions {
        let made = match (&current, is_about_a_tag(revision)) {
            (None, _) => plan(None, vec![made_company(self::company(company, "Many"))]),
            (Some(current), true) => {
                let tag = entry(&format!("tag_{revision}"), &format!("Tag {revision}"), 1_024);
                let tag = Entry { rank: u32::try_from(revision).unwrap(), ..tag };
                plan(Some(current), vec![made_entry(Catalog::CustomerTags, tag)])
            }
            (Some(current), false) => touching(current),
        };
        lines.push(with(made.clone(), |line| line.actor = author(revision)).line);
        current = Some(made.after);
    }
    for lines in lines.chunks(100) {
        let lines: Vec<(&Stream, &Line)> = lines.iter().map(|line| (&stream, line)).collect();
        store.commit(&lines, None).await.unwrap();
    }
}

/// A filter of changes.
#[derive(Clone, Debug)]
struct Wanted {
    key: Option<&'static str>,
    staff: Option<&'static str>,
    about_tags: bool,
    /// A revision, and nanoseconds after its time.
    from: Option<(u64, u64)>,
    until: Option<(u64, u64)>,
    page_size: u64,
}

impl Wanted {
    fn takes(&self, revision: u64) -> bool {
        let author = author(revision);
        let key = author.key_id.as_ref().map(KeyId::as_str);
        self.key.is_none_or(|wanted| key == Some(wanted))
            && self.staff.is_none_or(|wanted| author.staff_id.as_str() == wanted)
            && (!self.about_tags || is_about_a_tag(revision))
            // The nanoseconds of a line's own time are 0.
            && self.from.is_none_or(|from| (revision, 0) >= from)
            && self.until.is_none_or(|until| (revision, 0) < until)
    }

    fn request(&self) -> Value {
        let mut request = json!({"companyId": "cmp_many", "pageSize": self.page_size});
        let times = [("fromTime", self.from), ("untilTime", self.until)];
        let times = times.map(|(field, time)| (field, time.map(|(at, nanos)| moment(at, nanos))));
        let texts = [
            ("keyId", self.key),
            ("staffId", self.staff),
            ("collection", Some("customer_tags").filter(|_| self.about_tags)),
        ];
        for (field, text) in texts {
            text.into_iter().for_each(|text| request[field] = json!(text));
        }
        for (field, time) in times {
            time.into_iter().for_each(|time| request[field] = json!(time));
        }
        request
    }
}

#[tokio::test]
async fn any_filter_of_changes_gives_what_filtering_all_of_them_gives() {
    const REVISIONS: u64 = 4_100;
    let server = Server::of("companies: []").await;
    let secret = server.any_key().await;
    many_changes(&*server.store, "cmp_many", REVISIONS).await;
    server.settled().await;
    let list = List { server: &server, secret: &secret, method: "ListChanges", rows: "changes" };
    let time = || option::weighted(0.3, (0..REVISIONS + 3, select(vec![0, 1, 999])));
    let any = (
        option::weighted(0.9, select(vec!["key_rare", "key_few", "key_most", "key_none"])),
        option::of(select(vec!["staff_001", "staff_007", "load", "staff_none"])),
        proptest::bool::weighted(0.2),
        (time(), time()),
        200..=500_u64,
    );
    let mut runner = TestRunner::default();
    let rare = Wanted {
        key: Some("key_rare"),
        staff: None,
        about_tags: false,
        from: None,
        until: None,
        page_size: 500,
    };
    let mut cases = vec![
        rare.clone(),
        Wanted { about_tags: true, key: None, ..rare.clone() },
        Wanted { from: Some((5, 0)), until: Some((5, 1)), ..rare.clone() },
        Wanted { from: Some((5, 1)), ..rare.clone() },
        Wanted { until: Some((5, 0)), ..rare },
    ];
    for _ in 0..8 {
        let (key, staff, about_tags, (from, until), page_size) =
            any.new_tree(&mut runner).unwrap().current();
        // The moments are in their order; the same moment twice is refused.
        let (from, until) = match (from, until) {
            (Some(from), Some(until)) if from == until => (Some(from), None),
            (Some(from), Some(until)) => (Some(from.min(until)), Some(from.max(until))),
            other => other,
        };
        cases.push(Wanted { key, staff, about_tags, from, until, page_size });
    }
    for wanted in cases {
        let expected: Vec<String> = (1..=REVISIONS)
            .rev()
            .filter(|revision| wanted.takes(*revision))
            .map(|revision| revision.to_string())
            .collect();
        let (found, pages) = list.all(wanted.request(), "revision").await;
        assert_eq!(found, expected, "{wanted:?}");
        let most = found.len() as u64 / wanted.page_size + REVISIONS.div_ceil(LOOKED_AT);
        assert!(pages.len() as u64 <= most, "{wanted:?}: {pages:?}");
    }
    // Two changes among many: each page looks at so many lines and stops.
    let rare = json!({"companyId": "cmp_many", "keyId": "key_rare"});
    assert_eq!(list.all(rare, "revision").await.1, [0, 1, 1]);
    // A time is looked up: no page is spent on what lies before it or after it.
    let (from, until) = (moment(4, 0), moment(6, 0));
    let known =
        json!({"companyId": "cmp_many", "keyId": "key_rare", "fromTime": from, "untilTime": until});
    assert_eq!(list.all(known, "revision").await, (vec!["5".to_owned()], vec![1]));
}

#[tokio::test]
async fn the_changes_in_the_way_of_an_undo_are_looked_for_among_so_many() {
    let server = Server::of("companies: []").await;
    let secret = server.any_key().await;
    let tag = |name: &str| entry("tag_1", name, 1_024);
    let renamed = |from: &str, to: &str| {
        let after = tag(to);
        changed_entry(Catalog::CustomerTags, &tag(from), |entry| *entry = after)
    };
    for deltas in [
        vec![made_company(company("cmp_many", "Many"))],
        vec![made_entry(Catalog::CustomerTags, tag("One"))],
        vec![renamed("One", "Two")],
        vec![renamed("Two", "Three")],
    ] {
        commit(&*server.store, "cmp_many", deltas).await.unwrap();
    }
    let undo = json!({"companyId": "cmp_many", "revision": "3"});
    let mut current = server.store.settings(&grant("cmp_many")).await.unwrap().unwrap();
    // The change in the way is the oldest that is looked at, and then lies before it.
    for (newest, is_named) in [(3 + LOOKED_AT, true), (4 + LOOKED_AT, false)] {
        let mut lines = Vec::new();
        while current.revision.0 < newest {
            let plan = touching(&current);
            lines.push(plan.line);
            current = plan.after;
        }
        let stream = stream("cmp_many");
        let lines: Vec<(&Stream, &Line)> = lines.iter().map(|line| (&stream, line)).collect();
        for lines in lines.chunks(100) {
            server.store.commit(lines, None).await.unwrap();
        }
        server.settled().await;
        let before = server.probe.lines_read() as u64;
        let refused = server.grpc_as(&secret, "UndoChange", undo.clone()).await.unwrap_err();
        assert_eq!(server.probe.lines_read() as u64 - before, LOOKED_AT);
        let refusal = Refusal::of_status(&refused);
        assert_eq!(refusal.reason, "CHANGED_SINCE");
        assert_eq!(refusal.message.contains("revision 4 by"), is_named, "{}", refusal.message);
    }
}

#[tokio::test]
async fn changes_of_keys_are_filtered_by_the_acting_key_its_author_and_time() {
    let server = Server::demo().await;
    // So that each change has a second of its own.
    let step = || server.clock.advance(Duration::from_secs(2));
    let (root, secret) = server.issue(everything()).await;
    step();
    let staff = StaffId::parse("id", "staff_009").unwrap();
    let (other, other_secret) =
        server.issue(KeyDraft { staff_id: Some(staff), ..everything() }).await;
    let rename = async |secret: &str, id: &str, name: &str| {
        step();
        let request = json!({"id": id, "key": {"name": name}});
        server.grpc_as(secret, "UpdateKey", request).await.unwrap();
    };
    step();
    let (third, _) = server.issue(everything()).await;
    for (number, secret) in [&secret, &other_secret, &secret, &other_secret].iter().enumerate() {
        rename(secret, third.id.as_str(), &format!("name {number}")).await;
    }
    rename(&secret, other.id.as_str(), "another").await;

    let list = List { server: &server, secret: &secret, method: "ListKeyChanges", rows: "changes" };
    for id in ["-", third.id.as_str()] {
        let whole = server.answer(&secret, "ListKeyChanges", json!({"id": id})).await;
        let whole = whole["changes"].as_array().unwrap();
        assert_eq!(whole.len(), if id == "-" { 8 } else { 5 });
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        let mut times: Vec<String> = whole.iter().map(|row| text(row, "time")).collect();
        times.push("2020-01-01T00:00:00Z".to_owned());
        times.push("2100-01-01T00:00:00Z".to_owned());
        for (field, values) in [
            ("keyId", vec![root.id.to_string(), other.id.to_string(), "key_none".to_owned()]),
            ("staffId", vec![root.id.to_string(), "staff_009".to_owned(), "local".to_owned()]),
            ("fromTime", times.clone()),
            ("untilTime", times),
        ] {
            for value in values {
                let is_taken = |row: &&Value| match field {
                    "fromTime" => text(row, "time") >= value,
                    "untilTime" => text(row, "time") < value,
                    field => text(row, field) == value,
                };
                let expected: Vec<String> =
                    whole.iter().filter(is_taken).map(|row| text(row, "time")).collect();
                let mut request = json!({"id": id, "pageSize": 2});
                request[field] = json!(value);
                let (found, _) = list.all(request, "time").await;
                assert_eq!(found, expected, "{id} {field} {value}");
            }
        }
    }
}

#[tokio::test]
async fn companies_are_found_by_their_names_and_ids() {
    let server = Server::of(
        "companies:
           - {id: cmp_1, name: Happy Paws}
           - {id: cmp_2, name: 'HAPPY  TAILS'}
           - {id: cmp_3, name: École du Chien}
           - {id: cmp_4, name: '50% \"off\" \\ Dogs_'}
           - {id: paws_5, name: Sunny}
           - {id: cmp_6, name: unhappy}
",
    )
    .await;
    let secret = server.any_key().await;
    server.answer(&secret, "ArchiveCompany", json!({"companyId": "cmp_6"})).await;
    let list = List { server: &server, secret: &secret, method: COMPANIES, rows: "companies" };
    for (filter, expected) in [
        ("", "cmp_4 cmp_2 cmp_1 paws_5 cmp_3"),
        ("happy", "cmp_2 cmp_1"),
        ("\"Happy tails\"", "cmp_2"),
        ("\" happy   P\"", "cmp_1"),
        // The name has it, or the id begins with it.
        ("paws", "cmp_1 paws_5"),
        ("PAWS_5", ""),
        ("ws_5", ""),
        ("cmp_", "cmp_4 cmp_2 cmp_1 cmp_3"),
        ("name : cmp_", ""),
        ("école", "cmp_3"),
        // People search without accents. A whole name is another one with them.
        ("\"ecole du\"", "cmp_3"),
        ("name : \"Écòle\"", "cmp_3"),
        ("name = \"ecole du chien\"", ""),
        ("\"E\u{301}COLE\"", "cmp_3"),
        // Signs that mean something to databases.
        ("%", "cmp_4"),
        ("_", "cmp_4"),
        ("\"\\\"off\\\" \\\\\"", "cmp_4"),
        ("state = ARCHIVED", "cmp_6"),
        ("happy AND state = ARCHIVED", "cmp_6"),
        ("name = \"happy paws\" and state = ACTIVE", "cmp_1"),
        ("happy AND cmp_2", "cmp_2"),
        ("nothing", ""),
    ] {
        for size in [1, 2, 500] {
            let request = json!({"filter": filter, "pageSize": size});
            let (found, _) = list.all(request, "id").await;
            assert_eq!(found.join(" "), expected, "{filter}");
        }
    }
    let archived = json!({"filter": "happy", "showArchived": true});
    assert_eq!(list.all(archived, "id").await.0, ["cmp_2", "cmp_1", "cmp_6"]);
    // A key finds only what it covers.
    let few = server.key(covering(&["cmp_2", "cmp_3"])).await;
    let list = List { secret: &few, ..list };
    assert_eq!(list.all(json!({"filter": "happy"}), "id").await.0, ["cmp_2"]);
    // The text alone means the same for entries.
    let tags = json!({"companyId": "cmp_2", "collection": "customer_tags"});
    let create = |id: &str, name: &str| {
        let mut request = tags.clone();
        (request["entryId"], request["entry"]) = (json!(id), json!({"name": name}));
        server.grpc_as(&few, "CreateEntry", request)
    };
    create("tag_1", "VIP").await.unwrap();
    create("vi", "Other").await.unwrap();
    create("xvi", "Last").await.unwrap();
    let list = List { method: "ListEntries", rows: "entries", ..list };
    let mut request = tags.clone();
    request["filter"] = json!("vi");
    assert_eq!(list.all(request, "id").await.0, ["tag_1", "vi"]);
}

#[tokio::test]
async fn a_company_is_found_among_thousands_in_pages_that_may_be_empty() {
    let server = Server::of("companies: []").await;
    let secret = server.any_key().await;
    let ids: Vec<String> = (0..LOOKED_AT + 100).map(|number| format!("cmp_{number:04}")).collect();
    let lines: Vec<(Stream, Line)> = ids
        .iter()
        .map(|id| {
            let name = if id == "cmp_2050" {
                "Company 2050 Needle"
            } else {
                &format!("Company {}", &id[4..])
            };
            (stream(id), plan(None, vec![made_company(company(id, name))]).line)
        })
        .collect();
    for lines in lines.chunks(100) {
        let lines: Vec<_> = lines.iter().map(|(stream, line)| (stream, line)).collect();
        server.store.commit(&lines, None).await.unwrap();
    }
    let list = List { server: &server, secret: &secret, method: COMPANIES, rows: "companies" };
    assert_eq!(
        list.all(json!({"filter": "needle"}), "id").await,
        (vec!["cmp_2050".to_owned()], vec![0, 1])
    );
    // A page with room left ends where the request has looked at enough.
    assert_eq!(list.all(json!({"filter": "\"company 19\""}), "id").await.1, [100, 0]);
    let (all, pages) = list.all(json!({"filter": "company"}), "id").await;
    assert_eq!(pages, [500, 500, 500, 500, 100]);
    assert_eq!(all, ids);
}

#[tokio::test]
async fn a_wrong_value_of_a_filter_is_refused_by_its_name() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let (changes, keys) = (json!({"companyId": "cmp_001"}), json!({"id": "-"}));
    let long = format!("\"{}\"", "x".repeat(101));
    let twice = json!({"fromTime": "2026-01-01T00:00:00Z", "untilTime": "2026-01-01T00:00:00Z"});
    let back = json!({"fromTime": "2026-01-02T00:00:00Z", "untilTime": "2026-01-01T00:00:00Z"});
    let mut wrong = Vec::new();
    for (method, request) in [("ListChanges", &changes), ("ListKeyChanges", &keys)] {
        for (more, field) in [
            (json!({"keyId": "key 1"}), "key_id"),
            (json!({"keyId": "x".repeat(65)}), "key_id"),
            (json!({"staffId": "a/b"}), "staff_id"),
            (json!({"fromTime": "1969-12-31T23:59:59Z"}), "from_time"),
            (json!({"untilTime": "1969-12-31T23:59:59Z"}), "until_time"),
            (twice.clone(), "until_time"),
            (back.clone(), "until_time"),
        ] {
            wrong.push((method, request.clone(), more, field));
        }
    }
    let malformed = ["=", "AND", "a b", "\"a", "name =", "colour = red", "happy AND", "state = on"];
    for filter in malformed.into_iter().chain([long.as_str()]) {
        wrong.push((COMPANIES, json!({}), json!({"filter": filter}), "filter"));
    }
    for (method, mut request, more, field) in wrong {
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        let refusal = server.refusal(&secret, method, request.clone()).await;
        assert_eq!(
            (refusal.reason.as_str(), &refusal.fields[..]),
            ("INVALID_FIELD", &[field.to_owned()][..]),
            "{method} {request}: {}",
            refusal.message
        );
    }
    // A text that is no time is refused where it is read.
    for field in ["from_time", "until_time"] {
        for path in ["/admin/v1/companies/cmp_001/changes", "/admin/v1/keys/-/changes"] {
            let call = server.get(&format!("{path}?{field}=yesterday")).bearer(&secret);
            assert_eq!(call.send().await.refusal().fields, [field], "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_token_belongs_to_its_filter() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for name in ["One", "Two"] {
        let tag =
            json!({"companyId": "cmp_001", "collection": "customer_tags", "entry": {"name": name}});
        server.grpc_as(&secret, "CreateEntry", tag).await.unwrap();
    }
    let staff = "load";
    for (method, rows, request, others) in [
        (
            "ListChanges",
            "changes",
            json!({"companyId": "cmp_001", "fromTime": "2020-01-01T00:00:00Z"}),
            vec![
                json!({"keyId": "key_1"}),
                json!({"staffId": staff}),
                json!({"fromTime": "2020-01-01T00:00:01Z"}),
                json!({"untilTime": "2100-01-01T00:00:00Z"}),
            ],
        ),
        (
            COMPANIES,
            "companies",
            json!({"filter": "cmp"}),
            vec![json!({"filter": "cmp_"}), json!({"filter": ""})],
        ),
    ] {
        let list = List { server: &server, secret: &secret, method, rows };
        let mut request = request;
        request["pageSize"] = json!(1);
        let (_, token) =
            list.page(&request, if rows == "changes" { "revision" } else { "id" }).await;
        assert_ne!(token, "", "{method}");
        request["pageToken"] = json!(token);
        for other in others {
            let mut request = request.clone();
            for (name, value) in other.as_object().unwrap() {
                request[name] = value.clone();
            }
            let refusal = server.refusal(&secret, method, request).await;
            assert_eq!(refusal.fields, ["page_token"], "{other}");
            assert!(refusal.message.contains("other arguments"), "{}", refusal.message);
        }
    }
}
