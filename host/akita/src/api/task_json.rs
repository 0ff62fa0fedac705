//! Makes tasks of the JSON of `POST /tasks/submit`. Pure: bytes in, tasks or the first fault out. Inputs are copied
//! as they were written, without white space between the words, so that numbers keep every digit.

mod fault;
mod json;

#[cfg(test)]
mod tests;

use std::time::Duration;

use akita_core::task::DEFAULT_PRIORITY;
use akita_core::{Content, Extras, TaskSpec};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use crate::view::NewTask;
use fault::Place;
pub use fault::SubmitError;
use json::{compact_into, excerpt, items, members};

/// Tasks in one request at most: they are one entry of the log, and are accepted together or not at all.
pub const MAX_BATCH: usize = 10_000;

/// Keys of one object that the node itself reads at most. It keeps the search for doubles short; `input` may have
/// any number.
pub const MAX_KEYS: usize = 128;

/// Media type of an input given as JSON.
const JSON: &str = "application/json";

/// Padding may be missing: many tools leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The settings that bound a task.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// MAX_INPUT_BYTES.
    pub max_input_bytes: usize,
    /// WORKER_PROCESSING_TIMEOUT_S.
    pub max_timeout: Duration,
}

/// What one request submits.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The tasks, in order; at least one.
    pub tasks: Vec<NewTask>,
    /// Where the input of each lies in the body.
    pub inputs: Vec<InputPlace>,
    /// Whether they came as a list, so that the answer is one too.
    pub batch: bool,
}

/// Where an input lies in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPlace {
    place: Place,
    /// It is base64: no pointer leads into it.
    whole: bool,
}

impl InputPlace {
    /// The place in the body of a place in the input.
    pub fn pointer(&self, within: &str) -> String {
        format!("{}{}", self.place.pointer(), if self.whole { "" } else { within })
    }
}

/// Parses the body of a submission: one task or a list of them, each bare or as `{"task_data": .., "priority": ..}`.
///
/// # Errors
/// The first fault, with its place.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Submission, SubmitError> {
    let top: &RawValue = serde_json::from_slice(body).map_err(|error| fault::syntax(body, body, &error))?;
    if !top.get().starts_with('[') {
        let (task, input) = Reader { body, limits }.task(top, Place::top())?;
        return Ok(Submission { tasks: vec![task], inputs: vec![input], batch: false });
    }
    let items = items(body, top)?;
    let reader = Reader { body, limits };
    let tasks = items.iter().enumerate().map(|(at, item)| reader.task(item, Place::item(at)));
    let (tasks, inputs) = tasks.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    Ok(Submission { tasks, inputs, batch: true })
}

/// The keys of a task that are not its input.
#[derive(Default)]
struct Reserved<'a> {
    action: Option<&'a RawValue>,
    required: Option<&'a RawValue>,
    priority: Option<&'a RawValue>,
    timeout: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
    base64: Option<&'a RawValue>,
    content_type: Option<&'a RawValue>,
    deterministic: Option<&'a RawValue>,
    place: Option<&'a RawValue>,
}

impl<'a> Reserved<'a> {
    /// Where the value of that key goes, if the key is reserved.
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "action" => &mut self.action,
            "required_capabilities" => &mut self.required,
            "priority" => &mut self.priority,
            "timeout_s" => &mut self.timeout,
            "input" => &mut self.input,
            "input_base64" => &mut self.base64,
            "content_type" => &mut self.content_type,
            "deterministic" => &mut self.deterministic,
            "where" => &mut self.place,
            _ => return None,
        })
    }
}

