//! A wire inside the process, with a bit rate, a latency and loss, for tests and benchmarks.
//!
//! Carries whole frames between two nodes as a radio would: it counts every byte, drops by a seeded dice, and never
//! reorders. Never used by a node in production.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rns_net::InterfaceId;
use rns_net::event::{Event, EventSender};
use rns_net::interface::Writer;

use crate::WireBytes;
use crate::interfaces::{InterfaceShape, interface_info};

/// Largest frame over a shaped wire: the Reticulum MTU that radios use.
const SHAPED_MTU: u32 = 500;
/// Largest frame over an unshaped wire, as over TCP.
const UNSHAPED_MTU: u32 = 65_535;
/// Each node has one memory interface, so its number is fixed.
const INTERFACE: InterfaceId = InterfaceId(1);

/// How a wire behaves, the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bits per second; `None` for as fast as memory.
    pub bits_per_second: Option<u64>,
    /// Time from the end of a frame at the sender to its arrival; see [`Port::set_latency`].
    pub latency: Duration,
    /// Part of the frames that is lost, 0.0 to 1.0.
    pub loss: f64,
    /// Seed of the loss; the same seed and traffic lose the same frames.
    pub seed: u64,
}

impl Shape {
    /// A wire without limits or loss.
    pub fn perfect() -> Self {
        Self { bits_per_second: None, latency: Duration::ZERO, loss: 0.0, seed: 0 }
    }
}

/// One end of a wire. A clone is the same end; a node that restarts may use it again.
#[derive(Clone)]
pub struct Port {
    outgoing: Arc<Direction>,
    incoming: Arc<Direction>,
    shape: Shape,
}

struct Direction {
    /// Frames that have left the sender, with the moment they arrive.
    in_flight: mpsc::Sender<(Instant, Vec<u8>)>,
    receiver: Mutex<Option<EventSender>>,
    dice: Mutex<StdRng>,
    cut: AtomicBool,
    latency_us: AtomicU64,
    bytes: AtomicU64,
    frames: AtomicU64,
}

/// The two ends of a new wire.
pub fn pair(shape: Shape) -> (Port, Port) {
    let (there, back) = (Direction::start(shape, shape.seed), Direction::start(shape, shape.seed.wrapping_add(1)));
    let left = Port { outgoing: there.clone(), incoming: back.clone(), shape };
    (left, Port { outgoing: back, incoming: there, shape })
}

impl Direction {
    fn start(shape: Shape, seed: u64) -> Arc<Self> {
        let (in_flight, arrivals) = mpsc::channel::<(Instant, Vec<u8>)>();
        let direction = Arc::new(Self {
            in_flight,
            receiver: Mutex::new(None),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            cut: AtomicBool::new(false),
            latency_us: AtomicU64::new(micros(shape.latency)),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
        });
        // Weak: the thread ends when both ports are gone, because then the channel is.
        let weak = Arc::downgrade(&direction);
        let deliver = move || {
            for (at, data) in arrivals {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                let Some(direction) = weak.upgrade() else { return };
                let receiver = direction.receiver.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(receiver) = receiver.filter(|_| !direction.cut.load(Ordering::Relaxed)) {
                    let _ = receiver.send(Event::Frame { interface_id: INTERFACE, data, rssi: None, snr: None });
                }
            }
        };
        thread::Builder::new().name("mesh-memory".into()).spawn(deliver).expect("the system gives a thread");
        direction
    }
}

impl Port {
    /// Bytes of all frames sent from this end, lost ones included.
    pub fn sent_bytes(&self) -> u64 {
        self.outgoing.bytes.load(Ordering::Relaxed)
    }

    /// Frames sent from this end, lost ones included.
    pub fn sent_frames(&self) -> u64 {
        self.outgoing.frames.load(Ordering::Relaxed)
    }

    /// Bytes of all frames that the other end sent, lost ones included.
    pub fn received_bytes(&self) -> u64 {
        self.incoming.bytes.load(Ordering::Relaxed)
    }

    /// Cuts the wire in both directions: frames vanish, and neither end is told, as with a radio out of range.
    pub fn cut(&self) {
        self.set_cut(true);
    }

    /// Mends the wire again.
    pub fn restore(&self) {
        self.set_cut(false);
    }

    /// From here on frames take so long, in both directions.
    pub fn set_latency(&self, latency: Duration) {
        for direction in [&self.outgoing, &self.incoming] {
            direction.latency_us.store(micros(latency), Ordering::Relaxed);
        }
    }

    fn set_cut(&self, cut: bool) {
        self.outgoing.cut.store(cut, Ordering::Relaxed);
        self.incoming.cut.store(cut, Ordering::Relaxed);
    }

    pub(crate) fn wire_bytes(&self) -> WireBytes {
        WireBytes { sent: self.sent_bytes(), received: self.received_bytes() }
    }

    /// Plugs this end into a node.
    pub(crate) fn attach(&self, node: &EventSender) {
        *self.incoming.receiver.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
        let mtu = if self.shape.bits_per_second.is_some() { SHAPED_MTU } else { UNSHAPED_MTU };
        let shape = InterfaceShape { bitrate: self.shape.bits_per_second, mtu };
        let info = interface_info(INTERFACE, "memory".into(), shape);
        let writer = Box::new(Air { direction: self.outgoing.clone(), shape: self.shape, free_at: Instant::now() });
        let _ = node.send(Event::InterfaceUp(INTERFACE, Some(writer), Some(Box::new(info))));
    }

    /// Pulls this end out of its node.
    pub(crate) fn detach(&self) {
        *self.incoming.receiver.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The transmitter: takes as long for a frame as the bit rate says.
struct Air {
    direction: Arc<Direction>,
    shape: Shape,
    free_at: Instant,
}

impl Writer for Air {
    fn send_frame(&mut self, data: &[u8]) -> io::Result<()> {
        let mut left_at = self.free_at.max(Instant::now());
        if let Some(rate) = self.shape.bits_per_second {
            left_at += Duration::from_secs_f64(data.len() as f64 * 8.0 / rate.max(1) as f64);
            thread::sleep(left_at.saturating_duration_since(Instant::now()));
        }
        self.free_at = left_at;
        let direction = &self.direction;
        direction.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        direction.frames.fetch_add(1, Ordering::Relaxed);
        let lost = self.shape.loss > 0.0 && {
            let mut dice = direction.dice.lock().unwrap_or_else(PoisonError::into_inner);
            dice.random_bool(self.shape.loss.clamp(0.0, 1.0))
        };
        if !lost && !direction.cut.load(Ordering::Relaxed) {
            let latency = Duration::from_micros(direction.latency_us.load(Ordering::Relaxed));
            let _ = direction.in_flight.send((left_at + latency, data.to_vec()));
        }
        Ok(())
    }
}
