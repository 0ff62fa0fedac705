//! The cluster key as it changes: the keys that a node holds, and what the log says of a rotation. A secret stays in the
//! ring of a node and in messages to members; the log has fingerprints only. It never draws a key, nor reads a clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    id::{ClusterId, KeyMark, Millis, NodeId},
    membership::ClusterKey,
};

/// The generation of a key that the operator set.
pub const FIRST: u64 = 1;
/// Earlier keys that a node holds at most: one rotation runs at a time, and a few may be left by clusters that merged.
pub const MAX_PREVIOUS: usize = 4;
/// Generations that a node may be behind at most: what claims more is no key of this cluster.
pub const MAX_LEAP: u64 = 1_024;
/// Nodes that a rotation waits for by name: as many as a leader remembers.
pub const MAX_WAITING: usize = 4_096;
/// How long the earlier key is still accepted unless the operator says otherwise: a node that is looked after daily.
pub const DEFAULT_GRACE_MS: Millis = 24 * 3_600_000;
/// The longest: a month away is the most that is waited for.
pub const MAX_GRACE_MS: Millis = 31 * 24 * 3_600_000;

/// A key that is being replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct Previous {
    /// What the operator or a node once made.
    pub secret: String,
    /// Until when it is accepted, by this node's clock; nothing: the change is not agreed on yet.
    pub until: Option<Millis>,
}

/// The keys that a node holds, the present one first.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    /// Counts the keys of a cluster, from [`FIRST`].
    pub generation: u64,
    /// The cluster in which the node took it.
    pub cluster: ClusterId,
    /// The present key.
    pub secret: String,
    /// Those before it, newest first.
    pub previous: Vec<Previous>,
    /// Of the key in the settings when this was written: another one there says that the operator has set a new one.
    pub configured: Option<KeyMark>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing(generation {}, {} before it)", self.generation, self.previous.len())
    }
}

impl KeyRing {
    /// The ring of a node whose operator set the key; none if it is too short.
    pub fn of(secret: &str) -> Option<KeyRing> {
        let secret = secret.trim().to_owned();
        let mark = ClusterKey::new(secret.as_bytes())?.mark();
        let cluster = ClusterId::default();
        Some(KeyRing { generation: FIRST, cluster, secret, previous: Vec::new(), configured: Some(mark) })
    }

    /// What a node starts with: what it `kept`, unless the settings have got another key since.
    pub fn at_start(kept: Option<KeyRing>, configured: Option<&str>) -> Option<KeyRing> {
        let set = configured.and_then(KeyRing::of);
        match (kept, set) {
            (Some(kept), Some(set))
                if kept.configured.is_none_or(|mark| Some(mark) == set.configured) || kept.secret == set.secret =>
            {
                Some(KeyRing { configured: set.configured, ..kept })
            }
            (kept, None) => kept,
            (_, set) => set,
        }
    }

    /// The keys that count at `now`, the present one first.
    pub fn accepted(&self, now: Millis) -> Vec<ClusterKey> {
        let before = self.previous.iter().filter(|one| one.until.is_none_or(|until| now < until));
        let secrets = std::iter::once(&self.secret).chain(before.map(|one| &one.secret));
        secrets.filter_map(|secret| ClusterKey::new(secret.as_bytes())).collect()
    }

    /// Stands for the present key.
    pub fn mark(&self) -> KeyMark {
        ClusterKey::new(self.secret.as_bytes()).map(|key| key.mark()).unwrap_or_default()
    }

    /// Takes a newer key; the present one counts on until it is known for how long. False: it is no newer one.
    pub fn take(&mut self, generation: u64, secret: &str, cluster: ClusterId) -> bool {
        let newer = generation > self.generation && generation - self.generation <= MAX_LEAP;
        if !newer || ClusterKey::new(secret.as_bytes()).is_none() {
            return false;
        }
        if self.secret != secret.trim() {
            let old = std::mem::replace(&mut self.secret, secret.trim().to_owned());
            self.previous.insert(0, Previous { secret: old, until: None });
            self.previous.truncate(MAX_PREVIOUS);
        }
        (self.generation, self.cluster) = (generation, cluster);
        true
    }

