//! `tandem report`: renders a recorded run and compares it with a baseline.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::report;
use crate::results::Results;

/// Exit code for a regression.
const REGRESSED: u8 = 1;
/// Exit code for input that cannot be used.
const UNUSABLE: u8 = 2;

/// Renders recorded runs; with a baseline, says what moved.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Folder of a run: the one that holds results.json; may be repeated
    #[arg(value_name = "DIR", required = true)]
    pub(super) dirs: Vec<PathBuf>,

    /// Folder of a site to add the runs to; made when missing, and every page of it is made anew
    #[arg(long, value_name = "DIR", conflicts_with = "against")]
    pub(super) publish: Option<PathBuf>,

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

/// Renders the reports beside their results and prints where they are, or publishes the runs. 1 on a regression, 2 on
/// input that cannot be used or compared.
///
/// # Errors
/// When a report cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runs = match read(args) {
        Ok(runs) => runs,
        Err(error) => {
            eprintln!("tandem report: {error:#}");
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    if let Some(site) = &args.publish {
        let results: Vec<Results> = runs.into_iter().map(|it| it.results).collect();
        let published = report::publish(&results, site)?;
        let many = if published.runs == 1 { "run" } else { "runs" };
        println!("{} ({} {many})", published.index.display(), published.runs);
        return Ok(ExitCode::SUCCESS);
    }
    let (mut regressed, mut unjudged) = (false, false);
    for Run { dir, results, comparison } in runs {
        let rendered = report::render_with(&results, comparison.as_ref(), &dir)?;
        if let Some(comparison) = &comparison {
            println!("{}", comparison.markdown().trim_end());
            regressed |= comparison.regressed();
            unjudged |= comparison.ratios_unjudged.is_some();
        }
        for path in [&rendered.html, &rendered.markdown, &rendered.junit] {
            println!("{}", path.display());
        }
    }
    // A gate that passes because nothing could be compared is none.
    Ok(match (regressed, unjudged) {
        (true, _) => ExitCode::from(REGRESSED),
        (false, true) => ExitCode::from(UNUSABLE),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// One run that was read.
struct Run {
    /// Where its report goes.
    dir: PathBuf,
    results: Results,
    comparison: Option<report::Comparison>,
}

fn read(args: &Args) -> anyhow::Result<Vec<Run>> {
    let old = args.against.as_deref().map(report::load).transpose().context("the baseline cannot be used")?;
    let read = |dir: &PathBuf| {
        let results = report::load(dir)?;
        let comparison = old.as_ref().map(|old| report::against(&results, old, args.tolerance)).transpose()?;
        // A file may be named instead of its folder.
        let dir = if dir.is_file() { dir.parent().unwrap_or(dir).to_path_buf() } else { dir.clone() };
        Ok(Run { dir, results, comparison })
    };
    args.dirs.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::fixture;
    use crate::results::Outcome;

    fn exit(dir: &std::path::Path, against: Option<&std::path::Path>) -> String {
        let args = Args { dirs: vec![dir.into()], publish: None, against: against.map(Into::into), tolerance: 0.1 };
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
        let mut behind = fixture::sample();
        behind.run.load.generator_kept_up = false;
        report::write_results(&behind, new.path()).unwrap();
        assert_eq!(exit(new.path(), Some(old.path())), code(2));
        results.run.profile = "full".into();
        report::write_results(&results, new.path()).unwrap();
        assert_eq!(exit(new.path(), Some(old.path())), code(2));
    }
}
