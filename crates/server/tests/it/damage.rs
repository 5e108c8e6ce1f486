//! Damage that a running server meets: it is counted and reported, and all other requests are served.

use serde_json::{Value, json};

use crate::harness::*;

also_on_postgres! {
    damage_is_counted_and_told_of_while_others_are_served,
    a_damaged_row_of_a_list_is_named_and_hides_no_other,
    a_missing_line_of_a_log_is_damage_wherever_it_is_met,
}

const TAGS: &str = "/v1/setting/companies/cmp_002/customer/tags:list";

/// The number after a metric's name and labels; 0 if the metric is not there yet.
fn number(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |number| number.trim().parse().unwrap())
}

#[tokio::test]
async fn damage_is_counted_and_told_of_while_others_are_served() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let data = server.stop().await;
    data.tamper("UPDATE entries SET color = 'green' WHERE company_id = 'cmp_002'").await;
    let server = Server::reopened(data).await;
    let get = async |path: &str| server.call("GET", path).bearer(&secret).send().await;
    assert_eq!(get("/readyz").await.text(), "ok\n");
    // Counters belong to the process, which other tests share.
    let series = "customer_settings_damage_met_total{part=\"settings\"}";
    let before = number(get("/metrics").await.text(), series);
    for _ in 0..2 {
        assert_eq!(get(TAGS).await.status, 500);
        assert_eq!(get(&TAGS.replace("cmp_002", "cmp_001")).await.status, 200);
    }
    let metrics = get("/metrics").await.text().to_owned();
    assert!(number(&metrics, series) >= before + 2.0, "{metrics}");
    assert!(metrics.contains("\ncustomer_settings_damaged_places "), "{metrics}");
    let ready = get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.text(),
        "ok\nthe data is damaged in one place: the log names them, and `customer-settings verify` all that is wrong\n"
    );
}

/// The ids of the things of a list and of those that are damaged, in pages of that size.
async fn listed(server: &Server, secret: &str, path: &str, size: usize) -> [Vec<String>; 2] {
    let (mut all, mut token) = ([Vec::new(), Vec::new()], String::new());
    loop {
        let page = format!("{path}?page_size={size}&page_token={token}");
        let answer = server.call("GET", &page).bearer(secret).send().await;
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        let answer = answer.json();
        let items = path.rsplit('/').next().unwrap();
        let texts = |values: &Value, at: &str| -> Vec<String> {
            let values = values.as_array().unwrap().iter();
            values.map(|one| one.pointer(at).unwrap().as_str().unwrap().to_owned()).collect()
        };
        let page = [texts(&answer[items], "/id"), texts(&answer["damagedIds"], "")];
        assert!(page[0].len() + page[1].len() <= size, "{answer}");
        for (all, page) in all.iter_mut().zip(page) {
            all.extend(page);
        }
        token = answer["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn a_damaged_row_of_a_list_is_named_and_hides_no_other() {
    let server = Server::demo().await;
    let (reader, secret) = server.issue(everything()).await;
    let (_, narrow) = server.issue(covering(&["cmp_001"])).await;
    let mut ids = vec![reader.id.to_string()];
    for _ in 0..4 {
        ids.push(server.issue(covering(&["cmp_001"])).await.0.id.to_string());
    }
    let bad = ids.remove(2);
    let data = server.stop().await;
    data.tamper(&format!("UPDATE keys SET scopes = 'x' WHERE id = '{bad}'")).await;
    data.tamper("UPDATE companies SET created_by = '' WHERE id = 'cmp_002'").await;
    let server = Server::reopened(data).await;
    for size in [1, 2, 3, 100] {
        let [keys, damaged] = listed(&server, &secret, "/admin/v1/keys", size).await;
        assert!(ids.iter().all(|id| keys.contains(id)) && !keys.contains(&bad), "{keys:?}");
        assert_eq!(damaged, [bad.as_str()]);
        // Nobody knows whether a restricted key may see it.
        let [keys, damaged] = listed(&server, &narrow, "/admin/v1/keys", size).await;
        assert!(ids[1..].iter().all(|id| keys.contains(id)) && damaged.is_empty(), "{keys:?}");
        let companies = listed(&server, &secret, "/admin/v1/companies", size).await;
        assert_eq!(companies, [["cmp_001"], ["cmp_002"]]);
        let companies = listed(&server, &narrow, "/admin/v1/companies", size).await;
        assert_eq!(companies, [vec!["cmp_001".to_owned()], vec![]]);
    }
    // The compatible list has no place for that.
    let list = server.call("POST", "/v1/companies:list").bearer(&secret);
    assert_eq!(list.body("{}").send().await.status, 500);
    let ready = server.call("GET", "/readyz").send().await;
    assert!(ready.text().contains("damaged in"), "{}", ready.text());
}

#[tokio::test]
async fn a_missing_line_of_a_log_is_damage_wherever_it_is_met() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for number in 1..=6 {
        let entry = json!({"name": format!("Tag {number}")});
        let tag = json!({"companyId": "cmp_002", "collection": "customer_tags", "entry": entry});
        server.grpc_as(&secret, "CreateEntry", tag).await.unwrap();
    }
    let changes = "/admin/v1/companies/cmp_002/changes";
    let listed = server.call("GET", changes).bearer(&secret).send().await.json();
    let newest = listed["changes"][0]["revision"].as_str().unwrap().parse::<u64>().unwrap();
    let mut data = server.stop().await;
    for lost in [newest - 3, newest, 1] {
        let sql =
            format!("revision = {lost} AND stream_kind = 'company' AND stream_id = 'cmp_002'");
        data.tamper(&format!("CREATE TABLE lost AS SELECT * FROM changes WHERE {sql}")).await;
        data.tamper(&format!("DELETE FROM changes WHERE {sql}; DELETE FROM checkpoints")).await;
        let server = Server::reopened(data).await;
        let status = async |method: &str, path: &str| {
            let call = server.call(method, path).bearer(&secret);
            let call = if method == "POST" { call.body("{}") } else { call };
            call.send().await.status.as_u16()
        };
        assert_eq!(status("GET", &format!("{changes}?page_size=500")).await, 500, "{lost}");
        assert_eq!(status("GET", &format!("{changes}/{lost}")).await, 500, "{lost}");
        assert_eq!(status("POST", &format!("{changes}/{lost}:undo")).await, 500, "{lost}");
        assert_eq!(status("GET", &format!("{changes}/{}", newest + 1)).await, 404, "{lost}");
        assert_eq!(status("GET", &format!("{changes}/{}", newest - 1)).await, 200, "{lost}");
        if lost > 1 {
            let old = format!("/admin/v1/companies/cmp_002/customer_tags?revision={}", lost - 1);
            assert_eq!(status("GET", &old).await, 500, "{lost}");
        }
        let other = changes.replace("cmp_002", "cmp_001");
        assert_eq!(status("GET", &other).await, 200, "{lost}");
        let ready = server.call("GET", "/readyz").send().await;
        assert!(ready.text().contains("damaged in one place"), "{}", ready.text());
        data = server.stop().await;
        data.tamper("INSERT INTO changes SELECT * FROM lost; DROP TABLE lost").await;
    }
}
