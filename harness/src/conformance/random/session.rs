//! A run of many sequences at one reference and one subject.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::time::Instant;

use super::generator::{Sequence, Tree};
use super::keep::{self, Origin};
use super::operation::Operation;
use super::pair::{Difference, Pair, Patience};
use super::play::{End, Played, play};
use super::shrink::{Shrunk, Try, shrink};
use super::switches::Switches;
use crate::conformance::place::Fixture;
use crate::conformance::play::described;
use crate::conformance::runner::place;
use crate::results::{Random, RandomDifference};
use crate::target::Cluster;

/// Calls of a sequence unless told otherwise.
pub const LENGTH: u64 = 40;
/// Sequences that run side by side, each with names of its own.
const SIDE_BY_SIDE: usize = 6;
/// Differences that are shrunk in one run, and of these such at one endpoint: one cause shows in many sequences.
const SHRUNK_MAX: usize = 12;
const SHRUNK_ALIKE_MAX: usize = 3;
/// Sequences with a difference after which the run ends: there is enough to look at.
const DIFFERING_MAX: u64 = 60;
/// Lines that results keep of what could not be judged.
const LINES_MAX: usize = 20;

/// Told how many sequences are done, of how many.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// What a run does.
#[derive(Clone)]
pub struct Options {
    /// Seed of every choice.
    pub seed: u64,
    /// Calls in all.
    pub operations: u64,
    /// Sequences they are spread over; so many that each has [`LENGTH`] calls, when not given.
    pub sequences: Option<u64>,
    /// Folder that differences are written to as cases.
    pub out: Option<PathBuf>,
    /// Told about each sequence.
    pub progress: Option<Progress>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("seed", &self.seed).field("operations", &self.operations).finish()
    }
}

impl Options {
    /// How many sequences, and how many calls the one with this number has.
    fn shape(&self) -> (u64, impl Fn(u64) -> usize) {
        let sequences =
            self.sequences.unwrap_or_else(|| self.operations.div_ceil(LENGTH)).clamp(1, self.operations.max(1));
        let (each, more) = (self.operations / sequences, self.operations % sequences);
        (sequences, move |number| usize::try_from(each + u64::from(number < more)).unwrap_or(usize::MAX))
    }
}

struct Run<'a> {
    pair: &'a Pair,
    switches: [Switches<'a>; 2],
    /// Held by every sequence, and by one that changes switches alone.
    alone: RwLock<()>,
    plays: AtomicU64,
    stamp: u64,
    found: Mutex<Found>,
    options: &'a Options,
}

#[derive(Default)]
struct Found {
    played: Played,
    sequences: u64,
    cut_short: u64,
    differing: u64,
    differences: Vec<RandomDifference>,
    alike: BTreeMap<String, usize>,
    unrepeated: Vec<String>,
    errors: Vec<String>,
}

/// Runs the sequences. Health checks of both servers are off meanwhile.
///
/// # Errors
/// When a server does not answer or its switches cannot be put back.
pub async fn run(reference: &Cluster, subject: &Cluster, options: &Options) -> Result<Random> {
    for cluster in [reference, subject] {
        ensure!(cluster.nodes.len() == 1, "generated sequences are for one server, and {} has more", cluster.target);
    }
    let began = Instant::now();
    let fixture = Fixture::open().await.context("cannot open a port for health checks")?;
    let pair = Pair { reference: place(reference, &fixture), subject: place(subject, &fixture) };
    let switches = [Switches::quiet(&pair.reference).await?, Switches::quiet(&pair.subject).await?];
    let run = Run {
        pair: &pair,
        switches,
        alone: RwLock::new(()),
        plays: AtomicU64::new(0),
        stamp: stamp(),
        found: Mutex::default(),
        options,
    };
    let (sequences, length) = options.shape();
    let all = futures::stream::iter(0..sequences).map(|number| run.sequence(number, length(number)));
    let mut all = all.buffer_unordered(SIDE_BY_SIDE);
    let mut failed = None;
    let mut done = 0;
    while let Some(ended) = all.next().await {
        done += 1;
        if let Some(progress) = &options.progress {
            progress(done, sequences);
        }
        if let Err(error) = ended {
            failed = Some(error);
            break;
        }
        if run.found.lock().differing >= DIFFERING_MAX {
            break;
        }
    }
    drop(all);
    for switches in &run.switches {
        switches.give_back().await?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let found = run.found.into_inner();
    Ok(record(reference, subject, options, found, began.elapsed()))
}

fn record(reference: &Cluster, subject: &Cluster, options: &Options, found: Found, took: Duration) -> Random {
    Random {
        reference: reference.target.clone(),
        target: subject.target.clone(),
        seed: options.seed,
        sequences: found.sequences,
        operations: found.played.operations,
        planned: options.operations,
        compared: found.played.compared,
        cut_short: found.cut_short,
        kept: found.played.kept.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect(),
        differing: found.differing,
        differences: found.differences,
        unrepeated: found.unrepeated,
        errors: found.errors,
        duration_s: took.as_secs_f64(),
    }
}

/// Names of two runs at one server must differ.
fn stamp() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |it| it.as_secs() % 100_000_000)
}

