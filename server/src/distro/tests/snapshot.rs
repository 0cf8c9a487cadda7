//! The snapshot at start and what arrives while it is loaded.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::distro::load;

const SOON: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_completes_what_was_written_meanwhile_and_leaves_what_was_pushed() {
    let cluster = Cluster::start(2).await;
    let id = cluster.service_of(0, "snapshot");
    register(cluster.node(0), &id, 1);
    register(cluster.node(0), &id, 2);
    let snapshot = cluster.node(0).distro.all_datums();
    // As if it had begun with nothing and a member had handed on a registration before the snapshot came.
    write(cluster.node(0), &id, |state| state.ephemeral.clear());
    register(cluster.node(0), &id, 9);
    let alone = Some(vec![(9, true)]);
    eventually("the other has the list as it is", SOON, || seen(cluster.node(1), &id) == alone).await;
    assert_eq!(load::apply(&cluster.node(1).distro, &snapshot).unwrap(), 1);
    assert_eq!(seen(cluster.node(1), &id), alone, "a pushed list is newer than the snapshot");
    assert_eq!(load::apply(&cluster.node(0).distro, &snapshot).unwrap(), 1);
    let whole = Some(vec![(1, true), (2, true), (9, true)]);
    assert_eq!(seen(cluster.node(0), &id), whole);
    eventually("the other is told of the rest", SOON, || seen(cluster.node(1), &id) == whole).await;
}

/// A JVM that is busy: the connection is there at once, the answer takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_a_peer_that_has_accepted() {
    let mut cluster = Cluster::start(2).await;
    let id = cluster.service_of(0, "slow");
    register(cluster.node(0), &id, 1);
    let datums = cluster.node(0).distro.all_datums();
    cluster.kill(0).await;
    cluster.kill(1).await;
    let listener = TcpListener::bind(cluster.addresses[0]).await.unwrap();
    let slow = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 \r\nContent-Length: {}\r\n\r\n", datums.len());
        let answer = [head.as_bytes(), &datums].concat();
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    cluster.restart(1).await;
    assert_eq!(seen(cluster.node(1), &id), Some(vec![(1, true)]));
    slow.abort();
}
