//! `tandem report`: renders a recorded run and compares it with a baseline.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::report;

/// Exit code for a regression.
const REGRESSED: u8 = 1;
/// Exit code for input that cannot be used.
const UNUSABLE: u8 = 2;

/// Renders a recorded run; with a baseline, says what moved.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder of the run: the one that holds results.json
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Folder of the run to compare with; exits with 1 when something regressed
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,

    /// Relative change of a ratio that is let pass even when the intervals lie apart
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = tolerance, requires = "against")]
    pub tolerance: f64,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("expected a share such as 0.1".to_owned()),
    }
}

/// Renders the report beside its results and prints where it is. 1 on a regression, 2 on unusable input.
///
/// # Errors
/// When the report cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (results, comparison) = match read(args) {
        Ok(read) => read,
        Err(error) => {
            eprintln!("tandem report: {error:#}");
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    // A file may be named instead of its folder.
    let out = if args.dir.is_file() { args.dir.parent().unwrap_or(&args.dir) } else { &args.dir };
    let rendered = report::render_with(&results, comparison.as_ref(), out)?;
    if let Some(comparison) = &comparison {
        println!("{}", comparison.markdown().trim_end());
    }
    for path in [&rendered.html, &rendered.markdown, &rendered.junit] {
        println!("{}", path.display());
    }
    let regressed = comparison.is_some_and(|it| it.regressed());
    Ok(if regressed { ExitCode::from(REGRESSED) } else { ExitCode::SUCCESS })
}

fn read(args: &Args) -> anyhow::Result<(crate::results::Results, Option<report::Comparison>)> {
    let results = report::load(&args.dir)?;
    let Some(baseline) = &args.against else { return Ok((results, None)) };
    let old = report::load(baseline).context("the baseline cannot be used")?;
    let comparison = report::against(&results, &old, args.tolerance)?;
    Ok((results, Some(comparison)))
}
