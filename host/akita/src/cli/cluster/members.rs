//! `akita cluster members` and what an operator may change of them.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::client::{Client, parse};
use crate::cli::reading::Fresh;
use crate::cli::render::{Align, Table, short_id, state, tame};
use crate::cli::session::Session;
use crate::cli::shutdown::agreed;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::exit::ExitError;

/// Show who holds the log and elects the leader, and who only works
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster members
  akita cluster members -o json")]
pub struct Members {
    #[command(flatten)]
    fresh: Fresh,
}

/// Let a node vote again, as soon as there are enough for 3 or 5 voters
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster promote ridge-1
  akita cluster promote 5f2c")]
pub struct Promote {
    /// The node: its name, its id, or the first digits of it
    #[arg(value_name = "NODE")]
    node: String,
}

/// Take a node's vote; it goes on to work, and votes again after `promote`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster demote ridge-1")]
pub struct Demote {
    /// The node: its name, its id, or the first digits of it
    #[arg(value_name = "NODE")]
    node: String,
}

/// Put a node out of the cluster; it is refused from then on
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster remove ridge-1
  akita cluster remove 5f2c --yes")]
pub struct Remove {
    /// The node: its name, its id, or the first digits of it
    #[arg(value_name = "NODE")]
    node: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Let a node in again that was removed
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster admit 5f2c")]
pub struct Admit {
    /// The node: its name, its id, or the first digits of it
    #[arg(value_name = "NODE")]
    node: String,
}

/// Hand the lead to another voter
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster transfer-leadership ridge-1")]
pub struct TransferLeadership {
    /// The node: its name, its id, or the first digits of it
    #[arg(value_name = "NODE")]
    node: String,
}

/// Give up the asked node's vote and stop it; the others go on
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster leave
  akita --target-node-api http://127.0.0.1:8001 cluster leave --yes")]
pub struct Leave {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Go on with one voter alone, as a new cluster, when most voters are gone for good
///
/// The asked node takes all that its copy of the log holds and founds a new cluster from it, with a new id. What the
/// lost voters had accepted and this one has not received is lost. Should the old voters come back, they are another
/// cluster: start them with empty data directories.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster members
  akita cluster force-new
  akita cluster force-new --yes")]
pub struct ForceNew {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub fn members(session: &mut Session<'_>, globals: &Globals, args: &Members) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let reply = args.fresh.get(session, &client, "/cluster/members", vec![])?;
    session.show(globals.output, &reply, render)
}

pub fn promote(session: &mut Session<'_>, globals: &Globals, args: &Promote) -> Result<(), ExitError> {
    govern(session, globals, &args.node, "promote", None)
}

pub fn demote(session: &mut Session<'_>, globals: &Globals, args: &Demote) -> Result<(), ExitError> {
    govern(session, globals, &args.node, "demote", None)
}

pub fn remove(session: &mut Session<'_>, globals: &Globals, args: &Remove) -> Result<(), ExitError> {
    let question = (!args.yes).then_some("put it out of the cluster; it is refused from then on");
    govern(session, globals, &args.node, "remove", question)
}

pub fn admit(session: &mut Session<'_>, globals: &Globals, args: &Admit) -> Result<(), ExitError> {
    govern(session, globals, &args.node, "admit", None)
}

pub fn transfer(session: &mut Session<'_>, globals: &Globals, args: &TransferLeadership) -> Result<(), ExitError> {
    govern(session, globals, &args.node, "lead", None)
}

pub fn leave(session: &mut Session<'_>, globals: &Globals, args: &Leave) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let question = format!("give up the vote of the node at {} and stop it", client.base());
    if !args.yes && !sure(session, &question)? {
        return Ok(());
    }
    say(session, globals, &client.post("/cluster/leave", &json!({}))?)
}

pub fn force_new(session: &mut Session<'_>, globals: &Globals, args: &ForceNew) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let question = "found a new cluster from this voter's copy of the log; what only the lost voters had is lost";
    if !args.yes && !sure(session, question)? {
        return Ok(());
    }
    say(session, globals, &client.post("/cluster/force-new", &json!({}))?)
}

fn govern(
    session: &mut Session<'_>,
    globals: &Globals,
    node: &str,
    verb: &str,
    question: Option<&str>,
) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let members = parse(&client.get("/cluster/members", &[])?)?;
    let (id, name) = find(&members, node)?;
    if let Some(question) = question
        && !sure(session, &format!("{} ({}): {question}", tame(&name), short_id(&id)))?
    {
        return Ok(());
    }
    say(session, globals, &client.post(&format!("/cluster/members/{id}/{verb}"), &json!({}))?)
}

pub(super) fn sure(session: &mut Session<'_>, question: &str) -> Result<bool, ExitError> {
    if !session.input_is_terminal {
        return Err(ExitError::usage("not doing that without being sure").hint("add --yes"));
    }
    let _ = write!(session.err, "{question}? [y/N] ").and_then(|()| session.err.flush());
    let agreed = agreed(session);
    if !agreed {
        session.note("nothing done");
    }
    Ok(agreed)
}

pub(super) fn say(session: &mut Session<'_>, globals: &Globals, reply: &str) -> Result<(), ExitError> {
    if globals.output == Output::Json {
        return session.show_json(reply);
    }
    let reply = parse(reply)?;
    let view = View(&reply);
    session.note(&format!("{}: {}", short_id(view.text("node_id")), tame(view.text("detail"))));
    Ok(())
}

/// The member that is meant: by name, by id, or by the first digits of its id.
fn find(members: &Value, wanted: &str) -> Result<(String, String), ExitError> {
    let all = View(members).list("members");
    let is = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let named: Vec<_> = all.iter().filter(|one| one.text("node_name") == wanted).collect();
    let by_id: Vec<_> =
        all.iter().filter(|one| wanted.len() >= 2 && one.text("node_id").starts_with(&wanted.to_lowercase())).collect();
    let found = if named.is_empty() { by_id } else { named };
    match found.as_slice() {
        [one] if is(one.text("node_id")) => Ok((one.text("node_id").to_owned(), one.text("node_name").to_owned())),
        [] if is(wanted) => Ok((wanted.to_lowercase(), String::new())),
        [] => {
            Err(ExitError::usage(format!("no member is called `{}`", tame(wanted))).hint("see: akita cluster members"))
        }
        _ => Err(ExitError::usage(format!("`{}` may be several members", tame(wanted)))
            .hint("give more digits of the id; see: akita cluster members")),
    }
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let view = View(reply);
    let members = view.list("members");
    let leader = members.iter().find(|member| member.is("leads"));
    let leader = leader.map_or("no leader".to_owned(), |one| format!("led by {}", tame(one.text("node_name"))));
    let timing = view.some_text("timing").map(|timing| format!(", timing {timing}")).unwrap_or_default();
    let voters = match view.count("voters").unwrap_or(1) {
        1 => "1 voter: it survives no loss of its disk".to_owned(),
        count => format!("{count} voters: any {} may be lost", (count - 1) / 2),
    };
    let stale = if view.is("fresh") { "" } else { " (as this node alone knows it)" };
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("MEMBERSHIP", Align::Left),
        ("STATUS", Align::Left),
        ("LAG", Align::Right),
        ("VERSION", Align::Left),
    ]);
    for member in &members {
        let lead = if member.is("leads") { ", leads" } else { "" };
        let held = if member.is("held_back") { ", held back" } else { "" };
        table.row(vec![
            tame(member.text("node_name")),
            short_id(member.text("node_id")),
            format!("{}{lead}{held}", member.text("membership")),
            state(member.text("status")),
            member.count("lag").map(|lag| lag.to_string()).unwrap_or_default(),
            tame(member.text("version")),
        ]);
    }
    let head = format!("cluster {}, {leader}, {voters}{timing}{stale}", short_id(view.text("cluster_id")));
    format!("{head}\n{}\n{}", problems(view), table.render())
}

