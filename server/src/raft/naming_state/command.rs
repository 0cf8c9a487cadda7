//! What an entry of the log says: a serialised `WriteRequest` whose data are keys and values
//! (compat/spec/jraft.md §7).
//!
//! Some entries stop official members for good (§9). Here an entry that says nothing that can be done changes nothing,
//! on every member alike.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde::Deserialize;

use super::super::datum::GROUP;
use super::super::rpc::WriteRequest;

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Puts values under keys.
    Write(Vec<(Bytes, Bytes)>),
    /// Removes keys.
    Delete(Vec<Bytes>),
}

/// Why an entry does nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// Other bytes.
    #[error("it is no write request: {0}")]
    NoRequest(String),
    /// A read that a leader wrote into the log (compat/spec/jraft.md §9).
    #[error("it is a read, which belongs in no log")]
    Read,
    /// Of another group.
    #[error("it belongs to the group {0}")]
    Group(String),
    /// Neither `Write` nor `Delete`.
    #[error("its operation is {0:?}")]
    Operation(String),
    /// Not keys and values.
    #[error("its keys and values cannot be read: {0}")]
    Batch(String),
}

/// Keys and values as Jackson writes lists of byte arrays.
#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl Command {
    /// Reads an entry's data.
    ///
    /// # Errors
    /// Why it does nothing.
    pub fn read(data: &[u8]) -> Result<Self, Skipped> {
        let request = WriteRequest::decode(data).map_err(|error| Skipped::NoRequest(error.to_string()))?;
        Command::of(&request)
    }

    /// What a request does.
    ///
    /// # Errors
    /// Why it does nothing.
    pub fn of(request: &WriteRequest) -> Result<Self, Skipped> {
        if request.group != GROUP && !request.group.is_empty() {
            return Err(Skipped::Group(request.group.clone()));
        }
        match request.operation.as_str() {
            "Write" => {
                let (keys, values) = batch(&request.data)?;
                if keys.len() != values.len() {
                    return Err(Skipped::Batch(format!("{} keys and {} values", keys.len(), values.len())));
                }
                Ok(Command::Write(keys.into_iter().zip(values).collect()))
            }
            "Delete" => Ok(Command::Delete(batch(&request.data)?.0)),
            // A read request has its data where a write request has its key, and no operation.
            "" if request.data.is_empty() => Err(Skipped::Read),
            other => Err(Skipped::Operation(other.to_owned())),
        }
    }

    /// The keys it is about.
    pub fn keys(&self) -> Vec<&Bytes> {
        match self {
            Command::Write(pairs) => pairs.iter().map(|(key, _)| key).collect(),
            Command::Delete(keys) => keys.iter().collect(),
        }
    }
}

fn batch(json: &[u8]) -> Result<(Vec<Bytes>, Vec<Bytes>), Skipped> {
    let batch: Batch = serde_json::from_slice(json).map_err(|error| Skipped::Batch(error.to_string()))?;
    let decode = |texts: Vec<String>| -> Result<Vec<Bytes>, Skipped> {
        let bytes = texts.into_iter().map(|text| STANDARD.decode(text).map(Bytes::from));
        bytes.collect::<Result<_, _>>().map_err(|error| Skipped::Batch(error.to_string()))
    };
    Ok((decode(batch.keys)?, decode(batch.values)?))
}

/// The keys of a `ReadRequest`: a JSON array of byte arrays.
///
/// # Errors
/// When they cannot be read.
pub fn read_keys(data: &[u8]) -> Result<Vec<Bytes>, Skipped> {
    let texts: Vec<String> = serde_json::from_slice(data).map_err(|error| Skipped::Batch(error.to_string()))?;
    let keys = texts.into_iter().map(|text| STANDARD.decode(text).map(Bytes::from));
    keys.collect::<Result<_, _>>().map_err(|error| Skipped::Batch(error.to_string()))
}

/// What a `ReadRequest` is answered: the keys that are there, and their values.
pub fn read_answer(found: &[(Bytes, Bytes)]) -> Vec<u8> {
    let texts = |of: fn(&(Bytes, Bytes)) -> &Bytes| -> Vec<String> {
        found.iter().map(|pair| STANDARD.encode(of(pair))).collect()
    };
    let answer = serde_json::json!({"keys": texts(|pair| &pair.0), "values": texts(|pair| &pair.1)});
    serde_json::to_vec(&answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::service::ServiceId;
    use crate::raft::datum::Entry;

    #[test]
    fn entries_of_official_nodes() {
        // compat/spec/jraft.md §7; the names are base64 of `k` and `v`.
        let request = |operation: &str, data: &str| WriteRequest {
            group: GROUP.to_owned(),
            operation: operation.to_owned(),
            data: data.as_bytes().to_vec(),
            ..WriteRequest::default()
        };
        let read = |request: WriteRequest| Command::read(&request.encode_to_vec());
        let (k, v) = (Bytes::from_static(b"k"), Bytes::from_static(b"v"));
        let written = read(request("Write", r#"{"keys":["aw=="],"values":["dg=="]}"#));
        assert_eq!(written, Ok(Command::Write(vec![(k.clone(), v)])));
        let deleted = read(request("Delete", r#"{"keys":["aw=="],"values":[""]}"#));
        assert_eq!(deleted, Ok(Command::Delete(vec![k])));
        let own = Entry::remove(&ServiceId::new("public", "g@@s")).into_request();
        assert!(matches!(read(own), Ok(Command::Delete(keys)) if keys.len() == 1));
        assert!(matches!(read(request("Write", r#"{"keys":["aw=="],"values":[]}"#)), Err(Skipped::Batch(_))));
        assert!(matches!(read(request("Write", "{")), Err(Skipped::Batch(_))));
        assert!(matches!(read(request("Write", r#"{"keys":["*"],"values":["dg=="]}"#)), Err(Skipped::Batch(_))));
        assert_eq!(read(request("Read", "{}")), Err(Skipped::Operation("Read".to_owned())));
        let other = WriteRequest { group: "nacos_config".to_owned(), ..request("Write", "{}") };
        assert_eq!(read(other), Err(Skipped::Group("nacos_config".to_owned())));
    }

    #[test]
    fn a_read_in_the_log_does_nothing() {
        // compat/spec/jraft.md §9: group in field 1, data in field 2; from 1.4.4 on preceded by 38 01.
        let mut read = b"\x0a\x19naming_persistent_service\x12\x08[\"aw==\"]".to_vec();
        assert_eq!(Command::read(&read), Err(Skipped::Read));
        read.splice(0..0, [0x38, 0x01]);
        assert_eq!(Command::read(&read), Err(Skipped::Read));
        assert_eq!(read_keys(b"[\"aw==\"]"), Ok(vec![Bytes::from_static(b"k")]));
        assert!(matches!(Command::read(b"\xff\xff\xff"), Err(Skipped::NoRequest(_))));
        let found = [(Bytes::from_static(b"k"), Bytes::from_static(b"v"))];
        assert_eq!(read_answer(&found), br#"{"keys":["aw=="],"values":["dg=="]}"#);
    }
}
