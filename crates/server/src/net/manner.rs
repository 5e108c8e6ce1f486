//! The manner in which a request speaks: its protocol, and the form that its head says of its body.
//!
//! The head alone decides it, once. Answers at once, the general way, the record and every refusal use the same
//! decision. This file knows no path and no method of the contract.

use http::{HeaderMap, HeaderName, Method, Request, Uri, Version, header};

use super::{
    at_once::Head,
    deadline::{self, GRPC_TIMEOUT},
};
use crate::status::{HostProblem, Protocol, RequestError};

/// The beginning of every content type of gRPC.
const GRPC: &[u8] = b"application/grpc";

/// Names the compression of gRPC's messages.
pub const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The beginning of every content type of gRPC-Web.
const GRPC_WEB: &[u8] = b"application/grpc-web";

/// The content types of gRPC-Web that the server speaks.
const GRPC_WEB_TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// The compression that a request names for its body of HTTP/JSON, or for its messages of gRPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// No compression.
    #[default]
    Identity,
    /// `gzip` or `x-gzip`.
    Gzip,
    /// A compression that the server does not know.
    Unknown,
}

impl Coding {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut coding = Self::Identity;
        for value in headers.get_all(name) {
            for given in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let is = |known: &str| given.eq_ignore_ascii_case(known.as_bytes());
                coding = match coding {
                    _ if given.is_empty() || is("identity") => continue,
                    // RFC 9110 (8.4.1.3) names both.
                    Self::Identity if is("gzip") || is("x-gzip") => Self::Gzip,
                    _ => Self::Unknown,
                };
            }
        }
        coding
    }
}

/// How a request is to be understood, by its head. It stands in the request's extensions. By default,
/// it is plain HTTP/JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Decided by the content type. It is HTTP/JSON where the HTTP method or version cannot carry that content type.
    pub protocol: Protocol,
    /// gRPC-Web's content type in its common spelling.
    web_type: Option<&'static str>,
    /// Named by `Content-Encoding`, or for gRPC by `grpc-encoding`.
    pub coding: Coding,
    /// Whether the content type says that the body is a form.
    is_form: bool,
    misfit: Option<Misfit>,
}

/// Why a request is refused, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    /// Its content type is gRPC's, and its HTTP method or version is not.
    Transport,
    /// The server does not speak messages of that form.
    Codec,
    /// The request does not say which host it is for.
    Host(HostProblem),
    /// The request does not say how long its caller waits.
    Timeout,
}

impl Manner {
    /// Reads the manner of a request. The body plays no part.
    pub fn of<B>(request: &Request<B>) -> Self {
        let (version, headers) = (request.version(), request.headers());
        let manner = Self::spoken(request.method(), version, headers);
        match host_problem(version, request.uri(), headers) {
            Some(problem) => Self { misfit: Some(Misfit::Host(problem)), ..manner },
            None if manner.misfit.is_none() && deadline::is_malformed(headers) => {
                Self { misfit: Some(Misfit::Timeout), ..manner }
            }
            None => manner,
        }
    }

    fn spoken(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        let plain =
            Self { coding: Coding::of(headers, &header::CONTENT_ENCODING), ..Self::default() };
        let Some(kind) = headers.get(header::CONTENT_TYPE) else { return plain };
        let kind = essence(kind.as_bytes());
        if !begins(kind, GRPC) {
            let is_form =
                begins(kind, b"application/x-www-form-urlencoded") || begins(kind, b"multipart/");
            return Self { is_form, ..plain };
        }
        let is_web = begins(kind, GRPC_WEB);
        if *method != Method::POST || (!is_web && version != Version::HTTP_2) {
            return Self { misfit: Some(Misfit::Transport), ..plain };
        }
        let is = |known: &str| kind.eq_ignore_ascii_case(known.as_bytes());
        let (protocol, web_type, is_known) = if is_web {
            let known = GRPC_WEB_TYPES.into_iter().find(|known| is(known));
            (Protocol::GrpcWeb, Some(known.unwrap_or(GRPC_WEB_TYPES[0])), known.is_some())
        } else {
            (Protocol::Grpc, None, is("application/grpc") || is("application/grpc+proto"))
        };
        let (misfit, is_form) = ((!is_known).then_some(Misfit::Codec), false);
        Self { protocol, web_type, coding: Coding::of(headers, &GRPC_ENCODING), is_form, misfit }
    }

    /// The error of a request that is refused whatever its path.
    pub(super) fn refusal(&self, head: Head<'_>, version: Version) -> Option<RequestError> {
        let kind = || {
            let kind = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
            String::from_utf8_lossy(kind.unwrap_or_default()).into_owned()
        };
        Some(match self.misfit? {
            Misfit::Transport => RequestError::NotGrpc {
                content_type: kind(),
                method: head.method.to_string(),
                version: format!("{version:?}"),
            },
            Misfit::Codec => RequestError::UnknownCodec { content_type: kind() },
            Misfit::Host(problem) => RequestError::InvalidHost(problem),
            Misfit::Timeout => {
                let given = head.headers.get_all(GRPC_TIMEOUT).iter();
                let given = given.map(|value| String::from_utf8_lossy(value.as_bytes()));
                RequestError::MalformedTimeout { given: given.collect::<Vec<_>>().join(", ") }
            }
        })
    }

