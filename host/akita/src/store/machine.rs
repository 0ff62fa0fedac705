//! What the writer's thread owns: the database, the replicated state and the ledger's edge. It applies entries and
//! stores what they changed, inside a transaction that the writer opens and commits.

use std::collections::{BTreeMap, HashMap};

use akita_core::{
    NodeId,
    command::Command,
    id::{Millis, TaskId},
    keys::KeyTurn,
    state::{Change, Cluster, Effects, Enlisted, State},
    task::{Status, Task},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    counters::{Counters, KEPT},
    error::StoreError,
    ledger::{Ledger, checkpoint::Signer},
    sql, tasks,
};

/// Where the database stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The last entry applied; 0 before the first.
    pub index: u64,
    /// Its time.
    pub time: Millis,
}

/// The writer's state. After any error it no longer agrees with the database and must not be used again.
pub(crate) struct Machine {
    pub(super) conn: Connection,
    pub(super) counters: Counters,
    pub(super) ledger: Ledger,
    state: State,
    position: Position,
    /// What the totals count each live task as.
    counted: HashMap<TaskId, Status>,
    /// Live tasks to be written at the end of the transaction: a task that moves twice in it is written once.
    moved: BTreeMap<TaskId, Task>,
}

impl Machine {
    /// Restores everything from the tables.
    pub(super) fn load(conn: Connection, signer: Signer) -> Result<Machine, StoreError> {
        let ledger = Ledger::load(&conn, signer)?;
        let (state, position) = read_state(&conn, ledger.rows())?;
        let counted = state.tasks().values().map(|task| (task.id, task.status)).collect();
        let counters = Counters::load(&conn)?;
        Ok(Machine { conn, counters, ledger, state, position, counted, moved: BTreeMap::new() })
    }

    /// Reads everything again, after the tables were replaced.
    pub(super) fn reload(&mut self) -> Result<(), StoreError> {
        self.moved.clear();
        self.ledger.reload(&self.conn)?;
        self.counters = Counters::load(&self.conn)?;
        (self.state, self.position) = read_state(&self.conn, self.ledger.rows())?;
        self.counted = self.state.tasks().values().map(|task| (task.id, task.status)).collect();
        Ok(())
    }

    /// The replicated state.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The last entry applied.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Applies one entry of the log and stores what it brought about.
    pub(crate) fn apply(&mut self, at: Position, commands: Vec<Command>) -> Result<Effects, StoreError> {
        let mut effects = Effects::default();
        for command in commands {
            let (rows, changes) = (effects.rows.len(), effects.changes.len());
            let archive = tasks::Ended::new(&self.conn);
            self.state.apply(at.index, at.time, command, &archive, &mut effects);
            let handed_over = archive.check()?;
            // At once, so that the next command of the entry finds an ended task in the archive.
            for row in &effects.rows[rows..] {
                self.ledger.append(&self.conn, row)?;
                self.counters.add(row.event.as_str(), 1);
            }
            for change in &effects.changes[changes..] {
                if let (Change::Accepted { .. } | Change::Imported { .. }, Some(back)) = (change, handed_over) {
                    tasks::forget_handed_over(&self.conn, back)?;
                    self.counters.add(KEPT, -1);
                }
                self.store(change, at.time)?;
            }
        }
        self.position = at;
        Ok(effects)
    }

    fn store(&mut self, change: &Change, time: Millis) -> Result<(), StoreError> {
        match change {
            Change::Cluster(cluster) => store_cluster(&self.conn, cluster)?,
            Change::Accepted { task, input } => {
                tasks::insert(&self.conn, task, input)?;
                self.count(task.id, Some(task.status));
            }
            Change::Moved(task) => {
                self.moved.insert(task.id, task.clone());
                self.count(task.id, Some(task.status));
            }
            Change::Ended { task, output, failure } => {
                self.moved.remove(&task.id);
                tasks::end(&self.conn, task, output.as_ref(), failure.as_ref())?;
                self.count(task.id, None);
                self.counters.add(task.status.as_str(), 1);
                self.counters.add(KEPT, 1);
            }
            Change::Imported { task, output, failure } => {
                tasks::import(&self.conn, task, output.as_ref(), failure.as_ref(), time)?;
                self.counters.add(task.status.as_str(), 1);
                self.counters.add(KEPT, 1);
            }
            Change::HandedOver { task, to } => {
                if let Some(task) = self.moved.remove(task) {
                    tasks::update(&self.conn, &task)?;
                }
                tasks::hand_over(&self.conn, *task, *to, time)?;
                self.count(*task, None);
                self.counters.add(KEPT, 1);
            }
            Change::Enlisted(all) => store_enlisted(&self.conn, all)?,
            Change::Key(turn) => store_key(&self.conn, turn)?,
            Change::Pruned { older_than, keep_max, most } => {
                let kept = self.counters.get(KEPT);
                let gone = tasks::prune(&self.conn, *older_than, *keep_max, kept, *most)?;
                self.counters.add(KEPT, -gone.cast_signed());
            }
        }
        Ok(())
    }

