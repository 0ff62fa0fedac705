//! `akita cluster key`: which key counts, a new one, and bringing it to a node that was away. The key itself is only ever
//! read from and written to the files of a node of this machine, never over the API.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use akita_core::keys::{KeyRing, MAX_GRACE_MS};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::members::{say, sure};
use crate::cli::client::Client;
use crate::cli::place::Place;
use crate::cli::render::{duration, short_id};
use crate::cli::session::Session;
use crate::cli::view::View;
use crate::cli::{Globals, Output};
use crate::cluster::{KEY_FILE, read_keys, write_keys};
use crate::exit::ExitError;

/// Look at the cluster's key, change it, or bring it to a node
#[derive(Debug, Subcommand)]
pub enum Key {
    Show(Show),
    Rotate(Rotate),
    Import(Import),
}

/// Show which key counts and which nodes have it
///
/// The key itself is shown with --secret only, from the files of a node of this machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster key show
  akita cluster key show --secret --data-dir /var/lib/akita")]
pub struct Show {
    /// Print the key itself: whoever has it may join
    #[arg(long)]
    secret: bool,
    #[command(flatten)]
    place: Place,
}

/// Give the cluster a new key, while it runs
///
/// The leader makes the key and gives it to all admitted nodes over their encrypted links. The old one is accepted until
/// all of them have confirmed, or the grace is over. A node that comes later is refused until the key is brought to it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  akita cluster key rotate
  akita cluster key rotate --grace 7d --yes
  akita cluster key show")]
pub struct Rotate {
    /// How long the old key is accepted at most, such as 30m, 24h or 7d; 31d at most
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = grace)]
    grace: Duration,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Bring the cluster's key to a node of this machine, running or not
///
/// For a node that was away while the key was rotated. It takes the place of the key that the node had.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ssh ridge-1 akita cluster key show --secret | akita cluster key import
  akita cluster key import new.key --data-dir /var/lib/akita")]
