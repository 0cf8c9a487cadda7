use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;
use crate::raft::core::{Configuration, Payload, PeerId};

fn entry(index: Index, term: Term, data: &str) -> Entry {
    Entry { index, term, payload: Payload::Data(data.as_bytes().to_vec().into()) }
}

fn peer(port: u16) -> PeerId {
    PeerId::parse(&format!("127.0.0.1:{port}")).unwrap()
}

fn snapshot(index: Index, term: Term) -> SnapshotMeta {
    let configuration = Configuration::of([peer(7848), peer(7858)]);
    SnapshotMeta { last_included_index: index, last_included_term: term, configuration }
}

fn indices(store: &RedbStore, from: Index, to: Index) -> Vec<Index> {
    store.entries(from, to, usize::MAX).unwrap().iter().map(|entry| entry.index).collect()
}

#[test]
fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let hard_state = HardState { term: 7, voted_for: Some(peer(7848)), newcomer: false };
    let configuration = Payload::Configuration(Configuration {
        peers: vec![peer(7848)],
        old_peers: vec![peer(7858)],
        ..Configuration::default()
    });
    let joint = Entry { index: 2, term: 7, payload: configuration };
    let no_op = Entry { index: 3, term: 7, payload: Payload::NoOp };
    {
        let store = RedbStore::open(folder.path()).unwrap();
        assert_eq!(
            store.load().unwrap(),
            Stored {
                first_index: 1,
                hard_state: HardState { newcomer: true, ..HardState::default() },
                ..Stored::default()
            }
        );
        let entries = vec![entry(1, 7, "a"), joint.clone(), no_op.clone()];
        store.write(&[Change::HardState(hard_state.clone()), Change::Append(entries)]).unwrap();
        store.write(&[Change::HardState(HardState { voted_for: None, ..hard_state.clone() })]).unwrap();
        store.write(&[Change::HardState(hard_state.clone())]).unwrap();
    }
    let store = RedbStore::open(folder.path()).unwrap();
    let stored = store.load().unwrap();
    assert_eq!(stored, Stored { hard_state, first_index: 1, last_index: 3, ..Stored::default() });
    assert_eq!(store.entries(1, 3, usize::MAX).unwrap(), [entry(1, 7, "a"), joint, no_op]);
    assert_eq!(
        (store.term_at(3).unwrap(), store.term_at(4).unwrap(), store.term_at(0).unwrap()),
        (Some(7), None, None)
    );
    assert!(RedbStore::open(folder.path()).is_err_and(|error| error.to_string().contains("in use")));
}

#[test]
fn both_ends_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    store.write(&[Change::Append((1..=9).map(|index| entry(index, 1, "xx")).collect())]).unwrap();
    store.write(&[Change::TruncateSuffix(7), Change::Append(vec![entry(7, 2, "y")])]).unwrap();
    store.write(&[Change::Snapshot(snapshot(4, 1)), Change::TruncatePrefix(4)]).unwrap();
    assert_eq!(indices(&store, 4, 9), [4, 5, 6, 7]);
    assert_eq!((store.term_at(7).unwrap(), store.term_at(3).unwrap()), (Some(2), None));
    assert_eq!(store.entries(4, 7, 3).unwrap().len(), 1);
    assert_eq!(store.entries(4, 7, 4).unwrap().len(), 2);
    assert!(store.entries(3, 7, 9).is_err() && store.entries(8, 8, 9).is_err());
    drop(store);
    let store = RedbStore::open(folder.path()).unwrap();
    let stored = store.load().unwrap();
    assert_eq!((stored.first_index, stored.last_index, &stored.snapshot), (4, 7, &snapshot(4, 1)));
    store.write(&[Change::TruncatePrefix(8)]).unwrap();
    assert_eq!(store.load().map(|stored| (stored.first_index, stored.last_index)).unwrap(), (8, 7));
    // A snapshot of the leader replaces everything.
    store.write(&[Change::Reset(snapshot(100, 5)), Change::Append(vec![entry(101, 5, "z")])]).unwrap();
    let stored = store.load().unwrap();
    assert_eq!((stored.first_index, stored.last_index, store.term_at(100).unwrap()), (101, 101, Some(5)));
    assert!(store.write(&[Change::Append(vec![entry(103, 5, "gap")])]).is_err());
    assert_eq!(store.load().unwrap().last_index, 101, "all or nothing");
}

#[test]
fn a_long_log_goes_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    store.write(&[Change::Append((1..=1_000).map(|index| entry(index, 1, "x")).collect())]).unwrap();
    store.write(&[Change::Snapshot(snapshot(990, 1)), Change::TruncatePrefix(991)]).unwrap();
    assert_eq!(store.term_at(1).unwrap(), None);
    drop(store);
    let store = RedbStore::open(folder.path()).unwrap();
    let stored = store.load().unwrap();
    assert_eq!((stored.first_index, stored.last_index), (991, 1_000), "what is left of the others is none of it");
    for index in 1_001..1_006 {
        store.write(&[Change::Append(vec![entry(index, 1, "y")])]).unwrap();
    }
    assert_eq!((store.term_at(989).unwrap(), indices(&store, 991, 1_005).len()), (None, 15));
}

