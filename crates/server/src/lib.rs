//! customer-settings as a library: [`Services`] for commands on the data, [`start`] for a server.

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub mod api;
pub mod auth;
mod background;
mod beside;
pub mod catalog;
pub mod clock;
pub mod config;
mod console;
pub mod formats;
pub mod freshness;
#[doc(hidden)]
pub mod fuzz;
pub mod net;
pub mod service;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod wake;

use auth::{
    Authenticator,
    sessions::{Sessions, Terms},
};
use catalog::{access::Task, error::Result};
use clock::Clock;
use config::Config;
use freshness::Freshness;
use net::{BodyLimits, Bound, ServeError, Shutdown};
use service::{
    companies::CompaniesService, copy::CopyService, history::HistoryService, keys::KeysService,
    load::LoadService, long_work::LongWork, old_states::OldStates, settings::SettingsService,
    snapshot::Snapshots, verify::VerifyService, writing::Writing,
};
use store::{Notice, Store, damages::Damages};
use wake::{Source, Wake};

/// The use cases over one store. A server and the local commands share them.
#[derive(Clone)]
pub struct Services {
    /// Reads and changes a company's settings.
    pub settings: Arc<SettingsService>,
    /// Finds companies and locations.
    pub companies: Arc<CompaniesService>,
    /// Reads the history.
    pub history: Arc<HistoryService>,
    /// Issues, lists and revokes keys.
    pub keys: Arc<KeysService>,
    /// Compares the stored data with the change logs.
    pub verify: Arc<VerifyService>,
    /// Reads and writes documents.
    pub load: Arc<LoadService>,
    /// The places for work that may take long.
    pub long_work: Arc<LongWork>,
    /// People in the console.
    pub sessions: Arc<Sessions>,
    /// Whether the data is there to play with, as the console says.
    pub is_demo: bool,
    authenticator: Arc<Authenticator>,
    old_states: Arc<OldStates>,
    store: Arc<dyn Store>,
    damages: Arc<Damages>,
    clock: Arc<dyn Clock>,
    freshness: Arc<Freshness>,
    wake: Arc<Wake>,
}

impl Services {
    /// Connects the use cases with each other.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        config: &Config,
    ) -> Result<Self> {
        // The recorder must be installed before any part of the program creates a metric.
        telemetry::prometheus();
        let damages = Arc::new(Damages::default());
        store.watch(damages.clone());
        let epoch = store.epoch().await?;
        let freshness =
            Freshness::new(clock.clone(), config.freshness(), config.max_stale(), epoch);
        let freshness = Arc::new(freshness);
        let wake = Arc::new(Wake::new(clock.clone(), vec![freshness.clone()]));
        let snapshots = Arc::new(Snapshots::new(
            store.clone(),
            freshness.clone(),
            clock.clone(),
            wake.clone(),
            api::finished_list,
            config.limits.cache_bytes,
        ));
        // The number of connections to a file is not configured: there are enough.
        let connections = config.database.url.as_ref().map(|_| config.database.pool_size);
        let long_work = Arc::new(LongWork::new(clock.clone(), connections.unwrap_or(usize::MAX)));
        let writing = Writing::new(store.clone(), clock.clone(), freshness.clone());
        let old_states = OldStates::new(store.clone(), clock.clone(), long_work.clone());
        let old_states = Arc::new(old_states);
        let settings = Arc::new(SettingsService::new(
            store.clone(),
            clock.clone(),
            writing.clone(),
            snapshots.clone(),
            old_states.clone(),
            long_work.clone(),
        ));
        let authenticator = Arc::new(Authenticator::new(
            store.clone(),
            clock.clone(),
            freshness.clone(),
            auth::Limits {
                key_requests_per_second: config.limits.requests_per_second,
                key_burst: config.limits.requests_burst,
                unknown_keys_per_address: config.limits.unknown_keys_per_address_per_second,
                unknown_keys_in_all: config.limits.unknown_keys_per_second,
            },
            config.accept_bare_base64,
        ));
        let keys = KeysService::new(store.clone(), clock.clone(), writing, long_work.clone(), {
            let (authenticator, wake) = (authenticator.clone(), wake.clone());
            Box::new(move |before, after| {
                authenticator.take_over(before, after);
                wake.changed(&Notice::Keys, Source::ThisProcess);
            })
        });
        let companies = CompaniesService::new(store.clone(), snapshots.clone(), clock.clone());
        Ok(Self {
            sessions: sessions(&store, &clock, &authenticator, config),
            is_demo: false,
            companies: Arc::new(companies),
            history: Arc::new(HistoryService::new(store.clone(), snapshots, long_work.clone())),
            keys: Arc::new(keys),
            load: Arc::new(LoadService::new(store.clone(), clock.clone(), settings.clone())),
            verify: Arc::new(VerifyService::new(store.clone())),
            settings,
            long_work,
            authenticator,
            old_states,
            store,
            damages,
            clock,
            freshness,
            wake,
        })
    }
}

