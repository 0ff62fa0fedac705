//! What the ledger proves to people elsewhere: heads that were kept, rows that were shown, exports that were handed over.
//! Each is checked without the node that it came from, and whatever was changed is named, with exit code 7.

use std::{fs, path::Path};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    meeting::{leader_first, pair},
    voters::three,
};

/// Runs some tasks to their end.
fn work(node: &TestNode, tasks: usize) -> Vec<String> {
    let ids = node.submit_all((0..tasks).map(|n| json!({"action": "echo", "n": n})).collect());
    ids.iter().for_each(|id| drop(node.completed(id)));
    ids
}

/// A file in the node's folder, where its commands run.
fn put(node: &TestNode, name: &str, content: &str) {
    fs::write(node.dir().join(name), content).expect("written");
}

fn read(node: &TestNode, name: &str) -> String {
    fs::read_to_string(node.dir().join(name)).expect("a file")
}

/// The command must find that something was changed, and say these words.
#[track_caller]
fn found(node: &TestNode, args: &[&str], words: &str) {
    let out = node.cli(args).expect(7);
    assert!(out.stderr.contains(words), "`{words}` is missing in:\n{}", out.stderr);
}

#[test]
fn a_row_is_proved_to_who_has_nothing_but_the_nodes_id() {
    let mut node = Spec::alone("proves").start();
    let (me, task) = (node.id(), work(&node, 3).remove(1));
    let row = node.get(&format!("/ledger?event_type=TASK_COMPLETED&task_id={task}"));
    let index = row["rows"][0]["index"].to_string();
    node.cli(&["ledger", "prove", &index, "--out", "row.json"]).expect(0);
    let refused = node.cli(&["ledger", "prove", "100000"]).expect(5);
    assert!(refused.stderr.contains("no row 100000") && refused.stderr.contains("hint:"), "{}", refused.stderr);
    node.stop();

    let verify = ["ledger", "verify", "--proof", "row.json"];
    let out = node.cli(&verify).expect(0);
    assert!(out.stdout.contains("TASK_COMPLETED") && out.stdout.contains(&me), "{}", out.stdout);
    let out = node.cli(&[&verify[..], &["--node", &me, "-o", "json"]].concat()).expect(0).json();
    assert_eq!((&out["ok"], &out["signers"]), (&json!(true), &json!([me])));
    found(&node, &[&verify[..], &["--node", &"0".repeat(32)]].concat(), &me);

    let proof = read(&node, "row.json");
    let (other_task, other_node) = (task.replace(&task[..2], "00"), "1".repeat(32));
    for (from, to, words) in [
        ("TASK_COMPLETED", "TASK_FAILED", format!("row {index} was changed")),
        (task.as_str(), other_task.as_str(), format!("row {index} was changed")),
        (&format!("\"index\": {index}"), "\"index\": 0", "row 0 was changed".into()),
        ("akita-ledger-row-proof/1", "akita-ledger-row-proof/9", "format".into()),
        (me.as_str(), other_node.as_str(), "does not verify".into()),
    ] {
        assert!(proof.contains(from), "{from} is not in {proof}");
        put(&node, "bad.json", &proof.replace(from, to));
        found(&node, &["ledger", "verify", "--proof", "bad.json"], &words);
    }
    put(&node, "bad.json", &proof[..proof.len() / 2]);
    found(&node, &["ledger", "verify", "--proof", "bad.json"], "is no proof of a row");
    let piped = node.cli_with(&["ledger", "verify", "--proof", "-"], &proof).expect(0);
    assert!(piped.stdout.contains("it verifies"));
    node.cli(&["ledger", "verify", "--proof", "nowhere.json"]).expect(3);
}

#[test]
fn a_head_that_was_kept_shows_later_whether_anything_before_it_was_changed() {
    let mut node = Spec::alone("witness").start();
    work(&node, 4);
    let me = node.id();
    put(&node, "head.txt", &node.cli(&["ledger", "head"]).expect(0).stdout);
    put(&node, "head.json", &node.cli(&["ledger", "head", "-o", "json"]).expect(0).stdout);
    assert!(read(&node, "head.txt").starts_with(&format!("akita/{me}\n")));
    let against = ["ledger", "verify", "--against", "head.txt"];
    node.cli(&against).expect(0);
    work(&node, 4);
    node.stop();
    node.start();
    let out = node.cli(&against).expect(0);
    assert!(out.stdout.contains("goes on from the checkpoint") && out.stdout.contains(&me), "{}", out.stdout);
    node.cli(&["ledger", "verify", "--against", "head.json", "--node", &me]).expect(0);

    // A forged head: more rows, another root, another signer.
    let head = read(&node, "head.txt");
    let size = head.lines().nth(1).expect("a size").to_owned();
    put(&node, "bad.txt", &head.replace(&format!("\n{size}\n"), &format!("\n{size}0\n")));
    found(&node, &["ledger", "verify", "--against", "bad.txt"], "signature");
    let stranger = Spec::alone("stranger").start();
    work(&stranger, 1);
    put(&node, "bad.txt", &stranger.cli(&["ledger", "head"]).expect(0).stdout);
    found(&node, &["ledger", "verify", "--against", "bad.txt"], "signed by nobody whose key is known");
    put(&node, "bad.json", &stranger.cli(&["ledger", "head", "-o", "json"]).expect(0).stdout);
    let trusting = ["ledger", "verify", "--against", "bad.json", "--node", &stranger.id()];
    found(&node, &trusting, "are not those under the checkpoint, which is of");

    // The holder of the key drops what came after the start, and goes on from there: it verifies, but not against the head.
    node.stop();
    fs::remove_dir_all(node.data_dir().join("blobs")).expect("none in use");
    for file in ["akita.db", "akita.db-wal", "akita.db-shm", "akita.db.head"] {
        let _ = fs::remove_file(node.data_dir().join(file));
    }
    node.start();
    work(&node, 9);
    node.cli(&["ledger", "verify"]).expect(0);
    assert_eq!(node.id(), me);
    found(&node, &against, "are not those under the checkpoint");
}

