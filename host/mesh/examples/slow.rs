//! What two nodes need to meet and call each other over a radio-like wire: seconds and bytes.
//!
//! `cargo run -p akita-mesh --example slow -- [BITS_PER_SECOND LATENCY_MS LOSS_PERCENT SEED]`

use std::time::{Duration, Instant};

use akita_mesh::memory::{Port, Shape, pair};
use akita_mesh::{Event, Identity, Interfaces, Mesh, MeshConfig, Tuning};
use tokio::sync::mpsc::UnboundedReceiver;

async fn start(name: &str, port: Port) -> (Mesh, UnboundedReceiver<Event>) {
    let config = MeshConfig {
        identity: Identity::generate(),
        interfaces: Interfaces::Memory(port),
        state_dir: std::env::temp_dir().join(format!("akita-slow-{}-{name}", std::process::id())),
        announce_interval: Duration::from_secs(900),
        tuning: Tuning::default(),
    };
    let (mesh, events) = Mesh::start(config).await.expect("the mesh starts");
    mesh.announce(vec![7; 100]).expect("it announces");
    (mesh, events)
}

#[tokio::main]
async fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|n| n.parse().expect("a number")).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let shape = Shape {
        bits_per_second: Some(number(0, 1_200)),
        latency: Duration::from_millis(number(1, 2_000)),
        loss: number(2, 5) as f64 / 100.0,
        seed: number(3, 1),
    };
    println!("{shape:?}");
    let (a, b) = pair(shape);
    let began = Instant::now();
    let (server, mut at_server) = start("server", a).await;
    let (client, mut at_client) = start("client", b.clone()).await;
    while !matches!(at_client.recv().await.expect("the mesh runs"), Event::Announced { .. }) {}
    let report = |what: &str| {
        let (sent, received) = (b.sent_bytes(), b.received_bytes());
        println!("{:6.1} s {what}: {sent} B sent, {received} B received so far", began.elapsed().as_secs_f64());
    };
    report("heard");
    tokio::spawn(async move {
        while let Some(event) = at_server.recv().await {
            if let Event::Request(mut request) = event {
                let body = std::mem::take(&mut request.body);
                request.respond(body);
            }
        }
    });
    for size in [100, 100, 300, 1_000] {
        let answer = client.call(server.id(), vec![1; size], Duration::from_secs(600)).await;
        report(&format!("call of {size} B, {:?} B back", answer.map(|bytes| bytes.len())));
    }
    println!("{:?}", client.peer(server.id()).map(|info| (info.rtt, info.slow)));
}
