//! The world of one run: voters that start, die and start again, clients that never give up, and what is done to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use akita_core::NodeId;
use futures_util::future::BoxFuture;
use openraft::{AsyncRuntime, ChangeMembers, Config, Instant, ServerState, async_runtime::watch::WatchReceiver};
use openraft_rt_sim::{SimInstant, SimRuntime};

use crate::voters::{
    check::Judge,
    disk::Disk,
    engine::{Engine, Proposal, config},
    log::Log,
    machine::StateMachine,
    plan::{Fault, MOST_VOTERS, Plan, Planted},
    post::{Network, Post},
};

/// Milliseconds since the epoch at which virtual time begins.
const EPOCH: u64 = 1_785_000_000_000;
/// Numbers that are ever given out: replaced voters do not come back under theirs.
const NUMBERS: u64 = MOST_VOTERS + 4;

pub struct World {
    pub plan: Plan,
    pub judge: Arc<Judge>,
    pub post: Arc<Post>,
    config: Arc<Config>,
    disks: Mutex<BTreeMap<u64, Disk>>,
    /// Clients ask for nothing more.
    quiet: Mutex<bool>,
}

pub fn node_of(voter: u64) -> NodeId {
    NodeId([voter as u8; 16])
}

/// The time by a clock that is right.
pub fn wall_clock() -> u64 {
    EPOCH + crate::voters::post::now_us() / 1_000
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A cluster of its first voters, with a leader.
    pub async fn found(plan: &Plan) -> Arc<World> {
        let config = config(plan.profile, plan.kept).validate().expect("the profiles have sound numbers");
        let forgets_airtime = plan.planted == Some(Planted::ForgetsAirtime);
        let post = Post::new(plan.profile, NUMBERS, plan.seed ^ 0x706f_7374, forgets_airtime);
        let world = Arc::new(World {
            plan: plan.clone(),
            judge: Arc::default(),
            post: Arc::new(post),
            config: Arc::new(config),
            disks: Mutex::default(),
            quiet: Mutex::new(false),
        });
        for voter in 1..=plan.voters {
            world.start(voter).await;
        }
        let members: BTreeMap<u64, NodeId> = (1..=plan.voters).map(|voter| (voter, node_of(voter))).collect();
        let first = world.post.engine(1).expect("it was started");
        first.initialize(members).await.expect("a fresh cluster can be initialised");
        world
    }

    pub fn disk(&self, voter: u64) -> Option<Disk> {
        lock(&self.disks).get(&voter).cloned()
    }

    fn voters(&self) -> Vec<u64> {
        lock(&self.disks).keys().copied().collect()
    }

    fn is_over(&self) -> bool {
        *lock(&self.quiet) || self.judge.violation().is_some()
    }

    /// Starts a voter's process, unless it runs.
    pub async fn start(self: &Arc<Self>, voter: u64) {
        if self.post.engine(voter).is_some() {
            return;
        }
        let lies = self.plan.planted == Some(Planted::DisksLie);
        let fresh = || Disk::new(voter, self.plan.seed ^ (voter << 32), lies);
        let disk = lock(&self.disks).entry(voter).or_insert_with(fresh).clone();
        let life = disk.life();
        let differs = self.plan.planted == Some(Planted::StatesDiffer) && voter == 2;
        let network = Network { post: Arc::clone(&self.post), from: voter };
        let machine = StateMachine::new(disk.clone(), Arc::clone(&self.judge), differs);
        // It fails where the power is gone again already.
        let started = Engine::new(voter, Arc::clone(&self.config), network, Log(disk), machine).await;
        if let Ok(engine) = started {
            self.post.plug_in(voter, engine.clone());
            drop(SimRuntime::spawn(Arc::clone(self).watch(voter, life, engine)));
        }
    }

    /// The power of a voter fails.
    pub fn crash(&self, voter: u64) {
        let Some(engine) = self.post.unplug(voter) else { return };
        if let Some(disk) = lock(&self.disks).get_mut(&voter) {
            *disk = disk.power_loss();
        }
        drop(SimRuntime::spawn(async move {
            let _ = engine.shutdown().await;
        }));
    }

    /// Sees who leads; starts the process again when it ended by itself, as a node's supervisor does.
    fn watch(self: Arc<Self>, voter: u64, life: u64, engine: Engine) -> BoxFuture<'static, ()> {
        Box::pin(self.keep_watch(voter, life, engine))
    }

    async fn keep_watch(self: Arc<Self>, voter: u64, life: u64, engine: Engine) {
        let mut metrics = engine.metrics();
        loop {
            let (leads, term, runs) = {
                let now = metrics.borrow_watched();
                (now.state == ServerState::Leader, now.current_term, now.running_state.is_ok())
            };
            if leads {
                self.judge.leads(term, voter);
            }
            if !runs || metrics.changed().await.is_err() {
                break;
            }
        }
        SimRuntime::sleep(Duration::from_secs(1)).await;
        if self.disk(voter).is_some_and(|disk| disk.life() == life) {
            self.crash(voter);
            self.start(voter).await;
        }
    }

    /// A voter that believes that it leads and has lately heard from a majority.
    pub fn leader(&self) -> Option<(u64, Engine)> {
        let patience = Plan::unit(self.plan.profile);
        self.voters().into_iter().rev().find_map(|voter| {
            let engine = self.post.engine(voter)?;
            let metrics = engine.metrics();
            let metrics = metrics.borrow_watched();
            let alone = metrics.membership_config.voter_ids().count() == 1;
            let heard = alone || metrics.last_quorum_acked.as_ref().is_some_and(|at| at.elapsed() < patience);
            let leads = metrics.state == ServerState::Leader && heard && metrics.running_state.is_ok();
            drop(metrics);
            leads.then_some((voter, engine))
        })
    }

    /// Offers an entry to a voter; what it answers is judged. Whether it was taken, and who leads as far as it knows.
    pub async fn offer(self: &Arc<Self>, voter: u64, proposal: Proposal, wait: Duration) -> Result<u64, Option<u64>> {
        let Some(engine) = self.post.engine(voter) else { return Err(None) };
        let commands = proposal.commands.clone();
        match SimRuntime::timeout(wait, engine.client_write(proposal)).await {
            Ok(Ok(written)) => {
                let id = written.log_id;
                // The voters by the newest configuration that this leader has: of each half a majority has it.
                let metrics = engine.metrics();
                let configs: Vec<BTreeSet<u64>> =
                    metrics.borrow_watched().membership_config.membership().get_joint_config().clone();
                let safe = |voter: &&u64| self.disk(**voter).is_some_and(|disk| disk.is_safe(&id));
                let by_most = configs.iter().all(|voters| voters.iter().filter(safe).count() * 2 > voters.len());
                self.judge.answered(&id, &commands, by_most);
                Ok(id.index)
            }
            Ok(Err(error)) => {
                use openraft::errors::{ClientWriteError, RaftError};
                match error {
                    RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => Err(forward.leader_id),
                    _ => Err(None),
                }
            }
            Err(_) => Err(None),
        }
    }

    /// Does what the plan says, each at its time.
    pub async fn suffer(self: &Arc<Self>) {
        let begun = SimInstant::now();
        for (name, (at, fault)) in self.plan.faults.clone().into_iter().enumerate() {
            SimRuntime::sleep_until(begun + at).await;
            if self.is_over() {
                return;
            }
            self.inflict(name, fault);
        }
        SimRuntime::sleep_until(begun + self.plan.length).await;
    }

    fn inflict(self: &Arc<Self>, name: usize, fault: Fault) {
        match fault {
            Fault::Crash { voters, down } => voters.into_iter().for_each(|voter| self.crash_for(voter, down)),
            Fault::CrashLeader { down } => {
                if let Some((voter, _)) = self.leader() {
                    self.crash_for(voter, down);
                }
            }
            Fault::Wall { wall, lasts } => {
                self.post.build(name, wall);
                self.later(lasts, move |world| world.post.tear_down(name));
            }
            Fault::Stall { voter, by, lasts } => {
                let stall = move |world: &Arc<World>, by| {
                    if let Some(disk) = world.disk(voter) {
                        disk.set_stall(by);
                    }
                };
                stall(self, by);
                self.later(lasts, move |world| stall(world, Duration::ZERO));
            }
            Fault::BreakDisk { voter } => {
                if let Some(disk) = self.disk(voter) {
                    disk.set_breaks(true);
                }
            }
            Fault::Transfer { to } => {
                // To itself it must not: the engine would wait for another to lead for ever.
                if let Some((_, engine)) = self.leader().filter(|(leader, _)| *leader != to) {
                    drop(SimRuntime::spawn(async move {
                        let _ = engine.trigger().transfer_leader(to).await;
                    }));
                }
            }
            Fault::Add => drop(SimRuntime::spawn(Arc::clone(self).add())),
            Fault::Remove { which } => drop(SimRuntime::spawn(Arc::clone(self).remove(which))),
        }
    }

    fn later(self: &Arc<Self>, after: Duration, what: impl FnOnce(&Arc<World>) + Send + 'static) {
        let world = Arc::clone(self);
        drop(SimRuntime::spawn(async move {
            SimRuntime::sleep(after).await;
            what(&world);
        }));
    }

    fn crash_for(self: &Arc<Self>, voter: u64, down: Duration) {
        self.crash(voter);
        let world = Arc::clone(self);
        drop(SimRuntime::spawn(async move {
            SimRuntime::sleep(down).await;
            if lock(&world.disks).contains_key(&voter) {
                world.start(voter).await;
            }
        }));
    }

    /// A new voter first receives the log, then votes.
    async fn add(self: Arc<Self>) {
        let Some((_, engine)) = self.leader() else { return };
        let members = engine.voter_ids().count() as u64;
        let number = self.voters().last().map_or(1, |last| last + 1);
        if members >= MOST_VOTERS || number > NUMBERS {
            return;
        }
        self.start(number).await;
        let patience = Plan::unit(self.plan.profile) * 20;
        let joined = SimRuntime::timeout(patience, engine.add_learner(number, node_of(number), true)).await;
        if matches!(joined, Ok(Ok(_))) {
            let promote = ChangeMembers::AddVoterIds([number].into());
            let _ = SimRuntime::timeout(patience, engine.change_membership(promote, false)).await;
        }
    }

    async fn remove(self: Arc<Self>, which: u64) {
        let Some((leader, engine)) = self.leader() else { return };
        let others: Vec<u64> = engine.voter_ids().filter(|voter| *voter != leader).collect();
        if others.len() < 3 {
            return;
        }
        let gone = others[which as usize % others.len()];
        let demote = ChangeMembers::RemoveVoters([gone].into());
        let patience = Plan::unit(self.plan.profile) * 20;
        let _ = SimRuntime::timeout(patience, engine.change_membership(demote, false)).await;
    }

    /// Everything works again, and everybody is there.
    pub async fn heal(self: &Arc<Self>) {
        *lock(&self.quiet) = true;
        (0..self.plan.faults.len()).for_each(|name| self.post.tear_down(name));
        for voter in self.voters() {
            if let Some(disk) = self.disk(voter) {
                disk.set_stall(Duration::ZERO);
                disk.set_breaks(false);
            }
            self.start(voter).await;
        }
    }

    /// Waits until one leads, takes an entry, and all voters have it; then looks at each of them.
    pub async fn settle(self: &Arc<Self>, within: Duration) -> Duration {
        let begun = SimInstant::now();
        let step = Plan::unit(self.plan.profile) / 10;
        while self.judge.violation().is_none() {
            let now = SimInstant::now() - begun;
            self.judge.hold(now < within, "a leader and one log for all once it works again", || self.describe());
            if self.is_settled(step * 20).await {
                break;
            }
            SimRuntime::sleep(step).await;
        }
        SimInstant::now() - begun
    }

    async fn is_settled(self: &Arc<Self>, wait: Duration) -> bool {
        let Some((leader, engine)) = self.leader() else { return false };
        let members = engine.metrics().borrow_watched().membership_config.membership().clone();
        // A change that its asker did not live to see the end of is brought to one, as an autopilot does.
        if let [_, wanted] = &members.get_joint_config()[..] {
            let change = engine.change_membership(wanted.clone(), false);
            let _ = SimRuntime::timeout(wait, change).await;
            return false;
        }
        let nothing = Proposal { time: wall_clock(), commands: vec![] };
        let Ok(index) = self.offer(leader, nothing, wait).await else { return false };
        let nodes: Vec<u64> = members.nodes().map(|(voter, _)| *voter).collect();
        let at = |voter: &u64| self.disk(*voter).and_then(|disk| disk.machine(|machine| machine.index()).ok());
        let until = SimInstant::now() + wait;
        while !nodes.iter().all(|voter| at(voter) >= Some(index)) {
            if SimInstant::now() > until {
                return false;
            }
            SimRuntime::sleep(wait / 40).await;
        }
        // An entry of a client may have come in between: then once more.
        if nodes.iter().any(|voter| at(voter) != Some(index)) {
            return false;
        }
        for disk in nodes.iter().filter_map(|voter| self.disk(*voter)) {
            let _ = disk.machine(|machine| self.judge.at_the_end(disk.voter(), machine));
        }
        true
    }

    fn describe(&self) -> String {
        let one = |voter: u64| {
            let engine = self.post.engine(voter)?;
            let metrics = engine.metrics();
            let metrics = metrics.borrow_watched();
            Some(format!("{}", *metrics))
        };
        let all: Vec<String> = self.voters().into_iter().filter_map(one).collect();
        format!("none after so long; {}", all.join("\n    "))
    }

    /// Goes on until the run is over.
    pub async fn be_client(self: Arc<Self>, number: u64) {
        let mut client = crate::voters::client::Client::new(self.plan.seed, number);
        let wait = Plan::unit(self.plan.profile) * 4;
        while !self.is_over() {
            let pause = self.plan.pause.mul_f64(client.dice.within(0..2_000) as f64 / 1_000.0);
            SimRuntime::sleep(pause).await;
            let voters = self.voters();
            let target = client.target(&voters);
            let view = self.disk(target).and_then(|disk| disk.machine(|machine| machine.state.clone()).ok());
            let commands = client.commands(view.as_ref());
            let time = wall_clock().saturating_add_signed(client.clock_ms);
            match self.offer(target, Proposal { time, commands }, wait).await {
                Ok(_) => client.leader = Some(target),
                Err(leader) => client.leader = leader,
            }
        }
    }
}
