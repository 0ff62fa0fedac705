//! What the log says of the cluster key: a rotation begins, nodes have the new key, the old one is refused. It never holds
//! a key.

use super::{At, Change, Effects, State};
use crate::{
    command::Reply,
    event::EventType,
    id::NodeId,
    keys::{KeyTurn, MAX_WAITING},
};

impl State {
    pub(super) fn rotate_key(&mut self, at: &At, turn: KeyTurn, out: &mut Effects) -> Reply {
        let Some(node) = self.cluster.as_ref().filter(|_| !self.is_sealed()).map(|cluster| cluster.founder) else {
            return Reply::Sealed;
        };
        if self.key.as_ref().is_some_and(|known| known.generation >= turn.generation) {
            return Reply::Stale;
        }
        let details = vec![
            ("cluster_key".into(), "rotated".into()),
            ("generation".into(), turn.generation.to_string()),
            ("fingerprint".into(), turn.mark.to_string()),
            ("old_key_until_ms".into(), turn.until.to_string()),
        ];
        out.changes.push(Change::Key(turn.clone()));
        self.key = Some(turn);
        self.row(at, EventType::ConfigChange, node, None, details, out);
        Reply::Done
    }

    pub(super) fn hold_key(&mut self, generation: u64, nodes: &[NodeId], out: &mut Effects) -> Reply {
        let Some(turn) = self.key.as_mut().filter(|turn| turn.generation == generation) else {
            return Reply::Stale;
        };
        for node in nodes.iter().take(MAX_WAITING) {
            if turn.waiting.remove(node) || turn.held.len() < MAX_WAITING {
                turn.held.insert(*node);
            }
        }
        out.changes.push(Change::Key(turn.clone()));
        Reply::Done
    }

    pub(super) fn retire_key(&mut self, at: &At, generation: u64, out: &mut Effects) -> Reply {
        let node = self.cluster.as_ref().map(|cluster| cluster.founder).unwrap_or_default();
        let Some(turn) = self.key.as_mut().filter(|turn| turn.generation == generation && !turn.retired) else {
            return Reply::Stale;
        };
        turn.retired = true;
        let details = vec![
            ("cluster_key".into(), "the one before is refused".into()),
            ("generation".into(), generation.to_string()),
            ("held_by".into(), turn.held.len().to_string()),
            ("not_confirmed".into(), turn.waiting.len().to_string()),
        ];
        out.changes.push(Change::Key(turn.clone()));
        self.row(at, EventType::ConfigChange, node, None, details, out);
        Reply::Done
    }
}
