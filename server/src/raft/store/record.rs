//! What the bodies of frames hold: changes; entries, each with a checksum of its own, and votes as JRaft keeps them
//! (compat/spec/jraft.md §4, §6).

use bytes::Bytes;
use crc::{CRC_64_ECMA_182, Crc, Table};
use prost::Message as _;

use super::damaged;
use crate::raft::core::store::{Change, StoreError};
use crate::raft::core::{Configuration, Entry, HardState, Index, Payload, PeerId, SnapshotMeta};
use crate::raft::snapshot::meta::FilesMeta;

pub(super) const CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_ECMA_182);
/// What JRaft's second log format begins with.
const ENTRY_MAGIC: [u8; 6] = [0xbb, 0xd2, 0x01, 0, 0, 0];

/// What is filed in a body, each with a kind and a length before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Which entries count at the beginning of a file.
    Start {
        first: Index,
        last: Index,
    },
    HardState(HardState),
    /// An entry, `length` bytes from `offset` in the body on.
    Entry {
        index: Index,
        offset: u64,
        length: usize,
    },
    TruncateSuffix(Index),
    TruncatePrefix(Index),
    Snapshot(SnapshotMeta),
    Reset(SnapshotMeta),
}

const START: u8 = 1;
const HARD_STATE: u8 = 2;
const ENTRY: u8 = 3;
const TRUNCATE_SUFFIX: u8 = 4;
const TRUNCATE_PREFIX: u8 = 5;
const SNAPSHOT: u8 = 6;
const RESET: u8 = 7;
/// Kind and length.
const LABEL: usize = 9;

fn put(body: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    body.push(kind);
    let length: usize = parts.iter().map(|part| part.len()).sum();
    body.extend_from_slice(&(length as u64).to_be_bytes());
    parts.iter().for_each(|part| body.extend_from_slice(part));
}

/// What a file begins with.
pub(super) fn encode_start(state: &HardState, snapshot: &SnapshotMeta, first: Index, last: Index) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, START, &[&first.to_be_bytes(), &last.to_be_bytes()]);
    put(&mut body, HARD_STATE, &[&encode_hard_state(state)]);
    put(&mut body, SNAPSHOT, &[&encode_snapshot(snapshot)]);
    body
}

/// A batch of changes.
pub(super) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut body = Vec::new();
    for change in changes {
        match change {
            Change::HardState(state) => put(&mut body, HARD_STATE, &[&encode_hard_state(state)]),
            Change::Append(entries) => {
                for entry in entries {
                    put(&mut body, ENTRY, &[&entry.index.to_be_bytes(), &seal_entry(entry)]);
                }
            }
            Change::TruncateSuffix(from) => put(&mut body, TRUNCATE_SUFFIX, &[&from.to_be_bytes()]),
            Change::TruncatePrefix(first) => put(&mut body, TRUNCATE_PREFIX, &[&first.to_be_bytes()]),
            Change::Snapshot(meta) => put(&mut body, SNAPSHOT, &[&encode_snapshot(meta)]),
            Change::Reset(meta) => put(&mut body, RESET, &[&encode_snapshot(meta)]),
        }
    }
    body
}

/// What a body holds, in order.
pub(super) fn records(body: &[u8]) -> impl Iterator<Item = Result<Record, StoreError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= body.len() {
            return None;
        }
        let record = record(body, at);
        at = record.as_ref().map_or(body.len(), |(_, end)| *end);
        Some(record.map(|(record, _)| record))
    })
}

/// The record at a place, and where it ends.
fn record(body: &[u8], at: usize) -> Result<(Record, usize), StoreError> {
    let unreadable = || damaged("a change of the raft log cannot be read");
    let number = |of: &[u8], from: usize| {
        let bytes = of.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or_else(unreadable)
    };
    let kind = *body.get(at).ok_or_else(unreadable)?;
    let length = usize::try_from(number(body, at + 1)?).map_err(|_| unreadable())?;
    let begins = at + LABEL;
    let of = body.get(begins..).and_then(|rest| rest.get(..length)).ok_or_else(unreadable)?;
    let record = match kind {
        START => {
            let (first, last) = (number(of, 0)?, number(of, 8)?);
            if first == 0 || last.checked_add(1).is_none_or(|next| next < first) {
                return Err(damaged("where the log begins and ends cannot be read"));
            }
            Record::Start { first, last }
        }
        HARD_STATE => Record::HardState(decode_hard_state(of)?),
        ENTRY => {
            let (index, offset) = (number(of, 0)?, (begins + 8) as u64);
            Record::Entry { index, offset, length: length - 8 }
        }
        TRUNCATE_SUFFIX => Record::TruncateSuffix(number(of, 0)?),
        TRUNCATE_PREFIX => Record::TruncatePrefix(number(of, 0)?),
        SNAPSHOT => Record::Snapshot(decode_snapshot(of)?),
        RESET => Record::Reset(decode_snapshot(of)?),
        _ => return Err(unreadable()),
    };
    Ok((record, begins + length))
}

/// Over an entry's index and what it holds.
fn checksum(index: Index, body: &[u8]) -> u64 {
    let mut digest = CRC.digest();
    digest.update(&index.to_be_bytes());
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
    let mut record = checksum(entry.index, &body).to_be_bytes().to_vec();
    record.extend_from_slice(&body);
    record
}

/// The entry filed under an index.
pub(super) fn open_entry(index: Index, record: &[u8]) -> Result<Entry, StoreError> {
    let unreadable = || damaged(format!("entry {index} cannot be read"));
    let body = match record.split_first_chunk::<8>() {
        Some((sum, body)) if u64::from_be_bytes(*sum) == checksum(index, body) => body,
        _ => return Err(damaged(format!("entry {index}: the checksum is not that of what is there"))),
    };
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
