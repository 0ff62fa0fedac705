//! A network between nodes that a test can break: one TCP relay for each pair, which forwards the mesh's frames whole,
//! late, slowly, or not at all, each way by itself and changed while it runs. What a frame says is not looked at.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Between two frames on a wire of the mesh.
const FLAG: u8 = 0x7e;
/// Frames under way in one direction: some seconds of a busy link; beyond them the sender waits, as TCP has it.
const UNDER_WAY: usize = 4_096;
/// Between two looks for a new connection, or whether the relay is to end.
const LOOK: Duration = Duration::from_millis(20);

/// One direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Way {
    /// No frame gets through.
    pub cut: bool,
    /// The share of the frames that is lost.
    pub loss: f64,
    /// How late each comes.
    pub delay: Duration,
    /// What gets through in a second; without bound where there is none.
    pub bytes_per_second: Option<u32>,
}

/// Both directions of a link, as they are now.
#[derive(Default)]
struct Link {
    /// From who connects to who listens, and back.
    ways: [Mutex<Way>; 2],
    lost: AtomicU64,
    over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A relay: whoever connects to it is connected to one address.
pub struct Relay {
    link: Arc<Link>,
    address: String,
}

impl Relay {
    /// A relay to whoever listens at `target`, once somebody does.
    pub fn to(target: &str, seed: u64) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the relay");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the relay's address").to_string();
        let link = Arc::new(Link::default());
        let (shared, target) = (link.clone(), target.to_owned());
        thread::spawn(move || serve(&listener, &target, &shared, seed));
        Relay { link, address }
    }

    /// Where to connect to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes what becomes of frames from now on: `towards` who listens, or back from there.
    pub fn set(&self, towards: bool, way: Way) {
        *lock(&self.link.ways[usize::from(!towards)]) = way;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.link.over.store(true, Ordering::Relaxed);
    }
}

fn serve(listener: &TcpListener, target: &str, link: &Arc<Link>, seed: u64) {
    let mut connections = 0;
    while !link.over.load(Ordering::Relaxed) {
        let Ok((near, _)) = listener.accept() else {
            thread::sleep(LOOK);
            continue;
        };
        // Who is not there is not there for who connects to the relay either.
        let Ok(far) = TcpStream::connect(target) else { continue };
        connections += 1;
        if let Err(error) = join(&near, &far, link, seed ^ (connections << 8)) {
            eprintln!("the relay to {target} lost a connection: {error}");
        }
    }
}

fn join(near: &TcpStream, far: &TcpStream, link: &Arc<Link>, seed: u64) -> io::Result<()> {
    near.set_nonblocking(false)?;
    for (way, from, to) in [(0, near, far), (1, far, near)] {
        to.set_nodelay(true)?;
        let (from, to, link) = (from.try_clone()?, to.try_clone()?, link.clone());
        let (sender, receiver) = mpsc::sync_channel(UNDER_WAY);
        let reader = link.clone();
        thread::spawn(move || read(from, &reader, way, seed, &sender));
        thread::spawn(move || write(to, &link, way, &receiver));
    }
    Ok(())
}

/// Cuts what comes in into frames, and says when each is due.
fn read(mut from: TcpStream, link: &Link, way: usize, seed: u64, frames: &mpsc::SyncSender<(Instant, Vec<u8>)>) {
    let mut dice = StdRng::seed_from_u64(seed + way as u64);
    let (mut buffer, mut frame) = (vec![0; 64 << 10], Vec::new());
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        for byte in &buffer[..count] {
            frame.push(*byte);
            // A flag both begins and ends; one by itself is nothing yet.
            if *byte != FLAG || frame.len() == 1 {
                continue;
            }
            let whole = std::mem::take(&mut frame);
            let now = *lock(&link.ways[way]);
            let lost = now.cut || now.loss > 0.0 && dice.random_bool(now.loss);
            if lost {
                link.lost.fetch_add(1, Ordering::Relaxed);
            } else if frames.send((Instant::now() + now.delay, whole)).is_err() {
                return;
            }
        }
        if link.over.load(Ordering::Relaxed) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
}

