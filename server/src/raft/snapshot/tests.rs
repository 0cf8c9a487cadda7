use bytes::Bytes;

use super::*;
use crate::raft::core::{Configuration, PeerId};

fn meta(index: Index) -> SnapshotMeta {
    let peers = ["127.0.0.1:7848", "127.0.0.1:7858"].map(|peer| PeerId::parse(peer).unwrap());
    SnapshotMeta { last_included_index: index, last_included_term: 3, configuration: Configuration::of(peers) }
}

fn held() -> KeyValues {
    [
        ("com.alibaba.nacos.naming.domains.meta.public##DEFAULT_GROUP@@s", "{\"key\":1}"),
        ("com.alibaba.nacos.naming.iplist.other##DEFAULT_GROUP@@s:x", "{\"key\":2}"),
        ("com.alibaba.nacos.naming.domains.meta.00-00---000-NACOS_SWITCH_DOMAIN-000---00-00", "{}"),
        ("unknown", ""),
    ]
    .map(|(key, value)| (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes())))
    .into()
}

/// The way a follower does it, in chunks.
fn fetch(from: &Archive, index: Index, file: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let chunk = from.read(index, file, bytes.len() as u64, 100).unwrap().unwrap();
        bytes.extend_from_slice(&chunk.data);
        if chunk.eof {
            return bytes;
        }
    }
}

#[test]
fn one_node_restores_another() {
    let (leader_dir, follower_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let leader = Archive::open(leader_dir.path()).unwrap();
    assert_eq!((leader.load().unwrap(), leader.latest().unwrap()), (None, None));
    leader.save(&meta(28), &held()).unwrap();
    assert_eq!(leader.load().unwrap(), Some((meta(28), held())));

    let follower = Archive::open(follower_dir.path()).unwrap();
    let record = fetch(&leader, 28, META_FILE);
    let mut incoming = follower.receive().unwrap();
    for chunk in fetch(&leader, 28, ARCHIVE_FILE).chunks(64) {
        incoming.write(ARCHIVE_FILE, chunk).unwrap();
    }
    assert_eq!(incoming.finish(&record).unwrap(), meta(28));
    assert_eq!(Archive::open(follower_dir.path()).unwrap().load().unwrap(), Some((meta(28), held())));
    assert_eq!(leader.read(27, ARCHIVE_FILE, 0, 9).unwrap(), None);
    assert_eq!(leader.read(28, "../snapshot_28/__raft_snapshot_meta", 0, 9).unwrap(), None);
}

#[test]
fn a_damaged_one_is_refused_and_the_former_stays() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    archive.save(&meta(5), &held()).unwrap();
    let record = fetch(&archive, 5, META_FILE);
    let zip = fetch(&archive, 5, ARCHIVE_FILE);
    let receive = |name: &str, bytes: &[u8], record: &[u8]| {
        let mut incoming = archive.receive()?;
        incoming.write(name, bytes)?;
        incoming.finish(record)
    };
    // compat/spec/jraft.md §14, B-20
    for at in [0, zip.len() / 2, zip.len() - 1] {
        let mut altered = zip.clone();
        altered[at] ^= 1;
        assert!(matches!(receive(ARCHIVE_FILE, &altered, &record), Err(StoreError::Damaged(_))));
    }
    assert!(receive(ARCHIVE_FILE, zip.get(1..).unwrap(), &record).is_err());
    assert!(receive("other", &zip, &record).is_err(), "a file is missing");
    assert!(receive("../x", &zip, &record).is_err());
    assert!(receive(ARCHIVE_FILE, &zip, b"\xff\xff").is_err());
    assert_eq!(archive.load().unwrap(), Some((meta(5), held())));
    assert_eq!(archive.names().unwrap(), ["snapshot_5"], "nothing is left behind");

    let path = dir.path().join("snapshot_5").join(ARCHIVE_FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 4;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(archive.load(), Err(StoreError::Damaged(_))));
    fs::write(dir.path().join("snapshot_5").join(META_FILE), b"half").unwrap();
    assert!(matches!(archive.load(), Err(StoreError::Damaged(_))));
}

#[test]
fn two_are_kept_and_unfinished_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    for index in [7, 9, 9, 100] {
        archive.save(&meta(index), &held()).unwrap();
    }
    assert_eq!(archive.indices().unwrap(), [9, 100]);
    for unfinished in ["temp", "receiving_0"] {
        fs::create_dir(dir.path().join(unfinished)).unwrap();
        fs::write(dir.path().join(unfinished).join(ARCHIVE_FILE), b"half").unwrap();
    }
    let archive = Archive::open(dir.path()).unwrap();
    assert_eq!(archive.latest().unwrap(), Some(meta(100)));
    assert_eq!(archive.names().unwrap().len(), 2);
}

#[test]
fn checksums_are_those_of_official_nodes() {
    // The check value of CRC-64/ECMA-182; that official members use it: compat/spec/jraft.md §7.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, b"123456789").unwrap();
    assert_eq!(archive::checksum(&path).unwrap(), "6c40df5f0b497347");
    fs::write(&path, b"").unwrap();
    assert_eq!(archive::checksum(&path).unwrap(), "0");
    let record = meta::FilesMeta::new(&meta(1), &[(ARCHIVE_FILE, "f38c22e6aedb0382")]);
    let user_meta = br#"{"fileMeta":{"checkSum":"f38c22e6aedb0382"}}"#;
    let wire = record.to_wire();
    assert!(wire.windows(user_meta.len()).any(|window| window == user_meta));
    assert_eq!(meta::FilesMeta::from_disk(&record.to_disk()).unwrap(), record);
    assert!(record.to_disk().starts_with(b"\0\0\0\x19jraft.LocalSnapshotPbMeta"));
}
