//! Against a server on loopback that counts who comes.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A server that answers each connection with these bytes, and remembers what was asked.
struct Server {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
    asked: Arc<std::sync::Mutex<String>>,
}

impl Server {
    async fn answering(answer: impl Into<Vec<u8>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (answer, came, asked) = (answer.into(), Arc::new(AtomicUsize::new(0)), Arc::default());
        let server = Server { address: listener.local_addr().expect("an address"), came, asked };
        let (came, asked) = (Arc::clone(&server.came), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                came.fetch_add(1, Ordering::Relaxed);
                let mut buffer = vec![0; 4_096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                *asked.lock().expect("not poisoned") = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let _ = stream.write_all(&answer).await;
                // Held open, as a server does that has more to say.
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 1]).await;
                });
            }
        });
        server
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

async fn get(uri: &str, hosts: &[&str], timeouts: HttpTimeouts) -> Result<(u16, Bytes), HttpFailure> {
    let hosts: Vec<HostEntry> = hosts.iter().map(|host| HostEntry::parse(host).expect("a host")).collect();
    let http = PluginHttp::new("test".into(), hosts.into(), 1_000);
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder().uri(uri).header("connection", "upgrade").body(body).expect("a request");
    let response = http.send(request, timeouts).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_named_address_is_reached_with_the_hosts_own_headers() {
    let server = Server::answering(OK).await;
    let (port, none) = (server.address.port(), HttpTimeouts::default());
    let named = format!("127.0.0.1:{port}");
    let (status, body) = get(&format!("http://127.0.0.1:{port}/a?b=c"), &[&named], none).await.expect("an answer");
    assert_eq!((status, body.as_ref()), (200, b"hello".as_slice()));
    let asked = server.asked.lock().expect("not poisoned").to_ascii_lowercase();
    assert!(asked.starts_with("get /a?b=c http/1.1\r\n") && asked.contains(&format!("host: {named}\r\n")), "{asked}");
    assert!(asked.contains("user-agent: akita/") && !asked.contains("upgrade"), "{asked}");
    let local = format!("localhost:{port}");
    assert!(get(&format!("http://LOCALHOST:{port}/"), &[&local], none).await.is_ok());
}

#[tokio::test]
async fn nothing_is_sent_where_it_may_not_go() {
    let server = Server::answering(OK).await;
    let (port, none) = (server.address.port(), HttpTimeouts::default());
    let any = format!("*:{port}");
    for (uri, hosts) in [
        (format!("http://127.0.0.1:{port}/"), vec![]),
        (format!("http://127.0.0.1:{port}/"), vec!["127.0.0.1"]),
        (format!("http://127.0.0.1:{port}/"), vec![any.as_str()]),
        (format!("http://localhost:{port}/"), vec![any.as_str()]),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), vec![any.as_str()]),
        (format!("http://0.0.0.0:{port}/"), vec![any.as_str()]),
        (format!("http://127.1:{port}/"), vec![any.as_str()]),
        (format!("http://2130706433:{port}/"), vec![any.as_str()]),
        (format!("http://api.example.org@127.0.0.1:{port}/"), vec!["api.example.org", any.as_str()]),
        (format!("ftp://127.0.0.1:{port}/"), vec![any.as_str()]),
    ] {
        let failure = get(&uri, &hosts, none).await.expect_err("it is denied");
        assert!(matches!(failure, HttpFailure::Denied(_)), "{uri} {hosts:?}: {failure}");
    }
    assert_eq!(server.came(), 0);
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_silence_and_has_to_be_http() {
    let short = HttpTimeouts {
        first_byte: Some(Duration::from_millis(200)),
        between_bytes: Some(Duration::from_millis(200)),
        ..HttpTimeouts::default()
    };
    let ask = async |answer: String| {
        let server = Server::answering(answer).await;
        let named = server.address.to_string();
        get(&format!("http://{named}/"), &[&named], short).await
    };
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1_001));
    assert_eq!(ask(large).await, Err(HttpFailure::TooLarge(1_000)));
    let most = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1_000));
    assert_eq!(ask(most).await.expect("an answer").1.len(), 1_000);
    assert_eq!(ask("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".into()).await, Err(HttpFailure::Timeout));
    assert_eq!(ask(String::new()).await, Err(HttpFailure::Timeout));
    assert!(matches!(ask("SSH-2.0-x\r\n\r\n".into()).await, Err(HttpFailure::Protocol(_))));
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(ask(redirect.into()).await.expect("an answer").0, 302, "it is not followed");
}