#[test]
fn a_row_that_somebody_changed_in_the_database_is_named_by_the_next_check() {
    let mut node = Spec::alone("changed").start();
    work(&node, 3);
    put(&node, "head.txt", &node.cli(&["ledger", "head"]).expect(0).stdout);
    node.stop();
    let database = Connection::open(node.data_dir().join("akita.db")).expect("the database");
    database.execute("UPDATE ledger SET details = '[]' WHERE idx = 4", []).expect("changed");
    drop(database);
    // It is among the last rows, which a start looks at; so the check is that of the file, without a node.
    let out = node.start_in_vain().expect(3);
    assert!(out.stderr.contains("row 4 was changed") && out.stderr.contains("akita store check"), "{}", out.stderr);
}

fn exported(node: &TestNode, args: &[&str]) {
    node.cli(&[&["ledger", "export"], args].concat()).expect(0);
}

#[test]
fn an_export_is_checked_without_a_node_and_a_tampered_line_is_named() {
    let mut node = Spec::alone("exports").start();
    work(&node, 150);
    let me = node.id();
    exported(&node, &["--with-proof", "--out", "all.jsonl"]);
    exported(&node, &["--with-proof", "--from", "7", "--to", "300", "--format", "csv", "--out", "some.csv"]);
    exported(&node, &["--from", "10", "--to", "20", "--out", "plain.jsonl"]);
    node.cli(&["ledger", "verify", "--export", "plain.jsonl"]).expect(0);
    let plain = read(&node, "plain.jsonl");
    assert_eq!(plain.lines().count(), 10);
    put(&node, "bad.jsonl", &plain.lines().rev().collect::<Vec<_>>().join("\n"));
    found(&node, &["ledger", "verify", "--export", "bad.jsonl"], "row 18 stands where row 20 belongs");
    let piped = node.cli(&["ledger", "export", "--from", "3", "--to", "5"]).expect(0).stdout;
    let index = |line| serde_json::from_str::<Value>(line).expect("JSON")["index"].clone();
    assert_eq!(piped.lines().map(index).collect::<Vec<_>>(), [3, 4]);
    node.cli(&["ledger", "export", "--format", "csv", "--with-proof"]).expect(2);
    node.cli(&["ledger", "export", "--from", "9", "--to", "9"]).expect(2);
    node.cli(&["ledger", "export", "--to", "1000000"]).expect(2);
    node.stop();

    for file in ["all.jsonl", "some.csv"] {
        let out = node.cli(&["ledger", "verify", "--export", file, "--node", &me]).expect(0);
        assert!(out.stdout.contains("as they were signed"), "{}", out.stdout);
        tamper(&node, file);
    }
}

/// Does to a copy of an export whatever somebody may do to it.
fn tamper(node: &TestNode, file: &str) {
    let whole = read(node, file);
    let bad = format!("bad-{file}");
    let beside = node.dir().join(format!("{file}.proof.json"));
    if beside.exists() {
        fs::copy(&beside, node.dir().join(format!("{bad}.proof.json"))).expect("copied");
    }
    let at = |index: u64| {
        let begins = if file.ends_with("csv") { format!("{index},") } else { format!("{{\"index\":{index},") };
        whole.lines().position(|line| line.starts_with(&begins)).expect("the row is there")
    };
    let check = |change: &dyn Fn(&mut Vec<String>), words: &str| {
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        change(&mut lines);
        put(node, &bad, &format!("{}\n", lines.join("\n")));
        found(node, &["ledger", "verify", "--export", &bad], words);
    };
    let (row, other, last) = (at(42), at(44), whole.lines().count() - 1);
    check(&|lines| lines[row] = lines[row].replace("TASK_", "NODE_"), "row 42 was changed");
    check(&|lines| drop(lines.remove(row)), "row 42 is missing");
    check(&|lines| lines.swap(row, other), "row 42 is missing: row 44 stands in its place");
    check(&|lines| lines.insert(row, lines[row].clone()), "row 42 stands where row 43 belongs");
    check(&|lines| drop(lines.remove(last)), "is missing: the stretch goes to");
    check(&|lines| lines[row].truncate(20), "is no row");
}

