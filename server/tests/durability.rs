//! A node alone that is killed at any moment has every acknowledged persistent write when it comes back.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills; more of them with this variable.
const ROUNDS: u32 = 8;
const ROUNDS_VARIABLE: &str = "TANDEM_KILL_ROUNDS";
const READY_MAX: Duration = Duration::from_secs(30);

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(home: &Path, port: u16) -> Killed {
    let port = port.to_string();
    let own = ["-Dserver.address=127.0.0.1", "-Dtandem.log.level=warn"];
    let child = Command::new(env!("CARGO_BIN_EXE_tandem-server"))
        .args(["--mode", "standalone", "--ip", "127.0.0.1", "--port", &port, "--home"])
        .arg(home)
        .args(own)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Killed(child)
}

/// Status and body; nothing when the node is not there or was killed meanwhile.
fn ask(port: u16, line: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

fn wait_ready(port: u16) {
    let begun = Instant::now();
    while ask(port, "GET /nacos/v1/ns/service/list?pageNo=1&pageSize=1").is_none_or(|(status, _)| status != 200) {
        assert!(begun.elapsed() < READY_MAX, "the node does not serve");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes one instance after the other until the node is gone; those that were acknowledged.
fn write_on(port: u16, writer: u32, round: u32, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let ip = format!("10.{writer}.{round}.{n}");
        let line = format!("POST /nacos/v1/ns/instance?serviceName=s{writer}&ip={ip}&port=80&ephemeral=false");
        match ask(port, &line) {
            Some((200, body)) if body == "ok" => acknowledged.push(ip),
            Some(refused) => panic!("{ip}: {refused:?}"),
            None => break,
        }
    }
    acknowledged
}

#[test]
fn acknowledged_writes_survive_being_killed() {
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let home = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut acknowledged: [BTreeSet<String>; 3] = Default::default();
    for round in 0..rounds {
        let node = start(home.path(), port);
        wait_ready(port);
        for (writer, known) in acknowledged.iter().enumerate().filter(|(_, known)| !known.is_empty()) {
            let line = format!("GET /nacos/v1/ns/instance/list?serviceName=s{writer}");
            let (_, list) = ask(port, &line).unwrap();
            let missing: Vec<&String> = known.iter().filter(|ip| !list.contains(&format!("\"ip\":\"{ip}\""))).collect();
            assert!(missing.is_empty(), "round {round}: acknowledged and gone: {missing:?}");
        }
        let stop = AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            let stop = &stop;
            let writers: Vec<_> =
                (0..3).map(|writer| scope.spawn(move || write_on(port, writer, round, stop))).collect();
            std::thread::sleep(Duration::from_millis(100 + u64::from(round * 67 % 300)));
            drop(node);
            stop.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        for (known, written) in acknowledged.iter_mut().zip(written) {
            known.extend(written);
        }
    }
    let count: usize = acknowledged.iter().map(BTreeSet::len).sum();
    assert!(count >= 10 * rounds as usize, "too few were acknowledged to mean anything: {count}");
}
