//! Health reports of members, `POST service/status` (compat/spec/naming-api.md §9.9).

use serde_json::Value;

use super::error::NamingError;
use super::json::jackson_message;
use super::selector::{NULL_FIELD, text_of};

/// Who sent a report, `ip:port`.
pub fn sender(report: &str) -> Result<String, NamingError> {
    let value: Value = serde_json::from_str(report).map_err(|_| {
        NamingError::Internal(vec![
            "errCode: 101, errMsg: Nacos deserialize failed.  ".to_owned(),
            jackson_message(report),
        ])
    })?;
    text_of(value.get("clientIP")).ok_or_else(|| NamingError::internal(NULL_FIELD))
}
