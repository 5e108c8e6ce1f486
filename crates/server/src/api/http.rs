//! HTTP/JSON, made from the contract's descriptors.
//!
//! The path of a request leads to its method. The request becomes a message, which goes to the gRPC services in
//! this process, and their answer becomes JSON. This module knows no single method, and leaves the check of
//! keys to `Authenticate`.

mod backend;
mod misspelt;
mod query;
mod request;
mod routes;
mod strict;
pub(crate) mod template;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use prost_reflect::{DescriptorPool, DynamicMessage};
use sha2::{Digest, Sha256};

pub use self::{backend::Backend, routes::BindingError};
pub(crate) use self::{
    query::fields as query_fields,
    request::collected,
    routes::{
        Binding, BodyRule, bindings, document_paths, ignores_unknown, is_document, names_a_thing,
        rpc_path,
    },
    template::Segment,
};
use self::{
    request::{Sent, Unreadable},
    routes::{Found, OtherVerbs, Routes},
};
use super::{
    caching::{add_cache_headers, has_etag},
    inflate, json, large, manner,
};
use crate::{
    catalog::error::{Cause, Error},
    net::BodyLimits,
    service::long_work::LongWork,
    status::{self, Protocol, RequestError},
};

/// Finds the caller of a request, after its path is known and before its body is read.
#[async_trait]
pub trait Authenticate: Send + Sync {
    /// Puts the caller into the extensions, where the method finds it.
    async fn authenticate(&self, parts: &mut Parts) -> Result<(), Error>;
}

/// Answers some methods with finished bytes, without the gRPC services.
#[async_trait]
pub trait FinishedAnswers: Send + Sync {
    /// Whether this answers the method `/package.Service/Method`. Called once for each route.
    fn handles(&self, rpc_path: &str) -> bool;

    /// Answers a request with this head, after a check of access.
    async fn answer(
        &self,
        rpc_path: &str,
        request: &DynamicMessage,
        head: &Parts,
    ) -> Result<Response<Body>, Error>;
}

/// The method of a request, as `/package.Service/Method`. It is in the request's extensions before the
/// request is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcPath(pub Arc<str>);

/// The parts that a transcoder works with.
#[expect(missing_docs, reason = "the fields are named like their types")]
pub struct Wiring {
    pub backend: Backend,
    pub authenticate: Arc<dyn Authenticate>,
    /// Methods that are answered without the gRPC services.
    pub finished: Option<Arc<dyn FinishedAnswers>>,
    /// The most bytes of bodies.
    pub body_limits: BodyLimits,
    /// The places for work on large bodies.
    pub long_work: Arc<LongWork>,
}

/// Answers HTTP/JSON requests with the methods of gRPC services.
#[derive(Clone)]
pub struct Transcoder {
    routes: Arc<Routes<Arc<Route>>>,
    backend: Backend,
    authenticate: Arc<dyn Authenticate>,
    long_work: Arc<LongWork>,
}

struct Route {
    binding: Binding,
    /// The most bytes of a body.
    body_limit: usize,
    rpc_path: RpcPath,
    finished: Option<Arc<dyn FinishedAnswers>>,
}

impl fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcoder").finish_non_exhaustive()
    }
}

/// The services of the pool that have an HTTP binding, in the order of their names.
pub fn bound_services(pool: &DescriptorPool) -> Vec<String> {
    let mut names: Vec<String> =
        pool.services().map(|service| service.full_name().to_owned()).collect();
    names.retain(|name| !bindings(pool, &[name]).is_ok_and(|bindings| bindings.is_empty()));
    names.sort();
    names
}

