//! Notices to the other nodes about writes, and notices from them: LISTEN and NOTIFY on a connection of their own.
//!
//! A notice is never part of the write's own transaction: a transaction that notifies takes a lock on the whole
//! database until its commit is on disk, so all writers would wait for each other. A lost notice therefore only delays
//! the change: everything cached is looked up again after its bound.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
        mpsc,
    },
    task::AbortHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Error, error::SqlState};

use super::{
    error::{OpenError, explain},
    target::{Driver, Target},
};
use crate::{
    catalog::stream::{Stream, StreamName},
    store::Notice,
};

const CHANNEL: &str = "customer_settings";
/// The most notices that may wait for a slow listener. Beyond that, it gets [`Notice::Everything`].
const BACKLOG: usize = 1_024;
/// Small, since notices wait in the backlog.
const LISTENER_QUEUE: usize = 16;
/// The most streams in separate notices. A write to more streams is [`Notice::Everything`].
const MOST_PENDING: usize = 256;
/// How long notices are collected after one was sent, so that many writes share a message.
const TELL_PAUSE: Duration = Duration::from_millis(5);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// How often the server has to answer a ping.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The task that sends and receives notices, which ends with this. It connects when there is a notice
/// to send or a listener.
pub(super) struct Notifier {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Notify,
    heard: broadcast::Sender<Notice>,
}

/// The notices that are not sent yet.
#[derive(Default)]
struct Pending {
    streams: BTreeSet<StreamName>,
    keys: bool,
    everything: bool,
}

