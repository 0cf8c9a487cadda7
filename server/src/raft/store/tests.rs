use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::raft::core::{HardState, PeerId, SnapshotMeta};

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

fn indices(store: &Journal, from: Index, to: Index) -> Vec<Index> {
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
        let store = Journal::open(folder.path()).unwrap();
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
    let store = Journal::open(folder.path()).unwrap();
    let stored = store.load().unwrap();
    assert_eq!(stored, Stored { hard_state, first_index: 1, last_index: 3, ..Stored::default() });
    assert_eq!(store.entries(1, 3, usize::MAX).unwrap(), [entry(1, 7, "a"), joint, no_op]);
    assert_eq!(
        (store.term_at(3).unwrap(), store.term_at(4).unwrap(), store.term_at(0).unwrap()),
        (Some(7), None, None)
    );
    assert!(Journal::open(folder.path()).is_err_and(|error| error.to_string().contains("in use")));
}

#[test]
fn both_ends_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let store = Journal::open(folder.path()).unwrap();
    store.write(&[Change::Append((1..=9).map(|index| entry(index, 1, "xx")).collect())]).unwrap();
    store.write(&[Change::TruncateSuffix(7), Change::Append(vec![entry(7, 2, "y")])]).unwrap();
    store.write(&[Change::Snapshot(snapshot(4, 1)), Change::TruncatePrefix(4)]).unwrap();
    assert_eq!(indices(&store, 4, 9), [4, 5, 6, 7]);
    assert_eq!((store.term_at(7).unwrap(), store.term_at(3).unwrap()), (Some(2), None));
    assert_eq!(store.entries(4, 7, 3).unwrap().len(), 1);
    assert_eq!(store.entries(4, 7, 4).unwrap().len(), 2);
    assert!(store.entries(3, 7, 9).is_err() && store.entries(8, 8, 9).is_err());
    drop(store);
    let store = Journal::open(folder.path()).unwrap();
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
fn files_that_are_not_needed_go() {
    let folder = tempfile::tempdir().unwrap();
    let files = || segment::numbers(folder.path()).unwrap();
    let store = Journal::open(folder.path()).unwrap();
    let text = "x".repeat(1024 * 1024);
    store.write(&[Change::HardState(HardState { term: 1, ..HardState::default() })]).unwrap();
    for index in 1..=30 {
        store.write(&[Change::Append(vec![entry(index, 1, &text)])]).unwrap();
    }
    assert_eq!(files(), [1, 2, 3, 4]);
    store.write(&[Change::Snapshot(snapshot(20, 1)), Change::TruncatePrefix(18)]).unwrap();
    assert_eq!(files(), [3, 4]);
    drop(store);
    let store = Journal::open(folder.path()).unwrap();
    let stored = store.load().unwrap();
    assert_eq!((stored.first_index, stored.last_index, stored.hard_state.term), (18, 30, 1));
    assert_eq!((stored.snapshot, indices(&store, 18, 30).len()), (snapshot(20, 1), 13));
    store.write(&[Change::Reset(snapshot(100, 5))]).unwrap();
    assert_eq!(files(), [4]);
    store.write(&[Change::Append(vec![entry(101, 5, "x")])]).unwrap();
    drop(store);
    let store = Journal::open(folder.path()).unwrap();
    assert_eq!((store.load().unwrap().first_index, indices(&store, 101, 101)), (101, vec![101]));
    // One that is missing in between is noticed.
    for index in 102..=120 {
        store.write(&[Change::Append(vec![entry(index, 5, &text)])]).unwrap();
    }
    drop(store);
    assert!(files().len() > 2);
    std::fs::remove_file(segment::path(folder.path(), 5)).unwrap();
    assert!(matches!(Journal::open(folder.path()), Err(StoreError::Damaged(_))));
}

