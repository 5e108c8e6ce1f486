//! The check of the key before the gRPC services, for whoever calls them.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use http::{header, request::Parts};
use tonic::{Code, Request, Status, body::Body, service::Routes};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::{
    http::{Authenticate, Backend},
    marks::MIN_REVISION,
    status::{RequestError, grpc_code, grpc_status, request_status},
};
use crate::{
    auth::Authenticator,
    catalog::{
        access::Caller,
        error::{Cause, Error, Result},
        token::RevisionToken,
    },
    net::{ClientAddress, RouteLabel},
};

/// Services that answer without a key: what they tell is in the documentation anyway.
const OPEN_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Who is calling, put there by [`authenticate`].
pub(super) fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    caller_in(request.extensions()).map_err(|error| grpc_status(&error))
}

/// The same from the extensions alone.
pub(super) fn caller_in(extensions: &http::Extensions) -> Result<&Caller> {
    let absent = || Error::Internal(Cause::new("a method was reached without a caller"));
    extensions.get().ok_or_else(absent)
}

/// The services behind the check of the key.
pub(super) fn backend(routes: Routes, guard: Guard) -> Backend {
    BoxCloneSyncService::new(Guarded { inner: routes.prepare(), guard })
}

/// What stands before the services.
#[derive(Clone)]
pub(super) struct Guard {
    /// Decides who is calling.
    pub(super) authenticator: Arc<Authenticator>,
    /// The methods there are, by path.
    pub(super) methods: Arc<HashMap<String, RouteLabel>>,
    /// The most bytes of a message.
    pub(super) body_limit: usize,
}

impl Guard {
    /// Whether a request may go on to the services; if not, the answer.
    async fn admit(&self, parts: &mut Parts) -> Result<(), Status> {
        let path = parts.uri.path();
        if OPEN_SERVICES.iter().any(|service| path.starts_with(service)) {
            return Ok(());
        }
        if !self.methods.contains_key(path) {
            return Err(request_status(&RequestError::UnknownMethod { path: path.to_owned() }));
        }
        self.authenticate(parts).await.map_err(|error| grpc_status(&error))
    }

    /// Messages that cannot be read are the caller's mistake, and tonic answers as if they were
    /// ours. Its own errors are told by their missing details.
    fn mend(&self, response: http::Response<Body>) -> http::Response<Body> {
        let headers = response.headers();
        if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
            return response;
        }
        let error = match grpc_code(headers) {
            Some(Code::OutOfRange) => RequestError::BodyTooLarge { limit: self.body_limit },
            Some(Code::Internal) => RequestError::MalformedMessage,
            _ => return response,
        };
        request_status(&error).into_http()
    }
}

#[async_trait]
impl Authenticate for Guard {
    /// Checks the request's key and notes who is calling; does nothing where that was done already.
    async fn authenticate(&self, parts: &mut Parts) -> Result<()> {
        if parts.extensions.get::<Caller>().is_some() {
            return Ok(());
        }
        let address = parts.extensions.get::<ClientAddress>();
        let address = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.0);
        let values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let values = values.map(|value| value.as_bytes());
        let mut caller = self.authenticator.authenticate(values, address).await?;
        if let Some(token) = parts.headers.get(MIN_REVISION) {
            let text = token.to_str().unwrap_or_default();
            caller.at_least = Some(RevisionToken::parse("Settings-Min-Revision", text)?);
        }
        parts.extensions.insert(caller);
        Ok(())
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
            let (mut parts, body) = request.into_parts();
            if let Err(refusal) = guard.admit(&mut parts).await {
                return Ok(refusal.into_http());
            }
            let response = inner.oneshot(http::Request::from_parts(parts, body)).await?;
            Ok(guard.mend(response))
        })
    }
}
