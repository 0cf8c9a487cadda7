//! Each answer that differs from real Nacos 1.4.1 on purpose (compat/DIFFERENCES.md), through the wire.

mod wire;

use wire::Server;

const NS: &str = "/nacos/v1/ns";

async fn list(server: &Server, service: &str) -> String {
    server.ask(&format!("GET {NS}/instance/list?serviceName={service}")).await.body
}

#[tokio::test]
async fn a_beat_without_ip_poisons_nothing() {
    let server = Server::start(true).await;
    let beat = server.ask(&format!("PUT {NS}/instance/beat?serviceName=k&beat=%7B%22port%22:80%7D")).await;
    assert_eq!(beat.body, "{\"clientBeatInterval\":5000,\"code\":10200,\"lightBeatEnabled\":true}");
    server.ask(&format!("POST {NS}/instance?serviceName=k&ip=127.9.0.3&port=80")).await;
    assert!(list(&server, "k").await.contains("127.9.0.3"));
}

#[tokio::test]
async fn a_metadata_batch_with_a_wrong_cluster_drops_nothing() {
    let server = Server::start(true).await;
    server.ask(&format!("POST {NS}/instance?serviceName=m&ip=a&port=80&clusterName=C1")).await;
    let instances = "%5B%7B%22ip%22:%22a%22,%22port%22:80%7D%5D";
    let batch = format!("PUT {NS}/instance/metadata/batch?serviceName=m&metadata=q%3D1&instances={instances}");
    assert_eq!(server.ask(&batch).await.body, "{\"updated\":[]}");
    server.ask(&format!("POST {NS}/instance?serviceName=m&ip=b&port=80")).await;
    assert!(list(&server, "m").await.contains("\"ip\":\"a\""));
}

#[tokio::test]
async fn a_refused_patch_or_update_changes_nothing() {
    let server = Server::start(true).await;
    server.ask(&format!("POST {NS}/instance?serviceName=f&ip=a&port=80&weight=5")).await;
    let patch = server.ask(&format!("PATCH {NS}/instance?serviceName=f&ip=a&port=80&weight=-1")).await;
    assert_eq!(patch.body, "caused: instance format invalid: The weights range from 0.0 to 10000.0;");
    assert!(list(&server, "f").await.contains("\"weight\":5.0"));
    let update = server.ask(&format!("PUT {NS}/service?serviceName=f&protectThreshold=0.3&metadata=bad")).await;
    assert_eq!(update.status(), 500);
    let detail = server.ask(&format!("GET {NS}/service?serviceName=f")).await;
    assert!(detail.body.contains("\"protectThreshold\":0.0"), "{}", detail.body);
}

#[tokio::test]
async fn a_cluster_record_that_cannot_be_read_back_is_refused() {
    let server = Server::start(true).await;
    server.ask(&format!("POST {NS}/service?serviceName=pc")).await;
    let put = |port: &str, checker: &str| {
        format!(
            "PUT {NS}/cluster?serviceName=pc&clusterName=C&useInstancePort4Check=true&checkPort={port}\
             &healthChecker={checker}"
        )
    };
    let tcp = "%7B%22type%22:%22TCP%22%7D";
    for (port, checker) in [("0", tcp), ("abc", tcp), ("80", "null")] {
        let refused = server.ask(&put(port, checker)).await;
        assert_eq!(refused.status(), 500);
        assert_eq!(refused.body, "caused: errCode: 101, errMsg: Nacos deserialize failed.  ;");
    }
    let detail = server.ask(&format!("GET {NS}/service?serviceName=pc")).await;
    assert!(detail.body.ends_with("\"clusters\":[]}"), "{}", detail.body);
    assert_eq!(server.ask(&put("80", tcp)).await.body, "ok");
}

#[tokio::test]
async fn a_service_without_a_name_does_not_break_listings() {
    let server = Server::start(true).await;
    assert_eq!(server.ask(&format!("POST {NS}/service?serviceName=x@@")).await.body, "ok");
    server.ask(&format!("POST {NS}/service?serviceName=y")).await;
    for path in ["service/names", "api/allDomNames", "catalog/services?pageNo=1&pageSize=10", "service?serviceName=x@@"]
    {
        assert_eq!(server.ask(&format!("GET {NS}/{path}")).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_status_override_freezes_nothing() {
    let server = Server::start(true).await;
    let set = |value: &str| format!("PUT {NS}/operator/switches?entry=overriddenServerStatus&value={value}");
    for (value, status) in [("BOGUS", "UP"), ("DOWN", "DOWN")] {
        assert_eq!(server.ask(&set(value)).await.body, "ok");
        let switches = server.node.switches.get();
        server.node.status.overrides(switches.overridden_server_status.as_deref());
        let agent = ["User-Agent: Nacos-Server"];
        let metrics = server.send(&format!("GET {NS}/operator/metrics"), &agent, "").await;
        assert!(metrics.body.starts_with(&format!("{{\"status\":\"{status}\"")), "{}", metrics.body);
    }
}

#[tokio::test]
async fn writes_that_need_consensus_are_refused_before_there_is_any() {
    let server = Server::start(false).await;
    server.ask(&format!("POST {NS}/instance?serviceName=s&ip=a&port=1")).await;
    for (line, what) in [
        (format!("POST {NS}/instance?serviceName=p&ip=a&port=1&ephemeral=false"), "a persistent instance"),
        (format!("POST {NS}/service?serviceName=p"), "a service"),
        (format!("PUT {NS}/service?serviceName=s&protectThreshold=1"), "a service"),
        (format!("DELETE {NS}/service?serviceName=s"), "removing a service"),
        (format!("PUT {NS}/operator/switches?entry=check&value=false"), "a switch"),
    ] {
        let refused = server.ask(&line).await;
        assert_eq!(refused.status(), 500, "{line}");
        assert!(refused.body.starts_with(&format!("caused: {what} needs consensus")), "{line}: {}", refused.body);
    }
    assert_eq!(server.ask(&format!("GET {NS}/service?serviceName=p")).await.status(), 500);
    let switches = server.ask(&format!("GET {NS}/operator/switches")).await;
    assert!(switches.body.contains("\"healthCheckEnabled\":true"));
    let debug = format!("PUT {NS}/operator/switches?entry=check&value=false&debug=true");
    assert_eq!(server.ask(&debug).await.body, "ok");
}

#[tokio::test]
async fn an_acknowledged_write_is_seen_at_once() {
    let server = Server::start(true).await;
    server.ask(&format!("POST {NS}/service?serviceName=n")).await;
    assert_eq!(server.ask(&format!("GET {NS}/service?serviceName=n")).await.status(), 200);
    server.ask(&format!("DELETE {NS}/service?serviceName=n")).await;
    assert_eq!(server.ask(&format!("GET {NS}/service?serviceName=n")).await.status(), 500);
}
