//! Being asked to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when this process is asked to stop: Ctrl-C, SIGTERM or the end of its terminal. The answer names the signal.
/// Whoever selects on it drops what it holds and so gives everything back.
pub async fn interrupted() -> &'static str {
    let caught = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    match caught {
        (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) => tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        },
        // Without handlers the signals keep their default effect, and the guard gives everything back.
        _ => std::future::pending().await,
    }
}