impl Transcoder {
    /// Binds the methods of these services, or returns the binding that is wrong.
    pub fn new(
        pool: &DescriptorPool,
        services: &[&str],
        wiring: Wiring,
    ) -> Result<Self, BindingError> {
        let route = |binding: Binding| {
            let finished =
                wiring.finished.clone().filter(|finished| finished.handles(&binding.rpc_path));
            let rpc_path = RpcPath(binding.rpc_path.as_str().into());
            let body_limit = wiring.body_limits.most(is_document(&binding.rpc));
            (
                binding.method.clone(),
                binding.template.clone(),
                Arc::new(Route { body_limit, binding, rpc_path, finished }),
            )
        };
        let routes = Routes::new(bindings(pool, services)?.into_iter().map(route));
        Ok(Self {
            routes: Arc::new(routes),
            backend: wiring.backend,
            authenticate: wiring.authenticate,
            long_work: wiring.long_work,
        })
    }

    /// Answers every request, also for unknown paths. HEAD is answered like GET, and `net` leaves out the body.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let (route, captures) = match self.route(&parts) {
            Ok(found) => found,
            Err(error) => return refuse_request(&error),
        };
        parts.extensions.insert(route.rpc_path.clone());
        self.answer_route(route, captures, parts, body).await
    }

    /// The route of a request, with the values of its variables. A path with a misspelt verb is no path of a thing with
    /// a colon in its id.
    fn route(&self, parts: &Parts) -> Result<(&Arc<Route>, Vec<String>), RequestError> {
        let path = parts.uri.path();
        let may_hide_a_verb = |values: &[String]| values.last().is_some_and(|id| id.contains(':'));
        let found = match self.routes.find(&parts.method, path) {
            Found::Route(route, captures) if !may_hide_a_verb(&captures) => {
                return Ok((route, captures));
            }
            other => other,
        };
        let OtherVerbs { near, all } = self.routes.other_verbs(path);
        if let Some(near) = near {
            return Err(RequestError::UnknownPath { path: path.to_owned(), instead: vec![near] });
        }
        let similar = || misspelt::similar(&self.routes, &parts.method, path);
        match found {
            Found::Route(route, captures) => match similar() {
                instead if instead.is_empty() => Ok((route, captures)),
                instead => Err(RequestError::UnknownPath { path: path.to_owned(), instead }),
            },
            Found::OtherMethods(allow) => {
                let has_verb = path.rsplit('/').next().is_some_and(|last| last.contains(':'));
                let instead = match has_verb {
                    true => first_filled([similar(), all]),
                    false => misspelt::by_method(&parts.method, path, &allow, all),
                };
                Err(RequestError::MethodNotAllowed { allow, instead })
            }
            Found::Nothing => {
                let instead = first_filled([all, similar()]);
                Err(RequestError::UnknownPath { path: path.to_owned(), instead })
            }
        }
    }

    async fn answer_route(
        &self,
        route: &Arc<Route>,
        captures: Vec<String>,
        mut parts: Parts,
        body: Body,
    ) -> Response<Body> {
        if let Err(error) = self.authenticate.authenticate(&mut parts).await {
            return refuse(&error);
        }
        let (manner, limit) = (manner(&parts.extensions), route.body_limit);
        let sent = match request::read_body(&route.binding, manner, body, limit).await {
            Ok(Sent::Small(body)) => {
                return Box::pin(self.answer_body(route, &captures, parts, &body)).await;
            }
            Ok(Sent::Large(sent)) => sent,
            Err(error) => return refuse_request(&error),
        };
        let sender = match large::Sender::of(&parts.extensions) {
            Ok(sender) => sender,
            Err(error) => return refuse(&error),
        };
        let (transcoder, route) = (self.clone(), route.clone());
        let answer = async move {
            match inflate::body(sent, manner.coding, limit) {
                Ok(body) => Box::pin(transcoder.answer_body(&route, &captures, parts, &body)).await,
                Err(error) => refuse_request(&error),
            }
        };
        let answered = sender.beside(&self.long_work, answer).await;
        answered.unwrap_or_else(|error| refuse(&error))
    }

    async fn answer_body(
        &self,
        route: &Arc<Route>,
        captures: &[String],
        parts: Parts,
        body: &[u8],
    ) -> Response<Body> {
        let binding = &route.binding;
        let message = match request::message(binding, captures, parts.uri.query(), body) {
            Ok(message) => message,
            Err(Unreadable::Body(error)) => return refuse_request(&error),
            Err(Unreadable::Field(error)) => return refuse(&error),
        };
        match &route.finished {
            Some(finished) => {
                let answer = finished.answer(&binding.rpc_path, &message, &parts).await;
                answer.unwrap_or_else(|error| refuse(&error))
            }
            None => self.call(route, parts, &message).await,
        }
    }

    async fn call(
        &self,
        route: &Arc<Route>,
        parts: Parts,
        message: &DynamicMessage,
    ) -> Response<Body> {
        let reader = is_read(&parts.method).then(|| parts.headers.clone());
        let (is_read, sender) = (reader.is_some(), large::Sender::of(&parts.extensions));
        let rpc_path = &route.binding.rpc_path;
        let called = backend::call(self.backend.clone(), rpc_path, parts, message).await;
        let answer = match called {
            Ok(answer) => answer,
            Err(status) => return error_response(status),
        };
        let (message, of) = (answer.message, route.clone());
        let sender = sender.ok().filter(|_| message.len() > large::AT_ONCE);
        let show = move || shown(&of.binding, reader.as_ref(), message.clone());
        let shown = match sender {
            None => show(),
            Some(sender) if is_read => {
                let shown = sender.beside(&self.long_work, async move { show() });
                shown.await.and_then(|shown| shown)
            }
            // A write was made, so its answer is sent even if there is no place for long work.
            Some(sender) => sender.beside_or_here(&self.long_work, show).await,
        };
        match shown {
            Ok(mut response) => {
                response.headers_mut().extend(answer.headers);
                *response.extensions_mut() = answer.extensions;
                response
            }
            Err(error) => refuse(&error),
        }
    }
}

