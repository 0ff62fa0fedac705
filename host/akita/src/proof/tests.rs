//! That a proof holds for what it is about and for nothing else, whatever is changed in it.

use std::io::Cursor;

use akita_core::{EventType, LedgerRow, NodeId, TaskId};
use akita_mesh::Identity;
use tlog_tiles::{HashReader, prove_record, prove_tree, record_hash, stored_hashes_for_record_hash, tree_hash};

use super::*;
use crate::{
    cluster::node_of,
    store::{LedgerKey, Signer},
};

/// A ledger in memory.
#[derive(Default)]
struct Book {
    rows: Vec<LedgerRow>,
    hashes: Vec<Hash>,
}

impl HashReader for Book {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.hashes[usize::try_from(*index).unwrap()]).collect())
    }
}

fn signer() -> Signer {
    let identity = Identity::generate();
    let key = LedgerKey { node: node_of(identity.id()), public_key: identity.public_key() };
    Signer { key, sign: Box::new(move |message| identity.sign(message)) }
}

fn book(rows: u64) -> Book {
    let mut book = Book::default();
    for index in 0..rows {
        let details = vec![("b".into(), format!("{index}, \"x\"\né")), ("a".into(), String::new())];
        let task = (index % 2 == 1).then_some(TaskId([7; 16]));
        let time = 1_790_000_000_000 + index;
        let row = LedgerRow { index, time, event: EventType::TaskFailed, node: NodeId([3; 16]), task, details };
        let hashes = stored_hashes_for_record_hash(index, record_hash(&row.leaf()), &book).unwrap();
        book.hashes.extend(hashes);
        book.rows.push(row);
    }
    book
}

impl Book {
    fn size(&self) -> u64 {
        self.rows.len() as u64
    }

    fn note(&self, signer: &Signer, size: u64) -> String {
        signer.note(size, tree_hash(size, self).unwrap())
    }

    fn row(&self, index: u64) -> ExactRow {
        ExactRow::of(&self.rows[usize::try_from(index).unwrap()])
    }

    fn prove(&self, index: u64, signer: &Signer) -> RowProof {
        let path = prove_record(self.size(), index, self).unwrap();
        RowProof {
            format: RowProof::FORMAT.into(),
            row: self.row(index),
            audit_path: path.into_iter().map(hex).collect(),
            checkpoint: self.note(signer, self.size()),
            keys: vec![KeyView::of(&signer.key)],
        }
    }

    fn range(&self, from: u64, to: u64, signer: &Signer) -> RangeProof {
        let before = tlog_tiles::sub_tree_index(0, from, vec![]);
        RangeProof {
            format: RangeProof::FORMAT.into(),
            from,
            to,
            before: self.read_hashes(&before).unwrap().into_iter().map(hex).collect(),
            consistency: prove_tree(self.size(), to, self).unwrap().into_iter().map(hex).collect(),
            checkpoint: self.note(signer, self.size()),
            keys: vec![KeyView::of(&signer.key)],
        }
    }
}

/// What is wrong with these rows, as a stretch.
fn fault(proof: RangeProof, rows: &[ExactRow]) -> Option<String> {
    let check = || {
        let mut check = RangeCheck::new(proof)?;
        rows.iter().try_for_each(|row| check.row(row))?;
        check.finish()
    };
    check().err().map(|fault: Fault| fault.0)
}

#[test]
fn every_row_of_every_small_ledger_can_be_proved_and_no_other_row_by_its_proof() {
    let signer = signer();
    for size in [1, 2, 3, 7, 8, 21] {
        let book = book(size);
        for index in 0..size {
            let proof = book.prove(index, &signer);
            let proven = proof.check().unwrap();
            assert_eq!((proven.size, proven.signers), (size, vec![signer.key.node]));
            let json = serde_json::to_string(&proof).unwrap();
            assert_eq!(serde_json::from_str::<RowProof>(&json).unwrap(), proof);
            let other = ExactRow { index, ..book.row((index + 1) % size) };
            if size > 1 {
                assert!(RowProof { row: other, ..proof }.check().unwrap_err().0.contains(&format!("row {index} ")));
            }
        }
    }
}

