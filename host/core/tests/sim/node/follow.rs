//! The worker's side: hearing of others, joining a leader, reporting to it, and going on without it when it stays
//! silent. As `host/akita/src/cluster/{announce,follow}.rs`.

use akita_core::{
    ClusterId, Command, EventType,
    membership::{Announcement, Verdict, decide},
    wire::{Refusal, Refused, Report, Reported, Standing},
};

use super::{
    Body, ELECTION, Mind, Timer,
    driver::Waiter,
    greet::{After, alone},
    mesh::{ROUND_TRIPS, Then},
};
use crate::{
    heap::{MS, SECOND, Time},
    world::Cx,
};

const RETRY: Time = SECOND;
const COURTESY: Time = 2 * SECOND;
const MAX_JOINING: usize = 256;
const MAX_STEPS: usize = 4;

#[derive(Default)]
pub struct Follow {
    pub silent_since: Option<Time>,
    pub leader_silent: bool,
    /// One change of sides at a time.
    moving: bool,
    reporting: bool,
    /// Something came up while the last report was on its way.
    again: bool,
    turn: u32,
    recalled: Option<(Standing, Time)>,
}

impl Mind {
    pub(super) fn heard(&mut self, body: &mut Body, cx: &mut Cx, from: usize, said: &Announcement) {
        if said.tag != cx.tag {
            return;
        }
        let delay = match decide(body.id, alone(self.standing), cx.ids[from], alone(said.standing)) {
            Verdict::Join => 0,
            Verdict::Welcome => COURTESY,
            Verdict::Nothing | Verdict::Apart => return,
        };
        let peer = self.peers.entry(from).or_default();
        if peer.refused_until > cx.heap.now() {
            return;
        }
        if self.joining.len() < MAX_JOINING && self.joining.insert(from) {
            peer.courteous = delay > 0;
            cx.wake(body, delay, Timer::Meet(from));
        }
    }

    pub(super) fn meet_now(&mut self, body: &mut Body, cx: &mut Cx, node: usize) {
        let peer = self.peers.entry(node).or_default();
        let settled = peer.courteous && peer.member.as_ref().is_some_and(|member| member.online);
        if settled {
            self.joining.remove(&node);
        } else {
            self.greet(body, cx, node, After::Meet { first: node, steps: MAX_STEPS });
        }
    }

    pub(super) fn met(
        &mut self,
        body: &mut Body,
        cx: &mut Cx,
        node: usize,
        first: usize,
        steps: usize,
        theirs: Standing,
    ) {
        let mine = self.standing;
        if decide(body.id, alone(mine), cx.ids[node], alone(theirs)) == Verdict::Join {
            self.join(body, mine, theirs);
        } else if theirs.leader != cx.ids[node]
            && theirs.leader != body.id
            && theirs.cluster < mine.cluster
            && steps > 1
            && let Some(leader) = cx.place_of(theirs.leader)
        {
            return self.greet(body, cx, leader, After::Meet { first, steps: steps - 1 });
        }
        self.joining.remove(&first);
    }

    /// Follows the leader of `theirs`. A leader gives way: its log is sealed before anybody hears of it.
    pub(super) fn join(&mut self, body: &Body, mine: Standing, theirs: Standing) {
        if self.follow.moving || mine != self.standing || mine == theirs || theirs.leader == body.id {
            return;
        }
        self.follow.moving = true;
        let Standing { cluster: into, leader } = theirs;
        self.next.commands.push(Command::Seal { into, leader });
        self.next.commands.push(Command::Record { event: EventType::ClusterJoin, node: body.id, details: vec![] });
        self.next.waiters.push(Waiter::Stand(theirs));
    }

    fn found(&mut self, body: &mut Body, cx: &mut Cx) {
        if self.follow.moving || self.leads(body) {
            return;
        }
        self.follow.moving = true;
        let id = ClusterId::found("akita", body.id, cx.dice.bytes());
        self.next.commands.push(Command::Found { id, name: "akita".into(), founder: body.id });
        self.next.waiters.push(Waiter::Stand(Standing { cluster: id, leader: body.id }));
    }

