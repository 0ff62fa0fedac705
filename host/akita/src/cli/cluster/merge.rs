//! `akita cluster merge`: two clusters of several voters become one, by the operator's hand.

use clap::Args;
use serde_json::{Value, json};

use super::members::{say, sure};
use crate::cli::Globals;
use crate::cli::client::{Client, parse};
use crate::cli::render::{short_id, tame};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::exit::ExitError;

/// Have this cluster give way to another one of its name, in which several vote too
///
/// Asked of any node of the cluster that is to give way. Its voters agree to it; from then on it accepts nothing new. What
/// runs ends, what waits is handed over under its ids, and each node keeps its ledger in the archive and joins the other
/// cluster as a worker. Finished tasks stay readable and are never run again. It cannot be taken back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster status
  akita cluster merge --into 5f2c
  akita --target-node-api http://127.0.0.1:8001 cluster merge --into valley-1 --yes")]
pub struct Merge {
    /// The cluster that goes on: its id, the first digits of it, or a node of it that was met
    #[arg(long, value_name = "CLUSTER")]
    into: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Merge) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let status = parse(&client.get("/cluster/status", &[])?)?;
    let (into, node) = find(&status, &args.into)?;
    let own = short_id(View(&status).text("cluster_id"));
    let through = if node.is_empty() { String::new() } else { format!(" (met: {})", tame(&node)) };
    let question = format!(
        "have this cluster, {own}, give way to {}{through}: it accepts nothing new, its tasks are handed over, and each of its \
         nodes joins the other as a worker. It cannot be taken back",
        short_id(&into)
    );
    if !args.yes && !sure(session, &question)? {
        return Ok(());
    }
    say(session, globals, &client.post(&format!("/cluster/merge?into={into}"), &json!({}))?)
}

/// The cluster that is meant, and a node of it.
fn find(status: &Value, wanted: &str) -> Result<(String, String), ExitError> {
    let all = View(status).list("rivals");
    let lower = wanted.to_lowercase();
    let starts = |id: &str| wanted.len() >= 2 && id.starts_with(&lower);
    let is = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let named: Vec<_> = all.iter().filter(|one| one.text("node_name") == wanted).collect();
    let by_id: Vec<_> =
        all.iter().filter(|one| starts(one.text("cluster_id")) || starts(one.text("node_id"))).collect();
    let found = if named.is_empty() { by_id } else { named };
    match found.as_slice() {
        [one] if is(one.text("cluster_id")) => {
            Ok((one.text("cluster_id").to_owned(), one.text("node_name").to_owned()))
        }
        [] if is(wanted) => Ok((lower, String::new())),
        [] => Err(ExitError::usage(format!("no cluster like `{}` was met", tame(wanted)))
            .hint("`akita cluster status` names other clusters of this name that have several voters")),
        _ => Err(ExitError::usage(format!("`{}` may be several clusters", tame(wanted)))
            .hint("give more digits of the cluster's id; see: akita cluster status")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_cluster_is_found_by_its_id_or_by_a_node_of_it() {
        let rival = |cluster: &str, node: &str, name: &str| json!({"cluster_id": cluster.repeat(16), "node_id": node.repeat(16), "node_name": name});
        let status = json!({"rivals": [rival("a1", "b1", "valley"), rival("a2", "b2", "coast")]});
        assert_eq!(find(&status, "valley").unwrap(), ("a1".repeat(16), "valley".into()));
        assert_eq!(find(&status, "A2").unwrap().0, "a2".repeat(16));
        assert_eq!(find(&status, "b2b2").unwrap().0, "a2".repeat(16));
        assert!(find(&status, "a").unwrap_err().to_string().contains("no cluster"));
        assert!(find(&status, "../shutdown").unwrap_err().to_string().contains("no cluster"));
        assert_eq!(find(&status, &"c".repeat(32)).unwrap().0, "c".repeat(32));
        let twice = json!({"rivals": [rival("a1", "b1", "x"), rival("a1a2", "b2", "x")]});
        assert!(find(&twice, "x").unwrap_err().to_string().contains("several"));
    }
}
