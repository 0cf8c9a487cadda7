//! What other members see on the port (compat/spec/jraft.md §4, error answers).

use std::sync::Arc;
use std::time::Duration;

use super::{CLI, METHOD, RAFT, wire};
use crate::raft::core::message::{AppendKind, AppendRequest, LogId, Request};
use crate::raft::core::{Entry, Payload, PeerId};
use crate::raft::driver::tests::{cluster, leader};
use crate::raft::rpc::{ErrorResponse, GetLeaderRequest, GetLeaderResponse, RaftClient};
use crate::raft::transport::convert;
use prost::Message as _;

const WAIT: Duration = Duration::from_secs(10);

async fn call<Q, A>(client: &RaftClient, at: &str, prefix: &str, name: &str, message: Q) -> Result<A, tonic::Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    // The client takes constants only.
    let path: &'static str = Box::leak(format!("{prefix}{name}{METHOD}").into_boxed_str());
    client.call(at, path, message, WAIT).await
}

fn said(error: Option<ErrorResponse>) -> (i32, String) {
    error.map(|error| (error.error_code, error.error_msg.unwrap_or_default())).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_official_members() {
    let (nodes, _) = cluster(3).await;
    let leading = leader(&nodes).await;
    let client = Arc::new(RaftClient::default());
    let client = &*client;
    let at = nodes[leading].group.me().to_string();
    let at = at.as_str();
    let follower = nodes[(leading + 1) % 3].group.me().to_string();

    let pong: ErrorResponse =
        call(client, at, RAFT, "PingRequest", wire::PingRequest { send_timestamp: 1 }).await.unwrap();
    assert_eq!((pong.error_code, pong.error_msg.as_deref()), (0, Some("OK")));

    let known = GetLeaderRequest { group_id: "g".to_owned(), peer_id: None };
    let answer: GetLeaderResponse = call(client, at, CLI, "GetLeaderRequest", known).await.unwrap();
    assert_eq!(answer.leader_id, at);
    let unknown = GetLeaderRequest { group_id: "nosuch".to_owned(), peer_id: None };
    let answer: GetLeaderResponse = call(client, at, CLI, "GetLeaderRequest", unknown).await.unwrap();
    assert_eq!(said(answer.error_response), (1012, "No nodes in group nosuch".to_owned()));

    let peers = |group: &str| wire::GetPeersRequest { group_id: group.to_owned(), ..Default::default() };
    let answer: wire::GetPeersResponse = call(client, at, CLI, "GetPeersRequest", peers("g")).await.unwrap();
    assert_eq!((answer.peers.len(), answer.error_response), (3, None));
    let answer: wire::GetPeersResponse = call(client, &follower, CLI, "GetPeersRequest", peers("g")).await.unwrap();
    assert_eq!(said(answer.error_response), (-1, "handleRequest internal error".to_owned()));
    let answer: wire::GetPeersResponse = call(client, at, CLI, "GetPeersRequest", peers("nosuch")).await.unwrap();
    assert_eq!(said(answer.error_response), (1012, "Empty nodes in group nosuch".to_owned()));

    let vote = |from: &str, to: &str, term: i64| wire::RequestVoteRequest {
        group_id: "g".to_owned(),
        server_id: from.to_owned(),
        peer_id: to.to_owned(),
        term,
        last_log_term: 1_000,
        last_log_index: 1_000,
        pre_vote: true,
    };
    let answer = |request| call::<_, wire::RequestVoteResponse>(client, at, RAFT, "RequestVoteRequest", request);
    let elsewhere = answer(vote(&follower, "127.0.0.1:9", 9)).await.unwrap();
    assert_eq!(said(elsewhere.error_response), (1012, "Peer id not found: 127.0.0.1:9, group: g".to_owned()));
    let garbage = answer(vote("xx", at, 9)).await.unwrap();
    assert_eq!(said(garbage.error_response), (1015, "Parse candidateId failed: xx.".to_owned()));
    // The lease lives; and a stranger gets none anyhow.
    for from in [follower.as_str(), "127.0.0.1:9"] {
        let refused = answer(vote(from, at, 9)).await.unwrap();
        assert_eq!((refused.granted, refused.error_response), (false, None));
        assert_eq!(refused.term as u64, nodes[leading].group.status().term);
    }

    let stale = wire::AppendEntriesRequest {
        group_id: "g".to_owned(),
        server_id: follower.clone(),
        peer_id: at.to_owned(),
        ..Default::default()
    };
    let answer: wire::AppendEntriesResponse = call(client, at, RAFT, "AppendEntriesRequest", stale).await.unwrap();
    assert_eq!((answer.success, answer.error_response), (false, None));
    assert_eq!(answer.term as u64, nodes[leading].group.status().term);

    let read = |from: &str| wire::ReadIndexRequest {
        group_id: "g".to_owned(),
        server_id: from.to_owned(),
        entries: vec![bytes::Bytes::new()],
        peer_id: Some(at.to_owned()),
    };
    let answer: wire::ReadIndexResponse =
        call(client, at, RAFT, "ReadIndexRequest", read("127.0.0.1:9")).await.unwrap();
    let (code, text) = said(answer.error_response);
    assert_eq!(code, 1008);
    assert!(text.starts_with("Peer 127.0.0.1:9 is not in current configuration: "), "{text}");
    let answer: wire::ReadIndexResponse = call(client, at, RAFT, "ReadIndexRequest", read(&follower)).await.unwrap();
    assert!(answer.success && answer.index >= 1, "{answer:?}");

    let file = wire::GetFileRequest {
        reader_id: 12345,
        filename: "__raft_snapshot_meta".to_owned(),
        count: 1_000,
        offset: 0,
        read_partly: Some(true),
    };
    let answer: wire::GetFileResponse = call(client, at, RAFT, "GetFileRequest", file).await.unwrap();
    assert_eq!(said(answer.error_response), (1012, "Fail to find reader=12345".to_owned()));

    let status = call::<_, ErrorResponse>(client, at, "/foo.", "Bar", wire::PingRequest { send_timestamp: 1 }).await;
    let status = status.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::Unimplemented, "Method not found: foo.Bar/_call"));
}

