//! Sessions of the console over the management API: the list, and the end of one. `console.rs` has what they allow.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{console::Browser, harness::*};

const LIST: &str = "customersettings.v1.KeyService/ListSessions";
const END: &str = "customersettings.v1.KeyService/EndSession";

fn ids(answer: &Value) -> Vec<&str> {
    let sessions = answer["sessions"].as_array().unwrap();
    sessions.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

async fn is_in(browser: &Browser<'_>) -> bool {
    browser.get("/console?all=1").await.status == 200
}

#[tokio::test]
async fn sessions_are_listed_by_key_and_page_and_ended() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let none = server.answer(&root, LIST, json!({"id": "-"})).await;
    assert_eq!(ids(&none), [""; 0]);
    let (ana, secret) = server.issue(everything()).await;
    let (ben, of_ben) = server.issue(everything()).await;
    let first = Browser::with_key(&server, &secret).await;
    let second = Browser::with_key(&server, &secret).await;
    let other = Browser::with_key(&server, &of_ben).await;

    let all = server.answer(&root, LIST, json!({"id": "-"})).await;
    assert_eq!(all["sessions"].as_array().unwrap().len(), 3, "{all}");
    let mine = server.answer(&root, LIST, json!({"id": ana.id.as_str()})).await;
    let [one, two] = ids(&mine)[..] else { panic!("{mine}") };
    assert_eq!(mine["sessions"][0]["keyName"], "test");
    assert_eq!(mine["sessions"][0]["byLink"], false);
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let ask = json!({"id": "-", "pageSize": 1, "pageToken": token});
        let page = server.answer(&root, LIST, ask).await;
        listed.extend(ids(&page).into_iter().map(str::to_owned));
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids(&all));

    let end = |session: &str, dry: bool| json!({"id": ana.id.as_str(), "sessionId": session, "validateOnly": dry});
    let dry = server.answer(&root, END, end("-", true)).await;
    assert_eq!(ids(&dry).len(), 2);
    assert!(is_in(&first).await && is_in(&second).await);
    let ended = server.grpc_as(&root, END, end(one, false)).await.unwrap();
    assert_eq!(ids(&ended), [one]);
    assert_ne!(is_in(&first).await, is_in(&second).await);
    let gone = server.refusal(&root, END, end(one, false)).await;
    assert_eq!(gone.reason, "NOT_FOUND");
    assert!(gone.message.contains("session"), "{}", gone.message);
    let of_another = json!({"id": ben.id.as_str(), "sessionId": two});
    assert_eq!(server.refusal(&root, END, of_another).await.reason, "NOT_FOUND");
    server.grpc_as(&root, END, end("-", false)).await.unwrap();
    assert!(!is_in(&first).await && !is_in(&second).await && is_in(&other).await);
    let none = server.answer(&root, END, end("-", false)).await;
    assert_eq!(ids(&none), [""; 0]);
}

#[tokio::test]
async fn nobody_sees_or_ends_sessions_of_a_key_beyond_his_own() {
    let server = Server::demo().await;
    let (_, narrow) = server.issue(with_scopes(&["keys:read", "keys:write"])).await;
    let (wide, secret) = server.issue(everything()).await;
    let browser = Browser::with_key(&server, &secret).await;
    Browser::with_key(&server, &narrow).await;
    let all = server.answer(&narrow, LIST, json!({"id": "-"})).await;
    assert_eq!(ids(&all).len(), 1, "{all}");
    let of_wide = json!({"id": wide.id.as_str()});
    assert_eq!(server.refusal(&narrow, LIST, of_wide).await.reason, "KEY_NOT_WITHIN");
    let end = json!({"id": wide.id.as_str(), "sessionId": "-"});
    assert_eq!(server.refusal(&narrow, END, end).await.reason, "KEY_NOT_WITHIN");
    assert!(is_in(&browser).await);
}

#[tokio::test]
async fn sessions_that_are_over_are_not_listed() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let (key, secret) = server.issue(everything()).await;
    Browser::with_key(&server, &secret).await;
    let count = async || {
        let list = server.answer(&root, LIST, json!({"id": key.id.as_str()})).await;
        ids(&list).len()
    };
    assert_eq!(count().await, 1);
    server.clock.advance(Duration::from_secs(14 * 24 * 3_600 + 1));
    assert_eq!(count().await, 0);
    Browser::with_key(&server, &secret).await;
    let rotate = json!({"id": key.id.as_str(), "overlap": "60s"});
    server.grpc_as(&root, "customersettings.v1.KeyService/RotateKey", rotate).await.unwrap();
    assert_eq!(count().await, 1);
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(count().await, 0);
}

also_on_postgres! {
    sessions_are_listed_by_key_and_page_and_ended,
}
