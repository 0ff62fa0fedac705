//! From one voter to several and back: ending one engine, changing the database, and starting the one that belongs to it.
//! And what a leader may do about the others. Who should vote is decided elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use akita_core::{ClusterId, Command, Millis, NodeId, State, autopilot::Profile, wire};
use tokio::sync::watch;

use super::{
    Consensus, ConsensusError, Engine, Event, Inner, Role, Transport,
    raft::{self, Noted, Voter},
    single,
};
use crate::{
    killpoint::Point,
    store::{Machine, Position, SMALL, StoreError},
};

/// Time for the only voter of a log to elect itself.
const LEAD_WAIT: Duration = Duration::from_secs(10);

/// Several voters.
impl Consensus {
    /// What this node is among several voters, as it changes.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.0.role.subscribe()
    }

    /// Gives the way to other voters; a node that is one of several takes part from here on.
    ///
    /// # Errors
    /// The voters' log is damaged.
    pub async fn connect(&self, transport: Arc<dyn Transport>) -> Result<(), StoreError> {
        let _one = self.0.moving.lock().await;
        let _ = self.0.transport.set(transport);
        match Noted::read(&self.0.store).await? {
            Some(noted) if self.voter().is_none() => self.start(noted).await,
            _ => Ok(()),
        }
    }

    /// Makes this node's own log one that others can vote on. It goes on as the only voter until some are added.
    ///
    /// # Errors
    /// The store failed, or the node is not the only voter of its log.
    pub async fn open_to_voters(
        &self,
        cluster: ClusterId,
        number: u64,
        profile: Profile,
    ) -> Result<(), ConsensusError> {
        let noted = Noted { cluster, number, profile };
        let me = self.0.me;
        self.change(move |machine| Ok((Next::Voter(noted), noted.open(me, machine)?))).await
    }

    /// Begins with an empty log that the leader of `cluster` fills; what was so far goes into the archive. Nothing
    /// happens where that was done before.
    ///
    /// # Errors
    /// The store failed, or this node votes on another log.
    pub async fn join_voters(&self, cluster: ClusterId, number: u64, profile: Profile) -> Result<(), ConsensusError> {
        let noted = Noted { cluster, number, profile };
        if let Some(voter) = self.voter() {
            let now = voter.noted();
            if now.cluster == cluster && now.number == number {
                return Ok(());
            }
            if now.cluster != cluster || now.number > number {
                return Err(ConsensusError::NotLeader);
            }
        } else {
            let name = format!("{}-{number}", cluster);
            self.0.store.archive(name).await?;
            Point::AfterArchiveBeforeJoin.reach();
        }
        self.change(move |machine| Ok((Next::Voter(noted), noted.join(machine)?))).await?;
        Point::AfterJoinCommitted.reach();
        let _ = self.0.events.send(Event::Replaced);
        Ok(())
    }

    /// Takes part in no other log any more, and begins with one of its own: `first` is its first entry, which founds a
    /// cluster.
    ///
    /// # Errors
    /// The store failed.
    pub async fn leave_voters(&self, first: Vec<Command>) -> Result<(), ConsensusError> {
        let time = (self.0.clock)();
        self.change(move |machine| Ok((begin_anew(machine, time, first)?, ()))).await
    }

    /// Ends to vote, so that this node can follow another cluster's leader. The only voter of a log goes on with it as
    /// [`Consensus::go_on_alone`] does; one that was called to receive a log and has no vote in it begins with one of its
    /// own, which `first` founds. What the engine says of the voters may lag, and is nothing for a moment after each start:
    /// the database is asked.
    ///
    /// # Errors
    /// Others vote on its log ([`ConsensusError::NotLeader`]), and it goes on as before; or the store failed.
    pub async fn give_way(&self, first: Vec<Command>) -> Result<(), ConsensusError> {
        let one = self.0.moving.lock().await;
        let Some(voter) = self.voter() else { return Ok(()) };
        let (noted, time) = (voter.noted(), (self.0.clock)());
        let work = move |machine: &mut Machine| {
            let voters = raft::voters(machine)?;
            Ok(match (voters.contains(&noted.number), voters.len()) {
                (false, _) => (begin_anew(machine, time, first)?, true),
                (true, 1) => (go_on(machine)?.0, true),
                _ => (Next::Voter(noted), false),
            })
        };
        if self.change_under(&one, work).await? { Ok(()) } else { Err(ConsensusError::NotLeader) }
    }

    /// Goes on alone with all that this voter's log holds, also what was not known to be committed: of what was
    /// accepted, nothing that is here is lost. Answers the state that it has come to.
    ///
    /// # Errors
    /// The store failed.
    pub async fn go_on_alone(&self) -> Result<State, ConsensusError> {
        self.change(go_on).await
    }

    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Machine) -> Result<(Next, T), StoreError> + Send + 'static,
    ) -> Result<T, ConsensusError> {
        let one = self.0.moving.lock().await;
        self.change_under(&one, work).await
    }

    /// Ends the present engine, changes the database, and starts the one that belongs to it.
    async fn change_under<T: Send + 'static>(
        &self,
        _moving: &tokio::sync::MutexGuard<'_, ()>,
        work: impl FnOnce(&mut Machine) -> Result<(Next, T), StoreError> + Send + 'static,
    ) -> Result<T, ConsensusError> {
        if let Engine::Voter(voter) = self.set_engine(Engine::Moving) {
            voter.stop().await;
        }
        // Behind all that was proposed before: the writer keeps the order.
        let (next, found) = self.0.writer.write(SMALL, work).await?;
        match next {
            Next::Voter(noted) => self.start(noted).await?,
            Next::Single(event) => self.vote_no_more(event),
        }
        Ok(found)
    }

    /// Goes on as the only voter. Nothing can be proposed, nor told as applied, before `event` is.
    fn vote_no_more(&self, event: Event) {
        let Inner { writer, clock, events, role, engine, .. } = &*self.0;
        let single = single::Single::new(writer.clone(), clock.clone(), events.clone());
        let mut engine = engine.write().unwrap_or_else(PoisonError::into_inner);
        role.send_replace(Role::default());
        let _ = events.send(event);
        *engine = Engine::Single(single);
    }

    async fn start(&self, noted: Noted) -> Result<(), StoreError> {
        let transport = self.0.transport.get().cloned().ok_or(StoreError::Stopped)?;
        let Inner { me, store, writer, snapshots, clock, events, role, .. } = &*self.0;
        role.send_replace(Role {
            cluster: Some(noted.cluster),
            number: noted.number,
            profile: Some(noted.profile),
            ..Role::default()
        });
        let start = raft::Start {
            me: *me,
            store: store.clone(),
            writer: writer.clone(),
            snapshots: snapshots.clone(),
            clock: clock.clone(),
            events: events.clone(),
            role: role.clone(),
            transport,
        };
        let voter = Voter::start(noted, start).await?;
        if voter.is_alone() {
            // So that nobody is turned away in between.
            let mut role = self.0.role.subscribe();
            let _ = tokio::time::timeout(LEAD_WAIT, role.wait_for(|role| role.leads)).await;
        }
        self.set_engine(Engine::Voter(voter));
        Ok(())
    }

    /// Answers a call of another voter.
    ///
    /// # Errors
    /// It is not for this node, or makes no sense.
    pub async fn handle(&self, from: NodeId, call: wire::Raft) -> Result<Vec<u8>, String> {
        match self.voter() {
            Some(voter) => voter.handle(from, call).await,
            None => Err("this node does not vote".into()),
        }
    }

    /// Whether what this node holds is the newest that its cluster has committed: it leads, and most voters agree.
    pub async fn is_current(&self) -> bool {
        match self.engine() {
            Engine::Single(_) => true,
            Engine::Voter(voter) => self.0.role.borrow().leads && voter.is_current().await,
            Engine::Moving => false,
        }
    }

    /// Entries that each receiver of the log lacks; on the leader.
    pub fn lags(&self) -> BTreeMap<u64, u64> {
        self.voter().map(|voter| voter.lags()).unwrap_or_default()
    }

    /// Receivers of the log that have answered this leader lately.
    pub fn answering(&self) -> BTreeSet<u64> {
        self.voter().map(|voter| voter.answering()).unwrap_or_default()
    }

    /// Voters that lack what they once told this leader to have: their disk was put back to an earlier time.
    pub fn came_back_older(&self) -> BTreeSet<u64> {
        self.voter().map(|voter| voter.came_back_older()).unwrap_or_default()
    }

    /// Has another node receive the log, without a vote.
    ///
    /// # Errors
    /// This node does not lead, or the voters do not agree in time.
    pub async fn add_learner(&self, number: u64, node: NodeId) -> Result<(), String> {
        self.leading()?.add_learner(number, node).await
    }

    /// Lets exactly these vote.
    ///
    /// # Errors
    /// This node does not lead, one of them does not receive the log, or the voters do not agree in time.
    pub async fn set_voters(&self, voters: BTreeSet<u64>) -> Result<(), String> {
        self.leading()?.set_voters(voters).await
    }

    /// Sends one that does not vote nothing more.
    ///
    /// # Errors
    /// This node does not lead, or the voters do not agree in time.
    pub async fn drop_learner(&self, number: u64) -> Result<(), String> {
        self.leading()?.drop_learner(number).await
    }

    /// Hands the lead to another voter; returns before it has it.
    ///
    /// # Errors
    /// This node does not lead.
    pub async fn transfer(&self, number: u64) -> Result<(), String> {
        self.leading()?.transfer(number).await
    }

    fn leading(&self) -> Result<Voter, String> {
        self.voter().ok_or_else(|| "this node is not one of several voters".to_owned())
    }

    /// Ends the engine, before the store is closed.
    pub async fn stop(&self) {
        if let Some(voter) = self.voter() {
            voter.stop().await;
        }
    }
}

/// What belongs to a database that was changed.
enum Next {
    /// One of several voters.
    Voter(Noted),
    /// The only one of its own log, and what that means for the state.
    Single(Event),
}

/// Begins with an empty log, whose first entry is `first`.
fn begin_anew(machine: &mut Machine, time: Millis, first: Vec<Command>) -> Result<Next, StoreError> {
    machine.raft_clear()?;
    machine.apply(Position { index: 1, time }, first)?;
    Ok(Next::Single(Event::Replaced))
}

/// Takes all that the voters' log holds for committed; the state then.
fn go_on(machine: &mut Machine) -> Result<(Next, State), StoreError> {
    raft::apply_rest(machine)?;
    machine.raft_forget()?;
    let (state, time) = (machine.state().clone(), machine.position().time);
    Ok((Next::Single(Event::Leads { term: 0, state: Box::new(state.clone()), time }), state))
}
