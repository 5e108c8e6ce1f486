//! The outcome of a round of a mirror, for people and for programs.

use std::fmt;

use customer_settings_server::catalog::company::MAX_SHORT_TEXT_LENGTH;
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{note, tell},
};

/// How a company ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing differs.
    Agrees,
    /// It was made the same.
    Changed,
    /// It differs, and nothing was written.
    Differs,
    /// Nothing was written, as something is wrong.
    LeftAlone,
    /// It is no mirror any more.
    CutOver,
}

impl State {
    const ALL: [Self; 5] =
        [Self::Agrees, Self::Changed, Self::Differs, Self::LeftAlone, Self::CutOver];

    /// The state of several companies, in a sentence.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agree",
            Self::Changed => "changed",
            Self::Differs => "differ",
            Self::LeftAlone => "left alone",
            Self::CutOver => "cut over",
        }
    }

    /// The name for programs.
    const fn name(self) -> &'static str {
        match self {
            Self::Agrees => "AGREES",
            Self::Changed => "CHANGED",
            Self::Differs => "DIFFERS",
            Self::LeftAlone => "LEFT_ALONE",
            Self::CutOver => "CUT_OVER",
        }
    }
}

/// The outcome for one company.
pub(super) struct Outcome {
    pub(super) company_id: String,
    pub(super) state: State,
    /// The changes, counted as in a plan; null if there are none.
    pub(super) counts: Value,
    /// The parts that were left as they are, and why.
    pub(super) problems: Vec<String>,
    /// The lists that lost too much to be believed once; `None` if they were not read.
    pub(super) held_back: Option<String>,
}

impl Outcome {
    pub(super) fn new(company_id: &str, state: State) -> Self {
        let company_id = company_id.to_owned();
        Self { company_id, state, counts: Value::Null, problems: vec![], held_back: None }
    }

    pub(super) fn left_alone(company_id: &str, problem: &str) -> Self {
        Self::new(company_id, State::LeftAlone).refused(problem)
    }

    pub(super) fn refused(mut self, problem: &str) -> Self {
        self.state = State::LeftAlone;
        self.problems.push(problem.to_owned());
        self
    }

    /// Takes note of the changes that were made. There are none if another mirror made the same ones first.
    pub(super) fn wrote(&mut self, counts: &Value) {
        let mut made = counts.as_object().into_iter().flat_map(|counts| counts.values());
        (self.state, self.counts) = match made.any(|count| *count != 0) {
            true => (State::Changed, counts.clone()),
            false if self.problems.is_empty() => (State::Agrees, Value::Null),
            false => (State::LeftAlone, Value::Null),
        };
    }

    /// The outcome as the server stores it.
    pub(super) fn report(&self) -> Value {
        let mut report = json!({
            "company_id": self.company_id,
            "changed": self.state == State::Changed,
            "problems": in_short(&self.problems),
        });
        if let Some(held_back) = &self.held_back {
            report["held_back"] = json!(held_back);
        }
        report
    }

    /// The changes in words: "2 created, 1 renamed".
    fn changes(&self) -> String {
        let words = ["created", "updated", "renamed", "moved", "archived", "restored"];
        let count = |word: &&str| self.counts[*word].as_u64().filter(|count| *count > 0);
        let counted = words.iter().filter_map(|word| Some(format!("{} {word}", count(word)?)));
        counted.collect::<Vec<_>>().join(", ")
    }

    /// Says what happened, if anything did.
    pub(super) fn tell(&self) {
        let id = shown(&self.company_id);
        if !self.counts.is_null() {
            let verb = if self.state == State::Changed { "changed" } else { "differs" };
            note(format!("{id}: {verb}: {}", self.changes()));
        }
        self.problems.iter().for_each(|problem| tell(format!("{id}: {}", shown(problem))));
    }
}

/// Texts of the account must not send commands to the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The problems in one line, as far as the server takes it.
fn in_short(problems: &[String]) -> String {
    let line = shown(&problems.join("; "));
    if line.chars().count() <= MAX_SHORT_TEXT_LENGTH {
        return line;
    }
    let cut = line.chars().take(MAX_SHORT_TEXT_LENGTH - 1);
    cut.chain(['…']).collect()
}

/// The outcome of a round.
#[derive(Default)]
pub(super) struct Round {
    pub(super) companies: Vec<Outcome>,
    /// The requests to the account.
    pub(super) requests: u64,
    /// The exit code of a round that ended before its last company.
    pub(super) broken_off: Option<Exit>,
}

impl Round {
    fn count(&self, state: State) -> usize {
        self.companies.iter().filter(|one| one.state == state).count()
    }

    pub(super) fn json(&self) -> Value {
        let company = |one: &Outcome| {
            json!({
                "companyId": one.company_id,
                "state": one.state.name(),
                "counts": one.counts,
                "problems": one.problems,
            })
        };
        let companies: Vec<Value> = self.companies.iter().map(company).collect();
        json!({"companies": companies, "requests": self.requests})
    }

    /// The end of the command: an error if something was left alone, and if it only checks, the exit code for
    /// differences.
    pub(super) fn ended(&self, is_check: bool) -> Result<(), Failure> {
        let with_problems = self.companies.iter().filter(|one| !one.problems.is_empty()).count();
        let differs = is_check && self.count(State::Differs) > 0;
        let exit = match self.broken_off {
            Some(exit) => exit,
            None if differs => Exit::Differences,
            None if with_problems > 0 => Exit::Failed,
            None => return Ok(()),
        };
        let all = self.companies.len();
        let message = match with_problems {
            0 => String::new(),
            some => format!("{some} of {all} companies stay as they are, wholly or in part"),
        };
        Err(Failure { message, exit })
    }
}

/// As in "companies: 3 agree, 1 changed; requests: 21".
impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = State::ALL.map(|state| (self.count(state), state.as_str()));
        let told: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"))
            .collect();
        let told = if told.is_empty() { "none".to_owned() } else { told.join(", ") };
        write!(f, "companies: {told}; requests: {}", self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_that_another_mirror_made_the_same_first_was_not_changed() {
        let none = json!({"created": 0, "updated": 0, "archived": 0});
        let some = json!({"created": 0, "updated": 2, "archived": 0});
        for (counts, problems, state) in [
            (&some, 0, State::Changed),
            (&some, 1, State::Changed),
            (&none, 0, State::Agrees),
            (&none, 1, State::LeftAlone),
        ] {
            let mut outcome = Outcome::new("cmp_1", State::Differs);
            outcome.counts = json!({"created": 2});
            outcome.problems = vec!["a problem".to_owned(); problems];
            outcome.wrote(counts);
            assert_eq!(outcome.state, state);
            let told = if state == State::Changed { some.clone() } else { Value::Null };
            assert_eq!(outcome.counts, told);
        }
    }
}
