//! What is stored and how it is read back: tasks, totals, the outbox, retention.

use std::collections::BTreeMap;

use akita_core::{
    command::{Command, Reply},
    event::EventType,
    id::ClusterId,
    task::{Content, Status},
};

use super::{
    LedgerQuery,
    testing::{Log, ME, done, failed, finish, submit, submit_child, task},
};

#[tokio::test]
async fn a_task_is_stored_with_its_bodies() {
    let log = Log::new().await;
    let store = &log.opened.store;
    log.one(submit(task(1))).await;
    let waiting = store.task_meta(task(1)).await.unwrap().unwrap();
    assert_eq!(waiting.task.status, Status::Pending);
    assert_eq!(waiting.task.required, ["gpu", "arm"]);
    assert_eq!(store.input(task(1)).await.unwrap().unwrap().body, b"{\"a\":1}");

    let (fence, _) = log.one(Command::Assign { task: task(1), worker: ME }).await;
    assert_eq!(store.task_meta(task(1)).await.unwrap().unwrap().task.assignment.unwrap().fence, fence);
    log.one(finish(task(1), fence, done())).await;
    let record = store.task(task(1)).await.unwrap().unwrap();
    assert_eq!(record.meta.task.status, Status::Completed);
    assert_eq!(record.meta.task.assignment, None);
    assert_eq!(record.result, Some(Content { content_type: "text/plain".into(), body: b"result".to_vec() }));
    assert_eq!(store.input(task(1)).await.unwrap(), None, "an input goes when its task ends");
    assert_eq!(store.task(task(2)).await.unwrap(), None);
}

#[tokio::test]
async fn what_few_tasks_have_is_kept_over_a_restart_and_to_the_end() {
    let log = Log::new().await;
    log.one(submit(task(1))).await;
    log.one(submit_child(task(2), task(1))).await;
    let row = log.opened.store.ledger(LedgerQuery { limit: 1, ..LedgerQuery::default() }).await.unwrap().rows.remove(0);
    assert!(row.details.contains(&("parent".into(), task(1).to_string())), "{:?}", row.details);
    assert!(row.details.contains(&("key".into(), "key:0808080808080808".into())), "{:?}", row.details);
    let log = log.reopen().await;
    let live = log.opened.state.tasks()[&task(2)].extras;
    assert!(live.deterministic && live.key.is_some() && live.depth() == 1);
    assert!(log.opened.state.tasks()[&task(1)].extras.is_none());
    let (fence, _) = log.one(Command::Assign { task: task(2), worker: ME }).await;
    log.one(finish(task(2), fence, done())).await;
    let record = log.opened.store.task(task(2)).await.unwrap().unwrap();
    assert_eq!(record.meta.task.extras, live);
    assert_eq!(record.result, Some(Content { content_type: "text/plain".into(), body: b"result".to_vec() }));
}

#[tokio::test]
async fn a_failure_keeps_its_words() {
    let log = Log::new().await;
    let fence = log.started(task(1)).await;
    log.one(finish(task(1), fence, failed(None))).await;
    let record = log.opened.store.task(task(1)).await.unwrap().unwrap();
    assert_eq!(record.meta.task.status, Status::Failed);
    assert_eq!(record.meta.task.reason.as_deref(), Some("no such file"));
    assert_eq!(record.meta.code.as_deref(), Some("not-found"));
    assert_eq!(record.meta.pointer.as_deref(), Some("/a"));
    assert_eq!(record.result, None);
}

#[tokio::test]
async fn a_task_that_moves_on_within_one_entry_is_stored_as_it_ends() {
    let log = Log::new().await;
    let committed = log.propose(vec![submit(task(1)), Command::Assign { task: task(1), worker: ME }]).await;
    let fence = committed.index;
    let moves = vec![
        Command::Acknowledge { task: task(1), fence },
        finish(task(1), fence, done()),
        submit(task(1)),
        submit(task(2)),
        Command::Assign { task: task(2), worker: ME },
    ];
    let replies = log.propose(moves).await.replies;
    let known = Reply::Known(Status::Completed);
    assert_eq!(replies, [Reply::Done, Reply::Done, known, Reply::Done, Reply::Done]);
    let list = log.opened.store.list(None, 10).await.unwrap();
    let seen: Vec<_> = list.iter().map(|meta| (meta.task.id, meta.task.status)).collect();
    assert_eq!(seen, [(task(2), Status::Assigned), (task(1), Status::Completed)]);
}

