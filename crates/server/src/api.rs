//! The protocols: gRPC, HTTP/JSON, the documents. This module knows no store and no SQL.

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderValue, header};
use axum::{Router, body::Body, extract::Request, response::Response};
use customer_settings_contract::{
    customersettings::v1::{
        self as admin_v1, entry_service_server::EntryServiceServer,
        history_service_server::HistoryServiceServer, key_service_server::KeyServiceServer,
        settings_service_server::SettingsServiceServer,
    },
    descriptors,
    moego::business::{
        business::v1::business_service_server::BusinessServiceServer,
        company::v1::company_service_server::CompanyServiceServer,
        setting::v1::setting_service_server::SettingServiceServer,
    },
};
use tokio::time::timeout;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    auth::{Authenticator, sessions::Sessions},
    catalog::{access::Holder, error::Error},
    net::{App, BodyLimits, Deadline, Manner, Shutdown},
    service::{
        companies::CompaniesService, history::HistoryService, keys::KeysService, load::LoadService,
        long_work::LongWork, settings::SettingsService,
    },
    status::{self, Protocol, RequestError},
};

pub(crate) mod admin;
mod caching;
mod compat;
mod convert;
mod counts;
pub mod docs;
pub(crate) mod frame;
mod grpc;
mod guard;
pub mod http;
pub(crate) mod inflate;
pub mod json;
mod large;
pub mod lists;
mod marks;
pub mod openapi;
mod reflection;
mod wire;

use admin::Admin;
use compat::Compat;
use grpc::Guard;
use guard::{Methods, admit};
use http::{Backend, Transcoder, Wiring};
pub use lists::finished_list;
use lists::{FinishedLists, at_once::ListsAtOnce};
use reflection::Pace;

/// How often the gRPC health service checks whether the server is ready.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);

/// The use cases behind the methods.
#[derive(Clone)]
pub struct UseCases {
    /// Reads and changes companies' settings.
    pub settings: Arc<SettingsService>,
    /// Finds companies and locations.
    pub companies: Arc<CompaniesService>,
    /// Reads the history of changes.
    pub history: Arc<HistoryService>,
    /// Issues, lists and revokes keys.
    pub keys: Arc<KeysService>,
    /// Plans, applies and exports documents.
    pub load: Arc<LoadService>,
    /// Makes the links by which people sign in.
    pub sessions: Arc<Sessions>,
    /// The places for work that may take long.
    pub long_work: Arc<LongWork>,
}

/// The gRPC services for one holder in this process: without port and key, but with the same check of scopes.
pub fn local(
    use_cases: UseCases,
    holder: Holder,
    deadline: impl Fn() -> Deadline + Clone + Send + Sync + 'static,
) -> Backend {
    let services = in_process(use_cases);
    BoxCloneSyncService::new(service_fn(move |mut request: ::http::Request<tonic::body::Body>| {
        request.extensions_mut().insert(deadline());
        request.extensions_mut().insert(holder.clone());
        services.clone().oneshot(request)
    }))
}

/// The same for the holder and until the deadline that stand in the extensions of each request.
pub fn in_process(use_cases: UseCases) -> Backend {
    let services = routes(use_cases, usize::MAX).prepare();
    let methods = Arc::new(Methods::new());
    BoxCloneSyncService::new(service_fn(move |request: ::http::Request<tonic::body::Body>| {
        let (mut parts, body) = request.into_parts();
        let holder = parts.extensions.remove::<Holder>();
        let admitted = match (methods.get(parts.uri.path()), holder) {
            (Some(method), Some(holder)) => admit(method, holder, &mut parts),
            (Some(_), None) => Err(Error::NoCredential),
            // The services themselves refuse an unknown method.
            (None, _) => Ok(()),
        };
        let services = services.clone();
        async move {
            match admitted {
                Ok(()) => services.oneshot(::http::Request::from_parts(parts, body)).await,
                Err(error) => Ok(status::grpc_status(&error).into_http()),
            }
        }
    }))
}

/// Pages for people, beside the protocols.
pub struct Site {
    /// Answers their paths.
    pub pages: Router,
    /// The path to which `/` leads browsers.
    pub home: HeaderValue,
}

/// Every protocol over the use cases.
pub struct Api {
    app: App,
    health: tonic_health::server::HealthReporter,
    /// The names that clients may ask the health service about: the server as a whole (an empty
    /// name), and each service.
    health_names: Vec<String>,
}

