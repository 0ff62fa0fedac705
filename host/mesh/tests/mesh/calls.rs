//! What a call promises: its size, its once, its company.

use std::time::Duration;

use akita_mesh::{CallError, MAX_BODY};

use crate::support::{Node, PATIENCE, Server, connecting, listening, reversed};

async fn pair() -> (Node, Server) {
    let server = Node::start(listening()).await.serve();
    let mut client = Node::start(connecting(&[server.mesh.local_addrs()[0]])).await;
    client.hears(server.id()).await;
    (client, server)
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_size_arrive_whole_both_ways() {
    let (client, server) = pair().await;
    for len in
        [0, 1, 16, 350, 390, 391, 431, 1_000, 65_000, 65_400, 65_500, 66_000, 1_000_000, 1_048_600, 3_000_000, MAX_BODY]
    {
        let body = noise(len);
        assert_eq!(client.call(server.id(), &body).await, reversed(&body), "{len} bytes");
    }
    let over = client.mesh.call(server.id(), vec![0; MAX_BODY + 1], PATIENCE).await;
    assert_eq!(over, Err(CallError::TooLarge { size: MAX_BODY + 1, limit: MAX_BODY }));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_look_like_messagepack_arrive_untouched() {
    let (client, server) = pair().await;
    for body in
        [&[0xc0][..], &[0x93, 1, 2, 3], &[0xc4, 1, 9], &[0xcd, 0, 1], &[0x81, 0xa1, 0x61, 0xcf, 0, 0, 0, 0, 0, 0, 0, 1]]
    {
        assert_eq!(client.call(server.id(), body).await, reversed(body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_get_their_own_answers_and_run_once() {
    let (client, server) = pair().await;
    let calls: Vec<_> = (0..2_000_u32)
        .map(|n| {
            let (mesh, peer) = (client.mesh.clone(), server.id());
            tokio::spawn(async move {
                let body = n.to_be_bytes().repeat(1 + n as usize % 50);
                assert_eq!(mesh.call(peer, body.clone(), PATIENCE).await.unwrap(), reversed(&body));
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(server.stop().await, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_and_small_ones_go_side_by_side() {
    let (client, server) = pair().await;
    let large: Vec<_> = (0..4)
        .map(|n| {
            let (mesh, peer) = (client.mesh.clone(), server.id());
            tokio::spawn(async move {
                let body = noise(500_000 + n);
                assert_eq!(mesh.call(peer, body.clone(), PATIENCE).await.unwrap(), reversed(&body));
            })
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(client.call(server.id(), b"small").await, b"llams");
    }
    for call in large {
        call.await.unwrap();
    }
    assert_eq!(server.stop().await, 54);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_longer_than_a_retry_runs_once() {
    let mut server = Node::start(listening()).await;
    let mut client = Node::start(connecting(&[server.address()])).await;
    client.hears(server.id()).await;
    let (mesh, peer) = (client.mesh.clone(), server.id());
    let call = tokio::spawn(async move { mesh.call(peer, b"long".to_vec(), PATIENCE).await });
    let request = server.request().await;
    // Past the first retry at two seconds and the window in which the library takes a response.
    let second = tokio::time::timeout(Duration::from_secs(6), server.request()).await;
    assert!(second.is_err(), "it ran twice");
    request.respond(b"done".to_vec());
    assert_eq!(call.await.unwrap(), Ok(b"done".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_dropped_unanswered_leaves_the_caller_to_its_deadline() {
    let mut server = Node::start(listening()).await;
    let mut client = Node::start(connecting(&[server.address()])).await;
    client.hears(server.id()).await;
    let (mesh, peer) = (client.mesh.clone(), server.id());
    let call = tokio::spawn(async move { mesh.call(peer, b"nothing".to_vec(), Duration::from_secs(3)).await });
    drop(server.request().await);
    assert_eq!(call.await.unwrap(), Err(CallError::Timeout));
    assert!(tokio::time::timeout(Duration::from_millis(10), server.request()).await.is_err(), "it ran twice");
}