fn write(mut to: TcpStream, link: &Link, way: usize, frames: &mpsc::Receiver<(Instant, Vec<u8>)>) {
    for (due, frame) in frames {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = *lock(&link.ways[way]);
        if let Some(rate) = now.bytes_per_second {
            thread::sleep(Duration::from_secs_f64(frame.len() as f64 / f64::from(rate)));
        }
        if !now.cut && to.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A relay between each two of some nodes, by their place.
pub struct Net {
    addresses: Vec<String>,
    /// Of who connects and who listens; the later node connects to each before it.
    relays: Vec<(usize, usize, Relay)>,
}

impl Net {
    /// Between nodes that will listen at these addresses.
    pub fn between(addresses: Vec<String>, seed: u64) -> Net {
        let mut relays = Vec::new();
        for from in 0..addresses.len() {
            for (to, address) in addresses.iter().enumerate().take(from) {
                let relay = Relay::to(address, seed + (from * 100 + to) as u64);
                relays.push((from, to, relay));
            }
        }
        Net { addresses, relays }
    }

    /// Where a node listens, and where it finds those before it.
    pub fn ends(&self, at: usize) -> (&str, Vec<&str>) {
        let peers = self.relays.iter().filter(|(from, ..)| *from == at).map(|(.., relay)| relay.address());
        (&self.addresses[at], peers.collect())
    }

    /// Changes what becomes of frames from one node to another.
    pub fn set(&self, from: usize, to: usize, way: Way) {
        for (near, far, relay) in &self.relays {
            if (*near, *far) == (from, to) || (*far, *near) == (from, to) {
                relay.set(*near == from, way);
            }
        }
    }

    /// The same, in both directions.
    pub fn both(&self, one: usize, other: usize, way: Way) {
        self.set(one, other, way);
        self.set(other, one, way);
    }

    /// Cuts a node off from all others.
    pub fn isolate(&self, at: usize) {
        let others = (0..self.addresses.len()).filter(|other| *other != at);
        others.for_each(|other| self.both(at, other, Way { cut: true, ..Way::default() }));
    }

    /// Everything gets through again.
    pub fn heal(&self) {
        self.relays.iter().for_each(|(.., relay)| {
            relay.set(true, Way::default());
            relay.set(false, Way::default());
        });
    }
}

#[test]
fn frames_get_through_whole_late_or_not_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let net = Net::between(vec![listener.local_addr().expect("an address").to_string(), "127.0.0.1:1".into()], 1);
    let (_, peers) = net.ends(1);
    let mut one = TcpStream::connect(peers[0]).expect("the relay listens");
    let (mut other, _) = listener.accept().expect("the relay connects");
    let mut got = [0; 4];
    let mut send = |text: &[u8]| one.write_all(&[&[FLAG], text, &[FLAG]].concat()).expect("sent");
    send(b"ab");
    other.read_exact(&mut got).expect("read");
    assert_eq!(&got, &[FLAG, b'a', b'b', FLAG]);
    net.set(1, 0, Way { cut: true, ..Way::default() });
    send(b"cd");
    super::wait_until("the frame to be lost", || net.relays[0].2.link.lost.load(Ordering::Relaxed) == 1);
    // The other way is as it was.
    other.write_all(&[FLAG, b'x', b'y', FLAG]).expect("sent");
    let mut back = [0; 4];
    one.read_exact(&mut back).expect("read");
    assert_eq!(&back, &[FLAG, b'x', b'y', FLAG]);
    net.heal();
    net.set(1, 0, Way { delay: Duration::from_millis(60), bytes_per_second: Some(1_000), ..Way::default() });
    let begun = Instant::now();
    one.write_all(&[FLAG, b'e', b'f', FLAG]).expect("sent");
    other.read_exact(&mut got).expect("read");
    assert_eq!(&got, &[FLAG, b'e', b'f', FLAG], "the lost frame stays lost");
    assert!(begun.elapsed() >= Duration::from_millis(60));
}