#[test]
fn heartbeats_and_probes_are_told_apart_as_captured() {
    // compat/spec/jraft.md §5: captured between official members.
    let peer = |text: &str| PeerId::parse(text).unwrap();
    let append = |kind| AppendRequest {
        from: peer("127.0.0.1:8310"),
        term: 1,
        prev: LogId { term: 1, index: 2 },
        entries: Vec::new(),
        committed: 2,
        kind,
    };
    let encoded = |kind| {
        let message = convert::append_message("nacos_config", &peer("127.0.0.1:8320"), &append(kind));
        message.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let heartbeat = "0a0c6e61636f735f636f6e666967120e3132372e302e302e313a383331301a0e3132372e302e302e313a38333230\
                     2001280130024002";
    assert_eq!(encoded(AppendKind::Heartbeat), heartbeat);
    assert_eq!(encoded(AppendKind::Probe), format!("{heartbeat}4a00"));
    for kind in [AppendKind::Heartbeat, AppendKind::Probe] {
        let message = convert::append_message("g", &peer("h:1"), &append(kind));
        assert_eq!(convert::append_request(message).unwrap(), Request::Append(append(kind)));
    }
}

#[test]
fn entries_are_cut_as_their_lengths_say_and_no_further() {
    let peer = |text: &str| PeerId::parse(text).unwrap();
    let entry = |index, data: &'static [u8]| Entry { index, term: 3, payload: Payload::Data(data.into()) };
    let append = AppendRequest {
        from: peer("h:1"),
        term: 3,
        prev: LogId { term: 2, index: 6 },
        entries: vec![entry(7, b"ab"), entry(8, b""), entry(9, b"c")],
        committed: 6,
        kind: AppendKind::Entries,
    };
    let message = convert::append_message("g", &peer("h:2"), &append);
    assert_eq!(message.data.as_deref(), Some(b"abc".as_slice()));
    assert_eq!(convert::append_request(message.clone()).unwrap(), Request::Append(append));
    for (what, broken) in [
        ("too long", wire::EntryMeta { data_len: Some(9), ..message.entries[0].clone() }),
        ("negative", wire::EntryMeta { data_len: Some(-1), ..message.entries[0].clone() }),
        ("unknown", wire::EntryMeta { r#type: 9, ..message.entries[0].clone() }),
        ("no term", wire::EntryMeta { term: -1, ..message.entries[0].clone() }),
    ] {
        let mut message = message.clone();
        message.entries[0] = broken;
        assert!(convert::append_request(message).is_err(), "{what}");
    }
}
