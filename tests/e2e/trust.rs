//! Whose plugins run is the operator's to say: what nobody vouches for gets nothing, whatever it is called.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    guests::Guest,
    harness::{find, text, wait_until},
    lifecycle::{Bench, ask, bytes, speaker},
};

const GRANTS: &str = "akita-plugins.toml";

impl Bench {
    /// Makes a key file beside the node's folder; its public key.
    fn keygen(&self, name: &str) -> String {
        let made = self.node.cli(&["plugin", "keygen", name]).expect(0);
        let secret = fs::read_to_string(self.node.dir().join(name)).expect("the key file is there");
        assert!(!made.stdout.contains(secret.trim()) && !made.stderr.contains(secret.trim()));
        made.stdout.trim().to_owned()
    }

    /// Signs what lies in the folder of plugins.
    fn sign(&self, file: &str, key: &str) {
        let path = self.path(file).display().to_string();
        self.node.cli(&["plugin", "sign", &path, "--key", key]).expect(0);
    }

    fn untrusted(&self, file: &str, why: &str) -> Value {
        find(&format!("{file} is untrusted: {why}"), || {
            let plugin = self.plugin(file).filter(|plugin| plugin["status"] == "untrusted")?;
            text(&plugin["reason"]).contains(why).then_some(plugin)
        })
    }

    /// Hashes of the contents that were compiled.
    fn compiled(&self) -> Vec<String> {
        let entries = fs::read_dir(self.node.data_dir().join("compiled")).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter_map(|name| Some(name.split_once('-')?.0.to_owned())).collect()
    }
}

#[test]
fn a_plugin_that_nobody_vouches_for_is_not_even_asked_what_it_is() {
    let mut bench = Bench::new("trust");
    let (mine, other) = (bench.keygen("mine.key"), bench.keygen("other.key"));
    bench.put(GRANTS, format!("trust = [\"{mine}\"]\n").as_bytes());
    wait_until("the grants are read", || bench.changes().len() == 1);

    // It would never come back from `describe`.
    let describe = "(loop (br 0))";
    let bad = Guest { name: "bad".into(), describe, ..Guest::default() }.component();
    bench.put("bad.wasm", &bad);
    let listed = bench.untrusted("bad.wasm", "there is no bad.wasm.sig");
    assert!(text(&listed["hint"]).contains("akita plugin sign bad.wasm"), "{listed:#}");
    let hash = text(&listed["hash"]);
    assert_eq!(hash, blake3::hash(&bad).to_hex().to_string());
    assert!(!bench.compiled().contains(&hash), "it was compiled");
    fs::remove_file(bench.path("bad.wasm")).expect("removed");
    wait_until("it is gone", || bench.plugin("bad.wasm").is_none());

    // Signed by another, then by whom the operator trusts: picked up without a restart.
    bench.put("talk.wasm", &speaker("talk", 'A'));
    bench.untrusted("talk.wasm", "there is no talk.wasm.sig");
    bench.sign("talk.wasm", "other.key");
    let listed = bench.untrusted("talk.wasm", "whom nobody trusts here");
    assert!(text(&listed["hint"]).contains(&other) && listed["signed_by"] == other.as_str(), "{listed:#}");
    bench.sign("talk.wasm", "mine.key");
    let ready = bench.wait_for("talk.wasm", "ready");
    assert_eq!(ready["signed_by"], mine.as_str());
    assert_eq!(ask(&bench.node, "talk/run", ""), bytes("A"));

    // Another content under the old signature; then the old content again.
    let signature = fs::read(bench.path("talk.wasm.sig")).expect("it is there");
    bench.put("talk.wasm", &speaker("talk", 'B'));
    bench.untrusted("talk.wasm", "another content");
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    bench.put("talk.wasm", &speaker("talk", 'A'));
    bench.wait_for("talk.wasm", "ready");
    for (garbage, why) in [(vec![b'x'; 100_000], "at most 4096 bytes"), (b"hello".to_vec(), "its first line")] {
        bench.put("talk.wasm.sig", &garbage);
        bench.untrusted("talk.wasm", why);
    }
    bench.put("talk.wasm.sig", &signature);
    bench.wait_for("talk.wasm", "ready");

    // A file of grants that is broken changes nothing, also not at a start; nor does one that went for a moment.
    bench.put(GRANTS, b"trust = \"any\nthing\"");
    find("the fault is told", || bench.node.get("/plugins")["problem"].as_str().map(str::to_owned));
    bench.put("new.wasm", &speaker("new", 'N'));
    bench.untrusted("new.wasm", "there is no new.wasm.sig");
    bench.node.stop();
    bench.node.start();
    assert_eq!(bench.plugin("new.wasm").expect("it is there")["status"], "untrusted");
    assert_eq!(bench.plugin("talk.wasm").expect("it is there")["status"], "ready");

    // What is no longer asked for runs.
    bench.put(GRANTS, b"trust = \"any\"\n");
    bench.wait_for("new.wasm", "ready");
    bench.put(GRANTS, format!("trust = [\"{other}\"]\n").as_bytes());
    bench.untrusted("talk.wasm", "whom nobody trusts here");
    bench.untrusted("new.wasm", "there is no new.wasm.sig");
    let told: Vec<String> = bench.changes().into_iter().map(|(what, _)| what).collect();
    assert_eq!(&told[..5], ["grants", "untrusted", "removed", "untrusted", "untrusted"], "{told:?}");
    assert!(told.contains(&"trusted".to_owned()), "{told:?}");
    bench.node.verify_ledger();
}

