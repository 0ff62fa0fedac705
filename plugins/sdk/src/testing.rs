//! Runs a plugin in an ordinary test: describe, input, action, output and all the words on the way, with fakes in place
//! of the node that record what the plugin says. Only in native builds.
//!
//! ```
//! use akita_plugin::prelude::*;
//! use akita_plugin::testing::Harness;
//!
//! fn count(input: Content) -> Result<Content, TaskError> {
//!     log::info("counted", &[("bytes", &input.body.len())]);
//!     task::progress(1, 1, "done");
//!     Ok(Content::json(format!(r#"{{"bytes":{}}}"#, input.body.len())))
//! }
//!
//! akita_plugin::plugin! {
//!     name: "counter",
//!     summary: "Counts.",
//!     actions: { "count" => count { summary: "How many bytes there are." } },
//! }
//!
//! let outcome = Harness::new(&PLUGIN).attempt(2).run("count", Content::new("text/plain", "abc"));
//! assert_eq!(outcome.text(), r#"{"bytes":3}"#);
//! assert_eq!(outcome.lines[0].fields, [("bytes".to_string(), "3".to_string())]);
//! assert_eq!(outcome.progress[0].note, "done");
//! ```

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use serde_core::de::DeserializeOwned;

use crate::log::Level;
use crate::sensors::Reading;
use crate::tasks::Child;
use crate::{Content, Failure, Plugin, PluginInfo, Request, TaskError, json};

pub(crate) mod fake;
mod granted;
mod world;

/// A plugin with a pretended node around it. By default: the first attempt of the task `test`, an hour left, nobody
/// cancels, 1 MiB of partial output, noon of 1 January 2026, everything granted, and a node called `here` that is alone.
///
/// What a run leaves (values, blobs, messages) is there for the next one. A clone is the same cluster with other
/// settings: `node.clone().attempt(2)` runs the task again and finds its children again.
#[derive(Clone, Debug)]
pub struct Harness {
    plugin: &'static Plugin,
    node: fake::Node,
    world: Rc<RefCell<world::World>>,
}

/// A line that the plugin wrote to the log.
#[derive(Clone, Debug)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// For people.
    pub message: String,
    /// For programs.
    pub fields: Vec<(String, String)>,
}

/// How far the plugin said that it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Of how many.
    pub total: Option<u64>,
    /// What it is doing.
    pub note: String,
}

/// What came of a run, and all that the plugin said meanwhile.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Output or error.
    pub result: Result<Content, TaskError>,
    /// The log, in order.
    pub lines: Vec<Line>,
    /// Every report of progress, in order.
    pub progress: Vec<Progress>,
    /// The partial output.
    pub emitted: Vec<u8>,
    /// Messages to nodes, by the nodes' ids.
    pub sent: Vec<(String, Vec<u8>)>,
    /// Child tasks that are new, in order.
    pub children: Vec<Child>,
}

impl Harness {
    /// Pretends a node around a plugin: the `PLUGIN` that [`plugin!`](crate::plugin) defines.
    #[must_use]
    pub fn new(plugin: &'static Plugin) -> Self {
        Self { plugin, node: fake::Node::default(), world: Rc::default() }
    }

