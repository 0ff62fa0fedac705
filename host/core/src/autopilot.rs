//! Who should vote: a cluster's leader asks what to do next, and does it. It looks at what the leader knows of each node
//! and changes one thing at a time; it never acts, and it never lets the voters that are left lose their majority.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{Millis, NodeId},
    tuning::SLOW_RTT_MS,
};

/// Voters of a cluster with nodes enough: one may be lost of three, two of five.
const SIZES: [usize; 3] = [1, 3, 5];
/// Entries that a node may lag behind the log when it begins to vote: what it fetches within a heartbeat or two.
const CAUGHT_UP: u64 = 64;
/// Heartbeats for which a node must have been there without a break before it votes.
const STABLE_HEARTBEATS: u64 = 10;
/// Silence after which a voter is replaced unless the operator says otherwise, in milliseconds: a reboot with a check of
/// the disk takes less.
pub const DEAD_AFTER_MS: Millis = 600_000;
/// The shortest such silence, in changes of the leader.
const DEAD_AFTER_FAILOVERS: u64 = 5;

/// The timing that all voters of a log share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// Voters in one building: a leader that is gone is replaced within two seconds.
    Lan = 0,
    /// Voters across the Internet.
    Wan = 1,
    /// Voters behind radio links, where each byte counts.
    Slow = 2,
}

impl Profile {
    /// The profile of that number.
    pub fn from_number(number: u8) -> Option<Profile> {
        [Profile::Lan, Profile::Wan, Profile::Slow].into_iter().find(|profile| *profile as u8 == number)
    }

    /// For the slowest round trip between the leader and a voter.
    pub fn for_rtt(rtt_ms: u32) -> Profile {
        match rtt_ms {
            0..60 => Profile::Lan,
            60..SLOW_RTT_MS => Profile::Wan,
            _ => Profile::Slow,
        }
    }

    /// Between two signs of life of the leader. A round trip must fit well into it.
    pub fn heartbeat_ms(self) -> Millis {
        match self {
            Profile::Lan => 150,
            Profile::Wan => 1_000,
            Profile::Slow => 10_000,
        }
    }

    /// The leader's silence, least and most, after which a voter stands for election.
    pub fn election_ms(self) -> (Millis, Millis) {
        match self {
            Profile::Lan => (500, 900),
            Profile::Wan => (5_000, 10_000),
            Profile::Slow => (35_000, 90_000),
        }
    }

    /// How long a cluster may be without a leader when one dies.
    pub fn failover_ms(self) -> Millis {
        self.election_ms().1 * 2
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Slow => "slow",
        }
    }
}

/// What the leader knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// It votes.
    pub votes: bool,
    /// It receives the log and does not vote yet.
    pub learns: bool,
    /// It answers.
    pub online: bool,
    /// For so long it has been as it is: online or offline.
    pub since_ms: Millis,
    /// Round trip to it.
    pub rtt_ms: u32,
    /// Entries that it lacks, where it receives the log.
    pub lag: Option<u64>,
    /// The operator took its vote, and may give it back.
    pub held_back: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Have the node receive the log.
    Recruit(NodeId),
    /// Let these vote, beside those that do.
    Promote(Vec<NodeId>),
    /// The first is dead for good; the second votes in its place.
    Replace(NodeId, NodeId),
    /// It received the log, and cannot be needed: it is gone.
    Drop(NodeId),
}

