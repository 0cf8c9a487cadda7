//! The harness as a member: answers what the case says and keeps what it was sent.

use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::case::Scripted;
use crate::recorder::{Message, Requests};

/// Requests kept of one case.
const KEPT_MAX: usize = 1000;

#[derive(Debug, Default)]
struct State {
    script: Vec<Scripted>,
    received: Vec<Message>,
}

/// An endpoint of the harness that members can be told to ask.
#[derive(Debug)]
pub struct Foreign {
    /// `ip:port`.
    pub address: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Foreign {
    /// Opens it; until told otherwise it answers 404.
    pub async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the harness cannot open a port")?;
        let address = listener.local_addr().context("the harness' port has no address")?.to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, shared.clone()));
                }
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, state, accepting })
    }

    /// Forgets what came and answers like this from now on.
    pub fn script(&self, script: Vec<Scripted>) {
        *self.state.lock() = State { script, received: Vec::new() };
    }

    /// What came since [`Self::script`].
    pub fn received(&self) -> Vec<Message> {
        self.state.lock().received.clone()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut requests = Requests::default();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        for request in requests.push(piece.get(..count).unwrap_or_default()) {
            let answer = answer(&mut state.lock(), request);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

fn answer(state: &mut State, request: Message) -> Vec<u8> {
    let path = request.target().split('?').next().unwrap_or_default();
    let found = state.script.iter().find(|scripted| scripted.path == path);
    let (status, content_type, body) = match found {
        Some(scripted) => (scripted.status, scripted.content_type.as_str(), scripted.body.as_str()),
        None => (404, "text/plain;charset=UTF-8", "no such api"),
    };
    let length = body.len();
    let text = format!("HTTP/1.1 {status} \r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}");
    if state.received.len() < KEPT_MAX {
        state.received.push(request);
    }
    text.into_bytes()
}
