//! Damage that a running server meets: counted, and told of, while everybody else is served.

use crate::harness::*;

also_on_postgres!(damage_is_counted_and_told_of_while_others_are_served,);

const TAGS: &str = "/v1/setting/companies/cmp_002/customer/tags:list";

/// The number behind a metric's name and labels; 0 where it is not there yet.
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
    // Counters are the process's, which other tests share.
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
