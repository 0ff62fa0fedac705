//! A node that is one of several voters: the engine, its proposals, and what it says of its role. Commands go in as with
//! a single voter; what was committed comes out in the same stream, with word of who leads.

mod incoming;
mod log;
mod machine;
mod network;
mod packed;
mod role;
#[cfg(test)]
mod suite;
mod types;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use akita_core::{ClusterId, Command, NodeId, autopilot::Profile, wire};
use openraft::{
    ChangeMembers, Config, Instant, Membership, ReadPolicy, SnapshotPolicy, async_runtime::watch::WatchReceiver,
    impls::ProgressResponder, raft::ClientWriteResult, vote::RaftLeaderIdExt,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Answer, Clock, ConsensusError, Event, Role, Transport};
use crate::store::{Machine, Position, Store, StoreError, Writer, note};
use machine::{Source, StateMachine};
use types::{LogId, Proposal, Types, number_of, pack};

type Engine = openraft::Raft<Types, StateMachine>;

/// Proposals that wait for the engine: the loop that proposes has two under way, and others propose a few.
const PROPOSALS: usize = 64;
/// Entries after which the log is cut: a snapshot costs nothing here, and a voter that lags by less needs none.
const LOG_KEPT: u64 = 4_096;
/// Entries in one message to another voter at most; the log also bounds their bytes.
const SENT_AT_ONCE: u64 = 256;
/// Longest time for a change of the voters.
const CHANGE_WAIT: Duration = Duration::from_secs(60);

/// What a voter's parts share.
pub(crate) struct Shared {
    pub(super) cluster: ClusterId,
    pub(super) number: u64,
    pub(super) profile: Profile,
    me: NodeId,
    /// Differs each time that the engine starts.
    process: u64,
    counter: AtomicU32,
    events: mpsc::UnboundedSender<Event>,
    role: Arc<watch::Sender<Role>>,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    /// The term that this node leads in, as the engine says.
    leading: Mutex<Option<u64>>,
    /// What its receivers have acknowledged since it leads.
    acknowledged: Mutex<Acknowledged>,
}

/// What receivers of the log have acknowledged to this leader.
#[derive(Default)]
struct Acknowledged {
    /// The last entry that each is known to have on its disk.
    last: BTreeMap<u64, u64>,
    /// Those that lack such an entry again.
    older: BTreeSet<u64>,
}

impl Shared {
    fn leading(&self) -> MutexGuard<'_, Option<u64>> {
        self.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_waiter(&self, number: u64) -> Option<oneshot::Sender<Answer>> {
        self.waiting().remove(&number)
    }

    /// A number that this process has not used.
    fn fresh(&self) -> u32 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the entry says that this node leads from here on, in the term that it was written in.
    fn is_own_lead(&self, proposal: &Proposal, term: u64) -> bool {
        let lead = |command: &Command| matches!(command, Command::Lead { node } if *node == self.me);
        proposal.process == self.process && *self.leading() == Some(term) && proposal.commands.iter().any(lead)
    }

    /// Tells whoever follows the log.
    fn send(&self, event: Event) {
        if let Event::Leads { term, .. } = event {
            // Under the lock, so that it cannot come after the word that another leads.
            let leading = self.leading();
            if *leading != Some(term) {
                return;
            }
            let _ = self.events.send(event);
            self.role.send_modify(|role| role.leads = true);
            return;
        }
        let _ = self.events.send(event);
    }

    /// A proposal of this process came to nothing, or nobody can tell.
    fn fail(&self, number: u64) {
        if let Some(waiter) = self.take_waiter(number) {
            let _ = waiter.send(Err(ConsensusError::NotLeader));
        }
        self.send(Event::Failed(number));
    }
}

/// What a voter needs to start, from the database.
pub(super) struct Start {
    pub(super) me: NodeId,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) snapshots: PathBuf,
    pub(super) clock: Clock,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) role: Arc<watch::Sender<Role>>,
    pub(super) transport: Arc<dyn Transport>,
}

/// Who this voter is, as noted in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) cluster: ClusterId,
    pub(super) number: u64,
    pub(super) profile: Profile,
}

