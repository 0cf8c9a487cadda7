//! The JSON Schema of `results.json`, generated from the types so that it cannot drift from them.

use crate::results::Results;

/// The schema as pretty-printed JSON with a final newline, as committed in `compat/results.schema.json`.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Results);
    // A schema is a JSON value already; printing it cannot fail.
    let mut text = serde_json::to_string_pretty(schema.as_value()).unwrap_or_default();
    text.push('\n');
    text
}
