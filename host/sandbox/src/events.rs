//! What a run tells while it goes on: log lines, progress, partial output. It holds the run's quotas and never blocks
//! a guest: what a slow reader cannot take is merged, or dropped and counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::limits::{Bytes, Limits};
use crate::outcome::cut;

/// Longest line of log, in bytes: a line is for reading.
const MAX_LINE_BYTES: usize = 4 << 10;
/// Most fields of one log line.
const MAX_FIELDS: usize = 16;
/// Longest key or value of a field, in bytes.
const MAX_FIELD_BYTES: usize = 256;
/// Longest note of a progress report, in bytes: it is shown on one line.
const MAX_NOTE_BYTES: usize = 200;
/// Progress goes out at most this often: nobody reads faster.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end of a run waits for a reader that is behind, before it gives up on the rest.
const FLUSH_WAIT: Duration = Duration::from_millis(100);
/// How much of what the guest wrote to standard error is kept to explain a trap: a panic's place and message.
const LAST_WORDS_BYTES: usize = 400;
/// What Rust adds to a panic's message; there is no such variable for a guest.
const BACKTRACE_HINT: &str = "note: run with `RUST_BACKTRACE";

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Step by step.
    Trace,
    /// For the plugin's author.
    Debug,
    /// For the operator.
    Info,
    /// Something is off; the run goes on.
    Warn,
    /// The run is about to fail.
    Error,
}

/// What a run tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// How far it is. Only the latest matters.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all, where that is known.
        total: Option<u64>,
        /// For people.
        note: String,
    },
    /// One line of log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        message: String,
        /// For programs.
        fields: Vec<(String, String)>,
    },
    /// Partial output, in order.
    Chunk(Vec<u8>),
}

/// Which standard stream a guest wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The events of one run, shared by the host's interfaces and the guest's standard streams.
#[derive(Debug, Clone)]
pub(crate) struct Events(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    sender: Option<mpsc::Sender<JobEvent>>,
    lines_left: u32,
    bytes_left: u64,
    dropped: u64,
    output_limit: u64,
    emitted: u64,
    chunk: Vec<u8>,
    progress: Option<JobEvent>,
    progress_sent: Option<Instant>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    last_words: String,
}

