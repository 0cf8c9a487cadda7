//! `tandem-server --health`: the question of a container's health check, asked by the program itself because its image
//! holds nothing else that could ask.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::settings::Settings;

/// Official nodes answer this path with 200 as soon as they serve (`compat/spec/reference-targets.md` §5).
const PATH: &str = "/v1/console/health/readiness";

/// Bound on connecting, on the request and on the answer, each.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the node of these settings on this host whether it serves.
///
/// # Errors
/// One sentence when nothing listens, nothing answers in time, or the answer is another than 200.
pub fn ask(settings: &Settings) -> anyhow::Result<()> {
    let address = SocketAddr::new(host(settings.listen), settings.port);
    let stream =
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("nothing listens at {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT)).and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))?;
    let path = &settings.context_path;
    (&stream)
        .write_all(format!("GET {path}{PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .with_context(|| format!("{address} does not take a request"))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).with_context(|| format!("{address} does not answer"))?;
    match line.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        Some(status) => bail!("{address}{path}{PATH} answers {status}"),
        None => bail!("{address} does not answer in HTTP"),
    }
}

/// A node that listens on all addresses listens on loopback, in IPv4 at any rate.
fn host(listen: Option<IpAddr>) -> IpAddr {
    listen.filter(|address| !address.is_unspecified()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    /// What `ask` says of a server that gives this answer to the one request it gets, and that request.
    fn asked(answer: &'static str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let settings = Settings::loopback("/nowhere", listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (ask(&settings).map_err(|error| error.to_string()), server.join().unwrap())
    }

    #[test]
    fn only_200_is_healthy() {
        let (said, request) = asked("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nOK");
        assert_eq!(said, Ok(()));
        assert!(request.starts_with("GET /nacos/v1/console/health/readiness HTTP/1.1\r\n"), "{request}");
        assert!(asked("HTTP/1.1 503 \r\n\r\n").0.unwrap_err().ends_with("answers 503"));
        assert!(asked("").0.unwrap_err().contains("does not answer"));
    }

    #[test]
    fn a_port_where_nothing_listens_is_not_healthy() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(ask(&Settings::loopback("/nowhere", port)).unwrap_err().to_string().contains("nothing listens"));
    }

    #[test]
    fn all_addresses_are_asked_through_loopback() {
        let one = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(host(Some(one)), one);
        assert_eq!(host(Some(IpAddr::from([0; 4]))), Ipv4Addr::LOCALHOST);
        assert_eq!(host(None), Ipv4Addr::LOCALHOST);
    }
}
