//! The right edge of the Merkle tree over the ledger: all that appending a row and knowing the root need, so that
//! neither reads the database.

use rusqlite::{Connection, OptionalExtension};
use tlog_tiles::{Hash, HashReader, stored_hash_index, stored_hashes_for_record_hash, sub_tree_index, tree_hash};

use crate::store::error::StoreError;

/// Roots of the complete subtrees that make up a tree, left to right, each with its stored hash index. At most 64.
#[derive(Default)]
pub(crate) struct Edge {
    size: u64,
    roots: Vec<(u64, Hash)>,
}

impl HashReader for Edge {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let find = |index: &u64| self.roots.iter().rev().find(|(at, _)| at == index).map(|(_, hash)| *hash);
        indexes.iter().map(|index| find(index).ok_or(tlog_tiles::Error::IndexesNotInTree)).collect()
    }
}

impl Edge {
    /// The edge of the stored tree of `size` rows.
    pub(in crate::store) fn load(conn: &Connection, size: u64) -> Result<Edge, StoreError> {
        let mut roots = Vec::new();
        for index in sub_tree_index(0, size, Vec::new()) {
            let hash: Option<[u8; 32]> = conn
                .prepare_cached("SELECT hash FROM ledger_hashes WHERE idx = ?1")?
                .query_row([index.cast_signed()], |row| row.get(0))
                .optional()?;
            let hash = hash.ok_or_else(|| StoreError::Damaged(format!("the ledger's hash {index} is missing")))?;
            roots.push((index, Hash(hash)));
        }
        Ok(Edge { size, roots })
    }

    /// The edge of a tree of `size` rows whose complete subtrees have these roots, left to right; none if there are more
    /// or fewer.
    pub(crate) fn of(size: u64, roots: Vec<Hash>) -> Option<Edge> {
        let indexes = sub_tree_index(0, size, Vec::new());
        let fits = indexes.len() == roots.len();
        fits.then(|| Edge { size, roots: indexes.into_iter().zip(roots).collect() })
    }

    /// The roots of its complete subtrees, left to right.
    pub(in crate::store) fn into_roots(self) -> Vec<Hash> {
        self.roots.into_iter().map(|(_, hash)| hash).collect()
    }

    /// Rows in the tree.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The hashes that the next leaf brings, to be stored from the index on that comes first.
    pub(in crate::store) fn next(&self, leaf: Hash) -> (u64, Vec<Hash>) {
        let hashes = stored_hashes_for_record_hash(self.size, leaf, self).expect("the edge has what an append needs");
        (stored_hash_index(0, self.size), hashes)
    }

    /// Takes in what [`next`](Self::next) gave.
    pub(in crate::store) fn push(&mut self, first: u64, hashes: &[Hash]) {
        // Each hash above the leaf takes in one complete subtree to its left; only the last stays at the edge.
        let above = hashes.len() - 1;
        self.roots.truncate(self.roots.len() - above);
        self.roots.push((first + above as u64, hashes[above]));
        self.size += 1;
    }

    /// Takes in the next leaf.
    pub(crate) fn add(&mut self, leaf: Hash) {
        let (first, hashes) = self.next(leaf);
        self.push(first, &hashes);
    }

    /// The root.
    pub(crate) fn root(&self) -> Hash {
        tree_hash(self.size, self).expect("the edge has what the root needs")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tlog_tiles::record_hash;

    use super::*;

    struct All(RefCell<Vec<Hash>>);

    impl HashReader for All {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|index| self.0.borrow()[usize::try_from(*index).unwrap()]).collect())
        }
    }

    #[test]
    fn the_edge_gives_the_same_tree_as_all_hashes() {
        let (mut edge, all) = (Edge::default(), All(RefCell::default()));
        assert_eq!(edge.root(), tlog_tiles::EMPTY_HASH);
        for row in 0..200u64 {
            let leaf = record_hash(&row.to_le_bytes());
            let (first, hashes) = edge.next(leaf);
            edge.push(first, &hashes);
            assert_eq!(first, all.0.borrow().len() as u64);
            assert_eq!(hashes, stored_hashes_for_record_hash(row, leaf, &all).unwrap());
            all.0.borrow_mut().extend(hashes);
            assert_eq!(edge.root(), tree_hash(row + 1, &all).unwrap());
        }
    }
}
