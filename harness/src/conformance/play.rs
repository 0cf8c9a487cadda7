//! Asks one server the cases, one after the other.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep};

use super::answer::Answer;
use super::case::{Case, Topology};
use super::place::Place;
use crate::client::wire::{self, Limits, Request};

/// What `application/x-www-form-urlencoded` leaves as it is; a blank becomes `%20`, which every server reads.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How a sequence is asked.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Bounds of one exchange.
    pub limits: Limits,
    /// How long a read may take to show the expected answer. Real Nacos acknowledges a write some milliseconds
    /// before its own reads show it.
    pub deadline: Duration,
    /// Pause between two tries of a read.
    pub interval: Duration,
    /// Time that reads may spend in vain in one sequence; later ones get [`Pace::hurried`]. Without it a server that
    /// answers everything differently would take hours, and its instances would expire meanwhile.
    pub budget: Duration,
    /// Deadline of a read when the budget is used up.
    pub hurried: Duration,
    /// After this many requests in a row without an answer the server counts as gone.
    pub patience: u32,
}

impl Pace {
    /// For a single server: reads follow writes within milliseconds.
    pub fn standalone() -> Self {
        Self {
            limits: Limits::default(),
            deadline: Duration::from_secs(2),
            interval: Duration::from_millis(15),
            budget: Duration::from_secs(30),
            hurried: Duration::from_millis(250),
            patience: 3,
        }
    }

    /// For a member of a cluster: a change of an ephemeral instance takes 1.4.1 one to two seconds to reach the
    /// others, and one that failed is sent again after 6 s (`compat/spec/distro.md` §7.4).
    pub fn cluster() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            interval: Duration::from_millis(50),
            budget: Duration::from_secs(60),
            ..Self::standalone()
        }
    }

    /// For real Nacos of another version, which answers many reads otherwise for good. Waiting for what it never says
    /// would let the instances of the sequence expire, and show as a difference what is none.
    pub fn of_another_version(self) -> Self {
        Self { budget: self.budget / 6, hurried: self.hurried / 4, ..self }
    }
}

/// One server being asked.
#[derive(Debug)]
pub struct Player<'a> {
    place: &'a Place,
    pace: &'a Pace,
    in_vain: Duration,
    failures: u32,
    gone: Option<String>,
}

impl<'a> Player<'a> {
    /// Begins a sequence.
    pub fn new(place: &'a Place, pace: &'a Pace) -> Self {
        Self { place, pace, in_vain: Duration::ZERO, failures: 0, gone: None }
    }

    /// Asks one case. A read is repeated until `expected` holds or its deadline is over; the last answer counts. With
    /// `hopeless` it gets the hurried deadline: nobody expects it to hold.
    ///
    /// # Errors
    /// A sentence why there is no answer.
    pub async fn ask(
        &mut self,
        case: &Case,
        topology: Topology,
        hopeless: bool,
        expected: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, String> {
        if let Some(gone) = &self.gone {
            return Err(gone.clone());
        }
        if case.wait > 0.0 {
            sleep(Duration::from_secs_f64(case.wait)).await;
        }
        let request = request(case, self.place);
        let started = Instant::now();
        let usual = if self.in_vain < self.pace.budget && !hopeless { self.pace.deadline } else { self.pace.hurried };
        let deadline = case.deadline.map_or(usual, Duration::from_secs_f64);
        loop {
            let answer = match wire::exchange(self.place.asked(), &request, &self.pace.limits).await {
                Ok(response) => Answer::from(response),
                Err(error) => return Err(self.failed(case, &error.to_string())),
            };
            self.failures = 0;
            if !case.may_repeat(topology) || expected(&answer) {
                return Ok(answer);
            }
            if started.elapsed() + self.pace.interval >= deadline {
                self.in_vain += started.elapsed();
                return Ok(answer);
            }
            sleep(self.pace.interval).await;
        }
    }

    fn failed(&mut self, case: &Case, error: &str) -> String {
        self.failures += 1;
        if self.failures >= self.pace.patience {
            self.gone = Some(format!("not asked: the server stopped answering, last at case {}: {error}", case.id));
        }
        error.to_owned()
    }
}

/// The request of a case at a place.
pub fn request(case: &Case, place: &Place) -> Request {
    let path = match case.path.strip_prefix("/nacos") {
        Some(rest) if place.context_path != "/nacos" => format!("{}{rest}", place.context_path),
        _ => case.path.clone(),
    };
    let encode = |text: &str| utf8_percent_encode(&place.fill(text), UNRESERVED).to_string();
    let pairs: Vec<_> = case.params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let pairs = pairs.join("&");
    let query = match &case.raw_query {
        Some(raw) => Some(place.fill(raw)),
        None if case.form || pairs.is_empty() => None,
        None => Some(pairs.clone()),
    };
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    Request {
        method: case.method.clone(),
        target: target.into_bytes(),
        headers: case.headers.iter().map(|(name, value)| (name.clone(), place.fill(value))).collect(),
        body: if case.form { Some(pairs.into_bytes()) } else { case.body.as_ref().map(|b| place.fill(b).into_bytes()) },
    }
}

/// The request for a reader, without its placeholders filled in.
pub fn described(case: &Case) -> String {
    let pairs: Vec<_> = case.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = case.raw_query.clone().unwrap_or_else(|| pairs.join("&"));
    let mut text = format!("{} {}", case.method, case.path);
    if case.form {
        text = format!("{text} form {query}");
    } else if !query.is_empty() {
        text = format!("{text}?{query}");
    }
    for (name, value) in &case.headers {
        text = format!("{text} [{name}: {value}]");
    }
    match &case.body {
        Some(body) => format!("{text} body {body}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(toml: &str) -> Case {
        toml::from_str(&format!("id = \"X\"\n{toml}")).expect("case")
    }

    fn place() -> Place {
        Place {
            members: vec!["127.0.0.1:16000".to_owned()],
            open_port: 9499,
            closed_port: 9498,
            udp_port: 9497,
            context_path: "/n".to_owned(),
        }
    }

    #[test]
    fn parameters_are_encoded_and_raw_parts_are_not() {
        let made = request(
            &case("method = \"GET\"\npath = \"/nacos/v1\"\nparams = { a = \"x y{open_port}\", b = \"服\" }"),
            &place(),
        );
        assert_eq!(String::from_utf8_lossy(&made.target), "/n/v1?a=x%20y9499&b=%E6%9C%8D");
        let made = request(&case("method = \"GET\"\npath = \"/nacos/v1\"\nraw_query = \"x=[1]#%2\""), &place());
        assert_eq!(String::from_utf8_lossy(&made.target), "/n/v1?x=[1]#%2");
        let made = request(&case("method = \"PUT\"\npath = \"/p\"\nparams = { a = \"1\" }\nform = true"), &place());
        assert_eq!((made.target.as_slice(), made.body.as_deref()), (b"/p".as_slice(), Some(b"a=1".as_slice())));
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_not_asked_for_ever() {
        let place = Place { members: vec!["127.0.0.1:1".to_owned()], ..place() };
        let pace = Pace::standalone();
        let mut player = Player::new(&place, &pace);
        let case = case("method = \"GET\"\npath = \"/\"\nwait = 0.01");
        for _ in 0..3 {
            assert!(
                player
                    .ask(&case, Topology::Standalone, false, |_| true)
                    .await
                    .expect_err("no server")
                    .starts_with("cannot connect")
            );
        }
        assert!(
            player
                .ask(&case, Topology::Standalone, false, |_| true)
                .await
                .expect_err("gone")
                .starts_with("not asked: the server stopped")
        );
    }
}
