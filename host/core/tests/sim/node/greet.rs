//! First words between two nodes, and what waits for them. As `host/akita/src/cluster/handshake.rs`.

use std::collections::VecDeque;

use akita_core::{
    membership::{Exchange, Side, Stand, Verdict, decide},
    wire::{Admitted, Hello, Message, Prove, Refusal, Refused, Standing, Welcome},
};

use super::{
    Body, Mind, Timer,
    mesh::{Call, CallId, Then},
};
use crate::{
    heap::{SECOND, Time},
    plan::Planted,
    world::Cx,
};

/// Silence towards a node that was refused or that refused this one.
const REFUSED_FOR: Time = 600 * SECOND;
const MAX_PENDING: usize = 4;

/// What a node does once it has greeted another, or could not.
pub enum After {
    /// Decide who follows whom; so many steps from leader to leader are left.
    Meet { first: usize, steps: usize },
    /// Make the call for which the greeting was asked.
    Call(Box<Call>),
    /// Follow where the old leader went.
    GoOn { mine: Standing },
}

impl Mind {
    fn hello(&self, body: &Body, cx: &mut Cx) -> Hello {
        Hello {
            tag: cx.tag,
            standing: self.standing,
            name: format!("n{}", body.at),
            incarnation: body.life,
            protected: body.key.is_some(),
            nonce: cx.dice.bytes(),
            established: false,
            program: "0.1.0".into(),
        }
    }

    /// Greets a node: on success both have admitted each other.
    pub(super) fn greet(&mut self, body: &mut Body, cx: &mut Cx, node: usize, after: After) {
        let peer = self.peers.entry(node).or_default();
        peer.after_greeting.push(after);
        if peer.after_greeting.len() > 1 {
            return;
        }
        let mine = self.hello(body, cx);
        let wait = self.patience(body, cx, node).max(60 * SECOND);
        self.call(body, cx, node, &mine.clone(), wait, Then::Welcome { mine });
    }

    pub(super) fn welcomed(&mut self, body: &mut Body, cx: &mut Cx, node: usize, mine: &Hello, welcome: Welcome) {
        let Some(key) = body.key.clone() else {
            return self.greeted(body, cx, node, welcome.hello.standing);
        };
        let exchange =
            Exchange { caller: body.id, hello: mine, called: cx.ids[node], called_nonce: welcome.hello.nonce };
        let proved = welcome.proof.is_some_and(|proof| key.verify(Side::Called, exchange, &proof))
            || cx.planted == Some(Planted::AdmitsAnybody);
        let proof = if proved { key.prove(Side::Caller, exchange).to_vec() } else { Vec::new() };
        let wait = self.patience(body, cx, node).max(60 * SECOND);
        self.call(body, cx, node, &Prove { proof }, wait, Then::Admitted { proved });
    }

    pub(super) fn admitted(
        &mut self,
        body: &mut Body,
        cx: &mut Cx,
        node: usize,
        proved: bool,
        answer: Option<Admitted>,
    ) {
        match answer {
            Some(Admitted { standing }) if proved => self.greeted(body, cx, node, standing),
            _ => self.greeting_failed(body, cx, node, None),
        }
    }

    fn greeted(&mut self, body: &mut Body, cx: &mut Cx, node: usize, standing: Standing) {
        self.admit(node);
        for after in self.take_after(node) {
            match after {
                After::Meet { first, steps } => self.met(body, cx, node, first, steps, standing),
                After::Call(call) => self.call_again(body, cx, *call, true),
                After::GoOn { mine } if standing.leader == cx.ids[node] => self.join(body, mine, standing),
                After::GoOn { .. } => {}
            }
        }
    }

    pub(super) fn greeting_failed(&mut self, body: &mut Body, cx: &mut Cx, node: usize, refused: Option<Refused>) {
        if refused.is_some_and(|refused| matches!(refused.why, Refusal::BadProof | Refusal::OtherCluster)) {
            self.peers.entry(node).or_default().refused_until = cx.heap.now() + REFUSED_FOR;
        }
        for after in self.take_after(node) {
            match after {
                After::Meet { first, .. } => drop(self.joining.remove(&first)),
                After::Call(call) => self.call_again(body, cx, *call, false),
                After::GoOn { .. } => {}
            }
        }
    }

