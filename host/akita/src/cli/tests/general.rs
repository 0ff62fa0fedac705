//! Every command but `task submit`, and what all have in common.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Node, Ran, Run, Seen, ok, problem};
use crate::cli::command;
use crate::exit::ExitCode;

#[test]
fn the_command_line_is_well_formed() {
    command().debug_assert();
}

#[test]
fn without_a_command_help_shows_three_examples() {
    let ran = Run::new().go(&[]);
    assert_eq!(ran.code, ExitCode::Usage);
    let examples = ran.err.split_once("Examples:").expect("examples").1;
    assert_eq!(examples.lines().filter(|line| line.trim_start().starts_with("akita ")).count(), 3);
}

#[test]
fn every_command_has_help_with_examples() {
    fn check(command: &clap::Command, words: &[&str]) {
        if command.is_hide_set() || command.get_name() == "help" {
            return;
        }
        if command.has_subcommands() {
            for verb in command.get_subcommands() {
                check(verb, &[words, &[verb.get_name()]].concat());
            }
            return;
        }
        let ran = Run::new().go(&[words, &["--help"]].concat());
        assert_eq!(ran.code, ExitCode::Ok, "{words:?}");
        assert!(ran.out.contains("Examples:") && ran.err.is_empty(), "{words:?}");
    }
    let root = command();
    root.get_subcommands().for_each(|command| check(command, &[command.get_name()]));
}

#[test]
fn wrong_words_end_with_the_usage_code() {
    let ran = Run::new().go(&["task", "submitt"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Usage, ""));
    assert!(ran.err.contains("submit"), "{}", ran.err);
    assert_eq!(Run::new().go(&["task", "submit", "{}", "--priority", "300"]).code, ExitCode::Usage);
    assert_eq!(Run::new().go(&["--version"]).code, ExitCode::Ok);
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    let node = Node::json(json!({"nodes": []}));
    let base = node.base.as_str();
    let before = Run::new().go(&["--target-node-api", base, "--api-key", "k", "-o", "json", "cluster", "status"]);
    let after = Run::new().go(&["cluster", "status", "-o", "json", "--api-key", "k", "--target-node-api", base]);
    let between = Run::new().go(&["cluster", "--api-key=k", "status", "-ojson", &format!("--target-node-api={base}")]);
    assert_eq!(before, Ran { code: ExitCode::Ok, out: "{\"nodes\":[]}\n".into(), err: String::new() });
    assert_eq!((&before, &before), (&after, &between));
    let expect = Seen { line: "GET /cluster/status".into(), key: Some("k".into()), body: Value::Null };
    assert!(node.seen.lock().expect("not poisoned").iter().all(|seen| *seen == expect));
}

#[test]
fn target_and_key_come_from_option_then_environment_then_dotenv() {
    let node = Node::json(json!({}));
    let dotenv = format!("AKITA_TARGET_NODE_API={}\nAKITA_API_KEY=from-dotenv\n", node.base);
    let run = Run::new().file(".env", dotenv.as_bytes());
    run.go(&["status"]);
    let run = run.env("AKITA_API_KEY", "from-env");
    run.go(&["status"]);
    run.go(&["status", "--api-key", "from-option"]);
    let keys: Vec<_> = node.seen.lock().expect("not poisoned").iter().filter_map(|seen| seen.key.clone()).collect();
    assert_eq!(keys, ["from-dotenv", "from-env", "from-option"]);
}

#[test]
fn a_node_that_is_not_there_is_named_with_what_to_do() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let ran = Run::new().target(&format!("http://{free}")).go(&["status"]);
    assert_eq!(ran.code, ExitCode::Unavailable);
    let expect = format!(
        "error: cannot reach the node at http://{free}: connection refused\n\
         hint: is it running? start it with: akita start\n"
    );
    assert_eq!((ran.out.as_str(), ran.err), ("", expect));
    assert_eq!(Run::new().target("https://x").go(&["status"]).code, ExitCode::Usage);
    assert_eq!(Run::new().target("ftp://x").go(&["status"]).code, ExitCode::Usage);
}

