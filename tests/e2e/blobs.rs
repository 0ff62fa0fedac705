//! Blobs: put on one node, had on all, owned within quotas, whole or not there.

use std::{fs, path::PathBuf, sync::Mutex, thread, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    lifecycle::{Bench, ask, bytes, put as install, wait_for},
    talkers::keeper,
};

/// Bytes that do not repeat and that no test but this one has.
fn content(seed: u8, size: usize) -> Vec<u8> {
    let mut all = vec![0; size];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut all);
    all
}

fn id(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn keep(node: &TestNode, bytes: &[u8]) -> Option<(u16, Value)> {
    node.try_send("/blobs", bytes)
}

fn saved(node: &TestNode, id: &str) -> Vec<u8> {
    let path = node.dir().join("got");
    node.cli(&["blob", "get", id, "--wait", "60", "--out", &path.to_string_lossy()]).expect(0);
    fs::read(path).expect("it was written")
}

fn two(own: &TempDir, theirs: &TempDir) -> (TestNode, TestNode) {
    let address = crate::prepare::free_address();
    let one = Spec::new("one").arg("--mesh-listen", &address).plugins(own.path()).start();
    let two = Spec::new("two").arg("--mesh-peer", &address).plugins(theirs.path()).start();
    wait_until("they are one cluster", || {
        [&one, &two]
            .iter()
            .all(|node| node.get("/cluster/status")["nodes"].as_array().is_some_and(|all| all.len() == 2))
    });
    (one, two)
}

#[test]
fn a_blob_is_put_on_one_node_and_had_on_every_other() {
    let (own, theirs) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (one, two) = two(&own, &theirs);
    let photo = content(1, 3_000_000);
    fs::write(one.dir().join("photo"), &photo).expect("written");
    let printed = one.cli(&["blob", "put", "photo"]).expect(0).stdout;
    assert_eq!(printed.trim(), id(&photo));
    assert_eq!(saved(&two, &id(&photo)), photo);

    // The other has a copy now, and the first one can do without its own.
    let list = two.get("/blobs");
    assert_eq!((&list["blobs"][0]["size"], &list["blobs"][0]["owners"]), (&json!(3_000_000), &json!([])), "{list:#}");
    assert!(one.cli(&["blob", "list"]).expect(0).stdout.contains("operator"));
    one.cli(&["blob", "remove", &id(&photo)]).expect(0);
    assert_eq!(one.get("/blobs")["blobs"], json!([]));
    assert_eq!(saved(&one, &id(&photo)), photo);

    let missing = two.cli(&["blob", "get", &id(b"nobody put it"), "--out", "none"]).expect(5);
    assert!(missing.stderr.contains("no blob"), "{}", missing.stderr);
    assert_eq!(two.try_get(&format!("/blobs/{}?wait=0", id(b"x"))).expect("an answer").0, 404);
    assert_eq!(two.try_get("/blobs/0123").expect("an answer").0, 400);
    two.cli(&["blob", "remove", &id(b"x")]).expect(5);
}

#[test]
fn plugins_on_two_nodes_share_blobs_each_within_its_quota() {
    let (own, theirs) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (one, two) = two(&own, &theirs);
    for (dir, name) in [(&own, "first"), (&theirs, "second")] {
        let grants = format!("[plugin.{name}]\ninterfaces = [\"blobs\"]\nblob_quota_bytes = 10_000\n");
        install(dir.path(), "akita-plugins.toml", grants.as_bytes());
        install(dir.path(), "keep.wasm", &keeper(name).component());
    }
    wait_for(&one, "keep.wasm", "ready");
    wait_for(&two, "keep.wasm", "ready");
    // No blob is put by these: what is asked for has no blob's name.
    let nothing = BASE64_STANDARD.encode("Z".repeat(64));
    for action in ["first/run", "second/run"] {
        let task = json!({"action": action, "input_base64": nothing, "content_type": "text/plain"});
        wait_until(action, || one.try_post("/tasks/submit", &task).is_some_and(|answer| answer.0 == 202));
    }
    let words = "what one plugin keeps, the other reads".repeat(30);
    let name = id(words.as_bytes());
    assert_eq!(ask(&one, "first/run", &words), bytes(&name));
    assert_eq!(ask(&one, "second/run", &name), bytes(&words), "on the other node");
    assert_eq!(ask(&one, "second/run", &id(b"nowhere")), bytes("E1"), "not-found");
    // Two small ones take a block of 4 KiB each: the third is over 10,000 bytes; what is there costs nothing.
    assert_eq!(ask(&one, "first/run", "second blob"), bytes(&id(b"second blob")));
    assert_eq!(ask(&one, "first/run", "third blob"), bytes("E3"), "over-quota");
    assert_eq!(ask(&one, "first/run", &words), bytes(&name));
    assert_eq!(ask(&one, "first/run", &"Z".repeat(64)), bytes("E0"), "bad-id");
}

#[test]
fn the_operators_bounds_hold_and_are_named() {
    let mut node = Spec::alone("bounds").env("AKITA_BLOB_MAX_BYTES", "100000").start();
    let (status, body) = keep(&node, &content(1, 100_001)).expect("an answer");
    assert_eq!((status, &body["type"]), (413, &json!("urn:akita:problem:too-large")), "{body:#}");
    assert!(text(&body["hint"]).contains("BLOB_MAX_BYTES"), "{body:#}");
    let (status, body) = keep(&node, &content(1, 100_000)).expect("an answer");
    assert_eq!((status, &body["size"]), (201, &json!(100_000)));
    assert_eq!(keep(&node, &content(1, 100_000)), Some((status, body)), "the same again");
    node.stop();
    *node.spec_mut() = node.spec_mut().clone().env("AKITA_BLOB_STORE_BYTES", "150000");
    node.start();
    let (status, body) = keep(&node, &content(2, 60_000)).expect("an answer");
    assert_eq!((status, &body["type"]), (507, &json!("urn:akita:problem:no-room")), "{body:#}");
    assert_eq!(saved(&node, &id(&content(1, 100_000))), content(1, 100_000), "what was put stays");
}

/// Files below a folder.
fn files(dir: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(path) } else { vec![path] }).collect()
}

