//! A node on a free port, spoken to in raw bytes.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "a test helper panics where a test fails")]

use std::sync::Arc;
use std::time::Duration;

use tandem_server::cluster::status::ServerStatus;
use tandem_server::http::server;
use tandem_server::node::Node;
use tandem_server::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A node that serves until dropped.
pub struct Server {
    pub node: Arc<Node>,
    pub port: u16,
    stop: Option<oneshot::Sender<()>>,
    pub serving: JoinHandle<std::io::Result<()>>,
    _home: tempfile::TempDir,
}

/// One answer, head and body as sent.
#[derive(Debug)]
pub struct Raw {
    pub head: String,
    pub body: String,
}

impl Raw {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Server {
    /// A node alone, or a member of a cluster that has joined no group.
    pub async fn start(standalone: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        let settings = Settings::loopback(home.path(), port);
        let node = Node::new(Settings { standalone, ..settings });
        if standalone {
            node.start().await.unwrap();
            while node.status.current() != ServerStatus::Up {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } else {
            node.status.consensus_is_ready();
            node.status.serves();
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&node), async {
            let _ = stopped.await;
        }));
        Server { node, port, stop: Some(stop), serving, _home: home }
    }

    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Sends a request line with a Host header and nothing else.
    pub async fn ask(&self, line: &str) -> Raw {
        self.send(line, &[], "").await
    }

    pub async fn send(&self, line: &str, headers: &[&str], body: &str) -> Raw {
        let mut request = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", self.port);
        for header in headers {
            request += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += body;
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read(&mut stream).await
    }
}

/// Reads one answer by its framing.
pub async fn read(stream: &mut TcpStream) -> Raw {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "closed: {}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut rest = bytes[head_end + 4..].to_vec();
    let lower = head.to_lowercase();
    let body = if lower.contains("transfer-encoding: chunked") {
        while !rest.ends_with(b"0\r\n\r\n") {
            assert!(stream.read_buf(&mut rest).await.unwrap() > 0);
        }
        let mut body = Vec::new();
        let mut chunks = rest.as_slice();
        loop {
            let line = chunks.windows(2).position(|window| window == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&chunks[..line]).unwrap(), 16).unwrap();
            if size == 0 {
                break body;
            }
            body.extend_from_slice(&chunks[line + 2..line + 2 + size]);
            chunks = &chunks[line + 4 + size..];
        }
    } else {
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let length: usize = length.parse().unwrap();
        while rest.len() < length {
            assert!(stream.read_buf(&mut rest).await.unwrap() > 0);
        }
        rest
    };
    Raw { head, body: String::from_utf8(body).unwrap() }
}
