//! Where a request believes to be: its host, whether it came encrypted, which cookie that allows, and whether it came
//! from a page of ours.

use std::net::IpAddr;

use http::{HeaderMap, header, request::Parts};

use super::{HOME, Options};
use crate::net::Encrypted;

/// The answer to a request for another host.
pub(super) const MISDIRECTED: &str = "This name is not known here. An operator sets public_url to the address that people \
    use, such as https://settings.example.com; until then the console answers at the address that the server listens on.";
/// The answer to a form of another site.
pub(super) const FORGED: &str = "This form was not sent by a page of the console, so nothing was done. Open the console \
    itself and try again.";

/// The place of a request.
#[derive(Clone)]
pub(super) struct Here {
    /// The path of the console as browsers see it.
    pub(super) base: String,
    /// Scheme, host and port, as browsers send it in `Origin`.
    origin: String,
    is_secure: bool,
    is_local: bool,
}

impl Here {
    /// `None` where the host is none of ours: a name that somebody points at this server must not reach the console
    /// through a visitor's browser.
    pub(super) fn of(parts: &Parts, options: &Options) -> Option<Self> {
        let named = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = parts.uri.authority().map(http::uri::Authority::as_str).or(named)?;
        let host = host.to_ascii_lowercase();
        let encrypted = parts.extensions.get().copied().unwrap_or(Encrypted(false)).0;
        if let Some(url) = &options.public_url {
            let own_port = if url.is_https { ":443" } else { ":80" };
            if host.strip_suffix(own_port).unwrap_or(&host) == url.host {
                return Some(Self {
                    base: format!("{}{HOME}", url.path),
                    origin: url.origin(),
                    is_secure: url.is_https,
                    is_local: is_local(&url.host),
                });
            }
        }
        if !is_listened_at(name_of(&host), options.listen) {
            return None;
        }
        let scheme = if encrypted { "https" } else { "http" };
        Some(Self {
            base: HOME.to_owned(),
            origin: format!("{scheme}://{host}"),
            is_secure: encrypted,
            is_local: is_local(&host),
        })
    }

    /// Whether a person may sign in here: a cookie must not travel in the clear.
    pub(super) fn may_sign_in(&self) -> bool {
        self.is_secure || self.is_local
    }

    /// The address of the console, for links that are sent to somebody.
    pub(super) fn address(&self) -> String {
        format!("{}{}", self.origin, self.base)
    }

    /// Whether a POST comes from a page of the console. Browsers say so themselves; those that do not, over plain http,
    /// name at least the origin.
    pub(super) fn is_from_here(&self, headers: &HeaderMap) -> bool {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let first = values.next()?;
            values.next().is_none().then(|| first.as_bytes().to_vec())
        };
        match (headers.contains_key("sec-fetch-site"), one("sec-fetch-site"), one("origin")) {
            (true, site, _) => site.as_deref() == Some(b"same-origin"),
            (false, _, origin) => origin.as_deref() == Some(self.origin.as_bytes()),
        }
    }

    /// Browsers take `__Host-` cookies from encrypted pages alone, and Safari takes no Secure cookie from this machine
    /// over plain http.
    fn cookie_name(&self) -> &'static str {
        if self.is_secure { "__Host-session" } else { "session" }
    }

    /// The token that the browser has.
    pub(super) fn session<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';'));
        let value =
            |cookie: &'a str| cookie.trim().strip_prefix(self.cookie_name())?.strip_prefix('=');
        cookies.find_map(value).filter(|token| !token.is_empty() && token.len() <= 100)
    }

    /// The cookie that gives the browser a token, or takes it away.
    /// The cookie lasts as long as a session may, so that no browser keeps the token of one that is over.
    pub(super) fn cookie(&self, token: Option<(&str, i64)>) -> String {
        let (token, seconds) = token.unwrap_or_default();
        // A `__Host-` cookie must have the root as its path. The other one goes to the console alone.
        let (path, secure) = if self.is_secure { ("/", " Secure;") } else { (&*self.base, "") };
        let name = self.cookie_name();
        format!("{name}={token}; Path={path}; Max-Age={seconds};{secure} HttpOnly; SameSite=Lax")
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_local(host: &str) -> bool {
    let name = name_of(host);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the server listens at the address. The port may be another one, as containers map it.
fn is_listened_at(name: &str, listen: IpAddr) -> bool {
    match name.parse::<IpAddr>() {
        Ok(_) if listen.is_unspecified() => true,
        Ok(address) => address == listen || (address.is_loopback() && listen.is_loopback()),
        Err(_) => name == "localhost" && (listen.is_loopback() || listen.is_unspecified()),
    }
}
