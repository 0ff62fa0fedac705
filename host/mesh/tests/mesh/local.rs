//! Nodes of one machine without any setting.

use akita_mesh::{Identity, Interfaces, Tuning};

use crate::support::{Node, free_port};

/// The machine that tests run on may have a Reticulum configuration, which comes first.
fn has_reticulum() -> bool {
    let places = [Some("/etc/reticulum".into()), std::env::var("HOME").ok().map(|home| format!("{home}/.reticulum"))];
    places.iter().flatten().any(|place| std::path::Path::new(place).join("config").exists())
        || std::net::TcpStream::connect("127.0.0.1:37428").is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_machine_meet_by_themselves_and_again_when_the_first_is_gone() {
    if has_reticulum() {
        return;
    }
    let tuning = Tuning { local_port: free_port(), ..Tuning::default() };
    let start = || Node::try_start(Identity::generate(), Interfaces::Default, tuning.clone());
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(start().await.unwrap());
    }
    let (first, mut second, third) = (nodes.remove(0), nodes.remove(0), nodes.remove(0).serve());
    second.hears(first.id()).await;
    second.hears(third.id()).await;
    assert_eq!(second.call(third.id(), b"ab").await, b"ba");

    // The meeting point goes; the two that are left find each other again.
    first.mesh.shutdown().await;
    while second.hears(third.id()).await.is_empty() {}
    assert_eq!(second.call(third.id(), b"cd").await, b"dc");

    let fourth = start().await.unwrap().serve();
    second.hears(fourth.id()).await;
    assert_eq!(second.call(fourth.id(), b"ef").await, b"fe");
}