impl Noted {
    /// What the database says; nothing on a node that votes for nobody else's log.
    pub(super) async fn read(store: &Store) -> Result<Option<Noted>, StoreError> {
        let cluster = store.raft_noted(note::CLUSTER).await?;
        let number = store.raft_noted(note::NUMBER).await?;
        let profile = store.raft_noted(note::PROFILE).await?;
        let (Some(cluster), Some(number), Some(profile)) = (cluster, number, profile) else { return Ok(None) };
        let noted = || {
            Some(Noted {
                cluster: types::cluster_of(&cluster)?,
                number: number_of(&number)?,
                profile: Profile::from_number(*profile.first()?)?,
            })
        };
        noted().map(Some).ok_or_else(|| StoreError::Damaged("it does not say which voter it belongs to".into()))
    }

    fn write(&self, machine: &mut Machine) -> Result<(), StoreError> {
        machine.raft_note(note::CLUSTER, &self.cluster.0)?;
        machine.raft_note(note::NUMBER, &self.number.to_be_bytes())?;
        machine.raft_note(note::PROFILE, &[self.profile as u8])
    }

    /// Makes this node's own log one that others can vote on: it is the only voter so far, and its state as it is now
    /// is where the log begins.
    pub(super) fn open(&self, me: NodeId, machine: &mut Machine) -> Result<(), StoreError> {
        machine.raft_forget()?;
        self.write(machine)?;
        let leader = <Types as openraft::RaftTypeConfig>::LeaderId::new_committed(0, self.number);
        let id = LogId::new(leader, machine.position().index);
        let begin = pack(&id);
        let nodes = BTreeMap::from([(self.number, me)]);
        let voters = Membership::new(vec![BTreeSet::from([self.number])], nodes);
        let voters = voters.map_err(|error| StoreError::Damaged(error.to_string()))?;
        let voters = types::Membership::new(Some(id), voters);
        machine.raft_note(note::APPLIED, &begin)?;
        machine.raft_note(note::PURGED, &begin)?;
        machine.raft_note(note::MEMBERSHIP, &pack(&voters))
    }

    /// Begins with an empty log, to be filled by the leader of the cluster.
    pub(super) fn join(&self, machine: &mut Machine) -> Result<(), StoreError> {
        machine.raft_clear()?;
        self.write(machine)
    }
}

/// A voter. Clones are the same.
#[derive(Clone)]
pub(crate) struct Voter {
    engine: Engine,
    shared: Arc<Shared>,
    writer: Writer,
    clock: Clock,
    proposals: mpsc::Sender<Proposal>,
    incoming: Arc<incoming::Incoming>,
    /// It was the only voter when it started.
    alone: bool,
}

impl Voter {
    /// Starts the engine on what the database holds.
    pub(super) async fn start(noted: Noted, start: Start) -> Result<Voter, StoreError> {
        let failed = |error: io::Error| StoreError::Damaged(format!("the voters' log cannot be read: {error}"));
        let _ = tokio::fs::remove_dir_all(&start.snapshots).await;
        let shared = Arc::new(Shared {
            cluster: noted.cluster,
            number: noted.number,
            profile: noted.profile,
            me: start.me,
            process: random(),
            counter: AtomicU32::new(1),
            events: start.events,
            role: start.role,
            waiting: Mutex::default(),
            leading: Mutex::default(),
            acknowledged: Mutex::default(),
        });
        let source = Source::new(start.store.clone(), start.snapshots);
        let log = log::Log::new(start.store, start.writer.clone());
        let machine = StateMachine::load(source.clone(), start.writer.clone(), shared.clone()).await.map_err(failed)?;
        let alone = machine.only_voter() == Some(noted.number);
        let network = network::Network { shared: shared.clone(), transport: start.transport };
        let config = Arc::new(config(&noted).validate().expect("the profiles have sound numbers"));
        let engine = Engine::new(noted.number, config, network, log, machine).await;
        let engine = engine.map_err(|error| StoreError::Damaged(format!("the voters' log cannot be used: {error}")))?;
        let (proposals, queue) = mpsc::channel(PROPOSALS);
        let incoming = Arc::new(incoming::Incoming::new(source));
        let voter = Voter { engine, shared, writer: start.writer, clock: start.clock, proposals, incoming, alone };
        tokio::spawn(propose(voter.engine.clone(), voter.shared.clone(), queue));
        tokio::spawn(voter.clone().keep_role());
        // Alone, it need not wait for anybody's silence.
        if voter.is_alone() {
            let _ = voter.engine.trigger().elect(false).await;
        }
        Ok(voter)
    }

