//! The server between socket and application, at the socket.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, Bytes};
use customer_settings_server::{
    clock::{Clock, SystemClock},
    config::Config,
    net::{
        self, AnswersAtOnce, App, ClientAddress, CorrelationId, Deadline, Readiness, RouteLabel,
        Seat, Shutdown, Tls, Who, WholeBody, WholeRequest,
    },
    status::{Protocol, error_response},
    telemetry,
};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tower::service_fn;

mod callers;
mod client_address;
mod connections;
mod early;
mod floods;
mod log;
mod requests;
mod room;
mod tls;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server with an application of a few routes.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    served: JoinHandle<()>,
    tls: Option<Arc<Tls>>,
    /// The number of requests to `/wait` and `/echo` so far.
    waiting: Arc<AtomicUsize>,
    /// Lets these requests continue.
    go_on: Arc<Notify>,
}

fn config() -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
}

fn ready() -> Readiness {
    Arc::new(|| Ok(None))
}

impl Server {
    fn start(config: &Config) -> Self {
        Self::start_with(config, ready())
    }

    fn start_with(config: &Config, readiness: Readiness) -> Self {
        let bound = net::bind(config).unwrap();
        let (address, tls, shutdown) = (bound.local_addr(), bound.tls(), Shutdown::new());
        let (waiting, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let app = app(Arc::clone(&waiting), Arc::clone(&go_on));
        let served = tokio::spawn(bound.serve(
            app,
            readiness,
            Arc::new(SystemClock),
            shutdown.clone(),
            || (),
        ));
        Self { address, shutdown, served, tls, waiting, go_on }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends text on a connection of its own, and reads until the server closes the connection.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        hear_all(&mut stream).await
    }

    /// Sends GET with further header lines, each ended by `\r
    /// `.
    async fn get(&self, path: &str, headers: &str) -> String {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"))
            .await
    }

    async fn until_waiting(&self, number: usize) {
        let arrived = async {
            while self.waiting.load(Ordering::SeqCst) < number {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, arrived).await.unwrap();
    }

    async fn ended(self) {
        timeout(PATIENCE, self.served).await.unwrap().unwrap();
    }
}

fn app(waiting: Arc<AtomicUsize>, go_on: Arc<Notify>) -> App {
    App::new(service_fn(move |request: Request<Body>| {
        let (waiting, go_on) = (Arc::clone(&waiting), Arc::clone(&go_on));
        async move {
            let mut response = Response::new(Body::from("hello"));
            request.extensions().get::<Who>().unwrap().asks_for(&RouteLabel::new("test"));
            match request.uri().path() {
                "/hello" => {}
                "/wait" => {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    go_on.notified().await;
                }
                "/never" => std::future::pending().await,
                "/panic" => panic!("the secret of the inside"),
                "/echo" => {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    response = echo(request).await;
                }
                "/big" => *response.body_mut() = Body::from(vec![b'x'; 64 << 20]),
                "/busy" => std::thread::sleep(Duration::from_millis(500)),
                "/limited" => *response.status_mut() = StatusCode::TOO_MANY_REQUESTS,
                "/who" => *response.body_mut() = Body::from(who(&request)),
                _ => *response.status_mut() = StatusCode::NOT_FOUND,
            }
            Ok::<_, Infallible>(response)
        }
    }))
    .with_answers_at_once(Arc::new(OnePathAtOnce))
}

/// Sends the body back, for the key in the header `x-key`.
async fn echo(request: Request<Body>) -> Response<Body> {
    let key = request.headers().get("x-key").map(|key| key.to_str().unwrap());
    let seat: &Seat = request.extensions().get().unwrap();
    if let Some(Err(error)) = key.map(|key| seat.belongs_to(key)) {
        return error_response(Protocol::Http, &error);
    }
    match request.into_body().collect().await {
        Ok(body) => Response::new(Body::from(body.to_bytes())),
        Err(_) => Response::builder().status(StatusCode::BAD_REQUEST).body(Body::empty()).unwrap(),
    }
}

/// One path is answered at once. A request for `/panic-at-once` panics.
struct OnePathAtOnce;

impl AnswersAtOnce for OnePathAtOnce {
    fn answer(&self, request: &WholeRequest<'_>) -> Option<(RouteLabel, Response<WholeBody>)> {
        let path = request.head.uri.path();
        assert_ne!(path, "/panic-at-once", "the secret of the inside");
        let ready = || (RouteLabel::new("ready"), Response::new(Bytes::from("ready").into()));
        (path == "/ready").then(ready)
    }
}

fn who(request: &Request<Body>) -> String {
    let extensions = request.extensions();
    let ClientAddress(address) = extensions.get().unwrap();
    let id = extensions.get::<CorrelationId>().unwrap();
    let Deadline(deadline) = *extensions.get().unwrap();
    let left = deadline.saturating_duration_since(SystemClock.monotonic());
    format!("{address} {id} {}", left.as_millis())
}

async fn hear_all(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    // A reset connection is closed, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("the server closes");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Reads one answer that ends with this.
async fn hear(stream: &mut TcpStream, end: &str) -> String {
    let mut heard = String::new();
    while !heard.ends_with(end) {
        let mut bytes = [0; 4_096];
        let read = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {heard:?}");
        heard.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    heard
}

type Http2 = hyper::client::conn::http2::SendRequest<Body>;

/// An HTTP/2 connection with prior knowledge, and its end.
async fn http2<S>(stream: S) -> (Http2, JoinHandle<hyper::Result<()>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn grpc(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request =
        Request::post(format!("http://x{path}")).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}
