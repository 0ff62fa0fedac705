//! Two complete nodes on a wire that is slow, late and loses frames. The wire is ten times faster than the radio it
//! stands for, so that the test ends soon; `AKITA_E2E_LINK=1200,2000,0.05` (bit/s, latency in milliseconds, loss) takes
//! the radio itself, and the test then prints the numbers of docs/protocol.md.

use std::{
    env,
    time::{Duration, Instant},
};

use akita::{
    config::Settings,
    daemon::Embedded,
    reading::Reading,
    view::{NewTask, TaskView},
};
use akita_core::TaskId;
use akita_mesh::{
    Interfaces,
    memory::{Port, Shape, pair},
};
use tempfile::TempDir;

use crate::prepare::{plugins, seed_compiled};

/// For everything together, on the real radio and with bad luck.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// Tasks whose bytes are counted.
const TASKS: u64 = 5;
/// A tenth of the radio that nodes must work over.
const SHAPE: Shape = Shape { bits_per_second: Some(12_000), latency: Duration::from_millis(200), loss: 0.05, seed: 2 };

fn shape() -> Shape {
    let Ok(text) = env::var("AKITA_E2E_LINK") else { return SHAPE };
    let numbers: Vec<f64> = text.split(',').map(|word| word.parse().expect("bit/s,milliseconds,loss")).collect();
    let [bits, latency, loss] = numbers[..] else { panic!("AKITA_E2E_LINK is bit/s,milliseconds,loss") };
    let latency = Duration::from_secs_f64(latency / 1000.0);
    Shape { bits_per_second: Some(bits as u64), latency, loss, ..SHAPE }
}

/// What crossed the wire so far, in both directions.
#[derive(Clone, Copy)]
struct Crossed {
    bytes: u64,
    at: Instant,
}

impl Crossed {
    fn now(port: &Port) -> Crossed {
        Crossed { bytes: port.sent_bytes() + port.received_bytes(), at: Instant::now() }
    }

    fn tell(self, what: &str, since: Crossed) {
        let (bytes, time) = (self.bytes - since.bytes, self.at.duration_since(since.at));
        eprintln!("{what}: {bytes} bytes, {:.1} s", time.as_secs_f64());
    }
}

async fn start(name: &str, capability: &str, port: Port) -> (Embedded, TempDir) {
    let dir = tempfile::tempdir().expect("a folder for the node");
    let data = dir.path().join("data");
    let seeded = data.clone();
    tokio::task::spawn_blocking(move || seed_compiled(&seeded)).await.expect("compiled plugins");
    let mut settings = Settings::for_test(&data);
    settings.node_name = name.to_owned();
    settings.capabilities = vec![capability.to_owned()];
    settings.plugins_dir = plugins();
    settings.api_server = false;
    settings.log_level = tracing::Level::ERROR;
    (Embedded::start(settings, Interfaces::Memory(port)).await.expect("the node starts"), dir)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An echo of 100 bytes for the node with that capability.
fn task(capability: &str, n: u64) -> NewTask {
    let input = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(83));
    assert_eq!(input.len(), 100);
    NewTask {
        action: "basics/echo".into(),
        required: vec![capability.to_owned()],
        priority: 10,
        timeout_ms: None,
        content_type: "application/json".into(),
        input: input.into_bytes(),
        deterministic: false,
        island: false,
    }
}

async fn run(on: &Embedded, task: NewTask) -> TaskView {
    let sent = on.node().submit(vec![task], None).await.expect("it is accepted");
    let id: TaskId = sent[0].task_id.parse().expect("an id");
    let mut last = None;
    until("the result", async || {
        last = on.node().task(id, Duration::from_secs(5), Reading::default()).await.ok().flatten();
        last.as_ref().is_some_and(|view| view.status == "completed" || view.status == "failed")
    })
    .await;
    last.expect("found")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_meet_over_a_slow_lossy_link_and_a_task_runs_on_the_other_side() {
    let (left_port, right_port) = pair(shape());
    let wire = left_port.clone();
    let begun = Crossed::now(&wire);
    let (left, _left_dir) = start("left", "on-the-left", left_port).await;
    let (right, _right_dir) = start("right", "on-the-right", right_port).await;
    let (a, b) = (left.node(), right.node());
    until("one cluster", async || a.cluster.leads() != b.cluster.leads()).await;
    Crossed::now(&wire).tell("one cluster", begun);
    let (leader, worker, far) =
        if a.cluster.leads() { (&left, &right, "on-the-right") } else { (&right, &left, "on-the-left") };
    until("a worker that is ready", async || {
        let view = leader.node().cluster_view(Reading::default()).await.expect("a view");
        view.nodes.len() == 2 && view.nodes.iter().all(|node| node.status == "online" && !node.actions.is_empty())
    })
    .await;
    let met = Crossed::now(&wire);
    met.tell("met, from start to a worker that is ready", begun);

    for n in 0..TASKS {
        let before = Crossed::now(&wire);
        let view = run(leader, task(far, n)).await;
        assert_eq!(view.status, "completed", "{view:?}");
        assert_eq!(view.worker_id, Some(worker.node().me.to_string()));
        assert_eq!(view.result.as_ref().map(|result| &result["n"]), Some(&n.into()), "{view:?}");
        Crossed::now(&wire).tell("a task of 100 bytes from the leader", before);
    }
    // And from the worker: it travels to the leader, back, and its result both ways.
    let before = Crossed::now(&wire);
    let view = run(worker, task(far, 7)).await;
    assert_eq!(view.status, "completed", "{view:?}");
    Crossed::now(&wire).tell("a task of 100 bytes from the worker", before);
    // The worker first: it takes its leave of the leader.
    let (first, second) = if worker.node().me == left.node().me { (left, right) } else { (right, left) };
    first.stop().await.and(second.stop().await).expect("both stop in order");
}
