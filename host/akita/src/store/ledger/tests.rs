//! That nothing in the ledger can be changed unseen, and that what is found names the row.

use akita_core::{NodeId, command::Command, event::EventType, wire::Cosign};
use rusqlite::Connection;

use super::{CHECKPOINT_ROWS, verify::VerifyReport};
use crate::proof::Head;
use crate::store::{
    Cosigning, StoreError,
    testing::{Log, ME, clock, execute, signer, signer_of, submit, task},
    verify_file,
};

/// A closed ledger of 32 rows: 0 to 12 signed at one time, the others at another. 1 to 30 tell of tasks.
async fn ledger() -> Log {
    let mut log = Log::new().await;
    for n in 1..=30 {
        log.one(submit(task(n))).await;
        if n == 12 {
            log = log.reopen().await;
        }
    }
    let record = Command::Record { event: EventType::NodeStop, node: ME, details: vec![("a".into(), "é\"\n".into())] };
    log.one(record).await;
    log.opened.store.close().await.unwrap();
    log
}

fn verify(log: &Log) -> VerifyReport {
    verify_file(&log.database(), &signer().key).unwrap()
}

#[tokio::test]
async fn an_untouched_ledger_verifies() {
    let log = ledger().await;
    let report = verify(&log);
    assert_eq!(report.problem, None);
    assert!(report.ok);
    assert_eq!((report.rows, report.checkpoints, report.signed_rows), (32, 2, 32));
    assert_eq!(report, log.opened.store.verify().await.unwrap());
    let head = log.opened.store.ledger_head().await.unwrap();
    assert_eq!((head.rows, head.root), (32, report.root));
    let newest = &log.opened.store.checkpoints(1).await.unwrap()[0];
    assert_eq!((newest.size, newest.root), (32, report.root));
    assert!(newest.note.starts_with("akita/01010101010101010101010101010101\n32\n"), "{}", newest.note);
}

/// What is done to the database, and how the problem that is found begins.
const TAMPERED: [(&str, &str); 18] = [
    ("UPDATE ledger SET time_ms = time_ms + 1 WHERE idx = 17", "row 17 was changed"),
    ("UPDATE ledger SET event = 13 WHERE idx = 18", "row 18 was changed"),
    ("UPDATE ledger SET event = 99 WHERE idx = 18", "row 18 was changed: 99 is no event"),
    ("UPDATE ledger SET node = zeroblob(16) WHERE idx = 17", "row 17 was changed"),
    ("UPDATE ledger SET node = zeroblob(3) WHERE idx = 17", "row 17 was changed: an id in it"),
    ("UPDATE ledger SET task = zeroblob(16) WHERE idx = 17", "row 17 was changed"),
    ("UPDATE ledger SET task = NULL WHERE idx = 17", "row 17 was changed"),
    ("UPDATE ledger SET details = replace(details, '\"10\"', '\"11\"') WHERE idx = 17", "row 17 was changed"),
    ("UPDATE ledger SET details = details || ' ' WHERE idx = 17", "row 17 was changed: its details are not"),
    ("UPDATE ledger SET details = '{' WHERE idx = 17", "row 17 was changed: its details cannot"),
    ("DELETE FROM ledger WHERE idx = 17", "row 17 is missing"),
    ("DELETE FROM ledger WHERE idx = 31", "row 31 is missing"),
    (
        "UPDATE ledger SET idx = 999 WHERE idx = 17; UPDATE ledger SET idx = 17 WHERE idx = 20;
         UPDATE ledger SET idx = 20 WHERE idx = 999",
        "row 17 was changed",
    ),
    ("UPDATE ledger_hashes SET hash = zeroblob(32) WHERE idx = 0", "row 0 was changed: it does not agree"),
    ("UPDATE ledger_hashes SET hash = zeroblob(32) WHERE idx = 6", "row 3: the hash over rows 0 to 3"),
    ("DELETE FROM ledger_hashes WHERE idx = 6", "row 3: a hash that came with it is missing"),
    (
        "UPDATE checkpoints SET note = replace(note, char(10) || '13' || char(10), char(10) || '12' || char(10))",
        "rows 0 to 12: the checkpoint after row 12 is not signed",
    ),
    ("UPDATE checkpoints SET root = zeroblob(32) WHERE size = 32", "row 31: the root"),
];

#[tokio::test]
async fn whatever_is_changed_is_found_and_the_row_is_named() {
    let log = ledger().await;
    let pristine = std::fs::read(log.database()).unwrap();
    for (sql, expected) in TAMPERED {
        std::fs::write(log.database(), &pristine).unwrap();
        Connection::open(log.database()).unwrap().execute_batch(sql).unwrap();
        let report = verify(&log);
        assert!(!report.ok, "{sql}");
        let problem = report.problem.unwrap();
        assert!(problem.starts_with(expected), "{sql}: {problem}");
    }
}

