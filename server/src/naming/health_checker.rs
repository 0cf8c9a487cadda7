//! How persistent instances of a cluster are checked, as JSON (compat/spec/naming-api.md §10.1).

use serde::Deserialize;
use serde_json::Value;

use super::error::NamingError;
use super::json::{JsonBuffer, UNREADABLE, jackson_message};
use super::service::HealthChecker;

const FAILED: &str = "errCode: 101, errMsg: Nacos deserialize for class \
                      [com.alibaba.nacos.api.naming.pojo.healthcheck.AbstractHealthChecker] failed.  ";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    path: String,
    headers: String,
    expected_response_code: i32,
}

impl Default for Http {
    fn default() -> Self {
        Http { path: String::new(), headers: String::new(), expected_response_code: 200 }
    }
}

/// Reads a checker. Unknown and missing types check nothing. The text `null`, which official Nacos stores and then
/// cannot read back, is refused (compat/DIFFERENCES.md).
pub fn parse(text: &str) -> Result<HealthChecker, NamingError> {
    let failed = |cause: String| NamingError::Internal(vec![FAILED.to_owned(), cause]);
    let value: Value = serde_json::from_str(text).map_err(|_| failed(jackson_message(text)))?;
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => return Err(NamingError::internal(UNREADABLE)),
        Value::Array(_) => {
            return Err(failed(format!(
                "Cannot deserialize instance of \
                 `com.alibaba.nacos.api.naming.pojo.healthcheck.AbstractHealthChecker$None` out of START_ARRAY \
                 token\n at [Source: (String)\"{text}\"; line: 1, column: 1]"
            )));
        }
        _ => return Err(failed("not a JSON object".to_owned())),
    };
    let optional = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    match fields.get("type").and_then(Value::as_str) {
        Some("TCP") => Ok(HealthChecker::Tcp),
        Some("HTTP") => {
            let http: Http = serde_json::from_value(Value::Object(fields))
                .map_err(|error| failed(format!("Cannot deserialize value: {error}")))?;
            Ok(HealthChecker::Http {
                path: http.path,
                headers: http.headers,
                expected_response_code: http.expected_response_code,
            })
        }
        Some("MYSQL") => {
            Ok(HealthChecker::Mysql { user: optional("user"), pwd: optional("pwd"), cmd: optional("cmd") })
        }
        _ => Ok(HealthChecker::None),
    }
}

/// Prints a checker with its type.
pub fn write(json: &mut JsonBuffer, checker: &HealthChecker) {
    match checker {
        HealthChecker::Tcp => json.raw("{\"type\":\"TCP\"}"),
        HealthChecker::None => json.raw("{\"type\":\"NONE\"}"),
        HealthChecker::Http { path, headers, expected_response_code } => {
            json.raw("{\"type\":\"HTTP\",\"path\":").string(path).raw(",\"headers\":").string(headers);
            json.raw(",\"expectedResponseCode\":").int(i64::from(*expected_response_code)).raw("}")
        }
        HealthChecker::Mysql { user, pwd, cmd } => {
            json.raw("{\"type\":\"MYSQL\",\"user\":").string_or_null(user.as_deref());
            json.raw(",\"pwd\":").string_or_null(pwd.as_deref());
            json.raw(",\"cmd\":").string_or_null(cmd.as_deref()).raw("}")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        assert_eq!(parse("{\"type\":\"TCP\",\"extra\":1}"), Ok(HealthChecker::Tcp));
        assert_eq!(parse("{\"type\":\"tcp\"}"), Ok(HealthChecker::None));
        assert_eq!(parse("{}"), Ok(HealthChecker::None));
        assert!(parse("null").is_err() && parse("bad").is_err() && parse("[]").is_err());
        assert!(parse("{\"type\":\"HTTP\",\"expectedResponseCode\":\"x\"}").is_err());
    }
}