/// What a child process of `survives_being_killed` does: appends until it dies, and says what is durable.
#[test]
#[ignore = "run by survives_being_killed, in a process of its own"]
fn child_that_appends() {
    let Ok(folder) = std::env::var("STORE_TEST_FOLDER") else { return };
    let store = Journal::open(&PathBuf::from(folder)).unwrap();
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
        let store = Journal::open(folder.path()).unwrap();
        let stored = store.load().unwrap();
        assert!(stored.last_index >= durable, "round {round}: {durable} was durable, {stored:?}");
        assert!(stored.hard_state.term >= durable && stored.hard_state.term == stored.last_index);
        assert_eq!(store.term_at(stored.last_index).unwrap(), Some(1));
    }
    assert!(durable > 100, "too little was written to mean anything: {durable}");
}

/// A store of 40 entries as it lies on disk.
fn written() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = Journal::open(folder.path()).unwrap();
    store.write(&[Change::HardState(HardState { term: 3, voted_for: Some(peer(7848)), newcomer: true })]).unwrap();
    for index in 1..=40 {
        store.write(&[Change::Append(vec![entry(index, 3, &format!("{index}").repeat(300))])]).unwrap();
    }
    drop(store);
    std::fs::read(segment::path(folder.path(), 1)).unwrap()
}

/// What a store in these bytes holds, all of it read.
fn reopened(bytes: &[u8]) -> Result<(Stored, Vec<Entry>), StoreError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(segment::path(folder.path(), 1), bytes).unwrap();
    let store = Journal::open(folder.path())?;
    let stored = store.load()?;
    let entries = store.entries(stored.first_index, stored.last_index, usize::MAX)?;
    // It can be added to.
    store.write(&[Change::Append(vec![entry(stored.last_index + 1, 9, "more")])])?;
    drop(store);
    assert_eq!(Journal::open(folder.path())?.load()?.last_index, stored.last_index + 1);
    Ok((stored, entries))
}

#[test]
fn what_the_medium_damaged_is_never_served() {
    let whole = written();
    assert_eq!(reopened(&whole).unwrap().1.len(), 40);
    let last = whole.len() - 700;
    for at in (0..last).step_by(97).chain(last..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(matches!(reopened(&bytes), Err(StoreError::Damaged(_))), "byte {at} of {}", whole.len());
    }
    assert!(reopened(&vec![0; whole.len()]).is_err());
    assert!(reopened(b"").is_err());
    assert!(reopened(b"something else entirely, and long enough for a head").is_err());
}

#[test]
fn what_a_crash_left_half_written_is_dropped() {
    let whole = written();
    let right = reopened(&whole).unwrap();
    // The 40 batches are of much the same length; the last ones are cut anywhere.
    for cut in (1..2_000).step_by(13) {
        let (stored, entries) = reopened(&whole[..whole.len() - cut]).unwrap();
        assert_eq!((stored.hard_state, stored.first_index), (right.0.hard_state.clone(), 1));
        assert!(entries.len() < 40 && entries.len() >= 36 && entries[..] == right.1[..entries.len()], "cut by {cut}");
        // As long as it was to be, and never written from there on: the file grew before its content was there.
        let mut bytes = whole[..whole.len() - cut].to_vec();
        bytes.resize(whole.len(), 0);
        if cut > 512 && cut < 600 {
            assert_eq!(reopened(&bytes).unwrap().1.len(), 39);
        }
    }
}

#[test]
fn a_medium_that_refuses_for_a_while_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = Journal::open(folder.path()).unwrap();
    store.write(&[Change::Append(vec![entry(1, 1, "x")])]).unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let file = store.writer.lock().swap(full);
    for _ in 0..2 {
        let error = store.write(&[Change::Append(vec![entry(2, 1, "y")])]).unwrap_err();
        assert!(matches!(error, StoreError::Io(_)), "{error}");
    }
    assert_eq!((indices(&store, 1, 1), store.load().unwrap().last_index), (vec![1], 1));
    // Something of it may have got there.
    std::os::unix::fs::FileExt::write_all_at(&file, b"something", file.metadata().unwrap().len()).unwrap();
    drop(store.writer.lock().swap(file));
    store.write(&[Change::Append(vec![entry(2, 1, "y"), entry(3, 1, "z")])]).unwrap();
    assert_eq!(indices(&store, 1, 3), [1, 2, 3]);
    drop(store);
    let store = Journal::open(folder.path()).unwrap();
    assert_eq!((store.load().unwrap().last_index, indices(&store, 1, 3)), (3, vec![1, 2, 3]));
}
