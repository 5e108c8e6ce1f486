//! The console's pages of keys and people, and how the history names people and what they may take back.

use customer_settings_server::{
    catalog::{id::StaffId, key::Key, text::Name},
    service::keys::KeyDraft,
};
use serde_json::json;

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";
const READS: [&str; 3] = ["settings:read", "companies:read", "history:read"];

#[tokio::test]
async fn a_person_is_invited_by_a_link_and_the_history_shows_the_name() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let invite = [
        ("name", "Ana Díaz"),
        ("staff", "ana"),
        ("scope", "settings:read"),
        ("scope", "settings:write"),
        ("scope", "companies:read"),
        ("scope", "history:read"),
        ("coverage", "some"),
        ("company", "cmp_001"),
        ("request", "p"),
    ];
    let shown = owner.post("/console/people/new", &invite).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    assert!(!shown.text().contains("cs_"), "nobody sees a secret");
    let token =
        shown.text().split("/console/link?token=").nth(1).unwrap().split('"').next().unwrap();
    let ana = Browser::new(&server);
    let answer = ana.post("/console/link", &[("token", token)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(ana.get("/console").await.header("location"), Some("/console/c/cmp_001"));
    ana.post(&format!("{TAGS}/add"), &[("name", "By Ana"), ("request", "q")]).await;
    let history = owner.get("/console/c/cmp_001/history").await;
    assert!(
        history
            .text()
            .contains("<strong><bdi>Ana Díaz</bdi></strong> (ana) added the tag “By Ana”"),
        "{}",
        history.text()
    );
    let list = owner.get("/console/keys").await;
    let path =
        list.text().split("class=\"big\" href=\"").find(|rest| rest.contains("Ana Díaz")).unwrap();
    let path = path.split('"').next().unwrap();
    // A lost link is replaced; one's own rights are the limit.
    let last = Browser::hidden(&owner.get(path).await, "last");
    let again = owner.post(&format!("{path}/link"), &[("last", &*last)]).await;
    assert!(again.text().contains("/console/link?token="), "{}", again.text());
    assert_eq!(ana.post(&format!("{path}/link"), &[]).await.status, 403);
    owner.post(&format!("{path}/revoke"), &[("request", "r")]).await;
    assert_eq!(ana.get("/console").await.status, 303);
    assert!(ana.get("/console").await.header("location").unwrap().contains("sign-in"));
}

/// A key with these scopes and this name, perhaps of a staff member.
async fn person(
    server: &Server,
    name: &str,
    staff: Option<&str>,
    scopes: &[&str],
) -> (Key, String) {
    let name = Name::parse("name", name).unwrap();
    let staff_id = staff.map(|id| StaffId::parse("id", id).unwrap());
    server.issue(KeyDraft { name, staff_id, ..with_scopes(scopes) }).await
}

#[tokio::test]
async fn the_history_names_people_as_they_were_at_the_time() {
    let server = Server::demo().await;
    let (ana, secret) = person(&server, "Ana Díaz", Some("ana"), &["*"]).await;
    let browser = Browser::with_key(&server, &secret).await;
    browser.post(&format!("{TAGS}/add"), &[("name", "Old"), ("request", "a")]).await;
    let root = server.any_key().await;
    let rename = json!({"id": ana.id.as_str(), "key": {"name": "Ben"}});
    server.answer(&root, "customersettings.v1.KeyService/UpdateKey", rename).await;
    browser.post(&format!("{TAGS}/add"), &[("name", "New"), ("request", "b")]).await;
    // Nobody needs to read keys for that.
    let (_, reader) = person(&server, "Reader", None, &READS).await;
    let history = Browser::with_key(&server, &reader).await.get("/console/c/cmp_001/history").await;
    let text = history.text();
    assert!(
        text.contains("<strong><bdi>Ana Díaz</bdi></strong> (ana) added the tag “Old”"),
        "{text}"
    );
    assert!(text.contains("<strong><bdi>Ben</bdi></strong> (ana) added the tag “New”"), "{text}");
    let list = "customersettings.v1.HistoryService/ListChanges";
    let changes = server.answer(&reader, list, json!({"companyId": "cmp_001"})).await;
    let names = changes["changes"].as_array().unwrap().iter().map(|one| one["keyName"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["Ben", "Ana Díaz", ""]);
    let list = "customersettings.v1.KeyService/ListKeyChanges";
    let changes = server.answer(&root, list, json!({"id": ana.id.as_str()})).await;
    assert_eq!(changes["changes"][0]["keyName"], "test", "{changes}");
}

#[tokio::test]
async fn what_touches_entries_alone_is_undone_without_the_right_to_companies() {
    let server = Server::demo().await;
    let (_, secret) =
        person(&server, "Ana", None, &[&READS[..], &["settings:write"]].concat()).await;
    let ana = Browser::with_key(&server, &secret).await;
    let page = ana
        .follow(&ana.post(&format!("{TAGS}/add"), &[("name", "New"), ("request", "a")]).await)
        .await;
    assert!(page.text().contains("/history/2/undo\""), "{}", page.text());
    let undone = ana.post("/console/c/cmp_001/history/2/undo", &[("request", "b")]).await;
    assert_eq!(undone.status, 303, "{}", undone.text());
    let back = ana.get("/console/c/cmp_001/history/2/back").await;
    assert_eq!(back.status, 200, "{}", back.text());
    let root = server.any_key().await;
    let rename = json!({"companyId": "cmp_001", "company": {"name": "Renamed"}});
    server.answer(&root, "customersettings.v1.CompanyService/UpdateCompany", rename).await;
    let change = ana.get("/console/c/cmp_001/history/4").await;
    assert_eq!(change.status, 200);
    assert!(!change.text().contains("/undo\""), "{}", change.text());
    for validate_only in [true, false] {
        let undo = json!({"companyId": "cmp_001", "revision": "4", "validateOnly": validate_only});
        let refusal =
            server.refusal(&secret, "customersettings.v1.HistoryService/UndoChange", undo).await;
        assert!(refusal.message.contains("companies:write"), "{}", refusal.message);
        let back = json!({"companyId": "cmp_001", "revision": "1", "validateOnly": validate_only});
        let refusal =
            server.refusal(&secret, "customersettings.v1.HistoryService/RollBack", back).await;
        assert!(refusal.message.contains("companies:write"), "{}", refusal.message);
    }
    // Only those who may read the past are shown it.
    let (_, blind) = person(&server, "Blind", None, &["settings:write", "companies:write"]).await;
    for (validate_only, at) in [(true, "2"), (false, "2")] {
        let back = json!({"companyId": "cmp_001", "revision": at, "validateOnly": validate_only});
        let answer = server
            .grpc_as(&blind, "customersettings.v1.HistoryService/RollBack", back)
            .await
            .unwrap();
        assert_eq!(
            (&answer["change"]["summary"], &answer["change"]["deltas"]),
            (&json!(""), &json!([])),
            "{answer}"
        );
        assert!(!answer.to_string().contains("Happy Paws"), "{answer}");
    }
}

#[tokio::test]
async fn a_person_with_a_staff_id_invites_others_and_poses_as_nobody() {
    let server = Server::demo().await;
    let rights = [&READS[..], &["settings:write", "keys:read", "keys:write"]].concat();
    let (_, secret) = person(&server, "Ana", Some("ana"), &rights).await;
    let (carla, _) = person(&server, "Carla", Some("carla"), &["settings:read"]).await;
    let ana = Browser::with_key(&server, &secret).await;
    let form = ana.get("/console/people/new").await;
    assert!(!form.text().contains("name=\"staff\""), "{}", form.text());
    let request = Browser::hidden(&form, "request");
    let invite =
        [("name", "Ben"), ("scope", "settings:read"), ("coverage", "all"), ("request", &request)];
    let link = ana.post("/console/people/new", &invite).await;
    assert!(link.text().contains("/console/link?token="), "{}", link.text());
    let ben = ana.get("/console/keys").await;
    let path =
        ben.text().split("class=\"big\" href=\"").find(|rest| rest.contains(">Ben<")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    assert_eq!(ana.post(&format!("{path}/link"), &[]).await.status, 200);
    let of_ben = path.rsplit('/').next().unwrap();
    for (id, staff) in [(of_ben, "carla"), (of_ben, "new"), (carla.id.as_str(), "")] {
        let update = json!({"id": id, "key": {"staffId": staff}});
        let refusal =
            server.refusal(&secret, "customersettings.v1.KeyService/UpdateKey", update).await;
        assert_eq!(refusal.reason, "KEY_NOT_WITHIN", "{id} {staff}");
    }
    assert_eq!(ana.post(&format!("/console/keys/{}/link", carla.id), &[]).await.status, 403);
}

#[tokio::test]
async fn a_key_of_a_program_is_shown_once_changed_rotated_and_revoked() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let make = [
        ("name", "CRM"),
        ("scope", "settings:read"),
        ("coverage", "all"),
        ("expires", "2099-01-31"),
        ("request", "k"),
    ];
    let shown = owner.post("/console/keys/new", &make).await;
    let secret = shown.text().split("value=\"cs_").nth(1).unwrap().split('"').next().unwrap();
    let secret = format!("cs_{secret}");
    let answer =
        server.get("/admin/v1/companies/cmp_001/customer_tags").bearer(&secret).send().await;
    assert_eq!(answer.status, 200);
    let again = owner.post("/console/keys/new", &make).await;
    assert!(!again.text().contains("value=\"cs_"), "{}", again.text());
    let list = owner.get("/console/keys").await;
    let path =
        list.text().split("class=\"big\" href=\"").find(|rest| rest.contains(">CRM<")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    let page = owner.get(&path).await;
    assert!(
        page.text().contains("value=\"2099-01-31\"") && page.text().contains("See the four lists")
    );
    let etag = Browser::hidden(&page, "etag");
    let save = [
        ("name", "CRM of 2099"),
        ("scope", "settings:read"),
        ("coverage", "all"),
        ("expires", "2099-01-31"),
        ("addresses", "192.0.2.0/24"),
        ("etag", &etag),
        ("request", "l"),
    ];
    let page = owner.follow(&owner.post(&path, &save).await).await;
    assert!(
        page.text().contains("CRM of 2099") && page.text().contains("192.0.2.0/24"),
        "{}",
        page.text()
    );
    let wrong = [("name", "CRM"), ("coverage", "all"), ("expires", "soon"), ("etag", &etag)];
    let wrong = owner.post(&path, &wrong).await;
    assert!(wrong.text().contains("id=\"expires-wrong\""), "{}", wrong.text());
    let page =
        owner.follow(&owner.post(&format!("{path}/revoke"), &[("request", "m")]).await).await;
    assert!(page.text().contains("Revoked."), "{}", page.text());
}

#[tokio::test]
async fn a_link_leaves_a_trace_and_its_use_is_seen_at_once() {
    let server = Server::demo().await;
    let (ben, _) = person(&server, "Ben", None, &READS).await;
    let owner = Browser::of(&server).await;
    let path = format!("/console/keys/{}", ben.id);
    let list = owner.get("/console/keys").await;
    let (people, programs) = list.text().split_once("Programs").unwrap();
    assert!(!people.contains(">Ben<") && programs.contains(">Ben<"), "{}", list.text());
    let made = owner.post(&format!("{path}/link"), &[]).await;
    let token =
        made.text().split("/console/link?token=").nth(1).unwrap().split('"').next().unwrap();
    let list = owner.get("/console/keys").await;
    assert!(list.text().split_once("Programs").unwrap().0.contains(">Ben<"), "{}", list.text());
    let browser = Browser::new(&server);
    browser.get(&format!("/console/link?token={token}")).await;
    let page = owner.get(&path).await;
    assert!(
        page.text().contains("<strong><bdi>test</bdi></strong> made a link for signing in"),
        "{}",
        page.text()
    );
    assert!(page.text().contains("Not used yet"), "{}", page.text());
    assert_eq!(browser.post("/console/link", &[("token", token)]).await.status, 303);
    let page = owner.get(&path).await;
    assert!(!page.text().contains("Not used yet"), "{}", page.text());

    // A manager of the key ends its sessions.
    assert!(page.text().contains("By a link"), "{}", page.text());
    let id = Browser::hidden(&page, "id");
    let end = |id: String| {
        let (owner, path) = (&owner, format!("{path}/end-session"));
        async move { owner.post(&path, &[("id", &*id)]).await.status.as_u16() }
    };
    assert_eq!(end(id).await, 303);
    assert_eq!(browser.get("/console?all=1").await.status, 303);
    assert!(browser.get("/console?all=1").await.header("location").unwrap().contains("sign-in"));
}

also_on_postgres! {
    a_link_leaves_a_trace_and_its_use_is_seen_at_once,
    the_history_names_people_as_they_were_at_the_time,
    a_person_is_invited_by_a_link_and_the_history_shows_the_name,
}

#[tokio::test]
async fn a_list_that_hides_people_does_not_say_that_there_are_none() {
    let server = Server::demo().await;
    let (_, all) = person(&server, "Owner", None, &["*"]).await;
    let (_, some) = person(&server, "Ana", None, &["keys:read", "settings:read"]).await;
    let [none, hidden] = ["Nobody was invited yet.", "There is nobody here whom you may see"];
    for (secret, told, other) in [(all, none, hidden), (some, hidden, none)] {
        let list = Browser::with_key(&server, &secret).await.get("/console/keys").await;
        assert!(list.text().contains(told), "{}", list.text());
        assert!(!list.text().contains(other), "{}", list.text());
    }
}
