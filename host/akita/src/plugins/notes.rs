//! What the node remembers of its plugins between two starts: which are set aside, by whom and why, and what was there
//! last, so that a change made while the node was down is told too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::shelf::Line;
use crate::store::{Store, StoreError};

/// Where they are kept in the store.
const KEY: &str = "plugins";
/// Where the last good text of the file of grants is kept.
const GRANTS_KEY: &str = "plugins.grants";

/// The notes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Notes {
    /// Names that the operator has disabled, `plugin` or `plugin@version`.
    #[serde(default)]
    pub disabled: BTreeSet<String>,
    /// Content hashes, hex, that crashed too often, and why.
    #[serde(default)]
    pub quarantined: BTreeMap<String, String>,
    /// Of the file of grants that was read last.
    #[serde(default)]
    pub grants: String,
    /// What was there last.
    #[serde(default)]
    pub lines: Vec<Line>,
}

impl Notes {
    /// Those of the last run; none if they cannot be understood.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn load(store: &Store) -> Result<Notes, StoreError> {
        let Some(bytes) = store.get_meta(KEY).await? else { return Ok(Notes::default()) };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was noted of the plugins is not understood; none is disabled or quarantined");
            Notes::default()
        }))
    }

    /// Keeps them.
    ///
    /// # Errors
    /// The writer failed or was closed.
    pub async fn keep(&self, store: &Store) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(self).expect("texts in lists and maps always encode");
        store.set_meta(KEY, bytes).await
    }
}

/// The last text of the file of grants that was used: with it a start stands as firm as the run before, should the file be
/// broken by then.
///
/// # Errors
/// The database cannot be read.
pub async fn last_grants(store: &Store) -> Result<Option<String>, StoreError> {
    Ok(store.get_meta(GRANTS_KEY).await?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// Keeps it.
///
/// # Errors
/// The writer failed or was closed.
pub async fn keep_grants(store: &Store, text: &str) -> Result<(), StoreError> {
    store.set_meta(GRANTS_KEY, text.as_bytes().to_vec()).await
}
