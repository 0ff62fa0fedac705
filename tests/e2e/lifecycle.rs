//! Plugins come, change and go while the node runs, and get what the operator grants and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    guests::{Guest, swapper},
    harness::{Spec, TestNode, find, text, wait_until},
    prepare::plugins,
};

/// A folder of plugins of its own, and a node that watches it.
pub struct Bench {
    pub dir: TempDir,
    pub node: TestNode,
}

impl Bench {
    pub fn new(name: &str) -> Bench {
        let dir = tempfile::Builder::new().prefix("akita-plugins-").tempdir().expect("a folder");
        let node = Spec::alone(name).plugins(dir.path()).start();
        Bench { dir, node }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Puts a file there as a careful operator does: whole.
    pub fn put(&self, file: &str, bytes: &[u8]) {
        put(self.dir.path(), file, bytes);
    }

    pub fn plugin(&self, file: &str) -> Option<Value> {
        plugin(&self.node, file)
    }

    pub fn wait_for(&self, file: &str, status: &str) -> Value {
        wait_for(&self.node, file, status)
    }

    /// The ledger must come to tell these changes and no others: it follows what is shown by a commit.
    pub fn tells(&self, expect: &[&str]) {
        let told = || self.changes().into_iter().map(|(what, _)| what).collect::<Vec<_>>();
        wait_until("the ledger to tell all changes", || told().len() >= expect.len());
        assert_eq!(told(), expect);
    }

    pub fn changes(&self) -> Vec<(String, String)> {
        let rows = self.node.ledger("CONFIG_CHANGE");
        let word = |row: &Value, key: &str| row["details"][key].as_str().unwrap_or_default().to_owned();
        rows.iter().rev().map(|row| (word(row, "what"), word(row, "plugin"))).collect()
    }
}

pub fn put(dir: &Path, file: &str, bytes: &[u8]) {
    let part = dir.join(format!("{file}.part"));
    fs::write(&part, bytes).expect("written");
    fs::rename(&part, dir.join(file)).expect("moved");
}

fn plugin(node: &TestNode, file: &str) -> Option<Value> {
    let list = node.get("/plugins");
    list["plugins"].as_array().expect("plugins").iter().find(|plugin| plugin["file"] == file).cloned()
}

pub fn wait_for(node: &TestNode, file: &str, status: &str) -> Value {
    find(&format!("{file} to be {status}"), || {
        let plugin = plugin(node, file).filter(|plugin| plugin["status"] == status)?;
        let action =
            json!(format!("{}/{}", text(&plugin["name"]), plugin["actions"][0]["name"].as_str().unwrap_or("?")));
        let offered = node.get("/status")["actions"].as_array().expect("actions").contains(&action);
        // What is shown and what is offered follow each other closely.
        (offered == (status == "ready")).then_some(plugin)
    })
}

pub fn bytes(body: &str) -> Value {
    use base64::{Engine, prelude::BASE64_STANDARD};
    json!(BASE64_STANDARD.encode(body))
}

/// A guest that answers its own word.
pub fn speaker(name: &str, word: char) -> Vec<u8> {
    versioned(name, "0.1.0", word)
}

/// The same in a version.
pub fn versioned(name: &str, version: &'static str, word: char) -> Vec<u8> {
    let run = format!(
        "(i32.store8 (i32.const 600) (i32.const {})) (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 1))",
        u32::from(word)
    );
    Guest { name: name.into(), version, run, ..Guest::default() }.component()
}

/// What an action answers.
pub fn ask(node: &TestNode, action: &str, input: &str) -> Value {
    let task = json!({"action": action, "input_base64": bytes(input), "content_type": "text/plain"});
    node.completed(&node.submit(&task))["result_base64"].clone()
}

#[test]
fn a_plugin_is_added_replaced_and_removed_while_the_node_runs() {
    let bench = Bench::new("comes-and-goes");
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    bench.put("talk.wasm", &speaker("talk", 'A'));
    bench.wait_for("talk.wasm", "ready");
    wait_until("the action is offered", || bench.node.get("/status")["actions"] == json!(["talk/run"]));
    assert_eq!(ask(&bench.node, "run", ""), bytes("A"));

    let first = text(&bench.plugin("talk.wasm").expect("it is there")["hash"]);
    bench.put("talk.wasm", &speaker("talk", 'B'));
    wait_until("the new one", || bench.plugin("talk.wasm").is_some_and(|plugin| plugin["hash"] != first.as_str()));
    assert_eq!(ask(&bench.node, "talk/run", ""), bytes("B"));

    fs::remove_file(bench.path("talk.wasm")).expect("removed");
    wait_until("it is gone", || bench.node.get("/status")["actions"] == json!([]));
    assert_eq!(bench.plugin("talk.wasm"), None);
    let refused = bench.node.try_post("/tasks/submit", &json!({"action": "talk/run"})).expect("an answer");
    assert_eq!(refused.0, 422, "{refused:?}");
    bench.tells(&["added", "replaced", "removed"]);
    assert!(bench.changes().iter().all(|(_, plugin)| plugin == "talk"));
    bench.node.verify_ledger();
}

#[test]
fn a_task_that_runs_ends_on_the_plugin_that_it_began_with() {
    let bench = Bench::new("ends-on-the-old");
    fs::copy(plugins().join("faulty.wasm"), bench.path("faulty.wasm")).expect("copied");
    bench.wait_for("faulty.wasm", "ready");
    let id = bench.node.submit(&json!({"action": "faulty/slow", "ms": 6_000}));
    wait_until("the task runs", || bench.node.task(&id)["status"] == "running");
    bench.put("faulty.wasm", &speaker("faulty", 'N'));
    wait_until("the new one is offered", || bench.node.get("/status")["actions"] == json!(["faulty/run"]));
    let new = ask(&bench.node, "faulty/run", "");
    assert_eq!(new, bytes("N"));
    let done = bench.node.completed(&id);
    assert_eq!(done["attempts"], 1, "{done:#}");
}

#[test]
fn a_file_that_is_still_being_written_is_not_taken() {
    use std::io::Write;
    let bench = Bench::new("half-written");
    let whole = speaker("slow", 'S');
    let (head, tail) = whole.split_at(whole.len() / 2);
    let mut file = fs::File::create(bench.path("slow.wasm")).expect("created");
    file.write_all(head).expect("written");
    let half = bench.wait_for("slow.wasm", "rejected");
    assert!(text(&half["reason"]).contains("cut off"), "{half:#}");
    file.write_all(tail).expect("written");
    bench.wait_for("slow.wasm", "ready");
    assert_eq!(ask(&bench.node, "slow/run", ""), bytes("S"));

    // Cut off again in place: what was there before goes on.
    fs::write(bench.path("slow.wasm"), head).expect("written");
    wait_until("the cut file was read", || bench.node.log().matches("cut off").count() >= 2);
    assert_eq!(ask(&bench.node, "slow/run", ""), bytes("S"));
    fs::write(bench.path("slow.wasm"), speaker("slow", 'T')).expect("written");
    wait_until("the whole one is taken", || ask(&bench.node, "slow/run", "") == bytes("T"));
}

#[test]
fn a_plugin_is_blocked_until_what_it_needs_is_granted_and_what_it_keeps_stays() {
    let mut bench = Bench::new("granted");
    bench.put("keep.wasm", &swapper("keep").component());
    let blocked = bench.wait_for("keep.wasm", "blocked");
    assert_eq!((&blocked["reason"], &blocked["needs"]), (&json!("needs kv"), &json!(["kv"])));
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    let shown = bench.node.cli(&["plugin", "list"]).expect(0).stdout;
    assert!(shown.contains("blocked") && shown.contains("[plugin.keep]"), "{shown}");

    // A file with a fault grants nothing and is named with its line.
    bench.put("akita-plugins.toml", b"[plugin.keep]\ninterface = [\"kv\"]\n");
    let problem = find("the fault is told", || bench.node.get("/plugins")["problem"].as_str().map(str::to_owned));
    assert!(problem.contains("akita-plugins.toml:2") && problem.contains("did you mean interfaces"), "{problem}");
    assert_eq!(bench.plugin("keep.wasm").expect("it is there")["status"], "blocked");

    // The lines that are proposed do it.
    let hint = text(&blocked["hint"]);
    let lines: Vec<&str> = hint.lines().skip(1).collect();
    bench.put("akita-plugins.toml", lines.join("\n").as_bytes());
    let ready = bench.wait_for("keep.wasm", "ready");
    assert_eq!(ready["granted"], json!(["kv"]));
    assert_eq!(bench.node.get("/plugins")["problem"], Value::Null);
    assert_eq!(ask(&bench.node, "keep/run", "one"), bytes(""));
    assert_eq!(ask(&bench.node, "keep/run", "two"), bytes("one"));

    bench.node.stop();
    bench.node.start();
    assert_eq!(ask(&bench.node, "keep/run", "three"), bytes("two"));

    // A quota that is too small, then no grant at all.
    bench.put("akita-plugins.toml", b"[plugin.\"k*\"]\ninterfaces = [\"kv\"]\nkv_quota_bytes = 20\n");
    let mut longer = "x".repeat(50);
    wait_until("the quota holds", || {
        // What does not grow is always taken.
        longer.push('x');
        ask(&bench.node, "keep/run", &longer) == bytes("E0")
    });
    fs::remove_file(bench.path("akita-plugins.toml")).expect("removed");
    bench.wait_for("keep.wasm", "blocked");
    bench.tells(&["blocked", "grants", "granted", "grants", "grants", "blocked"]);
    bench.node.verify_ledger();
}

#[test]
fn a_plugin_is_held_to_the_limits_that_the_operator_gives_it() {
    let bench = Bench::new("limited");
    fs::copy(plugins().join("faulty.wasm"), bench.path("faulty.wasm")).expect("copied");
    fs::copy(plugins().join("basics.wasm"), bench.path("basics.wasm")).expect("copied");
    let grants = "[plugin.faulty]\ntimeout_s = 1\nmemory_mb = 8\noutput_bytes = 1000\nconcurrency = 1\n";
    bench.put("akita-plugins.toml", grants.as_bytes());
    bench.wait_for("faulty.wasm", "ready");
    wait_until("the grants are read", || !bench.changes().iter().all(|(what, _)| what != "grants"));
    let fails = |task: Value, code: &str| {
        let end = bench.node.ended(&bench.node.submit(&task));
        assert_eq!(end["error"]["code"], code, "{end:#}");
    };
    fails(json!({"action": "faulty/loop", "timeout_s": 60}), "time-limit");
    fails(json!({"action": "faulty/huge-result", "bytes": 2_000}), "output-limit");
    fails(json!({"action": "faulty/memory-bomb"}), "memory-limit");
    // Two slots and one run at once: the others have the second slot.
    bench.put("akita-plugins.toml", b"[plugin.faulty]\nconcurrency = 1\n");
    wait_until("the limits are gone", || bench.changes().iter().filter(|(what, _)| what == "grants").count() == 2);
    let slow = bench.node.submit_all(vec![json!({"action": "faulty/slow", "ms": 600_000}); 3]);
    wait_until("one runs", || slow.iter().any(|id| bench.node.task(id)["status"] == "running"));
    bench.node.completed(&bench.node.submit(&json!({"action": "basics/echo", "still": "served"})));
}

#[test]
fn a_plugin_that_crashes_again_and_again_is_set_aside_until_it_is_enabled_or_replaced() {
    let mut bench = Bench::new("crashes");
    let broken = Guest { name: "broken".into(), run: "(unreachable)".into(), ..Guest::default() }.component();
    bench.put("broken.wasm", &broken);
    bench.wait_for("broken.wasm", "ready");
    let crash = |node: &TestNode| {
        node.submit_all(vec![json!({"action": "broken/run"}); 5]).iter().for_each(|id| drop(node.ended(id)));
    };
    crash(&bench.node);
    let aside = bench.wait_for("broken.wasm", "quarantined");
    assert!(text(&aside["reason"]).contains("5 times in a row"), "{aside:#}");
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    bench.node.stop();
    bench.node.start();
    assert_eq!(bench.plugin("broken.wasm").expect("it is there")["status"], "quarantined", "also after a restart");

    bench.node.cli(&["plugin", "enable", "broken"]).expect(0);
    assert_eq!(bench.plugin("broken.wasm").expect("it is there")["status"], "ready");
    assert_eq!(bench.node.get("/status")["actions"], json!(["broken/run"]));
    crash(&bench.node);
    bench.wait_for("broken.wasm", "quarantined");
    bench.put("broken.wasm", &speaker("broken", 'W'));
    bench.wait_for("broken.wasm", "ready");
    assert_eq!(ask(&bench.node, "broken/run", ""), bytes("W"));
    bench.tells(&["added", "quarantined", "released", "quarantined", "replaced"]);
}

#[test]
fn a_plugin_can_be_disabled_and_stays_so() {
    let mut bench = Bench::new("disabled");
    bench.put("talk.wasm", &speaker("talk", 'A'));
    bench.wait_for("talk.wasm", "ready");
    let wrong = bench.node.cli(&["plugin", "disable", "tlak"]).expect(5);
    assert!(wrong.stderr.contains("did you mean talk"), "{}", wrong.stderr);
    bench.node.cli(&["plugin", "disable", "talk"]).expect(0);
    assert_eq!(bench.node.get("/plugins")["plugins"][0]["status"], "disabled");
    bench.node.stop();
    bench.node.start();
    assert_eq!(bench.node.get("/plugins")["plugins"][0]["status"], "disabled");
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    let (status, body) = bench.node.try_post("/plugins/talk/enable", &json!({})).expect("an answer");
    assert_eq!((status, &body["status"]), (200, &json!("ready")), "{body:#}");
    assert_eq!(bench.node.get("/status")["actions"], json!(["talk/run"]));
    assert_eq!(ask(&bench.node, "talk/run", ""), bytes("A"));
}

#[test]
fn a_leader_learns_at_once_what_a_worker_offers_now() {
    let address = crate::prepare::free_address();
    let (own, theirs) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let listening = Spec::new("one").arg("--mesh-listen", &address).plugins(own.path()).start();
    let calling = Spec::new("two").arg("--mesh-peer", &address).plugins(theirs.path()).start();
    let both = || listening.get("/cluster/status")["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2);
    wait_until("they are one cluster", both);
    // Whichever of them follows: each gets a plugin of its own, and either runs both.
    put(own.path(), "one.wasm", &speaker("one", '1'));
    put(theirs.path(), "two.wasm", &speaker("two", '2'));
    for node in [&listening, &calling] {
        for (action, word) in [("one/run", "1"), ("two/run", "2")] {
            wait_until(action, || {
                node.try_post("/tasks/submit", &json!({"action": action})).is_some_and(|a| a.0 == 202)
            });
            assert_eq!(ask(node, action, ""), bytes(word));
        }
    }
    fs::remove_file(theirs.path().join("two.wasm")).expect("removed");
    wait_until("nobody has it", || {
        listening.try_post("/tasks/submit", &json!({"action": "two/run"})).is_some_and(|answer| answer.0 == 422)
    });
}

#[test]
fn what_is_no_plugin_is_listed_with_its_reason_and_stops_nothing() {
    let bench = Bench::new("bad-files");
    bench.put("good.wasm", &speaker("good", 'G'));
    bench.put("text.wasm", b"hello");
    bench.put("compiled.cwasm", b"anything");
    fs::File::create(bench.path("huge.wasm")).and_then(|file| file.set_len(100 << 20)).expect("a sparse file");
    let outside = TempDir::new().expect("a folder");
    put(outside.path(), "outside.wasm", &speaker("outside", 'O'));
    std::os::unix::fs::symlink(outside.path().join("outside.wasm"), bench.path("link.wasm")).expect("linked");
    let expect = [
        ("text.wasm", "no WebAssembly"),
        ("compiled.cwasm", "compiled code"),
        ("huge.wasm", "over the limit of 64 MiB"),
        ("link.wasm", "outside the plugin folder"),
    ];
    for (file, words) in expect {
        let reason = text(&bench.wait_for(file, "rejected")["reason"]);
        assert!(reason.contains(words), "{file}: {reason}");
    }
    assert_eq!(ask(&bench.node, "good/run", ""), bytes("G"));

    // Of two with one name the first counts; when it goes, the other takes its place.
    bench.put("second.wasm", &speaker("good", 'H'));
    assert!(text(&bench.wait_for("second.wasm", "rejected")["reason"]).contains("already loaded"));
    fs::remove_file(bench.path("good.wasm")).expect("removed");
    bench.wait_for("second.wasm", "ready");
    wait_until("the second one runs", || ask(&bench.node, "good/run", "") == bytes("H"));
}

/// Rounds of coming and going: a thousand where `AKITA_ROUNDS` says so.
fn rounds() -> u32 {
    std::env::var("AKITA_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What the process holds: open files, mapped files of compiled code, bytes of resident memory.
fn holds(node: &TestNode) -> (usize, usize, u64) {
    let proc = PathBuf::from(format!("/proc/{}", node.pid()));
    let files = fs::read_dir(proc.join("fd")).expect("the process is there").count();
    let maps = fs::read_to_string(proc.join("maps")).expect("the process is there");
    let code = maps.lines().filter(|line| line.contains("/compiled/")).count();
    (files, code, node.memory_kib("VmRSS"))
}

#[test]
fn installing_and_removing_leaves_nothing_behind() {
    let bench = Bench::new("no-growth");
    let round = |number: u32| {
        // Another content each time, so that it is compiled each time.
        let guest = Guest { name: "guest".into(), provides: vec![format!("round-{number}")], ..Guest::default() };
        bench.put("guest.wasm", &guest.component());
        bench.wait_for("guest.wasm", "ready");
        wait_until("it is offered", || bench.node.get("/status")["actions"] == json!(["guest/run"]));
        ask(&bench.node, "guest/run", "x");
        fs::remove_file(bench.path("guest.wasm")).expect("removed");
        wait_until("it is gone", || bench.node.get("/status")["actions"] == json!([]));
    };
    (0..4).for_each(round);
    let (files, code, resident) = holds(&bench.node);
    (4..4 + rounds()).for_each(round);
    wait_until("nothing more is held than before", || {
        let now = holds(&bench.node);
        // Connections of this test and readers of the database come and go.
        now.0 <= files + 4 && now.1 <= code && now.2 <= resident + (16 << 10)
    });
}