#[test]
fn any_node_of_a_cluster_proves_and_exports_the_leaders_ledger() {
    let (leader, worker) = {
        let (one, other) = pair(Spec::new("first"), Spec::new("second"));
        leader_first(one, other)
    };
    work(&leader, 20);
    let lead = leader.id();
    put(&worker, "head.txt", &leader.cli(&["ledger", "head"]).expect(0).stdout);
    let out = worker.cli(&["ledger", "verify", "--against", "head.txt"]).expect(0);
    assert!(out.stdout.contains(&lead), "{}", out.stdout);
    worker.cli(&["ledger", "prove", "5", "--out", "row.json"]).expect(0);
    worker.cli(&["ledger", "verify", "--proof", "row.json", "--node", &lead]).expect(0);
    worker.cli(&["ledger", "prove", "9999"]).expect(5);
    worker.cli(&["ledger", "export", "--with-proof", "--out", "rows.jsonl"]).expect(0);
    worker.cli(&["ledger", "verify", "--export", "rows.jsonl", "--node", &lead]).expect(0);
    // The worker's own copy is another ledger, and says so.
    let own = worker.cli(&["ledger", "head", "--local"]).expect(0).stdout;
    assert!(own.starts_with(&format!("akita/{}\n", worker.id())), "{own}");
    let keys = worker.get("/ledger/keys");
    let ids: Vec<String> = keys["keys"].as_array().expect("keys").iter().map(|key| text(&key["node_id"])).collect();
    assert!(ids[0] == worker.id() && ids.contains(&lead), "{ids:?}");
    assert!(Path::new(&worker.dir().join("rows.jsonl")).exists());
}

#[test]
fn voters_sign_the_leaders_head_and_refuse_one_that_is_not_their_own_ledger() {
    let mut nodes = three();
    work(&nodes[0], 4);
    let head = nodes[1].cli(&["ledger", "head"]).expect(0);
    assert!(head.stderr.contains("signed by 3 of 3 voters"), "{head:?}");
    assert_eq!(head.stdout.lines().filter(|line| line.starts_with('\u{2014}')).count(), 3, "{}", head.stdout);
    put(&nodes[2], "head.txt", &head.stdout);
    let whole = nodes[2].cli(&["ledger", "verify"]).expect(0).stdout;
    assert!(whole.contains("signed by  3 of 3 voters") || whole.contains("signed by  1 of 3 voters"), "{whole}");
    // Each of the three signatures is enough for who trusts that one node.
    for node in &nodes {
        nodes[2].cli(&["ledger", "verify", "--against", "head.txt", "--node", &node.id()]).expect(0);
    }

    // One voter's rows are written anew, hashes and all, so that its own check finds nothing. As many rows as its next
    // start looks at lie after the changed ones.
    work(&nodes[0], 790);
    nodes[2].stop();
    let file = nodes[2].data_dir().join("akita.db");
    let database = Connection::open(&file).expect("the database");
    let rows: i64 = database.query_row("SELECT COUNT(*) FROM ledger", [], |row| row.get(0)).expect("rows");
    assert!((3_072..4_090).contains(&rows), "the subtree over rows 0 to 2,047 is part of the root, not {rows}");
    let subtree = tlog_tiles::stored_hash_index(11, 0).cast_signed();
    let changed = "UPDATE ledger_hashes SET hash = zeroblob(32) WHERE idx = ?1";
    assert_eq!(database.execute(changed, [subtree]).expect("changed"), 1);
    database.execute("DELETE FROM checkpoints", []).expect("removed");
    drop(database);
    fs::remove_file(nodes[2].data_dir().join("akita.db.head")).expect("removed");
    nodes[2].start();
    wait_until("it to follow", || nodes[2].get("/status")["leader_id"] == nodes[0].id().as_str());
    let told = |node: &TestNode, words: &str| node.get("/cluster/status")["problems"].to_string().contains(words);
    wait_until("the alarm", || {
        let head = nodes[0].cli(&["ledger", "head"]).expect(0);
        head.stderr.contains("signed by 2 of 3 voters")
            && told(&nodes[2], "its rows are not those of this voter's ledger")
            && told(&nodes[0], "does not sign this leader's checkpoint")
    });
    wait_until("it in the ledger", || {
        let rows = nodes[1].ledger("SECURITY_ALERT");
        rows.iter().any(|row| row["details"]["voter"] == nodes[2].id().as_str())
    });
    let found = nodes[2].cli(&["ledger", "verify", "--local"]).expect(7);
    assert!(found.stderr.contains("was changed"), "{}", found.stderr);
}
