//! The published schema is the one of the types, and a run follows it.

use std::path::Path;

use serde_json::Value;

use super::fixture::sample;
use crate::report::schema;
use crate::results::Results;

/// Set to anything to write the committed schema anew.
const ACCEPT: &str = "TANDEM_ACCEPT_SCHEMA";

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat/results.schema.json");
    let generated = schema();
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "compat/results.schema.json is not the schema of harness/src/results.rs. If the change to the results is \
         meant, run the test again with {ACCEPT}=1 and commit the file."
    );
}

#[test]
fn a_run_has_what_the_schema_requires_and_nothing_it_does_not_know() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let run = serde_json::to_value(sample()).unwrap();
    let mut checked = 0;
    check(&schema, &schema, &run, "results", &mut checked);
    assert!(checked > 500, "only {checked} objects were checked");
    serde_json::from_value::<Results>(run).unwrap();
}

/// Required and known keys of every object, by the schema's own definitions.
fn check(root: &Value, schema: &Value, value: &Value, path: &str, checked: &mut u32) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return check(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value, path, checked);
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        if !value.is_null() {
            check(root, &choices[0], value, path, checked);
        }
        return;
    }
    match value {
        Value::Object(fields) => {
            *checked += 1;
            for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                assert!(fields.contains_key(key.as_str().unwrap()), "{path} lacks {key}");
            }
            for (key, field) in fields {
                let known = schema.pointer(&format!("/properties/{key}")).or(schema.get("additionalProperties"));
                let known = known.unwrap_or_else(|| panic!("{path}.{key} is not in the schema"));
                check(root, known, field, &format!("{path}.{key}"), checked);
            }
        }
        Value::Array(items) => {
            for item in items {
                check(root, schema.get("items").unwrap(), item, path, checked);
            }
        }
        _ => {}
    }
}
