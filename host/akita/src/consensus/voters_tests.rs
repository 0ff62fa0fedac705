//! Several voters in one process, each with a database of its own, over a network that can be cut: what is accepted is
//! never lost, whoever goes, and everyone comes to the same state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Instant,
};

use akita_core::{TaskId, task::Status};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::store::{
    DEFAULT_FILE, LedgerHead,
    testing::{clock, done, finish, signer_of, submit, task},
};

const CLUSTER: ClusterId = ClusterId([9; 16]);
/// Longer than any of it takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

/// The wires between the voters.
#[derive(Default)]
struct Wires {
    nodes: Mutex<BTreeMap<NodeId, Consensus>>,
    cut: Mutex<BTreeSet<NodeId>>,
    /// Where each piece of a snapshot began that was sent.
    pieces: Mutex<Vec<u64>>,
    /// After so many of them the wire to the receiver breaks.
    breaks_after: Mutex<Option<usize>>,
}

impl Wires {
    /// Whether this is the piece at which the wire breaks.
    fn breaks(&self, call: &wire::Raft, to: NodeId) -> bool {
        let Some(piece) = call.piece.filter(|_| call.what == 5) else { return false };
        let mut pieces = self.pieces.lock().unwrap();
        pieces.push(piece.offset);
        let breaks = *self.breaks_after.lock().unwrap() == Some(pieces.len());
        if breaks {
            self.cut.lock().unwrap().insert(to);
        }
        breaks
    }
}

/// One voter's end of them.
struct End(NodeId, Arc<Wires>);

impl Transport for End {
    fn call(
        &self,
        to: NodeId,
        call: wire::Raft,
        wait: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + '_>> {
        Box::pin(async move {
            let other = {
                let cut = self.1.cut.lock().unwrap();
                let other = self.1.nodes.lock().unwrap().get(&to).cloned();
                other.filter(|_| !cut.contains(&self.0) && !cut.contains(&to)).ok_or("no way there")?
            };
            // As over a wire: the other end sees bytes.
            let bytes = wire::Message::encode(&call);
            let call = <wire::Raft as wire::Message>::decode(&bytes).map_err(|error| error.to_string())?;
            let breaks = self.1.breaks(&call, to);
            let answered = tokio::time::timeout(wait, other.handle(self.0, call)).await;
            if breaks {
                return Err("the answer is lost".into());
            }
            answered.unwrap_or_else(|_| Err("no answer".into()))
        })
    }

    fn rtt_ms(&self, _: NodeId) -> u32 {
        1
    }
}

/// A voter, with what it has told.
struct Member {
    id: NodeId,
    consensus: Consensus,
    store: Store,
    dir: TempDir,
    leads: Arc<Mutex<Vec<u64>>>,
    listener: JoinHandle<()>,
}

impl Member {
    async fn start(id: NodeId, dir: TempDir, wires: &Arc<Wires>) -> Member {
        let data = DataDir::open(dir.path()).unwrap();
        let opened = open(&data, DEFAULT_FILE, signer_of(id), clock()).unwrap();
        let leads = Arc::new(Mutex::new(Vec::new()));
        let (mut events, told) = (opened.events, leads.clone());
        let listener = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Leads { term, .. } = event {
                    told.lock().unwrap().push(term);
                }
            }
        });
        wires.nodes.lock().unwrap().insert(id, opened.consensus.clone());
        opened.consensus.connect(Arc::new(End(id, wires.clone()))).await.unwrap();
        Member { id, consensus: opened.consensus, store: opened.store, dir, leads, listener }
    }

    fn role(&self) -> Role {
        self.consensus.role().borrow().clone()
    }

    async fn until(&self, what: &str, is: impl Fn(&Role) -> bool) {
        let mut role = self.consensus.role();
        let waited = tokio::time::timeout(PATIENCE, role.wait_for(|role| is(role))).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.role());
    }

    async fn one(&self, command: Command) -> Result<Committed, ConsensusError> {
        let proposed = tokio::time::timeout(PATIENCE, self.consensus.propose(vec![command])).await;
        proposed.expect("an answer")
    }

    /// Ends it as a power cut would, but for the disk.
    async fn kill(self, wires: &Wires) -> (NodeId, TempDir) {
        wires.nodes.lock().unwrap().remove(&self.id);
        self.consensus.stop().await;
        let Member { id, consensus, store, dir, listener, .. } = self;
        // The directory is free once the writer has ended, after its last handle.
        store.close().await.unwrap();
        listener.abort();
        drop((consensus, store));
        (id, dir)
    }
}