#[test]
fn a_broken_file_of_grants_at_the_first_start_trusts_nobody() {
    let mut bench = Bench::new("trust-unknown");
    bench.node.stop();
    fs::remove_dir_all(bench.node.data_dir()).expect("a node that never ran");
    bench.put("talk.wasm", &speaker("talk", 'A'));
    bench.put(GRANTS, b"trust = [");
    bench.node.start();
    bench.untrusted("talk.wasm", "whom to trust is not known");
    assert_eq!(bench.node.get("/status")["actions"], json!([]));
    fs::remove_file(bench.path(GRANTS)).expect("removed");
    bench.wait_for("talk.wasm", "ready");
}

#[test]
fn a_node_signs_with_its_identity_and_everybody_can_verify() {
    let bench = Bench::new("signs");
    bench.put("talk.wasm", &speaker("talk", 'A'));
    bench.wait_for("talk.wasm", "ready");
    let (path, data) = (bench.path("talk.wasm").display().to_string(), bench.node.data_dir().display().to_string());
    let unsigned = bench.node.cli(&["plugin", "verify", &path]).expect(3);
    assert!(unsigned.stderr.contains("it is not signed"), "{}", unsigned.stderr);
    bench.node.cli(&["plugin", "sign", &path, "--data-dir", &data]).expect(0);
    let found = bench.node.cli(&["plugin", "verify", &path, "-o", "json"]).expect(0).json();
    assert_eq!((&found["plugin"], &found["version"]), (&json!("talk"), &json!("0.1.0")));
    let key = text(&found["public_key"]);
    bench.node.cli(&["plugin", "verify", &path, "--key", &key]).expect(0);
    let other = bench.keygen("other.key");
    let refused = bench.node.cli(&["plugin", "verify", &path, "--key", &other]).expect(3);
    assert!(refused.stderr.contains("not by a key that was named"), "{}", refused.stderr);

    bench.put(GRANTS, format!("[plugin.talk]\ntrust = [\"{key}\"]\n").as_bytes());
    wait_until("it is known whose it is", || {
        bench.plugin("talk.wasm").expect("it is there")["signed_by"] == key.as_str()
    });
    // Another file takes the name and the version in vain, though its file comes first and needs no signature by itself.
    bench.put("a.wasm", &speaker("talk", 'X'));
    bench.untrusted("a.wasm", "it is not signed");
    bench.put("free.wasm", &speaker("free", 'F'));
    bench.wait_for("free.wasm", "ready");
    assert_eq!(ask(&bench.node, "talk/run", ""), bytes("A"));

    // Where no node has ever been there is nobody to sign, and none is made.
    let nowhere = bench.dir.path().join("nowhere");
    let refused = bench.node.cli(&["plugin", "sign", &path, "--data-dir", &nowhere.display().to_string()]).expect(3);
    assert!(refused.stderr.contains("no node's identity") && !Path::new(&nowhere).exists(), "{}", refused.stderr);
}
