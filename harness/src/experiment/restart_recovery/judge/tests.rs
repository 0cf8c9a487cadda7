//! Histories written by hand, each with one thing to find.

use super::*;
use crate::experiment::restart_recovery::history::{Read, Shown};

/// Two nodes, one service, one registration a second, one look a second. Node 1 is killed at 20 s, started at 25 s and
/// answers from 27 s on; nobody comes or goes after 50 s.
struct Story {
    /// Per instance: acknowledged at, deregistered at, s.
    lives: Vec<(Ms, Option<Ms>)>,
    /// What a node shows instead of the truth: node, instance, from, until, whether it shows it.
    lies: Vec<(usize, u32, Ms, Ms, bool)>,
    /// Whether the restarted node answers.
    comes_back: bool,
    /// Whether the killed node stays silent while it is away.
    is_silent: bool,
}

impl Default for Story {
    fn default() -> Self {
        // One comes a second until 50; every second one leaves after 10 s, if it is not calm by then.
        let lives = (0..50).map(|it| (it, (it % 2 == 1 && it + 10 < 50).then_some(it + 10))).collect();
        Self { lives, lies: Vec::new(), comes_back: true, is_silent: true }
    }
}

const END: Ms = 70;

impl Story {
    fn lie(node: usize, instance: u32, from: Ms, until: Ms, shows: bool) -> Self {
        Self { lies: vec![(node, instance, from, until, shows)], ..Self::default() }
    }

    fn is_up(&self, node: usize, at: Ms) -> bool {
        node != 1 || at < 20 || (!self.is_silent && at < 25) || (self.comes_back && at >= 27)
    }

    fn shows(&self, node: usize, instance: u32, at: Ms) -> bool {
        let lie = self.lies.iter().find(|it| it.0 == node && it.1 == instance && (it.2..it.3).contains(&at));
        let (acked, left) = self.lives[instance as usize];
        lie.map_or(acked <= at && left.is_none_or(|it| at < it), |it| it.4)
    }

    fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Run(Header {
            target: "2xtandem".into(),
            nodes: vec!["tandem".into(); 2],
            services: 1,
            rate: 1,
            sweeps_per_s: 1,
            seed: 1,
        })];
        let phase = |at: Ms, phase| Event::Phase { at: at * 1000, phase };
        let fault = |at: Ms, what| Event::Fault { at: at * 1000, node: 1, what };
        for at in 0..=END {
            match at {
                0 => events.push(phase(at, Phase::Fill)),
                5 => events.push(phase(at, Phase::Steady)),
                19 => events.push(phase(at, Phase::Restart(1))),
                20 => events.push(fault(at, Fault::Killed)),
                25 => events.push(fault(at, Fault::Started)),
                50 => events.push(phase(at, Phase::Final)),
                END => events.push(phase(at, Phase::End)),
                _ => {}
            }
            for (instance, (acked, left)) in self.lives.iter().enumerate() {
                let op = |kind, at: Ms| {
                    Event::Op(Op {
                        kind,
                        instance: instance as u32,
                        due: at * 1000,
                        sent: at * 1000,
                        done: at * 1000 + 5,
                        node: Some(0),
                        attempts: 1,
                        ended: Ended::Acknowledged,
                        indefinite: false,
                    })
                };
                events.extend((*acked == at).then(|| op(OpKind::Register, at)));
                events.extend((*left == Some(at)).then(|| op(OpKind::Deregister, at)));
            }
            for node in (0..2).filter(|_| at < END) {
                let present = (0..self.lives.len() as u32).filter(|it| self.shows(node, *it, at)).collect();
                let shown = self.is_up(node, at).then_some(Shown { present, unhealthy: Vec::new() });
                // Half a second after everything else of this second.
                let (sent, done) = (at * 1000 + 500, at * 1000 + 510);
                events.push(Event::Read(Read { node, service: 0, sent, done, shown }));
            }
        }
        events
    }

    fn judged(&self) -> Judgement {
        judge(&self.events()).unwrap()
    }
}

fn restart(judgement: &Judgement) -> &Part {
    judgement.parts.iter().find(|it| it.phase == Phase::Restart(1)).unwrap()
}

/// The story kills one of two nodes.
fn verdict(judgement: &Judgement) -> Verdict {
    judgement.parts.iter().filter(|it| it.phase != Phase::Final).map(|it| it.verdict).max().unwrap()
}

#[test]
fn a_clean_run_passes_with_its_times() {
    let judgement = Story::default().judged();
    let part = restart(&judgement);
    assert_eq!((part.verdict, &part.reasons), (Verdict::Pass, &Vec::new()));
    assert_eq!(part.fault, [Some(20_000), Some(25_000), Some(27_510)]);
    assert_eq!((part.back_ms, part.agreement_ms), (Some(2_510), Some(0)));
    for node in &part.nodes {
        assert_eq!((node.ever_gone(), node.looks), (0, node.looks_answered));
        assert!(node.gone_ms.len() > 20 && node.late_ms.iter().all(|it| *it == 0));
    }
    assert_eq!(part.ops, part.ops_answered_at_once);
    let end = judgement.parts.last().unwrap();
    assert_eq!((judgement.lost, judgement.resurrected), (0, 0));
    assert_eq!(end.reasons, ["1 of 2 nodes were killed"], "and that is all that is wrong with it");
}

