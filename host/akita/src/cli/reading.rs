//! The options that say how new an answer must be, shared by all commands that read what the cluster has agreed on.

use std::time::Duration;

use clap::Args;

use super::client::{Client, parse};
use super::session::Session;
use super::view::View;
use crate::exit::ExitError;

/// Longest time that a node takes to have an answer that is as new as was asked for.
const LONGEST: Duration = Duration::from_secs(60);

/// How new the answer must be.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Fresh {
    /// Only what the leader confirms to be the newest, or fail; usually it may be stale, and says so
    #[arg(long, conflicts_with = "stale")]
    consistent: bool,
    /// What the asked node has itself, at once, however old it is
    #[arg(long)]
    stale: bool,
    /// Wait until this entry of the log is in the answer; `task submit -o json` names it as `index`
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
}

impl Fresh {
    /// Whatever is usual, once entry `after` is in it.
    pub fn after(after: u64) -> Fresh {
        Fresh { after: Some(after), ..Fresh::default() }
    }

    /// Asks for `path` with these words added to its query; tells people where the answer may be old.
    pub fn get(
        self,
        session: &mut Session<'_>,
        client: &Client,
        path: &str,
        mut query: Vec<(&str, String)>,
    ) -> Result<String, ExitError> {
        query.extend(self.consistent.then(|| ("consistency", "linearizable".to_owned())));
        query.extend(self.stale.then(|| ("consistency", "stale".to_owned())));
        query.extend(self.after.map(|after| ("after", after.to_string())));
        let wait = if self.consistent || self.after.is_some() { LONGEST } else { Duration::ZERO };
        let reply = client.get_waiting(path, &query, wait)?;
        let answer = parse(&reply)?;
        if View(&answer).is("stale") {
            let as_of = View(&answer).count("as_of_index").map(|index| format!(", as of entry {index} of the log"));
            session.note(&format!("stale: newer things may have happened{}", as_of.unwrap_or_default()));
        }
        Ok(reply)
    }
}
