//! The templates, and what every page has: frame, style sheet and script.
//!
//! Escaping is automatic; only the style sheet, the script and the drawings made here are inserted as they are.

use anyhow::Context;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::report::format;

const TEMPLATES: [(&str, &str); 6] = [
    ("frame.html", include_str!("../assets/frame.html")),
    ("parts.html", include_str!("../assets/parts.html")),
    ("report.html", include_str!("../assets/report.html")),
    ("overview.html", include_str!("../assets/overview.html")),
    ("versions.html", include_str!("../assets/versions.html")),
    ("method.html", include_str!("../assets/method.html")),
];
const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// What the frame of every page needs.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    style: &'static str,
    script: &'static str,
    /// One sentence for search engines and link previews.
    description: String,
    /// The site the page is part of; absent in a report that stands alone.
    site: Option<Site>,
}

/// Where a page is within a published site.
#[derive(Debug, Serialize)]
pub(super) struct Site {
    /// From the page to the root of the site: empty, or `../../`.
    root: &'static str,
    /// Name and address below the root.
    pages: [(&'static str, &'static str); 3],
    /// The address of this page below the root, when it is one of them.
    here: &'static str,
}

/// The page with all runs.
pub(in crate::report) const OVERVIEW: &str = "index.html";
/// The page with the matrices.
pub(in crate::report) const VERSIONS: &str = "compatibility.html";
/// The page that says how it was measured.
pub(in crate::report) const METHOD: &str = "method.html";

impl Site {
    /// A page at the root of the site.
    pub(super) fn page(here: &'static str) -> Self {
        Self { root: "", ..Self::run() }.at(here)
    }

    /// The report of a run, two folders down.
    pub(super) fn run() -> Self {
        Self {
            root: "../../",
            pages: [("Overview", OVERVIEW), ("Compatibility", VERSIONS), ("Method", METHOD)],
            here: "",
        }
    }

    fn at(self, here: &'static str) -> Self {
        Self { here, ..self }
    }
}

impl Frame {
    /// A page that says `description` of itself.
    pub(super) fn new(description: String, site: Option<Site>) -> Self {
        Self { style: STYLE, script: SCRIPT, description: format::one_line(&description, 400), site }
    }
}

/// Renders the template `name`.
///
/// # Errors
/// When the template does not render, which is a fault of this module and not of the results.
pub(super) fn render(name: &str, page: impl Serialize) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).with_context(|| format!("{name} is no template"))?;
    }
    let page = environment
        .get_template(name)
        .and_then(|template| template.render(Serde(page)))
        .with_context(|| format!("{name} does not render"))?;
    // Escaping leaves control characters and reordering marks as they are; here they go, whichever field held them.
    Ok(format::visible(&page))
}
