//! The log of a node that is its only voter: an entry is committed when this node's disk has it. The writer's thread
//! gives each entry its index and its time, so that order is decided in one place.

use akita_core::{command::Command, state::Effects, task::Outcome};
use tokio::sync::{mpsc, oneshot};

use super::{Applied, Clock, Committed, ConsensusError};
use crate::store::{Job, Machine, Position, StoreError, Writer};

type Answer = Result<Committed, ConsensusError>;

#[derive(Clone)]
pub(super) struct Single {
    writer: Writer,
    clock: Clock,
    applied: mpsc::UnboundedSender<Applied>,
}

impl Single {
    pub(super) fn new(writer: Writer, clock: Clock) -> (Single, mpsc::UnboundedReceiver<Applied>) {
        let (applied, receiver) = mpsc::unbounded_channel();
        (Single { writer, clock, applied }, receiver)
    }

    pub(super) async fn propose(&self, commands: Vec<Command>) -> Result<oneshot::Receiver<Answer>, ConsensusError> {
        let units = units(&commands);
        let (job, answer) = self.job(commands);
        self.writer.send_when_free(units, job).await.map_err(|why| self.refused(why))?;
        Ok(answer)
    }

    pub(super) fn submit(&self, commands: Vec<Command>) -> Result<oneshot::Receiver<Answer>, ConsensusError> {
        let units = units(&commands);
        let (job, answer) = self.job(commands);
        self.writer.submit(units, job).map_err(|why| self.refused(why))?;
        Ok(answer)
    }

    pub(super) async fn answer(&self, answer: oneshot::Receiver<Answer>) -> Answer {
        answer.await.unwrap_or_else(|_| Err(self.reason().into()))
    }

    pub(super) fn reason(&self) -> StoreError {
        self.writer.reason()
    }

    fn job(&self, commands: Vec<Command>) -> (Proposal, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let (clock, applied) = (self.clock.clone(), self.applied.clone());
        (Proposal { commands, clock, applied, answer, done: None }, answered)
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
    clock: Clock,
    applied: mpsc::UnboundedSender<Applied>,
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
                let _ = self.applied.send(Applied { index, time, changes, replies });
                self.answer.send(Ok(committed))
            }
            (outcome, _) => self.answer.send(Err(outcome.err().unwrap_or(StoreError::Stopped).into())),
        };
    }
}
