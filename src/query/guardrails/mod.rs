//! Guardrails: what the configuration lets a client ask for, in Cassandra's sentences. Past a
//! warning the answer carries it; past a failure the request is refused.
//!
//! `statement` looks at statements before they run, `value` at what they write, `definition` at
//! changes of the schema; `read` has the words for reads that cost too much. What a request has at
//! hand anyway (a page's tombstones, a batch's bytes) is compared where it is.

pub(crate) mod definition;
pub(crate) mod read;
pub(crate) mod statement;
pub(crate) mod value;

use crate::config::{Guardrails as Limits, Threshold};
use crate::error::{Error, Result};

/// The guardrails of a node, with what a request has to ask of them answered beforehand.
#[derive(Debug, Clone, Default)]
pub struct Guardrails {
    /// What is configured.
    pub(crate) limits: Limits,
    /// SELECTs have to be looked at.
    pub(crate) watches_reads: bool,
    /// Modifications have to be looked at.
    pub(crate) watches_writes: bool,
    /// Values have to be looked at.
    pub(crate) watches_values: bool,
}

impl Guardrails {
    /// Those of this configuration.
    #[must_use]
    pub fn new(limits: Limits) -> Guardrails {
        Guardrails {
            watches_reads: limits.watches_reads(),
            watches_writes: limits.watches_writes(),
            watches_values: limits.watches_values(),
            limits,
        }
    }
}

/// How a value stands to a threshold that it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// The client is warned; the threshold.
    Warning(u64),
    /// The request is refused; the threshold.
    Failure(u64),
}

impl Passed {
    /// As most sentences name it.
    fn name(self) -> &'static str {
        match self {
            Passed::Warning(_) => "warning",
            Passed::Failure(_) => "failure",
        }
    }

    fn threshold(self) -> u64 {
        match self {
            Passed::Warning(threshold) | Passed::Failure(threshold) => threshold,
        }
    }
}

/// One guardrail: its name, and why it is there if its sentence does not say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guardrail {
    name: &'static str,
    reason: Option<&'static str>,
}

impl Guardrail {
    const fn new(name: &'static str) -> Guardrail {
        Guardrail { name, reason: None }
    }

    const fn because(name: &'static str, reason: &'static str) -> Guardrail {
        Guardrail { name, reason: Some(reason) }
    }

    /// The whole sentence.
    fn violated(self, sentence: &str) -> String {
        let name = self.name;
        match self.reason {
            None => format!("Guardrail {name} violated: {sentence}"),
            Some(reason) => {
                let space = if sentence.ends_with('.') { " " } else { ". " };
                format!("Guardrail {name} violated: {sentence}{space}{reason}")
            }
        }
    }

    fn refused(self, sentence: &str) -> Error {
        Error::invalid(self.violated(sentence))
    }

    /// Judges a value: a warning, an error, or neither.
    #[inline]
    pub(crate) fn at_most(
        self,
        threshold: Threshold,
        value: u64,
        sentence: impl FnOnce(Passed) -> String,
    ) -> Result<Option<String>> {
        if !threshold.is_passed(value) {
            return Ok(None);
        }
        if value > threshold.fail() {
            return Err(self.refused(&sentence(Passed::Failure(threshold.fail()))));
        }
        Ok(Some(self.violated(&sentence(Passed::Warning(threshold.warn())))))
    }

    /// Judges a value that should not be small.
    fn at_least(
        self,
        threshold: Threshold,
        value: u64,
        sentence: impl FnOnce(Passed) -> String,
    ) -> Result<Option<String>> {
        let (warn, fail) = (threshold.warn(), threshold.fail());
        if fail != u64::MAX && value < fail {
            return Err(self.refused(&sentence(Passed::Failure(fail))));
        }
        let warned = warn != u64::MAX && value < warn;
        Ok(warned.then(|| self.violated(&sentence(Passed::Warning(warn)))))
    }

    /// Refuses a feature that is off.
    fn enabled(self, enabled: bool, feature: &str) -> Result<()> {
        if enabled {
            return Ok(());
        }
        Err(self.refused(&format!("{feature} is not allowed")))
    }

    /// Refuses values that are not allowed.
    fn not_disallowed(self, values: &[&str], disallowed: &[&str], what: &str) -> Result<()> {
        match common(values, disallowed) {
            None => Ok(()),
            Some(found) => Err(self.refused(&format!(
                "Provided values {found} are not allowed for {what} (disallowed values are: {})",
                list(disallowed)
            ))),
        }
    }

    /// Warns of values that are not recommended.
    fn not_warned(self, values: &[&str], warned: &[&str], what: &str) -> Option<String> {
        let found = common(values, warned)?;
        Some(self.violated(&format!(
            "Provided values {found} are not recommended for {what} (warned values are: {})",
            list(warned)
        )))
    }
}

/// The values that are in both lists, sorted; none if there are none.
fn common(values: &[&str], listed: &[&str]) -> Option<String> {
    let mut found: Vec<&str> =
        values.iter().copied().filter(|value| listed.contains(value)).collect();
    found.sort_unstable();
    found.dedup();
    (!found.is_empty()).then(|| list(&found))
}

fn list(values: &[&str]) -> String {
    format!("[{}]", values.join(", "))
}
