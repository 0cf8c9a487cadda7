//! Selectors: which instances a consumer is shown (compat/spec/naming-api.md §9.1).

use serde_json::Value;

use super::error::NamingError;
use super::json::{self, JsonBuffer};
use super::service::Selector;
use crate::java;

/// What the JVM says when a field of a JSON parameter is missing.
pub const NULL_FIELD: &str = "Cannot invoke \"com.fasterxml.jackson.databind.JsonNode.asText()\" because the return value \
                          of \"com.fasterxml.jackson.databind.JsonNode.get(String)\" is null";

/// Reads a selector that was decoded once more already; blank is none.
pub fn parse(text: &str) -> Result<Selector, NamingError> {
    if java::is_blank(text) {
        return Ok(Selector::None);
    }
    let value = json::parse(text)?;
    let kind = text_of(value.get("type")).ok_or_else(|| NamingError::internal(NULL_FIELD))?;
    match kind.as_str() {
        "none" => Ok(Selector::None),
        "label" => {
            let expression = text_of(value.get("expression")).ok_or_else(|| NamingError::internal(NULL_FIELD))?;
            let labels = labels(&expression).ok_or_else(|| NamingError::invalid("parse expression failed!"))?;
            Ok(Selector::Label { expression, labels })
        }
        "unknown" => Err(NamingError::invalid("not match any type of selector!")),
        other => {
            Err(NamingError::illegal(format!("No enum constant com.alibaba.nacos.api.selector.SelectorType.{other}")))
        }
    }
}

/// `JsonNode.asText`.
pub fn text_of(value: Option<&Value>) -> Option<String> {
    Some(match value? {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => String::new(),
        other => other.to_string(),
    })
}

/// The labels of `CONSUMER.label.A = PROVIDER.label.A & …`, in the order of a Java hash set.
fn labels(expression: &str) -> Option<Vec<String>> {
    let compact: String = expression.chars().filter(|c| !java::is_whitespace(*c)).collect();
    let mut labels: Vec<String> = Vec::new();
    if compact.is_empty() {
        return Some(labels);
    }
    for term in compact.split('&') {
        let (consumer, provider) = term.split_once('=')?;
        let label = consumer.strip_prefix("CONSUMER.label.")?;
        if provider.strip_prefix("PROVIDER.label.")? != label || label.is_empty() {
            return None;
        }
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    java::hash_order(&mut labels, false, |label| label.clone());
    Some(labels)
}

/// Prints a selector.
pub fn write(json: &mut JsonBuffer, selector: &Selector) {
    match selector {
        Selector::None => {
            json.raw("{\"type\":\"none\"}");
        }
        Selector::Label { expression, labels } => {
            json.raw("{\"type\":\"label\",\"expression\":").string(expression).raw(",\"labels\":");
            json.array(labels, |json, label| {
                json.string(label);
            });
            json.raw("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let two = "CONSUMER.label.A = PROVIDER.label.A & CONSUMER.label.B = PROVIDER.label.B";
        assert_eq!(labels(two), Some(vec!["A".to_owned(), "B".to_owned()]));
        assert_eq!(labels(""), Some(Vec::new()));
        for bad in ["x", "CONSUMER.label.A=PROVIDER.label.B", "CONSUMER.label.A=PROVIDER.label.A&"] {
            assert_eq!(labels(bad), None, "{bad}");
        }
    }
}