#[test]
fn whatever_is_changed_in_a_proof_is_found() {
    let (signer, book) = (signer(), book(21));
    let good = book.prove(12, &signer);
    type Change = fn(&mut RowProof);
    let changes: [(Change, &str); 13] = [
        (|proof| proof.row.time = "2026-09-21T14:13:20.999Z".into(), "row 12 was changed: it does not agree"),
        (|proof| proof.row.time = "soon".into(), "row 12 was changed: its time is none"),
        (|proof| proof.row.event_type = "TASK_COMPLETED".into(), "row 12 was changed: it does not agree"),
        (|proof| proof.row.event_type = "task_failed".into(), "row 12 was changed: it is not written"),
        (|proof| proof.row.node_id = "04".repeat(16), "row 12 was changed"),
        (|proof| proof.row.task_id = Some("07070707-0707-0707-0707-070707070707".into()), "row 12 was changed"),
        (|proof| proof.row.details.reverse(), "row 12 was changed"),
        (|proof| proof.row.index = 13, "row 13 was changed"),
        (|proof| proof.audit_path[0] = "00".repeat(32), "row 12 is not in the ledger"),
        (|proof| proof.audit_path.truncate(1), "row 12 is not in the ledger"),
        (|proof| proof.checkpoint = proof.checkpoint.replace("\n21\n", "\n22\n"), "the signature of akita/"),
        (|proof| proof.keys.clear(), "the checkpoint is signed by nobody whose key is known"),
        (|proof| proof.keys[0].node_id = "05".repeat(16), "the key of node 0505"),
    ];
    for (change, expected) in changes {
        let mut proof = good.clone();
        change(&mut proof);
        let fault = proof.check().unwrap_err().0;
        assert!(fault.starts_with(expected), "{expected}: {fault}");
    }
}

/// Who makes a row up can compute its leaf, but not a path from it to the root that was signed; and who signs a root of
/// his own has another key.
#[test]
fn a_forger_without_the_key_proves_nothing_in_the_nodes_name() {
    let (forger, signer, book) = (signer(), signer(), book(21));
    let mut made_up = book.rows[12].clone();
    made_up.time += 1;
    let proof = RowProof { row: ExactRow::of(&made_up), ..book.prove(12, &signer) };
    assert!(proof.check().unwrap_err().0.starts_with("row 12 is not in the ledger"));
    let forged = book.prove(12, &forger);
    assert_eq!(forged.check().unwrap().signers, [forger.key.node]);
    let mut named = forged.clone();
    named.keys = vec![KeyView { node_id: signer.key.node.to_string(), ..KeyView::of(&forger.key) }];
    assert!(named.check().unwrap_err().0.contains("is not that node's"));
    let key = KeyView::of(&signer.key);
    assert!(
        RowProof { keys: vec![key], ..forged }.check().unwrap_err().0.contains("signed by nobody whose key is known")
    );
}

#[test]
fn a_stretch_holds_wherever_it_begins_and_ends() {
    let (signer, book) = (signer(), book(13));
    for from in 0..13 {
        for to in from + 1..=13 {
            let rows: Vec<_> = (from..to).map(|index| book.row(index)).collect();
            assert_eq!(fault(book.range(from, to, &signer), &rows), None, "{from} to {to}");
        }
    }
}

#[test]
fn a_row_that_is_missing_doubled_changed_or_out_of_order_is_named() {
    let (signer, book) = (signer(), book(21));
    let rows: Vec<_> = (5..15).map(|index| book.row(index)).collect();
    let with = |change: fn(&mut Vec<ExactRow>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        fault(book.range(5, 15, &signer), &rows).unwrap()
    };
    assert_eq!(with(|rows| drop(rows.remove(3))), "row 8 is missing: row 9 stands in its place");
    assert_eq!(with(|rows| drop(rows.pop())), "row 14 is missing: the stretch goes to row 14");
    assert_eq!(with(|rows| rows.swap(2, 4)), "row 7 is missing: row 9 stands in its place");
    assert_eq!(with(|rows| rows.insert(4, rows[3].clone())), "row 8 stands where row 9 belongs");
    assert_eq!(with(|rows| rows.push(rows[0].clone())), "row 5 is one too many: the stretch ends before row 15");
    assert_eq!(with(|rows| rows[6].details.clear()), "row 11 was changed: it does not agree with its hash");
    let forged = with(|rows| {
        let (mut row, _) = rows[6].read().unwrap();
        row.time += 1;
        rows[6] = ExactRow::of(&row);
    });
    assert_eq!(forged, "rows 5 to 14 are not those that the checkpoint was signed over");
    let mut proof = book.range(5, 15, &signer);
    proof.before[0] = "00".repeat(32);
    assert!(fault(proof, &rows).unwrap().starts_with("rows 5 to 14 are not those"));
    let mut proof = book.range(5, 15, &signer);
    proof.before.pop();
    assert!(fault(proof, &rows).unwrap().contains("before row 5"));
    assert!(fault(RangeProof { to: u64::MAX, ..book.range(5, 15, &signer) }, &rows).unwrap().contains("no stretch"));
}