/// Three voters, the first of them leading.
struct Three {
    wires: Arc<Wires>,
    members: Vec<Member>,
}

impl Three {
    async fn new() -> Three {
        let wires = Arc::new(Wires::default());
        let mut members = Vec::new();
        for n in 1..=3 {
            members.push(Member::start(node(n), tempfile::tempdir().unwrap(), &wires).await);
        }
        let first = &members[0];
        first.one(Command::Found { id: CLUSTER, name: "akita".into(), founder: node(1) }).await.unwrap();
        first.one(submit(task(1))).await.unwrap();
        let number = enlist(first, node(1)).await;
        first.consensus.open_to_voters(CLUSTER, number, Profile::Lan).await.unwrap();
        let mut voters = BTreeSet::from([number]);
        for other in &members[1..] {
            let number = enlist(first, other.id).await;
            other.consensus.join_voters(CLUSTER, number, Profile::Lan).await.unwrap();
            first.consensus.add_learner(number, other.id).await.unwrap();
            voters.insert(number);
        }
        first.consensus.set_voters(voters).await.unwrap();
        for member in &members {
            member.until("three to vote", |role| role.voters.len() == 3).await;
        }
        Three { wires, members }
    }

    fn cut(&self, id: NodeId, off: bool) {
        let mut cut = self.wires.cut.lock().unwrap();
        if off {
            cut.insert(id)
        } else {
            cut.remove(&id)
        };
    }

