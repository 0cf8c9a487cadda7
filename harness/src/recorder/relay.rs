//! One connection: every byte goes on at once and unchanged, in both directions, and a copy is read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::log::{Log, Sender};
use super::parse::{Message, Parser, Side};

/// Bytes moved at a time.
const PIECE: usize = 64 * 1024;

/// What is known about the requests and answers of one connection.
#[derive(Debug)]
struct Tap {
    log: Arc<Log>,
    sender: Arc<OnceLock<Sender>>,
    receiver: usize,
    requests: Parser,
    answers: Parser,
    /// Requests without an answer: number in the log, method.
    open: VecDeque<(u64, String)>,
    /// Answers that were complete before their request was.
    early: VecDeque<Message>,
}

impl Tap {
    fn request_bytes(&mut self, bytes: &[u8]) {
        let mut complete = Vec::new();
        self.requests.push(bytes, &mut String::new, &mut |message| complete.push(message));
        for request in complete {
            let method = request.method().to_owned();
            let number = self.log.asked(self.sender.clone(), self.receiver, request);
            match self.early.pop_front() {
                Some(answer) => self.log.answered(number, answer),
                None => self.open.push_back((number, method)),
            }
        }
    }

    fn answer_bytes(&mut self, bytes: &[u8]) {
        let complete = RefCell::new(Vec::new());
        let open = &self.open;
        // Several answers may be in one piece: one that begins belongs to the request behind those answered here.
        let mut method = || open.get(complete.borrow().len()).map(|(_, method)| method.clone()).unwrap_or_default();
        self.answers.push(bytes, &mut method, &mut |message| complete.borrow_mut().push(message));
        complete.into_inner().into_iter().for_each(|answer| self.answered(answer));
    }

    fn answers_end(&mut self) {
        let mut complete = Vec::new();
        self.answers.close(&mut |message| complete.push(message));
        complete.into_iter().for_each(|answer| self.answered(answer));
    }

    fn answered(&mut self, answer: Message) {
        match self.open.pop_front() {
            Some((number, _)) => self.log.answered(number, answer),
            None => self.early.push_back(answer),
        }
    }
}

/// Passes on until both directions have ended or one broke; a broken end is broken to the other side as well.
pub(super) async fn relay(
    client: TcpStream,
    server: TcpStream,
    log: Arc<Log>,
    sender: Arc<OnceLock<Sender>>,
    receiver: usize,
) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (requests, answers) = (Parser::new(Side::Requests), Parser::new(Side::Answers));
    let tap = Tap { log, sender, receiver, requests, answers, open: VecDeque::new(), early: VecDeque::new() };
    let tap = Mutex::new(tap);
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let there = pass(&mut client_in, &mut server_out, |bytes| tap.lock().request_bytes(bytes));
    let back = pass(&mut server_in, &mut client_out, |bytes| tap.lock().answer_bytes(bytes));
    let ended = tokio::try_join!(there, back);
    tap.lock().answers_end();
    if ended.is_err() {
        let _ = client_in.as_ref().set_zero_linger();
        let _ = server_in.as_ref().set_zero_linger();
    }
}

/// The copy is read before the bytes go on: whoever has the answer finds the exchange in the log.
async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut tap: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        let bytes = piece.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        tap(bytes);
        to.write_all(bytes).await?;
    }
}
