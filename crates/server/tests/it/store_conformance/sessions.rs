//! Sessions of the console, and the links that sign in once.

use super::*;

pub(super) fn digest(at: u32) -> SecretDigest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&at.to_be_bytes());
    SecretDigest(bytes)
}

/// A session that began at a second and lasts for a thousand.
pub(super) fn session(at: u32, key: &Key, began: i64) -> Session {
    Session {
        id: digest(at),
        key_id: key.id.clone(),
        secret: at.is_multiple_of(2).then_some(key.secret),
        created_time: time(began),
        seen_time: time(began),
        expires_time: time(began + 1_000),
        browser: if at == 1 { String::new() } else { "Chrome on Android".to_owned() },
    }
}

pub(super) async fn with_keys(store: &dyn Store) -> (Key, Key) {
    let (one, other) = (key("key_1", 1), key("key_2", 2));
    for key in [&one, &other] {
        commit_key(store, key).await.unwrap();
    }
    (one, other)
}

pub(super) async fn a_session_is_read_as_it_was_begun_and_ends_once(engine: &dyn Engine) {
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

pub(super) async fn a_session_takes_the_place_of_another(engine: &dyn Engine) {
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

pub(super) async fn a_link_is_used_up_by_one_session(engine: &dyn Engine) {
    let store = engine.open().await;
    let (key, _) = with_keys(&*store).await;
    let (id, key_id) = (digest(7), key.id.clone());
    let link = SignInLink { id, key_id, expires_time: time(50), used_time: None };
    store.add_link(&link, time(1)).await.unwrap();
    assert_eq!(engine.open().await.link(&digest(7)).await.unwrap(), Some(link.clone()));
    let late = store.begin_session(&session(1, &key, 50), None, Some(&digest(7))).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    store.begin_session(&session(2, &key, 49), None, Some(&digest(7))).await.unwrap();
    let used = SignInLink { used_time: Some(time(49)), ..link };
    assert_eq!(store.link(&digest(7)).await.unwrap(), Some(used));
    for link in [7, 8] {
        let again = store.begin_session(&session(3, &key, 49), None, Some(&digest(link))).await;
        assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
        assert_eq!(store.session(&digest(3)).await.unwrap(), None);
    }
}

pub(super) async fn sessions_and_links_of_a_key_are_bounded(engine: &dyn Engine) {
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
    for at in 0..2 {
        let (id, expires_time) = (digest(at), time(10));
        let link = SignInLink { id, key_id: key.id.clone(), expires_time, used_time: None };
        store.add_link(&link, time(1)).await.unwrap();
    }
    assert_eq!(store.link(&digest(0)).await.unwrap(), None);
    assert!(store.link(&digest(1)).await.unwrap().is_some());
    let (id, key_id) = (digest(77), other.id.clone());
    let last = SignInLink { id, key_id, expires_time: time(99), used_time: None };
    store.add_link(&last, time(11)).await.unwrap();
    assert_eq!(store.link(&digest(1)).await.unwrap(), None);
}

pub(super) async fn all_sessions_are_paged_by_key_and_id(engine: &dyn Engine) {
    let store = engine.open().await;
    let (key, other) = with_keys(&*store).await;
    assert_eq!(store.all_sessions(None, 9).await.unwrap(), []);
    // Neither by the time of their last use nor in the order in which they began.
    for (at, key, began) in [(4, &key, 8), (1, &other, 9), (2, &key, 7), (3, &key, 6)] {
        store.begin_session(&session(at, key, began), None, None).await.unwrap();
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let from = after.as_ref().map(|(key, id)| (key, id));
        let page = store.all_sessions(from, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.key_id.clone(), last.id));
        listed.extend(page);
    }
    let expected =
        [session(2, &key, 7), session(3, &key, 6), session(4, &key, 8), session(1, &other, 9)];
    assert_eq!(listed, expected);
}
