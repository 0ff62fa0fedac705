//! The calls of voters to each other over a network that delays, loses, doubles and blocks, as `net.rs` of the core's
//! simulation has it. A call is sent again until its time is over, as the mesh does; every copy that arrives is given to
//! the engine, which the mesh would not do.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use akita_core::{NodeId, tuning::airtime};
use openraft::{
    AsyncRuntime, Instant, RaftNetworkFactory, RaftNetworkV2,
    errors::{ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
};
use openraft_rt_sim::{SimInstant, SimRuntime};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::{
    dice::Dice,
    net::{Net, Profile, Wall},
    voters::{
        engine::{Engine, Failed, Snapshot, Types, Vote, pack, timing, unpack, unreachable},
        machine::Machine,
    },
};

/// What the mesh's message adds to an engine's call: cluster, numbers, kind.
const HEADER: usize = 32;
const LEAST_WAIT: Duration = Duration::from_secs(1);
const ROUND_TRIPS: u32 = 20;

#[derive(Clone, Copy)]
enum What {
    Append,
    Vote,
    PreVote,
    Transfer,
}

struct Inner {
    net: Net,
    dice: Dice,
    engines: BTreeMap<u64, Engine>,
    /// What voters said to each other, without what the mesh puts around it.
    said: u64,
    calls: u64,
}

/// Between all voters.
pub struct Post {
    inner: Mutex<Inner>,
    profile: Profile,
    /// A mistake on purpose: a call has the same time, however much it carries.
    forgets_airtime: bool,
}

/// Virtual microseconds.
pub fn now_us() -> u64 {
    SimInstant::now().elapsed_since_start().as_micros() as u64
}

impl Post {
    pub fn new(profile: Profile, voters: u64, seed: u64, forgets_airtime: bool) -> Post {
        let mut net = Net::default();
        (0..=voters).for_each(|_| net.add(profile));
        let inner = Inner { net, dice: Dice::new(seed), engines: BTreeMap::new(), said: 0, calls: 0 };
        Post { inner: Mutex::new(inner), profile, forgets_airtime }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn plug_in(&self, voter: u64, engine: Engine) {
        self.lock().engines.insert(voter, engine);
    }

    pub fn unplug(&self, voter: u64) -> Option<Engine> {
        self.lock().engines.remove(&voter)
    }

    pub fn engine(&self, voter: u64) -> Option<Engine> {
        self.lock().engines.get(&voter).cloned()
    }

    pub fn build(&self, name: usize, wall: Wall) {
        self.lock().net.build(name, wall);
    }

    pub fn tear_down(&self, name: usize) {
        self.lock().net.tear_down(name);
    }

    /// Bytes said, bytes on the air, calls.
    pub fn traffic(&self) -> (u64, u64, u64) {
        let inner = self.lock();
        (inner.said, inner.net.bytes.iter().sum::<u64>() / 2, inner.calls)
    }

    fn rtt(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(u64::from(self.lock().net.rtt_ms(from as usize, to as usize)))
    }

    /// How long each copy is on its way.
    fn send(&self, from: u64, to: u64, bytes: usize) -> Vec<Duration> {
        let now = now_us();
        let mut inner = self.lock();
        inner.said += bytes as u64;
        let Inner { net, dice, .. } = &mut *inner;
        let arrivals = net.send(now, from as usize, to as usize, bytes, dice);
        arrivals.into_iter().flatten().map(|at| Duration::from_micros(at - now)).collect()
    }

    async fn give(&self, to: u64, what: What, body: &[u8]) -> Option<Vec<u8>> {
        let engine = self.engine(to)?;
        Some(match what {
            What::Append => pack(&engine.append_entries(unpack(body)?).await.ok()?),
            What::Vote => pack(&engine.vote(unpack(body)?).await.ok()?),
            What::PreVote => pack(&engine.pre_vote(unpack(body)?).await.ok()?),
            What::Transfer => pack(&engine.handle_transfer_leader(unpack(body)?).await.ok()?),
        })
    }

    /// One copy of a call, and of its answer.
    async fn copy(self: Arc<Self>, from: u64, to: u64, what: What, body: Arc<Vec<u8>>, answers: mpsc::Sender<Vec<u8>>) {
        for late in self.send(from, to, body.len() + HEADER) {
            let (post, body, answers) = (Arc::clone(&self), Arc::clone(&body), answers.clone());
            drop(SimRuntime::spawn(async move {
                SimRuntime::sleep(late).await;
                let Some(answer) = post.give(to, what, &body).await else { return };
                for late in post.send(to, from, answer.len() + HEADER) {
                    SimRuntime::sleep(late).await;
                    let _ = answers.try_send(answer.clone());
                }
            }));
        }
    }

    async fn call(self: &Arc<Self>, from: u64, to: u64, what: What, body: Vec<u8>, wait: Duration) -> Option<Vec<u8>> {
        let rtt = self.rtt(from, to);
        // A voter that lags is sent much at once: behind a slow link that takes longer than any number of round trips.
        let rtt_ms = u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX);
        let airtime = if self.forgets_airtime { 0 } else { airtime(body.len() as u64, rtt_ms) };
        let wait = wait.max(LEAST_WAIT).max(rtt * ROUND_TRIPS) + Duration::from_millis(airtime);
        let slow = rtt > Duration::from_secs(1);
        let mut again = if slow { rtt * 3 / 2 + Duration::from_secs(2) } else { LEAST_WAIT.max(rtt * 4) };
        let until = SimInstant::now() + wait;
        let body = Arc::new(body);
        let (sender, mut answers) = mpsc::channel(4);
        self.lock().calls += 1;
        loop {
            Arc::clone(self).copy(from, to, what, Arc::clone(&body), sender.clone()).await;
            // Not before it has left.
            let air = self.lock().net.in_the_air(now_us(), from as usize, to as usize);
            let due = (SimInstant::now() + Duration::from_micros(air) + again).min(until);
            if let Ok(answer) = SimRuntime::timeout_at(due, answers.recv()).await {
                return answer;
            }
            if SimInstant::now() >= until {
                return None;
            }
            again *= 2;
        }
    }
}

/// Makes the ways from one voter to the others.
pub struct Network {
    pub post: Arc<Post>,
    pub from: u64,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &NodeId) -> Client {
        Client { post: Arc::clone(&self.post), from: self.from, to: target }
    }
}

