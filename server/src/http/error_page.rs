//! Errors that Tomcat and Spring Boot answer outside any controller (compat/spec/naming-api.md §1).

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::accept::Accept;
use super::response::{ApiError, JSON, Response};

/// Content type of Tomcat's own pages; lower case, unlike Spring's.
const TOMCAT_HTML: &str = "text/html;charset=utf-8";

/// The standard phrase of a status.
pub fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("None")
}

/// Tomcat's page.
pub fn tomcat(status: u16) -> Response {
    let reason = reason(status);
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><title>HTTP Status {status} – {reason}</title><style \
         type=\"text/css\">body {{font-family:Tahoma,Arial,sans-serif;}} h1, h2, h3, b \
         {{color:white;background-color:#525D76;}} h1 {{font-size:22px;}} h2 {{font-size:16px;}} h3 \
         {{font-size:14px;}} p {{font-size:12px;}} a {{color:black;}} .line \
         {{height:1px;background-color:#525D76;border:none;}}</style></head><body><h1>HTTP Status {status} – \
         {reason}</h1></body></html>"
    );
    Response {
        status,
        content_type: Some(TOMCAT_HTML.to_owned()),
        headers: vec![("content-language", "en".to_owned())],
        body: body.into(),
        chunked: false,
    }
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    timestamp: String,
    status: u16,
    error: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

/// Spring Boot's error object, or its page when that is preferred, or a refusal when neither is taken.
pub fn spring(status: u16, message: &str, path: &str, accept: &Accept<'_>) -> Response {
    if accept.prefers_html() {
        return whitelabel(status, message);
    }
    if !accept.takes_json() {
        return not_acceptable(accept);
    }
    object(status, reason(status), message, Some(path), status)
}

/// What `/error` itself answers when nothing failed.
pub fn without_error() -> Response {
    object(999, "None", "No message available", None, 500)
}

fn object(status: u16, error: &str, message: &str, path: Option<&str>, sent_status: u16) -> Response {
    let now = OffsetDateTime::now_utc();
    let timestamp = now
        .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+0000"))
        .unwrap_or_default();
    let body = serde_json::to_vec(&ErrorObject { timestamp, status, error, message, path }).unwrap_or_default();
    Response {
        status: sent_status,
        content_type: Some(JSON.to_owned()),
        headers: Vec::new(),
        body: body.into(),
        chunked: true,
    }
}

fn whitelabel(status: u16, message: &str) -> Response {
    let reason = reason(status);
    let now = OffsetDateTime::now_utc();
    let created = now
        .format(format_description!(
            "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]"
        ))
        .unwrap_or_default();
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let body = format!(
        "<html><body><h1>Whitelabel Error Page</h1><p>This application has no explicit mapping for /error, so you \
         are seeing this as a fallback.</p><div id='created'>{created}</div><div>There was an unexpected error \
         (type={reason}, status={status}).</div><div>{message}</div></body></html>"
    );
    Response {
        status,
        content_type: Some("text/html;charset=UTF-8".to_owned()),
        headers: vec![("content-language", "en".to_owned())],
        body: body.into(),
        chunked: false,
    }
}

/// The answer cannot be written in any type the client takes.
pub fn not_acceptable(accept: &Accept<'_>) -> Response {
    match accept.of_text() {
        None => empty(406),
        Some(_) => of_error(&ApiError::internal("Could not find acceptable representation"), accept),
    }
}

/// A controller's error: its status and the `caused: …;` chain, in the type asked for.
pub fn of_error(error: &ApiError, accept: &Accept<'_>) -> Response {
    let mut response = Response::text(error.body());
    response.status = error.status;
    response.content_type = accept.of_text().or(response.content_type);
    response
}

/// A status alone.
pub fn empty(status: u16) -> Response {
    Response { status, content_type: None, headers: Vec::new(), body: bytes::Bytes::new(), chunked: false }
}