impl Notifier {
    pub(super) fn start(target: Target) -> Self {
        // An operator can recognize the connection by this name.
        let target = target.named("customer-settings notices");
        let (heard, _) = broadcast::channel(BACKLOG);
        let shared = Arc::new(Shared { pending: Mutex::default(), wake: Notify::new(), heard });
        let task = tokio::spawn(run(target, Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    /// Receives, from now on, notices of all nodes' writes, also of this one's.
    pub(super) fn listen(&self) -> mpsc::Receiver<Notice> {
        let (listener, notices) = mpsc::channel(LISTENER_QUEUE);
        tokio::spawn(pass_on(self.shared.heard.subscribe(), listener));
        self.shared.wake.notify_one();
        notices
    }

    /// Sends a notice soon that the stream changed.
    pub(super) fn tell(&self, stream: &Stream) {
        self.shared.pending().add(Notice::of(stream));
        self.shared.wake.notify_one();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, notice: Notice) {
        // There may be no listener.
        _ = self.heard.send(notice);
    }
}

impl Pending {
    fn add(&mut self, notice: Notice) {
        match notice {
            Notice::Stream(stream) if self.streams.len() < MOST_PENDING => {
                self.streams.insert(stream);
            }
            Notice::Keys => self.keys = true,
            Notice::Stream(_) | Notice::Everything => self.everything = true,
        }
    }

    fn take(&mut self) -> Vec<String> {
        let Self { streams, keys, everything } = std::mem::take(self);
        if everything {
            return vec![write(&Notice::Everything)];
        }
        let streams = streams.into_iter().map(Notice::Stream);
        streams.chain(keys.then_some(Notice::Keys)).map(|notice| write(&notice)).collect()
    }
}

/// The text of a notice.
fn write(notice: &Notice) -> String {
    match notice {
        Notice::Stream(stream) => stream.to_string(),
        Notice::Keys => "keys".to_owned(),
        Notice::Everything => "everything".to_owned(),
    }
}

/// Parses a notice. A newer program may send texts that this program does not know, and they can be about anything.
fn read(text: &str) -> Notice {
    match text {
        "keys" => Notice::Keys,
        _ => StreamName::read(text).map_or(Notice::Everything, Notice::Stream),
    }
}

/// Passes notices on to a listener. A listener that falls too far behind gets [`Notice::Everything`].
async fn pass_on(mut heard: broadcast::Receiver<Notice>, listener: mpsc::Sender<Notice>) {
    loop {
        let notice = match heard.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => Notice::Everything,
            Err(RecvError::Closed) => return,
        };
        if listener.send(notice).await.is_err() {
            return;
        }
    }
}

/// Why a connection ended.
enum End {
    /// The connection broke, or was never made.
    Lost(String),
    /// The engine has no LISTEN or NOTIFY.
    Unsupported(String),
}

async fn run(target: Target, shared: Arc<Shared>) {
    shared.wake.notified().await;
    shared.wake.notify_one();
    let mut delay = FIRST_DELAY;
    let mut is_told = false;
    loop {
        let mut is_connected = false;
        match session(&target, &shared, &mut is_connected, is_told).await {
            End::Unsupported(cause) => {
                tracing::info!(
                    cause,
                    "the database passes no notices on: nodes look for changes instead"
                );
                return;
            }
            End::Lost(cause) => {
                if is_connected || !is_told {
                    tracing::warn!(cause, "no notices of other nodes' changes for now");
                }
                is_told = true;
            }
        }
        if is_connected {
            delay = FIRST_DELAY;
        }
        sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// One connection, from its beginning to its end.
async fn session(
    target: &Target,
    shared: &Arc<Shared>,
    is_connected: &mut bool,
    is_told: bool,
) -> End {
    let (client, driver) = match target.connect().await {
        Ok(connected) => connected,
        Err(error) => return End::Lost(OpenError::to_string(&error)),
    };
    let (ended, mut end) = mpsc::channel(1);
    let driving = tokio::spawn(drive(driver, Arc::clone(shared), ended));
    let _stop = AbortOnDrop(driving.abort_handle());
    match answered(listen(&client)).await {
        Ok(()) => {}
        Err(end) => return end,
    }
    *is_connected = true;
    if is_told {
        tracing::info!("notices of other nodes' changes come in again");
    }
    // Earlier notices were not received.
    shared.hear(Notice::Everything);
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            cause = end.recv() => return End::Lost(cause.unwrap_or_default()),
            () = shared.wake.notified() => {
                let notices = shared.pending().take();
                let told = answered(tell(&client, notices)).await;
                sleep(TELL_PAUSE).await;
                told
            }
            _ = pings.tick() => answered(client.batch_execute("")).await,
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

async fn listen(client: &Client) -> Result<(), Error> {
    // A notice is not worth a sync of the disk. An engine without this setting is fine too.
    _ = client.batch_execute("SET synchronous_commit = off").await;
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await
}

async fn tell(client: &Client, notices: Vec<String>) -> Result<(), Error> {
    if notices.is_empty() {
        return Ok(());
    }
    let sql = "SELECT pg_notify($1::text, payload) FROM unnest($2::text[]) AS payload";
    client.query(sql, &[&CHANNEL, &notices]).await.map(drop)
}

async fn answered(request: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    let unsupported =
        [SqlState::FEATURE_NOT_SUPPORTED, SqlState::SYNTAX_ERROR, SqlState::UNDEFINED_FUNCTION];
    match timeout(ANSWER_TIMEOUT, request).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.code().is_some_and(|code| unsupported.contains(code)) => {
            Err(End::Unsupported(explain(&error)))
        }
        Ok(Err(error)) => Err(End::Lost(explain(&error))),
        Err(_) => Err(End::Lost("the server does not answer".to_owned())),
    }
}

/// Moves the connection's bytes, and passes on the notices from it, until the connection ends.
async fn drive(mut driver: Driver, shared: Arc<Shared>, ended: mpsc::Sender<String>) {
    let cause = loop {
        match std::future::poll_fn(|context| driver.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                shared.hear(read(notification.payload()));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break explain(&error),
            None => break "the connection was closed".to_owned(),
        }
    };
    _ = ended.send(cause).await;
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(company: &str) -> Notice {
        Notice::Stream(StreamName::read(&format!("company {company}")).unwrap())
    }

    #[test]
    fn a_notice_is_read_as_it_was_written_and_an_unknown_one_is_about_everything() {
        for notice in [of("keys"), Notice::Keys, Notice::Everything] {
            assert_eq!(read(&write(&notice)), notice);
        }
        for unknown in ["", "company", "company not an id", "more words"] {
            assert_eq!(read(unknown), Notice::Everything, "{unknown}");
        }
    }

    #[tokio::test]
    async fn what_waits_is_told_once_and_too_much_of_it_as_everything() {
        let (heard, _) = broadcast::channel(1);
        let shared = Arc::new(Shared { pending: Mutex::default(), wake: Notify::new(), heard });
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let notifier = Notifier { shared, task };
        let tell = |notice| notifier.shared.pending().add(notice);
        for company in ["cmp_1", "cmp_2", "cmp_1"] {
            tell(of(company));
        }
        tell(Notice::Keys);
        tell(Notice::Keys);
        assert_eq!(notifier.shared.pending().take(), ["company cmp_1", "company cmp_2", "keys"]);
        assert!(notifier.shared.pending().take().is_empty());
        for number in 0..=MOST_PENDING {
            tell(of(&format!("cmp_{number}")));
        }
        assert_eq!(notifier.shared.pending().take(), ["everything"]);
    }
}
