//! The recorder between a client and a server of this process.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server that answers everything it is sent with the same bytes, one answer per head; and its recorder.
async fn recorded(answer: &'static [u8], port: u16) -> (Recorder, SocketAddr, JoinHandle<()>) {
    let listens_on: SocketAddr = ([127, 0, 0, 3], port).into();
    let known_as: SocketAddr = ([127, 0, 0, 2], port).into();
    let listener = TcpListener::bind(listens_on).await.unwrap();
    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut piece).await {
                    seen.extend_from_slice(&piece[..count]);
                    while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                        seen.drain(..end + 4);
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    let recorder = Recorder::start(&[Wire { known_as, listens_on }]);
    recorder.set_process(0, Some(u32::MAX));
    (recorder, known_as, server)
}

async fn connect(address: SocketAddr) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(address).await {
            return stream;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("{address} never opened");
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    stream.read_exact(&mut out).await.unwrap();
    out
}

const OK: &[u8] = b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn pipelined_requests_are_recorded_with_their_answers_and_their_sender() {
    let port = free_port();
    let (recorder, address, _server) = recorded(OK, port).await;
    let mut stream = connect(address).await;
    let mark = recorder.mark();
    stream.write_all(b"GET /a HTTP/1.1\r\n\r\nDELETE /b?x=1 HTTP/1.1\r\nNacos-Server: 1.4.1\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream, 2 * OK.len()).await, [OK, OK].concat());
    let seen = recorder.since(mark);
    let lines: Vec<_> = seen.iter().map(|it| (it.request.start.as_str(), it.answer.as_ref().unwrap().text())).collect();
    assert_eq!(lines, [("GET /a HTTP/1.1", "ok".into()), ("DELETE /b?x=1 HTTP/1.1", "ok".into())]);
    for _ in 0..100 {
        if seen[1].sender() == Sender::Harness {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("the sender was not found: {:?}", seen[1].sender());
}

#[tokio::test]
async fn an_address_refuses_while_its_member_does_not_listen() {
    let port = free_port();
    let (recorder, address, server) = recorded(OK, port).await;
    let mut kept = connect(address).await;
    server.abort();
    let _ = server.await;
    recorder.set_process(0, None);
    // The connection that was open ends, and new ones are refused.
    let mut rest = Vec::new();
    let _ = kept.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(address).await.is_err());
}

/// A bound for gross mistakes (a copy that waits for something); the figure itself is measured on a quiet machine.
#[tokio::test]
async fn passing_through_costs_next_to_nothing() {
    let port = free_port();
    let (_recorder, address, _server) = recorded(OK, port).await;
    let mut through = connect(address).await;
    let mut direct = TcpStream::connect(SocketAddr::from(([127, 0, 0, 3], port))).await.unwrap();
    let mut medians = Vec::new();
    for stream in [&mut direct, &mut through] {
        stream.set_nodelay(true).unwrap();
        let mut times = Vec::new();
        for _ in 0..101 {
            let begun = Instant::now();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            read(stream, OK.len()).await;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        medians.push(times[50]);
    }
    assert!(medians[1] < medians[0] + Duration::from_millis(5), "{medians:?}");
    println!("direct {:?}, recorded {:?}", medians[0], medians[1]);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
