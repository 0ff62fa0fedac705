//! How fast two nodes find and call each other over TCP on this machine.
//!
//! `cargo run --release -p akita-mesh --example ping`

use std::time::{Duration, Instant};

use akita_mesh::{Event, Identity, Interfaces, MAX_BODY, Mesh, MeshConfig, Tuning};
use tokio::sync::mpsc::UnboundedReceiver;

const DEADLINE: Duration = Duration::from_secs(30);

async fn start(name: &str, interfaces: Interfaces) -> (Mesh, UnboundedReceiver<Event>) {
    let config = MeshConfig {
        identity: Identity::generate(),
        interfaces,
        state_dir: std::env::temp_dir().join(format!("akita-ping-{}-{name}", std::process::id())),
        announce_interval: Duration::from_secs(60),
        tuning: Tuning::default(),
    };
    let (mesh, events) = Mesh::start(config).await.expect("the mesh starts");
    mesh.announce(vec![7; 100]).expect("it announces");
    (mesh, events)
}

async fn hear(events: &mut UnboundedReceiver<Event>) {
    while !matches!(events.recv().await.expect("the mesh runs"), Event::Announced { .. }) {}
}

#[tokio::main]
async fn main() {
    let (server, mut at_server) =
        start("server", Interfaces::Direct { listen: vec!["127.0.0.1:0".into()], peers: vec![] }).await;
    // The server has announced itself to nobody; now the newcomer comes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    let peers = vec![server.local_addrs()[0].to_string()];
    let (client, mut at_client) = start("client", Interfaces::Direct { listen: vec![], peers }).await;
    hear(&mut at_client).await;
    let by_client = began.elapsed();
    hear(&mut at_server).await;
    println!("discovery: newcomer hears after {by_client:.1?}, is heard after {:.1?}", began.elapsed());

    tokio::spawn(async move {
        while let Some(event) = at_server.recv().await {
            if let Event::Request(mut request) = event {
                let body = std::mem::take(&mut request.body);
                request.respond(body);
            }
        }
    });
    let peer = server.id();
    let began = Instant::now();
    client.call(peer, vec![1; 100], DEADLINE).await.expect("an answer");
    println!("first call, with its link: {:.2?}", began.elapsed());

    let mut times = Vec::new();
    for _ in 0..5_000 {
        let began = Instant::now();
        client.call(peer, vec![1; 100], DEADLINE).await.expect("an answer");
        times.push(began.elapsed());
    }
    times.sort();
    println!("one at a time, 100 B: p50 {:.0?}, p99 {:.0?}", times[2_500], times[4_950]);

    for tasks in [16, 256, 2_048] {
        let total = 40_000;
        let began = Instant::now();
        let running: Vec<_> = (0..tasks)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    for _ in 0..total / tasks {
                        client.call(peer, vec![1; 100], DEADLINE).await.expect("an answer");
                    }
                })
            })
            .collect();
        for task in running {
            task.await.expect("it ran");
        }
        println!("{tasks} at once, 100 B: {:.0} calls/s", f64::from(total) / began.elapsed().as_secs_f64());
    }

    for size in [60_000, 1_000_000, MAX_BODY] {
        let began = Instant::now();
        client.call(peer, vec![1; size], DEADLINE).await.expect("an answer");
        let seconds = began.elapsed().as_secs_f64();
        println!("{size} B there and back: {:.0} ms, {:.0} MB/s", seconds * 1e3, 2.0 * size as f64 / seconds / 1e6);
    }
    let began = Instant::now();
    client.shutdown().await;
    server.shutdown().await;
    println!("shutdown of both: {:.0?}", began.elapsed());
}
