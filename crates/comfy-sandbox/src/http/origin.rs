//! ComfyUI's guard against other web pages: on loopback, an `Origin` that isn't this server is refused.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use url::Url;

pub(super) async fn check(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    if request.method() == Method::OPTIONS {
        return StatusCode::OK.into_response();
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let (Some(host), Some(origin)) = (header(header::HOST), header(header::ORIGIN)) else { return false };
    let (Ok(host), Ok(origin)) = (Url::parse(&format!("http://{host}")), Url::parse(origin)) else {
        return false;
    };
    let (Some(host_name), Some(origin_name)) = (host.host_str(), origin.host_str()) else { return false };
    // A side without a port is compared by its name alone.
    let ports_differ = host.port().is_some() && origin.port().is_some() && host.port() != origin.port();
    is_loopback(host_name) && (host_name != origin_name || ports_differ)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_servers_own_pages_may_call_it() {
        let cases = [
            ("127.0.0.1:8188", "http://127.0.0.1:8188", false),
            ("127.0.0.1:8188", "http://evil.example", true),
            ("127.0.0.1:8188", "http://localhost:8188", true),
            ("127.0.0.1:8188", "http://127.0.0.1:1", true),
            ("[::1]:8188", "http://evil.example", true),
            ("comfy.example", "http://evil.example", false),
            ("127.0.0.1:8188", "null", false),
        ];
        for (host, origin, foreign) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            assert_eq!(is_foreign(&headers), foreign, "{host} {origin}");
        }
    }
}
