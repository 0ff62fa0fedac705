//! Several voters on a network that a test can break, with clients that work all the time and remember what they were
//! told. The moments of all that happens are drawn from a seed, which each test prints.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    cluster::completions,
    harness::{Net, Spec, TestNode, find, wait_until},
    history::{History, Told},
    meeting::wait_until_met,
    prepare::free_address,
    voters::voters,
};

/// Between two operations of one client: some hundred in each test, on a machine that has other work.
const PAUSE: Duration = Duration::from_millis(40);
/// For one look at who leads.
const AT_ONCE: &str = "/status";

/// The seed of this run: `AKITA_E2E_SEED`, or always the same.
pub fn seed() -> u64 {
    let seed = std::env::var("AKITA_E2E_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("AKITA_E2E_SEED={seed}");
    seed
}

/// A voter under test: it notices silence soon, and a task outlives any number of killed workers.
fn voter(name: &str) -> Spec {
    let spec = Spec::new(name).env("AKITA_NODE_TIMEOUT_S", "4").env("AKITA_LEADER_ELECTION_TIMEOUT_S", "2");
    spec.env("AKITA_MAX_TASK_EXECUTION_ATTEMPTS", "50")
}

/// Nodes, each connected to each through a relay.
pub struct Lab {
    pub net: Net,
    nodes: Vec<Mutex<TestNode>>,
    apis: Vec<Mutex<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lab {
    /// So many nodes, as soon as so many of them vote.
    pub fn new(nodes: usize, voting: usize, seed: u64, shape: impl Fn(usize, Spec) -> Spec) -> Lab {
        let net = Net::between((0..nodes).map(|_| free_address()).collect(), seed);
        let start = |at: usize| {
            let (listen, peers) = net.ends(at);
            let spec = voter(&format!("node-{at}")).arg("--mesh-listen", listen);
            let spec = peers.into_iter().fold(spec, |spec, peer| spec.arg("--mesh-peer", peer));
            shape(at, spec).start()
        };
        let nodes: Vec<TestNode> = (0..nodes).map(start).collect();
        wait_until_met(&nodes.iter().collect::<Vec<_>>());
        wait_until(&format!("{voting} voters"), || nodes.iter().all(|node| voters(node).len() == voting));
        let apis = nodes.iter().map(|node| Mutex::new(node.api().to_owned())).collect();
        Lab { net, nodes: nodes.into_iter().map(Mutex::new).collect(), apis }
    }

    /// A node, to be done with as the test likes.
    pub fn node(&self, at: usize) -> MutexGuard<'_, TestNode> {
        lock(&self.nodes[at])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where clients reach a node.
    pub fn api(&self, at: usize) -> String {
        lock(&self.apis[at]).clone()
    }

    /// Ends a node as a power cut would.
    pub fn kill(&self, at: usize) {
        self.node(at).kill_9();
    }

    /// Starts it again.
    pub fn start(&self, at: usize) {
        let mut node = self.node(at);
        node.start();
        node.api().clone_into(&mut lock(&self.apis[at]));
    }

    /// Who says that it leads, of some.
    pub fn leader_of(&self, some: &[usize]) -> usize {
        find(&format!("a leader of {some:?}"), || some.iter().copied().find(|at| self.says_it_leads(*at)))
    }

    /// Who leads.
    pub fn leader(&self) -> usize {
        self.leader_of(&(0..self.len()).collect::<Vec<_>>())
    }

    /// Whether a node says that it leads.
    pub fn says_it_leads(&self, at: usize) -> bool {
        TestNode::get_from(&self.api(at), AT_ONCE).is_some_and(|(_, status)| status["role"] == "leader")
    }

    /// Waits until tasks that are submitted to that node are accepted.
    pub fn accepts(&self, at: usize, history: &History) -> String {
        find(&format!("node {at} to have tasks accepted"), || {
            let id = history.submit(&self.api(at), json!({"action": "echo"}))?;
            history.tasks().1.contains(&id).then_some(id)
        })
    }

    /// Waits until all nodes are one cluster again.
    pub fn met(&self) {
        let nodes: Vec<_> = (0..self.len()).map(|at| self.node(at)).collect();
        wait_until_met(&nodes.iter().map(|node| &**node).collect::<Vec<_>>());
    }

    /// Runs `faults` while clients of every node submit and read, then has everything end and looks at what they were
    /// told, and at what the ledger says.
    pub fn under_load(&self, seed: u64, faults: impl FnOnce(&History)) {
        let (history, over) = (History::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            for client in 0..2 * self.len() {
                let (history, over) = (&history, &over);
                scope.spawn(move || self.work(client, seed, history, over));
            }
            // A fault that fails must not leave the clients at work for ever.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| faults(&history)));
            over.store(true, Ordering::Relaxed);
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic);
            }
        });
        self.net.heal();
        self.met();
        self.settle(&history);
    }

    /// One client, of two at each node: one submits, one reads what somebody submitted.
    fn work(&self, client: usize, seed: u64, history: &History, over: &AtomicBool) {
        let mut dice = StdRng::seed_from_u64(seed + client as u64);
        while !over.load(Ordering::Relaxed) {
            let api = self.api(client / 2);
            if client.is_multiple_of(2) {
                history.submit(&api, json!({"action": "slow", "ms": dice.random_range(1..150)}));
            } else if let (_, known) = history.tasks()
                && !known.is_empty()
            {
                let newest = known.len().saturating_sub(30);
                history.read(&api, &known[dice.random_range(newest..known.len())]);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Everything that was accepted, or kept, ends once, and all nodes say the same of it.
    fn settle(&self, history: &History) {
        let (all, accepted) = history.tasks();
        println!("{} tasks, {} accepted at once", all.len(), accepted.len());
        assert!(all.len() > 20 && accepted.len() > 3, "too few to mean anything: {} of {}", accepted.len(), all.len());
        for id in &all {
            let place = AtomicUsize::new(0);
            find(&format!("the end of {id}"), || {
                let at = place.fetch_add(1, Ordering::Relaxed) % self.len();
                matches!(history.read(&self.api(at), id), Some(Told::Ended(_))).then_some(())
            });
        }
        for id in all.iter().rev().take(40) {
            (0..self.len()).for_each(|at| drop(history.read(&self.api(at), id)));
        }
        history.check();
        let leader = self.node(self.leader());
        let times = completions(&leader);
        for id in &all {
            assert_eq!(times.get(id), Some(&1), "completions of {id}");
        }
        drop(leader);
        for at in 0..self.len() {
            self.node(at).verify_ledger();
        }
    }
}