impl Events {
    pub(crate) fn new(sender: Option<mpsc::Sender<JobEvent>>, limits: &Limits) -> Events {
        Events(Arc::new(Mutex::new(Inner {
            sender,
            lines_left: limits.log_lines,
            bytes_left: limits.log_bytes,
            dropped: 0,
            output_limit: limits.output_bytes,
            emitted: 0,
            chunk: Vec::new(),
            progress: None,
            progress_sent: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            last_words: String::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves a state that is whole, so one that panicked half-way does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one log line.
    pub(crate) fn log(&self, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        self.lock().log(level, message, fields);
    }

    /// Takes a progress report; goes out at once or, if the last one is too recent, later.
    pub(crate) fn progress(&self, done: u64, total: Option<u64>, note: String) {
        let mut inner = self.lock();
        inner.progress = Some(JobEvent::Progress { done, total, note: cut(note, MAX_NOTE_BYTES) });
        inner.push_progress(Instant::now());
    }

    /// Takes partial output.
    ///
    /// # Errors
    /// In words for the guest, when all chunks together are over the output limit.
    pub(crate) fn emit(&self, chunk: Vec<u8>) -> Result<(), String> {
        let mut inner = self.lock();
        let total = inner.emitted.saturating_add(chunk.len() as u64);
        if total > inner.output_limit {
            let (total, limit) = (Bytes(total), Bytes(inner.output_limit));
            return Err(format!("partial output of {total} is over the limit of {limit}"));
        }
        inner.emitted = total;
        if inner.sender.is_some() {
            if inner.chunk.is_empty() {
                inner.chunk = chunk;
            } else {
                inner.chunk.extend_from_slice(&chunk);
            }
            inner.push_chunk();
        }
        Ok(())
    }

    /// Bytes of partial output so far.
    pub(crate) fn emitted(&self) -> u64 {
        self.lock().emitted
    }

    /// Takes what the guest wrote to a standard stream: each whole line becomes a log line.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let buffer = inner.buffer(stream);
            let room = MAX_LINE_BYTES.saturating_sub(buffer.len());
            buffer.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                inner.end_line(stream);
            }
        }
    }

    /// Called now and then while the guest computes: sends what waited.
    pub(crate) fn tick(&self, now: Instant) {
        let mut inner = self.lock();
        inner.push_progress(now);
        inner.push_chunk();
    }

    /// What the guest last wrote to standard error, on one line.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut inner = self.lock();
        inner.end_line(Stream::Stderr);
        (!inner.last_words.is_empty()).then(|| inner.last_words.clone())
    }

    /// Sends what is left. Waits for a reader that is behind, but not long.
    pub(crate) async fn finish(&self) {
        let (sender, left) = self.lock().take_rest();
        let Some(sender) = sender else { return };
        for event in left.into_iter().flatten() {
            let event = match sender.try_send(event) {
                Err(mpsc::error::TrySendError::Full(event)) => event,
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => continue,
            };
            if sender.send_timeout(event, FLUSH_WAIT).await.is_err() {
                tracing::debug!("the reader of a run's events is too slow or gone; the rest is dropped");
                return;
            }
        }
    }
}

impl Inner {
    fn log(&mut self, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        let Some(sender) = &self.sender else { return };
        let message = cut(message, MAX_LINE_BYTES);
        let fields: Vec<_> = fields
            .into_iter()
            .take(MAX_FIELDS)
            .map(|(key, value)| (cut(key, MAX_FIELD_BYTES), cut(value, MAX_FIELD_BYTES)))
            .collect();
        let size: usize = message.len() + fields.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.lines_left == 0 || size as u64 > self.bytes_left {
            self.dropped += 1;
            return;
        }
        match sender.try_send(JobEvent::Log { level, message, fields }) {
            Ok(()) => {
                self.lines_left -= 1;
                self.bytes_left -= size as u64;
            }
            Err(_) => self.dropped += 1,
        }
    }

    fn push_progress(&mut self, now: Instant) {
        let due = self.progress_sent.is_none_or(|sent| now.saturating_duration_since(sent) >= PROGRESS_INTERVAL);
        let Some(sender) = &self.sender else { return };
        if !due {
            return;
        }
        let Some(event) = self.progress.take() else { return };
        match sender.try_send(event) {
            Err(mpsc::error::TrySendError::Full(event)) => self.progress = Some(event),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => self.progress_sent = Some(now),
        }
    }

    fn push_chunk(&mut self) {
        let Some(sender) = &self.sender else { return };
        if self.chunk.is_empty() {
            return;
        }
        let chunk = std::mem::take(&mut self.chunk);
        if let Err(mpsc::error::TrySendError::Full(JobEvent::Chunk(chunk))) = sender.try_send(JobEvent::Chunk(chunk)) {
            self.chunk = chunk;
        }
    }

    fn buffer(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(self.buffer(stream));
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        let (level, name) = match stream {
            Stream::Stdout => (LogLevel::Info, "stdout"),
            Stream::Stderr => (LogLevel::Warn, "stderr"),
        };
        let telling = stream == Stream::Stderr && !line.starts_with(BACKTRACE_HINT);
        if telling && self.last_words.len() < LAST_WORDS_BYTES {
            if !self.last_words.is_empty() {
                self.last_words.push(' ');
            }
            self.last_words.push_str(line.trim());
            self.last_words = cut(std::mem::take(&mut self.last_words), LAST_WORDS_BYTES);
        }
        self.log(level, line, vec![("stream".to_owned(), name.to_owned())]);
    }

