//! The log of requests: which of them get a line, and what it says.

use std::{cell::RefCell, io, sync::Once};

use super::*;

/// The log of this thread. In a test the whole server runs on it.
struct Log;

thread_local! {
    static LOGGED: RefCell<Vec<u8>> = RefCell::default();
}

/// Writes to the log of the current thread.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Installs a subscriber for all threads. With one for each thread, a callsite that another thread
    /// reaches first could stay disabled.
    async fn start() -> Self {
        static LISTEN: Once = Once::new();
        LISTEN.call_once(|| {
            let lines = tracing_subscriber::fmt().json().flatten_event(true);
            lines.with_writer(|| Lines).init();
        });
        let mut config = config();
        config.access_log = true;
        let server = Server::start(&config);
        for path in ["/panic", "/hello"] {
            server.get(path, "").await;
        }
        // Earlier lines do not count.
        tracing::callsite::rebuild_interest_cache();
        LOGGED.take();
        Self
    }

    fn text(&self) -> String {
        String::from_utf8(LOGGED.with_borrow(Vec::clone)).unwrap()
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const PRIVATE: &str =
    "authorization: Bearer cs_hidden\r\nx-request-id: mine\r\nx-other: hidden\r\n";

#[tokio::test]
async fn failures_are_always_logged_under_their_request_id() {
    let log = Log::start().await;
    let server = Server::start(&config());
    server.get("/panic?token=hidden", PRIVATE).await;
    let lines = log.lines();
    // The log has the cause, which the client may not see, and the request.
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, id) in
        [(&lines[0], &lines[0]["span"]["request_id"]), (&lines[1], &lines[1]["request_id"])]
    {
        assert_eq!((&line["level"], id), (&"ERROR".into(), &"mine".into()), "{line}");
    }
    assert!(lines[0]["cause"].as_str().unwrap().contains("the secret of the inside"));
    for (field, value) in [
        ("message", "request failed"),
        ("path", "/panic"),
        ("code", "500"),
        ("client", "127.0.0.1"),
        ("method", "GET"),
    ] {
        assert_eq!(lines[1][field], value);
    }
    assert!(!log.text().contains("hidden"), "{}", log.text());
}

#[tokio::test]
async fn successes_and_clients_mistakes_are_logged_only_on_request() {
    let log = Log::start().await;
    let mut config = config();
    let server = Server::start(&config);
    server.get("/hello", PRIVATE).await;
    server.get("/nowhere", PRIVATE).await;
    assert_eq!(log.text(), "");

    config.access_log = true;
    let server = Server::start(&config);
    server.get("/hello?token=hidden", PRIVATE).await;
    server.get("/nowhere", PRIVATE).await;
    let lines = log.lines();
    let codes: Vec<_> =
        lines.iter().map(|line| (&line["path"], &line["route"], &line["code"])).collect();
    assert_eq!(
        codes,
        [
            (&"/hello".into(), &"test".into(), &"200".into()),
            (&"/nowhere".into(), &"test".into(), &"404".into())
        ]
    );
    assert!(lines.iter().all(|line| line["request_id"] == "mine"));
    assert!(!log.text().contains("hidden"), "{}", log.text());
}
