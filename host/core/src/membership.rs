//! Who belongs together and who leads: the announce, the proof of a cluster key, and which of two leaders gives way.
//! It never talks to anybody, and it never sees a key leave the node: only proofs made with it.

use crate::{
    id::{ClusterId, KeyMark, NodeId},
    wire::{Hello, Standing},
};

/// Version of the announce of a cluster with one voter.
const ANNOUNCE_VERSION: u8 = 1;
/// Version of the announce of one with several.
const ANNOUNCE_ESTABLISHED: u8 = 2;
/// Longest name of a node or cluster, in bytes: the announce must stay under 100 B.
pub const MAX_NAME_LEN: usize = 32;
/// Shortest cluster key in bytes: a proof can be attacked by guessing, so a key must not be guessable.
pub const MIN_KEY_LEN: usize = 16;

/// Stands for a cluster's name in announces: short, and says nothing to those who do not know the name.
pub fn cluster_tag(name: &str) -> [u8; 8] {
    let hash = blake3::derive_key("akita cluster tag v1", name.as_bytes());
    let mut tag = [0; 8];
    tag.copy_from_slice(&hash[..8]);
    tag
}

/// A digest of what a node offers; a changed one says: ask again.
pub fn catalog_digest<'a>(
    capabilities: impl Iterator<Item = &'a str>,
    actions: impl Iterator<Item = &'a str>,
) -> [u8; 8] {
    let mut hash = blake3::Hasher::new_derive_key("akita catalog digest v1");
    for word in capabilities.chain(std::iter::once("\0")).chain(actions) {
        hash.update(word.as_bytes()).update(&[0xff]);
    }
    let mut digest = [0; 8];
    hash.finalize_xof().fill(&mut digest);
    digest
}

/// What a node tells everybody: 51 bytes and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Of the cluster's name.
    pub tag: [u8; 8],
    /// Where the node stands.
    pub standing: Standing,
    /// Several nodes vote in its cluster.
    pub established: bool,
    /// Of its catalogue.
    pub digest: [u8; 8],
    /// Its name.
    pub name: String,
}

/// Bytes that are no announcement of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an announcement of version {ANNOUNCE_VERSION} or {ANNOUNCE_ESTABLISHED}")]
pub struct BadAnnouncement;

impl Announcement {
    /// The announce's application data: version, tag, cluster, leader, digest, name.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![if self.established { ANNOUNCE_ESTABLISHED } else { ANNOUNCE_VERSION }];
        bytes.extend_from_slice(&self.tag);
        bytes.extend_from_slice(&self.standing.cluster.0);
        bytes.extend_from_slice(&self.standing.leader.0);
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(crate::task::cut(&self.name, MAX_NAME_LEN).as_bytes());
        bytes
    }

    /// The announcement in `bytes`.
    ///
    /// # Errors
    /// There is none.
    pub fn decode(bytes: &[u8]) -> Result<Announcement, BadAnnouncement> {
        let (version, rest) = bytes.split_first_chunk::<1>().ok_or(BadAnnouncement)?;
        let established = match *version {
            [ANNOUNCE_VERSION] => false,
            [ANNOUNCE_ESTABLISHED] => true,
            _ => return Err(BadAnnouncement),
        };
        let (tag, rest) = rest.split_first_chunk::<8>().ok_or(BadAnnouncement)?;
        let (cluster, rest) = rest.split_first_chunk::<16>().ok_or(BadAnnouncement)?;
        let (leader, rest) = rest.split_first_chunk::<16>().ok_or(BadAnnouncement)?;
        let (digest, name) = rest.split_first_chunk::<8>().ok_or(BadAnnouncement)?;
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name)).ok_or(BadAnnouncement)?;
        let standing = Standing { cluster: ClusterId(*cluster), leader: NodeId(*leader) };
        Ok(Announcement { tag: *tag, standing, established, digest: *digest, name: name.to_owned() })
    }
}

/// Whether `name` can name a node or a cluster: 1 to 32 bytes, nothing that a terminal would act on.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_LEN && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// What two nodes that met do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This node gives way, or follows: it belongs to the other's cluster.
    Join,
    /// The other joins this node's cluster, or is in it already.
    Welcome,
    /// Neither leads, or they are led by the same node: nothing to do with each other.
    Nothing,
    /// Both clusters have several voters: neither gives way by itself, and the operators must hear of it.
    Apart,
}

/// Where a node stands, and whether its cluster can give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Its cluster and leader.
    pub standing: Standing,
    /// Several nodes vote in it: what it has accepted is not one node's to hand over.
    pub established: bool,
}