    /// Whether it was the only voter when it started.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Queues commands as one entry, without waiting; says under which number it will be heard of.
    pub(super) fn submit(
        &self,
        commands: Vec<Command>,
        number: u64,
    ) -> Result<oneshot::Receiver<Answer>, ConsensusError> {
        let (answer, answered) = oneshot::channel();
        let proposal = Proposal { process: self.shared.process, number, time: (self.clock)(), commands };
        self.shared.waiting().insert(number, answer);
        self.proposals.try_send(proposal).map_err(|error| {
            self.shared.take_waiter(number);
            match error {
                mpsc::error::TrySendError::Full(_) => ConsensusError::Busy,
                mpsc::error::TrySendError::Closed(_) => ConsensusError::Store(self.writer.reason()),
            }
        })?;
        Ok(answered)
    }

    /// Answers a call of another voter.
    pub(super) async fn handle(&self, from: NodeId, call: wire::Raft) -> Result<Vec<u8>, String> {
        let Shared { cluster, number, .. } = *self.shared;
        if call.cluster != cluster || call.to != number {
            return Err("it is about another log, or for another voter".into());
        }
        let known = self.engine.server_metrics().borrow_watched().membership_config.get_node(&call.from).copied();
        if known.is_some_and(|node| node != from) {
            return Err("that number belongs to another node".into());
        }
        self.incoming.handle(&self.engine, from, call).await
    }

    /// Whether what this leader holds now is the newest of the whole cluster.
    pub(super) async fn is_current(&self) -> bool {
        if self.engine.ensure_linearizable(ReadPolicy::LeaseRead).await.is_ok() {
            return true;
        }
        // The lease may have run out for a moment; then the others are asked.
        let wait = Duration::from_millis(self.shared.profile.election_ms().1);
        let asked = tokio::time::timeout(wait, self.engine.ensure_linearizable(ReadPolicy::ReadIndex)).await;
        asked.is_ok_and(|answer| answer.is_ok())
    }

    /// Has another node receive the log, without a vote.
    pub(super) async fn add_learner(&self, number: u64, node: NodeId) -> Result<(), String> {
        within(self.engine.add_learner(number, node, false)).await
    }

    /// Lets exactly these vote; those that no longer do receive nothing more.
    pub(super) async fn set_voters(&self, voters: BTreeSet<u64>) -> Result<(), String> {
        within(self.engine.change_membership(ChangeMembers::ReplaceAllVoters(voters), false)).await
    }

    /// Sends a learner nothing more.
    pub(super) async fn drop_learner(&self, number: u64) -> Result<(), String> {
        within(self.engine.change_membership(ChangeMembers::RemoveNodes(BTreeSet::from([number])), true)).await
    }

    /// Hands the lead to another voter.
    pub(super) async fn transfer(&self, number: u64) -> Result<(), String> {
        self.engine.trigger().transfer_leader(number).await.map_err(|error| error.to_string())
    }

    /// Entries that each receiver of the log lacks, as far as this leader knows.
    pub(super) fn lags(&self) -> BTreeMap<u64, u64> {
        let metrics = self.engine.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let lag = |id: &Option<LogId>| last.saturating_sub(id.as_ref().map_or(0, |id| id.index));
        metrics.replication.iter().flatten().map(|(number, id)| (*number, lag(id))).collect()
    }

    /// Other voters and learners that have answered this leader lately.
    pub(super) fn answering(&self) -> BTreeSet<u64> {
        let metrics = self.engine.metrics();
        let metrics = metrics.borrow_watched();
        let patience = Duration::from_millis(self.shared.profile.election_ms().1 * 2);
        let heard = metrics.heartbeat.iter().flatten();
        // The engine counts the leader as well, which would then hand the lead to itself.
        let heard = heard.filter(|(number, _)| **number != self.shared.number);
        let heard = heard.filter(|(_, at)| at.as_ref().is_some_and(|at| at.elapsed() < patience));
        heard.map(|(number, _)| *number).collect()
    }

