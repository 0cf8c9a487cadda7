//! Health reports of members, `POST service/status` (compat/spec/naming-api.md §9.9).

use serde_json::Value;

use super::error::NamingError;
use super::json::jackson_message;

/// A report.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Who sent it, `ip:port`.
    pub client_ip: String,
    /// Checksums by service, as JSON again.
    pub statuses: String,
}

/// Reads a report; `statuses` is looked for first, as in official Nacos.
pub fn read(report: &str) -> Result<Report, NamingError> {
    let value: Value = serde_json::from_str(report).map_err(|_| {
        NamingError::Internal(vec![
            "errCode: 101, errMsg: Nacos deserialize failed.  ".to_owned(),
            jackson_message(report),
        ])
    })?;
    let text = |name: &str| {
        super::selector::text_of(value.get(name)).ok_or_else(|| {
            NamingError::internal(
                "Cannot invoke \"com.fasterxml.jackson.databind.JsonNode.asText()\" because the return value of \
                 \"com.fasterxml.jackson.databind.JsonNode.get(String)\" is null",
            )
        })
    };
    Ok(Report { statuses: text("statuses")?, client_ip: text("clientIP")? })
}
