//! `RestResult`: the envelope of the core and console APIs. Errors of a controller come in it with HTTP 200
//! (compat/spec/membership.md §11 Q25).

use serde::Serialize;

use super::response::{ApiError, Response};

/// Code, message and data; absent ones are written as `null`.
#[derive(Debug, Serialize)]
pub struct RestResult<T> {
    code: u16,
    message: Option<String>,
    data: Option<T>,
}

/// Success with data.
///
/// # Errors
/// Data that cannot be written as JSON.
pub fn success<T: Serialize>(data: T) -> Result<Response, ApiError> {
    Response::json(&RestResult { code: 200, message: None, data: Some(data) })
}

/// Success without data.
///
/// # Errors
/// None in practice.
pub fn done() -> Result<Response, ApiError> {
    Response::json(&RestResult::<()> { code: 200, message: None, data: None })
}

/// Failure with a code of its own, still HTTP 200.
///
/// # Errors
/// None in practice.
pub fn failed(code: u16, message: impl Into<String>) -> Result<Response, ApiError> {
    Response::json(&RestResult::<()> { code, message: Some(message.into()), data: None })
}