#[tokio::test]
async fn lists_are_newest_first_and_totals_agree_with_them() {
    let log = Log::new().await;
    for n in 1..=6 {
        log.one(submit(task(n))).await;
    }
    for n in [2, 4] {
        let (fence, _) = log.one(Command::Assign { task: task(n), worker: ME }).await;
        log.one(finish(task(n), fence, done())).await;
    }
    log.one(Command::Assign { task: task(5), worker: ME }).await;
    let store = &log.opened.store;
    let ids = async |status, limit| -> Vec<_> {
        let list = store.list(status, limit).await.unwrap();
        list.into_iter().map(|meta| meta.task.id).collect()
    };
    assert_eq!(ids(None, 3).await, [task(6), task(5), task(4)]);
    assert_eq!(ids(Some(Status::Pending), 9).await, [task(6), task(3), task(1)]);
    assert_eq!(ids(Some(Status::Completed), 1).await, [task(4)]);
    assert_eq!(ids(Some(Status::Failed), 9).await, []);

    store.outbox_add(task(9), b"spec".to_vec(), 1).await.unwrap();
    let expected: BTreeMap<_, _> = Status::ALL
        .into_iter()
        .map(|status| {
            let count = match status {
                Status::QueuedLocally | Status::Assigned => 1,
                Status::Pending => 3,
                Status::Completed => 2,
                _ => 0,
            };
            (status, count)
        })
        .collect();
    assert_eq!(store.counts().await.unwrap(), expected);
    let log = log.reopen().await;
    assert_eq!(log.opened.store.counts().await.unwrap(), expected, "totals survive a restart");
}

#[tokio::test]
async fn inputs_are_given_for_the_tasks_that_still_need_them() {
    let log = Log::new().await;
    log.finished(task(1)).await;
    log.propose(vec![submit(task(2)), submit(task(3))]).await;
    let inputs = log.opened.store.inputs(&[task(3), task(1), task(2), task(8)]).await.unwrap();
    assert_eq!(inputs.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [task(3), task(2)]);
}

