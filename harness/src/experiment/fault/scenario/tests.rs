use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat/cases/faults")
}

const HEAD: &str = "title = \"t\"\nwhy = \"w\"\n";
const HOLD: &str = "[hold]\nchecks = [\"agreement\"]\n";

fn told(steps: &str, rest: &str) -> String {
    let error = Scenario::parse("x", &format!("{HEAD}{steps}\n{rest}")).expect_err("must be refused");
    let text = format!("{error:#}");
    assert!(!text.contains('\n'), "one sentence: {text}");
    text
}

#[test]
fn the_project_s_scenarios_are_read_and_are_many() {
    let all = Scenario::all(&folder()).expect("the scenarios");
    assert!(all.len() >= 20, "{}", all.len());
    let names: BTreeSet<_> = all.iter().map(|it| &it.name).collect();
    assert_eq!(names.len(), all.len());
    // What nobody uses nobody has tried.
    let used: BTreeSet<_> = all.iter().flat_map(|it| it.steps.iter().map(|step| step.action)).collect();
    assert!(used.len() >= 17, "{used:?}");
    let checked: BTreeSet<_> = all.iter().flat_map(|it| it.hold.checks.iter().map(String::as_str)).collect();
    // Reads go to followers as well, and may be behind there: that is measured, and demanded of nobody.
    assert_eq!(checked, checks().filter(|it| *it != "linearizable-reads").collect());
}

#[test]
fn a_slip_is_told_in_one_sentence_with_the_right_word() {
    let kill = "[[step]]\ndo = \"kill\"\nnodes = [0]\n";
    for (steps, rest, expected) in [
        ("[[step]]\ndo = \"kil\"\nnodes = [0]\n", HOLD, "did you mean \"kill\"?"),
        ("[[step]]\ndo = \"kill\"\nndoes = [0]\n", HOLD, "did you mean \"nodes\"?"),
        ("[[step]]\ndo = \"kill\"\nnodes = [\"leadr\"]\n", HOLD, "did you mean \"leader\"?"),
        ("[[step]]\ndo = \"kill\"\n", HOLD, "step 1 (kill): names no `nodes`"),
        ("[[step]]\ndo = \"kill\"\nnodes = [0]\npercent = 3\n", HOLD, "step 1 (kill): kill takes no `percent`"),
        ("[[step]]\ndo = \"delay\"\nnodes = [0]\n", HOLD, "step 1 (delay): delay needs `delay`"),
        ("[[step]]\ndo = \"kill\"\nnodes = [0]\nfor = -1\n", HOLD, "-1 is no time in seconds"),
        ("[[step]]\ndo = \"kill\"\nnodes = [\"owner-of:9\"]\n", HOLD, "there is no service 9; [load] has 6"),
        (
            kill,
            "[hold]\nchecks = [\"agreemnt\"]\n",
            "[hold]: there is no check \"agreemnt\"; did you mean \"agreement\"?",
        ),
        (kill, "[hold]\nchecks = []\n", "`checks` is empty"),
        (kill, "[hold]\nchecks = [\"no-lost-write\"]\n", "needs persistent data"),
        (kill, "[hold]\nchecks = [\"no-zombie\"]\n", "the check \"no-zombie\" needs clients that die"),
        (kill, "[hold]\nchecks = [\"sync-latency\"]\n", "the check \"sync-latency\" needs a probe"),
        (kill, "[lode]\nservices = 1\n[hold]\nchecks = [\"agreement\"]\n", "did you mean \"load\"?"),
    ] {
        let text = told(steps, rest);
        assert!(text.contains(expected), "{text}");
    }
    assert!(told("", "").contains("step"), "a file without steps");
}

#[test]
fn groups_share_the_clients_and_a_client_is_in_every_service() {
    let group = "[[load.group]]\nshare = 2\nservers = [0, 1]\n[[load.group]]\nshare = 1\nservers = [2]\n";
    let text = format!("{HEAD}[[step]]\ndo = \"kill\"\nnodes = [0]\n[load]\nservices = 3\n{group}{HOLD}");
    let scenario = Scenario::parse("x", &text).expect("a scenario");
    let group = |instance| scenario.load.group_of(instance).map(|it| it.servers.len());
    // Clients 0 and 1 know two servers, client 2 knows one; instances 0, 1, 2 are client 0's.
    assert_eq!((0..9).map(group).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 2, 1, 1, 1].map(Some));
    assert_eq!(LoadSpec::default().group_of(3).map(|it| it.share), None);
}

#[test]
fn an_unknown_scenario_brings_the_nearest() {
    let all = [Scenario::parse("rolling-restart", &format!("{HEAD}[[step]]\ndo = \"heal\"\n{HOLD}")).expect("one")];
    let error = Scenario::named(&all, &["rolling-restat".to_owned()]).expect_err("must be refused").to_string();
    assert_eq!(error, "there is no scenario \"rolling-restat\"; did you mean \"rolling-restart\"?");
}

#[test]
fn the_examples_of_the_documentation_are_scenarios() {
    for page in ["../docs/faults.md", "../compat/cases/faults/README.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect(page);
        let example = text.split("```toml\n").nth(1).and_then(|it| it.split("```").next()).expect("an example");
        Scenario::parse("example", example).unwrap_or_else(|error| panic!("{page}: {error:#}"));
    }
}
