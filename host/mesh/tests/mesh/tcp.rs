//! Nodes that find each other over TCP, lose each other and come back.

use std::time::Duration;

use akita_mesh::{CallError, Identity, Interfaces, MAX_ANNOUNCE, MeshError, Tuning};

use crate::support::{Node, PATIENCE, connecting, eventually, free_port, listening};

/// The library itself gives up a link over two hops after half a minute.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_find_each_other_and_call_both_ways_over_one_link() {
    let mut left = Node::start(listening()).await;
    let mut right = Node::start(connecting(&[left.address()])).await;
    assert_eq!(left.hears(right.id()).await, format!("I am {}", right.id()).into_bytes());
    assert_eq!(right.hears(left.id()).await, format!("I am {}", left.id()).into_bytes());
    assert_eq!(left.mesh.peer_public_key(right.id()), Some(right.mesh.public_key()));
    let (left_id, right_id) = (left.id(), right.id());

    let call = tokio::spawn({
        let mesh = right.mesh.clone();
        async move { mesh.call(left_id, b"question".to_vec(), PATIENCE).await }
    });
    let request = left.request().await;
    assert_eq!((request.peer, request.body.as_slice()), (right_id, &b"question"[..]));
    request.respond(b"answer".to_vec());
    assert_eq!(call.await.unwrap(), Ok(b"answer".to_vec()));
    right.connected(left_id).await;

    // The same link, the other way round.
    let call = tokio::spawn({
        let mesh = left.mesh.clone();
        async move { mesh.call(right_id, b"back".to_vec(), PATIENCE).await }
    });
    right.request().await.respond(b"and forth".to_vec());
    assert_eq!(call.await.unwrap(), Ok(b"and forth".to_vec()));

    let info = left.mesh.peer(right_id).unwrap();
    assert!(info.connected && !info.slow, "{info:?}");
    assert!(info.rtt.is_some() && info.last_heard.is_some() && info.hops == Some(1), "{info:?}");
    assert_eq!(left.mesh.peers().len(), 1, "never itself");

    right.mesh.shutdown().await;
    left.disconnected(right_id).await;
    assert!(!left.mesh.peer(right_id).unwrap().connected);
    assert_eq!(right.mesh.call(left_id, Vec::new(), PATIENCE).await, Err(CallError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_started_before_its_peer_finds_it_later_and_again_after_a_restart() {
    let port = free_port();
    let address = ([127, 0, 0, 1], port).into();
    let mut client = Node::start(connecting(&[address])).await;
    let listen = || Interfaces::Direct { listen: vec![format!("127.0.0.1:{port}")], peers: Vec::new() };
    let identity = Identity::generate();

    for round in 0..2 {
        let server = Node::start_as(identity.clone(), listen()).await.serve();
        client.hears(server.id()).await;
        assert_eq!(client.call(server.id(), b"abc").await, b"cba", "round {round}");
        client.connected(server.id()).await;
        server.stop().await;
        client.disconnected(identity.id()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_only_share_a_hub_reach_each_other_through_it() {
    let hub = Node::start(listening()).await;
    let mut left = Node::start(connecting(&[hub.address()])).await;
    let right = Node::start(connecting(&[hub.address()])).await.serve();
    left.hears(right.id()).await;
    assert_eq!(left.call(right.id(), b"through the hub").await, b"buh eht hguorht");
    assert_eq!(left.mesh.peer(right.id()).unwrap().hops, Some(2));
    let id = right.id();
    right.stop().await;
    left.disconnected(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_from_both_ends_at_the_same_moment_settle_on_one_link() {
    let mut left = Node::start(listening()).await;
    let mut right = Node::start(connecting(&[left.address()])).await;
    left.hears(right.id()).await;
    right.hears(left.id()).await;
    let (left, right) = (left.serve(), right.serve());
    for _ in 0..3 {
        let there = left.mesh.call(right.id(), b"there".to_vec(), PATIENCE);
        let back = right.mesh.call(left.id(), b"back".to_vec(), PATIENCE);
        let (there, back) = tokio::join!(there, back);
        assert_eq!((there.unwrap(), back.unwrap()), (b"ereht".to_vec(), b"kcab".to_vec()));
    }
    assert_eq!((left.stop().await, right.stop().await), (3, 3), "each request ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_nobody_knows_is_unreachable() {
    let node = Node::start(listening()).await;
    let stranger = Identity::generate().id();
    let called = node.mesh.call(stranger, b"anybody?".to_vec(), Duration::from_millis(300)).await;
    assert_eq!(called, Err(CallError::Unreachable));
    assert_eq!(node.mesh.call(node.id(), Vec::new(), PATIENCE).await, Err(CallError::Unreachable), "nor is it itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnecting_fails_what_waits_and_the_next_call_connects_again() {
    let mut left = Node::start(listening()).await;
    let mut right = Node::start(connecting(&[left.address()])).await;
    right.hears(left.id()).await;
    let (mesh, peer) = (right.mesh.clone(), left.id());
    let call = tokio::spawn(async move { mesh.call(peer, b"wait".to_vec(), PATIENCE).await });
    let request = left.request().await;
    right.mesh.disconnect(left.id());
    assert_eq!(call.await.unwrap(), Err(CallError::Disconnected));
    left.disconnected(right.id()).await;
    drop(request);

    let left = left.serve();
    assert_eq!(right.call(left.id(), b"ab").await, b"ba");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_and_one_that_is_none_are_refused() {
    let first = Node::start(listening()).await;
    let taken = Interfaces::Direct { listen: vec![first.address().to_string()], peers: Vec::new() };
    let error = Node::try_start(Identity::generate(), taken, Tuning::default()).await.err().unwrap().to_string();
    assert!(error.contains(&format!("cannot listen on {}", first.address())), "{error}");

    for wrong in ["nowhere", ":4242", "host:port", "host:70000"] {
        let peers = Interfaces::Direct { listen: Vec::new(), peers: vec![wrong.into()] };
        let error = Node::try_start(Identity::generate(), peers, Tuning::default()).await.err().unwrap().to_string();
        assert!(error.contains("host:port"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_announce_replaces_the_old_one_and_one_too_large_is_refused() {
    let mut left = Node::start(listening()).await;
    let mut right = Node::start(connecting(&[left.address()])).await;
    left.hears(right.id()).await;
    for _ in 0..5 {
        right.mesh.announce(b"almost".to_vec()).unwrap();
    }
    right.mesh.announce(vec![7; MAX_ANNOUNCE]).unwrap();
    while left.hears(right.id()).await != vec![7; MAX_ANNOUNCE] {}
    assert_eq!(left.mesh.peer(right.id()).unwrap().app_data, Some(vec![7; MAX_ANNOUNCE]));
    let refused = right.mesh.announce(vec![7; MAX_ANNOUNCE + 1]);
    assert!(matches!(refused, Err(MeshError::AnnounceTooLarge(301))), "{refused:?}");
    right.hears(left.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wire_bytes_are_counted() {
    let left = Node::start(listening()).await.serve();
    let mut right = Node::start(connecting(&[left.mesh.local_addrs()[0]])).await;
    right.hears(left.id()).await;
    right.call(left.id(), &[1; 10_000]).await;
    eventually("the counters", || right.mesh.wire_bytes().sent > 10_000 && left.mesh.wire_bytes().received > 10_000)
        .await;
    assert!(right.mesh.describe().contains("1 peer") && left.mesh.describe().contains("tcp 127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_on_a_hub_that_start_together_all_hear_each_other() {
    let hub = Node::start(listening()).await;
    let mut nodes = Vec::new();
    for _ in 0..8 {
        nodes.push(Node::start(connecting(&[hub.address()])).await);
    }
    for node in &nodes {
        eventually("everybody", || node.mesh.peers().iter().filter(|info| info.app_data.is_some()).count() == 8).await;
    }
    let (first, last) = (nodes.remove(0), nodes.pop().unwrap().serve());
    assert_eq!(first.call(last.id(), b"far").await, b"raf");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_through_a_hub_that_is_gone_is_left_for_another() {
    for (gone, called) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut hubs = vec![Node::start(listening()).await, Node::start(listening()).await];
        let both = [hubs[0].address(), hubs[1].address()];
        let mut left = Node::start(connecting(&both)).await;
        let right = Node::start(connecting(&both)).await.serve();
        left.hears(right.id()).await;
        if called {
            assert_eq!(left.call(right.id(), b"over one of them").await, b"meht fo eno revo");
        }
        hubs.remove(gone).mesh.shutdown().await;
        let answer = left.mesh.call(right.id(), b"over the other".to_vec(), SOON).await;
        assert_eq!(answer.as_deref(), Ok(&b"rehto eht revo"[..]), "hub {gone} is gone, with a link before: {called}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_breaks_behind_a_hub_is_left_for_another() {
    for gone in 0..2 {
        let mut far = vec![Node::start(listening()).await, Node::start(listening()).await];
        let both = [far[0].address(), far[1].address()];
        let near = Interfaces::Direct {
            listen: vec!["127.0.0.1:0".into()],
            peers: both.iter().map(ToString::to_string).collect(),
        };
        let near = Node::start(near).await;
        let mut left = Node::start(connecting(&[near.address()])).await;
        let right = Node::start(connecting(&both)).await.serve();
        left.hears(right.id()).await;
        // Nothing tells this node that the way it knows is none any more.
        far.remove(gone).mesh.shutdown().await;
        let answer = left.mesh.call(right.id(), b"over the other".to_vec(), SOON).await;
        assert_eq!(answer.as_deref(), Ok(&b"rehto eht revo"[..]), "far hub {gone} is gone");
    }
}