/// Decides between `me`, standing at `mine`, and `other`, standing at `theirs`. Both sides come to opposite answers.
/// Of two leaders the one with the smaller cluster id leads on, but one alone gives way to several voters. A worker
/// decides nothing: its leader does.
pub fn decide(me: NodeId, mine: Stand, other: NodeId, theirs: Stand) -> Verdict {
    let (i_lead, they_lead) = (mine.standing.leader == me, theirs.standing.leader == other);
    let (ours, others) = (mine.standing.cluster, theirs.standing.cluster);
    let i_yield = match (mine.established, theirs.established) {
        (false, true) => true,
        (true, false) => false,
        _ => others < ours,
    };
    match (i_lead, they_lead) {
        _ if mine.established && theirs.established && ours != others => {
            if i_lead {
                Verdict::Apart
            } else {
                Verdict::Nothing
            }
        }
        (true, true) if i_yield && ours != others => Verdict::Join,
        (true, true) => Verdict::Welcome,
        (true, false) if theirs.standing.leader == me || !i_yield && ours != others => Verdict::Welcome,
        // Its own leader is elsewhere and leads on: it is to be found through this node.
        (true, false) if i_yield && theirs.established && ours != others => Verdict::Join,
        (false, true) if ours == others => Verdict::Join,
        (false, true) if i_yield => Verdict::Join,
        _ => Verdict::Nothing,
    }
}

/// A secret that all nodes of a cluster hold.
#[derive(Clone)]
pub struct ClusterKey([u8; 32]);

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// Which end of a link proves: the two proofs differ, so that one cannot be sent back as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who said [`Hello`].
    Caller,
    /// Who was called.
    Called,
}

/// A conversation that a proof is bound to: both ends and both nonces.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Who said hello.
    pub caller: NodeId,
    /// Its hello.
    pub hello: &'a Hello,
    /// Who was called.
    pub called: NodeId,
    /// Its nonce.
    pub called_nonce: [u8; 16],
}

impl ClusterKey {
    /// The key that a passphrase or file stands for; `None` if it is shorter than [`MIN_KEY_LEN`].
    pub fn new(secret: &[u8]) -> Option<ClusterKey> {
        let secret = secret.trim_ascii();
        (secret.len() >= MIN_KEY_LEN).then(|| ClusterKey(blake3::derive_key("akita cluster key v1", secret)))
    }

    /// Stands for the key where it must not be shown. Of a key that can be guessed, it tells a guess from another.
    pub fn mark(&self) -> KeyMark {
        let mut mark = [0; 16];
        blake3::Hasher::new_derive_key("akita cluster key mark v1").update(&self.0).finalize_xof().fill(&mut mark);
        KeyMark(mark)
    }

    /// Proof of the key for one exchange: keyed BLAKE3 over side, identities, nonces and cluster tag.
    pub fn prove(&self, side: Side, exchange: Exchange<'_>) -> [u8; 32] {
        *self.mac(side, exchange).as_bytes()
    }

    /// Whether `proof` is right; in constant time.
    pub fn verify(&self, side: Side, exchange: Exchange<'_>, proof: &[u8]) -> bool {
        <[u8; 32]>::try_from(proof).is_ok_and(|proof| self.mac(side, exchange) == blake3::Hash::from_bytes(proof))
    }