/// What the leader, which is not among `others`, should do next, where at most `most` are to vote, and one that is silent
/// for `dead_after` is not waited for any more.
pub fn next_step(
    profile: Profile,
    most: usize,
    dead_after: Millis,
    others: &BTreeMap<NodeId, Candidate>,
) -> Option<Step> {
    let voters = 1 + others.values().filter(|one| one.votes).count();
    let alive = 1 + others.values().filter(|one| one.votes && one.online).count();
    let dead_after = dead_after.max(profile.failover_ms() * DEAD_AFTER_FAILOVERS);
    let is_dead = |one: &Candidate| !one.online && one.since_ms >= dead_after;
    if let Some((node, _)) = others.iter().find(|(_, one)| one.learns && !one.votes && is_dead(one)) {
        return Some(Step::Drop(*node));
    }
    // Without a majority nothing is committed, and a change that waits may come at a bad time.
    if alive * 2 <= voters {
        return None;
    }
    let ready: Vec<NodeId> = best(others, |one| one.learns && !one.votes && may_vote(profile, one) && caught_up(one));
    let dead = others.iter().find(|(_, one)| one.votes && is_dead(one)).map(|(node, _)| *node);
    if let (Some(dead), Some(new)) = (dead, ready.first()) {
        return Some(Step::Replace(dead, *new));
    }
    // How many there could be: those that vote, and those that could.
    let able = voters + others.values().filter(|one| !one.votes && may_vote(profile, one)).count();
    let wanted = SIZES.into_iter().filter(|size| *size <= able.min(most)).max().unwrap_or(1);
    let missing = wanted.saturating_sub(voters);
    if missing > 0 && ready.len() >= missing {
        return Some(Step::Promote(ready[..missing].to_vec()));
    }
    let learning = others.values().filter(|one| one.learns && !one.votes && may_vote(profile, one)).count();
    let needed = missing.max(usize::from(dead.is_some()));
    if learning < needed {
        return best(others, |one| !one.learns && !one.votes && may_vote(profile, one))
            .first()
            .map(|node| Step::Recruit(*node));
    }
    None
}

/// Whether a node is near and steady enough.
fn may_vote(profile: Profile, one: &Candidate) -> bool {
    one.online
        && !one.held_back
        && one.since_ms >= profile.heartbeat_ms() * STABLE_HEARTBEATS
        && u64::from(one.rtt_ms) < profile.heartbeat_ms() / 2
        && one.rtt_ms < SLOW_RTT_MS
}

fn caught_up(one: &Candidate) -> bool {
    one.lag.is_some_and(|lag| lag <= CAUGHT_UP)
}

