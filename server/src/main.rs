//! `tandem-server`: flags, properties and environment become a running node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tandem_server::health;
use tandem_server::http::server;
use tandem_server::node::Node;
use tandem_server::settings::Settings;
use tandem_server::settings::flags::Flags;
use tandem_server::telemetry::{logs, metrics};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Could not start, as opposed to failed while running.
const EXIT_NOT_STARTED: u8 = 2;

/// `--health` of a node that does not serve. Docker keeps every other code than 0 and 1 for itself.
const EXIT_UNHEALTHY: u8 = 1;

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(asked) if !asked.use_stderr() => asked.exit(),
        Err(wrong) => {
            eprintln!("tandem-server: {}", one_sentence(&wrong));
            return ExitCode::from(EXIT_NOT_STARTED);
        }
    };
    // Names or values that are not text cannot be meant for this program.
    let environment: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let (done, failure) = if flags.health {
        (ask_health(&flags, environment), EXIT_UNHEALTHY)
    } else {
        (start(&flags, environment), EXIT_NOT_STARTED)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-server: {error:#}");
            ExitCode::from(failure)
        }
    }
}

/// What is wrong with the flags, said as everything else is: what it was, and what was probably meant.
fn one_sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let told = text.lines().map(str::trim).filter(|it| !it.is_empty());
    let mut sentence = String::new();
    for line in told.take_while(|it| !it.starts_with("Usage:") && !it.starts_with("For more information")) {
        match line.strip_prefix("tip: ").map(|tip| tip.rsplit_once(" exists: ").map_or(tip, |(_, right)| right)) {
            Some(right) if right.starts_with('\'') => sentence.push_str(&format!("; did you mean {right}?")),
            Some(tip) => sentence.push_str(&format!("; {tip}")),
            None => sentence.push_str(&format!(" {line}")),
        }
    }
    sentence.trim_start_matches(" error: ").to_owned()
}

fn ask_health(flags: &Flags, environment: BTreeMap<String, String>) -> anyhow::Result<()> {
    health::ask(&Settings::load(flags, environment)?)
}

fn start(flags: &Flags, environment: BTreeMap<String, String>) -> anyhow::Result<()> {
    let settings = Settings::load(flags, environment)?;
    logs::start(&settings.log);
    logs::notes(&settings.notes);
    if settings.prometheus {
        metrics::start();
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(run(settings))
}

/// Opens as many files as the system allows, as a JVM does by itself: clients and health checks hold connections, and
/// the usual limit of 1024 is meant for programs that do not.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files stays as it was");
        }
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let listener = listen(settings.listen, settings.port).await?;
    let node = Node::new(settings);
    let stop = stop_signal()?;
    // Served from the start: members that start together ask each other before any of them is done starting. Clients
    // are let in by the status.
    let serving = tokio::spawn(server::serve(listener, Arc::clone(&node), stop));
    node.start().await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = node.settings.address(),
        mode = if node.settings.standalone { "standalone" } else { "cluster" },
        home = %node.settings.home.display(),
        "serving"
    );
    let served = serving.await;
    node.stop().await;
    tracing::info!("stopped");
    served.context("serving ended early")?.context("serving stopped")
}

/// All addresses means IPv6 and IPv4 in one socket, as for Tomcat; IPv4 alone where there is no IPv6.
async fn listen(address: Option<IpAddr>, port: u16) -> anyhow::Result<TcpListener> {
    let bound = match address {
        Some(address) => TcpListener::bind((address, port)).await,
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        },
    };
    bound.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!("port {port} (server.port) is in use by another process"),
        std::io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!(
                "this host does not have the address {} (server.address)",
                address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
            )
        }
        _ => anyhow::anyhow!("cannot listen on port {port} (server.port): {error}"),
    })
}

/// Completes at SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping at SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping at SIGINT"),
        }
    })
}