#[test]
fn a_power_cut_in_a_put_leaves_whole_blobs_and_nothing_else() {
    let mut node = Spec::alone("cut-off").start();
    let kept = Mutex::new(Vec::new());
    for (round, delay) in [10_u8, 40, 120, 250].into_iter().enumerate() {
        thread::scope(|scope| {
            for writer in 0..3 {
                let (node, kept) = (&node, &kept);
                scope.spawn(move || {
                    for n in 0..50 {
                        let blob = content(100 + writer, 200_000 + 100 * round + n);
                        let Some((201, answer)) = keep(node, &blob) else { return };
                        assert_eq!(answer["id"], id(&blob));
                        kept.lock().expect("not poisoned").push(blob);
                    }
                });
            }
            thread::sleep(Duration::from_millis(u64::from(delay)));
            node.signal(rustix::process::Signal::KILL);
        });
        node.kill_9();
        node.start();
    }
    let kept = kept.into_inner().expect("not poisoned");
    for blob in &kept {
        assert!(saved(&node, &id(blob)) == *blob, "{} of {} bytes", id(blob), blob.len());
    }
    let listed = node.get("/blobs?limit=1000")["blobs"].as_array().expect("blobs").len();
    assert!(listed >= kept.len());
    let left = files(node.data_dir().join("blobs"));
    assert_eq!(left.len(), listed, "{left:?}");
    // What the disk itself changed is noticed, and not given out.
    let Some(blob) = kept.first() else { return };
    let hex = id(blob);
    node.stop();
    fs::write(node.data_dir().join("blobs").join(&hex[..2]).join(&hex[2..]), b"something else").expect("written");
    node.start();
    assert_eq!(node.try_get(&format!("/blobs/{hex}?wait=0")).expect("an answer").0, 404);
}

#[test]
fn a_blob_is_a_tasks_business_only_where_it_is_granted() {
    let bench = Bench::new("blobs-blocked");
    bench.put("keep.wasm", &keeper("keep").component());
    let blocked = bench.wait_for("keep.wasm", "blocked");
    assert_eq!(blocked["reason"], "needs blobs");
    let hint = text(&blocked["hint"]);
    bench.put("akita-plugins.toml", hint.lines().skip(1).collect::<Vec<_>>().join("\n").as_bytes());
    bench.wait_for("keep.wasm", "ready");
    assert_eq!(ask(&bench.node, "keep/run", "mine"), bytes(&id(b"mine")));
    assert_eq!(bench.node.get("/blobs")["blobs"][0]["owners"], json!(["keep"]));
    let got = bench.node.cli(&["blob", "get", &id(b"mine")]).expect(0).stdout;
    assert_eq!(BASE64_STANDARD.encode(got), text(&bytes("mine")));
}
