//! What the node says of itself: log lines on standard error, and the latest of them in memory for `GET /logs`.
//! It decides levels and formats; it never writes files and never holds more than its bounds.

use std::collections::VecDeque;
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Settings};

/// Lines kept in memory: some minutes of a busy node, a day of a quiet one.
pub const RING_LINES: usize = 2_000;

/// Bytes kept in memory, whatever the number of lines: a node should stay small.
pub const RING_BYTES: usize = 1 << 20;

/// A longer message or field is cut: one line must not push out all others.
pub const LINE_BYTES: usize = 4_096;

/// Fields kept of one line, for the same reason.
const LINE_FIELDS: usize = 32;

/// What a line costs beside its text, roughly: the struct, its map, two allocations.
const LINE_OVERHEAD: usize = 200;

/// One log line, as `GET /logs` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts up from 1 since the node started, without gaps.
    pub seq: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The module that said it.
    pub target: String,
    /// What it said.
    pub message: String,
    /// The rest, by name.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

impl LogLine {
    fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + text_bytes(value)).sum();
        LINE_OVERHEAD + self.target.len() + self.message.len() + fields
    }
}

fn text_bytes(value: &Value) -> usize {
    value.as_str().map_or(8, str::len)
}

/// The latest log lines, within [`RING_LINES`] and [`RING_BYTES`]. Clones share the lines.
#[derive(Clone, Default)]
pub struct LogRing(Arc<Mutex<Ring>>);

#[derive(Default)]
struct Ring {
    lines: VecDeque<(Level, LogLine)>,
    bytes: usize,
    last: u64,
}

impl LogRing {
    /// Lines of at least `min_level` in the order in which they came, and the `after` to ask with next time.
    ///
    /// Without `after` the latest `limit` lines. With it, the first `limit` lines that came after that number, so
    /// that a follower misses none that is still held.
    pub fn tail(&self, limit: usize, min_level: Level, after: Option<u64>) -> (Vec<LogLine>, u64) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // tracing orders levels by verbosity: ERROR is the least.
        let wanted = ring.lines.iter().filter(|(level, _)| *level <= min_level).map(|(_, line)| line);
        let Some(after) = after else {
            let mut lines: Vec<LogLine> = wanted.rev().take(limit).cloned().collect();
            lines.reverse();
            return (lines, ring.last);
        };
        let lines: Vec<LogLine> = wanted.filter(|line| line.seq > after).take(limit).cloned().collect();
        let next = match lines.last() {
            Some(line) if lines.len() == limit => line.seq,
            _ => ring.last,
        };
        (lines, next)
    }

    fn push(&self, level: Level, mut line: LogLine) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last += 1;
        line.seq = ring.last;
        ring.bytes += line.bytes();
        ring.lines.push_back((level, line));
        while ring.lines.len() > RING_LINES || ring.bytes > RING_BYTES {
            let Some((_, old)) = ring.lines.pop_front() else { break };
            ring.bytes -= old.bytes();
        }
    }
}

impl fmt::Debug for LogRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogRing")
    }
}

/// Begins to log as the settings say: to standard error, and to the ring that is returned. Called once, by `start`;
/// a second call leaves the first in force and gives a ring that stays empty.
pub fn init(settings: &Settings) -> LogRing {
    let ring = LogRing::default();
    let base = tracing_subscriber::registry().with(filter(settings.log_level)).with(RingLayer(ring.clone()));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let begun = match settings.log_format {
        LogFormat::Json => base.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => base.with(lines.with_ansi(colour())).try_init(),
    };
    if begun.is_err() {
        tracing::debug!("logging was set up before");
    }
    ring
}

/// Our own crates at the level that was asked for, libraries from `warn` up. `akita` stands for all of our crates:
/// a filter matches every target that begins with it. The consensus engine warns of each heartbeat that has no answer,
/// several times a second while a voter is away; the cluster says that once.
fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(format!("{},openraft=error,akita={level}", level.min(Level::WARN)))
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Copies every event into the ring.
struct RingLayer(LogRing);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RingLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let level = *event.metadata().level();
        // What came through the `log` crate carries its real target as a field.
        let target = match words.fields.remove("log.target") {
            Some(Value::String(target)) => target,
            _ => event.metadata().target().to_owned(),
        };
        words.fields.retain(|name, _| !name.starts_with("log."));
        let time = jiff::Timestamp::now().to_string();
        let level_name = level.as_str().to_ascii_lowercase();
        let line = LogLine { seq: 0, time, level: level_name, target, message: words.message, fields: words.fields };
        self.0.push(level, line);
    }
}