#[test]
fn a_ledger_goes_on_from_each_of_its_older_heads_and_from_no_other() {
    let mut other = Book::default();
    for mut row in book(21).rows {
        row.time += 1;
        let hashes = stored_hashes_for_record_hash(row.index, record_hash(&row.leaf()), &other).unwrap();
        other.hashes.extend(hashes);
        other.rows.push(row);
    }
    let (signer, book) = (signer(), book(21));
    for size in 1..=21 {
        let old = Head::read(&book.note(&signer, size)).unwrap();
        assert_eq!(book.range(0, size, &signer).goes_on_from(&old).unwrap().size, 21);
        assert!(book.range(0, 22 - size, &signer).goes_on_from(&old).is_err() || size == 11);
        let foreign = Head::read(&other.note(&signer, size)).unwrap();
        let fault = book.range(0, size, &signer).goes_on_from(&foreign).unwrap_err().0;
        assert_eq!(fault, format!("rows 0 to {} are not those under the checkpoint", size - 1));
    }
}

#[test]
fn a_checkpoint_carries_the_signatures_of_several_nodes() {
    let (first, second, third, book) = (signer(), signer(), signer(), book(9));
    let note = book.note(&first, 9);
    let signed = second.cosign(&note).unwrap();
    assert!(third.key.sign_too(&note, &signed).unwrap_err().0.contains("is false"), "another's signature");
    assert!(second.key.sign_too(&note, &signed[1..]).is_err());
    let note = second.key.sign_too(&note, &signed).unwrap();
    let note = third.key.sign_too(&note, &third.cosign(&note).unwrap()).unwrap();
    assert!(third.cosign(&note).unwrap_err().0.contains("already"));
    assert!(third.key.sign_too(&note, &signed).unwrap_err().0.contains("already"));
    let head = Head::read(&note).unwrap();
    assert_eq!(head.signers(), [first.key.node, second.key.node, third.key.node]);
    let proven = head.check(&[second.key, first.key, second.key]).unwrap();
    assert_eq!(proven.signers, [first.key.node, second.key.node]);
    assert_eq!(proven.unchecked, [third.key.origin()]);
    assert_eq!(head.check(&[signer().key]).unwrap_err().0.matches("akita/").count(), 3);
    // One false signature among good ones is a fault, not an unknown one.
    let line = note.lines().last().unwrap();
    let other_line = book.note(&third, 8).lines().last().unwrap().to_owned();
    let head = Head::read(&note.replace(line, &other_line)).unwrap();
    assert!(head.check(&[first.key]).is_ok());
    assert!(head.check(&[first.key, third.key]).unwrap_err().0.contains("is false"));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let good = book(3).note(&signer(), 3);
    let bad = ["", "akita/x\n3\n", &good[..good.len() / 2], &good.replace("\n3\n", "\n03\n")];
    assert!(bad.iter().all(|text| Head::read(text).is_err()));
    let huge = signer().note(u64::MAX, Hash([0; 32]));
    assert!(Head::read(&huge).unwrap_err().0.contains("more rows than there can be"));
}

#[test]
fn rows_survive_both_forms_to_the_letter() {
    let (signer, book) = (signer(), book(9));
    let proof = book.range(2, 9, &signer);
    for (form, proof) in [(Form::Jsonl, Some(&proof)), (Form::Jsonl, None), (Form::Csv, None)] {
        let mut file = Vec::new();
        let mut writer = Writer::new(form, &mut file, proof).unwrap();
        (2..9).for_each(|index| writer.row(&book.row(index)).unwrap());
        writer.finish().unwrap();
        let reader = Reader::new(Cursor::new(&file)).unwrap();
        assert_eq!((reader.form, reader.proof.as_ref()), (form, proof));
        let rows: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(rows, (2..9).map(|index| book.row(index)).collect::<Vec<_>>());
        let spoilt = String::from_utf8(file).unwrap().replacen("TASK_FAILED", "TASK\"_FAILED", 1);
        let spoilt = Reader::new(Cursor::new(spoilt)).unwrap().any(|row| row.is_err() || row.unwrap().read().is_err());
        assert!(spoilt);
    }
    assert!(Reader::new(Cursor::new("a,b\n1,2\n")).is_err());
    assert!(Reader::new(Cursor::new("")).is_err());
}
