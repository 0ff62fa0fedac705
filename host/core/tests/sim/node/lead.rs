//! The leader's side: who works for it, what they offer, who went silent. As `host/akita/src/cluster/lead.rs`.

use std::collections::VecDeque;

use akita_core::{
    Command, EventType,
    schedule::{Load, Offer},
    tuning::MAX_RTT_MS,
    versions::Versions,
    wire::{Catalog, GetCatalog, Hello, Message, Refusal, Report, Reported},
};

use super::{
    Body, Mind, Timer,
    greet::After,
    mesh::{CallId, Then},
};
use crate::{
    heap::{MS, SECOND, Time},
    world::Cx,
};

const WATCH: Time = 500 * MS;
const OUTBOX: Time = 10 * SECOND;
const MAX_SLOTS: u16 = 256;

/// One node that was met.
#[derive(Default)]
pub struct Peer {
    pub admitted: bool,
    pub pending: VecDeque<(Hello, [u8; 16])>,
    pub after_greeting: Vec<After>,
    pub refused_until: Time,
    /// It was left time to come by itself.
    pub courteous: bool,
    pub member: Option<Member>,
}

/// A worker of this leader.
pub struct Member {
    incarnation: u32,
    slots: u16,
    digest: [u8; 8],
    offer: bool,
    load: Load,
    last_heard: Time,
    pub online: bool,
    leaving: bool,
    fetching: bool,
}

#[derive(Default)]
pub struct Lead {
    pub started: Time,
    looked_for_absent: bool,
    outbox_due: Time,
    turn: u32,
}

fn load_of(report: &Report) -> Load {
    Load {
        cpu_percent: report.cpu.min(100),
        memory_percent: report.memory.min(100),
        rtt_ms: report.rtt_ms.min(MAX_RTT_MS),
        parked: report.parked.min(report.running),
    }
}

impl Mind {
    pub(super) fn offer_own_slots(&mut self, body: &Body) {
        self.leader.worker_up(body.id, body.offer.clone(), Load::default());
    }

    pub(super) fn begin_to_lead(&mut self, body: &Body, cx: &mut Cx) {
        self.offer_own_slots(body);
        self.lead.turn += 1;
        cx.wake(body, WATCH, Timer::Watch(self.lead.turn));
    }

    /// Answers a worker's report.
    pub(super) fn serve_report(&mut self, body: &mut Body, cx: &mut Cx, from: usize, call: CallId, report: &Report) {
        if !self.leads(body) {
            let bytes = self.refuse(Refusal::NotLeader);
            return self.reply(body, cx, from, call, bytes);
        }
        let now = cx.heap.now();
        let node = cx.ids[from];
        let peer = self.peers.entry(from).or_default();
        let joined = peer.member.is_none();
        let member = peer.member.get_or_insert_with(|| Member {
            incarnation: report.incarnation,
            slots: 0,
            digest: report.digest,
            offer: false,
            load: load_of(report),
            last_heard: now,
            online: false,
            leaving: false,
            fetching: false,
        });
        let restarted = member.incarnation != report.incarnation;
        let online = !member.online;
        if restarted || member.digest != report.digest || online {
            member.offer = false;
        }
        let fetch = !member.offer && !member.fetching && !report.leaving;
        *member = Member {
            incarnation: report.incarnation,
            slots: report.slots.min(MAX_SLOTS),
            digest: report.digest,
            load: load_of(report),
            last_heard: now,
            online: true,
            leaving: report.leaving,
            fetching: member.fetching || fetch,
            ..*member
        };
        let load = member.load;
        if restarted {
            let lost = self.leader.worker_lost(node);
            self.next.commands.extend(lost);
        }
        if joined || online {
            let row = |event| Command::Record { event, node, details: vec![] };
            self.next.commands.extend(joined.then(|| row(EventType::ClusterJoin)));
            self.next.commands.push(row(EventType::NodeOnline));
        }
        if joined {
            self.recall(body, cx, Some(node));
        }
        if report.leaving {
            self.leader.worker_leaving(node);
        } else if fetch {
            let wait = self.patience(body, cx, from);
            self.call(body, cx, from, &GetCatalog {}, wait, Then::Catalog);
        } else {
            self.leader.worker_load(node, load);
        }
        self.reply(body, cx, from, call, Reported { standing: self.standing, view: 0, voters: None }.encode());
    }

    pub(super) fn catalog_came(&mut self, cx: &Cx, from: usize, catalog: Catalog) {
        let Some(member) = self.peers.get_mut(&from).and_then(|peer| peer.member.as_mut()) else { return };
        member.fetching = false;
        let catalog = catalog.cleaned();
        if member.digest != catalog.digest || member.leaving || !member.online {
            return;
        }
        member.offer = true;
        let (slots, load) = (member.slots, member.load);
        let actions = catalog.actions.into_iter().collect();
        let offer = Offer {
            slots,
            versions: Versions::unpack(&catalog.versions, &actions),
            actions,
            capabilities: catalog.capabilities.into_iter().collect(),
            caps: catalog.caps.into_iter().collect(),
        };
        self.leader.worker_up(cx.ids[from], offer, load);
    }

    pub(super) fn catalog_missed(&mut self, from: usize) {
        if let Some(member) = self.peers.get_mut(&from).and_then(|peer| peer.member.as_mut()) {
            member.fetching = false;
        }
    }

    pub(super) fn watch(&mut self, body: &mut Body, cx: &mut Cx, turn: u32) {
        if turn != self.lead.turn || !self.leads(body) {
            return;
        }
        cx.wake(body, WATCH, Timer::Watch(turn));
        let now = cx.heap.now();
        for node in self.silent(body, cx, now) {
            self.lose(cx, node);
        }
        if !self.lead.looked_for_absent && now - self.lead.started >= cx.tuning.node_timeout * MS {
            self.lead.looked_for_absent = true;
            for node in self.leader.absent_holders() {
                let lost = self.leader.worker_lost(node);
                self.next.commands.extend(lost);
            }
        }
        if now >= self.lead.outbox_due {
            self.lead.outbox_due = now + OUTBOX;
            self.flush_outbox(body, cx);
        }
    }

    fn silent(&self, body: &Body, cx: &Cx, now: Time) -> Vec<usize> {
        let is_silent = |node: usize, member: &Member| {
            let rtt = self.rtt_ms(body, cx, node).max(member.load.rtt_ms);
            body.clock.run(now - member.last_heard) > cx.tuning.patience(rtt) * MS
        };
        let members = self.peers.iter().filter_map(|(node, peer)| Some((*node, peer.member.as_ref()?)));
        members.filter(|(node, member)| member.online && is_silent(*node, member)).map(|(node, _)| node).collect()
    }

    fn lose(&mut self, cx: &mut Cx, node: usize) {
        if let Some(member) = self.peers.get_mut(&node).and_then(|peer| peer.member.as_mut()) {
            member.online = false;
            member.offer = false;
        }
        cx.note(|| format!("node {node} counts as offline"));
        let id = cx.ids[node];
        let lost = self.leader.worker_lost(id);
        self.next.commands.extend(lost);
        self.next.commands.push(Command::Record { event: EventType::NodeOffline, node: id, details: vec![] });
    }
}