#[test]
fn a_refusal_shows_the_nodes_own_words() {
    let node = Node::new(|_, _| problem(404, "there is no task abc", "list them with: akita task list"));
    let ran = node.run(&["task", "status", "abc"]);
    assert_eq!(ran.code, ExitCode::Refused);
    assert_eq!(ran.err, "error: there is no task abc\nhint: list them with: akita task list\n");

    let busy = Node::new(|_, _| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "").into_response());
    let ran = busy.run(&["task", "submit", "{\"action\":\"echo\"}"]);
    assert_eq!(ran.code, ExitCode::Refused);
    assert!(ran.err.ends_with("hint: try again in 7 s\n"), "{}", ran.err);

    let down = Node::new(|_, _| problem(503, "there is no leader", "wait"));
    assert_eq!(down.run(&["cluster", "status"]).code, ExitCode::Unavailable);
    let odd = Node::new(|_, _| "<html>".into_response()).run(&["status"]);
    assert_eq!(odd.code, ExitCode::Unavailable);
    assert!(odd.err.contains("is not JSON"), "{}", odd.err);
}

#[test]
fn queries_carry_what_was_asked_for() {
    let node = Node::json(json!({"tasks": [], "rows": [], "total": 0}));
    node.run(&["task", "list", "--status", "pending", "--limit", "7"]);
    node.run(&["ledger", "view", "--event-type", "task_failed", "--task", "t-1", "--offset", "40", "--local"]);
    node.run(&["logs", "--limit", "5", "--level", "error"]);
    assert_eq!(
        node.lines(),
        [
            "GET /tasks?limit=7&status=pending",
            "GET /ledger?limit=20&offset=40&event_type=TASK_FAILED&task_id=t-1&local=true",
            "GET /logs?limit=5&level=error",
        ]
    );
    assert_eq!(node.run(&["task", "list", "--status", "done"]).code, ExitCode::Usage);
    assert_eq!(node.run(&["task", "status", "../status"]).code, ExitCode::Usage);
}

#[test]
fn a_ledger_that_does_not_verify_has_its_own_code() {
    let good =
        json!({"ok": true, "rows": 1234, "root": "abcd", "checkpoints": 2, "signed_rows": 1200, "problem": null});
    let ran = Node::json(good).run(&["ledger", "verify"]);
    let expect = "the ledger verifies: 1,234 rows, 1,200 of them under 2 checkpoints\nroot  abcd\n";
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Ok, expect));

    let bad = json!({"ok": false, "rows": 9, "problem": "row 7 was changed", "hint": "compare with another node"});
    let node = Node::json(bad.clone());
    let ran = node.run(&["ledger", "verify"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::LedgerInvalid, ""));
    let expect = "error: the ledger does not verify: row 7 was changed\nhint: compare with another node\n";
    assert_eq!(ran.err, expect);
    let ran = node.run(&["ledger", "verify", "-o", "json"]);
    assert_eq!((ran.code, ran.out), (ExitCode::LedgerInvalid, format!("{bad}\n")));
}

