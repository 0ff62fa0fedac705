//! The one thread that writes. It takes all that waits, runs it in one transaction, commits, and only then answers.
//! Whatever fails in it is fatal: everyone waiting gets the error, and the thread never writes again.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch};

use super::{data_dir::DataDir, error::StoreError, machine::Machine};

/// Room in the queue. A command takes one unit and each KiB of its bodies another, so this bounds what waits to
/// 16 MiB of bodies or as many commands as the node accepts in a second or two.
const QUEUE_ROOM: u32 = 16 * 1024;
/// Units in one transaction: enough that the fsync no longer counts, few enough that the first in it waits some
/// 100 ms at most on a small computer.
const GROUP_ROOM: u32 = 4 * 1024;
/// Units of a write that is no proposal.
pub(crate) const SMALL: u32 = 1;

/// Units of a write that carries so many bytes.
pub(crate) fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(SMALL)
}

/// One thing to do within a transaction.
pub(crate) trait Job: Send {
    /// Whether the commit must be on the disk before [`finish`](Job::finish). A write that can be made again from what is
    /// on the disk already need not wait: it is there with the next one that must, or made again.
    fn must_last(&self) -> bool {
        true
    }
    /// Writes. An error stops the writer for good.
    fn run(&mut self, machine: &mut Machine) -> Result<(), StoreError>;
    /// Answers, after the commit or in its place.
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The queue is full.
    Busy,
    /// The writer has stopped.
    Stopped,
}

enum Message {
    Work { job: Box<dyn Job>, room: OwnedSemaphorePermit },
    Close,
}

/// The writer's queue. Clones share it.
#[derive(Clone)]
pub(crate) struct Writer {
    sender: Sender<Message>,
    room: Arc<Semaphore>,
    fatal: watch::Receiver<Option<StoreError>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// Starts the thread, which holds the directory's lock until it ends.
    pub(super) fn start(machine: Machine, dir: DataDir) -> Result<Writer, StoreError> {
        let (sender, receiver) = channel();
        let (failed, fatal) = watch::channel(None);
        let room = Arc::new(Semaphore::new(QUEUE_ROOM as usize));
        let mut thread = Thread { machine, receiver, room: room.clone(), failed, lasting: true };
        let thread = std::thread::Builder::new()
            .name("akita-store".into())
            .spawn(move || {
                thread.run();
                drop(dir);
            })
            .map_err(|error| StoreError::Thread(Arc::new(error)))?;
        Ok(Writer { sender, room, fatal, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Queues without waiting. Calls that follow each other are run in that order.
    pub(crate) fn submit(&self, units: u32, job: impl Job + 'static) -> Result<(), NotTaken> {
        let room =
            self.room.clone().try_acquire_many_owned(units.clamp(1, QUEUE_ROOM)).map_err(|error| match error {
                TryAcquireError::NoPermits => NotTaken::Busy,
                TryAcquireError::Closed => NotTaken::Stopped,
            })?;
        self.send(room, job)
    }

    /// Queues, waiting for room.
    pub(crate) async fn send_when_free(&self, units: u32, job: impl Job + 'static) -> Result<(), NotTaken> {
        let units = units.clamp(1, QUEUE_ROOM);
        let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| NotTaken::Stopped)?;
        self.send(room, job)
    }

    fn send(&self, room: OwnedSemaphorePermit, job: impl Job + 'static) -> Result<(), NotTaken> {
        self.sender.send(Message::Work { job: Box::new(job), room }).map_err(|_| NotTaken::Stopped)
    }

    /// Runs `work` in the next transaction; answers after its commit.
    pub(crate) async fn write<T, F>(&self, units: u32, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Machine) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Write { work: Some(work), value: None, answer };
        self.send_when_free(units, job).await.map_err(|_| self.reason())?;
        answered.await.unwrap_or_else(|_| Err(self.reason()))
    }

    /// Runs `work` in the next transaction and tells `then` after its commit. Returns when it is queued.
    pub(crate) async fn write_then<F, G>(&self, units: u32, work: F, then: G) -> Result<(), StoreError>
    where
        F: FnOnce(&mut Machine) -> Result<(), StoreError> + Send + 'static,
        G: FnOnce(Result<(), StoreError>) + Send + 'static,
    {
        let job = Then { work: Some(work), then };
        self.send_when_free(units, job).await.map_err(|_| self.reason())
    }

    /// Why nothing is written any more.
    pub(crate) fn reason(&self) -> StoreError {
        self.fatal.borrow().clone().unwrap_or(StoreError::Stopped)
    }

    /// Says when the writer failed.
    pub(super) fn fatal(&self) -> watch::Receiver<Option<StoreError>> {
        self.fatal.clone()
    }

    /// Runs what is queued, signs the ledger's end, empties SQLite's log and ends the thread. Blocks.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.room.close();
        // An error means that the thread has ended already.
        let _ = self.sender.send(Message::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join().map_err(|_| StoreError::Panicked("while it stopped".into()))?;
        }
        self.fatal.borrow().clone().map_or(Ok(()), Err)
    }
}

