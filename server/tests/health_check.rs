//! Active checks of persistent instances, against real listeners (compat/spec/health-and-push.md §4).
#![allow(clippy::unwrap_used, reason = "tests")]

mod wire;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use wire::Server;

const NS: &str = "/nacos/v1/ns";
/// The longest any flip takes: the first look comes within 5 s (`max` is set to 3 s), and three good answers follow.
const FLIP_MAX: Duration = Duration::from_secs(25);

async fn server() -> Server {
    let server = Server::start(true).await;
    // The shortest bounds an operator may set.
    server.node.switches.change(|switches| {
        switches.tcp_health_params.max = 3_000;
        switches.tcp_health_params.min = 500;
        switches.mysql_health_params.max = 1_000;
        switches.mysql_health_params.min = 500;
    });
    server
}

async fn configure(server: &Server, service: &str, port: u16, own_port: bool, checker: &str) {
    let checker: String = checker
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    server.ask(&format!("POST {NS}/service?serviceName={service}")).await;
    let put = format!(
        "PUT {NS}/cluster?serviceName={service}&clusterName=DEFAULT&checkPort={port}&useInstancePort4Check={own_port}\
         &healthChecker={checker}"
    );
    assert_eq!(server.ask(&put).await.body, "ok");
}

async fn register(server: &Server, service: &str, port: u16, healthy: bool) {
    let query = format!("serviceName={service}&ip=127.0.0.1&port={port}&ephemeral=false&healthy={healthy}");
    assert_eq!(server.ask(&format!("POST {NS}/instance?{query}")).await.body, "ok");
}

async fn healthy(server: &Server, service: &str, port: u16) -> bool {
    let query = format!("serviceName={service}&ip=127.0.0.1&port={port}");
    let body = server.ask(&format!("GET {NS}/instance?{query}")).await.body;
    assert!(body.contains("\"healthy\":"), "{body}");
    body.contains("\"healthy\":true")
}

/// Waits until the flag is what it is expected to be; tells how long that took.
async fn flips(server: &Server, service: &str, port: u16, to: bool) -> Duration {
    let started = Instant::now();
    while healthy(server, service, port).await != to {
        assert!(started.elapsed() < FLIP_MAX, "{service} is not healthy={to} after {FLIP_MAX:?}");
        sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

fn listen(port: u16) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], port).into()).unwrap();
    socket.listen(64).unwrap()
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// Accepts, counts and holds connections until dropped.
fn accepting(listener: TcpListener) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let task = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            streams.push(stream);
        }
    });
    (task, count)
}