    fn take_after(&mut self, node: usize) -> Vec<After> {
        self.peers.get_mut(&node).map(|peer| std::mem::take(&mut peer.after_greeting)).unwrap_or_default()
    }

    /// Answers a hello.
    pub(super) fn serve_hello(&mut self, body: &mut Body, cx: &mut Cx, from: usize, call: CallId, theirs: Hello) {
        let bad = |why| Refused { why, detail: String::new(), standing: None, misfit: None }.encode();
        if theirs.tag != cx.tag {
            return self.reply(body, cx, from, call, bad(Refusal::OtherCluster));
        }
        if theirs.protected != body.key.is_some() {
            return self.reply(body, cx, from, call, bad(Refusal::BadProof));
        }
        let mine = self.hello(body, cx);
        let proof = body.key.as_ref().map(|key| {
            let (caller, called) = (cx.ids[from], body.id);
            let exchange = Exchange { caller, hello: &theirs, called, called_nonce: mine.nonce };
            key.prove(Side::Called, exchange).to_vec()
        });
        if proof.is_some() {
            let pending = &mut self.peers.entry(from).or_default().pending;
            pending.truncate(MAX_PENDING - 1);
            pending.push_front((theirs, mine.nonce));
        } else {
            self.admit(from);
            self.consider(body, cx, from, theirs.standing);
        }
        self.reply(body, cx, from, call, Welcome { hello: mine, proof }.encode());
    }

    /// Answers a proof.
    pub(super) fn serve_proof(&mut self, body: &mut Body, cx: &mut Cx, from: usize, call: CallId, proof: &[u8]) {
        let mut pending: VecDeque<_> = std::mem::take(&mut self.peers.entry(from).or_default().pending);
        let Some(key) = body.key.as_ref().filter(|_| !pending.is_empty()) else {
            return self.reply(body, cx, from, call, stranger());
        };
        let proved = pending.iter().position(|(hello, nonce)| {
            let exchange = Exchange { caller: cx.ids[from], hello, called: body.id, called_nonce: *nonce };
            key.verify(Side::Caller, exchange, proof) || cx.planted == Some(Planted::AdmitsAnybody)
        });
        let Some((theirs, _)) = proved.and_then(|at| pending.remove(at)) else {
            let peer = self.peers.entry(from).or_default();
            peer.refused_until = cx.heap.now() + REFUSED_FOR;
            let bytes = Refused { why: Refusal::BadProof, detail: String::new(), standing: None, misfit: None };
            return self.reply(body, cx, from, call, bytes.encode());
        };
        self.peers.entry(from).or_default().pending = pending;
        self.admit(from);
        self.consider(body, cx, from, theirs.standing);
        self.reply(body, cx, from, call, Admitted { standing: self.standing }.encode());
    }

    fn admit(&mut self, node: usize) {
        let peer = self.peers.entry(node).or_default();
        peer.admitted = true;
        peer.refused_until = 0;
    }

    /// The caller may be one to follow.
    fn consider(&mut self, body: &mut Body, cx: &mut Cx, from: usize, theirs: Standing) {
        let verdict = decide(body.id, alone(self.standing), cx.ids[from], alone(theirs));
        if verdict == Verdict::Join && self.standing != theirs && self.joining.insert(from) {
            cx.wake(body, 0, Timer::Meet(from));
        }
    }
}

/// Each node here is its cluster's only voter; several are simulated in `voters/`.
pub fn alone(standing: Standing) -> Stand {
    Stand { standing, established: false }
}

/// What a stranger hears.
pub fn stranger() -> Vec<u8> {
    Refused { why: Refusal::NotAdmitted, detail: String::new(), standing: None, misfit: None }.encode()
}
