//! A stranger with a Reticulum library of its own, who does not keep to the rules.

use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rns_core::destination::destination_hash;
use rns_net::event::EventSender;
use rns_net::{
    AnnouncedIdentity, Callbacks, DestHash, InterfaceConfig, InterfaceId, LinkId, NodeConfig, PacketHash, RnsNode,
    TcpClientConfig,
};

use crate::support::{Node, PATIENCE, connecting, listening};

enum Heard {
    Announce(AnnouncedIdentity),
    LinkUp([u8; 16]),
    Response(Vec<u8>),
}

struct Ears(mpsc::Sender<Heard>);

impl Callbacks for Ears {
    fn on_announce(&mut self, announced: AnnouncedIdentity) {
        let _ = self.0.send(Heard::Announce(announced));
    }
    fn on_path_updated(&mut self, _: DestHash, _: u8) {}
    fn on_local_delivery(&mut self, _: DestHash, _: Vec<u8>, _: PacketHash) {}
    fn on_link_established(&mut self, link: LinkId, _: DestHash, _: f64, _: bool) {
        let _ = self.0.send(Heard::LinkUp(link.0));
    }
    fn on_response(&mut self, _: LinkId, _: [u8; 16], data: Vec<u8>) {
        let _ = self.0.send(Heard::Response(data));
    }
}

struct Stranger {
    rns: RnsNode,
    ears: mpsc::Receiver<Heard>,
    link: [u8; 16],
}

impl Stranger {
    /// Connects to a node and opens a link to it, without saying who it is.
    fn meet(port: u16) -> Self {
        let (to, ears) = mpsc::channel();
        let id = InterfaceId(1);
        let client =
            TcpClientConfig { name: "to the node".into(), target_port: port, interface_id: id, ..Default::default() };
        let interface = InterfaceConfig {
            name: "to the node".into(),
            type_name: "TCPClientInterface".into(),
            config_data: Box::new(client),
            mode: rns_net::MODE_FULL,
            gravity: 0,
            recursive_prs: false,
            announces_from_internal: true,
            announces_to_internal: None,
            ingress_control: rns_core::transport::types::IngressControlConfig::disabled(),
            ifac: None,
            discovery: None,
        };
        let config = NodeConfig { interfaces: vec![interface], ..NodeConfig::default() };
        let rns = RnsNode::start(config, Box::new(Ears(to))).expect("the stranger starts");
        let mut stranger = Self { rns, ears, link: [0; 16] };
        let announced = stranger.hear(|heard| match heard {
            Heard::Announce(announced) => Some(announced),
            _ => None,
        });
        let expected = destination_hash("akita", &["node"], Some(&announced.identity_hash.0));
        assert_eq!(announced.dest_hash.0, expected, "the destination of protocol.md");
        let signing = announced.public_key[32..].try_into().expect("32 bytes");
        stranger.rns.create_link(announced.dest_hash.0, signing).expect("a link begins");
        stranger.link = stranger.hear(|heard| match heard {
            Heard::LinkUp(link) => Some(link),
            _ => None,
        });
        stranger
    }

    fn hear<T>(&self, wanted: impl Fn(Heard) -> Option<T>) -> T {
        loop {
            let heard = self.ears.recv_timeout(PATIENCE).expect("something is heard in time");
            if let Some(found) = wanted(heard) {
                return found;
            }
        }
    }

    /// Sends MessagePack as a request on the node's path.
    fn send(&self, data: &[u8]) {
        self.rns.send_request(self.link, "a", data).expect("it is sent");
    }

    fn wire(&self) -> EventSender {
        self.rns.event_sender().clone()
    }
}

/// A call's request, as protocol.md has it, in MessagePack.
fn request(life: u32, number: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xc4, 9 + body.len() as u8, 1];
    frame.extend(life.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.extend(body);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_served_before_saying_who_it_is_and_a_repeat_does_not_run_again() {
    let mut node = Node::start(listening()).await;
    let port = node.address().port();
    let stranger = tokio::task::spawn_blocking(move || Stranger::meet(port)).await.unwrap();
    stranger.send(&request(1, 1, b"too early"));

    let identity = rns_crypto::identity::Identity::new(&mut rns_crypto::OsRng);
    stranger.rns.identify_on_link(stranger.link, identity.get_private_key().unwrap()).unwrap();
    stranger.send(&request(1, 2, b"in time"));
    let first = node.request().await;
    assert_eq!((first.peer.0, first.body.as_slice()), (*identity.hash(), &b"in time"[..]));
    first.respond(b"once".to_vec());

    stranger.send(&request(1, 2, b"in time"));
    stranger.send(&request(1, 3, b"next"));
    let next = node.request().await;
    assert_eq!(next.body, b"next", "a repeated request is not run again");
    next.respond(b"twice".to_vec());
    let answers = tokio::task::spawn_blocking(move || {
        let response = || stranger.hear(|heard| if let Heard::Response(data) = heard { Some(data) } else { None });
        [response(), response(), response()].map(|data| data[11..].to_vec())
    });
    assert_eq!(answers.await.unwrap(), [b"once".to_vec(), b"once".to_vec(), b"twice".to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_the_link_and_on_the_wire_changes_nothing() {
    let mut node = Node::start(listening()).await;
    let port = node.address().port();
    let stranger = tokio::task::spawn_blocking(move || Stranger::meet(port)).await.unwrap();
    let identity = rns_crypto::identity::Identity::new(&mut rns_crypto::OsRng);
    stranger.rns.identify_on_link(stranger.link, identity.get_private_key().unwrap()).unwrap();

    let mut runner = TestRunner::deterministic();
    let mut draw = |max| prop::collection::vec(any::<u8>(), 0..max).new_tree(&mut runner).unwrap().current();
    for n in 0..500_u32 {
        let noise = draw(300);
        // As it is, as bytes, in a frame of every kind, and cut off in the middle of one.
        stranger.send(&noise);
        let bytes = &noise[..noise.len().min(200)];
        stranger.send(&[&[0xc4, bytes.len() as u8][..], bytes].concat());
        let mut frame = request(n, n % 3, bytes);
        frame[2] = 2 + (n % 250) as u8;
        stranger.send(&frame);
        stranger.send(&request(9, n, bytes)[..n as usize % 11]);
    }
    let mut raw = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    for _ in 0..500 {
        let noise = draw(600);
        std::io::Write::write_all(&mut raw, &[&[0x7e][..], &noise, &[0x7e]].concat()).unwrap();
        let frame = rns_net::Event::Frame { interface_id: InterfaceId(1), data: noise, rssi: None, snr: None };
        stranger.wire().send(frame).unwrap();
    }
    stranger.send(&request(7, 1, b"after all"));
    while node.request().await.body != b"after all" {}

    let other = Node::start(connecting(&[node.address()])).await;
    let node = node.serve();
    assert_eq!(other.call(node.id(), b"still here").await, b"ereh llits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_never_says_who_it_is_is_shown_out() {
    let node = Node::start(listening()).await;
    let port = node.address().port();
    let meet = move || {
        let stranger = Stranger::meet(port);
        let gone =
            || stranger.rns.query_link(stranger.link).is_ok_and(|link| link.is_none_or(|link| link.state == "closed"));
        let deadline = std::time::Instant::now() + PATIENCE;
        while !gone() {
            assert!(std::time::Instant::now() < deadline, "the link stays");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    tokio::task::spawn_blocking(meet).await.unwrap();
}
