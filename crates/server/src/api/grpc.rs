//! The check of the key before the gRPC services, for whoever calls them.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{header, request::Parts};
use tonic::{Request, Status, body::Body, service::Routes};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::{http::Backend, status::grpc_status};
use crate::{
    auth::Authenticator,
    catalog::{
        access::Caller,
        error::{Cause, Error, Result},
    },
    net::ClientAddress,
};

/// Services that answer without a key: what they tell is in the documentation anyway.
const OPEN_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Who is calling, put there by [`authenticate`].
pub(super) fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let caller = request.extensions().get();
    caller.ok_or_else(|| {
        grpc_status(&Error::Internal(Cause::new("a method was reached without a caller")))
    })
}

/// Checks the request's key and notes who is calling; does nothing where that was done already.
pub(super) async fn authenticate(authenticator: &Authenticator, parts: &mut Parts) -> Result<()> {
    if parts.extensions.get::<Caller>().is_some() {
        return Ok(());
    }
    let address = parts.extensions.get::<ClientAddress>();
    let address = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.0);
    let values = parts.headers.get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes());
    let caller = authenticator.authenticate(values, address).await?;
    parts.extensions.insert(caller);
    Ok(())
}

/// The services behind the check of the key.
pub(super) fn backend(routes: Routes, authenticator: Arc<Authenticator>) -> Backend {
    BoxCloneSyncService::new(Guarded { inner: routes.prepare(), authenticator })
}

#[derive(Clone)]
struct Guarded {
    inner: Routes,
    authenticator: Arc<Authenticator>,
}

impl Service<http::Request<Body>> for Guarded {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { inner, authenticator } = self.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let open = OPEN_SERVICES.iter().any(|service| parts.uri.path().starts_with(service));
            if !open && let Err(error) = authenticate(&authenticator, &mut parts).await {
                return Ok(grpc_status(&error).into_http());
            }
            inner.oneshot(http::Request::from_parts(parts, body)).await
        })
    }
}
