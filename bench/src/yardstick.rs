//! The yardsticks: the least that hyper and tonic need to send the same bytes.

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use clap::{Args, ValueEnum};
use customer_settings_contract::moego::business::setting::v1::{
    ListCustomerTagsRequest, ListCustomerTagsResponse,
};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
    server::NamedService,
};
use tonic_prost::{ProstCodec, ProstDecoder};
use tower::Service;

use crate::Result;

#[derive(Args)]
pub(crate) struct Yardstick {
    #[arg(value_enum)]
    kind: Kind,
    #[arg(long)]
    listen: SocketAddr,
    /// The answer's bytes: JSON, or a message for gRPC
    #[arg(long)]
    file: PathBuf,
    /// Answers with one of this many copies, by the number in the path
    #[arg(long, default_value_t = 1)]
    copies: usize,
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// hyper, HTTP/1.1
    Http1,
    /// hyper, HTTP/2
    Http2,
    /// hyper, HTTP/2, with the finished frames of a gRPC answer
    Frames,
    /// tonic, which encodes the message for every call
    Tonic,
}

impl Yardstick {
    pub(crate) async fn run(self) -> Result<()> {
        let content = fs::read(self.file)?;
        if self.kind == Kind::Tonic {
            return tonic(self.listen, &content).await;
        }
        let acceptor = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(tls(&cert, &key)?),
            _ => None,
        };
        let body = if self.kind == Kind::Frames { framed(&content)? } else { content.into() };
        let copies: Arc<[Bytes]> =
            (0..self.copies).map(|_| Bytes::copy_from_slice(&body)).collect();
        let listener = TcpListener::bind(self.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (kind, copies, acceptor) = (self.kind, copies.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Some(acceptor) = acceptor else { return serve(stream, kind, copies).await };
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, kind, copies).await;
                }
            });
        }
    }
}

/// TLS with the settings of the service.
fn tls(cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A message in the form that an answer has: the flag for no compression, the length, the bytes.
fn framed(message: &[u8]) -> Result<Bytes> {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len())?);
    frame.put_slice(message);
    Ok(frame.freeze())
}

/// Serves one connection. An error at its end does not matter here.
async fn serve<S>(stream: S, kind: Kind, copies: Arc<[Bytes]>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let json = service_fn({
        let copies = copies.clone();
        move |request: Request<Incoming>| {
            let mut response = Response::new(Full::new(pick(&copies, request.uri().path())));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            async move { Ok::<_, Infallible>(response) }
        }
    });
    let _ = match kind {
        Kind::Http1 => http1::Builder::new().serve_connection(io, json).await,
        Kind::Http2 => http2::Builder::new(TokioExecutor::new()).serve_connection(io, json).await,
        Kind::Frames | Kind::Tonic => {
            let service = service_fn(move |_: Request<Incoming>| {
                let response = frames(&copies[0]);
                async move { Ok::<_, Infallible>(response) }
            });
            http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
        }
    };
}

fn pick(copies: &[Bytes], path: &str) -> Bytes {
    let digits = path.bytes().filter(u8::is_ascii_digit).map(|digit| usize::from(digit - b'0'));
    let number =
        if copies.len() > 1 { digits.fold(0, |number, digit| number * 10 + digit) } else { 0 };
    copies[number % copies.len()].clone()
}

fn frames(
    body: &Bytes,
) -> Response<impl http_body::Body<Data = Bytes, Error = Infallible> + use<>> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let trailers = std::future::ready(Some(Ok(trailers)));
    let mut response = Response::new(Full::new(body.clone()).with_trailers(trailers));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// gRPC: sends this message to every client, encoded for every call but never copied.
async fn tonic(listen: SocketAddr, message: &[u8]) -> Result<()> {
    let message = Arc::new(ListCustomerTagsResponse::decode(message)?);
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

/// Encodes a shared message. tonic's own codec needs a separate message for every call.
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
