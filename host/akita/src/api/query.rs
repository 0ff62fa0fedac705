//! Query strings, read strictly: a key that is not known, comes twice or has a senseless value is refused by name,
//! because a filter that is silently ignored gives wrong answers.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::Query as Pairs;
use axum::http::Uri;

use super::problem::{Kind, Problem};
use crate::reading::{Consistency, Reading};

/// The keys that say how new an answer must be.
pub const READING: [&str; 2] = ["consistency", "after"];

/// The keys and values of one request.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of `uri`, which may have the keys `known`.
    ///
    /// # Errors
    /// When it does not parse, or has other keys, or one key twice.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self(Vec::new()));
        }
        let Ok(Pairs(pairs)) = Pairs::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(bad("the query does not parse").hint("write it as ?key=value&key=value, percent-encoded"));
        };
        for (at, (key, _)) in pairs.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                let hint = match known {
                    [] => format!("{} takes no query", uri.path()),
                    known => format!("{} takes: {}", uri.path(), known.join(", ")),
                };
                return Err(bad(format!("`{}` is not a key of this query", shown(key))).hint(hint));
            }
            if pairs[..at].iter().any(|(before, _)| before == key) {
                return Err(bad(format!("`{key}` is given twice")).hint("give each key once"));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of `key`, if it is given.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A whole number within `range`.
    pub fn number(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match text.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None if *range.end() == u64::MAX => Err(wrong(key, text, "a whole number")),
            None => Err(wrong(key, text, &format!("a whole number from {} to {}", range.start(), range.end()))),
        }
    }

    /// How many items are asked for: 1 to `most`, `default` unless given.
    pub fn limit(&self, default: u32, most: u32) -> Result<u32, Problem> {
        let number = self.number("limit", 1..=u64::from(most))?;
        Ok(number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default))
    }

    /// `true` or `false`; `false` unless given.
    pub fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.text(key) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(text) => Err(wrong(key, text, "true or false")),
        }
    }

    /// How new the answer must be.
    pub fn reading(&self) -> Result<Reading, Problem> {
        let words = || format!("one of {}", Consistency::WORDS.join(", "));
        let consistency = self.word(READING[0], Consistency::parse, words)?.unwrap_or_default();
        Ok(Reading { consistency, after: self.number(READING[1], 0..=u64::MAX)? })
    }

    /// Seconds, decimals included, from 0 to `most`; 0 unless given.
    pub fn seconds(&self, key: &str, most: Duration) -> Result<Duration, Problem> {
        self.seconds_or(key, Duration::ZERO, most)
    }

    /// The same with another default.
    pub fn seconds_or(&self, key: &str, default: Duration, most: Duration) -> Result<Duration, Problem> {
        let Some(text) = self.text(key) else { return Ok(default) };
        let number = text.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
        let within = number.filter(|duration| *duration <= most);
        within.ok_or_else(|| wrong(key, text, &format!("a number of seconds from 0 to {}", most.as_secs())))
    }

    /// What `parse` makes of the value; `kinds` says what it may be.
    pub fn word<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        kinds: impl FnOnce() -> String,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(key) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| wrong(key, text, &kinds()))
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}

fn wrong(key: &str, text: &str, kinds: &str) -> Problem {
    bad(format!("`{key}` is `{}`", shown(text))).hint(format!("`{key}` is {kinds}"))
}

/// As much of what was sent as fits into a sentence.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
