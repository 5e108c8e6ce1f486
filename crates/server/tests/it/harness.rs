//! A whole server in this process, over a store of its own that tests can count, fail and block. Every test
//! at the wire uses it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use customer_settings_server::{
    Services,
    auth::api_key::Secret,
    catalog::{
        access::{Coverage, Scopes, Task},
        id::CompanyId,
        key::Key,
        text::Name,
    },
    clock::{Clock, ShiftedClock, SystemClock},
    config::Config,
    net::Shutdown,
    service::{keys::KeyDraft, load::Outcome},
    start,
    store::{Access, Store},
};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

mod client;
mod contract;
mod data;
pub(crate) mod http2;
mod probe;

pub(crate) use client::{Answer, Opaque, Refusal, frame};
pub(crate) use contract::{Method, method, methods};
pub(crate) use data::{Data, also_on_postgres, on_postgres};
pub(crate) use probe::CommitEnd;
use probe::Probe;

/// The example data of `serve --demo`.
pub(crate) const DEMO: &str = include_str!("../../demo/demo.yaml");

/// The longest time that a test waits for an event. A test ends its wait at the event, so only a busy machine
/// needs this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server that listens on a port of its own. Dropping it aborts the server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) services: Services,
    pub(crate) clock: Arc<ShiftedClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) probe: Arc<Probe>,
    data: Arc<Data>,
    shutdown: Shutdown,
    served: JoinHandle<()>,
}

impl Server {
    /// A server with the demo's companies and the default configuration.
    pub(crate) async fn demo() -> Self {
        Self::with(Config::default(), DEMO).await
    }

    /// A server with the companies of a document.
    pub(crate) async fn of(document: &str) -> Self {
        Self::with(Config::default(), document).await
    }

    /// A server with the demo's companies and this configuration.
    pub(crate) async fn configured(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        configure(&mut config);
        Self::with(config, DEMO).await
    }

    /// A server with the demo's companies whose requests have time, for large ones on a machine with other work.
    pub(crate) async fn patient() -> Self {
        Self::configured(|config| config.limits.request_timeout_ms = 600_000).await
    }

    pub(crate) async fn with(mut config: Config, document: &str) -> Self {
        config.listen = "127.0.0.1:0".parse().unwrap();
        Self::serve(Data::new().await, config, Some(document)).await
    }

    /// A server on the data of another one.
    pub(crate) async fn reopened(data: Arc<Data>) -> Self {
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
        Self::reopened_with(data, config).await
    }

    /// The same with a configuration.
    pub(crate) async fn reopened_with(data: Arc<Data>, config: Config) -> Self {
        Self::serve(data, config, None).await
    }

    /// Another server over the same services, where every request takes the general way.
    pub(crate) fn generally(&self, config: &Config) -> Self {
        let server = start(config, self.services.clone()).unwrap().general_only();
        let (address, shutdown) = (server.local_addr(), Shutdown::new());
        let served = tokio::spawn(server.serve(shutdown.clone()));
        Self {
            address,
            services: self.services.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            probe: self.probe.clone(),
            data: self.data.clone(),
            shutdown,
            served,
        }
    }

    async fn serve(data: Arc<Data>, config: Config, document: Option<&str>) -> Self {
        let access = Access::Serve { make_directory: false };
        let (store, probe) = (data.open(access).await, Arc::new(Probe::new()));
        store.watch(probe.clone());
        let clock = Arc::new(ShiftedClock::default());
        let services = Services::open(store.clone(), clock.clone(), &config).await.unwrap();
        if let Some(document) = document {
            load(&services, document).await;
        }
        let server = start(&config, services.clone()).unwrap();
        let (address, shutdown) = (server.local_addr(), Shutdown::new());
        let served = tokio::spawn(server.serve(shutdown.clone()));
        Self { address, services, clock, store, probe, data, shutdown, served }
    }

    /// The data of the server, which a test may break.
    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    /// Stops the server gently and gives its data.
    pub(crate) async fn stop(mut self) -> Arc<Data> {
        self.shutdown.drain();
        timeout(PATIENCE, &mut self.served).await.unwrap().unwrap();
        Arc::clone(&self.data)
    }

    /// The same data, opened by another program.
    pub(crate) async fn other_program(&self) -> Services {
        self.data.services(self.clock.clone()).await
    }

    /// Waits until the server has noticed every write so far.
    pub(crate) async fn settled(&self) {
        // The next poll may have begun before a write. The poll after it begins after the write, and has
        // ended when a third poll begins.
        self.after_polls(3).await;
    }

