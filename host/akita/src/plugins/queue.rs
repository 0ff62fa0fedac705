//! Files that wait to be read whole, and the one that is being read: one at a time, because the compiler takes much
//! memory. It says how far it is and decides nothing about a file.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::Instant,
};

use akita_sandbox::LoadError;
use tokio::task::JoinHandle;

use super::reading::{Entry, Reading, Work, file_name};

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<PathBuf>,
    reading: Option<(PathBuf, Instant, JoinHandle<Entry>)>,
}

impl Queue {
    /// A file has to be read; once is enough.
    pub fn push(&mut self, path: PathBuf) {
        if !self.waiting.contains(&path) {
            self.waiting.push_back(path);
        }
    }

    /// All that wait, which do no more.
    pub fn take_waiting(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.waiting).into()
    }

    /// Whether nothing waits and nothing is read.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.reading.is_none()
    }

    /// Begins to read the next file that is still there, if none is being read. Says which.
    pub fn begin(
        &mut self,
        mut still_there: impl FnMut(&Path) -> bool,
        reading: impl FnOnce(PathBuf) -> Reading,
    ) -> Option<&Path> {
        if self.reading.is_some() {
            return None;
        }
        let path = loop {
            let path = self.waiting.pop_front()?;
            if still_there(&path) {
                break path;
            }
        };
        let reading = reading(path.clone());
        let handle = tokio::task::spawn_blocking(move || reading.whole());
        self.reading = Some((path, Instant::now(), handle));
        self.reading.as_ref().map(|(path, ..)| path.as_path())
    }

    /// Waits for the file that is being read; for ever if there is none.
    pub async fn ended(&mut self) -> (PathBuf, Entry) {
        let Some((path, _, handle)) = &mut self.reading else { return std::future::pending().await };
        // The loader itself failed.
        let broken = |error| Entry::rejected(LoadError::Invalid(format!("the loader broke off: {error}")));
        let entry = handle.await.unwrap_or_else(broken);
        let path = std::mem::take(path);
        self.reading = None;
        (path, entry)
    }

    /// How far it is: the file that is read first.
    pub fn work(&self) -> Vec<Work> {
        let reading = self.reading.iter().map(|(path, since, _)| (path, Some(*since)));
        let waiting = self.waiting.iter().map(|path| (path, None));
        let each = reading.chain(waiting).enumerate();
        each.map(|(ahead, (path, since))| Work { file: file_name(path), since, ahead }).collect()
    }
}
