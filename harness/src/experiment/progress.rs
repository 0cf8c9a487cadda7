//! Where long work shows how far it is: one line that is rewritten on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Takes news about the run.
pub trait Progress: Send + Sync {
    /// Something that happened and is worth keeping on the screen.
    fn line(&self, text: &str);

    /// What is going on now; replaces the last status.
    fn status(&self, text: &str);
}

/// Progress for this process' standard error.
pub fn for_stderr() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Spinner::new()) } else { Box::new(Lines) }
}

struct Spinner(ProgressBar);

impl Spinner {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Progress for Spinner {
    fn line(&self, text: &str) {
        self.0.println(text);
    }

    fn status(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Keeps what is worth keeping; a status nobody can overwrite would be noise.
struct Lines;

impl Progress for Lines {
    fn line(&self, text: &str) {
        eprintln!("{text}");
    }

    fn status(&self, _text: &str) {}
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn line(&self, _text: &str) {}
    fn status(&self, _text: &str) {}
}
