//! The keeper and the file of grants: what it says now, what it said last, and whom that makes trusted.

use std::path::PathBuf;

use super::Keeper;
use crate::plugins::{
    grants::{self, GrantsFile},
    notes,
    reading::{What, file_name},
};

impl Keeper {
    /// Until the file of grants is read, those of the last run hold.
    pub(super) async fn recall_grants(&mut self) -> anyhow::Result<()> {
        let Some(text) = notes::last_grants(&self.store).await? else {
            // Should the file be broken, nobody may be trusted for want of knowing whom.
            self.grants = GrantsFile::closed(format!("{} was never read", grants::FILE_NAME));
            return Ok(());
        };
        self.grants = GrantsFile::parse(self.dir.join(grants::FILE_NAME), &text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the grants of the last run are not understood");
            GrantsFile::closed(format!("{} was never read", grants::FILE_NAME))
        });
        self.workshop.sensors.set(&self.dir, self.grants.sensors());
        Ok(())
    }

    /// Keeps what is granted now for a start at which the file is broken.
    pub(super) async fn keep_grants(&mut self) {
        if self.problem.is_some() || self.grants_kept.as_deref() == Some(self.grants.hash()) {
            return;
        }
        match notes::keep_grants(&self.store, self.grants.text()).await {
            Ok(()) => self.grants_kept = Some(self.grants.hash().to_owned()),
            Err(error) => tracing::warn!(%error, "the plugins' grants could not be kept for the next start"),
        }
    }

    pub(super) async fn read_grants(&mut self, path: PathBuf) -> bool {
        let read = tokio::task::spawn_blocking(move || grants::read(&path)).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        self.take_grants(read);
        true
    }

    pub(super) fn take_grants(&mut self, read: Result<GrantsFile, String>) {
        self.grants_gone = None;
        match read {
            Ok(grants) => {
                self.problem = None;
                if grants.hash() != self.notes.grants {
                    tracing::info!(entries = grants.len(), "the plugins' grants have changed");
                    let what = [("what", "grants".to_owned()), ("file", grants::FILE_NAME.to_owned())];
                    let entries = [("entries", grants.len().to_string()), ("plugins", grants.to_string())];
                    let hash = [("hash", grants.hash().to_owned()), ("trust", grants.trust().rule.to_string())];
                    let all = what.into_iter().chain(entries).chain(hash).filter(|(_, value)| !value.is_empty());
                    self.rows.push(all.map(|(key, value)| (key.to_owned(), value)).collect());
                    grants.hash().clone_into(&mut self.notes.grants);
                }
                self.workshop.sensors.set(&self.dir, grants.sensors());
                self.grants = grants;
                // Who is trusted now may be asked now.
                let trust = self.grants.trust();
                let unasked = self.files.iter().filter(|(_, entry)| matches!(entry.what, What::Unasked));
                let trusted = unasked.filter(|(path, entry)| trust.admits(&file_name(path), &entry.seal).is_ok());
                trusted.for_each(|(path, _)| self.queue.push(path.clone()));
            }
            Err(problem) => {
                tracing::warn!("the plugins' grants are not used: {problem}; what was granted before stays");
                self.problem = Some(problem);
            }
        }
    }
}
