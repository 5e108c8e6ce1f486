//! TLS: certificates, handshakes, and clients that speak something else.

use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

/// Writes a new certificate and its key, and gives the certificate as PEM.
fn issue(folder: &Path) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}

fn tls_config(folder: &Path) -> Config {
    let mut config = config();
    config.tls_cert = Some(folder.join("cert.pem"));
    config.tls_key = Some(folder.join("key.pem"));
    config
}

/// A client that trusts only this certificate.
async fn connect(
    server: &Server,
    pem: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, server.connect().await).await
}

async fn hello(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut heard = String::new();
    while !heard.ends_with("hello") {
        let mut bytes = [0; 4_096];
        let read = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {heard:?}");
        heard.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

#[tokio::test]
async fn both_protocols_are_negotiated() {
    let folder = tempfile::tempdir().unwrap();
    let pem = issue(folder.path());
    let server = Server::start(&tls_config(folder.path()));
    let mut http1 = connect(&server, &pem, &["http/1.1"]).await.unwrap();
    assert_eq!(http1.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    hello(&mut http1).await;
    let over_tls = connect(&server, &pem, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(over_tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, _connection) = http2(over_tls).await;
    let response = sender.send_request(grpc("/hello", &[])).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "hello");
    hello(&mut connect(&server, &pem, &[]).await.unwrap()).await;
}

#[tokio::test]
async fn a_reloaded_certificate_is_for_new_connections_and_old_ones_live_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = issue(folder.path());
    let server = Server::start(&tls_config(folder.path()));
    let mut before = connect(&server, &old, &[]).await.unwrap();
    hello(&mut before).await;
    let new = issue(folder.path());
    server.tls.as_ref().unwrap().reload().unwrap();
    hello(&mut connect(&server, &new, &[]).await.unwrap()).await;
    assert!(connect(&server, &old, &[]).await.is_err());
    hello(&mut before).await;
}

#[tokio::test]
async fn a_bad_new_certificate_leaves_the_old_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let old = issue(folder.path());
    let server = Server::start(&tls_config(folder.path()));
    fs::write(folder.path().join("cert.pem"), "garbage").unwrap();
    assert!(server.tls.as_ref().unwrap().reload().is_err());
    hello(&mut connect(&server, &old, &[]).await.unwrap()).await;
}

#[tokio::test]
async fn files_that_are_not_right_are_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let problem = || {
        let error = net::bind(&tls_config(path)).err().unwrap().to_string();
        error.replace(&format!("{}/", path.display()), "")
    };
    assert!(
        problem().starts_with("cannot use the TLS certificate cert.pem: No such file"),
        "{}",
        problem()
    );
    issue(path);
    let other_key = fs::read(path.join("key.pem")).unwrap();
    issue(path);
    let (cert, key) =
        (fs::read(path.join("cert.pem")).unwrap(), fs::read(path.join("key.pem")).unwrap());

    fs::write(path.join("key.pem"), other_key).unwrap();
    let mismatch = "cannot use the TLS certificate cert.pem with the key key.pem: the key is not the certificate's";
    assert_eq!(problem(), mismatch);
    fs::write(path.join("key.pem"), &cert).unwrap();
    assert_eq!(problem(), "cannot use the TLS key key.pem: it holds no PEM private key");
    fs::write(path.join("cert.pem"), &key).unwrap();
    assert_eq!(problem(), "cannot use the TLS certificate cert.pem: it holds no PEM certificate");
    let torn = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    fs::write(path.join("cert.pem"), torn).unwrap();
    assert!(
        problem().starts_with("cannot use the TLS certificate cert.pem: it is not valid PEM"),
        "{}",
        problem()
    );
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(path.join("cert.pem"), empty).unwrap();
    fs::write(path.join("key.pem"), &key).unwrap();
    assert!(
        problem().starts_with("cannot use the TLS certificate cert.pem with the key key.pem: "),
        "{}",
        problem()
    );
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_or_is_none_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let mut config = tls_config(folder.path());
    config.limits.handshake_timeout_ms = 50;
    let server = Server::start(&config);
    assert_eq!(server.say("").await, "");
    let answer = server.get("/hello", "").await;
    assert!(!answer.contains("hello"), "{answer}");
}

#[tokio::test]
async fn plain_http_is_told_that_the_port_speaks_https() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let server = Server::start(&tls_config(folder.path()));
    let get = server.get("/hello", "").await;
    assert!(get.starts_with("HTTP/1.1 400 ") && get.contains("\"PLAIN_HTTP\""), "{get}");
    let body = "x".repeat(200_000);
    let post = format!("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n{body}");
    assert!(server.say(&post).await.contains("https://"));
    let head = server.say("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 400 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn plain_http_2_is_told_that_the_port_speaks_https() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let server = Server::start(&tls_config(folder.path()));
    for kind in ["application/json", "application/grpc"] {
        let (mut sender, connection) = http2(server.connect().await).await;
        let mut request = grpc("/hello", &[]);
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        match tonic::Status::from_header_map(&head.headers) {
            Some(status) => assert!(status.message().contains("https://"), "{status:?}"),
            None => {
                assert_eq!(head.status, StatusCode::BAD_REQUEST);
                let body = body.collect().await.unwrap().to_bytes();
                assert!(String::from_utf8_lossy(&body).contains("\"PLAIN_HTTP\""), "{body:?}");
            }
        }
        timeout(PATIENCE, connection).await.expect("the server closes").unwrap().unwrap();
    }
}

#[tokio::test]
async fn plain_http_that_does_not_come_is_closed_like_a_handshake() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path());
    let mut config = tls_config(folder.path());
    config.limits.handshake_timeout_ms = 50;
    let server = Server::start(&config);
    for said in ["", "G", "GET / HTTP/1.1\r\nx: ", "PRI * HTTP/2.0\r\n"] {
        assert_eq!(server.say(said).await, "", "{said}");
    }
}

#[tokio::test]
async fn the_metrics_say_when_the_certificate_expires() {
    let folder = tempfile::tempdir().unwrap();
    telemetry::prometheus();
    issue(folder.path());
    let _tls = Server::start(&tls_config(folder.path()));
    let metrics = Server::start(&config()).get("/metrics", "").await;
    // 4096-01-01, the expiry of all certificates of these tests.
    assert!(
        metrics
            .contains("\ncustomer_settings_tls_certificate_expiry_timestamp_seconds 67090118400\n"),
        "{metrics}"
    );
}
