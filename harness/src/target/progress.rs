//! Telling a person what a long step is doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Where a step reports to.
pub trait Progress: Send + Sync {
    /// Something that happened and is worth keeping on the screen.
    fn line(&self, text: &str);

    /// What is going on now; replaces the last status.
    fn status(&self, text: &str);
}

/// Says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn line(&self, _text: &str) {}
    fn status(&self, _text: &str) {}
}

/// The progress for this process' standard error: a spinner on a terminal, plain lines otherwise.
pub fn stderr_progress() -> Arc<dyn Progress> {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() { Arc::new(Spinner::new()) } else { Arc::new(PlainLines::default()) }
}

/// One moving line at the bottom of a terminal.
#[derive(Debug)]
pub struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }
}

impl Progress for Spinner {
    fn line(&self, text: &str) {
        self.bar.println(text);
    }

    fn status(&self, text: &str) {
        self.bar.reset_elapsed();
        self.bar.set_message(text.to_owned());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Plain lines for logs and pipes: a repeated status is printed once, and at most one every two seconds.
#[derive(Debug, Default)]
pub struct PlainLines {
    last: Mutex<Option<(Instant, String)>>,
}

/// Least time between two status lines that nobody can overwrite.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

impl Progress for PlainLines {
    fn line(&self, text: &str) {
        eprintln!("{text}");
    }

    fn status(&self, text: &str) {
        let mut last = self.last.lock();
        let due = last.as_ref().is_none_or(|(at, said)| at.elapsed() >= STATUS_INTERVAL && said != text);
        if due {
            eprintln!("{text}");
            *last = Some((Instant::now(), text.to_owned()));
        }
    }
}
