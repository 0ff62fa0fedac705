//! Whether an input fits the JSON schema of its action. A schema is a plugin's word and an input a stranger's: neither can
//! make this fetch anything, run for long or overflow a stack (see `guard`).

mod guard;
mod validator;

use serde_json::Value;

use crate::fault::bad_input;
use crate::info::PluginInfo;
use crate::outcome::Failure;
use crate::plugin::Candidate;
use crate::run::Values;
use crate::typed;
use validator::{Checked, Validator};

/// Inputs up to this size are checked where they arrive: that takes microseconds. Larger ones, and schemas that take long
/// on a small one, are for a thread that may block.
const QUICK_BYTES: usize = 16 << 10;
/// Steps of a check on a thread that must not wait: about a millisecond.
const QUICK_STEPS: u64 = 30_000;
/// Steps of any check: a list of a million records is done in less, and the worst schema ends within seconds.
const MOST_STEPS: u64 = 40_000_000;

/// The input schemas of a plugin's actions, compiled once; in the order of its actions.
#[derive(Default)]
pub(crate) struct Checks(Vec<Option<Validator>>);

impl Checks {
    /// Compiles the input schemas of these actions. Where they are new, their output schemas are tried as well.
    ///
    /// # Errors
    /// Which one is no schema, and why, for the plugin's author.
    pub(crate) fn compile(info: &PluginInfo, new: bool) -> Result<Checks, String> {
        let compile = |action: &str, what: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let compiled = Validator::compile(text);
            compiled.map(Some).map_err(|reason| format!("action `{action}`: its {what} schema {reason}"))
        };
        let mut all = Vec::with_capacity(info.actions.len());
        for action in &info.actions {
            all.push(compile(&action.name, "input", &action.input_schema)?);
            if new {
                compile(&action.name, "output", &action.output_schema)?;
            }
        }
        Ok(Checks(all))
    }
}

/// Whether that is a media type of JSON.
pub(crate) fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let ends = media.len() >= 5 && media.as_bytes()[media.len() - 5..].eq_ignore_ascii_case(b"+json");
    media.eq_ignore_ascii_case("application/json") || ends
}

impl Candidate {
    /// Whether that input fits that action, where it takes no longer than a thread that must not block has; `None` if it
    /// would: then ask [`Candidate::check_input`] on another.
    #[must_use]
    pub fn check_input_quickly(&self, action: &str, content_type: &str, body: &[u8]) -> Option<Result<(), Failure>> {
        self.accept_quickly(action, content_type, body).map(|accepted| accepted.map(drop))
    }

    /// The same, for as long as it takes: up to seconds for a large input.
    ///
    /// # Errors
    /// What does not fit, with the place of the fault.
    pub fn check_input(&self, action: &str, content_type: &str, body: &[u8]) -> Result<(), Failure> {
        self.accept(action, content_type, body).map(drop)
    }

    /// The same, and the values of a typed call.
    pub(crate) fn accept_quickly(
        &self,
        action: &str,
        content_type: &str,
        body: &[u8],
    ) -> Option<Result<Option<Values>, Failure>> {
        let wanted = self.wanted(action, content_type);
        if body.len() > QUICK_BYTES && !matches!(wanted, Wanted::Anything) {
            return None;
        }
        wanted.accept(action, body, QUICK_STEPS)
    }

    /// The same, for as long as it takes.
    pub(crate) fn accept(&self, action: &str, content_type: &str, body: &[u8]) -> Result<Option<Values>, Failure> {
        self.wanted(action, content_type).accept(action, body, MOST_STEPS).unwrap_or_else(|| {
            Err(bad_input(action, "", "checking it against the action's schema takes too long: send less at once"))
        })
    }

    fn wanted(&self, action: &str, content_type: &str) -> Wanted<'_> {
        if let Some(function) = self.typed.function(action) {
            return if is_json(content_type) {
                Wanted::Parameters(function)
            } else {
                Wanted::Json(content_type.to_owned())
            };
        }
        let at = self.info.actions.iter().position(|one| one.name == action);
        match at.and_then(|at| self.checks.0.get(at)) {
            Some(Some(validator)) if is_json(content_type) => Wanted::Fitting(validator),
            _ => Wanted::Anything,
        }
    }
}

/// What an action takes.
enum Wanted<'a> {
    /// Bytes that nothing is known of.
    Anything,
    /// What fits a schema.
    Fitting(&'a Validator),
    /// The parameters of a function.
    Parameters(&'a typed::Function),
    /// JSON, and something else came.
    Json(String),
}

impl Wanted<'_> {
    /// `None` if it takes more steps than that.
    fn accept(&self, action: &str, body: &[u8], steps: u64) -> Option<Result<Option<Values>, Failure>> {
        let parsed = || {
            let parsed = serde_json::from_slice::<Value>(body);
            parsed.map_err(|error| bad_input(action, "", &format!("it is not JSON: {error}")))
        };
        Some(match self {
            Wanted::Anything => Ok(None),
            Wanted::Json(other) => {
                Err(bad_input(action, "", &format!("it takes a JSON object of its parameters, not {other}")))
            }
            Wanted::Parameters(function) => parsed().and_then(|input| {
                typed::read(&function.params, &input).map(Some).map_err(|fault| fault.into_failure(action))
            }),
            Wanted::Fitting(validator) => match parsed() {
                Err(failure) => Err(failure),
                Ok(input) => match validator.check(&input, steps) {
                    Checked::Fits => Ok(None),
                    Checked::Wrong { pointer, message } => Err(bad_input(action, &pointer, &message)),
                    Checked::TakesLonger => return None,
                },
            },
        })
    }
}

/// A schema for other modules' tests.
#[cfg(test)]
pub(crate) struct Trial(Validator);

#[cfg(test)]
impl Trial {
    pub(crate) fn compile(text: &str) -> Trial {
        Trial(Validator::compile(text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    pub(crate) fn fits(&self, input: &Value) -> bool {
        matches!(self.0.check(input, MOST_STEPS), Checked::Fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json", "a/b+JSON"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["text/plain", "application/jsonl", "", "é+json2", "日本json"] {
            assert!(!is_json(other), "{other}");
        }
    }
}
