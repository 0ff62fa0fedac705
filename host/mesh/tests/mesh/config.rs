//! Nodes with an ordinary Reticulum configuration folder.

use std::fs;
use std::path::Path;

use akita_mesh::{Identity, Interfaces, Tuning};
use tempfile::TempDir;

use crate::support::{Node, free_port};

fn folder(interface: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[reticulum]\nenable_transport = No\nshare_instance = No\n\n[interfaces]\n  [[mesh]]\n  enabled = yes\n{interface}"
    );
    fs::write(folder.path().join("config"), text).unwrap();
    folder
}

fn server(port: u16) -> TempDir {
    folder(&format!("  type = TCPServerInterface\n  listen_ip = 127.0.0.1\n  listen_port = {port}\n"))
}

fn client(port: u16) -> TempDir {
    folder(&format!("  type = TCPClientInterface\n  target_host = 127.0.0.1\n  target_port = {port}\n"))
}

fn from(folder: &Path) -> Interfaces {
    Interfaces::Reticulum(Some(folder.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_started_first_finds_its_server_and_again_after_a_restart() {
    let port = free_port();
    let (client_folder, server_folder) = (client(port), server(port));
    let mut client = Node::start(from(client_folder.path())).await;
    let identity = Identity::generate();
    for _ in 0..2 {
        let server = Node::start_as(identity.clone(), from(server_folder.path())).await.serve();
        client.hears(server.id()).await;
        assert_eq!(client.call(server.id(), b"abc").await, b"cba");
        server.stop().await;
        client.disconnected(identity.id()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_parse_names_the_file_and_the_line() {
    let broken = folder("  type TCPServerInterface\n");
    let error =
        Node::try_start(Identity::generate(), from(broken.path()), Tuning::default()).await.err().unwrap().to_string();
    assert!(error.contains(&format!("{}:8: ", broken.path().join("config").display())), "{error}");
}