impl Run<'_> {
    async fn sequence(&self, number: u64, length: usize) -> Result<()> {
        let sequence = Sequence::generate(self.options.seed, number, length);
        let operations = sequence.operations();
        let is_global = operations.iter().any(Operation::is_global);
        let (_alone, _beside) =
            if is_global { (Some(self.alone.write().await), None) } else { (None, Some(self.alone.read().await)) };
        let played = self.play(&operations, &Patience::USUAL).await?;
        let end = self.count(number, played);
        if let End::Differs(difference) = end {
            self.differs(number, sequence.trees, *difference).await?;
        }
        Ok(())
    }

    /// Adds a sequence to what was found; a difference is looked into by the caller.
    fn count(&self, number: u64, played: Played) -> End {
        let mut found = self.found.lock();
        found.sequences += 1;
        found.played.operations += played.operations;
        found.played.compared += played.compared;
        for (id, count) in played.kept {
            *found.played.kept.entry(id).or_default() += count;
        }
        match &played.end {
            End::Whole | End::Differs(_) => {}
            End::CutShort => found.cut_short += 1,
            End::Unknown(why) if found.errors.len() < LINES_MAX => {
                found.errors.push(format!("sequence {number}: {why}"));
            }
            End::Unknown(_) => {}
        }
        played.end
    }

    async fn play(&self, operations: &[Operation], patience: &Patience) -> Result<Played> {
        // One length for all: subscribers of a namespace are found by the beginning of its id.
        let tag = format!("r{:08}p{:06}", self.stamp, self.plays.fetch_add(1, Ordering::Relaxed));
        let played = play(self.pair, operations, &tag, patience).await;
        for switches in &self.switches {
            switches.put_back(operations).await?;
        }
        Ok(played)
    }

    async fn differs(&self, number: u64, trees: Vec<Tree>, first: Difference) -> Result<()> {
        let endpoint = first.operation.endpoint();
        {
            let mut found = self.found.lock();
            let all: usize = found.alike.values().sum();
            let alike = found.alike.entry(endpoint.clone()).or_default();
            if all >= SHRUNK_MAX || *alike >= SHRUNK_ALIKE_MAX {
                found.differing += 1;
                return Ok(());
            }
            *alike += 1;
        }
        let mut again = Again { run: self, error: None };
        let shrunk = shrink(trees, &first, &mut again).await;
        if let Some(error) = again.error {
            return Err(error);
        }
        let Some(shrunk) = shrunk else {
            let mut found = self.found.lock();
            if found.unrepeated.len() < LINES_MAX {
                found.unrepeated.push(format!("sequence {number}, call {}: {endpoint}: {}", first.made, first.text));
            }
            return Ok(());
        };
        let origin = Origin { seed: self.options.seed, sequence: number };
        let file = match &self.options.out {
            Some(folder) => Some(keep::write(&shrunk, origin, folder)?.display().to_string()),
            None => None,
        };
        let mut found = self.found.lock();
        found.differing += 1;
        found.differences.push(described_difference(&shrunk, origin, file));
        Ok(())
    }
}

fn described_difference(shrunk: &Shrunk, origin: Origin, case_file: Option<String>) -> RandomDifference {
    let steps = keep::steps(shrunk);
    RandomDifference {
        sequence: origin.sequence,
        steps: steps.iter().map(|it| described(&it.case("", &origin.name()))).collect(),
        reason: shrunk.difference.text.clone(),
        expected: shrunk.difference.expected.to_result(),
        observed: shrunk.difference.observed.as_ref().map(crate::conformance::answer::Answer::to_result),
        case_file,
    }
}

/// Tries of a shrinking.
struct Again<'a, 'b> {
    run: &'a Run<'b>,
    error: Option<anyhow::Error>,
}

impl Try for Again<'_, '_> {
    async fn differs(&mut self, operations: &[Operation]) -> Option<Difference> {
        if self.error.is_some() {
            return None;
        }
        match self.run.play(operations, &Patience::CAREFUL).await {
            Ok(Played { end: End::Differs(difference), .. }) => Some(*difference),
            Ok(_) => None,
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(operations: u64, sequences: Option<u64>) -> Vec<usize> {
        let options = Options { seed: 1, operations, sequences, out: None, progress: None };
        let (count, length) = options.shape();
        (0..count).map(length).collect()
    }

    #[test]
    fn every_call_is_in_one_sequence() {
        assert_eq!(shape(100, None), [34, 33, 33]);
        assert_eq!(shape(20_000, None).len(), 500);
        assert_eq!(shape(10, Some(4)), [3, 3, 2, 2]);
        assert_eq!(shape(3, Some(9)), [1, 1, 1]);
    }
}
