//! What is measured against: the least that hyper and tonic do for the same bytes.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use customer_settings_contract::moego::business::setting::v1::{
    ListCustomerTagsRequest, ListCustomerTagsResponse,
};
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpListener;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
    server::NamedService,
};
use tonic_prost::{ProstCodec, ProstDecoder};
use tower::Service;

use crate::Result;

/// HTTP/1.1: these bytes to everyone.
pub(crate) async fn http(listen: SocketAddr, body: Vec<u8>) -> Result<()> {
    let body = Bytes::from(body);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let mut response = Response::new(Full::new(body.clone()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// gRPC: this message to everyone, encoded for every call but never copied.
pub(crate) async fn grpc(listen: SocketAddr, message: Vec<u8>) -> Result<()> {
    let message = Arc::new(ListCustomerTagsResponse::decode(message.as_slice())?);
    tonic::transport::Server::builder().add_service(Ready(message)).serve(listen).await?;
    Ok(())
}

#[derive(Clone)]
struct Ready(Arc<ListCustomerTagsResponse>);

impl NamedService for Ready {
    const NAME: &'static str = "moego.business.setting.v1.SettingService";
}

type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Infallible>> + Send>>;

impl Service<Request<tonic::body::Body>> for Ready {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let message = self.0.clone();
        Box::pin(async move {
            let method = tower::service_fn(move |_: tonic::Request<ListCustomerTagsRequest>| {
                let message = message.clone();
                async move { Ok::<_, Status>(tonic::Response::new(message)) }
            });
            Ok(tonic::server::Grpc::new(ReadyCodec).unary(method, request).await)
        })
    }
}

/// Encodes a shared message, where tonic's own codec wants one of its own for every call.
struct ReadyCodec;

impl Codec for ReadyCodec {
    type Encode = Arc<ListCustomerTagsResponse>;
    type Decode = ListCustomerTagsRequest;
    type Encoder = Self;
    type Decoder = ProstDecoder<ListCustomerTagsRequest>;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<ListCustomerTagsResponse, _>::raw_decoder(BufferSettings::default())
    }
}

impl Encoder for ReadyCodec {
    type Item = Arc<ListCustomerTagsResponse>;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}
