//! Where a request believes to be: its host, whether it came encrypted, which cookie that allows, and whether it came
//! from a page of ours. With `public_url`, that address decides, also behind a proxy that sends a host of its own.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header, request::Parts};

use super::{HOME, Options};
use crate::{
    config::PublicUrl,
    net::{Encrypted, looks_forwarded},
};

/// Browsers send it from encrypted pages and from those of their own machine, and to nobody else. No page can set it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The most characters of a header's value that a message repeats.
const MOST_SHOWN: usize = 100;

/// Whether a person may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The way is encrypted, or does not leave this machine.
    Open,
    /// Nobody reads along at the public address, but nothing shows that the browser is there.
    Doubtful,
    /// Others in the network can read along. The text is for those who run the server.
    Closed(&'static str),
}

/// The reason why a page takes no key.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    /// The address of the console at which a key is safe, if there is one.
    pub(super) public: Option<String>,
    /// The way out for those who run the server.
    pub(super) advice: &'static str,
}

const ADVICE: &str = "give the server a certificate, or put a proxy with one before it, and set public_url to the address that \
    people use, which begins with https://.";
const ADVICE_FORWARDED: &str = "a proxy sent this request here, and did not say in a way that counts that its own clients come \
    encrypted. Set public_url to the address that people use, which begins with https://. Or let a proxy that \
    trusted_proxies names send X-Forwarded-Proto: https.";
const ADVICE_PLAIN: &str = "public_url begins with http://. Give the server a certificate, or put a proxy with one before it, \
    and let public_url begin with https://.";
const ADVICE_DOUBTFUL: &str = "a proxy should pass on the Host that people use, and X-Forwarded-Proto, and trusted_proxies \
    should name it.";

/// The facts of a request that tell where its browser is.
struct Seen {
    host: String,
    /// Whether it came over TLS, to here or to a trusted proxy that says so.
    is_encrypted: bool,
    /// Whether a proxy says that it passed the request on.
    is_forwarded: bool,
    has_fetch_site: bool,
    origin: Option<String>,
}

impl Seen {
    fn of(parts: &Parts) -> Self {
        let named = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = parts.uri.authority().map(http::uri::Authority::as_str).or(named);
        let encrypted = parts.extensions.get().copied().unwrap_or(Encrypted(false));
        Self {
            host: host.unwrap_or_default().to_ascii_lowercase(),
            is_encrypted: encrypted.0,
            is_forwarded: looks_forwarded(&parts.headers),
            has_fetch_site: parts.headers.contains_key(FETCH_SITE),
            origin: only(&parts.headers, &header::ORIGIN),
        }
    }

    /// The address that the request itself names, as browsers send it in `Origin`.
    fn own_origin(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// Whether the host is this machine. Behind a proxy it is the proxy's word for us, and the browser may be anywhere.
    fn is_at_home(&self) -> bool {
        is_local(&self.host) && !self.is_forwarded
    }
}

/// The place of a request.
#[derive(Clone)]
pub(super) struct Here {
    /// The path of the console as browsers see it.
    pub(super) base: String,
    /// The address of the console, for links that are sent to somebody.
    pub(super) address: String,
    /// The values of `Origin` with which our own forms come: scheme, host and port. The first is that of `address`.
    origins: Vec<String>,
    /// Whether the first of them is that of `public_url`.
    is_public: bool,
    is_secure: bool,
    door: Door,
}

impl Here {
    /// Refuses a host that is none of ours, and tells why: a name that somebody points at this server must not reach the
    /// console through a visitor's browser.
    pub(super) fn of(parts: &Parts, options: &Options) -> Result<Self, String> {
        let seen = Seen::of(parts);
        let is_listened_at = is_listened_at(name_of(&seen.host), options.listen);
        match &options.public_url {
            Some(url) if is_of(url, &seen.host) => Ok(Self::public(url, &seen, true)),
            Some(url) if is_listened_at => Ok(Self::public(url, &seen, false)),
            None if is_listened_at => Ok(Self::listened_at(&seen)),
            url => Err(misdirected(&seen.host, url.is_some())),
        }
    }

    /// Without `public_url`, the request's own host is the address.
    fn listened_at(seen: &Seen) -> Self {
        let door = match seen.is_forwarded {
            _ if seen.is_encrypted || seen.is_at_home() => Door::Open,
            true => Door::Closed(ADVICE_FORWARDED),
            false => Door::Closed(ADVICE),
        };
        Self {
            base: HOME.to_owned(),
            address: format!("{}{HOME}", seen.own_origin()),
            origins: vec![seen.own_origin()],
            is_public: false,
            is_secure: seen.is_encrypted,
            door,
        }
    }

