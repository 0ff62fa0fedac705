//! The journal of an island: what it keeps over a restart, its chain of signed ends, and what is brought of it.

use akita_core::{Command, LedgerRow, TaskId, event::EventType};

use super::*;
use crate::{
    proof::{check_chain, read_entry},
    store::testing::{Log, ME, done, execute, finish, signer, submit, task},
};

/// What a step of an island brings about.
struct Steps {
    state: akita_core::State,
    index: u64,
}

struct Nothing;

impl akita_core::Archive for Nothing {
    fn ended(&self, _: TaskId) -> Option<akita_core::Status> {
        None
    }
}

impl Steps {
    async fn of(store: &Store) -> Steps {
        let start = store.island_start().await.unwrap();
        let cluster = akita_core::state::Cluster {
            id: akita_core::ClusterId([9; 16]),
            name: String::new(),
            founder: ME,
            term: 0,
            sealed_into: None,
        };
        let state = akita_core::State::restore(Some(cluster), start.tasks, Default::default(), start.rows);
        Steps { state, index: start.index }
    }

    async fn step(&mut self, store: &Store, command: Command) -> (Vec<LedgerRow>, u64) {
        self.index += 1;
        let mut out = akita_core::Effects::default();
        self.state.apply(self.index, 1_000 * self.index, command, &Nothing, &mut out);
        store.island_apply(self.index, out.rows.clone(), out.changes).await.unwrap();
        (out.rows, self.index)
    }

    async fn ended(&mut self, store: &Store, id: TaskId) {
        self.step(store, submit(id)).await;
        let (_, fence) = self.step(store, Command::Assign { task: id, worker: ME }).await;
        self.step(store, finish(id, fence, done())).await;
    }
}

/// A signature of these tests' key, whose node's id is no hash of it.
fn holds(signed: &IslandSigned) -> bool {
    akita_mesh::verify(&signer().key.public_key, &IslandEntry::signed(&signed.entry), &signed.signature)
}

#[tokio::test]
async fn steps_outlive_a_restart_and_ends_are_signed_in_a_chain() {
    let log = Log::new().await;
    let mut steps = Steps::of(&log.opened.store).await;
    steps.ended(&log.opened.store, task(1)).await;
    steps.step(&log.opened.store, submit(task(2))).await;
    let log = log.reopen().await;
    let store = &log.opened.store;
    let start = store.island_start().await.unwrap();
    assert_eq!((start.tasks.len(), start.tasks[0].id, start.index), (1, task(2), 4));
    assert!(store.island_input(task(2)).await.unwrap().is_some_and(|input| !input.body.is_empty()));
    let mut steps = Steps::of(store).await;
    let (_, fence) = steps.step(store, Command::Assign { task: task(2), worker: ME }).await;
    steps.step(store, finish(task(2), fence, done())).await;
    let journal = store.island_journal(100).await.unwrap();
    let events: Vec<_> = journal.steps.iter().rev().map(|row| (row.index, row.event)).collect();
    assert_eq!(events.len(), 8);
    assert_eq!((events[0], events[7]), ((0, EventType::TaskSubmitted), (7, EventType::TaskCompleted)));
    assert!(journal.entries.iter().all(|(.., signed)| holds(signed)));
    let entries: Vec<_> = journal.entries.iter().map(|(_, _, one)| IslandEntry::decode(&one.entry).unwrap()).collect();
    assert_eq!((entries[0].number, entries[1].number), (1, 2));
    assert_eq!(entries[1].previous, IslandEntry::hash(&journal.entries[0].2.entry));
    assert_eq!(journal.last, IslandEntry::hash(&journal.entries[1].2.entry));
    assert!(store.island_input(task(1)).await.unwrap().is_none(), "nobody needs it any more");
}

