//! The server over real connections: binding, keeping alive, limits and the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use super::{ID, config};
use crate::api::{BindError, bind, router, serve};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longer than anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    cancel: CancellationToken,
    serving: JoinHandle<()>,
}

async fn start(fake: Fake) -> Server {
    let listener = bind(LOCAL, 0).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, router(fake, config()), cancel.clone()));
    Server { address, cancel, serving }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    async fn ended(self) {
        timeout(DEADLINE, self.serving).await.expect("it ends in time").expect("it does not panic");
    }
}

/// Reads until the text holds `end`, or the connection is closed.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut buffer = [0; 4_096];
        while !String::from_utf8_lossy(&text).contains(end) {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text.extend_from_slice(&buffer[..count]),
            }
        }
    };
    timeout(DEADLINE, reading).await.expect("it answers in time");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_connection_is_kept_for_many_requests_and_closed_at_the_end() {
    let server = start(Fake::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let answer = read_until(&mut stream, "}").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
    }
    server.cancel.cancel();
    assert_eq!(read_until(&mut stream, "never").await, "", "an idle connection is closed");
    let address = server.address;
    server.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_long_poll_is_answered_when_the_node_stops() {
    let (fake, begun) = (Fake::default(), Arc::new(Notify::new()));
    fake.set(|inner| inner.endless = Some(Arc::clone(&begun)));
    let server = start(fake).await;
    let mut stream = server.connect().await;
    let request = format!("GET /tasks/{ID}?wait=60 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    timeout(DEADLINE, begun.notified()).await.expect("the poll begins");
    server.cancel.cancel();
    let answer = read_until(&mut stream, "never").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(ID), "{answer}");
    server.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_given_up() {
    let server = start(Fake::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: loc").await.expect("sent");
    // Paused time runs on as soon as nothing else can: the wait below is not a real one.
    let mut text = Vec::new();
    timeout(Duration::from_secs(300), stream.read_to_end(&mut text)).await.expect("closed").expect("in order");
    assert!(text.is_empty() || text.starts_with(b"HTTP/1.1 408"), "{text:?}");
    server.cancel.cancel();
    server.ended().await;
}

#[tokio::test]
async fn a_refused_large_body_is_answered_and_not_cut_off() {
    let server = start(Fake::default()).await;
    let mut stream = server.connect().await;
    let body = vec![b' '; 3 << 20];
    let head = format!("POST /tasks/submit HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&body).await.expect("the server reads on");
    let answer = read_until(&mut stream, "request_id").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn garbage_gets_an_answer_or_nothing_and_hurts_nobody() {
    let server = start(Fake::default()).await;
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[b'A'; 100_000]]
    {
        let mut stream = server.connect().await;
        // The server may hang up before it has all of it.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let answer = read_until(&mut stream, "never").await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut stream = server.connect().await;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_taken_port_and_a_foreign_address_are_told_with_a_hint() {
    let held = bind(LOCAL, 0).await.expect("a free port");
    let port = held.local_addr().expect("an address").port();
    let error = bind(LOCAL, port).await.expect_err("it is taken");
    assert!(matches!(error, BindError::Taken { .. }));
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port} for the API: the port is taken"));
    assert!(error.hint().contains("--api-port"));
    // TEST-NET-1, which no machine has.
    let error = bind([192, 0, 2, 1].into(), 0).await.expect_err("it is not ours");
    assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
}