    fn mac(&self, side: Side, exchange: Exchange<'_>) -> blake3::Hash {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        hash.update(match side {
            Side::Caller => b"caller",
            Side::Called => b"called",
        });
        hash.update(&exchange.caller.0).update(&exchange.called.0);
        hash.update(&exchange.hello.nonce).update(&exchange.called_nonce).update(&exchange.hello.tag);
        hash.finalize()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn standing(cluster: u8, leader: u8) -> Standing {
        Standing { cluster: ClusterId([cluster; 16]), leader: NodeId([leader; 16]) }
    }

    fn alone(cluster: u8, leader: u8) -> Stand {
        Stand { standing: standing(cluster, leader), established: false }
    }

    fn several(cluster: u8, leader: u8) -> Stand {
        Stand { standing: standing(cluster, leader), established: true }
    }

    fn hello(nonce: u8) -> Hello {
        Hello {
            tag: cluster_tag("akita"),
            standing: standing(1, 1),
            name: "a".into(),
            incarnation: 1,
            protected: true,
            nonce: [nonce; 16],
            established: false,
            program: "0.1.0".into(),
        }
    }

    #[test]
    fn the_announce_of_a_node_stays_under_a_hundred_bytes() {
        let name = "n".repeat(MAX_NAME_LEN);
        let one = Announcement {
            tag: cluster_tag("akita"),
            standing: standing(1, 2),
            established: false,
            digest: [3; 8],
            name,
        };
        let bytes = one.encode();
        assert_eq!(bytes.len(), 49 + 32);
        assert_eq!(Announcement::decode(&bytes), Ok(one));
    }

    #[test]
    fn of_two_leaders_the_smaller_cluster_leads_on_and_both_agree() {
        let (a, b) = (NodeId([1; 16]), NodeId([2; 16]));
        let (small, large) = (alone(1, 1), alone(9, 2));
        assert_eq!(decide(a, small, b, large), Verdict::Welcome);
        assert_eq!(decide(b, large, a, small), Verdict::Join);
    }

    #[test]
    fn a_worker_follows_its_leader_and_decides_nothing_between_others() {
        let (leader, worker, other) = (NodeId([1; 16]), NodeId([2; 16]), NodeId([3; 16]));
        assert_eq!(decide(worker, alone(5, 1), leader, alone(5, 1)), Verdict::Join);
        assert_eq!(decide(leader, alone(5, 1), worker, alone(5, 1)), Verdict::Welcome);
        assert_eq!(decide(worker, alone(5, 1), other, alone(5, 1)), Verdict::Nothing);
        assert_eq!(decide(worker, alone(5, 1), other, alone(7, 3)), Verdict::Nothing, "its leader leads on");
    }

    #[test]
    fn one_alone_gives_way_to_several_voters_and_several_to_nobody() {
        let (a, b) = (NodeId([1; 16]), NodeId([2; 16]));
        assert_eq!(decide(a, alone(1, 1), b, several(9, 2)), Verdict::Join, "whatever the ids");
        assert_eq!(decide(b, several(9, 2), a, alone(1, 1)), Verdict::Welcome);
        let through = several(9, 7);
        assert_eq!(decide(a, alone(1, 1), b, through), Verdict::Join, "by way of a voter that does not lead");
        assert_eq!(decide(a, several(1, 1), b, several(9, 2)), Verdict::Apart);
        assert_eq!(decide(b, several(9, 2), a, several(1, 1)), Verdict::Apart);
        assert_eq!(
            decide(a, several(1, 5), b, several(9, 2)),
            Verdict::Nothing,
            "a voter that does not lead is silent"
        );
        assert_eq!(decide(a, several(1, 5), b, several(1, 2)), Verdict::Join, "its cluster has another leader now");
    }

    #[test]
    fn a_proof_holds_for_one_side_one_key_and_one_exchange() {
        let key = ClusterKey::new(b"correct horse battery").unwrap();
        let other = ClusterKey::new(b"another horse battery").unwrap();
        let first = hello(1);
        let exchange =
            Exchange { caller: NodeId([1; 16]), hello: &first, called: NodeId([2; 16]), called_nonce: [7; 16] };
        let proof = key.prove(Side::Caller, exchange);
        assert!(key.verify(Side::Caller, exchange, &proof));
        assert!(!key.verify(Side::Called, exchange, &proof), "reflected");
        assert!(!other.verify(Side::Caller, exchange, &proof), "another key");
        assert!(!key.verify(Side::Caller, Exchange { called_nonce: [8; 16], ..exchange }, &proof), "replayed");
        assert!(!key.verify(Side::Caller, Exchange { caller: NodeId([3; 16]), ..exchange }, &proof), "relayed");
        assert!(!key.verify(Side::Caller, exchange, &proof[..31]), "cut");
        assert!(ClusterKey::new(b"  too short \n").is_none());
    }

    #[test]
    fn a_digest_tells_a_capability_from_an_action() {
        let none = || std::iter::empty::<&str>();
        let both =
            |caps: &[&'static str], acts: &[&'static str]| catalog_digest(caps.iter().copied(), acts.iter().copied());
        assert_ne!(both(&["a"], &[]), both(&[], &["a"]));
        assert_ne!(both(&["ab"], &[]), both(&["a", "b"], &[]));
        assert_eq!(both(&[], &[]), catalog_digest(none(), none()));
    }

    proptest! {
        #[test]
        fn two_leaders_never_both_join_or_both_lead(
            x in any::<[u8; 16]>(),
            y in any::<[u8; 16]>(),
            mine_established: bool,
            theirs_established: bool,
        ) {
            prop_assume!(x != y);
            let (a, b) = (NodeId(x), NodeId(y));
            let stand = |cluster, leader, established| {
                Stand { standing: Standing { cluster: ClusterId(cluster), leader }, established }
            };
            let (mine, theirs) = (stand(y, a, mine_established), stand(x, b, theirs_established));
            let pair = (decide(a, mine, b, theirs), decide(b, theirs, a, mine));
            let apart = mine_established && theirs_established;
            let right = match pair {
                (Verdict::Join, Verdict::Welcome) | (Verdict::Welcome, Verdict::Join) => !apart,
                (Verdict::Apart, Verdict::Apart) => apart,
                _ => false,
            };
            prop_assert!(right, "{pair:?}");
        }

        #[test]
        fn any_bytes_are_an_announcement_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(one) = Announcement::decode(&bytes) {
                prop_assert_eq!(one.encode(), bytes);
            }
        }
    }
}