impl Api {
    /// Builds the protocols.
    pub fn new(
        use_cases: UseCases,
        authenticator: Arc<Authenticator>,
        body_limits: BodyLimits,
        site: Option<Site>,
    ) -> Self {
        let (compat, long_work) = (Compat::new(&use_cases), use_cases.long_work.clone());
        let methods = Arc::new(Methods::new());
        let at_once = ListsAtOnce::new(&methods, authenticator.clone(), use_cases.settings.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        // The guard before the services limits the bodies of each method.
        let routes = routes(use_cases, body_limits.document)
            .add_service(health_service)
            .add_service(
                reflection::service()
                    .build_v1()
                    .unwrap_or_else(|error| unreachable!("built descriptors: {error}")),
            )
            .add_service(
                reflection::service()
                    .build_v1alpha()
                    .unwrap_or_else(|error| unreachable!("built descriptors: {error}")),
            );
        let guard = Guard {
            authenticator,
            methods,
            body_limits,
            long_work: long_work.clone(),
            reflection: Arc::new(Pace::new()),
        };
        let backend = grpc::backend(routes, guard.clone());
        let services = http::bound_services(descriptors());
        let services: Vec<&str> = services.iter().map(String::as_str).collect();
        let wiring = Wiring {
            backend: backend.clone(),
            authenticate: Arc::new(guard.clone()),
            finished: Some(Arc::new(FinishedLists(compat))),
            body_limits,
            long_work: long_work.clone(),
        };
        let transcoder = Transcoder::new(descriptors(), &services, wiring)
            .unwrap_or_else(|error| unreachable!("the contract's bindings are tested: {error}"));
        let web = backend.clone().map_response(status::with_short_head);
        let protocols = Arc::new(Protocols {
            grpc: backend,
            grpc_web: GrpcWebLayer::new().layer(BoxCloneSyncService::new(web)),
            pages: pages(docs::router(), transcoder, site),
        });
        let app = service_fn(move |request| {
            let protocols = protocols.clone();
            async move { Ok::<_, Infallible>(protocols.answer(request).await) }
        });
        let health_names = std::iter::once(String::new()).chain(service_names()).collect();
        let app = App::new(app).with_answers_at_once(Arc::new(at_once));
        Self { app: app.with_documents(http::document_paths(descriptors())), health, health_names }
    }

    /// The application that answers requests.
    pub fn app(&self) -> App {
        self.app.clone()
    }

    /// Sends every request the general way.
    pub fn general_only(self) -> Self {
        Self { app: self.app.general_only(), ..self }
    }

    /// Reports to the gRPC health service whether the server is ready, until the server stops.
    pub async fn report_health(&self, is_ready: impl Fn() -> bool, shutdown: &Shutdown) {
        let mut said = None;
        let mut stops = false;
        loop {
            let is_ready = !stops && is_ready();
            if said != Some(is_ready) {
                let status = match is_ready {
                    true => ServingStatus::Serving,
                    false => ServingStatus::NotServing,
                };
                for name in &self.health_names {
                    self.health.set_service_status(name, status).await;
                }
                said = Some(is_ready);
            }
            if stops {
                return;
            }
            stops = timeout(HEALTH_INTERVAL, shutdown.draining()).await.is_ok();
        }
    }
}

/// The full names of all gRPC services.
fn service_names() -> impl Iterator<Item = String> {
    let ours = descriptors().services().map(|service| service.full_name().to_owned());
    let others = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    ours.chain(others.map(str::to_owned))
}

/// The services of the contract.
fn routes(use_cases: UseCases, limit: usize) -> Routes {
    let compat = Compat::new(&use_cases);
    let admin = Admin(use_cases);
    Routes::new(SettingServiceServer::new(compat.clone()).max_decoding_message_size(limit))
        .add_service(CompanyServiceServer::new(compat.clone()).max_decoding_message_size(limit))
        .add_service(BusinessServiceServer::new(compat).max_decoding_message_size(limit))
        .add_service(EntryServiceServer::new(admin.clone()).max_decoding_message_size(limit))
        .add_service(
            admin_v1::company_service_server::CompanyServiceServer::new(admin.clone())
                .max_decoding_message_size(limit),
        )
        .add_service(
            admin_v1::business_service_server::BusinessServiceServer::new(admin.clone())
                .max_decoding_message_size(limit),
        )
        .add_service(KeyServiceServer::new(admin.clone()).max_decoding_message_size(limit))
        .add_service(SettingsServiceServer::new(admin.clone()).max_decoding_message_size(limit))
        .add_service(HistoryServiceServer::new(admin).max_decoding_message_size(limit))
}

/// Chooses who answers a request by its protocol, which `net` has decided.
struct Protocols {
    grpc: Backend,
    grpc_web: GrpcWebService<Backend>,
    pages: Router,
}

impl Protocols {
    async fn answer(&self, request: Request) -> Response {
        // Before the router looks at the path, since an unknown method over gRPC is UNIMPLEMENTED and not 404.
        let answered = match manner(request.extensions()).protocol {
            Protocol::Grpc => {
                let answered = self.grpc.clone().oneshot(request.map(tonic::body::Body::new)).await;
                return answered.unwrap_or_else(|never| match never {}).map(Body::new);
            }
            Protocol::GrpcWeb => {
                let answered = self.grpc_web.clone().oneshot(request).await;
                return answered.unwrap_or_else(|never| match never {}).map(Body::new);
            }
            Protocol::Http => self.pages.clone().oneshot(request).await,
        };
        let mut response = answered.unwrap_or_else(|never| match never {});
        if status::is_not_modified(&response) {
            // The router has set the length of an empty body; the length of a 304 would be that of the list.
            response.headers_mut().remove(::http::header::CONTENT_LENGTH);
        }
        response
    }
}

/// The manner of a request, which `net` has put into its extensions.
fn manner(extensions: &::http::Extensions) -> Manner {
    extensions.get().copied().unwrap_or_default()
}

/// The documents and the pages for people, and the methods behind all other paths.
fn pages(documents: Router, transcoder: Transcoder, site: Option<Site>) -> Router {
    // The handler is cloned for every request, and a transcoder holds all the gRPC services.
    let transcoder = Arc::new(transcoder);
    let documents = documents.method_not_allowed_fallback(|| async {
        let error =
            RequestError::MethodNotAllowed { allow: "GET, HEAD".to_owned(), instead: vec![] };
        status::request_error_response(Protocol::Http, &error)
    });
    let (others, home) = match site {
        Some(Site { pages, home }) => (documents.merge(pages), Some(home)),
        None => (documents, None),
    };
    others.fallback(move |request: Request| async move {
        match &home {
            Some(home) if request.uri().path() == "/" && is_browser(request.headers()) => {
                let mut elsewhere = status::page_response(status::Page::Elsewhere, Body::empty());
                elsewhere.headers_mut().insert(header::LOCATION, home.clone());
                elsewhere.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
                elsewhere
            }
            _ => transcoder.answer(request).await,
        }
    })
}

/// Whether a person looks at the answer: programs do not ask for pages.
fn is_browser(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}
