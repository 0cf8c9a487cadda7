//! Requests that Tomcat or Spring Security's firewall refuse before any filter (compat/spec/naming-api.md §1).

use http::Method;

use super::accept::Accept;
use super::error_page;
use super::response::Response;

/// The most bytes of request line and headers; Tomcat's default.
pub const HEAD_BYTES_MAX: usize = 8192;

/// The refusal, if the target or method is refused. `raw_path` is the path below the root, undecoded.
pub fn check(
    method: &Method,
    raw_path: &str,
    raw_query: Option<&str>,
    head_bytes: usize,
    accept: &Accept<'_>,
) -> Option<Response> {
    if head_bytes > HEAD_BYTES_MAX || is_illegal_target(raw_path, raw_query) {
        return Some(error_page::tomcat(400));
    }
    if method == Method::TRACE {
        let mut page = error_page::tomcat(405);
        page.headers.insert(0, ("allow", "HEAD, DELETE, POST, GET, OPTIONS, PUT".to_owned()));
        return Some(page);
    }
    spring_firewall(method, raw_path, accept)
}

/// Spring's `StrictHttpFirewall`; only inside the context path.
fn spring_firewall(method: &Method, raw_path: &str, accept: &Accept<'_>) -> Option<Response> {
    const MALICIOUS: [&str; 8] = [";", "%3b", "%3B", "%2e", "%2E", "%5c", "%5C", "%25"];
    if let Some(found) = MALICIOUS.iter().find(|text| raw_path.contains(**text)) {
        let message =
            format!("The request was rejected because the URL contained a potentially malicious String \"{found}\"");
        return Some(error_page::spring(500, &message, raw_path, accept));
    }
    let unnormalized = raw_path.contains("//") || raw_path.split('/').any(|part| part == "." || part == "..");
    if unnormalized {
        let message = "The request was rejected because the URL was not normalized.";
        return Some(error_page::spring(500, message, raw_path, accept));
    }
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    (!known.contains(&method.as_str())).then(|| error_page::tomcat(500))
}

fn is_illegal_target(raw_path: &str, raw_query: Option<&str>) -> bool {
    const ILLEGAL: &[u8] = b"[]{}|\\\"<>^`";
    let illegal = |text: &str| text.bytes().any(|byte| ILLEGAL.contains(&byte) || byte >= 0x7f);
    illegal(raw_path) || raw_query.is_some_and(illegal) || raw_path.to_ascii_lowercase().contains("%2f")
}
