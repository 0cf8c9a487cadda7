//! `tandem-server`: flags, properties and environment become a running node.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tandem_server::http::server;
use tandem_server::naming::cleaner::CleanSettings;
use tandem_server::node::Node;
use tandem_server::settings::Settings;

/// A Nacos 1.4 node.
#[derive(Debug, Parser)]
#[command(name = "tandem-server", version)]
struct Flags {
    /// Home directory: conf/ and data/
    #[arg(long, default_value = ".")]
    home: PathBuf,
    /// HTTP port
    #[arg(long, default_value_t = 8848)]
    port: u16,
    /// Address as peers write it
    #[arg(long, default_value = "127.0.0.1")]
    ip: String,
    /// standalone or cluster
    #[arg(long, default_value = "standalone", value_parser = ["standalone", "cluster"])]
    mode: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings {
        home: flags.home,
        ip: flags.ip,
        port: flags.port,
        context_path: "/nacos".to_owned(),
        standalone: flags.mode == "standalone",
    };
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", settings.port))
        .await
        .with_context(|| format!("cannot listen on port {}", settings.port))?;
    tracing::info!(address = %settings.address(), "listening");
    let stop = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "cannot wait for the interrupt signal");
            std::future::pending::<()>().await;
        }
    };
    let node = Node::new(settings);
    tokio::select! {
        served = server::serve(listener, Arc::clone(&node), stop) => served.context("serving stopped"),
        () = node.run_naming(CleanSettings::SHIPPED) => Ok(()),
    }
}