#[tokio::test]
async fn an_end_that_was_changed_or_left_out_is_found_and_named() {
    let log = Log::new().await;
    let store = &log.opened.store;
    let mut steps = Steps::of(store).await;
    for n in 1..=3 {
        steps.ended(store, task(n)).await;
    }
    let look = |store: Store| async move {
        let journal = store.island_journal(9).await.unwrap();
        let checked = check_chain(&journal.entries, &signer().key, journal.numbered, journal.last);
        checked.map_err(|fault| fault.to_string())
    };
    assert_eq!(look(store.clone()).await, Ok(()));
    let first = store.island_journal(9).await.unwrap().entries.remove(0).2;
    // Another's end under this number, each under a signature that holds.
    let swap = "UPDATE island_tasks SET entry = (SELECT entry FROM island_tasks WHERE number = 1), signature = \
                (SELECT signature FROM island_tasks WHERE number = 1) WHERE number = 2";
    execute(&log.database(), swap);
    assert!(look(store.clone()).await.unwrap_err().contains("entry 2"));
    execute(&log.database(), "DELETE FROM island_tasks WHERE number > 1");
    assert!(look(store.clone()).await.unwrap_err().contains("3 entries were signed, and the last one here is 1"));
    let mut changed = first;
    let last = changed.entry.len() - 1;
    changed.entry[last] ^= 1;
    let fault = read_entry(&changed, &signer().key).unwrap_err().to_string();
    assert!(fault.contains("signature") && fault.contains(&ME.to_string()), "{fault}");
}

#[tokio::test]
async fn ends_are_brought_in_order_and_in_pieces_and_kept_until_they_are_taken() {
    let log = Log::new().await;
    let store = &log.opened.store;
    let mut steps = Steps::of(store).await;
    for n in 1..=3 {
        steps.ended(store, task(n)).await;
    }
    let ids = |list: Vec<(u64, TaskId, IslandSigned)>| list.into_iter().map(|(_, id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(store.island_to_import(2, 1 << 20, 0, true).await.unwrap()), [task(1), task(2)]);
    assert_eq!(ids(store.island_to_import(9, 1, 1, true).await.unwrap()), [task(2)], "at least one");
    store.island_refused(task(1), "forged".into()).await.unwrap();
    assert_eq!(ids(store.island_to_import(9, 1 << 20, 0, false).await.unwrap()), [task(2), task(3)]);
    store.island_imported(vec![task(2)], 5_000).await.unwrap();
    let counts = store.island_counts().await.unwrap();
    assert_eq!((counts.to_import, counts.refused, counts.imported), (2, 1, 1));
    assert_eq!(store.island_list(9).await.unwrap().len(), 2);
    // A week later, when the next one is taken, it goes with its steps; the others stay.
    store.island_imported(vec![task(3)], 6_000 + IMPORTED_KEPT_MS).await.unwrap();
    let journal = store.island_journal(100).await.unwrap();
    let kept: Vec<_> = journal.tasks.iter().map(|one| one.meta.task.id).collect();
    assert_eq!(kept, [task(3), task(1)]);
    assert!(journal.steps.iter().all(|row| row.task != Some(task(2))) && journal.numbered == 3);
}

#[tokio::test]
async fn an_imported_end_is_in_the_books_and_the_journal_is_in_no_snapshot() {
    let log = Log::new().await;
    let store = &log.opened.store;
    let mut steps = Steps::of(store).await;
    steps.ended(store, task(1)).await;
    let signed = store.island_to_import(1, 1 << 20, 0, true).await.unwrap().remove(0).2;
    let entry = IslandEntry::decode(&signed.entry).unwrap();
    let command = Command::Import(Box::new(entry.into_result(&signed.entry)));
    assert_eq!(log.one(command.clone()).await.1, akita_core::Reply::Done);
    assert_eq!(log.one(command).await.1, akita_core::Reply::Known(akita_core::Status::Completed));
    let record = store.task(task(1)).await.unwrap().unwrap();
    assert_eq!(record.result.unwrap().body, b"result");
    assert_eq!(store.counts().await.unwrap()[&akita_core::Status::Completed], 1);
    assert!(store.verify().await.unwrap().ok);
    let to = log.dir.path().join("snapshot.db");
    store.raft_export(to.clone()).await.unwrap();
    let conn = crate::store::connection::reader(&to).unwrap();
    let count = |table: &str| -> i64 {
        conn.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("tasks"), count("task_results"), count("island_tasks")), (1, 1, 0));
    let log = log.reopen().await;
    assert!(log.opened.store.task(task(1)).await.unwrap().is_some());
}
