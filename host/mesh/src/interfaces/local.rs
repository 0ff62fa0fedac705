//! How nodes of one machine meet without any setting: on one loopback port. The first to bind it is the meeting
//! point, the others connect; when it goes, the next one that binds the port takes over.
//!
//! Never reachable from another machine.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;

use super::tcp::{self, Connections};
use crate::mesh::Tuning;

/// Longest wait before the port is tried again. Random, so that of several nodes one is first.
const TRY_AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Is the meeting point, or connects to it, for ever.
pub(super) async fn run(mut listener: Option<TcpListener>, tuning: Tuning, connections: Arc<Connections>) {
    let port = tuning.local_port;
    loop {
        if let Some(listener) = listener.take() {
            tracing::debug!(port, "this node is the meeting point of its machine");
            tcp::listen(listener, connections.clone()).await;
        }
        let joined = tcp::connect(&format!("{}:{port}", Ipv4Addr::LOCALHOST)).await;
        if let Ok(gone) = joined.and_then(|stream| connections.serve(stream, "tcp to the meeting point".into())) {
            let _ = gone.await;
        }
        sleep(TRY_AGAIN.mul_f64(rand::random())).await;
        listener = bind(port).await.ok();
    }
}