/// What a child process of `survives_being_killed` does: appends until it dies, and says what is durable.
#[test]
#[ignore = "run by survives_being_killed, in a process of its own"]
fn child_that_appends() {
    let Ok(folder) = std::env::var("STORE_TEST_FOLDER") else { return };
    let store = RedbStore::open(&PathBuf::from(folder)).unwrap();
    let mut last = store.load().unwrap().last_index;
    loop {
        let batch: Vec<Entry> = (1..=1 + last % 5).map(|add| entry(last + add, 1, &"x".repeat(700))).collect();
        last = batch.last().unwrap().index;
        store
            .write(&[Change::HardState(HardState { term: last, ..HardState::default() }), Change::Append(batch)])
            .unwrap();
        println!("durable {last}");
        if last % 50 < 5 {
            store.write(&[Change::Snapshot(snapshot(last - 1, 1)), Change::TruncatePrefix(last - 1)]).unwrap();
        }
    }
}

#[test]
fn survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "raft::store::tests::child_that_appends", "--ignored", "--nocapture"])
            .env("STORE_TEST_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let begun = lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("durable ")?.parse().ok());
        durable = begun.unwrap();
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            durable = line.strip_prefix("durable ").and_then(|last| last.parse().ok()).unwrap_or(durable);
        }
        let store = RedbStore::open(folder.path()).unwrap();
        let stored = store.load().unwrap();
        assert!(stored.last_index >= durable, "round {round}: {durable} was durable, {stored:?}");
        assert!(stored.hard_state.term >= durable && stored.hard_state.term == stored.last_index);
        assert_eq!(store.term_at(stored.last_index).unwrap(), Some(1));
    }
    assert!(durable > 100, "too little was written to mean anything: {durable}");
}

/// A store of 40 entries as it lies on disk after a clean end.
fn written() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    store.write(&[Change::HardState(HardState { term: 3, voted_for: Some(peer(7848)), newcomer: true })]).unwrap();
    for index in 1..=40 {
        store.write(&[Change::Append(vec![entry(index, 3, &format!("{index}").repeat(300))])]).unwrap();
    }
    drop(store);
    std::fs::read(folder.path().join("log.redb")).unwrap()
}

/// What a store in these bytes holds, all of it read.
fn reopened(bytes: &[u8]) -> Result<(Stored, Vec<Entry>), StoreError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.redb"), bytes).unwrap();
    let store = RedbStore::open(folder.path())?;
    let stored = store.load()?;
    let entries = store.entries(stored.first_index, stored.last_index, usize::MAX)?;
    Ok((stored, entries))
}

#[test]
fn what_the_medium_damaged_is_never_served() {
    let whole = written();
    let right = reopened(&whole).unwrap();
    assert_eq!(right.1.len(), 40);
    let (mut refused, mut unharmed) = (0, 0);
    // Every 97th byte of the file, one at a time: where it matters it is refused, elsewhere nothing changes.
    for at in (0..whole.len()).step_by(whole.len() / 300) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        match std::panic::catch_unwind(|| reopened(&bytes)) {
            Ok(Ok(served)) => {
                assert_eq!(served, right, "byte {at}");
                unharmed += 1;
            }
            Ok(Err(_)) => refused += 1,
            Err(_) => panic!("a panic over byte {at}"),
        }
    }
    assert!(refused > 10 && unharmed > 10, "{refused} refused, {unharmed} unharmed");
    for length in [0, 1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        assert!(reopened(whole.get(..length).unwrap()).is_err(), "cut to {length}");
    }
    assert!(reopened(&vec![0; whole.len()]).is_err());
    assert!(reopened(b"something else entirely").is_err());
}

/// A medium that is full after so many bytes.
#[derive(Debug)]
struct Small {
    inner: InMemoryBackend,
    left: AtomicU64,
}

impl StorageBackend for Small {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let take = |left: u64| left.checked_sub(data.len() as u64);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => self.inner.write(offset, data),
            Err(_) => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }
}

#[test]
fn a_full_medium_is_an_error_in_words() {
    let backend = Small { inner: InMemoryBackend::new(), left: AtomicU64::new(3_000_000) };
    let database = redb::Builder::new().create_with_backend(backend).unwrap();
    file::tables(&database).unwrap();
    let store = RedbStore::new(database);
    let mut index = 0;
    let error = loop {
        index += 1;
        assert!(index < 10_000, "it never was full");
        if let Err(error) = store.write(&[Change::Append(vec![entry(index, 1, &"x".repeat(2_000))])]) {
            break error;
        }
    };
    assert!(index > 5 && matches!(&error, StoreError::Io(_)), "{error:?}");
    assert!(error.to_string().contains("full") || error.to_string().contains("space"), "{error}");
    let again = store.write(&[Change::Append(vec![entry(index, 1, "x")])]);
    assert!(again.is_err(), "nothing may be counted on after it");
    let _ = io::stderr().flush();
}