struct Write<T, F> {
    work: Option<F>,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&mut Machine) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(machine)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        // Nobody waiting is no fault: the write was asked for and is done.
        let _ = match (outcome, self.value) {
            (Ok(()), Some(value)) => self.answer.send(Ok(value)),
            (outcome, _) => self.answer.send(Err(outcome.err().unwrap_or(StoreError::Stopped))),
        };
    }
}

struct Then<F, G> {
    work: Option<F>,
    then: G,
}

impl<F, G> Job for Then<F, G>
where
    F: FnOnce(&mut Machine) -> Result<(), StoreError> + Send,
    G: FnOnce(Result<(), StoreError>) + Send,
{
    fn run(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        self.work.take().map_or(Ok(()), |work| work(machine))
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        (self.then)(outcome);
    }
}

struct Thread {
    machine: Machine,
    receiver: Receiver<Message>,
    room: Arc<Semaphore>,
    failed: watch::Sender<Option<StoreError>>,
    /// Whether SQLite waits for the disk at each commit now.
    lasting: bool,
}

enum Next {
    Work(Box<dyn Job>, OwnedSemaphorePermit),
    Checkpoint,
    End,
}

impl Thread {
    fn run(&mut self) {
        let error = match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => {
                self.room.close();
                return;
            }
            Ok(Err(error)) => error,
            Err(panic) => StoreError::Panicked(words(panic.as_ref())),
        };
        tracing::error!(%error, hint = error.hint(), "the store has failed and writes nothing more");
        self.fail(&error);
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        loop {
            match self.next() {
                Next::Work(job, room) => {
                    if !self.group(job, room)? {
                        break;
                    }
                }
                Next::Checkpoint => self.transaction(&mut [], false)?,
                Next::End => break,
            }
        }
        self.transaction(&mut [], true)?;
        // Readers may still be at work; then SQLite empties its log at the next start.
        self.machine.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn next(&self) -> Next {
        let message = match self.machine.ledger.checkpoint_in() {
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => self.receiver.recv_timeout(wait),
        };
        match message {
            Ok(Message::Work { job, room }) => Next::Work(job, room),
            Err(RecvTimeoutError::Timeout) => Next::Checkpoint,
            Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Commits `first` with all that waits behind it. False when the writer is to close.
    fn group(&mut self, first: Box<dyn Job>, room: OwnedSemaphorePermit) -> Result<bool, StoreError> {
        // The room is given back after the commit: until then the jobs are in memory.
        let (mut jobs, mut units, mut rooms) = (vec![first], room.num_permits(), vec![room]);
        let mut open = true;
        while units < GROUP_ROOM as usize {
            match self.receiver.try_recv() {
                Ok(Message::Work { job, room }) => {
                    units += room.num_permits();
                    jobs.push(job);
                    rooms.push(room);
                }
                Ok(Message::Close) => {
                    open = false;
                    break;
                }
                Err(_) => break,
            }
        }
        let outcome = self.transaction(&mut jobs, false);
        if let Err(error) = &outcome {
            // Before anyone hears of it, so that the cause is known to who does.
            self.fail(error);
        }
        jobs.into_iter().for_each(|job| job.finish(outcome.clone()));
        outcome.map(|()| open)
    }

    fn transaction(&mut self, jobs: &mut [Box<dyn Job>], last: bool) -> Result<(), StoreError> {
        self.wait_for_disk(last || jobs.is_empty() || jobs.iter().any(|job| job.must_last()))?;
        self.machine.conn.execute_batch("BEGIN IMMEDIATE")?;
        for job in jobs {
            job.run(&mut self.machine)?;
        }
        self.machine.flush(last)?;
        // Durable when this returns, where `synchronous` is FULL.
        Ok(self.machine.conn.execute_batch("COMMIT")?)
    }

    /// Has the next commits wait for the disk, or not: SQLite's log is written in order, so that a later commit that
    /// waits takes the earlier ones with it.
    fn wait_for_disk(&mut self, lasting: bool) -> Result<(), StoreError> {
        if self.lasting != lasting {
            let mode = if lasting { "FULL" } else { "NORMAL" };
            self.machine.conn.execute_batch(&format!("PRAGMA synchronous = {mode}"))?;
            self.lasting = lasting;
        }
        Ok(())
    }

    /// Says why, takes nothing more and answers all that waits. Dropping the connection rolls back.
    fn fail(&self, error: &StoreError) {
        self.failed.send_if_modified(|failed| failed.is_none() && failed.replace(error.clone()).is_none());
        self.room.close();
        while let Ok(message) = self.receiver.try_recv() {
            if let Message::Work { job, .. } = message {
                job.finish(Err(error.clone()));
            }
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason was given".into())
}
