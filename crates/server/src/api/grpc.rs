//! The check of the key and its scopes before the gRPC services, for every protocol that calls them.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{header, request::Parts};
use http_body_util::Full;
use tonic::{Code, Status, body::Body, service::Routes};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::{
    frame::{HEAD_BYTES, ends_within_a_frame, messages},
    guard::{Method, Methods, admit},
    http::{Authenticate, Backend, RpcPath, collected},
    inflate,
    large::{AT_ONCE, Sender},
    manner,
    reflection::{self, Pace},
};
use crate::{
    auth::Authenticator,
    catalog::{
        access::Caller,
        error::{Cause, Error, Result},
        id::KeyId,
    },
    net::{BodyLimits, ClientAddress, Coding, GRPC_ENCODING, Seat, Who},
    service::long_work::LongWork,
    status::{RequestError, grpc_code, grpc_status, request_status},
};

/// Health and reflection answer without a key, and some of their calls are streams. They tell nothing that
/// the documentation does not.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// The services behind the check of the key.
pub(super) fn backend(routes: Routes, guard: Guard) -> Backend {
    BoxCloneSyncService::new(Guarded { inner: routes.prepare(), guard })
}

/// The parts that the check before the services needs.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) methods: Arc<Methods>,
    /// The most bytes of messages.
    pub(super) body_limits: BodyLimits,
    /// The places where large requests and answers are worked on.
    pub(super) long_work: Arc<LongWork>,
    /// The pace of reflection.
    pub(super) reflection: Arc<Pace>,
}

impl Guard {
    /// The most bytes of a message to this path.
    fn body_limit(&self, path: &str) -> usize {
        self.body_limits.most(self.methods.get(path).is_some_and(|method| method.is_document))
    }

    /// Lets a request go on to the services, or returns the error to answer.
    async fn admit(&self, parts: &mut Parts) -> Result<(), Status> {
        let path = parts.uri.path();
        let Some(method) = self.methods.get(path) else {
            return Err(request_status(&RequestError::UnknownMethod { path: path.to_owned() }));
        };
        self.authenticate(method, parts).await.map_err(|error| grpc_status(&error))
    }

    /// Finds the caller and checks its scopes, unless that was done before.
    async fn authenticate(&self, method: &Method, parts: &mut Parts) -> Result<()> {
        if parts.extensions.get::<Caller>().is_some() {
            return Ok(());
        }
        let who = parts.extensions.get::<Who>().cloned().unwrap_or_default();
        who.asks_for(&method.label);
        let ClientAddress(address) = client(parts);
        let values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let values = values.map(|value| value.as_bytes());
        let found = |id: &KeyId| who.shows_key(id.as_str());
        let holder = self.authenticator.authenticate(values, address, found).await?;
        admit(method, holder, parts)
    }

    /// Calls the services after the whole call has arrived, since a part of it must not be carried out: the library
    /// takes a call that its client broke off behind a message for a complete one. Large calls are answered beside the
    /// threads that answer.
    async fn answer(
        self,
        inner: Routes,
        parts: Parts,
        body: Body,
        limit: usize,
    ) -> Result<http::Response<Body>, Status> {
        let coding = manner(&parts.extensions).coding;
        let sent = collected(body, limit, HEAD_BYTES).await.map_err(refused)?;
        if ends_within_a_frame(&sent, limit) {
            return Err(refused(RequestError::BodyUnreadable));
        }
        let at_once = limit.min(AT_ONCE);
        let frames = inflate::call(sent.clone(), coding, at_once);
        let frames = frames.and_then(|frames| match frames.len() <= at_once + HEAD_BYTES {
            true => Ok(frames),
            false => Err(RequestError::BodyTooLarge { limit }),
        });
        if !matches!(frames, Err(RequestError::BodyTooLarge { .. })) {
            return self.answer_whole(inner, parts, frames).await;
        }
        let sender = Sender::of(&parts.extensions).map_err(|error| grpc_status(&error))?;
        let long_work = self.long_work.clone();
        let answer = async move {
            let frames = inflate::call(sent, coding, limit);
            self.answer_whole(inner, parts, frames).await
        };
        sender.beside(&long_work, answer).await.map_err(|error| grpc_status(&error))?
    }

    /// Counts the items of lists first, since the library makes a message of everything that it gets.
    async fn answer_whole(
        &self,
        inner: Routes,
        parts: Parts,
        frames: Result<Bytes, RequestError>,
    ) -> Result<http::Response<Body>, Status> {
        let frames = frames.map_err(refused)?;
        if messages(&frames).nth(1).is_some() {
            return Err(refused(RequestError::SeveralMessages));
        }
        if let Some(method) = self.methods.get(parts.uri.path()) {
            let counted = messages(&frames).try_for_each(|message| method.lists.check(message));
            counted.map_err(|violation| grpc_status(&violation.into()))?;
        }
        Ok(called(inner, parts, Body::new(Full::new(frames))).await)
    }
}

/// Corrects an error of tonic. A message that cannot be decoded is the caller's mistake, but tonic answers it as
/// the server's. tonic's own errors are those without details.
fn mended(response: http::Response<Body>, limit: usize) -> http::Response<Body> {
    let headers = response.headers();
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    let error = match grpc_code(headers) {
        Some(Code::OutOfRange) => RequestError::BodyTooLarge { limit },
        Some(Code::Internal) => RequestError::MalformedMessage,
        _ => return response,
    };
    request_status(&error).into_http()
}

fn client(parts: &Parts) -> ClientAddress {
    let address = parts.extensions.get::<ClientAddress>().copied();
    address.unwrap_or(ClientAddress(Ipv4Addr::UNSPECIFIED.into()))
}

fn refused(error: RequestError) -> Status {
    request_status(&error)
}

async fn called(inner: Routes, parts: Parts, body: Body) -> http::Response<Body> {
    let called = inner.oneshot(http::Request::from_parts(parts, body)).await;
    called.unwrap_or_else(|never| match never {})
}

#[async_trait]
impl Authenticate for Guard {
    async fn authenticate(&self, parts: &mut Parts) -> Result<()> {
        let path = parts.extensions.get::<RpcPath>().map(|path| path.0.clone());
        let method = path.as_ref().and_then(|path| self.methods.get(path));
        let unknown = || Error::Internal(Cause::new("a route leads to no method of the contract"));
        Guard::authenticate(self, method.ok_or_else(unknown)?, parts).await
    }
}

#[derive(Clone)]
struct Guarded {
    inner: Routes,
    guard: Guard,
}

impl Service<http::Request<Body>> for Guarded {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { inner, guard } = self.clone();
        Box::pin(async move {
            let (mut parts, mut body) = request.into_parts();
            let coding = manner(&parts.extensions).coding;
            let limit = guard.body_limit(parts.uri.path());
            // The services get messages that are not compressed.
            parts.headers.remove(&GRPC_ENCODING);
            let is_reflection = reflection::is_at(parts.uri.path());
            if is_reflection || parts.uri.path().starts_with(HEALTH) {
                if is_reflection {
                    if let Some(seat) = parts.extensions.get::<Seat>() {
                        seat.step_aside();
                    }
                    body = guard.reflection.begin(client(&parts).network(), body).await;
                }
                if coding != Coding::Identity {
                    body = inflate::stream(body, coding, limit);
                }
                return Ok(mended(called(inner, parts, body).await, limit));
            }
            if let Err(refusal) = guard.admit(&mut parts).await {
                return Ok(refusal.into_http());
            }
            let answered = guard.answer(inner, parts, body, limit).await;
            Ok(answered.map_or_else(Status::into_http, |response| mended(response, limit)))
        })
    }
}