pub struct Import {
    /// A file with the key; standard input without one
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Bytes of a key that are read.
const LONGEST_KEY: u64 = 4_096;

pub fn run(session: &mut Session<'_>, globals: &Globals, verb: &Key) -> Result<(), ExitError> {
    match verb {
        Key::Show(args) if args.secret => secret(session, globals, args),
        Key::Show(_) => {
            let reply = Client::new(session, globals)?.get("/cluster/key", &[])?;
            session.show(globals.output, &reply, render)
        }
        Key::Rotate(args) => rotate(session, globals, args),
        Key::Import(args) => import(session, globals, args),
    }
}

fn secret(session: &mut Session<'_>, globals: &Globals, args: &Show) -> Result<(), ExitError> {
    let settings = args.place.settings(session, globals)?;
    let file = settings.data_dir.join(KEY_FILE);
    let kept = read_keys(&file).map_err(|error| ExitError::config(error.to_string()).hint(error.hint()))?;
    let ring = KeyRing::at_start(kept, settings.cluster_key.as_ref().map(|key| key.expose()));
    let ring = ring.ok_or_else(|| {
        ExitError::config(format!("there is no cluster key in the settings, nor a file {}", file.display()))
            .hint("give the node's --data-dir, or its settings with --config; an open cluster has none")
    })?;
    match globals.output {
        Output::Json => session.show_json(&json!({"generation": ring.generation, "secret": ring.secret}).to_string()),
        Output::Text => session.print(&format!("{}\n", ring.secret)),
    }
}

fn rotate(session: &mut Session<'_>, globals: &Globals, args: &Rotate) -> Result<(), ExitError> {
    let client = Client::new(session, globals)?;
    let question = format!(
        "give the cluster a new key; nodes that stay away for longer than {} are refused until it is brought to them",
        duration(args.grace)
    );
    if !args.yes && !sure(session, &question)? {
        return Ok(());
    }
    let path = format!("/cluster/key/rotate?grace={}", args.grace.as_secs());
    say(session, globals, &client.post(&path, &json!({}))?)
}

fn import(session: &mut Session<'_>, globals: &Globals, args: &Import) -> Result<(), ExitError> {
    let settings = args.place.settings(session, globals)?;
    let mut text = String::new();
    let read = match &args.file {
        Some(file) => {
            File::open(session.cwd.join(file)).and_then(|file| file.take(LONGEST_KEY).read_to_string(&mut text))
        }
        None => (&mut session.input).take(LONGEST_KEY).read_to_string(&mut text),
    };
    read.map_err(|error| {
        ExitError::config(format!("the key cannot be read: {error}")).hint("give a file with the key")
    })?;
    let key = KeyRing::of(&text).ok_or_else(|| {
        ExitError::usage("a cluster key has at least 16 characters")
            .hint("print it on a node of the cluster with: akita cluster key show --secret")
    })?;
    if !settings.data_dir.is_dir() {
        let message = format!("there is no data folder {}", settings.data_dir.display());
        return Err(ExitError::config(message).hint("give the node's --data-dir, or its --node-name"));
    }
    let file = settings.data_dir.join(KEY_FILE);
    // One that is damaged is what this mends.
    let mut ring = match read_keys(&file).ok().flatten() {
        Some(kept) => kept,
        // Which key the node's settings have is known to the node.
        None => KeyRing { configured: None, ..key.clone() },
    };
    ring.import(&key.secret);
    write_keys(&file, &ring).map_err(|error| {
        ExitError::config(format!("{} cannot be written: {error}", file.display()))
            .hint("run this as the node's user, and check the disk")
    })?;
    session.note(&format!("the key is in {}; a running node takes it within seconds", file.display()));
    Ok(())
}

/// Such as `30m`, `24h`, `7d`, or seconds.
fn grace(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as 30m, 24h or 7d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    if seconds == 0 || seconds > MAX_GRACE_MS / 1_000 {
        return Err("the old key is accepted for a second at least and 31 days at most".to_owned());
    }
    Ok(Duration::from_secs(seconds))
}

fn render(reply: &Value, _now: Timestamp) -> String {
    let view = View(reply);
    if !view.is("protected") {
        return "this cluster is open: it has no key\n".to_owned();
    }
    let generation = view.count("generation").unwrap_or(1);
    let mark = view.some_text("fingerprint").unwrap_or("not shown, the operator set the key");
    let names = |list: &str| {
        let nodes = reply[list].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        nodes.filter_map(Value::as_str).map(short_id).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("generation   {generation}\nfingerprint  {mark}\n");
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<13}{value}\n"));
        }
    };
    line("confirmed", names("confirmed"));
    line("waiting", names("waiting"));
    if view.is("rotating") {
        let left = view.count("old_key_left_s").map(|left| duration(Duration::from_secs(left)));
        line(
            "old key",
            left.map_or("accepted until most voters have the new one".into(), |left| {
                format!("accepted until all have confirmed, for {left} at most")
            }),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_written_as_people_write_it() {
        assert_eq!(grace("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(grace("90"), Ok(Duration::from_secs(90)));
        assert_eq!(grace("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for text in ["", "h", "0", "1w", "-1h", "40d", "99999999999999999999d", "1 h"] {
            assert!(grace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rotation_is_shown_with_who_is_missing() {
        let reply = json!({
            "protected": true, "generation": 2, "fingerprint": "abcdef0123456789abcdef0123456789", "rotating": true,
            "old_key_left_s": 3600, "confirmed": ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01"],
            "waiting": ["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb02"]
        });
        let shown = render(&reply, Timestamp::UNIX_EPOCH);
        assert!(shown.contains("confirmed    aaaaaaaa\nwaiting      bbbbbbbb\n"), "{shown}");
        assert!(shown.contains("generation   2\nfingerprint  abcdef"), "{shown}");
        let open = json!({"protected": false, "generation": null});
        assert!(render(&open, Timestamp::UNIX_EPOCH).contains("open"));
    }
}