    /// Says that the log is at `at` without anything to apply there: an entry about the voters.
    pub(crate) fn skip(&mut self, at: Position) {
        self.position = at;
    }

    /// Moves a task from one total to another; to none when it left.
    fn count(&mut self, id: TaskId, now: Option<Status>) {
        let before = match now {
            Some(now) => self.counted.insert(id, now),
            None => self.counted.remove(&id),
        };
        if let Some(before) = before {
            self.counters.add(before.as_str(), -1);
        }
        if let Some(now) = now {
            self.counters.add(now.as_str(), 1);
        }
    }

    /// Writes what was put off; the last step before a commit. `last` signs the ledger's end too.
    pub(super) fn flush(&mut self, last: bool) -> Result<(), StoreError> {
        for task in std::mem::take(&mut self.moved).values() {
            tasks::update(&self.conn, task)?;
        }
        self.counters.flush(&self.conn)?;
        self.conn
            .prepare_cached("UPDATE log_position SET log_index = ?1, time_ms = ?2")?
            .execute(params![self.position.index.cast_signed(), self.position.time.cast_signed()])?;
        if last || self.ledger.checkpoint_in().is_some_and(|wait| wait.is_zero()) {
            self.ledger.checkpoint(&self.conn, self.position.time)?;
        }
        Ok(())
    }
}

fn read_state(conn: &Connection, rows: u64) -> Result<(State, Position), StoreError> {
    let cluster = read_cluster(conn)?;
    let position = conn.query_row("SELECT log_index, time_ms FROM log_position", [], |row| {
        Ok(Position { index: sql::unsigned(row, 0)?, time: sql::unsigned(row, 1)? })
    })?;
    let enlisted = read_enlisted(conn)?;
    let state = State::restore(cluster, tasks::live(conn)?, enlisted, rows);
    Ok((state.with_key(read_key(conn)?), position))
}

/// The cluster as the log knows it.
pub(super) fn read_cluster(conn: &Connection) -> Result<Option<Cluster>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT id, name, founder, term, sealed_into, sealed_leader FROM cluster")?;
    Ok(statement.query_row([], sql::cluster).optional()?)
}

/// What the log says of the newest cluster key.
pub(super) fn read_key(conn: &Connection) -> Result<Option<KeyTurn>, StoreError> {
    let turn: Option<Vec<u8>> =
        conn.prepare_cached("SELECT turn FROM cluster_key")?.query_row([], |row| row.get(0)).optional()?;
    let parse = |bytes: Vec<u8>| {
        rmp_serde::from_slice(&bytes)
            .map_err(|error| StoreError::Damaged(format!("what it says of the cluster key cannot be read: {error}")))
    };
    turn.map(parse).transpose()
}

fn store_key(conn: &Connection, turn: &KeyTurn) -> Result<(), StoreError> {
    let bytes = rmp_serde::to_vec(turn).expect("plain data always encodes into memory");
    conn.prepare_cached("INSERT OR REPLACE INTO cluster_key (one, turn) VALUES (1, ?1)")?.execute([bytes])?;
    Ok(())
}

/// Nodes that were given numbers, and those that are not to come back.
pub(super) fn read_enlisted(conn: &Connection) -> Result<BTreeMap<NodeId, Enlisted>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT node, number, access FROM enlisted")?;
    let rows = statement.query_map([], sql::enlisted)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn store_enlisted(conn: &Connection, all: &BTreeMap<NodeId, Enlisted>) -> Result<(), StoreError> {
    conn.execute("DELETE FROM enlisted", [])?;
    let mut insert = conn.prepare_cached("INSERT INTO enlisted (node, number, access) VALUES (?1, ?2, ?3)")?;
    for (node, one) in all {
        insert.execute(params![node.0, one.number.cast_signed(), sql::access_code(one.access)])?;
    }
    Ok(())
}

fn store_cluster(conn: &Connection, cluster: &Cluster) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO cluster (one, id, name, founder, term, sealed_into, sealed_leader) \
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        cluster.id.0,
        cluster.name,
        cluster.founder.0,
        cluster.term.cast_signed(),
        cluster.sealed_into.map(|(into, _)| into.0),
        cluster.sealed_into.map(|(_, leader)| leader.0),
    ])?;
    Ok(())
}