    /// Voters and learners that lack what they had acknowledged to this leader.
    pub(super) fn came_back_older(&self) -> BTreeSet<u64> {
        if self.shared.leading().is_some() { self.shared.acknowledged().older.clone() } else { BTreeSet::new() }
    }

    /// Who this voter is.
    pub(super) fn noted(&self) -> Noted {
        let Shared { cluster, number, profile, .. } = *self.shared;
        Noted { cluster, number, profile }
    }

    /// Ends the engine; nothing of the database changes after this.
    pub(super) async fn stop(&self) {
        let _ = self.engine.shutdown().await;
        let mut leading = self.shared.leading();
        if leading.take().is_some() {
            let _ = self.shared.events.send(Event::Follows);
        }
        drop(leading);
        let waiting = std::mem::take(&mut *self.shared.waiting());
        waiting.into_keys().for_each(|number| self.shared.send(Event::Failed(number)));
    }
}

/// Applies what the log still holds and the state does not, whether it was known to be committed or not.
pub(super) fn apply_rest(machine: &mut Machine) -> Result<(), StoreError> {
    for (index, bytes) in machine.raft_entries_after(machine.position().index)? {
        let last = machine.position();
        match entry(index, &bytes)?.payload {
            openraft::EntryPayload::Normal(proposal) => {
                let at = Position { index, time: proposal.time.max(last.time) };
                machine.apply(at, proposal.commands)?;
            }
            _ => machine.skip(Position { index, time: last.time }),
        }
    }
    Ok(())
}

/// Who votes by the newest word of the log, committed or not; nobody where the log is still to come.
pub(super) fn voters(machine: &Machine) -> Result<BTreeSet<u64>, StoreError> {
    let mut voters = BTreeSet::new();
    if let Some(bytes) = machine.raft_noted(note::MEMBERSHIP)? {
        let applied: types::Membership = types::unpack(&bytes)
            .map_err(|error| StoreError::Damaged(format!("who votes on the log cannot be read: {error}")))?;
        voters = applied.voter_ids().collect();
    }
    for (index, bytes) in machine.raft_entries_after(0)? {
        if let openraft::EntryPayload::Membership(members) = entry(index, &bytes)?.payload {
            voters = members.voter_ids().collect();
        }
    }
    Ok(voters)
}

fn entry(index: u64, bytes: &[u8]) -> Result<types::Entry, StoreError> {
    let damaged = |error| StoreError::Damaged(format!("entry {index} of the voters' log cannot be read: {error}"));
    types::unpack(bytes).map_err(damaged)
}

async fn within<T, E: std::fmt::Display>(change: impl Future<Output = Result<T, E>>) -> Result<(), String> {
    match tokio::time::timeout(CHANGE_WAIT, change).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the voters did not agree in time".into()),
    }
}

/// Gives proposals to the engine in order, and says which came to nothing.
async fn propose(engine: Engine, shared: Arc<Shared>, mut queue: mpsc::Receiver<Proposal>) {
    while let Some(proposal) = queue.recv().await {
        let number = proposal.number;
        let (responder, outcome) = ProgressResponder::<Types, ClientWriteResult<Types>>::complete_only();
        if engine.client_write_ff(proposal, Some(responder)).await.is_err() {
            shared.fail(number);
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            if !matches!(outcome.await, Ok(Ok(_))) {
                shared.fail(number);
            }
        });
    }
}

fn config(noted: &Noted) -> Config {
    let heartbeat = noted.profile.heartbeat_ms();
    let (least, most) = noted.profile.election_ms();
    Config {
        cluster_name: noted.cluster.to_string(),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(heartbeat),
        election_timeout_min: least,
        election_timeout_max: most,
        // Well over the lease and the longest wait for an election, as the engine asks.
        quorum_loss_probe_interval: Some(most * 3),
        enable_pre_vote: Some(true),
        // A leader that restarts stands for election like any other: only then what it holds is known to be the newest.
        enable_leader_restore: Some(false),
        max_payload_entries: SENT_AT_ONCE,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(LOG_KEPT),
        max_in_snapshot_log_to_keep: LOG_KEPT,
        replication_lag_threshold: LOG_KEPT * 2,
        // The transfer has its own patience.
        install_snapshot_timeout: 3_600_000,
        ..Config::default()
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("a system without randomness cannot run a node: the identity needed it too");
    u64::from_be_bytes(bytes)
}
