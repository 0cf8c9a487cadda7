//! Targets beside the all-real one of the same run: is what was acknowledged missing for longer anywhere?

use std::fmt;

use super::figures;
use super::history::{Ms, Phase};
use super::judge::{Judgement, Part, Verdict};

/// Kind of a node that is the reference.
const REFERENCE_KIND: &str = "nacos";

/// One of the times that a target need not have.
type Longest = fn(&Summary) -> Option<Ms>;

/// What counts for a comparison, of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The target as written on the command line.
    pub target: String,
    /// Whether all its nodes are real.
    pub is_reference: bool,
    /// The verdict on its own run.
    pub verdict: Verdict,
    /// Longest time an instance was gone at a node, ms.
    pub gone_max_ms: Ms,
    /// 99th percentile of the same over all instances and nodes, ms.
    pub gone_p99_ms: Ms,
    /// Instances at nodes that were gone at some time, and all.
    pub gone: (usize, usize),
    /// Longest time until a node first showed an instance, ms.
    pub late_max_ms: Ms,
    /// 99th percentile of the same, ms.
    pub late_p99_ms: Ms,
    /// Longest time from the first answer of a restarted node until no node lacked anything, ms; nothing when that did
    /// not happen once.
    pub complete_max_ms: Option<Ms>,
    /// Longest time from the first answer of a restarted node to agreement, ms; nothing when there was none once.
    pub agreement_max_ms: Option<Ms>,
    /// Share of operations that were answered, all servers tried.
    pub answered: f64,
    /// Between two looks at a service of a node, ms: figures are not finer.
    pub resolution_ms: Ms,
}

impl Summary {
    /// What counts of a judgement.
    pub fn of(judgement: &Judgement) -> Self {
        let sorted = |mut it: Vec<Ms>| {
            it.sort_unstable();
            it
        };
        let gone = sorted(figures::all(judgement, |it| &it.gone_ms).collect());
        let late = sorted(figures::all(judgement, |it| &it.late_ms).collect());
        let restarts: Vec<_> = judgement.parts.iter().filter(|it| matches!(it.phase, Phase::Restart(_))).collect();
        let (answered, ops) = restarts.iter().fold((0, 0), |sum, it| (sum.0 + it.ops_answered, sum.1 + it.ops));
        let longest = |of: fn(&Part) -> Option<Ms>| {
            let all: Option<Vec<Ms>> = restarts.iter().map(|it| of(it)).collect();
            all.and_then(|it| it.into_iter().max())
        };
        Self {
            target: judgement.header.target.clone(),
            is_reference: judgement.header.nodes.iter().all(|it| it == REFERENCE_KIND),
            verdict: judgement.verdict,
            gone_max_ms: gone.last().copied().unwrap_or(0),
            gone_p99_ms: p99(&gone),
            gone: (gone.iter().filter(|it| **it > 0).count(), gone.len()),
            late_max_ms: late.last().copied().unwrap_or(0),
            late_p99_ms: p99(&late),
            complete_max_ms: longest(|it| it.complete_ms),
            agreement_max_ms: longest(|it| it.agreement_ms),
            answered: if ops == 0 { 0.0 } else { answered as f64 / ops as f64 },
            resolution_ms: 1000 / Ms::from(judgement.header.sweeps_per_s.max(1)),
        }
    }

    /// Whether nothing that was acknowledged was missing for longer than at `reference`, as far as looks can tell.
    pub fn is_no_worse_than(&self, reference: &Self) -> bool {
        let room = 2 * self.resolution_ms;
        self.gone_max_ms <= reference.gone_max_ms + room && self.late_max_ms <= reference.late_max_ms + room
    }
}

/// One target, and the real one beside it.
#[derive(Debug)]
pub struct Compared<'a> {
    /// The target.
    pub target: &'a Summary,
    /// The real one of the same run, when there was one.
    pub reference: Option<&'a Summary>,
}

impl Compared<'_> {
    /// Whether the target held: on its own, and beside the real one. Nothing when that cannot be said.
    pub fn held(&self) -> Option<bool> {
        match (self.target.verdict, self.reference) {
            (Verdict::Unknown, _) => None,
            (Verdict::Fail, _) => Some(false),
            (Verdict::Pass, Some(reference)) if !self.target.is_no_worse_than(reference) => Some(false),
            // Beside a real one that could not be judged nothing was compared.
            (Verdict::Pass, Some(reference)) if reference.verdict == Verdict::Unknown => None,
            (Verdict::Pass, _) => Some(true),
        }
    }
}