    /// The operator brings the key that the others have.
    pub fn import(&mut self, secret: &str) -> bool {
        if ClusterKey::new(secret.as_bytes()).is_none() || self.secret == secret.trim() {
            return false;
        }
        // Its number is told by whoever leads.
        (self.generation, self.cluster) = (FIRST, ClusterId::default());
        self.secret = secret.trim().to_owned();
        self.previous.clear();
        true
    }

    /// Earlier keys count until `until` and no longer. True if that changes anything.
    pub fn limit(&mut self, until: Millis) -> bool {
        let later = |one: &Previous| one.until.is_none_or(|known| known > until);
        let changed = self.previous.iter().any(later);
        self.previous.iter_mut().filter(|one| later(one)).for_each(|one| one.until = Some(until));
        changed
    }

    /// Forgets earlier keys that do not count any more at `now`. True if there were any.
    pub fn expire(&mut self, now: Millis) -> bool {
        let before = self.previous.len();
        self.previous.retain(|one| one.until.is_none_or(|until| now < until));
        self.previous.len() != before
    }
}

/// What the log says of the newest key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTurn {
    /// Its number.
    pub generation: u64,
    /// Stands for it.
    pub mark: KeyMark,
    /// Until when the one before is accepted, by the log's time.
    pub until: Millis,
    /// It ends as soon as nobody is waited for.
    pub early: bool,
    /// The one before is refused.
    pub retired: bool,
    /// Admitted nodes that do not have it yet.
    pub waiting: BTreeSet<NodeId>,
    /// Nodes that have said that they have it.
    pub held: BTreeSet<NodeId>,
}

/// What the leader does about the key next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStep {
    /// Nothing.
    Rest,
    /// Give the key that it holds to the voters, and agree on it once most of them have it.
    Agree,
    /// Give it to those that lack it.
    Spread,
    /// Refuse the key before it.
    Retire,
    /// The log knows of a key that this leader does not have: somebody must bring it.
    Lacks,
}

