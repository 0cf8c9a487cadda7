//! The HTTP surface in raw bytes: framing, filters, errors. Expectations are answers of real Nacos 1.4.1
//! (compat/recordings/1.4.1, by case id).

mod wire;

use tokio::io::AsyncWriteExt;
use wire::Server;

#[tokio::test]
async fn strings_have_a_length_and_objects_are_chunked() {
    let server = Server::start(true).await;
    // A005, A006
    let ok = server.ask("POST /nacos/v1/ns/instance?serviceName=s&ip=127.0.0.1&port=80").await;
    assert!(ok.head.starts_with("HTTP/1.1 200 \r\n"), "{}", ok.head);
    assert_eq!((ok.header("Content-Length"), ok.header("Connection"), ok.body.as_str()), (Some("2"), None, "ok"));
    assert_eq!(ok.header("Content-Type"), Some("text/plain;charset=UTF-8"));
    let list = server.ask("GET /nacos/v1/ns/instance/list?serviceName=s").await;
    assert_eq!(list.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(list.header("Content-Type"), Some("application/json;charset=UTF-8"));
    assert!(list.body.starts_with("{\"hosts\":[{\"ip\":\"127.0.0.1\",\"port\":80,\"valid\":true,"), "{}", list.body);
}

#[tokio::test]
async fn errors_close_the_connection_and_successes_keep_it() {
    let server = Server::start(true).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let ask = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..2 {
        let line = "GET /nacos/v1/console/health/readiness";
        stream.write_all(ask(line).as_bytes()).await.unwrap();
        assert_eq!(wire::read(&mut stream).await.body, "OK");
    }
    // X30
    stream.write_all(ask("GET /nacos/v1/ns/instance/list/").as_bytes()).await.unwrap();
    let unknown = wire::read(&mut stream).await;
    assert_eq!((unknown.status(), unknown.header("Connection")), (501, Some("close")));
    assert!(unknown.body.contains("\"message\":\"no such api:GET:/nacos/v1/ns/instance/list/\""), "{}", unknown.body);
    let mut rest = Vec::new();
    assert_eq!(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap(), 0);
}

#[tokio::test]
async fn what_tomcat_and_the_firewall_refuse() {
    let server = Server::start(true).await;
    for (line, status, text) in [
        ("GET /nacos/v1/ns/instance/list%2F", 400, "HTTP Status 400"),
        ("GET /nacos/v1/ns/instance/list?x=[1]", 400, "HTTP Status 400"),
        ("TRACE /nacos/v1/ns/instance", 405, "HTTP Status 405"),
        ("FOO /nacos/v1/ns/instance", 500, "HTTP Status 500"),
        ("GET /v1/ns/instance/list", 404, "HTTP Status 404"),
        ("GET /nacos/v1/ns/instance//list", 500, "not normalized"),
        ("GET /nacos/v1/ns/instance;a=b/list", 500, "malicious String \\\";\\\""),
        ("GET /nacos/v2/ns/instance/list", 404, "No message available"),
        ("GET /nacos/error", 500, "\"status\":999"),
    ] {
        let answer = server.ask(line).await;
        assert_eq!(answer.status(), status, "{line}");
        assert!(answer.body.contains(text), "{line}: {}", answer.body);
    }
    let moved = server.ask("GET /nacos?a=b").await;
    let location = format!("http://127.0.0.1:{}/nacos/?a=b", server.port);
    assert_eq!((moved.status(), moved.header("Location")), (302, Some(location.as_str())));
}

#[tokio::test]
async fn forms_and_the_method_parameter() {
    let server = Server::start(true).await;
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    // A14e: the query comes before the body
    let answer = server.send("POST /nacos/v1/ns/instance?serviceName=s&ip=a&port=1&weight=5", &form, "weight=7").await;
    assert_eq!(answer.body, "ok");
    let detail = server.ask("GET /nacos/v1/ns/instance?serviceName=s&ip=a&port=1").await;
    assert!(detail.body.contains("\"weight\":5.0"), "{}", detail.body);
    // F27: a PATCH with a form; XC0: POST as DELETE
    assert_eq!(
        server.send("PATCH /nacos/v1/ns/instance", &form, "serviceName=s&ip=a&port=1&weight=0").await.body,
        "ok"
    );
    let gone = server.ask("POST /nacos/v1/ns/instance?_method=delete&serviceName=s&ip=a&port=1").await;
    assert_eq!(gone.body, "ok");
    let detail = server.ask("GET /nacos/v1/ns/instance?serviceName=s&ip=a&port=1").await;
    assert_eq!(detail.body, "caused: no ips found for cluster DEFAULT in service DEFAULT_GROUP@@s;");
    // XB4: a form beyond Tomcat's limit is not read
    let large = format!("serviceName=s&ip=a&port=1&metadata={}", "x".repeat(2_200_000));
    let refused = server.send("POST /nacos/v1/ns/instance", &form, &large).await;
    assert_eq!(refused.body, "caused: Param 'serviceName' is required.;");
}

#[tokio::test]
async fn content_types_follow_accept() {
    let server = Server::start(true).await;
    let register = "POST /nacos/v1/ns/instance?serviceName=s&ip=a&port=1";
    for (accept, given) in [
        ("application/json", "application/json;charset=UTF-8"),
        ("image/png", "image/png;charset=UTF-8"),
        ("*/*", "text/plain;charset=UTF-8"),
    ] {
        let answer = server.send(register, &[&format!("Accept: {accept}")], "").await;
        assert_eq!((answer.body.as_str(), answer.header("Content-Type")), ("ok", Some(given)));
    }
    let list = "GET /nacos/v1/ns/instance/list?serviceName=s";
    let refused = server.send(list, &["Accept: text/html"], "").await;
    assert_eq!((refused.status(), refused.body.as_str()), (500, "caused: Could not find acceptable representation;"));
    assert_eq!(server.send(list, &["Accept: bad"], "").await.status(), 406);
    let page = server.send("GET /nacos/v1/ns/nope", &["Accept: text/html,*/*"], "").await;
    assert!(page.status() == 501 && page.body.contains("Whitelabel Error Page"), "{}", page.body);
}

#[tokio::test]
async fn cross_origin_requests() {
    let server = Server::start(true).await;
    let origin = "Origin: http://x.example";
    // X50, X51
    let simple = server.send("GET /nacos/v1/ns/instance/list?serviceName=s", &[origin], "").await;
    assert_eq!(simple.header("Access-Control-Allow-Origin"), Some("http://x.example"));
    assert_eq!(simple.head.matches("Vary: ").count(), 3);
    let preflight = ["Access-Control-Request-Method: PUT", origin];
    let answer = server.send("OPTIONS /nacos/v1/ns/instance", &preflight, "").await;
    assert_eq!((answer.status(), answer.body.as_str()), (501, ""));
    assert_eq!(answer.header("Access-Control-Allow-Methods"), Some("PUT"));
    // Outside the naming API a preflight succeeds
    let answer = server.send("OPTIONS /nacos/v1/console/server/state", &preflight, "").await;
    assert_eq!((answer.status(), answer.header("Access-Control-Max-Age")), (200, Some("18000")));
    let methods = server.ask("OPTIONS /nacos/v1/console/server/state").await;
    assert_eq!((methods.status(), methods.header("Allow")), (200, Some("GET,HEAD,OPTIONS")));
}

#[tokio::test]
async fn the_status_switch_gates_requests() {
    let server = Server::start(true).await;
    let set = "PUT /nacos/v1/ns/operator/switches?entry=overriddenServerStatus&value=READ_ONLY";
    assert_eq!(server.ask(set).await.body, "ok");
    let switches = server.node.switches.get();
    server.node.status.overrides(switches.overridden_server_status.as_deref());
    let write = "POST /nacos/v1/ns/instance?serviceName=s&ip=a&port=1";
    let refused = server.ask(write).await;
    assert_eq!((refused.status(), refused.header("Content-Type")), (503, None));
    assert_eq!(refused.body, "server is READ_ONLY now, please try again later!");
    assert_eq!(server.ask("GET /nacos/v1/ns/operator/metrics").await.status(), 200);
    assert_eq!(server.send(write, &["User-Agent: Nacos-Server:v1.4.1"], "").await.body, "ok");
}

#[tokio::test]
async fn a_stop_lets_the_request_in_flight_finish() {
    let mut server = Server::start(true).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let head = "POST /nacos/v1/ns/instance?serviceName=s&ip=a&port=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    server.stop();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stream.write_all(b"body").await.unwrap();
    assert_eq!(wire::read(&mut stream).await.body, "ok");
    let served = tokio::time::timeout(std::time::Duration::from_secs(5), server.serving).await;
    assert!(served.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn the_page_shows_what_is_there_and_runs_nothing_of_it() {
    let server = Server::start(true).await;
    let evil = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    // Nacos takes almost anything for an address and for metadata.
    let metadata = format!("note={evil}");
    let register = format!("POST /nacos/v1/ns/instance?serviceName=shop&ip=10.0.0.1&port=80&metadata={metadata}");
    assert_eq!(server.ask(&register).await.body, "ok");
    let register = format!("POST /nacos/v1/ns/instance?serviceName=shop&ip=%22%3E{evil}&port=80&clusterName=b");
    assert_eq!(server.ask(&register).await.body, "ok");
    for path in ["/nacos/", "/nacos/index.html"] {
        let page = server.ask(&format!("GET {path}")).await;
        assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/html;charset=UTF-8")));
        assert!(page.header("Content-Security-Policy").is_some_and(|it| it.starts_with("default-src 'none'")));
        assert!(page.body.contains("DEFAULT_GROUP@@shop") && page.body.contains("1 with 2 instances"), "{}", page.body);
    }
    let detail = server.ask("GET /nacos/?namespace=public&service=DEFAULT_GROUP%40%40shop").await.body;
    assert!(detail.contains("10.0.0.1:80") && detail.contains("&lt;script&gt;alert(1)"), "{detail}");
    let found = server.ask(&format!("GET /nacos/?search={evil}")).await.body;
    let absent = server.ask(&format!("GET /nacos/?namespace={evil}&service=%22%3E{evil}")).await.body;
    assert!(found.contains("0 with 0 instances") && absent.contains("no such service"), "{found}{absent}");
    for page in [detail, found, absent] {
        assert!(!page.contains("<script"), "{page}");
    }
    // Other methods and the rest of the path are as before.
    assert_eq!(server.ask("GET /nacos/nothing.html").await.status(), 404);
    assert_eq!(server.ask("POST /nacos/").await.status(), 500);
}