/// Every target of a run with the first all-real one beside it.
pub fn compared(summaries: &[Summary]) -> Vec<Compared<'_>> {
    let reference = summaries.iter().find(|it| it.is_reference);
    summaries.iter().map(|target| Compared { target, reference: reference.filter(|_| !target.is_reference) }).collect()
}

impl fmt::Display for Compared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.target.is_reference, self.held()) {
            (true, _) => match self.target.verdict {
                Verdict::Pass => "passes",
                Verdict::Fail => "FAILS",
                Verdict::Unknown => "UNKNOWN",
            },
            (_, Some(true)) => "held",
            (_, Some(false)) => "NOT HELD",
            (_, None) => "UNKNOWN",
        };
        let it = self.target;
        writeln!(f, "{}: {verdict}", it.target)?;
        let line = |f: &mut fmt::Formatter<'_>, what: &str, value: Ms, real: Option<Ms>| match (real, self.reference) {
            (Some(real), Some(reference)) => {
                let difference = value as i64 - real as i64;
                let name = &reference.target;
                writeln!(f, "  {what}: {value} ms ({name}: {real} ms, difference {difference:+} ms)")
            }
            _ => writeln!(f, "  {what}: {value} ms"),
        };
        let real = self.reference;
        line(f, "gone again, longest", it.gone_max_ms, real.map(|it| it.gone_max_ms))?;
        line(f, "gone again, 99th percentile", it.gone_p99_ms, real.map(|it| it.gone_p99_ms))?;
        line(f, "not there yet, longest", it.late_max_ms, real.map(|it| it.late_max_ms))?;
        line(f, "not there yet, 99th percentile", it.late_p99_ms, real.map(|it| it.late_p99_ms))?;
        let longest: [(&str, Longest); 2] = [
            ("from its first answer until no node lacks anything, longest", |it| it.complete_max_ms),
            ("from its first answer to agreement, longest", |it| it.agreement_max_ms),
        ];
        for (what, of) in longest {
            match of(it) {
                Some(value) => line(f, what, value, real.and_then(of))?,
                None => writeln!(f, "  {what}: not after every restart")?,
            }
        }
        let of = |it: &Summary| {
            let (gone, all) = it.gone;
            format!(
                "{gone} of {all} instances at nodes were gone at some time, {:.3} % of operations answered",
                it.answered * 100.0
            )
        };
        write!(f, "  {}", of(it))?;
        real.map_or(Ok(()), |real| write!(f, " ({}: {})", real.target, of(real)))
    }
}

/// The value that 99 of 100 do not exceed, of sorted ones.
fn p99(sorted: &[Ms]) -> Ms {
    let position = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(position).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(target: &str, gone: Ms, late: Ms) -> Summary {
        Summary {
            target: target.into(),
            is_reference: target.contains("nacos") && !target.contains("tandem"),
            verdict: Verdict::Pass,
            gone_max_ms: gone,
            gone_p99_ms: 0,
            gone: (0, 10),
            late_max_ms: late,
            late_p99_ms: 0,
            complete_max_ms: Some(0),
            agreement_max_ms: Some(0),
            answered: 1.0,
            resolution_ms: 333,
        }
    }

    #[test]
    fn a_target_is_held_to_the_real_one_of_the_same_run() {
        let mut all =
            vec![summary("3xtandem", 0, 0), summary("2xnacos+tandem", 9_000, 0), summary("3xnacos", 8_000, 0)];
        let held = |all: &[Summary]| compared(all).iter().map(Compared::held).collect::<Vec<_>>();
        assert_eq!(held(&all), [Some(true), Some(false), Some(true)]);
        all[1].gone_max_ms = 8_600;
        assert_eq!(held(&all)[1], Some(true), "within the resolution of the looks");
        all[1].late_max_ms = 1_000;
        assert_eq!(held(&all)[1], Some(false));
        assert!(compared(&all)[1].to_string().contains("difference +600 ms"));
        all[0].verdict = Verdict::Unknown;
        assert_eq!(held(&all)[0], None);
        all[0].verdict = Verdict::Pass;
        all[2].verdict = Verdict::Unknown;
        assert_eq!(held(&all)[0], None, "nothing was compared");
        assert_eq!(held(&all[..1]), [Some(true)], "alone a target is held to its own verdict");
    }

    #[test]
    fn the_99th_percentile_is_one_of_the_values() {
        assert_eq!(p99(&[]), 0);
        assert_eq!(p99(&[5]), 5);
        assert_eq!(p99(&(1..=100).collect::<Vec<_>>()), 99);
    }
}
