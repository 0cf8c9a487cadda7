//! What controllers answer, and the errors they answer instead.

use bytes::Bytes;
use serde::Serialize;

use crate::naming::error::NamingError;

/// Content type of JSON answers.
pub const JSON: &str = "application/json;charset=UTF-8";
/// Content type of text answers.
pub const TEXT: &str = "text/plain;charset=UTF-8";

/// One answer. The connection layer adds Date, Connection and framing.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Content-Type; some Nacos answers have none.
    pub content_type: Option<String>,
    /// Further headers, in order.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
    /// JSON objects are sent chunked, strings with a length (compat/spec/naming-api.md §1.3).
    pub chunked: bool,
}

impl Response {
    /// A controller's string: `ok` and the like. Its content type follows `Accept`, which the pipeline applies.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Response {
            status: 200,
            content_type: Some(TEXT.to_owned()),
            headers: Vec::new(),
            body: body.into(),
            chunked: false,
        }
    }

    /// JSON that is already text.
    pub fn json_text(body: impl Into<Bytes>) -> Self {
        Response {
            status: 200,
            content_type: Some(JSON.to_owned()),
            headers: Vec::new(),
            body: body.into(),
            chunked: true,
        }
    }

    /// A value as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(Self::json_text(body))
    }
}

/// What a controller answers instead of a result: status and the `caused: …;` chain
/// (compat/spec/naming-api.md §1.3, console-first flavour).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {}", .causes.join("; "))]
pub struct ApiError {
    /// Status code.
    pub status: u16,
    /// Messages of the exception chain, outermost first; empty gives an empty body.
    pub causes: Vec<String>,
}

impl ApiError {
    /// An `IllegalArgumentException`: 400.
    pub fn illegal(message: impl Into<String>) -> Self {
        ApiError { status: 400, causes: vec![message.into()] }
    }

    /// A `NacosException` of any code, or any other exception: 500 when the console's handler comes first.
    pub fn internal(message: impl Into<String>) -> Self {
        ApiError { status: 500, causes: vec![message.into()] }
    }

    /// The body: `caused: <message>;` per cause.
    pub fn body(&self) -> String {
        self.causes.iter().map(|cause| format!("caused: {cause};")).collect()
    }
}

impl From<NamingError> for ApiError {
    /// Console-first flavour: a `NacosException` is 500 whatever its code says (compat/spec/naming-api.md §1.3).
    fn from(error: NamingError) -> Self {
        match error {
            NamingError::Illegal(message) => ApiError::illegal(message),
            NamingError::Nacos(_, message) => ApiError::internal(message),
            error @ NamingError::NeedsConsensus(_) => ApiError::internal(error.to_string()),
            NamingError::Internal(causes) => ApiError { status: 500, causes },
        }
    }
}
