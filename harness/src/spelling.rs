//! The nearest right spelling of a word that nobody knows.

/// The known word that `wrong` was most likely meant to be; nothing when none is near.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    // One slip in three letters: beyond that a hint misleads more often than it helps.
    let slips_max = wrong.chars().count().div_ceil(3).min(4);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&wrong, &word.to_lowercase()), word))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// `; did you mean "…"?`, or nothing: the end of a sentence about a word that nobody knows.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known).map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

/// An error of serde about an unknown field or variant, with the nearest of those it names as expected.
pub fn with_hint(error: impl std::fmt::Display) -> anyhow::Error {
    let text = error.to_string();
    let message = text.trim_end();
    // "unknown field `at_mst`, expected one of `what`, `at_most`": every second piece stands between backticks.
    let Some((before, told)) = message.split_once("unknown ") else { return anyhow::anyhow!("{message}") };
    let mut words = told.split('`').skip(1).step_by(2);
    let hint = words.next().map(|wrong| hint(wrong, words)).unwrap_or_default();
    if hint.is_empty() {
        return anyhow::anyhow!("{message}");
    }
    // The right word says more than the whole list and a drawing of the line.
    let place = before.lines().next().map(|it| format!("{}: ", it.trim())).unwrap_or_default();
    let what = told.split(", expected").next().unwrap_or(told);
    anyhow::anyhow!("{place}unknown {what}{hint}")
}

/// What is wrong with a command line, in one sentence: what it was, and what was probably meant.
pub fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let told = text.lines().map(str::trim).filter(|it| !it.is_empty());
    let mut sentence = String::new();
    for line in told.take_while(|it| !it.starts_with("Usage:") && !it.starts_with("For more information")) {
        match line.strip_prefix("tip: ").map(|tip| tip.rsplit_once(" exists: ").map_or(tip, |(_, right)| right)) {
            Some(right) if right.starts_with('\'') => sentence.push_str(&format!("; did you mean {right}?")),
            Some(tip) => sentence.push_str(&format!("; {tip}")),
            None => sentence.push_str(&format!(" {line}")),
        }
    }
    sentence.trim_start_matches(" error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_in_one_sentence() {
        let command = || {
            clap::Command::new("x")
                .subcommand(clap::Command::new("compare"))
                .arg(clap::Arg::new("profile").long("profile").value_parser(["quick", "full"]))
                .arg(clap::Arg::new("dir").required(true))
        };
        let told = |words: &[&str]| sentence(&command().try_get_matches_from(words).unwrap_err());
        assert_eq!(
            told(&["x", "--profil", "quick"]),
            "unexpected argument '--profil' found; did you mean '--profile'?"
        );
        assert_eq!(
            told(&["x", "--profile", "qiuck", "d"]),
            "invalid value 'qiuck' for '--profile <profile>' [possible values: quick, full]; did you mean 'quick'?"
        );
        assert_eq!(told(&["x"]), "the following required arguments were not provided: <dir>");
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let kinds = ["tandem", "nacos", "docker", "rnacos", "url"];
        assert_eq!(nearest("tandm", kinds), Some("tandem"));
        assert_eq!(nearest("Nacso", kinds), Some("nacos"));
        assert_eq!(nearest("eureka", kinds), None);
        assert_eq!(nearest("", kinds), None);
        assert_eq!(hint("dokcer", kinds), "; did you mean \"docker\"?");
        assert_eq!(hint("consul", kinds), "");
        let told = with_hint("line 3\nunknown field `at_mst`, expected one of `what`, `at_most`\n").to_string();
        assert_eq!(told, "line 3: unknown field `at_mst`; did you mean \"at_most\"?");
        assert_eq!(with_hint("expected a number").to_string(), "expected a number");
    }
}
