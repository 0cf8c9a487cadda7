//! The verdicts, against tiny servers of known behaviour.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::case::CaseSet;
use super::difference::Differences;
use super::kept::Kept;
use super::play::Pace;
use super::recording::{CASES_FILE, Recordings, WITH_FILE};
use super::runner::{Options, conformance, run, run_all};
use crate::results::{CaseResult, Outcome};
use crate::target::{Cluster, Node, NodeKind};

/// Answers every request with 200 and what a function makes of how many came before and the request line.
async fn server(answer: fn(usize, &str) -> String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let task = tokio::spawn(async move {
        for count in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut piece = [0; 2048];
            let read = stream.read(&mut piece).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&piece[..read]).into_owned();
            let body = answer(count, text.lines().next().unwrap_or_default());
            let head = format!("HTTP/1.1 200 \r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    (address, task)
}

fn cluster(target: &str, addresses: &[&str]) -> Cluster {
    cluster_of(NodeKind::Url, target, addresses)
}

fn cluster_of(kind: NodeKind, target: &str, addresses: &[&str]) -> Cluster {
    let node = |address: &&str| Node {
        kind,
        version: "1.4.1".to_owned(),
        launch: "already running".to_owned(),
        artifact: String::new(),
        address: (*address).to_owned(),
        context_path: "/nacos".to_owned(),
        pid: None,
        logs: None,
    };
    let nodes = addresses.iter().map(node).collect();
    Cluster::of_running(target, nodes).unwrap()
}

fn cases() -> CaseSet {
    let dir = tempfile::tempdir().expect("directory");
    let text = "area = \"x\"\norder = 1\nspec = \"s\"\nsince = \"1.4.1\"\n\
        [[case]]\nid = \"A1\"\nmethod = \"GET\"\npath = \"/a\"\nvolatile = [\"t\"]\ncluster = {}\n\
        [[case]]\nid = \"A2\"\nmethod = \"GET\"\npath = \"/b\"\n\
        [[case]]\nid = \"A3\"\nmethod = \"POST\"\npath = \"/c\"\n";
    std::fs::write(dir.path().join("x.toml"), text).expect("write");
    CaseSet::load(dir.path()).expect("cases")
}

fn options() -> Options {
    let pace = Pace { deadline: Duration::from_millis(200), ..Pace::standalone() };
    Options { pace: Some(pace), ..Options::default() }
}

fn outcomes(results: &[CaseResult], target: &str) -> Vec<(String, Outcome)> {
    results.iter().filter(|r| r.target == target).map(|r| (r.id.clone(), r.outcome)).collect()
}

#[tokio::test]
async fn a_subject_is_compared_with_the_live_reference() {
    let (one, _one) = server(|count, line| format!("{line} {{\"t\":{count}}}")).await;
    let (two, _two) =
        server(
            |count, line| {
                if line.starts_with("GET /b") { "other".to_owned() } else { format!("{line} {{\"t\":{}}}", count + 7) }
            },
        )
        .await;
    let (reference, subject) = (cluster("nacos", &[&one]), cluster("mine", &[&two]));
    let results = run(&cases(), &subject, Some(&reference), &Recordings::default(), &options()).await;
    // `t` is volatile in A1 only; the POST of A3 carries it too.
    assert_eq!(
        outcomes(&results, "mine"),
        [("A1".to_owned(), Outcome::Pass), ("A2".to_owned(), Outcome::Fail), ("A3".to_owned(), Outcome::Fail)]
    );
    // Without a recording the reference cannot be judged.
    assert!(outcomes(&results, "nacos").iter().all(|(_, outcome)| *outcome == Outcome::Skip));
    let failed = results.iter().find(|r| r.target == "mine" && r.id == "A2").expect("A2");
    assert_eq!(failed.reason, "body byte 0: `GET /b HTTP/1.1 {\"t\":1}` ≠ `other`");
    assert_eq!(failed.observed.as_ref().map(|a| a.body.as_str()), Some("other"));
    let part = conformance(Some(&reference), &Recordings::default(), results);
    assert_eq!(part.reference, "nacos");
    assert_eq!((part.summary["mine"]["x"].pass, part.summary["mine"]["x"].fail), (1, 2));
}

#[tokio::test]
async fn reads_are_repeated_and_writes_are_not() {
    let (one, _one) = server(|_, _| "ready".to_owned()).await;
    let (two, _two) = server(|count, line| {
        // The first two answers are early; the third is right, and so on to the write, which is asked once.
        if line.starts_with("POST") || count < 2 { "early".to_owned() } else { "ready".to_owned() }
    })
    .await;
    let (reference, subject) = (cluster("nacos", &[&one]), cluster("mine", &[&two]));
    let results = run(&cases(), &subject, Some(&reference), &Recordings::default(), &options()).await;
    assert_eq!(
        outcomes(&results, "mine"),
        [("A1".to_owned(), Outcome::Pass), ("A2".to_owned(), Outcome::Pass), ("A3".to_owned(), Outcome::Fail)]
    );
}

#[tokio::test]
async fn silence_is_an_error_and_what_is_kept_must_be_as_said() {
    let (one, _one) = server(|_, line| line.to_owned()).await;
    let (two, _two) = server(|_, line| if line.contains("/b") { "x".to_owned() } else { line.to_owned() }).await;
    let file = tempfile::NamedTempFile::new().expect("file");
    let table = "## Kept on purpose\n| id | what | cases |\n|--|--|--|\n| D1 | on purpose | A2 |\n\
        ## Not there yet\n| id | what | cases |\n|--|--|--|\n| N1 | to come | A3 |\n";
    std::fs::write(file.path(), table).expect("write");
    let options = Options { differences: Differences::load(file.path()).expect("differences"), ..options() };
    let reference = cluster("nacos", &[&one]);
    let (gone, other) = (cluster("gone", &["127.0.0.1:1"]), cluster_of(NodeKind::Tandem, "other", &[&two]));
    let pair = cluster("pair", &["127.0.0.1:1", "127.0.0.1:2"]);
    let results = run_all(&cases(), &[&gone, &other, &pair], Some(&reference), &Recordings::default(), &options).await;
    assert!(outcomes(&results, "gone").iter().all(|(_, outcome)| *outcome == Outcome::Error));
    let of = |results: &[CaseResult], target: &str, id: &str| {
        results.iter().find(|r| r.target == target && r.id == id).expect("a verdict").clone()
    };
    assert_eq!(of(&results, "other", "A2").outcome, Outcome::Fail, "the case does not say what is kept");
    let said = |body: &str| {
        let mut cases = cases();
        cases.cases[1].kept =
            vec![Kept { difference: "D1".to_owned(), body: Some(body.to_owned()), ..Kept::default() }];
        cases
    };
    for (body, outcome, reason) in [
        ("x", Outcome::Kept, "D1: on purpose (body byte"),
        ("y", Outcome::Fail, "differs otherwise than said: body byte 0: `y` ≠ `x` – said is D1: on purpose"),
    ] {
        let results = run(&said(body), &other, Some(&reference), &Recordings::default(), &options).await;
        let kept = of(&results, "other", "A2");
        assert!(kept.outcome == outcome && kept.reason.starts_with(reason), "{:?} {}", kept.outcome, kept.reason);
        assert_eq!((kept.difference.as_deref(), of(&results, "nacos", "A2").outcome), (Some("D1"), Outcome::Skip));
    }
    let same = cluster_of(NodeKind::Tandem, "same", &[&one]);
    let results_of_same = run(&said("x"), &same, Some(&reference), &Recordings::default(), &options).await;
    let gone = of(&results_of_same, "same", "A2");
    assert!(
        gone.outcome == Outcome::Fail && gone.reason.ends_with("is out of date: D1: on purpose"),
        "{}",
        gone.reason
    );
    let foreign = cluster("foreign", &[&two]);
    let foreign = run_all(&said("x"), &[&foreign], Some(&reference), &Recordings::default(), &options).await;
    let named = of(&foreign, "foreign", "A2");
    assert!(named.outcome == Outcome::Fail && named.difference.is_none(), "what Tandem keeps excuses nobody else");
    // Nothing was recorded for a pair; of its cases only those that are judged in a cluster show up.
    assert_eq!(outcomes(&results, "pair"), [("A1@cluster".to_owned(), Outcome::Skip)]);
}

/// Recordings in which each case has these bodies: of one server, and in a cluster of three.
fn recordings(bodies: &[(&str, &str, &str)]) -> Recordings {
    let dir = tempfile::tempdir().expect("directory");
    let place = json!({ "members": ["127.0.0.1:1"], "open_port": 1, "closed_port": 2, "udp_port": 3 });
    let with = json!({ CASES_FILE: { "how": "", "when": "", "artifacts": [],
        "places": { "standalone": place, "cluster3": place } } });
    std::fs::write(dir.path().join(WITH_FILE), with.to_string()).expect("write");
    let mut lines = String::new();
    for (id, alone, in_cluster) in bodies {
        for (topology, body) in [("standalone", alone), ("cluster3", in_cluster)] {
            let line = json!({ "id": id, "topology": topology, "method": "GET", "path": "/", "status": 200,
                "content_type": null, "body": body, "response_headers": { "content-length": "3" } });
            lines.push_str(&format!("{line}\n"));
        }
    }
    std::fs::write(dir.path().join(CASES_FILE), lines).expect("write");
    Recordings::load(dir.path()).expect("recordings")
}

fn cluster_cases(rule: &str) -> CaseSet {
    let dir = tempfile::tempdir().expect("directory");
    let text = format!(
        "area = \"x\"\norder = 1\nspec = \"s\"\nsince = \"1.4.1\"\n\
        [[case]]\nid = \"A1\"\nmethod = \"GET\"\npath = \"/a\"\ncluster = {{}}\n\
        [[case]]\nid = \"A2\"\nmethod = \"GET\"\npath = \"/a\"\n{rule}\n\
        [[case]]\nid = \"A3\"\nmethod = \"POST\"\npath = \"/c\"\n"
    );
    std::fs::write(dir.path().join("x.toml"), text).expect("write");
    CaseSet::load(dir.path()).expect("cases")
}

#[tokio::test]
async fn a_member_may_be_late_where_the_case_says_so_and_a_tandem_member_may_not() {
    let recordings = recordings(&[("A1", "old", "old"), ("A2", "new", "new")]);
    let (late, _late) = server(|_, _| "old".to_owned()).await;
    let (wrong, _wrong) = server(|count, _| if count == 0 { "old".to_owned() } else { "bad".to_owned() }).await;
    let (prompt, _prompt) = server(|count, _| if count == 0 { "old".to_owned() } else { "new".to_owned() }).await;
    let cases = cluster_cases("cluster = { late = \"delivery\" }");
    for (kind, address, outcome) in [
        (NodeKind::Nacos, &late, Outcome::Pass),
        (NodeKind::Tandem, &late, Outcome::Fail),
        (NodeKind::Nacos, &wrong, Outcome::Fail),
    ] {
        let target = cluster_of(kind, "three", &[address.as_str(); 3]);
        let results = run(&cases, &target, None, &recordings, &options()).await;
        assert_eq!(outcomes(&results, "three")[1], ("A2@cluster".to_owned(), outcome), "{kind:?}");
    }
    // A late reference is no measure: what was recorded is.
    let (reference, subject) = (
        cluster_of(NodeKind::Nacos, "nacos", &[late.as_str(); 3]),
        cluster_of(NodeKind::Tandem, "mine", &[prompt.as_str(); 3]),
    );
    let results = run(&cases, &subject, Some(&reference), &recordings, &options()).await;
    assert_eq!(outcomes(&results, "mine")[1].1, Outcome::Pass, "{results:?}");
    assert_eq!(outcomes(&results, "nacos")[1].1, Outcome::Pass, "{results:?}");
}

#[tokio::test]
async fn the_answer_of_one_server_counts_only_where_the_case_says_so() {
    let recordings = recordings(&[("A1", "old", "old"), ("A2", "new", "odd")]);
    for (rule, then, outcome) in [
        ("cluster = { or_standalone = \"reports\" }", "new", Outcome::Pass),
        ("cluster = { or_standalone = \"reports\" }", "bad", Outcome::Fail),
        ("cluster = {}", "new", Outcome::Fail),
    ] {
        let (address, _server) = match then {
            "new" => server(|count, _| if count == 0 { "old".to_owned() } else { "new".to_owned() }).await,
            _ => server(|count, _| if count == 0 { "old".to_owned() } else { "bad".to_owned() }).await,
        };
        let target = cluster_of(NodeKind::Tandem, "three", &[address.as_str(); 3]);
        let results = run(&cluster_cases(rule), &target, None, &recordings, &options()).await;
        assert_eq!(outcomes(&results, "three")[1].1, outcome, "{rule} {then}");
    }
}

#[tokio::test]
async fn what_stops_a_cluster_is_asked_only_when_that_is_allowed() {
    let recordings = recordings(&[("A1", "old", "old"), ("A2", "old", "old")]);
    let (address, _server) = server(|_, _| "old".to_owned()).await;
    let target = cluster_of(NodeKind::Url, "three", &[address.as_str(); 3]);
    let cases = cluster_cases("cluster = {}\ntags = [\"destroys-cluster\"]");
    for (destructive, outcome) in [(false, Outcome::Skip), (true, Outcome::Pass)] {
        let options = Options { destructive, ..options() };
        let results = run(&cases, &target, None, &recordings, &options).await;
        assert_eq!(outcomes(&results, "three")[1].1, outcome);
    }
}
