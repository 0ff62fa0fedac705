//! What strangers try: they hold no key of the cluster, and say what only members may say.

use akita_core::{
    ClusterId, Content, Extras, TaskId, TaskSpec,
    task::Outcome,
    wire::{Assign, Job, JobExtras, Message, Outcomes, Prove, Ran, Report, Sent, Standing, Submit},
};

use crate::{node, plan::Attack, world::Cx};

fn spec() -> TaskSpec {
    TaskSpec {
        action: "p/work".into(),
        required: vec![],
        priority: 0,
        timeout_ms: None,
        input: Content { content_type: "application/json".into(), body: vec![0; 5] },
        extras: Extras::default(),
    }
}

pub fn attack(cx: &mut Cx, attack: Attack, on: usize) {
    let strangers = (0..cx.nodes()).filter(|node| !cx.is_member(*node)).count();
    if strangers == 0 {
        return;
    }
    let from = cx.nodes() - strangers + cx.dice.place(strangers);
    let task = TaskId(cx.dice.bytes());
    let leader = cx.ids[on];
    let bytes = match attack {
        Attack::Report => Report {
            standing: Standing { cluster: ClusterId(cx.dice.bytes()), leader },
            incarnation: 1,
            digest: [0; 8],
            slots: u16::MAX,
            running: 0,
            cpu: 0,
            memory: 0,
            rtt_ms: 0,
            leaving: false,
            parked: 0,
            voters: None,
        }
        .encode(),
        Attack::Submit => {
            let tasks = vec![Sent::new(task, cx.ids[from], 0, spec())];
            Submit { tasks, imported: cx.dice.per_mille(500) }.encode()
        }
        Attack::Assign => {
            let job = Job {
                task,
                fence: cx.dice.within(1..500),
                attempt: 1,
                action: "p/work".into(),
                timeout_ms: 0,
                content_type: String::new(),
                input: vec![0; 5],
                extras: JobExtras::default(),
            };
            Assign { jobs: vec![job] }.encode()
        }
        Attack::Outcome => {
            let known: Vec<TaskId> = cx.judge.accepted().iter().copied().collect();
            let task = if known.is_empty() { task } else { known[cx.dice.place(known.len())] };
            let result = Content { content_type: "application/json".into(), body: b"\"forged\"".to_vec() };
            let forged = |fence| Ran::new(task, fence, 1, Outcome::Completed(result.clone()));
            Outcomes { ran: (1..200).map(forged).collect() }.encode()
        }
        Attack::Replay => match cx.overheard.len() {
            0 => return,
            len => {
                let which = cx.dice.place(len);
                cx.overheard[which].to_vec()
            }
        },
        Attack::Prove => Prove { proof: cx.dice.bytes::<32>().to_vec() }.encode(),
        Attack::Noise => {
            let mut bytes = cx.dice.bytes::<48>().to_vec();
            bytes[0] = akita_core::wire::VERSION;
            bytes[1] %= 24;
            bytes
        }
    };
    node::throw(cx, from, on, bytes);
}
