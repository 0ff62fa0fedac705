//! Nodes on a wire that is slow, late and loses frames.

use std::time::Duration;

use akita_mesh::memory::{Shape, pair};
use akita_mesh::{CallError, Interfaces};

use crate::support::{Node, PATIENCE, reversed};

#[tokio::test(flavor = "multi_thread")]
async fn a_perfect_wire_counts_every_byte() {
    let (a, b) = pair(Shape::perfect());
    let server = Node::start(Interfaces::Memory(a)).await.serve();
    let mut client = Node::start(Interfaces::Memory(b.clone())).await;
    client.hears(server.id()).await;
    assert_eq!(client.call(server.id(), b"abc").await, b"cba");
    let before = client.mesh.wire_bytes();
    assert_eq!(client.call(server.id(), &[1; 100]).await, [1; 100]);
    let after = client.mesh.wire_bytes();
    assert_eq!((after.sent - before.sent, after.received - before.received), (211, 211), "as measured for 100 bytes");
    assert_eq!(after.sent, b.sent_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_lossy_wire_carries_announce_link_and_calls() {
    let shape = Shape { bits_per_second: Some(12_000), latency: Duration::from_millis(200), loss: 0.05, seed: 5 };
    let (a, b) = pair(shape);
    let server = Node::start(Interfaces::Memory(a)).await.serve();
    let client = Node::start(Interfaces::Memory(b)).await;
    for n in 0..10_u8 {
        let body = vec![n; 100];
        assert_eq!(client.call(server.id(), &body).await, reversed(&body));
    }
    assert!(client.mesh.peer(server.id()).unwrap().slow);
    let large = vec![7; 3_000];
    assert_eq!(client.call(server.id(), &large).await, large);
    assert_eq!(server.stop().await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_slow_only_while_it_came_up_is_not_taken_for_slow() {
    let (a, b) = pair(Shape { latency: Duration::from_millis(700), ..Shape::perfect() });
    let server = Node::start(Interfaces::Memory(a)).await.serve();
    let client = Node::start(Interfaces::Memory(b.clone())).await;
    assert_eq!(client.call(server.id(), b"ab").await, b"ba");
    let known = client.mesh.peer(server.id()).unwrap();
    assert!(known.slow && known.rtt > Some(Duration::from_secs(1)), "{known:?}");
    // As where two machines that have just started were busy.
    b.set_latency(Duration::ZERO);
    let measured = async {
        while client.mesh.peer(server.id()).unwrap().slow {
            assert_eq!(client.call(server.id(), b"cd").await, b"dc");
        }
    };
    tokio::time::timeout(PATIENCE, measured).await.expect("it is seen to be fast");
    assert!(client.mesh.peer(server.id()).unwrap().rtt < Some(Duration::from_secs(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_of_the_frames_lost_is_not_too_many() {
    let (a, b) = pair(Shape { loss: 0.2, seed: 11, ..Shape::perfect() });
    let server = Node::start(Interfaces::Memory(a)).await.serve();
    let client = Node::start(Interfaces::Memory(b)).await;
    let mut calls = Vec::new();
    for n in 0..20_u8 {
        let (mesh, peer) = (client.mesh.clone(), server.id());
        calls.push(tokio::spawn(async move { mesh.call(peer, vec![n; 3], PATIENCE).await }));
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), Ok(vec![n as u8; 3]));
    }
    assert_eq!(server.stop().await, 20, "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_wire_is_noticed_and_a_mended_one_used_again() {
    let (a, b) = pair(Shape::perfect());
    let server = Node::start(Interfaces::Memory(a)).await.serve();
    let mut client = Node::start(Interfaces::Memory(b.clone())).await;
    assert_eq!(client.call(server.id(), b"ab").await, b"ba");
    b.cut();
    let failed = client.mesh.call(server.id(), b"lost".to_vec(), Duration::from_millis(100)).await;
    assert_eq!(failed, Err(CallError::Timeout));
    client.disconnected(server.id()).await;
    b.restore();
    assert_eq!(client.call(server.id(), b"cd").await, b"dc");
    client.connected(server.id()).await;
}