    pub(super) fn moved(&mut self) {
        self.follow.moving = false;
    }

    fn leader_patience(&self, body: &Body, cx: &Cx) -> Time {
        let leader = cx.place_of(self.standing.leader).unwrap_or(body.at);
        ELECTION.max(u64::from(self.rtt_ms(body, cx, leader)) * MS * ROUND_TRIPS)
    }

    pub(super) fn report_soon(&mut self, body: &Body, cx: &mut Cx) {
        if self.follow.reporting {
            self.follow.again = true;
        } else {
            self.report_after(body, cx, 0);
        }
    }

    fn report_after(&mut self, body: &Body, cx: &mut Cx, pause: Time) {
        self.follow.turn += 1;
        cx.wake(body, pause, Timer::Report(self.follow.turn));
    }

    pub(super) fn report_due(&mut self, body: &mut Body, cx: &mut Cx, turn: u32) {
        if turn != self.follow.turn || self.leads(body) || self.follow.reporting {
            return;
        }
        self.send_report(body, cx, self.paused);
    }

    pub(super) fn send_report(&mut self, body: &Body, cx: &mut Cx, leaving: bool) {
        let Some(leader) = cx.place_of(self.standing.leader) else { return };
        self.follow.reporting = true;
        let report = Report {
            standing: self.standing,
            incarnation: body.life,
            digest: body.digest,
            slots: body.offer.slots,
            running: self.work.held() as u16,
            cpu: 10,
            memory: 20,
            rtt_ms: self.rtt_ms(body, cx, leader),
            leaving,
            parked: 0,
            voters: None,
        };
        let wait = self.leader_patience(body, cx);
        self.call(body, cx, leader, &report, wait, Then::Reported { mine: self.standing });
    }

    pub(super) fn report_answered(&mut self, body: &mut Body, cx: &mut Cx, mine: Standing, answer: Reported) {
        if answer.standing != mine {
            // The same leader under a new log: it was alone for a while.
            self.join(body, mine, answer.standing);
        }
        self.follow.silent_since = None;
        self.follow.leader_silent = false;
        self.recall_now_and_then(body, cx);
        self.deliver_all(body, cx);
        let leader = cx.place_of(self.standing.leader).unwrap_or(body.at);
        let pause = cx.tuning.report_interval(self.rtt_ms(body, cx, leader)) * MS;
        self.reported_back(body, cx, pause);
    }

    fn reported_back(&mut self, body: &Body, cx: &mut Cx, pause: Time) {
        self.follow.reporting = false;
        let soon = std::mem::take(&mut self.follow.again);
        self.report_after(body, cx, if soon { 0 } else { pause });
    }

    pub(super) fn report_failed(&mut self, body: &mut Body, cx: &mut Cx, mine: Standing, refused: Option<Refused>) {
        match refused {
            Some(Refused { why: Refusal::NotLeader, standing: Some(standing), .. }) => {
                if standing.leader == body.id {
                    // It followed this node, which has restarted or founded anew since: one of the two must lead.
                    self.found(body, cx);
                } else if let Some(leader) = cx.place_of(standing.leader) {
                    self.greet(body, cx, leader, After::GoOn { mine });
                }
                self.follow.silent_since = None;
            }
            _ => {
                let now = cx.heap.now();
                let since = *self.follow.silent_since.get_or_insert(now);
                self.follow.leader_silent = true;
                if body.clock.run(now - since) >= self.leader_patience(body, cx) {
                    self.found(body, cx);
                }
            }
        }
        self.reported_back(body, cx, RETRY);
    }

    /// Asks after tasks that this node gave out before it gave way.
    fn recall_now_and_then(&mut self, body: &Body, cx: &mut Cx) {
        let now = cx.heap.now();
        let every = cx.tuning.node_timeout * MS;
        if self.follow.recalled.is_none_or(|(then, at)| then != self.standing || now - at >= every) {
            self.follow.recalled = Some((self.standing, now));
            self.recall(body, cx, None);
        }
    }
}
