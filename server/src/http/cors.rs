//! Cross-origin headers. A preflight never succeeds on the naming API: the 501 filter answers it
//! (compat/spec/naming-api.md §12).

use super::error_page;
use super::request::Request;
use super::response::{JSON, Response};

const ALLOW: &str = "GET, HEAD, POST, PUT, DELETE, TRACE, OPTIONS, PATCH";

/// Whether the request comes from another origin than this server.
pub fn is_cross_origin(request: &Request) -> bool {
    let origin = request.header("origin");
    !origin.is_empty() && origin.split_once("://").map(|(_, host)| host) != Some(request.header("host"))
}

/// How long a browser may keep a preflight's answer, s; not told by the naming API, whose filter comes first.
const MAX_AGE: &str = "18000";

/// The answer to a preflight; `None` when the request is none. On the naming API the status is 501, elsewhere 200
/// (compat/spec/config-auth-console.md).
pub fn preflight(request: &Request, naming: bool) -> Option<Response> {
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
    let mut response = error_page::empty(if naming { 501 } else { 200 });
    add_vary(&mut response);
    response.headers.push(("access-control-allow-origin", request.header("origin").to_owned()));
    response.headers.push(("access-control-allow-methods", asked.to_owned()));
    let headers = request.header("access-control-request-headers");
    if !headers.is_empty() {
        response.headers.push(("access-control-allow-headers", headers.to_owned()));
    }
    response.headers.push(("access-control-allow-credentials", "true".to_owned()));
    if naming {
        response.headers.push(("allow", ALLOW.to_owned()));
    } else {
        response.content_type = Some(JSON.to_owned());
        response.headers.push(("access-control-max-age", MAX_AGE.to_owned()));
    }
    Some(response)
}

/// The answer to `OPTIONS` outside the naming API: the methods there are.
pub fn options(methods: &[&str]) -> Response {
    let mut allow: Vec<&str> = Vec::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        if methods.contains(&method) {
            allow.push(method);
            if method == "GET" {
                allow.push("HEAD");
            }
        }
    }
    allow.push("OPTIONS");
    let mut response = error_page::empty(200);
    response.content_type = Some(JSON.to_owned());
    response.headers.push(("allow", allow.join(",")));
    response
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