/// Reads tasks out of one body.
struct Reader<'a> {
    body: &'a [u8],
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    /// A task, bare or in its envelope.
    fn task(&self, raw: &'a RawValue, place: Place) -> Result<(NewTask, InputPlace), SubmitError> {
        let outer = members(self.body, raw, &place)?;
        let Some(data) = outer.iter().find(|(key, _)| key == "task_data").map(|(_, value)| *value) else {
            return self.data(outer, place, None);
        };
        let mut priority = None;
        for (key, value) in &outer {
            match key.as_str() {
                "task_data" => {}
                "priority" => priority = Some(self.priority(value, place.key("priority"))?),
                other => {
                    return Err(SubmitError::Unexpected {
                        place: place.key(other),
                        why: "`task_data` is given, and only `priority` may stand beside it",
                        hint: "put all other keys into `task_data`",
                    });
                }
            }
        }
        let place = place.key("task_data");
        self.data(members(self.body, data, &place)?, place, priority)
    }

    /// A bare task. `outer` is the priority of its envelope.
    fn data(
        &self,
        members: Vec<(String, &'a RawValue)>,
        place: Place,
        outer: Option<u8>,
    ) -> Result<(NewTask, InputPlace), SubmitError> {
        let mut reserved = Reserved::default();
        let mut rest = Vec::new();
        for (key, value) in members {
            match reserved.slot(&key) {
                Some(slot) => *slot = Some(value),
                None => rest.push((key, value)),
            }
        }
        let action: String = match reserved.action {
            Some(raw) => value(raw, place.key("action"), "a text")?,
            None => return Err(SubmitError::Missing { place, key: "action", what: "the action to run" }),
        };
        let required = match reserved.required {
            Some(raw) => value(raw, place.key("required_capabilities"), "a list of texts")?,
            None => Vec::new(),
        };
        let priority = match reserved.priority {
            Some(raw) => Some(self.priority(raw, place.key("priority"))?),
            None => None,
        };
        if let (Some(outer), Some(inner)) = (outer, priority)
            && outer != inner
        {
            return Err(SubmitError::Priorities { place: place.key("priority"), inner, outer });
        }
        let priority = outer.or(priority).unwrap_or(DEFAULT_PRIORITY);
        let timeout_ms = reserved.timeout.map(|raw| self.timeout(raw, place.key("timeout_s"))).transpose()?;
        let deterministic = match reserved.deterministic {
            Some(raw) => value(raw, place.key("deterministic"), "true or false")?,
            None => false,
        };
        let island = match reserved.place {
            Some(raw) => where_to_run(raw, place.key("where"))?,
            None => false,
        };
        let extras = Extras { deterministic, ..Extras::default() };
        let input = self.input(&reserved, rest, &place)?;
        let lies = match (reserved.input, reserved.base64) {
            (Some(_), _) => place.key("input"),
            (None, Some(_)) => place.key("input_base64"),
            (None, None) => place.clone(),
        };
        let task = checked(TaskSpec { action, required, priority, timeout_ms, input, extras }, &place)?;
        let task = NewTask { island, ..task };
        Ok((task, InputPlace { place: lies, whole: reserved.base64.is_some() }))
    }

    fn priority(&self, raw: &RawValue, place: Place) -> Result<u8, SubmitError> {
        value(raw, place, "a whole number from 0 to 255")
    }

    /// A time limit in milliseconds, rounded up: less than a millisecond is still some time.
    fn timeout(&self, raw: &RawValue, place: Place) -> Result<u32, SubmitError> {
        let most = self.limits.max_timeout;
        let seconds = serde_json::from_str::<f64>(raw.get()).ok().filter(|seconds| *seconds > 0.0);
        let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let limit = limit.filter(|limit| *limit <= most).map(|limit| limit.as_nanos().div_ceil(1_000_000).max(1));
        limit.and_then(|milliseconds| u32::try_from(milliseconds).ok()).ok_or_else(|| SubmitError::Wrong {
            place,
            must: format!(
                "a number of seconds over 0 and up to {}, the node's WORKER_PROCESSING_TIMEOUT_S",
                most.as_secs_f64()
            ),
            got: excerpt(raw.get()),
        })
    }

    /// The input: as given, or made of the keys that are not reserved.
    fn input(
        &self,
        reserved: &Reserved<'_>,
        rest: Vec<(String, &RawValue)>,
        place: &Place,
    ) -> Result<Content, SubmitError> {
        let explicit = match (reserved.input, reserved.base64) {
            (Some(_), Some(_)) => {
                return Err(SubmitError::Unexpected {
                    place: place.key("input_base64"),
                    why: "`input` is given too",
                    hint: "give one of `input` and `input_base64`",
                });
            }
            (None, None) => None,
            (input, base64) => input.or(base64),
        };
        if let (Some(_), Some((key, _))) = (explicit, rest.first()) {
            return Err(SubmitError::Unexpected {
                place: place.key(key),
                why: "it is no key of a task, and the input is given as a whole",
                hint: "put it into the input, or check its spelling",
            });
        }
        if reserved.base64.is_none() && reserved.content_type.is_some() {
            return Err(SubmitError::Unexpected {
                place: place.key("content_type"),
                why: "it says what `input_base64` holds, and there is none",
                hint: "leave it away: other inputs are JSON; a field of that name goes into `input`",
            });
        }
        let (body, at) = match (reserved.input, reserved.base64) {
            (_, Some(raw)) => return self.bytes(raw, reserved.content_type, place),
            (Some(raw), None) => {
                let mut body = Vec::with_capacity(raw.get().len());
                compact_into(&mut body, raw.get());
                (body, place.key("input"))
            }
            (None, None) => (gathered(&rest), place.clone()),
        };
        self.fits(body.len(), at)?;
        Ok(Content { content_type: JSON.to_owned(), body })
    }

    /// An input given as base64.
    fn bytes(&self, raw: &RawValue, content_type: Option<&RawValue>, place: &Place) -> Result<Content, SubmitError> {
        let at = place.key("input_base64");
        let Some(content_type) = content_type else {
            let what = "the media type of `input_base64`, such as `image/jpeg`";
            return Err(SubmitError::Missing { place: place.clone(), key: "content_type", what });
        };
        let content_type = value(content_type, place.key("content_type"), "a media type, such as `image/jpeg`")?;
        let text: String = value(raw, at.clone(), "a text in base64")?;
        // Without padding three bytes take four letters.
        self.fits(text.trim_end_matches('=').len() / 4 * 3, at.clone())?;
        let body = BASE64.decode(&text).map_err(|error| SubmitError::Wrong {
            place: at.clone(),
            must: "a text in base64".to_owned(),
            got: format!("one with a fault ({error})").to_lowercase(),
        })?;
        self.fits(body.len(), at)?;
        Ok(Content { content_type, body })
    }

    fn fits(&self, size: usize, place: Place) -> Result<(), SubmitError> {
        let limit = self.limits.max_input_bytes;
        if size > limit { Err(SubmitError::InputTooLarge { place, size, limit }) } else { Ok(()) }
    }
}

