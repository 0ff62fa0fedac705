//! A plugin's requests go where the operator allows and nowhere else, least of all to the node's own API.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{
    harness::{Spec, TestNode, text, wait_until},
    lifecycle::{Bench, put, wait_for},
    prepare::plugins,
};

/// A server that answers `/away` with a redirect to some place, `/large` with much, and all else with a greeting.
struct Server {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Server {
    fn new(away: &str, tls: Option<Arc<ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server { address: listener.local_addr().expect("an address"), came: Arc::default() };
        let (came, away) = (Arc::clone(&server.came), away.to_owned());
        // Ends with the test's process: nobody joins it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                came.fetch_add(1, Ordering::Relaxed);
                let (away, tls) = (away.clone(), tls.clone());
                thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = ServerConnection::new(config).expect("a connection");
                        serve(StreamOwned::new(connection, stream), &away);
                    }
                    None => serve::<TcpStream>(stream, &away),
                });
            }
        });
        server
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve<S: Read + Write>(mut stream: S, away: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let line = String::from_utf8_lossy(&head);
    let answer = match line.split(' ').nth(1) {
        Some("/away") => format!("HTTP/1.1 302 Found\r\nlocation: {away}\r\ncontent-length: 0\r\n\r\n"),
        Some("/large") => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(17 << 20)),
        _ => "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello".to_owned(),
    };
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
}

fn ended(node: &TestNode, url: &str) -> Value {
    node.ended(&node.submit(&json!({"action": "web/request", "url": url, "max_bytes": 100 << 20})))
}

/// The status that the server gave.
#[track_caller]
fn answered(node: &TestNode, url: &str) -> u64 {
    let task = ended(node, url);
    task["result"]["status"].as_u64().unwrap_or_else(|| panic!("{url}: {task:#}"))
}

/// The code of the failure.
#[track_caller]
fn failed(node: &TestNode, url: &str) -> String {
    let task = ended(node, url);
    assert_eq!(task["status"], "failed", "{url}: {task:#}");
    text(&task["error"]["code"])
}

fn grant(hosts: &str) -> String {
    format!("[plugin.web]\ninterfaces = [\"http\"]\n{hosts}\n")
}

#[test]
fn a_plugin_reaches_the_hosts_of_its_grant_and_no_other_by_no_trick() {
    let bench = Bench::new("http-grants");
    let node = &bench.node;
    let api = node.api().to_owned();
    let server = Server::new(&format!("{api}/status"), None);
    let port = server.address.port();
    fs::copy(plugins().join("web.wasm"), bench.path("web.wasm")).expect("copied");
    let blocked = bench.wait_for("web.wasm", "blocked");
    assert!(text(&blocked["hint"]).contains("hosts = ["), "{blocked:#}");

    // The interface alone reaches nobody, and the list says so.
    bench.put("akita-plugins.toml", grant("").as_bytes());
    let ready = bench.wait_for("web.wasm", "ready");
    assert!(text(&ready["reason"]).contains("no host"), "{ready:#}");
    assert!(node.cli(&["plugin", "list"]).expect(0).stdout.contains("hosts = ["));
    assert_eq!(failed(node, &server.url("/")), "host-not-granted");

    // All hosts, and still none that is not public.
    bench.put("akita-plugins.toml", grant(&format!("hosts = [\"*\", \"*:{port}\", \"localhost\"]")).as_bytes());
    wait_until("the grant is taken", || bench.wait_for("web.wasm", "ready")["reason"] == Value::Null);
    let api_port = api.rsplit(':').next().expect("a port");
    for url in [
        server.url("/"),
        format!("{api}/status"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://localhost:{api_port}/status"),
    ] {
        assert_eq!(failed(node, &url), "host-not-granted", "{url}");
    }
    assert_eq!(server.came(), 0);

    // The address itself, and only with its port.
    bench.put("akita-plugins.toml", grant(&format!("hosts = [\"127.0.0.1:{port}\"]")).as_bytes());
    wait_until("the server is reached", || ended(node, &server.url("/"))["status"] == "completed");
    assert_eq!(answered(node, &server.url("/")), 200);
    assert_eq!(ended(node, &server.url("/"))["result"]["text"], "hello");
    assert_eq!(failed(node, &format!("{api}/status")), "host-not-granted");
    // A redirect is the plugin's to follow, and leads no further than a request of its own.
    assert_eq!(answered(node, &server.url("/away")), 302);
    let disguised = format!("http://127.0.0.1:{port}@{}/status", &api["http://".len()..]);
    assert_eq!(ended(node, &disguised)["status"], "failed");
    // More than the node takes is cut off while it streams.
    let large = ended(node, &server.url("/large"));
    assert_eq!(large["status"], "failed", "{:#}", large["error"]);
    wait_until("the log tells what was denied", || node.log().contains("is not among the hosts of its grant"));

    // Taken back, it holds for the next run.
    fs::remove_file(bench.path("akita-plugins.toml")).expect("removed");
    bench.wait_for("web.wasm", "blocked");
}

/// A certificate for `localhost` by an authority, and the authority's own.
fn certified() -> (Arc<ServerConfig>, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = names.signed_by(&key, &authority).expect("a certificate");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let config = builder.with_single_cert(vec![certificate.der().clone()], private).expect("a server");
    (Arc::new(config), authority.pem())
}

#[test]
fn https_is_spoken_only_with_who_has_a_certificate_that_the_system_trusts() {
    let dir = tempfile::tempdir().expect("a folder");
    let ((trusted, root), (stranger, _)) = (certified(), certified());
    let roots: PathBuf = dir.path().join("roots.pem");
    fs::write(&roots, root).expect("written");
    let node = Spec::alone("https").plugins(dir.path()).env("SSL_CERT_FILE", &roots.to_string_lossy()).start();
    let (good, bad) = (Server::new("/", Some(trusted)), Server::new("/", Some(stranger)));
    let (good_port, bad_port) = (good.address.port(), bad.address.port());
    fs::copy(plugins().join("web.wasm"), dir.path().join("web.wasm")).expect("copied");
    let hosts = format!("hosts = [\"localhost:{good_port}\", \"localhost:{bad_port}\", \"127.0.0.1:{good_port}\"]");
    put(dir.path(), "akita-plugins.toml", grant(&hosts).as_bytes());
    wait_for(&node, "web.wasm", "ready");
    assert_eq!(answered(&node, &format!("https://localhost:{good_port}/")), 200);
    assert_eq!(failed(&node, &format!("https://localhost:{bad_port}/")), "unavailable");
    // The certificate is for the name and not for the address.
    assert_eq!(failed(&node, &format!("https://127.0.0.1:{good_port}/")), "unavailable");
}