    /// The cookie and the links are those of `public_url`, whatever the host: a proxy may send a name of its own. A
    /// request for an address that the server listens on may also come from a browser that is there. Its forms count, and
    /// its pages have no sub-path, as long as nothing speaks for a proxy.
    fn public(url: &PublicUrl, seen: &Seen, is_named: bool) -> Self {
        let (origin, base) = (url.origin(), format!("{}{HOME}", url.path));
        let is_from_there = seen.origin.as_ref() == Some(&origin);
        let is_direct = !is_named && !is_from_there && !seen.is_forwarded;
        let is_at_home = is_direct && seen.is_at_home();
        let is_private = url.is_https || is_local(&url.host);
        let is_there = is_from_there || is_named && !url.is_https;
        let is_shown = seen.is_encrypted || seen.has_fetch_site || is_there;
        let door = match is_private {
            true if is_at_home || is_shown => Door::Open,
            true => Door::Doubtful,
            // The page of a proxy that sends a name of its own has no such header over plain http.
            false if is_at_home && seen.has_fetch_site => Door::Open,
            false => Door::Closed(ADVICE_PLAIN),
        };
        let address = format!("{origin}{base}");
        let mut origins = vec![origin];
        origins.extend((is_at_home || is_direct && seen.is_encrypted).then(|| seen.own_origin()));
        let base = if is_direct { HOME.to_owned() } else { base };
        Self { base, address, origins, is_public: true, is_secure: url.is_https, door }
    }

    /// Whether a person may sign in here: neither a key nor a cookie must travel in the clear.
    pub(super) fn may_sign_in(&self) -> bool {
        self.door == Door::Open
    }

    /// Why a page takes no key here; none where it may.
    pub(super) fn closed(&self) -> Option<Closed> {
        match self.door {
            Door::Open => None,
            Door::Doubtful => {
                Some(Closed { public: Some(self.address.clone()), advice: ADVICE_DOUBTFUL })
            }
            Door::Closed(advice) => Some(Closed { public: None, advice }),
        }
    }

    /// Tells why a POST does not come from a page of the console. Browsers say so themselves; those that do not, over plain
    /// http, name at least the origin. With `public_url` an origin must be right in any case: behind a proxy that sends a
    /// host of its own, the host says nothing about the page.
    pub(super) fn forged(&self, headers: &HeaderMap) -> Option<String> {
        let site = headers.contains_key(FETCH_SITE).then(|| only(headers, &FETCH_SITE));
        let origin = headers.contains_key(header::ORIGIN).then(|| only(headers, &header::ORIGIN));
        let problem = match (site, origin) {
            (Some(site), _) if site.as_deref() != Some("same-origin") => format!(
                "The browser says that another site sent it: Sec-Fetch-Site is {}.",
                shown(site.as_deref())
            ),
            (Some(_), None) => return None,
            (Some(_), _) if !self.is_public => return None,
            (None, None) => {
                "Nothing names the page that sent it: neither Sec-Fetch-Site nor Origin came with it. Browsers send one of \
                 them, and a proxy must pass both on."
                    .to_owned()
            }
            (_, Some(Some(origin))) if self.origins.contains(&origin) => return None,
            (_, Some(origin)) => self.other_origin(origin.as_deref()),
        };
        Some(format!(
            "This form was not sent by a page of the console, so nothing was done. {problem} Open the console itself and \
             try again."
        ))
    }

    /// Says that an origin is none of ours, and which value is to be set right.
    fn other_origin(&self, origin: Option<&str>) -> String {
        let host = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_owned());
        let own = self.origins.first().and_then(|own| host(own));
        let hint = match origin {
            None | Some("null") => "",
            Some(origin) if host(origin) == own && origin.starts_with("http:") => {
                " Use the console with https://."
            }
            Some(origin) if host(origin) == own && self.is_public => {
                " An operator lets public_url begin with https://."
            }
            Some(origin) if host(origin) == own => {
                " An operator sets public_url, or lets a proxy that trusted_proxies names say X-Forwarded-Proto: https."
            }
            Some(_) if self.is_public => {
                " If people open the console there, an operator gives that address to public_url."
            }
            Some(_) => {
                " If people open the console there, an operator gives that address to public_url, or lets the proxy pass on \
                 the Host that people use."
            }
        };
        let by = if self.is_public { "by public_url" } else { "by the Host of the request" };
        format!(
            "Origin, the address of the page that sent it, is {}, and the console is at {} {by}.{hint}",
            shown(origin),
            self.origins.join(" or ")
        )
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

/// The answer to a request for another host.
fn misdirected(host: &str, has_public_url: bool) -> String {
    let way_out = match has_public_url {
        true => {
            "The console answers at public_url. A proxy must pass on the Host that people use, or forward to an address that \
             the server listens on."
        }
        false => {
            "An operator sets public_url to the address that people use, such as https://settings.example.com; until then \
             the console answers at the address that the server listens on."
        }
    };
    format!("This name is not known here: {}. {way_out}", shown(Some(host)))
}

/// The value of a header that came once.
fn only(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| first.to_owned())
}

/// A header's value in a message; none where it came several times, or is no text.
fn shown(value: Option<&str>) -> String {
    let Some(value) = value else { return "not one text".to_owned() };
    let value: String = value.chars().filter(char::is_ascii_graphic).take(MOST_SHOWN).collect();
    format!("“{value}”")
}

/// Whether a host is that of the public address.
fn is_of(url: &PublicUrl, host: &str) -> bool {
    let own_port = if url.is_https { ":443" } else { ":80" };
    host.strip_suffix(own_port).unwrap_or(host) == url.host
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