#[tokio::test]
async fn a_closed_port_flips_at_once_and_an_open_one_after_three_connects() {
    let server = server().await;
    let listener = listen(0);
    let port = port_of(&listener);
    let (accepting_task, count) = accepting(listener);
    register(&server, "tcp", port, true).await;
    let started = Instant::now();
    while count.load(Ordering::SeqCst) < 4 {
        assert!(started.elapsed() < FLIP_MAX, "nobody connects");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(healthy(&server, "tcp", port).await);
    accepting_task.abort();
    let _ = accepting_task.await;
    // One refused connect at the next look, which is at most one interval away.
    let took = flips(&server, "tcp", port, false).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    let (_task, count) = accepting(listen(port));
    flips(&server, "tcp", port, true).await;
    assert!(count.load(Ordering::SeqCst) >= 3);
}

#[tokio::test]
async fn a_connection_is_kept_until_the_next_check_and_a_greeting_does_no_harm() {
    let server = server().await;
    let listener = listen(0);
    let port = port_of(&listener);
    register(&server, "kept", port, true).await;
    let (mut first, _) = timeout(FLIP_MAX, listener.accept()).await.unwrap().unwrap();
    first.write_all(b"220 hello\r\n").await.unwrap();
    assert!(timeout(Duration::from_millis(300), first.read_u8()).await.is_err(), "closed or spoken to");
    let (_second, _) = timeout(FLIP_MAX, listener.accept()).await.unwrap().unwrap();
    // Ends with a FIN: an unread greeting would have made it a reset.
    assert_eq!(timeout(FLIP_MAX, first.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    server.ask(&format!("DELETE {NS}/instance?serviceName=kept&ip=127.0.0.1&port={port}&ephemeral=false")).await;
}

#[tokio::test]
async fn the_clusters_port_is_checked_when_told_so_and_ephemeral_instances_are_not() {
    let server = server().await;
    let listener = listen(0);
    let open = port_of(&listener);
    let (_task, _) = accepting(listener);
    configure(&server, "port", open, false, r#"{"type":"TCP"}"#).await;
    register(&server, "port", 1, false).await;
    let ephemeral = format!("POST {NS}/instance?serviceName=port&ip=127.0.0.1&port=2");
    assert_eq!(server.ask(&ephemeral).await.body, "ok");
    configure(&server, "none", open, true, r#"{"type":"NONE"}"#).await;
    register(&server, "none", 1, true).await;
    flips(&server, "port", 1, true).await;
    assert!(healthy(&server, "port", 2).await, "an ephemeral instance was checked");
    assert!(healthy(&server, "none", 1).await, "NONE checks");
}

#[tokio::test]
async fn the_switch_stops_checks_and_the_white_list_spares_a_service() {
    let server = server().await;
    server.node.switches.change(|switches| {
        switches.health_check_enabled = false;
        switches.health_check_white_list = vec!["DEFAULT_GROUP@@listed".to_owned()];
    });
    let closed = port_of(&listen(0));
    register(&server, "listed", closed, true).await;
    register(&server, "off", closed, true).await;
    flips(&server, "listed", closed, false).await;
    sleep(Duration::from_secs(5)).await;
    assert!(healthy(&server, "off", closed).await, "checked although the switch is off");
    assert_eq!(server.ask(&format!("PUT {NS}/operator/switches?entry=check&value=true")).await.body, "ok");
    flips(&server, "off", closed, false).await;
}

/// A small HTTP server: answers with the status told, keeps the last request; 0 is silence.
struct Answering {
    port: u16,
    status: Arc<AtomicU16>,
    request: Arc<Mutex<String>>,
    connections: Arc<AtomicUsize>,
}

fn answering(status: u16) -> Answering {
    let listener = listen(0);
    let answering = Answering {
        port: port_of(&listener),
        status: Arc::new(AtomicU16::new(status)),
        request: Arc::default(),
        connections: Arc::default(),
    };
    let (status, request, connections) =
        (answering.status.clone(), answering.request.clone(), answering.connections.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream, status.clone(), request.clone()));
        }
    });
    answering
}

async fn answer(mut stream: TcpStream, status: Arc<AtomicU16>, request: Arc<Mutex<String>>) {
    let mut buffer = vec![0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        *request.lock() = String::from_utf8_lossy(&buffer[..read]).into_owned();
        match status.load(Ordering::SeqCst) {
            0 => sleep(Duration::from_secs(60)).await,
            status => {
                let body = if status == 204 { "" } else { "Content-Length: 2\r\n\r\nok" };
                let end = if status == 204 { "\r\n" } else { "" };
                let answer = format!("HTTP/1.1 {status} X\r\n{body}{end}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn http_takes_200_alone_for_life() {
    let server = server().await;
    let http = answering(200);
    let checker = r#"{"type":"HTTP","path":"/live?deep=1","headers":"X-Probe:a b|Host:me","expectedResponseCode":204}"#;
    configure(&server, "http", http.port, true, checker).await;
    register(&server, "http", http.port, false).await;
    flips(&server, "http", http.port, true).await;
    let request = http.request.lock().clone();
    assert!(request.starts_with("GET /live?deep=1 HTTP/1.1\r\n"), "{request}");
    for line in ["X-Probe: a b", "Host: me", "User-Agent: VIPServer", "Accept-Charset: UTF-8", "Connection: Keep-Alive"]
    {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} is not in {request}");
    }
    assert_eq!(http.connections.load(Ordering::SeqCst), 1, "the connection is kept alive");
    // `expectedResponseCode` is decoration; 503 is counted, an answer without a body and silence too.
    for (status, at_once) in [(404, true), (500, true), (204, false), (503, false), (0, false)] {
        http.status.store(200, Ordering::SeqCst);
        flips(&server, "http", http.port, true).await;
        http.status.store(status, Ordering::SeqCst);
        let took = flips(&server, "http", http.port, false).await;
        assert!(at_once || took > Duration::from_millis(900), "{status} after {took:?}: three looks 500 ms apart");
    }
}

/// A MariaDB of our own on a free port; killed when dropped.
struct MariaDb {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl MariaDb {
    /// Why there is none, if so.
    fn start() -> Result<Self, String> {
        let found = |name: &str| {
            ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
                .iter()
                .map(|dir| std::path::Path::new(dir).join(name))
                .find(|path| path.exists())
                .ok_or_else(|| format!("no {name} on this machine (Debian: mariadb-server)"))
        };
        let (install, daemon) = (found("mariadb-install-db")?, found("mariadbd")?);
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let installed = Command::new(install)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--user={}", user.trim()))
            .output()
            .unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let init = dir.path().join("init.sql");
        std::fs::write(&init, "CREATE USER 'probe'@'%' IDENTIFIED BY 'secret';\n").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(daemon)
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=16M"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--user={}", user.trim()))
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", dir.path().join("s").display()))
            .arg(format!("--init-file={}", init.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Ok(MariaDb { process, port, _dir: dir })
    }

    async fn command(&self, sql: &str) {
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .prefer_socket(false);
        let started = Instant::now();
        let mut connection = loop {
            match mysql_async::Conn::new(options.clone()).await {
                Ok(connection) => break connection,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "MariaDB does not start: {error}"),
            }
            sleep(Duration::from_millis(200)).await;
        };
        mysql_async::prelude::Queryable::query_drop(&mut connection, sql).await.unwrap();
        connection.disconnect().await.unwrap();
    }
}

#[tokio::test]
async fn mysql_takes_a_read_only_server_for_a_replica() {
    let database = match MariaDb::start() {
        Ok(database) => database,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return;
        }
    };
    database.command("select 1").await;
    let server = server().await;
    let port = database.port;
    let primary = "show global variables where variable_name='read_only'";
    let checker = |pwd: &str, cmd: &str| format!(r#"{{"type":"MYSQL","user":"probe","pwd":"{pwd}","cmd":"{cmd}"}}"#);
    configure(&server, "primary", port, true, &checker("secret", primary)).await;
    configure(&server, "denied", port, true, &checker("wrong", "select 1")).await;
    configure(&server, "query", port, true, &checker("secret", "select 1")).await;
    configure(&server, "two", port, true, &checker("secret", "select 1; select 2")).await;
    for (service, healthy) in [("primary", false), ("denied", true), ("query", false), ("two", true)] {
        register(&server, service, port, healthy).await;
    }
    for (service, healthy) in [("primary", true), ("denied", false), ("query", true), ("two", false)] {
        flips(&server, service, port, healthy).await;
    }
    database.command("SET GLOBAL read_only=ON").await;
    flips(&server, "primary", port, false).await;
    assert!(healthy(&server, "query", port).await, "only the one command asks for the role");
    database.command("SET GLOBAL read_only=OFF").await;
    flips(&server, "primary", port, true).await;
    drop(database);
    flips(&server, "query", port, false).await;
}
