//! A node that prints what happens, answers every call with the caller's bytes, and calls every peer it hears.
//!
//! `peer [--listen HOST:PORT]... [--peer HOST:PORT]... | --rns-config FOLDER`; nothing: nodes of this machine meet.

use std::time::{Duration, Instant};

use akita_mesh::{Event, Identity, Interfaces, Mesh, MeshConfig, PeerId, Tuning};

fn interfaces() -> Interfaces {
    let (mut listen, mut peers) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let (Some(option), value) = (arguments.next(), arguments.next()) {
        match (option.as_str(), value) {
            ("--listen", Some(address)) => listen.push(address),
            ("--peer", Some(address)) => peers.push(address),
            ("--rns-config", Some(folder)) => return Interfaces::Reticulum(Some(folder.into())),
            (other, _) => panic!("{other} is no option, or has no value"),
        }
    }
    if listen.is_empty() && peers.is_empty() { Interfaces::Default } else { Interfaces::Direct { listen, peers } }
}

async fn greet(mesh: Mesh, peer: PeerId, began: Instant) {
    let asked = Instant::now();
    let answer = mesh.call(peer, b"hello".to_vec(), Duration::from_secs(60)).await;
    let answer = answer.map(|bytes| bytes.len());
    println!("{:.2?} called {peer}: {answer:?} after {:.2?}", began.elapsed(), asked.elapsed());
}

#[tokio::main]
async fn main() {
    let began = Instant::now();
    let state_dir = std::env::temp_dir().join(format!("akita-peer-{}", std::process::id()));
    let config = MeshConfig {
        identity: Identity::generate(),
        interfaces: interfaces(),
        state_dir,
        announce_interval: Duration::from_secs(30),
        tuning: Tuning::default(),
    };
    let (mesh, mut events) = match Mesh::start(config).await {
        Ok(started) => started,
        Err(error) => return eprintln!("{error}"),
    };
    println!("{:.2?} {} on {}", began.elapsed(), mesh.id(), mesh.describe());
    mesh.announce(b"example".to_vec()).expect("it announces");
    loop {
        let event = tokio::select! {
            event = events.recv() => event.expect("the mesh runs"),
            _ = tokio::signal::ctrl_c() => break mesh.shutdown().await,
        };
        let at = began.elapsed();
        match event {
            Event::Announced { peer, hops, .. } => {
                println!("{at:.2?} heard {peer}, {hops} hops away");
                tokio::spawn(greet(mesh.clone(), peer, began));
            }
            Event::Connected { peer } => println!("{at:.2?} connected to {peer}"),
            Event::Disconnected { peer } => println!("{at:.2?} lost {peer}"),
            Event::Request(mut request) => {
                let body = std::mem::take(&mut request.body);
                request.respond(body);
            }
        }
    }
}
