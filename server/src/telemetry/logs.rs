//! The log: text or JSON lines on standard output.

use std::io::IsTerminal;

use tracing_subscriber::filter::targets::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::settings::keys;
use crate::settings::{LogSettings, Note};

/// Starts the log of this process; a second call keeps the first.
pub fn start(settings: &LogSettings) {
    // Settings were checked when they were read; this is for callers that build their own.
    let levels: Targets = settings.level.parse().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    let layer = match settings.json {
        true => fmt::layer().json().flatten_event(true).boxed(),
        false => fmt::layer().with_ansi(std::io::stdout().is_terminal()).boxed(),
    };
    if tracing_subscriber::registry().with(layer.with_filter(levels)).try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!("panic: {panic}")));
    }
}

/// Says what was found in the settings that has no effect.
pub fn notes(notes: &[Note]) {
    for note in notes {
        match note {
            Note::Unknown(key, origin) => match keys::nearest(key) {
                Some(right) => {
                    tracing::warn!("{key} (from {origin}) is no key this node knows; did you mean {right}?");
                }
                None => tracing::warn!("{key} (from {origin}) is no key this node knows"),
            },
            Note::Misspelt(name, right) => {
                tracing::warn!("the environment variable {name} is none this node reads; did you mean {right}?");
            }
            Note::Ignored(name, why) => tracing::info!("{name} has no effect here: {why}"),
        }
    }
}
