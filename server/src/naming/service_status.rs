//! Health reports of members, `POST service/status` (compat/spec/naming-api.md §9.9).

use super::error::NamingError;
use super::json;
use super::selector::{NULL_FIELD, text_of};

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
    let value = json::parse(report)?;
    let text = |name: &str| text_of(value.get(name)).ok_or_else(|| NamingError::internal(NULL_FIELD));
    Ok(Report { statuses: text("statuses")?, client_ip: text("clientIP")? })
}