/// People's sessions, as long as the configuration lets them last.
fn sessions(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    authenticator: &Arc<Authenticator>,
    config: &Config,
) -> Arc<Sessions> {
    let terms = Terms::of_days(config.console.idle_days, config.console.session_days);
    Arc::new(Sessions::new(store.clone(), clock.clone(), authenticator.clone(), terms))
}

impl Services {
    /// Copies everything into another store.
    pub fn copy_into(&self, to: &Self) -> CopyService {
        CopyService::new(self.store.clone(), to.store.clone())
    }

    /// The methods of the contract for the program itself, in this process: without a port and a key. Each
    /// call may take `timeout`.
    pub fn local(&self, task: Task, timeout: Duration) -> api::http::Backend {
        let clock = self.clock.clone();
        let deadline = move || net::Deadline(clock.monotonic() + timeout);
        api::local(self.use_cases(), task.holder(), deadline)
    }

    /// The use cases that the protocols call.
    pub fn use_cases(&self) -> api::UseCases {
        api::UseCases {
            settings: self.settings.clone(),
            companies: self.companies.clone(),
            history: self.history.clone(),
            keys: self.keys.clone(),
            load: self.load.clone(),
            sessions: self.sessions.clone(),
            long_work: self.long_work.clone(),
        }
    }

    /// The damage that was met since the store was opened.
    pub fn damages(&self) -> Arc<Damages> {
        self.damages.clone()
    }

    /// A time that never goes back, for commands that show their progress.
    pub fn monotonic(&self) -> std::time::Instant {
        self.clock.monotonic()
    }
}

/// A server that has its port, and does not answer yet.
pub struct Server {
    services: Services,
    api: api::Api,
    bound: Bound,
}

/// Takes the port and puts everything together.
pub fn start(config: &Config, services: Services) -> Result<Server, ServeError> {
    Ok(start_on(net::bind(config)?, config, services))
}

/// The same on a port that is already taken. Taking the port first makes sure that nothing is made if that
/// fails.
pub fn start_on(bound: Bound, config: &Config, services: Services) -> Server {
    let site = config.console.enabled.then(|| {
        let options = console::Options {
            public_url: config.public_url.clone(),
            listen: bound.local_addr().ip(),
            is_demo: services.is_demo,
            body_limits: BodyLimits::of(&config.limits),
        };
        let methods = api::in_process(services.use_cases());
        console::site(methods, services.sessions.clone(), options)
    });
    let site = site.map(|(pages, home)| api::Site { pages, home });
    let (authenticator, limits) = (services.authenticator.clone(), BodyLimits::of(&config.limits));
    let api = api::Api::new(services.use_cases(), authenticator, limits, site);
    Server { services, api, bound }
}

impl Server {
    /// The address that the server listens at, with the real port if 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr()
    }

    /// TLS, if it is on, so that the certificate can be read again.
    pub fn tls(&self) -> Option<Arc<net::Tls>> {
        self.bound.tls()
    }

    /// Sends every request the general way. Tests compare these answers with those that are given at once, which
    /// must be equal.
    pub fn general_only(self) -> Self {
        Self { api: self.api.general_only(), ..self }
    }

    /// Serves until the shutdown, and until each request in flight is finished or out of time.
    pub async fn serve(self, shutdown: Shutdown) {
        self.serve_telling(shutdown, || ()).await;
    }

    /// The same. It calls `answers` as soon as clients are answered.
    pub async fn serve_telling(self, shutdown: Shutdown, answers: impl FnOnce()) {
        let Self { services, api, bound } = self;
        let authenticator = services.authenticator.clone();
        let freshness = services.freshness.clone();
        let damages = services.damages.clone();
        background::know_secrets_first(&authenticator).await;
        let readiness: net::Readiness = Arc::new(move || {
            // Damage of one company is no reason to refuse the requests for others.
            let notes = [freshness.readiness()?, damages.summary()].into_iter().flatten();
            Ok(notes.reduce(|one, other| format!("{one}\n{other}")))
        });
        let background = background::run(
            &*services.store,
            &*services.clock,
            &services.wake,
            &authenticator,
            services.old_states.write_checkpoints(),
            api.report_health(|| services.freshness.readiness().is_ok(), &shutdown),
        );
        tokio::select! {
            () = bound.serve(api.app(), readiness, services.clock.clone(), shutdown.clone(), answers) => {}
            // This branch never ends. It is dropped after the drain.
            () = background => {}
        }
        background::flush_last_used(&authenticator).await;
    }
}