/// Decides for a leader that holds the key of `generation`.
pub fn next_step(generation: u64, turn: Option<&KeyTurn>, now: Millis) -> KeyStep {
    let Some(turn) = turn else {
        return if generation > FIRST { KeyStep::Agree } else { KeyStep::Rest };
    };
    match generation.cmp(&turn.generation) {
        std::cmp::Ordering::Greater => KeyStep::Agree,
        std::cmp::Ordering::Less => KeyStep::Lacks,
        std::cmp::Ordering::Equal if turn.retired => KeyStep::Rest,
        std::cmp::Ordering::Equal if now >= turn.until || turn.early && turn.waiting.is_empty() => KeyStep::Retire,
        std::cmp::Ordering::Equal => KeyStep::Spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "correct horse battery staple";
    const NEW: &str = "0123456789abcdef0123456789abcdef";

    fn turned() -> KeyRing {
        let mut ring = KeyRing::of(OLD).unwrap();
        assert!(ring.take(2, NEW, ClusterId([1; 16])));
        ring
    }

    fn turn(generation: u64) -> KeyTurn {
        let waiting = BTreeSet::from([NodeId([2; 16])]);
        let (mark, held) = (KeyMark::default(), BTreeSet::new());
        KeyTurn { generation, mark, until: 1_000, early: true, retired: false, waiting, held }
    }

    fn marks(ring: &KeyRing, now: Millis) -> Vec<KeyMark> {
        ring.accepted(now).iter().map(ClusterKey::mark).collect()
    }

    #[test]
    fn the_old_key_counts_until_its_time_is_known_and_over() {
        let mut ring = turned();
        let both = marks(&ring, u64::MAX - 1);
        assert_eq!(both.len(), 2, "not agreed on yet: for as long as that takes");
        assert!(ring.limit(1_000) && !ring.limit(2_000), "it never gets longer");
        assert_eq!(marks(&ring, 999), both);
        assert_eq!(marks(&ring, 1_000), both[..1]);
        assert!(!ring.expire(999) && ring.expire(1_000) && ring.previous.is_empty());
        assert_eq!(ring.mark(), both[0]);
    }

    #[test]
    fn only_a_newer_key_of_believable_number_is_taken() {
        let mut ring = turned();
        assert!(!ring.take(2, "another key of that number", ClusterId([1; 16])));
        assert!(!ring.take(1, OLD, ClusterId([1; 16])));
        assert!(!ring.take(u64::MAX, "a key that claims too much", ClusterId([1; 16])));
        assert!(!ring.take(3, "short", ClusterId([1; 16])));
        assert_eq!((ring.generation, ring.secret.as_str()), (2, NEW));
        for generation in 3..20 {
            assert!(ring.take(generation, &format!("{NEW}{generation}"), ClusterId([1; 16])));
        }
        assert_eq!(ring.previous.len(), MAX_PREVIOUS);
    }

    #[test]
    fn a_restart_keeps_the_rotated_key_until_the_operator_sets_another() {
        let kept = turned();
        assert_eq!(
            KeyRing::at_start(Some(kept.clone()), Some(OLD)),
            Some(kept.clone()),
            "the settings are as they were"
        );
        let followed = KeyRing::at_start(Some(kept.clone()), Some(&format!(" {NEW}\n"))).unwrap();
        assert_eq!(
            (followed.generation, followed.configured),
            (2, Some(kept.mark())),
            "the settings were brought up to date"
        );
        let imported = KeyRing { configured: None, ..kept.clone() };
        assert_eq!(KeyRing::at_start(Some(imported), Some(OLD)), Some(kept.clone()), "brought while it was not known");
        assert_eq!(KeyRing::at_start(Some(kept.clone()), None), Some(kept.clone()), "it never opens by itself");
        let other = KeyRing::at_start(Some(kept), Some("a key of the operator's")).unwrap();
        assert_eq!((other.generation, other.previous.len()), (FIRST, 0));
        assert_eq!(KeyRing::at_start(None, None), None);
        assert!(!format!("{:?}", turned()).contains("battery"));
    }

    #[test]
    fn an_imported_key_stands_alone() {
        let mut ring = turned();
        assert!(ring.import("what the others have now\n") && !ring.import("what the others have now"));
        assert!(!ring.import("short"));
        assert_eq!((ring.generation, ring.secret.as_str()), (FIRST, "what the others have now"));
        assert_eq!(ring.accepted(0).len(), 1);
        assert!(ring.take(2, "what the others have now", ClusterId([1; 16])), "its number is told later");
        assert_eq!((ring.generation, ring.accepted(0).len()), (2, 1));
    }

    #[test]
    fn a_leader_agrees_spreads_and_retires_in_that_order() {
        assert_eq!(next_step(FIRST, None, 0), KeyStep::Rest);
        assert_eq!(next_step(2, None, 0), KeyStep::Agree);
        assert_eq!(next_step(3, Some(&turn(2)), 0), KeyStep::Agree, "left by another cluster");
        assert_eq!(next_step(1, Some(&turn(2)), 0), KeyStep::Lacks);
        assert_eq!(next_step(2, Some(&turn(2)), 999), KeyStep::Spread);
        assert_eq!(next_step(2, Some(&turn(2)), 1_000), KeyStep::Retire, "one is away for too long");
        let all = KeyTurn { waiting: BTreeSet::new(), ..turn(2) };
        assert_eq!(next_step(2, Some(&all), 0), KeyStep::Retire);
        let unknown = KeyTurn { early: false, ..all.clone() };
        assert_eq!(next_step(2, Some(&unknown), 0), KeyStep::Spread, "who is away is not known here");
        assert_eq!(next_step(2, Some(&KeyTurn { retired: true, ..all }), 5_000), KeyStep::Rest);
    }
}
