//! Records with their checksums; entries and votes as JRaft keeps them (compat/spec/jraft.md §4, §6).

use bytes::Bytes;
use crc::{CRC_64_ECMA_182, Crc};
use prost::Message as _;

use super::damaged;
use crate::raft::core::store::StoreError;
use crate::raft::core::{Configuration, Entry, HardState, Index, Payload, PeerId, SnapshotMeta};
use crate::raft::snapshot::meta::FilesMeta;

const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_ECMA_182);
/// What JRaft's second log format begins with.
const ENTRY_MAGIC: [u8; 6] = [0xbb, 0xd2, 0x01, 0, 0, 0];

/// The first entry kept and the last one; `last + 1 == first` when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) first: Index,
    pub(super) last: Index,
}

impl Bounds {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.first.to_be_bytes(), self.last.to_be_bytes()].concat()
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, StoreError> {
        let number = |at: usize| body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        match (number(0), number(8)) {
            (Some(first), Some(last)) if first > 0 && last.checked_add(1).is_some_and(|next| next >= first) => {
                Ok(Bounds { first, last })
            }
            _ => Err(damaged("where the log begins and ends cannot be read")),
        }
    }
}

/// A record: checksum over what it is filed under and what it holds, then what it holds.
pub(super) fn seal_record(body: &[u8], filed_under: &[u8]) -> Vec<u8> {
    let mut record = checksum(body, filed_under).to_be_bytes().to_vec();
    record.extend_from_slice(body);
    record
}

/// What a record holds.
pub(super) fn open_record<'a>(record: &'a [u8], filed_under: &[u8]) -> Result<&'a [u8], StoreError> {
    match record.split_first_chunk::<8>() {
        Some((sum, body)) if u64::from_be_bytes(*sum) == checksum(body, filed_under) => Ok(body),
        _ => {
            let what = match <[u8; 8]>::try_from(filed_under) {
                Ok(index) => format!("entry {}", u64::from_be_bytes(index)),
                Err(_) => String::from_utf8_lossy(filed_under).into_owned(),
            };
            Err(damaged(format!("{what}: the checksum is not that of what is there")))
        }
    }
}

fn checksum(body: &[u8], filed_under: &[u8]) -> u64 {
    let mut digest = CRC.digest();
    digest.update(filed_under);
    digest.update(body);
    digest.finalize()
}

#[derive(Clone, PartialEq, prost::Message)]
struct LogEntryPb {
    #[prost(int32, required, tag = "1")]
    r#type: i32,
    #[prost(int64, required, tag = "2")]
    term: i64,
    #[prost(int64, required, tag = "3")]
    index: i64,
    #[prost(bytes = "vec", repeated, tag = "4")]
    peers: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    old_peers: Vec<Vec<u8>>,
    #[prost(bytes = "bytes", required, tag = "6")]
    data: Bytes,
    #[prost(bytes = "vec", repeated, tag = "8")]
    learners: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    old_learners: Vec<Vec<u8>>,
}

const NO_OP: i32 = 1;
const DATA: i32 = 2;
const CONFIGURATION: i32 = 3;

/// An entry with its checksum.
pub(super) fn seal_entry(entry: &Entry) -> Vec<u8> {
    let texts = |peers: &[PeerId]| peers.iter().map(|peer| peer.as_str().as_bytes().to_vec()).collect();
    let mut pb = LogEntryPb {
        term: i64::try_from(entry.term).unwrap_or(i64::MAX),
        index: i64::try_from(entry.index).unwrap_or(i64::MAX),
        ..LogEntryPb::default()
    };
    match &entry.payload {
        Payload::NoOp => pb.r#type = NO_OP,
        Payload::Data(data) => (pb.r#type, pb.data) = (DATA, data.clone()),
        Payload::Configuration(configuration) => {
            pb.r#type = CONFIGURATION;
            pb.peers = texts(&configuration.peers);
            pb.old_peers = texts(&configuration.old_peers);
            pb.learners = texts(&configuration.learners);
            pb.old_learners = texts(&configuration.old_learners);
        }
    }
    let mut body = ENTRY_MAGIC.to_vec();
    body.extend_from_slice(&pb.encode_to_vec());
    seal_record(&body, &entry.index.to_be_bytes())
}

/// The entry filed under an index.
pub(super) fn open_entry(index: Index, record: &[u8]) -> Result<Entry, StoreError> {
    let unreadable = || damaged(format!("entry {index} cannot be read"));
    let body = open_record(record, &index.to_be_bytes())?;
    let pb = LogEntryPb::decode(body.strip_prefix(&ENTRY_MAGIC).ok_or_else(unreadable)?).map_err(|_| unreadable())?;
    let peers = |texts: &[Vec<u8>]| -> Result<Vec<PeerId>, StoreError> {
        let peer = |text: &Vec<u8>| PeerId::parse(std::str::from_utf8(text).ok()?);
        texts.iter().map(|text| peer(text).ok_or_else(unreadable)).collect()
    };
    let payload = match pb.r#type {
        NO_OP => Payload::NoOp,
        DATA => Payload::Data(pb.data),
        CONFIGURATION => Payload::Configuration(Configuration {
            peers: peers(&pb.peers)?,
            old_peers: peers(&pb.old_peers)?,
            learners: peers(&pb.learners)?,
            old_learners: peers(&pb.old_learners)?,
        }),
        _ => return Err(unreadable()),
    };
    let term = u64::try_from(pb.term).map_err(|_| unreadable())?;
    if u64::try_from(pb.index) != Ok(index) {
        return Err(unreadable());
    }
    Ok(Entry { index, term, payload })
}

#[derive(Clone, PartialEq, prost::Message)]
struct StablePb {
    #[prost(int64, required, tag = "1")]
    term: i64,
    #[prost(string, required, tag = "2")]
    voted_for: String,
    /// Ours alone: nobody else reads this file.
    #[prost(bool, optional, tag = "15")]
    newcomer: Option<bool>,
}

pub(super) fn encode_hard_state(state: &HardState) -> Vec<u8> {
    let voted_for = state.voted_for.as_ref().map(ToString::to_string).unwrap_or_default();
    let newcomer = state.newcomer.then_some(true);
    StablePb { term: i64::try_from(state.term).unwrap_or(i64::MAX), voted_for, newcomer }.encode_to_vec()
}

pub(super) fn decode_hard_state(body: &[u8]) -> Result<HardState, StoreError> {
    let unreadable = || damaged("term and vote cannot be read");
    let pb = StablePb::decode(body).map_err(|_| unreadable())?;
    let voted_for = match pb.voted_for.as_str() {
        "" => None,
        text => Some(PeerId::parse(text).ok_or_else(unreadable)?),
    };
    let term = u64::try_from(pb.term).map_err(|_| unreadable())?;
    Ok(HardState { term, voted_for, newcomer: pb.newcomer.unwrap_or_default() })
}

pub(super) fn encode_snapshot(meta: &SnapshotMeta) -> Vec<u8> {
    FilesMeta::new(meta, &[]).to_wire()
}

pub(super) fn decode_snapshot(body: &[u8]) -> Result<SnapshotMeta, StoreError> {
    FilesMeta::from_wire(body).map_err(|error| damaged(format!("the snapshot's place: {error}")))?.snapshot()
}
