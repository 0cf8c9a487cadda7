//! Accepting connections: at most so many at a time, until the node stops. Both of its ports do it alike.

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// Pause after a failed accept (out of file descriptors), so that it does not spin.
const RETRY: Duration = Duration::from_millis(50);

/// Serves each accepted connection with what `connection` makes of it, at most `connections_max` of them at a time, until
/// `shutdown` completes. Then lets open requests finish for at most `drain_max`; false when some did not.
pub async fn serve<C>(
    listener: TcpListener,
    connections_max: usize,
    drain_max: Duration,
    shutdown: impl Future<Output = ()>,
    connection: impl Fn(TcpStream, SocketAddr) -> C,
) -> bool
where
    C: GracefulConnection + Send + 'static,
    C::Error: Display + Send,
{
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(connections_max));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            permit = Arc::clone(&places).acquire_owned() => {
                let Ok(permit) = permit else { break };
                tokio::select! {
                    () = &mut shutdown => break,
                    accepted = listener.accept() => accepted.map(|(stream, peer)| (stream, plain(peer), permit)),
                }
            }
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let connection = graceful.watch(connection(stream, peer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%peer, %error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    tokio::time::timeout(drain_max, graceful.shutdown()).await.is_ok()
}

/// An IPv4 address that came through an IPv6 socket, as an IPv4 address.
fn plain(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}
