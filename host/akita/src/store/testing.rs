//! For tests: a key that really signs, a node's log in a directory that goes with it, and commands to fill it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use akita_core::{
    KeyPrint, NodeId, Parent,
    command::{Command, Reply},
    id::{ClusterId, TaskId},
    task::{Content, Extras, Failure, Outcome, TaskSpec},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use signed_note::{Signer as _, StandardSigner};
use tempfile::TempDir;

use super::{DEFAULT_FILE, DataDir, LedgerKey, Machine, Signer, Store};
use crate::consensus::{self, Clock, Committed, Opened};

/// The example key of the signed-note crate's documentation.
const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

pub(crate) const ME: NodeId = NodeId([1; 16]);

/// A signer that really signs.
pub(crate) fn signer() -> Signer {
    let key = StandardSigner::new(SECRET).unwrap();
    let sign = Box::new(move |text: &[u8]| key.sign(text).unwrap().try_into().unwrap());
    let mut public_key = [0; 64];
    public_key[32..].copy_from_slice(&BASE64_STANDARD.decode(PUBLIC).unwrap()[1..]);
    Signer { key: LedgerKey { node: ME, public_key }, sign }
}

/// The same, in the name of another node.
pub(crate) fn signer_of(node: NodeId) -> Signer {
    let Signer { key, sign } = signer();
    Signer { key: LedgerKey { node, ..key }, sign }
}

/// A clock that goes on by a second each time.
pub(crate) fn clock() -> Clock {
    let ticks = AtomicU64::new(1);
    Arc::new(move || ticks.fetch_add(1, Ordering::Relaxed) * 1_000)
}

/// A node's log in a directory of its own.
pub(crate) struct Log {
    pub(crate) opened: Opened,
    pub(crate) dir: TempDir,
}

impl Log {
    /// A new one, with a cluster founded in it.
    pub(crate) async fn new() -> Log {
        let dir = tempfile::tempdir().unwrap();
        let log = Log { opened: open(&dir), dir };
        log.one(Command::Found { id: ClusterId([9; 16]), name: "akita".into(), founder: ME }).await;
        log
    }

    /// The same after a restart in order.
    pub(crate) async fn reopen(self) -> Log {
        self.opened.store.close().await.unwrap();
        let Log { opened, dir } = self;
        drop(opened);
        Log { opened: open(&dir), dir }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join(DEFAULT_FILE)
    }

    pub(crate) async fn propose(&self, commands: Vec<Command>) -> Committed {
        self.opened.consensus.propose(commands).await.unwrap()
    }

    pub(crate) async fn one(&self, command: Command) -> (u64, Reply) {
        let mut committed = self.propose(vec![command]).await;
        (committed.index, committed.replies.remove(0))
    }

    /// Accepts a task and assigns it; gives the fence.
    pub(crate) async fn started(&self, id: TaskId) -> u64 {
        self.one(submit(id)).await;
        let (fence, reply) = self.one(Command::Assign { task: id, worker: ME }).await;
        assert_eq!(reply, Reply::Done);
        fence
    }

    /// Takes a task through to its result.
    pub(crate) async fn finished(&self, id: TaskId) {
        let fence = self.started(id).await;
        assert_eq!(self.one(finish(id, fence, done())).await.1, Reply::Done);
    }
}

fn open(dir: &TempDir) -> Opened {
    consensus::open(&DataDir::open(dir.path()).unwrap(), DEFAULT_FILE, signer(), clock()).unwrap()
}

/// What another program does to the database.
pub(crate) fn execute(database: &Path, sql: &str) {
    rusqlite::Connection::open(database).unwrap().execute_batch(sql).unwrap();
}

impl Store {
    /// Lets the database have no more pages than this, as a full disk would.
    pub(crate) async fn limit_pages(&self, pages: u32) {
        let limit = move |machine: &mut Machine| {
            Ok(machine.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
        };
        self.writer.write(1, limit).await.unwrap();
    }
}

/// Ids that sort by `n`, as those that nodes mint sort by time.
pub(crate) fn task(n: u64) -> TaskId {
    TaskId((u128::from(n) << 64 | 7).to_be_bytes())
}

pub(crate) fn submit(id: TaskId) -> Command {
    let input = Content { content_type: "application/json".into(), body: b"{\"a\":1}".to_vec() };
    let required = vec!["gpu".into(), "arm".into()];
    let spec = TaskSpec {
        action: "basics/echo".into(),
        required,
        priority: 10,
        timeout_ms: Some(5_000),
        input,
        extras: Extras::default(),
    };
    Command::Submit { id, origin: ME, attempts: 0, max_attempts: 3, spec }
}

/// The same as a child of another task, with all that few tasks have.
pub(crate) fn submit_child(id: TaskId, parent: TaskId) -> Command {
    let mut command = submit(id);
    if let Command::Submit { spec, .. } = &mut command {
        let (key, parent) = (Some(KeyPrint([8; 8])), Some(Parent { task: parent, depth: 1 }));
        spec.extras = Extras { deterministic: true, key, parent };
    }
    command
}

pub(crate) fn finish(task: TaskId, fence: u64, outcome: Outcome) -> Command {
    Command::Finish { task, fence, worker: ME, outcome }
}

pub(crate) fn done() -> Outcome {
    Outcome::Completed(Content { content_type: "text/plain".into(), body: b"result".to_vec() })
}

pub(crate) fn failed(retry_after_ms: Option<u64>) -> Outcome {
    Outcome::Failed(Failure {
        message: "no such file".into(),
        code: Some("not-found".into()),
        pointer: Some("/a".into()),
        retry_after_ms,
    })
}