#[test]
fn logs_are_followed_until_the_reader_goes_away() {
    let node = Node::new(|_, before| {
        let line = json!({"seq": before, "time": "2026-03-01T12:00:00Z", "level": "info", "target": "akita::api",
            "message": format!("line {before}"), "fields": {}});
        ok(json!({"lines": [line], "next": before + 100}))
    });
    let mut run = Run::new().target(&node.base);
    // One write for the text and one for the end of the line.
    run.patience = 4;
    let ran = run.go(&["logs", "--follow", "--limit", "3", "-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (ExitCode::Ok, ""));
    assert_eq!(ran.out.lines().count(), 2);
    let lines = node.lines();
    assert_eq!(lines[..2], ["GET /logs?limit=3", "GET /logs?limit=500&after=100"]);
}

#[test]
fn a_node_is_only_stopped_by_somebody_who_means_it() {
    let node = Node::json(json!({"status": "stopping"}));
    let ran = node.run(&["shutdown"]);
    assert_eq!((ran.code, node.lines().len()), (ExitCode::Usage, 0));
    assert!(ran.err.ends_with("hint: add --yes\n"), "{}", ran.err);

    let mut run = Run::new().target(&node.base);
    run.terminal = true;
    run.input = "n\n";
    assert_eq!((run.go(&["shutdown"]).code, node.lines().len()), (ExitCode::Ok, 0));
    run.input = "Yes\n";
    assert_eq!(run.go(&["shutdown"]).code, ExitCode::Ok);
    assert_eq!(node.run(&["shutdown", "--yes"]).code, ExitCode::Ok);
    assert_eq!(node.lines(), ["POST /shutdown", "POST /shutdown"]);
}

#[test]
fn json_is_unchanged_for_programs_and_indented_on_a_terminal() {
    let node = Node::new(|_, _| "{\"b\":1,  \"a\":[]}".into_response());
    assert_eq!(node.run(&["status", "-o", "json"]).out, "{\"b\":1,  \"a\":[]}\n");
    let mut run = Run::new().target(&node.base);
    run.terminal = true;
    assert_eq!(run.go(&["status", "-o", "json"]).out, "{\n  \"b\": 1,\n  \"a\": []\n}\n");
}

#[test]
fn settings_are_shown_with_their_place_and_without_secrets() {
    let run = Run::new().file("akita.toml", b"slots = 3\n").env("AKITA_VALID_API_KEYS", "very-secret");
    let ran = run.go(&["config", "show", "--api-port", "8001", "--debug"]);
    assert_eq!(ran.code, ExitCode::Ok, "{}", ran.err);
    let line = |name: &str| {
        let line = ran.out.lines().find(|line| line.split_whitespace().next() == Some(name)).expect("it is shown");
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("DEFAULT_API_PORT"), "8001 option --api-port");
    assert!(line("SLOTS").starts_with("3 ") && line("SLOTS").ends_with("akita.toml:1"));
    assert_eq!(line("LOG_LEVEL"), "debug option --debug");
    let print = akita_core::KeyPrint::of("very-secret");
    assert_eq!(line("VALID_API_KEYS"), format!("{print} environment, AKITA_VALID_API_KEYS"));
    assert_eq!(line("MESH_LISTEN"), "- default");

    let ran = run.go(&["config", "show", "-o", "json"]);
    assert!(!ran.out.contains("very-secret"));
    let shown: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(shown["settings"]["WORKER_ACK_TIMEOUT_S"], json!({"value": "30", "from": "default"}));
}

#[test]
fn a_start_with_wrong_settings_ends_before_it_begins() {
    let ran = Run::new().env("AKITA_SLOT", "3").go(&["start"]);
    assert_eq!(ran.code, ExitCode::Config);
    let expect = "error: unknown setting AKITA_SLOT in environment, AKITA_SLOT\nhint: did you mean AKITA_SLOTS?\n";
    assert_eq!(ran.err, expect);
    let ran = Run::new().go(&["start", "--api-host", "0.0.0.0"]);
    assert_eq!(ran.code, ExitCode::Config);
    assert!(ran.err.contains("(option --api-host), which others can reach"), "{}", ran.err);
}

#[test]
fn inspecting_what_is_no_plugin_says_so() {
    let ran = Run::new().file("x.wasm", b"hello").go(&["plugin", "inspect", "x.wasm"]);
    assert_eq!((ran.code, ran.out.as_str()), (ExitCode::Config, ""));
    assert!(ran.err.starts_with("error: x.wasm is no plugin for this node: "), "{}", ran.err);
}