    /// Runs as this attempt; the first is 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.node.attempt = attempt;
        self
    }

    /// Says that so much time is left.
    #[must_use]
    pub fn remaining_ms(mut self, milliseconds: u64) -> Self {
        self.node.remaining_ms = milliseconds;
        self
    }

    /// Cancels the task: the plugin can look this many times before it sees so.
    #[must_use]
    pub fn cancel_after(mut self, looks: usize) -> Self {
        self.node.looks_left = Some(looks);
        self
    }

    /// Takes no more than so many bytes of partial output.
    #[must_use]
    pub fn emit_limit(mut self, bytes: usize) -> Self {
        self.node.emit_limit = bytes;
        self
    }

    /// Says what time it is, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(mut self, milliseconds: u64) -> Self {
        self.node.now_ms = milliseconds;
        self
    }

    /// Keeps no more than so many bytes of keys and values; 1 MiB if it is not set.
    #[must_use]
    pub fn kv_quota(mut self, bytes: u64) -> Self {
        self.node.kv_quota = bytes;
        self
    }

    /// Keeps no more than so many bytes of blobs; 64 MiB if it is not set.
    #[must_use]
    pub fn blob_quota(mut self, bytes: u64) -> Self {
        self.node.blob_quota = bytes;
        self
    }

    /// Takes no more than so many child tasks; 64 if it is not set.
    #[must_use]
    pub fn max_children(mut self, children: u32) -> Self {
        self.node.max_children = children;
        self
    }

    /// Lets every call of an interface fail as unavailable: `kv`, `blobs`, `mesh` (its sending), `sensors` (their
    /// readings), `tasks` or `http`.
    #[must_use]
    pub fn unavailable(mut self, interface: &'static str) -> Self {
        self.node.unavailable.push(interface);
        self
    }

    /// Gives this node a sensor.
    #[must_use]
    pub fn sensor(self, name: &str, value: f64, unit: &str) -> Self {
        let reading = Reading { name: name.into(), value, unit: unit.into(), age_ms: 0 };
        self.world.borrow_mut().nodes[self.node.here].sensors.insert(name.into(), reading);
        self
    }

    /// Adds a node to the cluster.
    #[must_use]
    pub fn peer(self, name: &str, capabilities: &[&str]) -> Self {
        self.world.borrow_mut().add(name, capabilities);
        self
    }

    /// The same cluster, with the runs on the node of this name or id. The first is called `here`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn at(mut self, name: &str) -> Self {
        let place = self.world.borrow().place(name);
        self.node.here = place.unwrap_or_else(|| panic!("no node is called `{name}`: add it with `peer`"));
        self
    }

    /// The id of a node by its name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn id_of(&self, name: &str) -> String {
        let world = self.world.borrow();
        let place = world.place(name).unwrap_or_else(|| panic!("no node is called `{name}`: add it with `peer`"));
        world.nodes[place].node.id.clone()
    }

    /// Answers child tasks that ask for this action, in the words that the plugin uses for it. Others fail as unknown.
    #[must_use]
    pub fn child(self, action: &str, answer: impl Fn(&Content) -> Result<Content, TaskError> + 'static) -> Self {
        self.world.borrow_mut().answers.insert(action.into(), Rc::new(answer));
        self
    }

    /// Answers requests by HTTP. Without it every host is refused.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(
        self,
        answer: impl Fn(&crate::http::Request) -> Result<crate::http::Response, crate::http::Error> + 'static,
    ) -> Self {
        self.world.borrow_mut().server = Some(Rc::new(answer));
        self
    }

    /// Runs an action on any input.
    #[must_use]
    pub fn run(&self, action: &str, input: Content) -> Outcome {
        {
            let mut world = self.world.borrow_mut();
            world.asked = 0;
            if self.node.attempt == 1 {
                world.results.clear();
            }
        }
        let (whole, input) = self.plugin.split(action, input);
        let request = Request { action: action.into(), input, annotations: Vec::new() };
        let (node, world) = (self.node.clone(), self.world.clone());
        let now = fake::Now { node, input: whole, record: fake::Record::default(), world };
        let (result, record) = fake::with(now, || self.plugin.run(request));
        let fake::Record { lines, progress, emitted, sent, children } = record;
        Outcome { result, lines, progress, emitted, sent, children }
    }

    /// Runs an action on JSON.
    #[must_use]
    pub fn json(&self, action: &str, input: &str) -> Outcome {
        self.run(action, Content::json(input))
    }

    /// What the plugin says of itself, checked as a node checks it.
    ///
    /// # Panics
    /// Where a node would refuse the plugin: a name that is no words joined by `-`, a version that is not semantic, no
    /// action, two of one name, a schema that is no JSON object.
    #[must_use]
    pub fn describe(&self) -> PluginInfo {
        let info = self.plugin.describe();
        assert!(is_name(&info.name), "the plugin's name `{}` is no lower-case words joined by `-`", info.name);
        let parts: Vec<&str> = info.version.split(['-', '+']).next().unwrap_or_default().split('.').collect();
        let semantic = parts.len() == 3 && parts.iter().all(|part| part.parse::<u64>().is_ok());
        assert!(semantic, "the version `{}` is not semantic", info.version);
        assert!(!info.actions.is_empty(), "there is no action");
        for (index, action) in info.actions.iter().enumerate() {
            let name = &action.name;
            assert!(is_name(name), "the action's name `{name}` is no lower-case words joined by `-`");
            assert!(!info.actions[..index].iter().any(|other| other.name == *name), "two actions are called `{name}`");
            assert!(!action.summary.is_empty(), "`{name}` has no summary");
            for schema in [&action.input_schema, &action.output_schema].into_iter().flatten() {
                let parsed = json::from_slice::<alloc::collections::BTreeMap<String, serde_core::de::IgnoredAny>>(
                    schema.as_bytes(),
                );
                assert!(parsed.is_ok(), "a schema of `{name}` is no JSON object: {schema}");
            }
        }
        info
    }
}

impl Outcome {
    /// The output as text.
    ///
    /// # Panics
    /// If the run failed, or gave no text.
    #[must_use]
    pub fn text(&self) -> &str {
        let output = self.output();
        str::from_utf8(&output.body).expect("the output is text")
    }

    /// The output as a value, such as `serde_json::Value`.
    ///
    /// # Panics
    /// If the run failed, or gave something else.
    #[must_use]
    pub fn value<T: DeserializeOwned>(&self) -> T {
        let output = self.output();
        assert!(output.is_json(), "the output is `{}` and not JSON", output.content_type);
        json::from_slice(&output.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The output.
    ///
    /// # Panics
    /// If the run failed.
    #[must_use]
    pub fn output(&self) -> &Content {
        match &self.result {
            Ok(output) => output,
            Err(error) => panic!("the run failed: {error:?}"),
        }
    }

    /// The error.
    ///
    /// # Panics
    /// If the run gave an output.
    #[must_use]
    pub fn error(&self) -> &TaskError {
        match &self.result {
            Ok(output) => panic!("the run gave {}", String::from_utf8_lossy(&output.body)),
            Err(error) => error,
        }
    }

    /// The words of the error.
    ///
    /// # Panics
    /// If the run gave an output, or an error without words.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        let error = self.error();
        error.failure().unwrap_or_else(|| panic!("there are no words to {error:?}"))
    }
}

fn is_name(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    name.split('-').all(word)
}
