//! `tandem judge`: what recorded histories say, by the checkers of this version.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::{measure, recover};
use crate::experiment::fault::history::{Event, Header};
use crate::experiment::fault::judge::{Finding, Judgement, Verdict, judge};
use crate::experiment::restart_recovery::history;

/// Run every checker again over the histories that a run has kept.
///
/// Exits with 1 when a scenario does not hold or is unknown.
#[derive(Debug, Args)]
pub(super) struct JudgeArgs {
    /// Folder of a run, of histories, or one history
    #[arg(value_name = "DIR")]
    of: PathBuf,
    /// Print the judgements as JSON, as they stand in results.json
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &JudgeArgs) -> Result<ExitCode> {
    let files = histories(&args.of)?;
    let (of_faults, of_restarts): (Vec<_>, Vec<_>) = files.into_iter().partition(|it| is_of_faults(it));
    let mut held = true;
    let mut all = Vec::new();
    for file in &of_faults {
        let events: Vec<Event> = history::read(file)?;
        let judgement = judge(&events).with_context(|| format!("{} has no beginning", file.display()))?;
        held &= judgement.verdict == Verdict::Pass;
        if args.json {
            all.push(judgement.fault(&file.display().to_string()));
        } else {
            say(&judgement);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    if !of_restarts.is_empty() && !args.json {
        held &= recover::judge_again(&of_restarts)? == ExitCode::SUCCESS;
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(measure::NOT_HELD) })
}

/// The histories of a run, of a folder, or the one file, in order of their names.
fn histories(of: &Path) -> Result<Vec<PathBuf>> {
    if of.is_file() {
        return Ok(vec![of.to_owned()]);
    }
    let folder = Some(of.join("history")).filter(|it| it.is_dir()).unwrap_or_else(|| of.to_owned());
    let failed = || format!("cannot read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(failed)? {
        files.push(entry.with_context(failed)?.path());
    }
    files.retain(|it| it.extension().is_some_and(|it| it == "jsonl"));
    files.sort();
    if files.is_empty() {
        bail!(
            "there is no history (*.jsonl) in {}; runs of `tandem recover` and `tandem fault` keep some",
            folder.display()
        );
    }
    Ok(files)
}

/// Histories of restarts begin otherwise; what is neither fails when it is read.
fn is_of_faults(file: &Path) -> bool {
    let mut line = String::new();
    let read = fs::File::open(file).and_then(|it| BufReader::new(it).read_line(&mut line));
    read.is_ok()
        && matches!(serde_json::from_str(&line), Ok(Event::Run(Header { scenario, .. })) if !scenario.is_empty())
}

fn say(judgement: &Judgement) {
    let header = &judgement.header;
    println!("{} at {} (seed {}): {}", header.scenario, header.target, header.seed, word(judgement.verdict));
    judgement.unready.iter().for_each(|it| println!("  unknown: {it}"));
    for finding in &judgement.findings {
        say_check(finding);
    }
    if let Some(us) = judgement.recovery_us() {
        println!("  all nodes agreed {:.3} s after the heal", us as f64 / 1e6);
    }
    if let Some(us) = judgement.unrecovered_us() {
        println!("  no agreement within {:.0} s of the heal", us as f64 / 1e6);
    }
}

fn say_check(finding: &Finding) {
    let demanded = if finding.is_demanded { "" } else { " (not demanded)" };
    println!("  {}: {}{demanded}", finding.check.name(), word(finding.verdict));
    if finding.verdict == Verdict::Fail {
        println!("    {}", finding.says().unwrap_or_default());
        for it in finding.violations.first().into_iter().flat_map(|it| &it.evidence) {
            println!("      line {}, {:.3} s: {}", it.line, it.at as f64 / 1e6, it.what);
        }
    }
    finding.unknown.iter().for_each(|it| println!("    unknown: {it}"));
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Unknown => "unknown",
        Verdict::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_found_and_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(histories(dir.path()).unwrap_err().to_string().contains("no history"));
        let header = Header { scenario: "pause".into(), services: vec!["a".into()], ..Header::default() };
        let faults = dir.path().join("history/pause-3xtandem.jsonl");
        history::write(&faults, &[Event::Run(header)]).unwrap();
        let restarts = dir.path().join("history/restart-recovery-3xtandem.jsonl");
        let begins =
            r#"{"event":"run","target":"3xtandem","nodes":[],"services":20,"rate":1,"sweeps_per_s":1,"seed":1}"#;
        fs::write(&restarts, begins).unwrap();
        fs::write(dir.path().join("history/notes.txt"), "").unwrap();
        assert_eq!(histories(dir.path()).unwrap(), [faults.clone(), restarts.clone()]);
        assert_eq!(histories(&faults).unwrap(), std::slice::from_ref(&faults));
        assert!(is_of_faults(&faults) && !is_of_faults(&restarts));
        // An empty run is no pass.
        let args = JudgeArgs { of: faults, json: false };
        assert_eq!(run(&args).unwrap(), ExitCode::from(measure::NOT_HELD));
    }
}
