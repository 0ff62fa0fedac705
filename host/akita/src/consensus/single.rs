//! The log of a node that is its only voter: an entry is committed when this node's disk has it. The writer's thread
//! gives each entry its index and its time, so that order is decided in one place.

use akita_core::{command::Command, state::Effects, task::Outcome};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Applied, Clock, Committed, ConsensusError, Event};
use crate::store::{Job, Machine, Position, StoreError, Writer};

#[derive(Clone)]
pub(super) struct Single {
    writer: Writer,
    clock: Clock,
    events: mpsc::UnboundedSender<Event>,
}

impl Single {
    pub(super) fn new(writer: Writer, clock: Clock, events: mpsc::UnboundedSender<Event>) -> Single {
        Single { writer, clock, events }
    }

    pub(super) async fn propose(
        &self,
        commands: Vec<Command>,
        number: u64,
    ) -> Result<oneshot::Receiver<Answer>, ConsensusError> {
        let units = units(&commands);
        let (job, answer) = self.job(commands, number);
        self.writer.send_when_free(units, job).await.map_err(|why| self.refused(why))?;
        Ok(answer)
    }

    pub(super) fn submit(
        &self,
        commands: Vec<Command>,
        number: u64,
    ) -> Result<oneshot::Receiver<Answer>, ConsensusError> {
        let units = units(&commands);
        let (job, answer) = self.job(commands, number);
        self.writer.submit(units, job).map_err(|why| self.refused(why))?;
        Ok(answer)
    }

    pub(super) fn reason(&self) -> StoreError {
        self.writer.reason()
    }

    fn job(&self, commands: Vec<Command>, number: u64) -> (Proposal, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let (clock, events) = (self.clock.clone(), self.events.clone());
        (Proposal { commands, number, clock, events, answer, done: None }, answered)
    }
}

/// What commands take of the writer's queue: one for each, and one for each KiB of their bodies.
fn units(commands: &[Command]) -> u32 {
    let body = |command: &Command| match command {
        Command::Submit { spec, .. } => spec.input.body.len(),
        Command::Finish { outcome: Outcome::Completed(output), .. } => output.body.len(),
        _ => 0,
    };
    let units = commands.len() + commands.iter().map(body).sum::<usize>() / 1024;
    u32::try_from(units).unwrap_or(u32::MAX)
}

struct Proposal {
    commands: Vec<Command>,
    number: u64,
    clock: Clock,
    events: mpsc::UnboundedSender<Event>,
    answer: oneshot::Sender<Answer>,
    done: Option<(Position, Effects)>,
}

impl Job for Proposal {
    fn run(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        let last = machine.position();
        // The log's time never goes back, whatever the clock does.
        let at = Position { index: last.index + 1, time: (self.clock)().max(last.time) };
        let effects = machine.apply(at, std::mem::take(&mut self.commands))?;
        self.done = Some((at, effects));
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        // Who no longer listens misses nothing that is not in the store.
        let _ = match (outcome, self.done) {
            (Ok(()), Some((Position { index, time }, effects))) => {
                let Effects { changes, replies, .. } = effects;
                let committed = Committed { index, time, replies: replies.clone() };
                let own = Some(self.number);
                let _ = self.events.send(Event::Applied(Applied { index, time, changes, replies, own }));
                self.answer.send(Ok(committed))
            }
            (outcome, _) => self.answer.send(Err(outcome.err().unwrap_or(StoreError::Stopped).into())),
        };
    }
}