/// The way to one voter.
pub struct Client {
    post: Arc<Post>,
    from: u64,
    to: u64,
}

impl Client {
    async fn call<A: DeserializeOwned>(&self, what: What, rpc: &impl Serialize, wait: Duration) -> Result<A, Failed> {
        let answer = self.post.call(self.from, self.to, what, pack(rpc), wait).await.ok_or_else(unreachable)?;
        unpack(&answer).ok_or_else(unreachable)
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = Machine;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failed> {
        self.call(What::Append, &rpc, option.soft_ttl()).await
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, Failed> {
        self.call(What::Vote, &rpc, option.soft_ttl()).await
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, Failed> {
        self.call(What::PreVote, &rpc, option.soft_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, Failed> {
        self.call(What::Transfer, &rpc, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let lost = || StreamingError::Unreachable(Unreachable::from_string("the snapshot did not arrive".to_owned()));
        // It is brought in pieces, each sent again where it is lost: what a wall or a crash cuts off fails as a whole.
        let late = self.post.send(self.from, self.to, snapshot.snapshot.size());
        let late = late.into_iter().next().ok_or_else(lost)?;
        SimRuntime::sleep(late).await;
        let engine = self.post.engine(self.to).ok_or_else(lost)?;
        let answer = engine.install_full_snapshot(vote, snapshot).await.map_err(|_| lost())?;
        let late = self.post.send(self.to, self.from, HEADER);
        SimRuntime::sleep(late.into_iter().next().ok_or_else(lost)?).await;
        Ok(answer)
    }

    fn backoff(&self) -> Option<Backoff> {
        let (heartbeat, ..) = timing(self.post.profile);
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(heartbeat * 2))))
    }
}
