//! Stores that are damaged, cut or older than they were: refused with the file, what is wrong and the next step, before
//! anything is written; `akita store check` tells all of it.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::harness::{Out, Spec, TestNode};

/// A stopped node that has done some work.
fn worked(name: &str) -> TestNode {
    let mut node = Spec::alone(name).start();
    let ids = node.submit_all((0..30).map(|n| json!({"action": "echo", "n": n})).collect());
    ids.iter().for_each(|id| drop(node.completed(id)));
    assert_eq!(node.try_send("/blobs", b"a blob of ours").map(|(code, _)| code), Some(201));
    node.stop();
    node
}

fn database(node: &TestNode) -> PathBuf {
    node.data_dir().join("akita.db")
}

fn check(node: &TestNode, code: i32) -> Out {
    let dir = node.data_dir();
    node.cli(&["store", "check", "--data-dir", &dir.to_string_lossy()]).expect(code)
}

/// The node must not start, must say what is wrong with which file and what to do, and must leave the file as it is.
#[track_caller]
fn refused(node: &mut TestNode, words: &[&str]) {
    let before = fs::read(database(node)).ok();
    let out = node.start_in_vain().expect(3);
    for word in words.iter().chain(&["akita.db", "error:", "hint:", "akita restore"]) {
        assert!(out.stderr.contains(word), "`{word}` is missing in:\n{}", out.stderr);
    }
    assert!(fs::read(database(node)).ok() == before, "it was changed");
}

#[test]
fn a_sound_store_is_found_sound_and_one_in_use_is_left_alone() {
    let mut node = worked("sound");
    let out = check(&node, 0);
    for word in ["schema", "pages", "ledger", "totals", "tasks", "blobs"] {
        assert!(out.stdout.contains(word), "{}", out.stdout);
    }
    let dir = node.data_dir();
    let json = node.cli(&["store", "check", "--data-dir", &dir.to_string_lossy(), "-o", "json"]).expect(0).json();
    assert_eq!(json["ok"], true);
    assert!(
        json["findings"].as_array().expect("findings").iter().all(|one: &Value| one["verdict"] == "ok"),
        "{json:#}"
    );
    node.start();
    assert!(check(&node, 3).stderr.contains("in use by process"));
    node.cli(&["store", "check", "--data-dir", "nowhere"]).expect(3);
}

#[test]
fn flipped_bytes_are_found_wherever_they_are_and_the_node_does_not_start_on_them() {
    let mut node = worked("flipped");
    let pristine = fs::read(database(&node)).expect("the database");
    let pages = pristine.len() / 4_096;
    assert!(pages > 20);
    for page in [1, 2, pages / 3, pages / 2, pages - 1] {
        let mut bytes = pristine.clone();
        bytes[page * 4_096..page * 4_096 + 128].iter_mut().for_each(|byte| *byte ^= 0xA5);
        fs::write(database(&node), &bytes).expect("written");
        let out = check(&node, 7);
        assert!(out.stdout.contains("bad") && out.stderr.contains("hint:"), "page {page}: {}", out.stdout);
        refused(&mut node, &["damaged", "akita store check"]);
    }
    fs::write(database(&node), &pristine).expect("written");
    node.start();
    node.verify_ledger();
}

#[test]
fn a_truncated_database_is_refused() {
    let mut node = worked("truncated");
    let pristine = fs::read(database(&node)).expect("the database");
    for keep in [0, 4_096, pristine.len() / 2 / 4_096 * 4_096, pristine.len() - 4_096] {
        fs::write(database(&node), &pristine[..keep]).expect("written");
        check(&node, 7);
        refused(&mut node, &[]);
    }
    fs::remove_file(database(&node)).expect("removed");
    refused(&mut node, &["had"]);
    assert!(!database(&node).exists());
    fs::write(database(&node), &pristine).expect("written");
    node.start();
    node.verify_ledger();
}

#[test]
fn a_database_without_its_write_ahead_log_is_refused_and_whole_again_with_it() {
    let mut node = Spec::alone("torn").start();
    let ids = node.submit_all((0..30).map(|n| json!({"action": "echo", "n": n})).collect());
    ids.iter().for_each(|id| drop(node.completed(id)));
    // The mark is written a moment later than the rows.
    let mark = node.data_dir().join("akita.db.head");
    crate::harness::wait_until("the ledger's length to be noted", || {
        let rows = node.get("/ledger?limit=1")["total"].to_string();
        fs::read_to_string(&mark).is_ok_and(|mark| mark.lines().nth(1) == Some(&rows))
    });
    node.kill_9();
    let log = node.data_dir().join("akita.db-wal");
    let away = node.data_dir().join("away");
    fs::rename(&log, &away).expect("there is a write-ahead log");
    let _ = fs::remove_file(node.data_dir().join("akita.db-shm"));
    refused(&mut node, &["older copy", ".head"]);
    assert!(check(&node, 7).stdout.contains("older copy"));
    fs::rename(&away, &log).expect("put back");
    node.start();
    node.verify_ledger();
    ids.iter().for_each(|id| drop(node.completed(id)));
}

#[test]
fn a_blob_that_the_disk_changed_is_named() {
    let node = worked("rotten");
    let folder = fs::read_dir(node.data_dir().join("blobs")).expect("blobs");
    let folder = folder.flatten().find(|entry| entry.file_name() != "partial").expect("a folder of one").path();
    let file = fs::read_dir(&folder).expect("a folder").flatten().next().expect("a blob").path();
    fs::write(&file, b"a blob of ourz").expect("written");
    let out = check(&node, 7);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(out.stdout.contains(&name) && out.stdout.contains("was changed"), "{}", out.stdout);
}
