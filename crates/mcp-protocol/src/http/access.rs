//! Who may reach the endpoint at all: `Origin` and `Host` (2026-07-28, streamable HTTP: security).

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{StatusCode, header};
use url::Url;

use super::reply::Refusal;
use super::{AllowedHosts, HttpConfig};
use crate::error;

/// Refuses a request from a web page or under a host name that isn't allowed.
pub(super) fn check(config: &HttpConfig, parts: &Parts) -> Result<(), Refusal> {
    if !host_allowed(&config.allowed_hosts, parts) {
        return Err(forbidden(
            "this host name is not allowed; the server's configuration lists those that are",
        ));
    }
    if !origin_allowed(&config.allowed_origins, parts) {
        return Err(forbidden("this origin is not allowed; the server's configuration lists those that are"));
    }
    Ok(())
}

fn forbidden(message: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, None, error::forbidden(message))
}

fn authority(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    parts.headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

fn host_allowed(allowed: &AllowedHosts, parts: &Parts) -> bool {
    let names = match allowed {
        AllowedHosts::Any => return true,
        AllowedHosts::Loopback => &[],
        AllowedHosts::List(names) => names.as_slice(),
    };
    let host = authority(parts);
    let name = host.as_ref().map(Authority::host).unwrap_or_default();
    is_loopback(name) || names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

fn origin_allowed(allowed: &[String], parts: &Parts) -> bool {
    let mut origins = parts.headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if origins.next().is_some() {
        return false;
    }
    allowed.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
        || is_own_page(origin, authority(parts).as_ref())
}

/// A loopback page under the port that the request came to is one of this server's own. A page that was rebound to
/// loopback has another name in its origin.
fn is_own_page(origin: &str, host: Option<&Authority>) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    let own_port = match (host.and_then(Authority::port_u16), origin.scheme()) {
        (Some(port), "http" | "https") => Some(port),
        (None, "http") => Some(80),
        (None, "https") => Some(443),
        _ => None,
    };
    origin.host_str().is_some_and(is_loopback)
        && own_port.is_some()
        && origin.port_or_known_default() == own_port
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::{AllowedHosts, HttpConfig, check};

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn origins() {
        let config = HttpConfig {
            allowed_origins: vec!["https://app.example.com/".to_owned()],
            ..HttpConfig::default()
        };
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("host", "127.0.0.1:9000")], true),
            (&[("host", "127.0.0.1:9000"), ("origin", "http://127.0.0.1:9000")], true),
            (&[("host", "127.0.0.1:9000"), ("origin", "http://localhost:9000")], true),
            (&[("host", "[::1]:9000"), ("origin", "http://[::1]:9000")], true),
            (&[("host", "localhost"), ("origin", "http://localhost")], true),
            (&[("host", "127.0.0.1:9000"), ("origin", "http://localhost:3000")], false),
            (&[("host", "evil.example:9000"), ("origin", "http://evil.example:9000")], false),
            (&[("host", "127.0.0.1:9000"), ("origin", "http://localhost.evil.example:9000")], false),
            (&[("host", "127.0.0.1:9000"), ("origin", "null")], false),
            (&[("host", "127.0.0.1:9000"), ("origin", "file://localhost:9000")], false),
            (&[("host", "127.0.0.1:9000"), ("origin", "https://app.example.com")], true),
            (
                &[("host", "a"), ("origin", "https://app.example.com"), ("origin", "http://evil.example")],
                false,
            ),
        ];
        for (headers, allowed) in cases {
            assert_eq!(check(&config, &parts(headers)).is_ok(), *allowed, "{headers:?}");
        }
    }

    #[test]
    fn hosts() {
        let listed = AllowedHosts::List(vec!["mcp.example.com".to_owned()]);
        let cases = [
            (AllowedHosts::Any, "anything", true),
            (AllowedHosts::Loopback, "localhost:9000", true),
            (AllowedHosts::Loopback, "127.0.0.1:9000", true),
            (AllowedHosts::Loopback, "evil.example:9000", false),
            (listed.clone(), "MCP.example.com:443", true),
            (listed.clone(), "[::1]:9000", true),
            (listed, "evil.example", false),
        ];
        for (allowed_hosts, host, allowed) in cases {
            let config = HttpConfig { allowed_hosts, ..HttpConfig::default() };
            assert_eq!(check(&config, &parts(&[("host", host)])).is_ok(), allowed, "{host}");
        }
    }
}