/// Collects the fields of one event.
#[derive(Default)]
struct Words {
    message: String,
    fields: Map<String, Value>,
}

impl Words {
    fn put(&mut self, field: &Field, value: Value) {
        if self.fields.len() < LINE_FIELDS {
            self.fields.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = cut(value);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, Value::String(text));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

/// At most [`LINE_BYTES`] of a text, cut between characters.
fn cut(text: &str) -> String {
    if text.len() <= LINE_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LINE_BYTES - '…'.len_utf8())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(level: Level, work: impl FnOnce()) -> LogRing {
        let ring = LogRing::default();
        let subscriber = tracing_subscriber::registry().with(filter(level)).with(RingLayer(ring.clone()));
        tracing::subscriber::with_default(subscriber, work);
        ring
    }

    #[test]
    fn lines_carry_level_target_message_and_fields() {
        let ring = logged(Level::INFO, || tracing::info!(peer = "ridge", rtt_ms = 12, "link up"));
        let (lines, next) = ring.tail(10, Level::INFO, None);
        assert_eq!((lines.len(), next), (1, 1));
        let line = &lines[0];
        assert_eq!((line.level.as_str(), line.message.as_str(), line.seq), ("info", "link up", 1));
        assert_eq!(line.target, "akita::telemetry::tests");
        assert_eq!(Value::Object(line.fields.clone()), serde_json::json!({"peer": "ridge", "rtt_ms": 12}));
        assert!(line.time.parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn our_crates_speak_at_the_level_and_libraries_from_warn_up() {
        let ring = logged(Level::DEBUG, || {
            tracing::debug!("ours");
            tracing::debug!(target: "akita_mesh::link", "ours too");
            tracing::info!(target: "rns_net", "theirs");
            tracing::warn!(target: "rns_net", "their warning");
            tracing::warn!(target: "openraft", "no answer to a heartbeat");
        });
        let messages: Vec<_> = ring.tail(10, Level::TRACE, None).0.into_iter().map(|line| line.message).collect();
        assert_eq!(messages, ["ours", "ours too", "their warning"]);

        let ring = logged(Level::ERROR, || tracing::warn!(target: "rns_net", "their warning"));
        assert_eq!(ring.tail(10, Level::TRACE, None).0, [], "libraries do not say more than we do");
    }

    #[test]
    fn a_follower_sees_every_line_once_and_in_order() {
        let ring = logged(Level::INFO, || {
            for n in 0..7 {
                tracing::info!(n, "line");
                tracing::warn!(n, "warning");
            }
        });
        let (newest, next) = ring.tail(2, Level::WARN, None);
        assert_eq!((newest[0].seq, newest[1].seq, next), (12, 14, 14));

        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let (lines, next) = ring.tail(3, Level::WARN, Some(after));
            if lines.is_empty() {
                break;
            }
            seen.extend(lines.into_iter().map(|line| line.seq));
            after = next;
        }
        assert_eq!(seen, [2, 4, 6, 8, 10, 12, 14]);
        assert_eq!(after, 14);
    }

    #[test]
    fn the_ring_keeps_its_bounds() {
        let big = "é".repeat(LINE_BYTES);
        let ring = logged(Level::INFO, || {
            for _ in 0..RING_LINES + 10 {
                tracing::info!("small");
            }
        });
        assert_eq!(ring.0.lock().expect("not poisoned").lines.len(), RING_LINES);
        let ring = logged(Level::INFO, || {
            for _ in 0..RING_LINES {
                tracing::info!("{big}");
            }
        });
        let held = ring.0.lock().expect("not poisoned");
        assert!(held.bytes <= RING_BYTES && held.lines.len() < RING_LINES);
        assert_eq!(held.bytes, held.lines.iter().map(|(_, line)| line.bytes()).sum::<usize>());
        assert!(held.lines[0].1.message.len() <= LINE_BYTES && held.lines[0].1.message.ends_with('…'));
    }
}