    fn take_rest(&mut self) -> (Option<mpsc::Sender<JobEvent>>, [Option<JobEvent>; 3]) {
        self.end_line(Stream::Stdout);
        self.end_line(Stream::Stderr);
        let chunk = std::mem::take(&mut self.chunk);
        let chunk = (!chunk.is_empty()).then_some(JobEvent::Chunk(chunk));
        let dropped = (self.dropped > 0).then(|| JobEvent::Log {
            level: LogLevel::Warn,
            message: format!(
                "dropped {} lines of this run's log: over its limit, or faster than they are read",
                self.dropped
            ),
            fields: vec![("dropped".to_owned(), self.dropped.to_string())],
        });
        (self.sender.take(), [chunk, self.progress.take(), dropped])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(room: usize, limits: &Limits) -> (Events, mpsc::Receiver<JobEvent>) {
        let (sender, receiver) = mpsc::channel(room);
        (Events::new(Some(sender), limits), receiver)
    }

    fn drain(receiver: &mut mpsc::Receiver<JobEvent>) -> Vec<JobEvent> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    fn line(message: &str) -> JobEvent {
        JobEvent::Log { level: LogLevel::Info, message: message.into(), fields: vec![] }
    }

    #[tokio::test]
    async fn lines_over_the_limit_are_dropped_and_counted() {
        let (events, mut receiver) = events(100, &Limits { log_lines: 2, ..Limits::default() });
        for n in 0..5 {
            events.log(LogLevel::Info, format!("line {n}"), vec![]);
        }
        events.finish().await;
        let got = drain(&mut receiver);
        assert_eq!(got[..2], [line("line 0"), line("line 1")]);
        let JobEvent::Log { message, fields, .. } = &got[2] else { panic!("{got:?}") };
        assert!(message.starts_with("dropped 3 lines"), "{message}");
        assert_eq!(fields[0], ("dropped".into(), "3".into()));
    }

    #[tokio::test]
    async fn bytes_over_the_limit_are_dropped_and_counted() {
        let (events, mut receiver) = events(100, &Limits { log_bytes: 10, ..Limits::default() });
        events.log(LogLevel::Info, "12345678".into(), vec![]);
        events.log(LogLevel::Info, "12345678".into(), vec![]);
        events.finish().await;
        assert_eq!(drain(&mut receiver).len(), 2);
    }

    #[tokio::test]
    async fn progress_keeps_the_latest() {
        let (events, mut receiver) = events(100, &Limits::default());
        for done in 0..1000 {
            events.progress(done, Some(1000), String::new());
        }
        events.finish().await;
        let got = drain(&mut receiver);
        assert!(got.len() < 1000);
        assert_eq!(got.last(), Some(&JobEvent::Progress { done: 999, total: Some(1000), note: String::new() }));
    }

    #[tokio::test]
    async fn chunks_stay_in_order_and_whole_when_the_reader_is_behind() {
        let (events, mut receiver) = events(1, &Limits::default());
        for byte in 0..50 {
            events.emit(vec![byte]).unwrap();
        }
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(JobEvent::Chunk(chunk)) = receiver.recv().await {
                all.extend(chunk);
            }
            all
        });
        events.finish().await;
        assert_eq!(reader.await.unwrap(), (0..50).collect::<Vec<u8>>());
    }

    #[test]
    fn emit_is_held_to_the_output_limit() {
        let (events, _receiver) = events(1, &Limits { output_bytes: 10, ..Limits::default() });
        events.emit(vec![0; 8]).unwrap();
        let error = events.emit(vec![0; 8]).unwrap_err();
        assert_eq!(error, "partial output of 16 B is over the limit of 10 B");
    }

    #[tokio::test]
    async fn standard_streams_become_lines() {
        let (events, mut receiver) = events(100, &Limits::default());
        events.write(Stream::Stdout, b"one\ntw");
        events.write(Stream::Stdout, b"o\nthree");
        events.write(Stream::Stderr, &[b'x'; 10_000]);
        assert_eq!(events.last_words().unwrap().len(), LAST_WORDS_BYTES);
        events.finish().await;
        let lines: Vec<_> = drain(&mut receiver)
            .into_iter()
            .map(|event| match event {
                JobEvent::Log { message, .. } => message,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lines[..2], ["one", "two"]);
        assert!(lines.contains(&"three".to_owned()));
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE_BYTES));
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_stops_nothing() {
        let (events, receiver) = events(1, &Limits::default());
        drop(receiver);
        events.log(LogLevel::Info, "x".into(), vec![]);
        events.progress(1, None, String::new());
        events.emit(vec![1]).unwrap();
        events.finish().await;
    }
}
