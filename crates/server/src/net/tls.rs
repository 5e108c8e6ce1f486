//! The certificate and its key, and reading them again while the server runs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;
use x509_cert::{Certificate, der::Decode};

use crate::telemetry::CERTIFICATE_EXPIRY;

/// Why TLS cannot be set up. Each message is one line.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum TlsError {
    /// The file does not hold a usable certificate or key.
    #[error("cannot use the TLS {what} {}: {problem}", path.display())]
    File {
        /// `certificate` or `key`.
        what: &'static str,
        path: PathBuf,
        problem: String,
    },
    /// Each of the files is valid, but they do not belong together.
    #[error("cannot use the TLS certificate {} with the key {}: {problem}", cert.display(), key.display())]
    Together { cert: PathBuf, key: PathBuf, problem: String },
}

/// TLS with the files' content of the last successful read.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(super) fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(read(cert, key)?));
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current })
    }

    /// Reads the files again, for new connections. If they are not valid, the content of the last read stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        // A whole new configuration, so that sessions of the old certificate cannot be resumed.
        let next = Arc::new(read(&self.cert, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

fn read(cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let certificate =
        |problem| TlsError::File { what: "certificate", path: cert.to_owned(), problem };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| certificate(explain(&error, "certificate")))?;
    if chain.is_empty() {
        return Err(certificate("it holds no PEM certificate".to_owned()));
    }
    // The first end among the chain's certificates, since a client checks all of them. A certificate that cannot be
    // parsed is left to clients to refuse.
    let expiry = chain.iter().filter_map(expiry).reduce(f64::min);
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        let problem = explain(&error, "private key");
        TlsError::File { what: "key", path: key.to_owned(), problem }
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let together = |error: rustls::Error| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => "the key is not the certificate's".to_owned(),
            error => error.to_string(),
        };
        TlsError::Together { cert, key, problem }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(together)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(together)?;
    if let Some(expiry) = expiry {
        metrics::gauge!(CERTIFICATE_EXPIRY).set(expiry);
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn explain(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("it holds no PEM {what}"),
        error => format!("it is not valid PEM: {error:?}"),
    }
}

/// The end of the certificate's validity, in seconds since the epoch.
fn expiry(certificate: &CertificateDer<'_>) -> Option<f64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs_f64())
}