/// Those that fit, the nearest first.
fn best(others: &BTreeMap<NodeId, Candidate>, fits: impl Fn(&Candidate) -> bool) -> Vec<NodeId> {
    let mut found: Vec<_> = others.iter().filter(|(_, one)| fits(one)).collect();
    found.sort_by_key(|(node, one)| (one.rtt_ms, **node));
    found.into_iter().map(|(node, _)| *node).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Millis = 3_600_000;

    fn worker() -> Candidate {
        Candidate { votes: false, learns: false, online: true, since_ms: HOUR, rtt_ms: 2, lag: None, held_back: false }
    }

    fn learner() -> Candidate {
        Candidate { learns: true, lag: Some(3), ..worker() }
    }

    fn voter() -> Candidate {
        Candidate { votes: true, learns: true, lag: Some(0), ..worker() }
    }

    fn dead(one: Candidate) -> Candidate {
        Candidate { online: false, ..one }
    }

    fn node(n: usize) -> NodeId {
        NodeId([u8::try_from(n).unwrap(); 16])
    }

    fn step(others: &[Candidate]) -> Option<Step> {
        next_step(
            Profile::Lan,
            5,
            DEAD_AFTER_MS,
            &others.iter().enumerate().map(|(n, one)| (node(n + 1), *one)).collect(),
        )
    }

    #[test]
    fn one_becomes_three_and_three_become_five_but_never_two_or_four() {
        assert_eq!(step(&[worker()]), None, "a second node alone makes nothing safer");
        assert_eq!(step(&[worker(), worker()]), Some(Step::Recruit(node(1))));
        assert_eq!(step(&[learner(), worker()]), Some(Step::Recruit(node(2))));
        assert_eq!(step(&[learner(), learner()]), Some(Step::Promote(vec![node(1), node(2)])));
        assert_eq!(step(&[voter(), voter(), worker()]), None);
        assert_eq!(step(&[voter(), voter(), worker(), worker()]), Some(Step::Recruit(node(3))));
        assert_eq!(step(&[voter(), voter(), learner(), learner()]), Some(Step::Promote(vec![node(3), node(4)])));
        assert_eq!(step(&[voter(), voter(), voter(), voter(), worker(), worker()]), None);
        assert_eq!(step(&[]), None);
    }

    #[test]
    fn who_lags_or_is_new_or_far_or_held_back_does_not_vote() {
        let behind = Candidate { lag: Some(10_000), ..learner() };
        assert_eq!(step(&[behind, learner()]), None);
        let fresh = Candidate { since_ms: 1_499, ..worker() };
        let far = Candidate { rtt_ms: 75, ..worker() };
        let held = Candidate { held_back: true, ..worker() };
        for unfit in [fresh, far, held, dead(worker())] {
            assert_eq!(step(&[unfit, worker()]), None);
        }
        let radio = Candidate { rtt_ms: SLOW_RTT_MS, ..worker() };
        let others = [(node(1), radio), (node(2), radio)].into();
        assert_eq!(
            next_step(Profile::Slow, 5, DEAD_AFTER_MS, &others),
            None,
            "not over a radio link, however patient the profile"
        );
    }

    #[test]
    fn a_voter_dead_for_long_is_replaced_by_one_that_has_the_log() {
        assert_eq!(step(&[voter(), dead(voter()), worker()]), Some(Step::Recruit(node(3))));
        assert_eq!(step(&[voter(), dead(voter()), learner()]), Some(Step::Replace(node(2), node(3))));
        let rebooting = Candidate { since_ms: DEAD_AFTER_MS - 1, ..dead(voter()) };
        assert_eq!(step(&[voter(), rebooting, learner()]), None);
        let others = [voter(), Candidate { since_ms: 15_000, ..dead(voter()) }, learner()];
        let others = others.into_iter().enumerate().map(|(n, one)| (node(n + 1), one)).collect();
        assert_eq!(next_step(Profile::Lan, 5, 10_000, &others), Some(Step::Replace(node(2), node(3))));
        assert_eq!(next_step(Profile::Slow, 5, 10_000, &others), None, "not before five changes of the leader");
        assert_eq!(step(&[voter(), dead(voter())]), None, "nobody is there for it; it stays");
        assert_eq!(step(&[voter(), voter(), dead(learner())]), Some(Step::Drop(node(3))));
    }

    #[test]
    fn nothing_changes_without_a_majority() {
        assert_eq!(step(&[dead(voter()), dead(voter()), learner(), learner()]), None);
    }

    #[test]
    fn a_profile_is_chosen_by_the_slowest_link_and_its_heartbeat_leaves_room() {
        assert_eq!(Profile::for_rtt(3), Profile::Lan);
        assert_eq!(Profile::for_rtt(120), Profile::Wan);
        assert_eq!(Profile::for_rtt(4_000), Profile::Slow);
        for profile in [Profile::Lan, Profile::Wan, Profile::Slow] {
            let (least, most) = profile.election_ms();
            assert!(profile.heartbeat_ms() * 3 <= least && least < most);
            assert_eq!(Profile::from_number(profile as u8), Some(profile));
        }
        assert_eq!(Profile::from_number(9), None);
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        (any::<[bool; 4]>(), prop_oneof![Just(500), Just(5_000), Just(HOUR)], 0u32..100, prop::option::of(0u64..200))
            .prop_map(|([votes, learns, online, held_back], since_ms, rtt_ms, lag)| Candidate {
                votes,
                learns: learns || votes,
                online,
                since_ms,
                rtt_ms,
                lag,
                held_back,
            })
    }

    proptest! {
        /// Whatever the leader sees: the voters after the step have a majority that is alive and near the log.
        #[test]
        fn no_step_costs_the_majority(others in prop::collection::vec(any_candidate(), 0..9)) {
            let map: BTreeMap<NodeId, Candidate> = others.iter().enumerate().map(|(n, one)| (node(n + 1), *one)).collect();
            let mut voters: Vec<NodeId> = map.iter().filter(|(_, one)| one.votes).map(|(id, _)| *id).collect();
            match next_step(Profile::Lan, 5, DEAD_AFTER_MS, &map) {
                Some(Step::Promote(new)) => {
                    prop_assert!(new.iter().all(|id| !map[id].votes && map[id].online && map[id].lag.is_some()));
                    voters.extend(new);
                    prop_assert!(SIZES.contains(&(1 + voters.len())) || voters.len() < 5);
                }
                Some(Step::Replace(old, new)) => {
                    prop_assert!(!map[&old].online && map[&new].online);
                    voters.retain(|id| *id != old);
                    voters.push(new);
                }
                Some(Step::Drop(gone)) => prop_assert!(!map[&gone].votes),
                Some(Step::Recruit(node)) => prop_assert!(!map[&node].learns),
                None => return Ok(()),
            }
            let alive = 1 + voters.iter().filter(|id| map[id].online).count();
            if matches!(next_step(Profile::Lan, 5, DEAD_AFTER_MS, &map), Some(Step::Promote(_) | Step::Replace(..))) {
                prop_assert!(alive * 2 > 1 + voters.len());
            }
        }
    }
}