    pub(super) fn is_refused(&self) -> bool {
        self.misfit.is_some()
    }

    /// Refuses a body of HTTP/JSON that is a form.
    pub fn check_body(&self, body: &[u8]) -> Result<(), RequestError> {
        match self.is_form && !body.is_empty() {
            true => Err(RequestError::FormPost),
            false => Ok(()),
        }
    }

    /// The content type of gRPC-Web in the spelling that the library knows.
    pub(super) fn web_type(&self) -> Option<&'static str> {
        self.web_type
    }
}

/// The problems of a request's host for which RFC 9112 (3.2) has a server refuse a request. HTTP/2 names the host in
/// `:authority`, and a target of HTTP/1.1 may hold one too. Their library checks neither the port nor all characters.
fn host_problem(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<HostProblem> {
    let is_malformed = |host: &[u8]| (!is_host(host)).then_some(HostProblem::Malformed);
    let target = uri.authority().and_then(|host| is_malformed(host.as_str().as_bytes()));
    if target.is_some() {
        return target;
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        // HTTP/1.0 knew no such header, and HTTP/2 needs none.
        (None, _) => (version == Version::HTTP_11).then_some(HostProblem::Missing),
        (Some(_), Some(_)) => Some(HostProblem::Several),
        (Some(host), None) => is_malformed(host.as_bytes()),
    }
}

/// Whether the bytes are a name or an address, with or without a port. They are empty where the target has no host.
/// A name with `%` is refused on every protocol, as the library of HTTP/2 refuses it by itself.
fn is_host(host: &[u8]) -> bool {
    let is_of_an_address = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
    let is_of_a_name =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    let (length, rest) = match host.strip_prefix(b"[") {
        Some(address) => {
            let length = length_of(address, is_of_an_address);
            match address[length..].strip_prefix(b"]") {
                Some(rest) if length > 0 => (length, rest),
                _ => return false,
            }
        }
        None => {
            let length = length_of(host, is_of_a_name);
            (length, &host[length..])
        }
    };
    match rest.strip_prefix(b":") {
        Some(port) => length > 0 && is_port(port),
        None => rest.is_empty(),
    }
}

/// Whether the bytes are the number of a port, or nothing, which means the default port.
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.is_some()
}

fn length_of(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_part(*byte)).unwrap_or(bytes.len())
}

/// A media type without its parameters.
fn essence(kind: &[u8]) -> &[u8] {
    kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

fn begins(kind: &[u8], with: &[u8]) -> bool {
    kind.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with))
}

#[cfg(test)]
mod tests {
    use Protocol::{Grpc, GrpcWeb, Http};
    use http::HeaderValue;

    use super::*;

    fn of(method: Method, version: Version, kind: &str) -> (Manner, Option<&'static str>) {
        let request =
            Request::builder().method(method).version(version).uri("/").header("host", "x");
        let request = match kind {
            "" => request,
            kind => request.header("content-type", kind),
        };
        let request = request.body(()).unwrap();
        let manner = Manner::of(&request);
        let refusal = manner.refusal(Head::of(&request), version);
        (manner, refusal.as_ref().map(RequestError::reason))
    }

    #[test]
    fn the_content_type_decides_where_method_and_version_can_carry_it() {
        for (method, version, kind, protocol, refusal) in [
            (Method::POST, Version::HTTP_11, "", Http, None),
            (Method::POST, Version::HTTP_2, "application/json", Http, None),
            (Method::POST, Version::HTTP_2, "text/plain; charset=x", Http, None),
            (Method::POST, Version::HTTP_2, "application/grpc", Grpc, None),
            (Method::POST, Version::HTTP_2, "Application/gRPC+Proto ; a=b", Grpc, None),
            (Method::POST, Version::HTTP_11, "application/grpc", Http, Some("NOT_GRPC")),
            (Method::GET, Version::HTTP_2, "application/grpc", Http, Some("NOT_GRPC")),
            (Method::GET, Version::HTTP_11, "application/grpc-web", Http, Some("NOT_GRPC")),
            (Method::PUT, Version::HTTP_2, "application/grpc+json", Http, Some("NOT_GRPC")),
            (Method::POST, Version::HTTP_2, "application/grpc+json", Grpc, Some("UNKNOWN_CODEC")),
            (Method::POST, Version::HTTP_2, "application/grpcs", Grpc, Some("UNKNOWN_CODEC")),
            (Method::POST, Version::HTTP_11, "application/grpc-web", GrpcWeb, None),
            (Method::POST, Version::HTTP_2, "application/grpc-web-text+PROTO;x", GrpcWeb, None),
            (
                Method::POST,
                Version::HTTP_11,
                "application/grpc-web+json",
                GrpcWeb,
                Some("UNKNOWN_CODEC"),
            ),
        ] {
            let (manner, refused) = of(method.clone(), version, kind);
            let shown = format!("{method} {version:?} {kind}");
            assert_eq!((manner.protocol, refused), (protocol, refusal), "{shown}");
        }
        assert_eq!(
            of(Method::POST, Version::HTTP_11, "application/grpc-web-TEXT; a").0.web_type(),
            Some("application/grpc-web-text")
        );
    }

