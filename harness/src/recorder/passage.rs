//! The consensus port of a member that listens at one address only: opened at the address the others know it by, and
//! passed on without a look at it.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{LOOK, Wire};
use crate::client::raft::PORT_OFFSET;

/// Passes connections on until dropped. Ends at once where the member itself listens at every address.
pub(super) async fn run(wire: Wire) {
    let lower = |address: SocketAddr| Some(SocketAddr::new(address.ip(), address.port().checked_sub(PORT_OFFSET)?));
    let (Some(known_as), Some(listens_on)) = (lower(wire.known_as), lower(wire.listens_on)) else { return };
    if known_as == listens_on {
        return;
    }
    // Not before the member: it could not take all addresses any more.
    while TcpStream::connect(listens_on).await.is_err() {
        tokio::time::sleep(LOOK).await;
    }
    let listener = match TcpListener::bind(known_as).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == ErrorKind::AddrInUse => return,
        Err(error) => {
            tracing::warn!(address = %known_as, %error, "cannot open the consensus port of a recorded member");
            return;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Ended connections are forgotten.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Ok((mut client, _)) = accepted else { continue };
        connections.spawn(async move {
            let Ok(mut server) = TcpStream::connect(listens_on).await else {
                // Nobody listens: as near to a refusal as can be.
                let _ = client.set_zero_linger();
                return;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