/// A method's answer as JSON. `reader` holds the headers of a request that only reads.
fn shown(
    binding: &Binding,
    reader: Option<&HeaderMap>,
    message: Bytes,
) -> Result<Response<Body>, Error> {
    let message = DynamicMessage::decode(binding.rpc.output(), message);
    let message = message.map_err(|error| Error::Internal(Cause::new(error)))?;
    let json = json::write(&message, binding.response_body.as_ref());
    let json = json.map_err(|error| Error::Internal(Cause::new(error)))?;
    Ok(match reader {
        Some(headers) => tagged_response(headers, json, text_field(&message, "etag").as_deref()),
        None => unstored_response(json),
    })
}

/// The first list that has something.
fn first_filled(lists: [Vec<String>; 2]) -> Vec<String> {
    lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
}

fn refuse(error: &Error) -> Response<Body> {
    status::error_response(Protocol::Http, error)
}

fn refuse_request(error: &RequestError) -> Response<Body> {
    status::request_error_response(Protocol::Http, error)
}

fn json_response(json: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A method's error, with the headers that came with it.
fn error_response(status: tonic::Status) -> Response<Body> {
    let mut response = status::json_response(&status);
    for (name, value) in status.metadata().clone().into_headers().iter() {
        if !response.headers().contains_key(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// The answer to a read, with an `ETag`. The tag is a hash of the bytes. If the message has an etag, the tag begins
/// with it, so that `If-Match` takes the tag as well.
fn tagged_response(headers: &HeaderMap, json: Vec<u8>, etag: Option<&str>) -> Response<Body> {
    let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(&json)[..16]);
    let tag = match etag {
        Some(etag) => format!("\"{etag}.{hash}\""),
        None => format!("\"{hash}\""),
    };
    let Ok(tag) = HeaderValue::try_from(tag) else { return unstored_response(json) };
    let mut response = match has_etag(headers, &tag) {
        true => status::not_modified(),
        false => json_response(Bytes::from(json)),
    };
    add_cache_headers(response.headers_mut(), tag);
    response
}

/// The answer to a write, which may hold a secret.
fn unstored_response(json: Vec<u8>) -> Response<Body> {
    let mut response = json_response(Bytes::from(json));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The message's text of that name, if it is not empty.
fn text_field(message: &DynamicMessage, name: &str) -> Option<String> {
    let value = message.get_field_by_name(name)?;
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