/// Somebody who knows the format writes the whole ledger anew, hashes and all, but has not the key.
#[tokio::test]
async fn a_ledger_made_anew_does_not_agree_with_the_signed_checkpoints() {
    let (log, forged) = (ledger().await, Log::new().await);
    for n in 1..=31 {
        forged.one(submit(task(n + 100))).await;
    }
    forged.opened.store.close().await.unwrap();
    let conn = Connection::open(log.database()).unwrap();
    conn.execute("ATTACH ?1 AS forged", [forged.database().to_str().unwrap()]).unwrap();
    conn.execute_batch(
        "DELETE FROM ledger; DELETE FROM ledger_hashes;
         INSERT INTO ledger SELECT * FROM forged.ledger;
         INSERT INTO ledger_hashes SELECT * FROM forged.ledger_hashes;",
    )
    .unwrap();
    let report = verify(&log);
    let expected = "rows 0 to 12: the checkpoint after row 12 was signed over other rows";
    assert_eq!(report.problem.as_deref(), Some(expected));
    assert_eq!(report.signed_rows, 0);
}

#[tokio::test]
async fn rows_cut_off_with_their_hashes_are_missed_by_the_checkpoint() {
    let log = ledger().await;
    let conn = Connection::open(log.database()).unwrap();
    conn.execute_batch("DELETE FROM ledger WHERE idx >= 30; DELETE FROM ledger_hashes WHERE idx >= 56").unwrap();
    let problem = verify(&log).problem.unwrap();
    assert_eq!(problem, "row 30 is missing: a checkpoint was signed over 32 rows");
}

#[tokio::test]
async fn a_node_does_not_write_on_behind_a_cut_ledger() {
    let log = ledger().await;
    Connection::open(log.database()).unwrap().execute_batch("DELETE FROM ledger WHERE idx = 31").unwrap();
    let Log { opened, dir } = log;
    drop(opened);
    let data = crate::store::DataDir::open(dir.path()).unwrap();
    let error = crate::consensus::open(&data, crate::store::DEFAULT_FILE, signer(), clock()).err().unwrap();
    assert!(matches!(&error, StoreError::Open { source, .. } if matches!(**source, StoreError::Damaged(_))));
    assert!(error.hint().contains("backup"));
}

#[tokio::test]
async fn many_rows_are_signed_without_waiting_for_the_time() {
    let log = Log::new().await;
    let record = || Command::Record { event: EventType::ConfigChange, node: ME, details: vec![] };
    let entry: Vec<_> = std::iter::repeat_with(record).take(usize::try_from(CHECKPOINT_ROWS).unwrap()).collect();
    log.propose(entry).await;
    let report = log.opened.store.verify().await.unwrap();
    assert_eq!((report.ok, report.checkpoints, report.signed_rows), (true, 1, CHECKPOINT_ROWS + 1));
}

#[tokio::test]
async fn another_nodes_key_does_not_verify() {
    let log = ledger().await;
    let mut key = signer().key;
    key.node.0[0] ^= 1;
    let problem = verify_file(&log.database(), &key).unwrap().problem.unwrap();
    assert!(problem.contains("is not signed by this node's key"), "{problem}");
}

/// The keys of the signer of these tests do not hash to its node's id, so what is given out is checked piece by piece.
#[tokio::test]
async fn rows_and_stretches_are_proved_up_to_a_head_that_covers_them() {
    let log = Log::new().await;
    for n in 1..=9 {
        log.one(submit(task(n))).await;
    }
    let store = &log.opened.store;
    assert!(store.checkpoints(9).await.unwrap().is_empty());
    let found = store.prove_row(4).await.unwrap().unwrap();
    assert_eq!((found.row.index, found.head.size), (4, 10));
    let path = found.path.into_iter().map(tlog_tiles::Hash).collect();
    let leaf = tlog_tiles::record_hash(&found.row.leaf());
    tlog_tiles::check_record(&path, 10, tlog_tiles::Hash(found.head.root), 4, leaf).unwrap();
    // A head that covers what is asked for is not made again; one over all rows is, when rows came.
    log.one(submit(task(10))).await;
    assert_eq!(store.prove_row(9).await.unwrap().unwrap().head.size, 10);
    assert_eq!(store.signed_head(None).await.unwrap().unwrap().size, 11);
    assert_eq!(store.signed_head(None).await.unwrap().unwrap().size, 11);
    assert_eq!(store.checkpoints(9).await.unwrap().len(), 2);
    assert_eq!(store.prove_row(11).await.unwrap(), None);
    assert_eq!(store.prove_row(u64::MAX).await.unwrap(), None);
    assert_eq!(store.prove_range(3, 12).await.unwrap(), None);
    let range = store.prove_range(5, 7).await.unwrap().unwrap();
    let (rows, total) = store.ledger_rows(5, 2).await.unwrap();
    assert_eq!((rows.len(), total), (2, 11));
    let before = range.before.into_iter().map(tlog_tiles::Hash).collect();
    let mut edge = crate::store::Edge::of(5, before).unwrap();
    rows.iter().for_each(|row| edge.add(tlog_tiles::record_hash(&row.leaf())));
    let consistency = range.consistency.into_iter().map(tlog_tiles::Hash).collect();
    let root = tlog_tiles::Hash(range.head.root);
    tlog_tiles::check_tree(&consistency, range.head.size, root, 7, edge.root()).unwrap();
    let report = store.verify().await.unwrap();
    assert_eq!((report.ok, report.signers), (true, vec![ME]));
}

