//! `__raft_snapshot_meta`: up to where the snapshot stands for the log, and its files (compat/spec/jraft.md §4, §6).

use serde::{Deserialize, Serialize};

use crate::raft::core::store::StoreError;
use crate::raft::core::{Configuration, PeerId, SnapshotMeta};
use prost::Message as _;

/// The name of the message on disk.
const TYPE_NAME: &[u8] = b"jraft.LocalSnapshotPbMeta";

#[derive(Clone, PartialEq, prost::Message)]
struct SnapshotMetaPb {
    #[prost(int64, required, tag = "1")]
    last_included_index: i64,
    #[prost(int64, required, tag = "2")]
    last_included_term: i64,
    #[prost(string, repeated, tag = "3")]
    peers: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    old_peers: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    learners: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    old_learners: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FileMetaPb {
    #[prost(bytes = "vec", optional, tag = "1")]
    user_meta: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "2")]
    source: Option<i32>,
    #[prost(string, optional, tag = "3")]
    checksum: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FilePb {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    meta: Option<FileMetaPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FilesPb {
    #[prost(message, optional, tag = "1")]
    meta: Option<SnapshotMetaPb>,
    #[prost(message, repeated, tag = "2")]
    files: Vec<FilePb>,
}

/// What Nacos itself says of a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserMeta {
    #[serde(default)]
    file_meta: UserFileMeta,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserFileMeta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check_sum: Option<String>,
}

/// The record of a snapshot's files.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesMeta(FilesPb);

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Other bytes.
    #[error("it is no record of a snapshot")]
    Framing,
    /// Not the message it says it is.
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
}

impl FilesMeta {
    /// Of a snapshot with these files and their checksums.
    pub fn new(meta: &SnapshotMeta, files: &[(&str, &str)]) -> Self {
        let texts = |peers: &[PeerId]| peers.iter().map(ToString::to_string).collect();
        let configuration = &meta.configuration;
        let snapshot = SnapshotMetaPb {
            last_included_index: i64::try_from(meta.last_included_index).unwrap_or(i64::MAX),
            last_included_term: i64::try_from(meta.last_included_term).unwrap_or(i64::MAX),
            peers: texts(&configuration.peers),
            old_peers: texts(&configuration.old_peers),
            learners: texts(&configuration.learners),
            old_learners: texts(&configuration.old_learners),
        };
        let file = |(name, checksum): &(&str, &str)| {
            let file_meta = UserFileMeta { check_sum: Some((*checksum).to_owned()) };
            let user_meta = serde_json::to_vec(&UserMeta { file_meta }).ok();
            let meta = Some(FileMetaPb { user_meta, source: None, checksum: None });
            FilePb { name: (*name).to_owned(), meta }
        };
        FilesMeta(FilesPb { meta: Some(snapshot), files: files.iter().map(file).collect() })
    }

    /// Reads what a leader sends.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, Unreadable> {
        Ok(FilesMeta(FilesPb::decode(bytes)?))
    }

    /// Reads what lies on disk: name and message, each after its length in 4 bytes.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_disk(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (name, rest) = framed(bytes).ok_or(Unreadable::Framing)?;
        let (message, rest) = framed(rest).ok_or(Unreadable::Framing)?;
        if name != TYPE_NAME || !rest.is_empty() {
            return Err(Unreadable::Framing);
        }
        FilesMeta::from_wire(message)
    }

    /// As it is sent.
    pub fn to_wire(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// As it lies on disk.
    pub fn to_disk(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [TYPE_NAME, &self.to_wire()] {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Up to where it stands for the log.
    ///
    /// # Errors
    /// When it does not say, or says what cannot be.
    pub fn snapshot(&self) -> Result<SnapshotMeta, StoreError> {
        let damaged = |what: &str| StoreError::Damaged(format!("the record of a snapshot has {what}"));
        let meta = self.0.meta.as_ref().ok_or_else(|| damaged("no place in the log"))?;
        let number = |number: i64| u64::try_from(number).map_err(|_| damaged("a negative place in the log"));
        let peers = |texts: &[String]| -> Result<Vec<PeerId>, StoreError> {
            texts.iter().map(|text| PeerId::parse(text).ok_or_else(|| damaged("a peer that is none"))).collect()
        };
        Ok(SnapshotMeta {
            last_included_index: number(meta.last_included_index)?,
            last_included_term: number(meta.last_included_term)?,
            configuration: Configuration {
                peers: peers(&meta.peers)?,
                old_peers: peers(&meta.old_peers)?,
                learners: peers(&meta.learners)?,
                old_learners: peers(&meta.old_learners)?,
            },
        })
    }

    /// Its files, each with the checksum recorded by Nacos, if any.
    pub fn files(&self) -> impl Iterator<Item = (&str, Option<String>)> {
        self.0.files.iter().map(|file| {
            let user = file.meta.as_ref().and_then(|meta| meta.user_meta.as_deref());
            let user = user.and_then(|json| serde_json::from_slice::<UserMeta>(json).ok());
            (file.name.as_str(), user.and_then(|user| user.file_meta.check_sum))
        })
    }
}

fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}
