//! Attempts to reach what was never granted, through the ordinary library calls that a plugin's author might use. Each
//! says what came of it; a node that is worth its name lets none of them work.

use std::io::Read;
use std::{env, fs, io};

use serde_json::{Value, json};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// Reading, writing and listing files.
pub fn files() -> String {
    json!({
        "read": outcome(fs::read("/etc/passwd").map(|bytes| bytes.len())),
        "read_here": outcome(fs::read("Cargo.toml").map(|bytes| bytes.len())),
        "write": outcome(fs::write("/tmp/akita-faulty", b"x").map(|()| 1)),
        "list": outcome(fs::read_dir("/").map(Iterator::count)),
    })
    .to_string()
}

/// Connecting, listening and sending, one layer below the standard library: Debian's C library for WASI has no sockets.
pub fn network() -> String {
    let network = instance_network();
    let anywhere = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (127, 0, 0, 1) });
    let discard = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 9, address: (127, 0, 0, 1) });
    let tcp = |act: &dyn Fn(&TcpSocket) -> Result<(), ErrorCode>| {
        attempted(create_tcp_socket(IpAddressFamily::Ipv4).and_then(|socket| act(&socket)))
    };
    let send = || {
        let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
        socket.start_bind(&network, anywhere)?;
        socket.finish_bind()?;
        socket.stream(Some(discard)).map(drop)
    };
    json!({
        "connect": tcp(&|socket| socket.start_connect(&network, discard).and_then(|()| connected(socket))),
        "listen": tcp(&|socket| socket.start_bind(&network, anywhere).and_then(|()| socket.finish_bind())),
        "send": attempted(send()),
        "look_up": attempted(resolve_addresses(&network, "localhost").map(drop)),
    })
    .to_string()
}

/// Waits for the connection that was started.
fn connected(socket: &TcpSocket) -> Result<(), ErrorCode> {
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            other => return other.map(drop),
        }
    }
}

fn attempted(result: Result<(), ErrorCode>) -> Value {
    match result {
        Ok(()) => json!({ "worked": true }),
        Err(error) => json!({ "worked": false, "error": error.to_string() }),
    }
}

/// What the process around the sandbox was started with.
pub fn environment() -> String {
    let mut text = Vec::new();
    json!({
        "variables": env::vars_os().count(),
        "arguments": env::args_os().count(),
        "directory": outcome(env::current_dir().map(|path| path.as_os_str().len())),
        "stdin": outcome(io::stdin().take(64).read_to_end(&mut text)),
    })
    .to_string()
}

fn outcome(result: io::Result<usize>) -> Value {
    match result {
        Ok(count) => json!({ "worked": true, "count": count }),
        Err(error) => json!({ "worked": false, "error": error.to_string() }),
    }
}