#[test]
fn what_vanishes_for_a_while_is_counted_where_it_vanished() {
    let judgement = Story::lie(0, 2, 30, 34, false).judged();
    let part = restart(&judgement);
    assert_eq!(part.nodes[0].gone_ms.iter().max(), Some(&4_000));
    assert_eq!((part.nodes[0].ever_gone(), part.nodes[1].ever_gone()), (1, 0));
    // The node answered at 27.51 s; the first look without a lie left at 34.5 s.
    assert_eq!((part.agreement_ms, part.verdict), (Some(6_990), Verdict::Pass));
}

#[test]
fn a_node_that_comes_back_without_an_instance_has_lost_it_but_is_not_charged_for_its_absence() {
    let judgement = Story::lie(1, 2, 25, 30, false).judged();
    // Looks at 27.5, 28.5 and 29.5 lack it, the one at 30.5 shows it.
    assert_eq!(restart(&judgement).nodes[1].gone_ms.iter().max(), Some(&3_000));
    assert_eq!(restart(&judgement).nodes[1].late_ms.iter().max(), Some(&0));
}

#[test]
fn what_was_missing_at_the_kill_is_charged_up_to_the_last_look() {
    let judgement = Story::lie(1, 2, 17, 25, false).judged();
    let steady = judgement.parts.iter().find(|it| it.phase == Phase::Steady).unwrap();
    assert_eq!(steady.nodes[1].gone_ms.iter().max(), Some(&2_000), "looks at 17.5, 18.5 and 19.5");
    assert_eq!(restart(&judgement).nodes[1].ever_gone(), 0);
}

#[test]
fn a_late_instance_is_late_and_not_gone() {
    let judgement = Story::lie(0, 30, 30, 33, false).judged();
    let part = restart(&judgement);
    assert_eq!(part.nodes[0].late_ms.iter().max(), Some(&2_495), "acknowledged at 30.005 s, last lacking at 32.5 s");
    assert_eq!(part.nodes[0].ever_gone(), 0);
    assert_eq!(part.agreement_ms, Some(0), "less than nodes may lag");
}

#[test]
fn a_loss_that_lasts_fails() {
    let judgement = Story::lie(1, 2, 30, END, false).judged();
    let part = restart(&judgement);
    assert_eq!((part.verdict, part.agreement_ms), (Verdict::Fail, None));
    assert_eq!((judgement.lost, judgement.verdict), (1, Verdict::Fail));
}

#[test]
fn what_comes_back_after_it_was_deregistered_fails() {
    // Instance 31 leaves at 41 s.
    let judgement = Story::lie(0, 31, 60, END, true).judged();
    assert_eq!((judgement.resurrected, judgement.lost, judgement.verdict), (1, 0, Verdict::Fail));
    let end = judgement.parts.last().unwrap();
    assert!(end.reasons.iter().any(|it| it.contains("not the same")));
    assert_eq!((end.complete_ms, end.agreement_ms), (Some(0), None), "nothing is lacking");
}

#[test]
fn a_doubtful_registration_is_held_against_nobody() {
    let mut events = Story::lie(0, 31, 41, END, true).events();
    for event in &mut events {
        if let Event::Op(op) = event
            && op.instance == 31
            && op.kind == OpKind::Register
        {
            op.indefinite = true;
            op.done = 40_900;
        }
    }
    let judgement = judge(&events).unwrap();
    assert_eq!(judgement.resurrected, 0);
}

#[test]
fn a_node_that_stays_away_fails_and_a_kill_without_effect_is_unknown() {
    let judgement = Story { comes_back: false, ..Story::default() }.judged();
    assert_eq!(restart(&judgement).reasons, ["the node did not answer again"]);
    assert_eq!(verdict(&judgement), Verdict::Fail);
    let judgement = Story { is_silent: false, ..Story::default() }.judged();
    assert_eq!(restart(&judgement).reasons, ["the kill had no effect that was seen"]);
    assert_eq!(verdict(&judgement), Verdict::Unknown);
}

#[test]
fn a_load_that_was_not_kept_is_unknown() {
    let mut story = Story::default();
    story.lives.retain(|it| it.0 < 20 || it.0 % 2 == 0);
    assert!(restart(&story.judged()).reasons[0].contains("registrations were sent"));
    let mut events = Story::lie(0, 2, 30, 50, false).events();
    assert_eq!(restart(&judge(&events).unwrap()).verdict, Verdict::Fail);
    for event in &mut events {
        if let Event::Op(op) = event
            && op.sent == 30_000
        {
            op.due = 28_000;
        }
    }
    assert!(restart(&judge(&events).unwrap()).reasons[0].contains("late at its 99th percentile"));
    events.push(Event::Unsent { due: 1 });
    assert_eq!(verdict(&judge(&events).unwrap()), Verdict::Unknown);
}

#[test]
fn a_history_without_an_end_or_a_beginning_is_no_pass() {
    let mut events = Story::default().events();
    events.retain(|it| !matches!(it, Event::Phase { phase: Phase::End, .. }));
    assert_eq!(judge(&events).unwrap().verdict, Verdict::Unknown);
    events.remove(0);
    assert!(judge(&events).is_none());
}