/// What is wrong, a line each with its hint.
pub(super) fn problems(view: View<'_>) -> String {
    let lines = view.list("problems").into_iter();
    lines.map(|one| format!("problem: {}\nhint: {}\n", tame(one.text("detail")), tame(one.text("hint")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Value {
        json!({
            "cluster_id": "abcdef0123456789abcdef0123456789", "leader_id": null, "term": 3, "voters": 3, "timing": "lan",
            "fresh": true,
            "members": [
                {"node_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01", "node_name": "ridge", "membership": "voter",
                 "leads": true, "status": "online", "held_back": false, "number": 3, "lag": 0, "version": "0.1.0"},
                {"node_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa02", "node_name": "valley", "membership": "worker",
                 "leads": false, "status": "offline", "held_back": true, "number": null, "lag": null, "version": null}
            ],
            "problems": [{"detail": "something is wrong", "hint": "mend it"}]
        })
    }

    #[test]
    fn members_stand_in_a_table_under_what_is_wrong() {
        assert_eq!(
            anstream::adapter::strip_str(&render(&reply(), Timestamp::UNIX_EPOCH)).to_string(),
            "\
cluster abcdef01, led by ridge, 3 voters: any 1 may be lost, timing lan
problem: something is wrong
hint: mend it

NAME    ID        MEMBERSHIP         STATUS   LAG  VERSION
ridge   aaaaaaaa  voter, leads       online     0  0.1.0
valley  aaaaaaaa  worker, held back  offline
"
        );
    }

    #[test]
    fn a_member_is_found_by_name_or_by_digits_that_are_its_own() {
        let reply = reply();
        assert_eq!(find(&reply, "ridge").unwrap().0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01");
        assert_eq!(find(&reply, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA02").unwrap().1, "valley");
        assert!(find(&reply, "aaaa").unwrap_err().to_string().contains("several"));
        assert!(find(&reply, "../shutdown").unwrap_err().to_string().contains("no member"));
        assert_eq!(find(&reply, &"b".repeat(32)).unwrap().0, "b".repeat(32), "one that nobody has met");
    }
}