    #[test]
    fn the_coding_is_that_of_the_protocol() {
        for (kind, content_encoding, grpc_encoding, coding) in [
            ("", "gzip", "br", Coding::Gzip),
            ("", "X-GZIP", "", Coding::Gzip),
            ("", " identity, gzip", "", Coding::Gzip),
            ("", "", "gzip", Coding::Identity),
            ("", "br", "", Coding::Unknown),
            ("", "gzip, gzip", "", Coding::Unknown),
            ("application/grpc", "br", "gzip", Coding::Gzip),
            ("application/grpc", "gzip", "identity", Coding::Identity),
            ("application/grpc", "", "snappy", Coding::Unknown),
        ] {
            let request = Request::builder().method(Method::POST).version(Version::HTTP_2).uri("/");
            let request = request.header("content-type", kind);
            let request = request.header("content-encoding", content_encoding);
            let request = request.header("grpc-encoding", grpc_encoding).body(()).unwrap();
            assert_eq!(
                Manner::of(&request).coding,
                coding,
                "{kind} {content_encoding} {grpc_encoding}"
            );
        }
    }

    #[test]
    fn a_form_is_told_by_its_content_type_and_refused_where_it_is_not_empty() {
        for (kind, is_form) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-urlencoded; charset=UTF-8", true),
            ("multipart/form-data; boundary=x", true),
            ("application/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let (manner, _) = of(Method::POST, Version::HTTP_11, kind);
            assert_eq!(manner.check_body(b"a=b").is_err(), is_form, "{kind}");
            assert!(manner.check_body(b"").is_ok());
        }
    }

    #[test]
    fn a_target_names_a_host_as_well_as_a_header_does() {
        let malformed = Some(Misfit::Host(HostProblem::Malformed));
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for (target, misfit) in [
                ("http://a/", None),
                ("http://a:65535/", None),
                ("http://[::1]:8080/", None),
                ("http://a:65536/", malformed),
                ("http://user@a/", malformed),
            ] {
                let request = Request::builder().version(version).uri(target).header("host", "a");
                let manner = Manner::of(&request.body(()).unwrap());
                assert_eq!(manner.misfit, misfit, "{version:?} {target}");
            }
        }
    }

    #[test]
    fn http_1_1_says_once_and_well_which_host_it_is_for() {
        let one = |host: &'static str| vec![host];
        let (missing, several) = (Some(HostProblem::Missing), Some(HostProblem::Several));
        let malformed = Some(HostProblem::Malformed);
        for (version, hosts, problem) in [
            (Version::HTTP_11, vec![], missing),
            (Version::HTTP_10, vec![], None),
            (Version::HTTP_2, vec![], None),
            (Version::HTTP_11, vec!["a", "a"], several),
            (Version::HTTP_10, vec!["a", "b"], several),
            (Version::HTTP_11, one(""), None),
            (Version::HTTP_11, one("settings.example.com"), None),
            (Version::HTTP_11, one("a_b!:8080"), None),
            (Version::HTTP_11, one("a:0065535"), None),
            (Version::HTTP_11, one("a:65536"), malformed),
            (Version::HTTP_11, one("a:99999999999999999999"), malformed),
            (Version::HTTP_11, one("%zz"), malformed),
            (Version::HTTP_11, one("a%20"), malformed),
            (Version::HTTP_2, one("settings.example.com:443"), None),
            (Version::HTTP_2, one("a:99999"), malformed),
            (Version::HTTP_2, one("%zz"), malformed),
            (Version::HTTP_2, vec!["a", "a"], several),
            (Version::HTTP_11, one("127.0.0.1:"), None),
            (Version::HTTP_11, one("[::1]"), None),
            (Version::HTTP_11, one("[2001:db8::7]:443"), None),
            (Version::HTTP_10, one("a b"), malformed),
            (Version::HTTP_11, one("a, b"), malformed),
            (Version::HTTP_11, one("a/b"), malformed),
            (Version::HTTP_11, one("user@a"), malformed),
            (Version::HTTP_11, one("http://a"), malformed),
            (Version::HTTP_11, one("a:80:80"), malformed),
            (Version::HTTP_11, one("a:b"), malformed),
            (Version::HTTP_11, one(":80"), malformed),
            (Version::HTTP_11, one("[::1"), malformed),
            (Version::HTTP_11, one("[]"), malformed),
            (Version::HTTP_11, one("[::1]a"), malformed),
            (Version::HTTP_11, one("::1"), malformed),
            (Version::HTTP_11, one("\u{e9}"), malformed),
        ] {
            let mut request = Request::builder().version(version).uri("/").body(()).unwrap();
            for host in &hosts {
                let host = HeaderValue::from_bytes(host.as_bytes()).unwrap();
                request.headers_mut().append("host", host);
            }
            let manner = Manner::of(&request);
            assert_eq!(manner.misfit, problem.map(Misfit::Host), "{version:?} {hosts:?}");
        }
    }
}