#[tokio::test]
async fn a_task_handed_over_says_where_it_went() {
    let log = Log::new().await;
    let to = ClusterId([3; 16]);
    log.one(submit(task(1))).await;
    // In one transaction with a move, so that what was put off is not written over the hand-over.
    log.propose(vec![Command::Assign { task: task(1), worker: ME }, Command::HandOver { tasks: vec![task(1)], to }])
        .await;
    let log = log.reopen().await;
    assert!(log.opened.state.tasks().is_empty());
    let meta = log.opened.store.task_meta(task(1)).await.unwrap().unwrap();
    assert_eq!(meta.handed_over_to, Some(to));
    assert_eq!(log.opened.store.counts().await.unwrap()[&Status::Pending], 0);
    assert!(log.opened.store.list(Some(Status::Pending), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_task_that_was_handed_over_may_come_back() {
    let log = Log::new().await;
    let to = ClusterId([3; 16]);
    log.one(submit(task(1))).await;
    for _ in 0..2 {
        log.one(Command::HandOver { tasks: vec![task(1)], to }).await;
        assert_eq!(log.one(submit(task(1))).await.1, Reply::Done);
        assert_eq!(log.one(submit(task(1))).await.1, Reply::Known(Status::Pending));
    }
    let log = log.reopen().await;
    assert_eq!(log.opened.state.tasks().len(), 1);
    let meta = log.opened.store.task_meta(task(1)).await.unwrap().unwrap();
    assert_eq!(meta.handed_over_to, None);
    assert!(log.opened.store.input(task(1)).await.unwrap().is_some());
    assert_eq!(log.opened.store.counts().await.unwrap()[&Status::Pending], 1);
}

#[tokio::test]
async fn the_outbox_keeps_its_order_and_each_task_once() {
    let log = Log::new().await;
    let store = &log.opened.store;
    assert!(store.outbox_add(task(2), b"two".to_vec(), 20).await.unwrap());
    assert!(store.outbox_add(task(1), b"one".to_vec(), 10).await.unwrap());
    assert!(!store.outbox_add(task(2), b"again".to_vec(), 30).await.unwrap());
    let log = log.reopen().await;
    let store = &log.opened.store;
    let all: Vec<_> = store.outbox_all().await.unwrap().into_iter().map(|one| (one.task, one.spec)).collect();
    assert_eq!(all, [(task(2), b"two".to_vec()), (task(1), b"one".to_vec())]);
    assert!(store.outbox_remove(task(2)).await.unwrap());
    assert!(!store.outbox_remove(task(2)).await.unwrap());
    assert_eq!(store.counts().await.unwrap()[&Status::QueuedLocally], 1);
}

#[tokio::test]
async fn notes_are_kept() {
    let log = Log::new().await;
    log.opened.store.set_meta("boot", b"1".to_vec()).await.unwrap();
    log.opened.store.set_meta("boot", b"2".to_vec()).await.unwrap();
    let log = log.reopen().await;
    assert_eq!(log.opened.store.get_meta("boot").await.unwrap(), Some(b"2".to_vec()));
    assert_eq!(log.opened.store.get_meta("none").await.unwrap(), None);
}

#[tokio::test]
async fn retention_deletes_the_oldest_ended_tasks_and_no_row_of_the_ledger() {
    let log = Log::new().await;
    for n in 1..=6 {
        log.finished(task(n)).await;
    }
    log.one(submit(task(7))).await;
    let store = &log.opened.store;
    let third = store.task_meta(task(3)).await.unwrap().unwrap().task.finished_at.unwrap();
    let rows = store.ledger_head().await.unwrap().rows;

    let prune = |older_than, keep_max, most| log.one(Command::Prune { older_than, keep_max, most });
    prune(third, 100, 1).await;
    assert!(store.prunable(third, 100).await.unwrap(), "in batches");
    prune(third, 100, 100).await;
    assert!(!store.prunable(third, 100).await.unwrap(), "by age");
    assert!(store.prunable(0, 3).await.unwrap());
    prune(0, 3, 100).await;
    assert!(!store.prunable(0, 3).await.unwrap(), "by number");

    let left: Vec<_> = store.list(None, 10).await.unwrap().into_iter().map(|meta| meta.task.id).collect();
    assert_eq!(left, [task(7), task(6), task(5), task(4)]);
    assert!(store.task(task(4)).await.unwrap().unwrap().result.is_some());
    assert_eq!(store.counts().await.unwrap()[&Status::Completed], 6, "the total counts all that ever completed");
    assert_eq!(store.ledger_head().await.unwrap().rows, rows);
    let (results,) = count(&log, "SELECT COUNT(*) FROM task_results");
    assert_eq!(results, 3);
}

fn count(log: &Log, sql: &str) -> (i64,) {
    let conn = super::connection::reader(&log.database()).unwrap();
    (conn.query_row(sql, [], |row| row.get(0)).unwrap(),)
}

#[tokio::test]
async fn the_ledger_is_read_by_place_by_event_and_by_task() {
    let log = Log::new().await;
    for n in 1..=3 {
        log.started(task(n)).await;
    }
    let store = &log.opened.store;
    let page = async |limit, offset, event, task| {
        let page = store.ledger(LedgerQuery { limit, offset, event, task }).await.unwrap();
        (page.rows.iter().map(|row| row.index).collect::<Vec<_>>(), page.total)
    };
    // LEADER_ELECTED is row 0, then TASK_SUBMITTED and TASK_ASSIGNED of each task.
    assert_eq!(page(3, 0, None, None).await, (vec![6, 5, 4], 7));
    assert_eq!(page(3, 5, None, None).await, (vec![1, 0], 7));
    assert_eq!(page(3, u64::MAX, None, None).await, (vec![], 7));
    assert_eq!(page(2, 0, Some(EventType::TaskAssigned), None).await, (vec![6, 4], 3));
    assert_eq!(page(2, 2, Some(EventType::TaskAssigned), None).await, (vec![2], 3));
    assert_eq!(page(9, 0, None, Some(task(2))).await, (vec![4, 3], 2));
    assert_eq!(page(9, 0, Some(EventType::TaskSubmitted), Some(task(2))).await, (vec![3], 1));
    assert_eq!(page(9, 0, Some(EventType::NodeStart), None).await, (vec![], 0));
}
