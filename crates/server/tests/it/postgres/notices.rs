//! Notices: the messages of the nodes to each other.

use super::*;

#[tokio::test]
async fn writes_of_one_node_are_told_to_the_others() {
    let url = new_database().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let mut notices = other.notices().await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Everything);
    let told = Notice::of(&stream("cmp_a"));
    make_company(&one, "cmp_a", "A").await;
    assert_eq!(next(&mut notices).await, told);
    touch(&one, "cmp_a").await;
    assert_eq!(next(&mut notices).await, told);
    commit_key(&one, &key("key_1", 1)).await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Keys);
    // A node gets notices of its own writes as well, but none of refused ones.
    let stale = plan(None, vec![made_company(company("cmp_a", "B"))]);
    assert!(append(&other, &stream("cmp_a"), &stale.line).await.is_err());
    touch(&other, "cmp_a").await;
    assert_eq!(next(&mut notices).await, told);
}

#[tokio::test]
async fn everything_may_have_changed_while_nobody_listened() {
    let url = new_database().await;
    let store = open(&url).await;
    let mut notices = store.notices().await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Everything);
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'customer-settings notices'";
    eventually(async || number(&url, cut).await == 1).await;
    assert_eq!(next(&mut notices).await, Notice::Everything);
    make_company(&store, "cmp_a", "A").await;
    let expected = Notice::of(&stream("cmp_a"));
    assert_eq!(next(&mut notices).await, expected);
}

#[tokio::test]
async fn who_listens_too_slowly_hears_of_everything() {
    let url = new_database().await;
    let store = open(&url).await;
    let (mut slow, mut quick) = (store.notices().await.unwrap(), store.notices().await.unwrap());
    assert_eq!(next(&mut slow).await, Notice::Everything);
    assert_eq!(next(&mut quick).await, Notice::Everything);
    let client = connect(&url).await;
    let sql = "SELECT pg_notify('customer_settings', 'company cmp_' || number)
               FROM generate_series(1, 3000) AS number";
    client.batch_execute(sql).await.unwrap();
    let last = Notice::of(&stream("cmp_3000"));
    while next(&mut quick).await != last {}
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(next(&mut slow).await);
    }
    assert!(heard.len() < 3_000 && heard.contains(&Notice::Everything), "{}", heard.len());
    drop(store);
    while slow.recv().await.is_some() {}
}
