//! The proxy between a network and the world, which leads to servers with TLS. The environment names it, as for curl.
//! The proxy learns the server's name, and sees neither keys nor requests.

use std::error::Error;

use customer_settings_server::config::variable;
use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::{host, is_this_machine, refusal};
use crate::failure::{Failure, usage};

/// The variables that name the proxy. The first one that is set counts.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// The variables that name the hosts to which no proxy leads.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Opens the connection that TLS is spoken on, if the server has TLS.
pub(super) type Connector = BoxCloneSyncService<Uri, TokioIo<TcpStream>, BoxError>;
type BoxError = Box<dyn Error + Send + Sync>;

/// Connects to a server itself, or to the proxy before it.
pub(super) fn connector(server: &Uri, tcp: HttpConnector) -> Result<Connector, Failure> {
    let Some((variable, proxy)) = before(server)? else {
        return Ok(BoxCloneSyncService::new(tcp.map_err(Into::into)));
    };
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(user) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(user.clone());
    }
    let proxy = proxy.uri().to_string();
    let (proxy, host) = (proxy.trim_end_matches('/').to_owned(), host(server).to_owned());
    let failed = move |error| -> BoxError {
        let causes = refusal::causes(&error);
        format!(
            "the proxy {proxy} of {variable} did not lead there ({causes}); with NO_PROXY={host} the command \
             connects without it"
        )
        .into()
    };
    Ok(BoxCloneSyncService::new(tunnel.map_err(failed)))
}

/// The proxy before a server, and the variable that names it. A server without TLS is reached directly: its proxy could
/// read the key.
fn before(server: &Uri) -> Result<Option<(&'static str, Intercept)>, Failure> {
    let set = |names: &[&'static str]| {
        let mut set = names.iter().filter_map(|name| Some((*name, variable(name)?)));
        set.next().map(|(name, value)| (name, value.to_string_lossy().into_owned()))
    };
    match set(&PROXIES) {
        Some((name, proxy)) if server.scheme_str() == Some("https") => {
            let exceptions = set(&EXCEPTIONS).map(|(_, hosts)| hosts).unwrap_or_default();
            let found = chosen(server, name, &proxy, &exceptions)?;
            Ok(found.map(|proxy| (name, proxy)))
        }
        _ => Ok(None),
    }
}

fn chosen(
    server: &Uri,
    variable: &str,
    proxy: &str,
    exceptions: &str,
) -> Result<Option<Intercept>, Failure> {
    // A matcher has no proxy for a value that it cannot read, so that the exceptions are asked with another value.
    let any = Matcher::builder().all("http://proxy").no(exceptions).build();
    if is_this_machine(server) || any.intercept(server).is_none() {
        return Ok(None);
    }
    let proxy = Matcher::builder().all(proxy).build().intercept(server);
    let is_http = |proxy: &Intercept| proxy.uri().scheme_str() == Some("http");
    match proxy.filter(is_http) {
        Some(proxy) => Ok(Some(proxy)),
        None => Err(usage(format!(
            "{variable} must have the form http://HOST:PORT or http://USER:PASSWORD@HOST:PORT; with NO_PROXY={} \
             the command connects without a proxy",
            host(server)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_for(server: &str, proxy: &str, exceptions: &str) -> Option<String> {
        let proxy = chosen(&server.parse().unwrap(), "HTTPS_PROXY", proxy, exceptions).unwrap();
        proxy.map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn a_proxy_leads_to_all_hosts_but_the_exceptions_and_this_machine() {
        let proxy = "http://proxy.example:3128";
        for (server, exceptions, leads) in [
            ("https://settings.example.com", "", true),
            ("https://settings.example.com", "other.example.com, 192.0.2.0/24", true),
            ("https://settings.example.com:8443", "settings.example.com", false),
            ("https://settings.example.com", "example.com", false),
            ("https://settings.example.com", ".example.com", false),
            ("https://settings.example.com", "*", false),
            ("https://192.0.2.7", "192.0.2.0/24", false),
            ("https://192.0.2.7", "", true),
            ("https://localhost:8443", "", false),
            ("https://127.0.0.1:8443", "", false),
            ("https://[::1]:8443", "", false),
        ] {
            let found = chosen_for(server, proxy, exceptions);
            assert_eq!(found, leads.then(|| format!("{proxy}/")), "{server} {exceptions}");
        }
    }

    #[test]
    fn a_proxy_may_lack_its_scheme_and_have_a_user() {
        let server = "https://settings.example.com";
        assert_eq!(chosen_for(server, "proxy:3128", "").unwrap(), "http://proxy:3128/");
        assert_eq!(chosen_for(server, "http://a:b@proxy:3128", "").unwrap(), "http://proxy:3128/");
    }

    #[test]
    fn a_proxy_of_another_kind_is_refused_without_its_password() {
        for proxy in
            ["socks5://a:secret@proxy", "https://a:secret@proxy", "http://a:secret b@proxy", "/"]
        {
            let server = "https://settings.example.com".parse().unwrap();
            let failure = chosen(&server, "ALL_PROXY", proxy, "").unwrap_err();
            assert!(failure.message.starts_with("ALL_PROXY must "), "{}", failure.message);
            assert!(!failure.message.contains("secret"), "{}", failure.message);
            // Nothing has to be said of it where no proxy is needed.
            assert!(chosen(&server, "ALL_PROXY", proxy, "example.com").unwrap().is_none());
        }
    }
}
