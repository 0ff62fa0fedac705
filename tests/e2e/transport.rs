//! Other ways to each other than our own TCP options: nothing at all, Reticulum configurations, a Python node between.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Spec, TestNode, find, wait_until},
    meeting::wait_until_met,
    prepare::free_address,
};

/// Where nodes of one machine meet when nothing is said.
const MEETING_POINT: &str = "127.0.0.1:24842";

/// A process that ends with this value.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A network of its own, where the meeting point of this machine is taken already: by somebody's own node.
fn own_network() -> (Option<Helper>, Vec<String>) {
    if TcpListener::bind(MEETING_POINT).is_ok() {
        return (None, Vec::new());
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
    let mut holder = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare starts");
    let mut said = [0; 3];
    let up = std::io::Read::read_exact(holder.stdout.as_mut().expect("it was piped"), &mut said);
    up.expect("port 24842 is taken: end the node that runs on this machine, or run this test as root");
    let target = holder.id().to_string();
    (Some(Helper(holder)), ["nsenter", "--target", &target, "--net"].map(str::to_owned).to_vec())
}

fn online(node: &TestNode) -> usize {
    let view: Value = node.cli(&["cluster", "status", "-o", "json"]).expect(0).json();
    let nodes = view["nodes"].as_array().expect("nodes").iter();
    nodes.filter(|node| node["status"] == "online" && node["actions"] != json!([])).count()
}

#[test]
fn two_nodes_of_one_machine_find_each_other_with_no_option_and_again_after_a_kill() {
    let (_network, launcher) = own_network();
    let words: Vec<&str> = launcher.iter().map(String::as_str).collect();
    // A name of their own: whoever else runs a node on this machine is not to be disturbed.
    let cluster = format!("e2e-{}", std::process::id());
    let spec = |name| {
        let quick = Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "3").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "1");
        quick.arg("--cluster-name", &cluster).through(&words)
    };
    let mut first = spec("first").start();
    let second = spec("second").arg("--capabilities", "gpu").start();
    let begun = Instant::now();
    let both = |first: &TestNode, second: &TestNode| {
        wait_until("the two to be one cluster", || online(first) == 2 && online(second) == 2);
        let task = r#"{"action":"echo","n":1}"#;
        first.cli(&["task", "submit", task, "--require", "gpu", "--wait"]).expect(0);
    };
    both(&first, &second);
    eprintln!("met after {} ms", begun.elapsed().as_millis());
    // The first is the meeting point; the other one takes over, and is found there.
    first.kill_9();
    first.start();
    both(&first, &second);
}

/// A Reticulum configuration folder with one interface.
fn config(transport: bool, interface: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let transport = if transport { "yes" } else { "no" };
    let text = format!(
        "[reticulum]\nenable_transport = {transport}\nshare_instance = no\n\n[logging]\nloglevel = 4\n\n\
         [interfaces]\n  [[Only]]\n{interface}\n    enabled = yes\n"
    );
    fs::write(dir.path().join("config"), text).expect("a configuration");
    dir
}

fn server(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("host and port");
    format!("    type = TCPServerInterface\n    listen_ip = {host}\n    listen_port = {port}")
}

fn client(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("host and port");
    format!("    type = TCPClientInterface\n    target_host = {host}\n    target_port = {port}")
}

fn run_tasks_between(alpha: &TestNode, beta: &TestNode) {
    wait_until_met(&[alpha, beta]);
    for node in [alpha, beta] {
        let id = node.submit(&json!({"action": "echo", "from": node.name(), "required_capabilities": ["gpu"]}));
        for reader in [alpha, beta] {
            let done = reader.completed(&id);
            assert_eq!(done["result"], json!({"from": node.name()}));
            assert_eq!(done["worker_id"], beta.id().as_str());
        }
    }
    let long: String = "mesh ".repeat(40_000);
    let id = alpha.submit(&json!({"action": "echo", "input": long, "required_capabilities": ["gpu"]}));
    assert!(alpha.completed(&id)["result"] == long.as_str(), "200 kB came back changed");
    let ids = alpha.submit_all((0..50).map(|n| json!({"action": "echo", "n": n})).collect());
    for id in ids {
        beta.completed(&id);
    }
}

#[test]
fn nodes_meet_by_reticulum_configurations() {
    let address = free_address();
    let (listens, connects) = (config(false, &server(&address)), config(false, &client(&address)));
    let folder = |dir: &TempDir| dir.path().to_string_lossy().into_owned();
    // The one that connects is up before the other listens.
    let mut beta =
        TestNode::prepared(Spec::new("beta").arg("--rns-config", &folder(&connects)).arg("--capabilities", "gpu"));
    beta.spawn();
    let alpha = Spec::new("alpha").arg("--rns-config", &folder(&listens)).start();
    beta.wait_until_running();
    run_tasks_between(&alpha, &beta);
}

/// The Python that has Reticulum's reference implementation.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = env::var_os("AKITA_E2E_PYTHON").map(PathBuf::from);
    let python = given.unwrap_or_else(|| root.join("target/xtask/venv/bin/python"));
    assert!(python.is_file(), "{} is missing: run `cargo xtask setup` first", python.display());
    python
}

const TRANSPORT_NODE: &str = "
import sys, time, RNS
RNS.Reticulum(configdir=sys.argv[1])
print('up', flush=True)
while True:
    time.sleep(60)
";

/// Python's Reticulum as an ordinary transport node that listens on `address`.
fn transport_node(address: &str) -> (Helper, TempDir) {
    let dir = config(true, &server(address));
    let said = dir.path().join("said");
    let out = File::create(&said).expect("a file for its output");
    let mut start = Command::new(python());
    start.args(["-c", TRANSPORT_NODE]).arg(dir.path()).env("HOME", dir.path());
    start.stdin(Stdio::null()).stdout(out.try_clone().expect("a second handle")).stderr(out);
    let mut helper = Helper(start.spawn().expect("Python starts"));
    find("the Python node", || {
        let text = fs::read_to_string(&said).unwrap_or_default();
        assert!(matches!(helper.0.try_wait(), Ok(None)), "the Python node ended:\n{text}");
        text.contains("up").then_some(())
    });
    (helper, dir)
}

#[test]
fn a_python_transport_node_between_two_nodes_carries_their_tasks() {
    let address = free_address();
    let (_python, _dir) = transport_node(&address);
    let config = config(false, &client(&address));
    let alpha = Spec::new("alpha").arg("--mesh-peer", &address).start();
    let beta = Spec::new("beta").arg("--rns-config", &config.path().to_string_lossy());
    let beta = beta.arg("--capabilities", "gpu").start();
    run_tasks_between(&alpha, &beta);
    let view = alpha.get("/cluster/status");
    let hops = view["nodes"].as_array().expect("nodes").iter().map(|node| node["hops"].as_u64().unwrap_or(0)).max();
    assert!(hops >= Some(2), "the way leads over the Python node: {view:#}");
}