/// A value of a plain type.
fn value<T: serde::de::DeserializeOwned>(raw: &RawValue, place: Place, must: &str) -> Result<T, SubmitError> {
    let wrong = |_| SubmitError::Wrong { place, must: must.to_owned(), got: excerpt(raw.get()) };
    serde_json::from_str(raw.get()).map_err(wrong)
}

/// Whether a task may run in an island.
fn where_to_run(raw: &RawValue, place: Place) -> Result<bool, SubmitError> {
    match serde_json::from_str::<&str>(raw.get()) {
        Ok("island") => Ok(true),
        Ok("cluster") => Ok(false),
        _ => Err(SubmitError::Wrong { place, must: "`cluster` or `island`".into(), got: excerpt(raw.get()) }),
    }
}

/// The object of these members.
fn gathered(members: &[(String, &RawValue)]) -> Vec<u8> {
    let size: usize = members.iter().map(|(key, value)| key.len() + value.get().len() + 4).sum();
    let mut body = Vec::with_capacity(size + 2);
    body.push(b'{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, key).expect("a text is JSON, and a vector takes it");
        body.push(b':');
        compact_into(&mut body, value.get());
    }
    body.push(b'}');
    body
}

/// The rules of the core, with the place of what breaks them.
fn checked(spec: TaskSpec, place: &Place) -> Result<NewTask, SubmitError> {
    use akita_core::task::SpecError::{BadAction, BadCapability, BadContentType, BadDepth, NoTime, TooManyRequired};
    let spec = spec.normalise().map_err(|source| {
        let key = match source {
            BadAction(_) => "action",
            BadCapability(_) | TooManyRequired(_) => "required_capabilities",
            BadContentType(_) => "content_type",
            NoTime => "timeout_s",
            // Nobody but a running task submits children.
            BadDepth(_) => "parent",
        };
        SubmitError::Spec { place: place.key(key), source }
    })?;
    let TaskSpec { action, required, priority, timeout_ms, input: Content { content_type, body: input }, extras } =
        spec;
    let deterministic = extras.deterministic;
    Ok(NewTask { action, required, priority, timeout_ms, content_type, input, deterministic, island: false })
}
