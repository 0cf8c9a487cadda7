//! How controllers take parameters: Nacos' `required` and `optional`, and those bound by Spring
//! (compat/spec/naming-api.md §1.1).

use std::borrow::Cow;

use super::request::Params;
use super::response::ApiError;
use crate::java;

impl Params {
    /// Absent or empty: 400. The value is trimmed, so blanks alone give an empty text.
    pub fn required(&self, name: &str) -> Result<Cow<'_, str>, ApiError> {
        match self.get(name) {
            None | Some("") => Err(ApiError::illegal(format!("Param '{name}' is required."))),
            Some(value) => Ok(self.resolve(value)),
        }
    }

    /// Absent, empty or blank: the default, else the trimmed value.
    pub fn optional<'a>(&'a self, name: &str, default: &'a str) -> Cow<'a, str> {
        match self.get(name) {
            Some(value) if !java::is_blank(value) => self.resolve(value),
            _ => Cow::Borrowed(default),
        }
    }

    /// The value re-read in the charset that the parameter `encoding` names, and trimmed.
    fn resolve<'a>(&self, value: &'a str) -> Cow<'a, str> {
        match self.get("encoding") {
            None | Some("UTF-8" | "utf-8" | "") => Cow::Borrowed(java::trim(value)),
            Some(charset) => match encoding_rs::Encoding::for_label(charset.trim().as_bytes()) {
                Some(encoding) => {
                    let (text, _) = encoding.decode_without_bom_handling(value.as_bytes());
                    Cow::Owned(java::trim(&text).to_owned())
                }
                None => Cow::Borrowed(java::trim(value)),
            },
        }
    }

    /// A text bound by Spring: untrimmed, absent is 500, empty is a value.
    pub fn spring_required(&self, name: &str) -> Result<&str, ApiError> {
        self.get_joined(name)
            .ok_or_else(|| ApiError::internal(format!("Required String parameter '{name}' is not present")))
    }

    /// A text bound by Spring with a default for absent and empty.
    pub fn spring_optional<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.get_joined(name).filter(|value| !value.is_empty()).unwrap_or(default)
    }

    /// A number bound by Spring to a primitive; absent or empty is `None`.
    pub fn spring_int(&self, name: &str) -> Result<Option<i32>, ApiError> {
        let Some(value) = self.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        // Spring strips every blank before it decodes the number.
        let compact: String = value.chars().filter(|c| !java::is_whitespace(*c)).collect();
        match java::decode_int(&compact) {
            Some(number) => Ok(Some(number)),
            None => {
                let inner = format!("For input string: \"{compact}\"");
                Err(conversion("int", "java.lang.NumberFormatException", &inner))
            }
        }
    }

    /// A number that must be there, bound by Spring.
    pub fn spring_required_int(&self, name: &str) -> Result<i32, ApiError> {
        if self.get(name).is_none() {
            return Err(ApiError::internal(format!("Required int parameter '{name}' is not present")));
        }
        self.spring_int(name)?.ok_or_else(|| absent_primitive(name))
    }

    /// A float bound by Spring.
    pub fn spring_float(&self, name: &str, default: f32) -> Result<f32, ApiError> {
        let Some(value) = self.get(name).filter(|value| !value.is_empty()) else { return Ok(default) };
        let compact: String = value.chars().filter(|c| !java::is_whitespace(*c)).collect();
        java::parse_float(&compact).map_err(|message| conversion("float", "java.lang.NumberFormatException", &message))
    }

    /// A boolean bound by Spring.
    pub fn spring_bool(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        let Some(value) = self.get(name).filter(|value| !value.is_empty()) else { return Ok(default) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => {
                let inner = format!("Invalid boolean value [{value}]");
                Err(conversion("boolean", "java.lang.IllegalArgumentException", &inner))
            }
        }
    }
}

/// `MethodArgumentTypeMismatchException`; the status is 500 or 400 as observed per type.
fn conversion(to: &str, exception: &str, inner: &str) -> ApiError {
    let outer = format!(
        "Failed to convert value of type 'java.lang.String' to required type '{to}'; nested exception is \
         {exception}: {inner}"
    );
    ApiError { status: 500, causes: vec![outer, inner.to_owned()] }
}

/// An absent Spring-bound primitive.
pub fn absent_primitive(name: &str) -> ApiError {
    ApiError::internal(format!(
        "Optional int parameter '{name}' is present but cannot be translated into a null value due to being declared \
         as a primitive type. Consider declaring it as object wrapper for the corresponding primitive type."
    ))
}