    /// The one that leads among those that are not cut off.
    async fn leader(&self) -> &Member {
        let end = Instant::now() + PATIENCE;
        loop {
            let cut = self.wires.cut.lock().unwrap().clone();
            let mut there = self.members.iter().filter(|member| !cut.contains(&member.id));
            if let Some(leader) = there.find(|member| member.role().leads && member.role().quorum) {
                return leader;
            }
            assert!(Instant::now() < end, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Proposes until some leader has it.
    async fn accept(&self, id: TaskId) -> Committed {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.leader().await.one(submit(id)).await {
                Ok(committed) => return committed,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        }
    }

    /// Waits until all have the same ledger, and checks it.
    async fn agree(&self) -> LedgerHead {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut heads = Vec::new();
            for member in &self.members {
                heads.push((member.store.ledger_head().await.unwrap(), member.store.log_index().await.unwrap()));
            }
            if heads.windows(2).all(|pair| pair[0] == pair[1]) {
                break;
            }
            assert!(Instant::now() < end, "they differ: {heads:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for member in &self.members {
            let report = member.store.verify().await.unwrap();
            assert!(report.ok, "{report:?}");
        }
        self.members[0].store.ledger_head().await.unwrap()
    }

    async fn restart(&mut self, at: usize) {
        let (id, dir) = self.members.remove(at).kill(&self.wires).await;
        self.members.insert(at, Member::start(id, dir, &self.wires).await);
    }
}

/// 64 KiB that no compression makes smaller.
fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

async fn enlist(leader: &Member, id: NodeId) -> u64 {
    match &leader.one(Command::Enlist { node: id }).await.unwrap().replies[..] {
        [Reply::Enlisted(number)] => *number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_voters_hold_what_one_had_before_and_what_is_accepted_since() {
    let three = Three::new().await;
    let fence = three.accept(task(2)).await.index;
    let leader = three.leader().await;
    let assigned = leader.one(Command::Assign { task: task(2), worker: node(1) }).await.unwrap();
    assert!(assigned.index > fence, "the index goes on, so that a fence is never used twice");
    let finished = Command::Finish { task: task(2), fence: assigned.index, worker: node(1), outcome: done() };
    assert_eq!(leader.one(finished).await.unwrap().replies, [Reply::Done]);
    three.agree().await;
    for member in &three.members {
        assert_eq!(member.store.counts().await.unwrap()[&Status::Pending], 1);
        let record = member.store.task(task(2)).await.unwrap().unwrap();
        assert_eq!(record.meta.task.status, Status::Completed);
        assert!(record.result.is_some());
        let enlisted = member.store.enlisted().await.unwrap();
        assert_eq!(enlisted.len(), 3);
        let numbers: BTreeSet<u64> = enlisted.values().map(|one| one.number).collect();
        assert_eq!(numbers.len(), 3, "each has a number of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_gone_is_replaced_and_nothing_accepted_is_lost() {
    let mut three = Three::new().await;
    for n in 10..30 {
        three.accept(task(n)).await;
    }
    let old = three.leader().await.id;
    let at = three.members.iter().position(|member| member.id == old).unwrap();
    let (id, dir) = three.members.remove(at).kill(&three.wires).await;
    three.accept(task(30)).await;
    let new = three.leader().await;
    assert_ne!(new.id, old);
    assert_eq!(new.leads.lock().unwrap().len(), 1, "it was told that it leads");
    for n in 10..=30 {
        let known = new.one(submit(task(n))).await.unwrap().replies;
        assert_eq!(known, [Reply::Known(Status::Pending)]);
    }
    // And the old one comes back with what it missed.
    three.members.push(Member::start(id, dir, &three.wires).await);
    three.agree().await;
    assert_eq!(three.members[2].store.counts().await.unwrap()[&Status::Pending], 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_accepts_nothing_and_follows_when_it_is_back() {
    let three = Three::new().await;
    let old = three.leader().await;
    let id = old.id;
    three.cut(id, true);
    let lonely = old.consensus.submit(vec![submit(task(66))]).unwrap();
    old.until("it to notice that nobody answers", |role| !role.quorum).await;
    assert!(!old.consensus.is_current().await, "what it holds may be old");
    three.accept(task(40)).await;
    three.cut(id, false);
    assert!(lonely.answer.await.unwrap().is_err(), "never accepted");
    three.agree().await;
    let old = three.members.iter().find(|member| member.id == id).unwrap();
    assert!(old.store.task_meta(task(66)).await.unwrap().is_none());
    assert!(old.store.task_meta(task(40)).await.unwrap().is_some());
    let leader = three.leader().await;
    assert!(leader.consensus.is_current().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_accepted_and_with_it_all_goes_on() {
    let mut three = Three::new().await;
    let leader = three.leader().await.id;
    let mut gone = Vec::new();
    while let Some(at) = three.members.iter().position(|member| member.id != leader) {
        gone.push(three.members.remove(at).kill(&three.wires).await);
    }
    let waiting = three.members[0].consensus.submit(vec![submit(task(50))]).unwrap();
    three.members[0].until("the majority to be missed", |role| !role.quorum).await;
    assert!(three.members[0].store.task_meta(task(50)).await.unwrap().is_none(), "not before most have it");
    for (id, dir) in gone {
        three.members.push(Member::start(id, dir, &three.wires).await);
    }
    // It was never answered, so it may be accepted now or not; sent again, it is accepted once.
    let _ = waiting.answer.await;
    three.accept(task(50)).await;
    three.accept(task(51)).await;
    three.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_restart_and_go_on_where_they_were() {
    let mut three = Three::new().await;
    for n in 10..20 {
        three.accept(task(n)).await;
    }
    let before = three.agree().await;
    for at in 0..3 {
        three.restart(at).await;
    }
    three.accept(task(20)).await;
    let after = three.agree().await;
    assert!(after.rows > before.rows);
    for member in &three.members {
        assert_eq!(member.store.counts().await.unwrap()[&Status::Pending], 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_lags_far_behind_gets_the_state_and_not_the_log() {
    let three = Three::new().await;
    let leader = three.leader().await;
    let lagging = three.members.iter().find(|member| member.id != leader.id).unwrap();
    let own = lagging.store.signed_head(None).await.unwrap().expect("it has rows");
    assert_eq!(lagging.store.checkpoints(9).await.unwrap(), [own]);
    three.cut(lagging.id, true);
    let behind = lagging.store.log_index().await.unwrap();
    // More entries than the log keeps, some of them larger than a message.
    let answers: Vec<_> = (0..48u64)
        .map(|n| {
            let mut large = submit(task(1_000 + n));
            if let Command::Submit { spec, .. } = &mut large {
                spec.input.body = noise(n);
            }
            leader.consensus.propose(vec![large])
        })
        .collect();
    for answer in answers {
        answer.await.unwrap();
    }
    for _ in 0..9_000 / 30 {
        let batch = (0..30).map(|_| leader.consensus.propose(vec![]));
        for answer in futures_util::future::join_all(batch).await {
            answer.unwrap();
        }
    }
    // The log is cut once the snapshot is taken, beside everything else.
    let end = Instant::now() + PATIENCE;
    loop {
        let first = leader.store.raft_entries(0..u64::MAX, 1).await.unwrap()[0].0;
        if first > behind + 1 {
            break;
        }
        assert!(Instant::now() < end, "the leader's log was not cut: {first} after {behind}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    three.wires.pieces.lock().unwrap().clear();
    *three.wires.breaks_after.lock().unwrap() = Some(3);
    three.cut(lagging.id, false);
    let end = Instant::now() + PATIENCE;
    while three.wires.pieces.lock().unwrap().len() < 3 {
        assert!(Instant::now() < end, "no snapshot is sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    three.cut(lagging.id, false);
    three.agree().await;
    let pieces = three.wires.pieces.lock().unwrap().clone();
    assert!(pieces[2] > 0 && pieces[3] >= pieces[2], "it went on where it was: {pieces:?}");
    assert_eq!(lagging.store.checkpoints(9).await.unwrap(), [], "its signatures went with the rows under them");
    assert!(lagging.store.input(task(1_007)).await.unwrap().is_some_and(|input| input.body == noise(7)));
    three.accept(task(5)).await;
    three.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_is_handed_over_when_asked() {
    let three = Three::new().await;
    let old = three.leader().await;
    let new = three.members.iter().find(|member| member.id != old.id).unwrap();
    old.consensus.transfer(new.role().number).await.unwrap();
    new.until("it to lead", |role| role.leads).await;
    three.accept(task(70)).await;
    three.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_about_another_log_or_from_somebody_else_never_reach_the_engine() {
    let three = Three::new().await;
    let (one, other) = (&three.members[0], &three.members[1]);
    let call = wire::Raft {
        cluster: CLUSTER,
        from: other.role().number,
        to: one.role().number,
        what: 2,
        body: Vec::new(),
        piece: None,
    };
    let elsewhere = wire::Raft { cluster: ClusterId([1; 16]), ..call.clone() };
    assert!(one.consensus.handle(other.id, elsewhere).await.unwrap_err().contains("another log"));
    let formerly = wire::Raft { to: 0, ..call.clone() };
    assert!(one.consensus.handle(other.id, formerly).await.unwrap_err().contains("another voter"));
    assert!(one.consensus.handle(node(8), call.clone()).await.unwrap_err().contains("belongs to another"));
    for what in 0..9 {
        let nonsense = wire::Raft { what, body: vec![0xc1; 40], ..call.clone() };
        assert!(one.consensus.handle(other.id, nonsense).await.is_err(), "{what}");
        let piece = Some(wire::Piece { of: 1, offset: 9, total: u64::MAX });
        let nonsense = wire::Raft { what, body: vec![7; 40], piece, ..call.clone() };
        assert!(one.consensus.handle(other.id, nonsense).await.is_err(), "{what}");
    }
    three.accept(task(80)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_began_to_vote_still_knows_what_it_did_before_and_can_begin_anew() {
    let wires = Arc::new(Wires::default());
    let member = Member::start(node(7), tempfile::tempdir().unwrap(), &wires).await;
    member.one(Command::Found { id: ClusterId([3; 16]), name: "akita".into(), founder: node(7) }).await.unwrap();
    member.one(submit(task(1))).await.unwrap();
    let fence = member.one(Command::Assign { task: task(1), worker: node(7) }).await.unwrap().index;
    let mut finished = finish(task(1), fence, done());
    if let Command::Finish { worker, .. } = &mut finished {
        *worker = node(7);
    }
    assert_eq!(member.one(finished).await.unwrap().replies, [Reply::Done]);

    member.consensus.join_voters(CLUSTER, 40, Profile::Lan).await.unwrap();
    assert_eq!(member.store.ledger_head().await.unwrap().rows, 0, "its log is empty");
    let record = member.store.task(task(1)).await.unwrap().unwrap();
    assert!(record.result.is_some(), "what it did before is in the archive");
    assert!(matches!(member.one(submit(task(2))).await, Err(ConsensusError::NotLeader)));
    // Asked again, as by a leader that has restarted: nothing changes. Under an older number: never.
    member.consensus.join_voters(CLUSTER, 40, Profile::Lan).await.unwrap();
    assert!(member.consensus.join_voters(CLUSTER, 39, Profile::Lan).await.is_err());
    member.consensus.join_voters(CLUSTER, 41, Profile::Lan).await.unwrap();

    let (id, dir) = member.kill(&wires).await;
    let member = Member::start(id, dir, &wires).await;
    assert_eq!(member.role().number, 41, "it is still what it was");
    assert!(member.store.task(task(1)).await.unwrap().is_some());
    let found = Command::Found { id: ClusterId([4; 16]), name: "akita".into(), founder: node(7) };
    member.consensus.leave_voters(vec![found]).await.unwrap();
    assert!(!member.role().is_voter());
    assert_eq!(member.one(submit(task(3))).await.unwrap().replies, [Reply::Done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_voter_can_be_made_to_go_on_alone_with_all_that_it_has() {
    let mut three = Three::new().await;
    for n in 10..20 {
        three.accept(task(n)).await;
    }
    three.agree().await;
    three.members.remove(2).kill(&three.wires).await;
    three.members.remove(1).kill(&three.wires).await;
    let last = &three.members[0];
    let state = last.consensus.go_on_alone().await.unwrap();
    assert_eq!(state.tasks().len(), 11);
    last.one(Command::Found { id: ClusterId([5; 16]), name: "akita".into(), founder: last.id }).await.unwrap();
    assert_eq!(last.one(submit(task(20))).await.unwrap().replies, [Reply::Done]);
    three.restart(0).await;
    let last = &three.members[0];
    assert!(!last.role().is_voter());
    assert_eq!(last.store.counts().await.unwrap()[&Status::Pending], 12);
    assert!(last.store.verify().await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_way_keeps_its_tasks_at_any_moment_and_one_of_several_does_not() {
    let found = |id: u8, founder: NodeId| Command::Found { id: ClusterId([id; 16]), name: "akita".into(), founder };
    let wires = Arc::new(Wires::default());
    let alone = Member::start(node(7), tempfile::tempdir().unwrap(), &wires).await;
    alone.one(found(3, node(7))).await.unwrap();
    alone.one(submit(task(1))).await.unwrap();
    alone.consensus.open_to_voters(ClusterId([3; 16]), 3, Profile::Lan).await.unwrap();
    // At once: its engine may not have said yet who votes.
    alone.consensus.give_way(vec![found(4, node(7))]).await.unwrap();
    assert!(!alone.role().is_voter());
    assert_eq!(alone.store.counts().await.unwrap()[&Status::Pending], 1, "the task is still its own");
    assert_eq!(alone.one(submit(task(2))).await.unwrap().replies, [Reply::Done]);

    // One that was only called has nothing but another's log to lose.
    alone.consensus.join_voters(CLUSTER, 40, Profile::Lan).await.unwrap();
    alone.consensus.give_way(vec![found(5, node(7))]).await.unwrap();
    assert!(!alone.role().is_voter());
    assert_eq!(alone.one(submit(task(3))).await.unwrap().replies, [Reply::Done]);

    let three = Three::new().await;
    three.accept(task(10)).await;
    let refused = three.members[1].consensus.give_way(vec![found(6, three.members[1].id)]).await;
    assert!(matches!(refused, Err(ConsensusError::NotLeader)), "{refused:?}");
    three.accept(task(11)).await;
    three.agree().await;
}