    /// Makes the store an engine without a change mark from now on.
    pub(crate) async fn hide_change_mark(&self) {
        self.settled().await;
        self.probe.hide_change_mark();
        self.after_polls(1).await;
    }

    async fn after_polls(&self, number: usize) {
        let enough = self.probe.calls("change_mark") + number;
        eventually(async || self.probe.calls("change_mark") >= enough).await;
    }

    /// Makes a key: its secret.
    pub(crate) async fn key(&self, draft: KeyDraft) -> String {
        self.issue(draft).await.1
    }

    /// Makes a key: the key and its secret.
    pub(crate) async fn issue(&self, draft: KeyDraft) -> (Key, String) {
        let secret = Secret::generate().unwrap();
        let key = self.services.keys.create(&Task::Local.actor(), draft, &secret).await.unwrap();
        (key, secret.expose().to_owned())
    }

    /// The secret of a key that may do everything.
    pub(crate) async fn any_key(&self) -> String {
        self.key(everything()).await
    }

    /// Sends the request over gRPC and over HTTP, whose answers must agree in every part.
    pub(crate) async fn ask(
        &self,
        secret: &str,
        name: &str,
        request: Value,
    ) -> Result<Value, Refusal> {
        let method = method(name);
        let bearer = format!("Bearer {secret}");
        let over_grpc = self.grpc(&method, &[("authorization", &bearer)], &request).await;
        let over_grpc = over_grpc.map_err(|status| Refusal::of_status(&status));
        for (http_method, path, body) in method.http_requests(&request) {
            let call = self.call(http_method.as_str(), &path).bearer(secret);
            let answer =
                call.body(body.map_or(String::new(), |body| body.to_string())).send().await;
            match &over_grpc {
                Ok(expected) => {
                    assert_eq!(answer.status, 200, "{name} {request}: {}", answer.text());
                    assert_eq!(answer.json(), *expected, "{name} {request}");
                }
                Err(expected) => assert_eq!(answer.refusal(), *expected, "{name} {request}"),
            }
        }
        over_grpc
    }

    /// Sends the request over gRPC alone, with a client's defaults.
    pub(crate) async fn grpc_as(
        &self,
        secret: &str,
        name: &str,
        request: Value,
    ) -> Result<Value, tonic::Status> {
        let bearer = format!("Bearer {secret}");
        self.grpc(&method(name), &[("authorization", &bearer)], &request).await
    }

    /// Sends the request both ways; it must be answered.
    pub(crate) async fn answer(&self, secret: &str, name: &str, request: Value) -> Value {
        let answer = self.ask(secret, name, request.clone()).await;
        answer.unwrap_or_else(|refusal| panic!("{name} {request}: {refusal:?}"))
    }

    /// Sends the request both ways; it must be refused.
    pub(crate) async fn refusal(&self, secret: &str, name: &str, request: Value) -> Refusal {
        match self.ask(secret, name, request.clone()).await {
            Ok(answer) => panic!("{name} {request}: {answer}"),
            Err(refusal) => refusal,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

/// Waits until the condition is true, and gives the time that this took.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let started = SystemClock.monotonic();
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waited).await.expect("it never happens");
    SystemClock.monotonic().saturating_duration_since(started)
}

/// Loads a document, which must be right.
pub(crate) async fn load(services: &Services, document: &str) {
    let report = |label: &str, outcome| {
        assert!(matches!(outcome, Outcome::Loaded(..)), "{label}: {outcome:?}");
    };
    services.load.load(document, report).await.unwrap_or_else(|error| panic!("{error}"));
}

/// A key that may do everything, everywhere, without expiry.
pub(crate) fn everything() -> KeyDraft {
    KeyDraft {
        name: Name::parse("name", "test").unwrap(),
        scopes: Scopes::All,
        coverage: Coverage::All,
        addresses: vec![],
        expires_time: None,
        staff_id: None,
    }
}

/// A key that covers only these companies.
pub(crate) fn covering(companies: &[&str]) -> KeyDraft {
    let ids = companies.iter().map(|id| CompanyId::parse("company", id).unwrap());
    KeyDraft { coverage: Coverage::Only(ids.collect()), ..everything() }
}

/// A key with only these scopes.
pub(crate) fn with_scopes(scopes: &[&str]) -> KeyDraft {
    let scopes = Scopes::parse("scopes", scopes.iter().copied()).unwrap();
    KeyDraft { scopes, ..everything() }
}

/// A key for only these networks.
pub(crate) fn from_networks(networks: &[&str]) -> KeyDraft {
    let addresses = networks.iter().map(|network| network.parse().unwrap()).collect();
    KeyDraft { addresses, ..everything() }
}

/// `Basic` authentication with this text.
pub(crate) fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}
