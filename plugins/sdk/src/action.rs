//! Plugins and actions as tables: what [`plugin!`](crate::plugin) fills in, and what answers `describe` and `run`. It
//! knows nothing of WebAssembly, so that the whole way from request to answer runs in ordinary tests.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_core::{Serialize, de::DeserializeOwned};

use crate::{ActionInfo, Chunks, Content, PluginInfo, Request, Schema, SchemaWriter, TaskError, content, json};

/// What an action can take: any type that is `Deserialize` and [`Schema`], or [`Content`] for bytes as they were sent.
pub trait Input: Sized {
    /// Whether it reads the input with `task.read-input`, so that the request comes without it.
    const CHUNKS: bool = false;

    /// The JSON Schema of the input, where it has one.
    fn schema() -> Option<String>;

    /// Reads the input. An error names the place in the JSON.
    fn read(content: Content) -> Result<Self, TaskError>;
}

/// What an action can give: any type that is `Serialize` and [`Schema`], or [`Content`] for bytes.
pub trait Output: Sized {
    /// The JSON Schema of the output, where it has one.
    fn schema() -> Option<String>;

    /// Writes the output.
    fn write(self) -> Result<Content, TaskError>;
}

impl<T: DeserializeOwned + Schema> Input for T {
    fn schema() -> Option<String> {
        Some(SchemaWriter::document::<T>())
    }

    fn read(content: Content) -> Result<Self, TaskError> {
        if content.is_json() {
            return Ok(json::from_slice(&content.body)?);
        }
        let message = ["the input must be JSON, and was sent as `", &content.content_type, "`"].concat();
        Err(TaskError::invalid(message).code("bad-content-type"))
    }
}

impl<T: Serialize + Schema> Output for T {
    fn schema() -> Option<String> {
        Some(SchemaWriter::document::<T>())
    }

    fn write(self) -> Result<Content, TaskError> {
        let body =
            json::to_string(&self).map_err(|error| TaskError::permanent(error.to_string()).code("bad-output"))?;
        Ok(Content { content_type: content::JSON.into(), body: body.into_bytes() })
    }
}

impl Input for Content {
    fn schema() -> Option<String> {
        None
    }

    fn read(content: Content) -> Result<Self, TaskError> {
        Ok(content)
    }
}

impl Input for Chunks {
    const CHUNKS: bool = true;

    fn schema() -> Option<String> {
        None
    }

    fn read(content: Content) -> Result<Self, TaskError> {
        Ok(Self::new(content.content_type))
    }
}

impl Output for Content {
    fn schema() -> Option<String> {
        None
    }

    fn write(self) -> Result<Content, TaskError> {
        Ok(self)
    }
}

/// Reads the input, runs the action, writes the output.
pub fn call<I: Input, O: Output>(
    action: fn(I) -> Result<O, TaskError>,
    content: Content,
) -> Result<Content, TaskError> {
    action(I::read(content)?)?.write()
}

/// The schema of what an action takes.
#[must_use]
pub fn input_schema<I: Input, O>(_action: fn(I) -> Result<O, TaskError>) -> Option<String> {
    I::schema()
}

/// The schema of what an action gives.
#[must_use]
pub fn output_schema<I, O: Output>(_action: fn(I) -> Result<O, TaskError>) -> Option<String> {
    O::schema()
}

/// Whether an action reads its input in chunks.
#[must_use]
pub const fn reads_chunks<I: Input, O>(_action: fn(I) -> Result<O, TaskError>) -> bool {
    I::CHUNKS
}

/// One action, as [`plugin!`](crate::plugin) writes it down. Its fields are those of `action-info` in `wit/types.wit`.
#[derive(Debug)]
pub struct Action {
    /// Lower-case words joined by `-`, unique within the plugin.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Makes the schema of the input.
    pub input_schema: fn() -> Option<String>,
    /// Makes the schema of the output.
    pub output_schema: fn() -> Option<String>,
    /// Running it twice does no more than running it once.
    pub idempotent: bool,
    /// The same input gives the same output, bit for bit.
    pub deterministic: bool,
    /// How long one run usually takes, in milliseconds.
    pub typical_ms: Option<u32>,
    /// Capabilities that a node must have to run it.
    pub requires: &'static [&'static str],
    /// It reads its input in chunks, and the request comes without it.
    pub chunks: bool,
    /// Runs it.
    pub run: fn(Content) -> Result<Content, TaskError>,
}

impl Action {
    /// An action with nothing promised of it: the base that [`plugin!`](crate::plugin) builds on.
    #[must_use]
    pub const fn new(name: &'static str, run: fn(Content) -> Result<Content, TaskError>) -> Self {
        Self {
            name,
            summary: "",
            input_schema: || None,
            output_schema: || None,
            idempotent: false,
            deterministic: false,
            typical_ms: None,
            requires: &[],
            chunks: false,
            run,
        }
    }

    fn info(&self) -> ActionInfo {
        ActionInfo {
            name: self.name.into(),
            summary: self.summary.into(),
            input_schema: (self.input_schema)(),
            output_schema: (self.output_schema)(),
            idempotent: self.idempotent,
            deterministic: self.deterministic,
            typical_ms: self.typical_ms,
            requires: owned(self.requires),
            annotations: if self.chunks { vec![("input".into(), "chunks".into())] } else { Vec::new() },
        }
    }
}

/// A plugin and its actions, as [`plugin!`](crate::plugin) writes them down.
#[derive(Debug)]
pub struct Plugin {
    /// The first part of `plugin/action`.
    pub name: &'static str,
    /// Semantic version.
    pub version: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What it can do.
    pub actions: &'static [Action],
    /// Capabilities that a node gains by having this plugin.
    pub provides: &'static [&'static str],
}

impl Plugin {
    /// What the plugin says of itself.
    #[must_use]
    pub fn describe(&self) -> PluginInfo {
        PluginInfo {
            name: self.name.into(),
            version: self.version.into(),
            summary: self.summary.into(),
            actions: self.actions.iter().map(Action::info).collect(),
            provides: owned(self.provides),
            annotations: Vec::new(),
        }
    }

    /// Runs one attempt. `UnknownAction` if there is none of that name.
    pub fn run(&self, request: Request) -> Result<Content, TaskError> {
        let action = self.actions.iter().find(|action| action.name == request.action);
        let action = action.ok_or(TaskError::UnknownAction)?;
        (action.run)(request.input)
    }
}

#[cfg(not(target_family = "wasm"))]
impl Plugin {
    /// The input as a node gives it: the whole for `read-input`, and what is in the request.
    pub(crate) fn split(&self, action: &str, input: Content) -> (Vec<u8>, Content) {
        let chunks = self.actions.iter().any(|known| known.name == action && known.chunks);
        let body = if chunks { Vec::new() } else { input.body.clone() };
        (input.body, Content { content_type: input.content_type, body })
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).into()).collect()
}