#[tokio::test]
async fn a_voter_signs_what_its_own_ledger_says_and_nothing_else() {
    let log = Log::new().await;
    log.one(submit(task(1))).await;
    let (leader, store) = (signer_of(NodeId([2; 16])), &log.opened.store);
    let head = store.ledger_head().await.unwrap();
    let asked = |size: u64, root: [u8; 32]| {
        let note = leader.note(size, tlog_tiles::Hash(root));
        let signature = Head::read(&note).unwrap().signature_of(&leader.key).unwrap();
        (note, Cosign { size, root, signature })
    };
    let (note, right) = asked(head.rows, head.root);
    let Cosigning::Signed(signature) = store.cosign(leader.key, right.clone()).await.unwrap() else {
        panic!("it is signed");
    };
    let both = signer().key.sign_too(&note, &signature).unwrap();
    assert_eq!(Head::read(&both).unwrap().check(&[leader.key, signer().key]).unwrap().signers.len(), 2);
    let (_, ahead) = asked(head.rows + 1, head.root);
    assert_eq!(store.cosign(leader.key, ahead).await.unwrap(), Cosigning::Behind);
    let (_, other) = asked(head.rows - 1, head.root);
    assert_eq!(store.cosign(leader.key, other).await.unwrap(), Cosigning::Differs);
    let (_, other) = asked(head.rows, [7; 32]);
    assert_eq!(store.cosign(leader.key, other).await.unwrap(), Cosigning::Differs);
    let forged = Cosign { root: [7; 32], ..right };
    assert_eq!(store.cosign(leader.key, forged).await.unwrap(), Cosigning::Forged);
}

#[tokio::test]
async fn signatures_of_others_are_kept_under_a_checkpoint_and_checked_with_it() {
    let log = Log::new().await;
    let (other, store) = (signer_of(NodeId([2; 16])), &log.opened.store);
    let head = store.signed_head(None).await.unwrap().unwrap();
    let signature = other.cosign(&head.note).unwrap().to_vec();
    let add = async |size, signature: &[u8]| store.add_signature(size, other.key, signature.to_vec()).await.unwrap();
    assert!(!add(head.size + 1, &signature).await, "there is no such checkpoint");
    assert!(!add(head.size, &[7; 64]).await, "false");
    assert!(!add(head.size, &signature[1..]).await);
    assert!(add(head.size, &signature).await);
    assert!(!add(head.size, &signature).await, "once");
    let report = store.verify_with(vec![other.key]).await.unwrap();
    assert_eq!((report.ok, report.signers), (true, vec![ME, other.key.node]));
    let report = store.verify().await.unwrap();
    assert_eq!((report.ok, report.signers, report.unchecked), (true, vec![ME], vec![other.key.origin()]));
    // Somebody puts another signature in its place.
    let again = other.key.sign_too(&head.note, &signature).unwrap();
    let wrong = signer().note(head.size + 1, tlog_tiles::Hash([1; 32])).lines().last().unwrap().to_owned();
    let (mine, theirs) = (again.lines().last().unwrap(), wrong.split(' ').next_back().unwrap());
    let place = mine.split(' ').next_back().unwrap();
    let id = &place[..6];
    let forged = again.replace(place, &format!("{id}{}", &theirs[6..]));
    execute(&log.database(), &format!("UPDATE checkpoints SET note = '{forged}'"));
    let problem = store.verify_with(vec![other.key]).await.unwrap().problem.expect("it is found");
    assert!(problem.contains("does not hold") && problem.contains(&other.key.origin()), "{problem}");
}
