//! Cross-origin headers. A preflight never succeeds on the naming API: the 501 filter answers it
//! (compat/spec/naming-api.md §12).

use super::error_page;
use super::request::Request;
use super::response::Response;

const ALLOW: &str = "GET, HEAD, POST, PUT, DELETE, TRACE, OPTIONS, PATCH";

/// Whether the request comes from another origin than this server.
pub fn is_cross_origin(request: &Request) -> bool {
    let origin = request.header("origin");
    !origin.is_empty() && origin.split_once("://").map(|(_, host)| host) != Some(request.header("host"))
}

/// The answer to a preflight; `None` when the request is none.
pub fn preflight(request: &Request) -> Option<Response> {
    let asked = request.header("access-control-request-method");
    if request.method != http::Method::OPTIONS || asked.is_empty() || !is_cross_origin(request) {
        return None;
    }
    if !ALLOW.split(", ").any(|known| known == asked) {
        let mut refused = error_page::empty(403);
        refused.body = "Invalid CORS request".into();
        add_vary(&mut refused);
        refused.headers.push(("allow", ALLOW.to_owned()));
        return Some(refused);
    }
    let mut response = error_page::empty(501);
    add_vary(&mut response);
    response.headers.push(("access-control-allow-origin", request.header("origin").to_owned()));
    response.headers.push(("access-control-allow-methods", asked.to_owned()));
    let headers = request.header("access-control-request-headers");
    if !headers.is_empty() {
        response.headers.push(("access-control-allow-headers", headers.to_owned()));
    }
    response.headers.push(("access-control-allow-credentials", "true".to_owned()));
    response.headers.push(("allow", ALLOW.to_owned()));
    Some(response)
}

/// The headers of a controller's answer to another origin.
pub fn decorate(request: &Request, response: &mut Response) {
    add_vary(response);
    response.headers.push(("access-control-allow-origin", request.header("origin").to_owned()));
    response.headers.push(("access-control-allow-credentials", "true".to_owned()));
}

fn add_vary(response: &mut Response) {
    for name in ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"] {
        response.headers.push(("vary", name.to_owned()));
    }
}
