//! Backups: made while a node works, put back elsewhere, and what a copy of a moment that has passed may do and may not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::harness::{Spec, TestNode, find, text, wait_until};

/// A node with ended tasks, a blob, and a task that runs on.
struct Busy {
    node: TestNode,
    done: Vec<String>,
    running: String,
    blob: String,
}

fn busy(name: &str) -> Busy {
    let node = Spec::alone(name).start();
    let done = node.submit_all((0..20).map(|n| json!({"action": "echo", "n": n})).collect());
    done.iter().for_each(|id| drop(node.completed(id)));
    let (_, put) = node.try_send("/blobs", b"a blob of ours").expect("an answer");
    let running = node.submit(&json!({"action": "slow", "ms": 60_000}));
    wait_until("a task to run", || node.task(&running)["status"] == "running");
    Busy { node, done, running, blob: text(&put["id"]) }
}

fn back_up(node: &TestNode, args: &[&str]) -> PathBuf {
    let file = node.dir().join("backup.tar.zst");
    let (path, dir) = (file.to_string_lossy().into_owned(), node.data_dir());
    node.cli(&[&["backup", &path, "--data-dir", &dir.to_string_lossy()], args].concat()).expect(0);
    file
}

/// A node that is not started yet, with what the backup holds.
fn restored(name: &str, file: &Path, args: &[&str]) -> TestNode {
    let node = TestNode::prepared(Spec::alone(name));
    restore(&node, file, args, 0);
    node
}

fn restore(node: &TestNode, file: &Path, args: &[&str], code: i32) -> String {
    let (file, dir) = (file.to_string_lossy(), node.data_dir());
    let out = node.cli(&[&["restore", &file, "--data-dir", &dir.to_string_lossy()], args].concat()).expect(code);
    out.stdout + &out.stderr
}

#[test]
fn a_node_is_backed_up_while_it_works_and_comes_back_elsewhere_as_itself() {
    let Busy { mut node, done, running, blob } = busy("works");
    let me = node.id();
    fs::write(node.dir().join("head.txt"), node.cli(&["ledger", "head"]).expect(0).stdout).expect("written");
    let file = back_up(&node, &["--with-identity"]);
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let again = node.cli(&["backup", &file.to_string_lossy(), "--data-dir", &node.data_dir().to_string_lossy()]);
    assert!(again.expect(3).stderr.contains("--force"));
    let left = fs::read_dir(node.dir()).expect("a folder").flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".akita-")));
    // It works on meanwhile.
    let more = node.submit(&json!({"action": "echo", "more": true}));
    node.completed(&more);
    node.kill_9();

    let mut back = restored("works", &file, &[]);
    fs::copy(node.dir().join("head.txt"), back.dir().join("head.txt")).expect("copied");
    back.start();
    assert_eq!(back.id(), me);
    for id in &done {
        assert_eq!(back.task(id)["status"], "completed");
    }
    assert_eq!(back.try_get(&format!("/blobs/{blob}")).map(|(code, _)| code), Some(200));
    // What ran then is not run here; what came later is not known.
    let id = back.submit(&json!({"action": "echo", "after": true}));
    back.completed(&id);
    let counts = &back.get("/status")["tasks"];
    for state in ["pending", "assigned", "running"] {
        assert_eq!(counts[state], 0, "{counts:#}");
    }
    assert!(back.ledger("TASK_ASSIGNED").iter().filter(|row| row["task_id"] == running.as_str()).count() == 1);
    assert_eq!(back.try_get(&format!("/tasks/{more}")).map(|(code, _)| code), Some(404));
    // The ledger goes on from what was signed before, and tells what happened.
    back.cli(&["ledger", "verify", "--against", "head.txt"]).expect(0);
    let told = back.ledger("CONFIG_CHANGE").into_iter().find(|row| !row["details"]["backup"].is_null());
    let told = told.expect("a row about it");
    assert!(told["node_id"] == me.as_str() && text(&told["details"]["checkpoint"]).starts_with("akita/"), "{told:#}");
    back.stop();
    back.cli(&["store", "check", "--data-dir", &back.data_dir().to_string_lossy()]).expect(0);
    back.start();
    back.verify_ledger();
}

#[test]
fn without_the_identity_it_comes_back_as_another_node_with_the_same_rows() {
    let Busy { mut node, done, running, .. } = busy("gives");
    let (was, head) = (node.id(), node.cli(&["ledger", "head", "-o", "json"]).expect(0).stdout);
    let file = back_up(&node, &[]);
    node.kill_9();
    let mut back = restored("takes", &file, &[]);
    fs::write(back.dir().join("head.json"), head).expect("written");
    assert!(!back.data_dir().join("identity").exists());
    back.start();
    assert_ne!(back.id(), was);
    back.verify_ledger();
    assert_eq!(back.task(&done[0])["status"], "completed");
    back.cli(&["ledger", "verify", "--against", "head.json", "--node", &was]).expect(0);
    assert!(back.ledger("TASK_ASSIGNED").iter().filter(|row| row["task_id"] == running.as_str()).count() == 1);
}

#[test]
fn unfinished_tasks_run_again_when_the_operator_says_that_all_else_is_lost() {
    let Busy { mut node, running, .. } = busy("lost");
    let file = back_up(&node, &["--with-identity"]);
    node.kill_9();
    let mut back = restored("lost", &file, &["--run-tasks"]);
    back.start();
    find("the task to run again", || (back.task(&running)["status"] == "running").then_some(()));
    back.verify_ledger();
}

#[test]
fn a_backup_is_put_back_only_where_nothing_is_lost_by_it_and_only_whole() {
    let Busy { mut node, done, .. } = busy("careful");
    let file = back_up(&node, &[]);
    assert!(restore(&node, &file, &["--force"], 3).contains("in use by process"));
    node.kill_9();
    assert!(restore(&node, &file, &[], 3).contains("is not empty"));

    let whole = fs::read(&file).expect("the backup");
    let bad = node.dir().join("bad.tar.zst");
    let other = TestNode::prepared(Spec::alone("elsewhere"));
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, words) in [(&whole[..whole.len() / 2], "does not verify"), (&flipped, "does not verify"), (b"text", "")]
    {
        fs::write(&bad, bytes).expect("written");
        assert!(restore(&other, &bad, &[], 7).contains(words));
        assert!(!other.data_dir().join("akita.db").exists());
    }
    restore(&other, Path::new("nowhere.tar.zst"), &[], 3);

    // Damaged where it was: the backup takes its place, and what was there is kept.
    let database = node.data_dir().join("akita.db");
    let damaged = vec![0x55; 64 << 10];
    fs::write(&database, &damaged).expect("written over");
    let _ = fs::remove_file(node.data_dir().join("akita.db-wal"));
    assert!(node.start_in_vain().expect(3).stderr.contains("akita restore"));
    let refused = node.cli(&["backup", "new.tar.zst", "--data-dir", &node.data_dir().to_string_lossy()]).expect(3);
    assert!(refused.stderr.contains("akita.db") && !node.dir().join("new.tar.zst").exists(), "{}", refused.stderr);
    assert!(restore(&node, &file, &["--force"], 0).contains("before-restore-"));
    let kept = fs::read_dir(node.data_dir()).expect("a folder").flatten();
    let kept = kept.into_iter().find(|entry| entry.file_name().to_string_lossy().starts_with("before-restore-"));
    assert!(fs::read(kept.expect("kept").path().join("akita.db")).expect("kept") == damaged);
    node.start();
    done.iter().for_each(|id| assert_eq!(node.task(id)["status"], "completed"));
    node.verify_ledger();
}
