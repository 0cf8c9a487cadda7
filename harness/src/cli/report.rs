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
pub(super) struct Args {
    /// Folder of the run: the one that holds results.json
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,

    /// Folder of the run to compare with; exits with 1 when something regressed
    #[arg(long, value_name = "DIR")]
    pub(super) against: Option<PathBuf>,

    /// Relative change of a ratio that is let pass even when the intervals lie apart
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = tolerance, requires = "against")]
    pub(super) tolerance: f64,
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
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::fixture;
    use crate::results::Outcome;

    fn exit(dir: &std::path::Path, against: Option<&std::path::Path>) -> String {
        let args = Args { dir: dir.into(), against: against.map(Into::into), tolerance: 0.1 };
        format!("{:?}", run(&args).unwrap())
    }

    #[test]
    fn the_exit_code_tells_a_regression_from_unusable_input() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        report::write_results(&fixture::sample(), old.path()).unwrap();
        let mut results = fixture::sample();
        results.conformance.as_mut().unwrap().cases[0].outcome = Outcome::Fail;
        report::write_results(&results, new.path()).unwrap();
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(exit(new.path(), None), code(0));
        assert_eq!(exit(new.path(), Some(old.path())), code(1));
        assert_eq!(exit(old.path(), Some(new.path())), code(0));
        assert_eq!(exit(new.path(), Some(&new.path().join("nothing"))), code(2));
        results.run.profile = "full".into();
        report::write_results(&results, new.path()).unwrap();
        assert_eq!(exit(new.path(), Some(old.path())), code(2));
    }
}
