//! Three voters on a network that breaks, with clients that never stop: what a client was told stays true.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    harness::{TestNode, Way, find, text, wait_until},
    history::Told,
    lab::{Lab, seed},
    prepare::copy_all,
    voters::voters,
};

const CUT: Way = Way { cut: true, loss: 0.0, delay: Duration::ZERO, bytes_per_second: None };

/// The two others of three.
fn others(at: usize) -> [usize; 2] {
    [(at + 1) % 3, (at + 2) % 3]
}

#[test]
fn a_leader_that_is_cut_off_or_stopped_shows_and_accepts_nothing_that_is_not_so() {
    let seed = seed();
    let lab = Lab::new(3, 3, seed, |_, spec| spec);
    lab.under_load(seed, |history| {
        lab.accepts(0, history);
        let old = lab.leader();
        lab.net.isolate(old);
        let new = lab.leader_of(&others(old));
        let id = lab.accepts(new, history);
        // Cut off, it knows nothing of the task, and must not say that there is none.
        assert_ne!(history.read(&lab.api(old), &id), Some(Told::Absent));
        wait_until("the old leader to know that it leads no more", || !lab.says_it_leads(old));
        lab.net.heal();
        lab.accepts(old, history);

        // Longer than an election takes, and then at once with work.
        let old = lab.leader();
        lab.node(old).signal(Signal::STOP);
        let new = lab.leader_of(&others(old));
        let id = lab.accepts(new, history);
        lab.node(old).signal(Signal::CONT);
        assert_ne!(history.read(&lab.api(old), &id), Some(Told::Absent));
        lab.accepts(old, history);
    });
}

#[test]
fn links_that_fail_one_way_or_in_part_keep_nobody_from_working_for_long() {
    let seed = seed();
    let lab = Lab::new(3, 3, seed, |_, spec| spec);
    lab.under_load(seed, |history| {
        let everywhere = || (0..3).for_each(|at| drop(lab.accepts(at, history)));
        everywhere();
        println!("two that do not reach each other, but both the third");
        let leader = lab.leader();
        let [one, _] = others(leader);
        lab.net.both(leader, one, CUT);
        everywhere();
        lab.net.heal();
        everywhere();
        println!("a leader that hears, and is not heard");
        let leader = lab.leader();
        others(leader).iter().for_each(|at| lab.net.set(leader, *at, CUT));
        lab.leader_of(&others(leader));
        others(leader).iter().for_each(|at| drop(lab.accepts(*at, history)));
        lab.net.heal();
        everywhere();
        println!("a leader that is heard, and does not hear");
        let leader = lab.leader();
        others(leader).iter().for_each(|at| lab.net.set(*at, leader, CUT));
        others(leader).iter().for_each(|at| drop(lab.accepts(*at, history)));
        lab.net.heal();
        everywhere();
        println!("slow, late and lossy");
        let bad =
            Way { loss: 0.03, delay: Duration::from_millis(15), bytes_per_second: Some(200_000), ..Way::default() };
        (0..3).for_each(|at| lab.net.both(at, (at + 1) % 3, bad));
        everywhere();
        (0..3).for_each(|at| lab.net.both(at, (at + 1) % 3, Way { bytes_per_second: Some(100_000), ..bad }));
        everywhere();
    });
}

/// What is wrong with the cluster, as the node at `at` tells its operator.
fn told_of(lab: &Lab, at: usize) -> Value {
    TestNode::get_from(&lab.api(at), "/cluster/status").map_or(Value::Null, |(_, view)| view["problems"].clone())
}

#[test]
fn a_voter_with_a_full_disk_stops_and_the_others_go_on() {
    let seed = seed();
    // A shell that passes on not to die of a full disk.
    let lab = Lab::new(3, 3, seed, |_, spec| spec.through(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]));
    lab.under_load(seed, |history| {
        let full = others(lab.leader())[0];
        // No room for anything that it is sent from now on.
        let pid = i32::try_from(lab.node(full).pid()).ok().and_then(rustix::process::Pid::from_raw);
        let limit = rustix::process::Rlimit { current: Some(0), maximum: None };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).expect("a limit is set");
        let status = lab.node(full).wait_exit();
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        others(full).iter().for_each(|at| drop(lab.accepts(*at, history)));
        let name = lab.node(full).name().to_owned();
        wait_until("the others to tell of it", || {
            others(full).iter().all(|at| told_of(&lab, *at).to_string().contains(&format!("the voter {name} (")))
        });
        lab.start(full);
        lab.accepts(full, history);
        wait_until("nothing to be wrong", || (0..3).all(|at| told_of(&lab, at) == json!([])));
    });
}

#[test]
fn nodes_are_upgraded_one_after_the_other_under_load() {
    const NEWER: &str = "9.9.9";
    let seed = seed();
    let lab = Lab::new(3, 3, seed, |_, spec| spec);
    lab.under_load(seed, |history| {
        for at in 0..3 {
            lab.accepts(at, history);
            lab.node(at).stop();
            others(at).iter().for_each(|at| drop(lab.accepts(*at, history)));
            // What it sends from now on has fields that the others do not know.
            lab.node(at).spec_mut().set_env("AS_VERSION", Some(NEWER));
            lab.start(at);
            lab.accepts(at, history);
            // As the page on operations says: when it lags no more, the next.
            wait_until("it to have caught up", || {
                let api = lab.api(lab.leader());
                let Some((200, view)) = TestNode::get_from(&api, "/cluster/members") else { return false };
                let all = view["members"].as_array().cloned().unwrap_or_default();
                let upgraded = all.iter().filter(|one| one["version"] == NEWER).count();
                let near = |one: &Value| one["lag"].as_u64().is_none_or(|lag| lag < 64);
                upgraded == at + 1 && all.iter().all(|one| one["status"] == "online" && near(one))
            });
        }
    });
}

#[test]
fn a_voter_leaves_a_dead_one_is_replaced_and_who_comes_back_works_on() {
    let seed = seed();
    let lab = Lab::new(4, 3, seed, |_, spec| spec.env("AKITA_VOTER_DEAD_AFTER_S", "12"));
    let ids: Vec<String> = (0..4).map(|at| lab.node(at).id()).collect();
    let votes = |at: usize| voters(&lab.node(at));
    let place = |id: &String| ids.iter().position(|one| one == id).expect("one of them");
    lab.under_load(seed, |history| {
        let leader = lab.leader();
        let first = votes(leader);
        let spare = (0..4).find(|at| !first.contains(&ids[*at])).expect("one that only works");
        let dead = place(first.iter().find(|id| **id != ids[leader]).expect("another voter"));
        lab.kill(dead);
        wait_until("the spare node to vote for the dead one", || {
            let now = votes(lab.leader_of(&[leader]));
            now.contains(&ids[spare]) && !now.contains(&ids[dead]) && now.len() == 3
        });
        lab.start(dead);
        lab.accepts(dead, history);

        // The leader itself goes: it hands the lead over, and its vote goes to the one that came back.
        let leaving = lab.leader();
        let out = lab.node(leaving).cli(&["cluster", "leave", "--yes"]).expect(0);
        assert!(out.stderr.contains("stop") || out.stdout.contains("stop"), "{out:?}");
        assert_eq!(lab.node(leaving).wait_exit().code(), Some(0));
        let rest: Vec<usize> = (0..4).filter(|at| *at != leaving).collect();
        wait_until("three other voters", || {
            let now = votes(lab.leader_of(&rest));
            now.len() == 3 && !now.contains(&ids[leaving])
        });
        rest.iter().for_each(|at| drop(lab.accepts(*at, history)));
        lab.start(leaving);
        lab.accepts(leaving, history);
    });
}

#[test]
fn a_voter_that_comes_back_with_an_older_disk_is_named_and_left_out_until_it_begins_anew() {
    let seed = seed();
    let lab = Lab::new(3, 3, seed, |_, spec| spec);
    lab.under_load(seed, |history| {
        let leader = lab.leader();
        let [old, other] = others(leader);
        lab.accepts(old, history);
        let id = lab.node(old).id();
        let data = lab.node(old).data_dir();
        let copy = data.with_extension("copy");
        lab.node(old).stop();
        copy_all(&data, &copy).expect("the disk is copied");
        lab.start(old);
        for _ in 0..5 {
            lab.accepts(old, history);
        }
        // Far more than the copy holds; what it has is what it told the leader.
        for _ in 0..20 {
            lab.accepts(leader, history);
        }
        wait_until("it to have the log", || {
            let Some((200, view)) = TestNode::get_from(&lab.api(leader), "/cluster/members") else { return false };
            let members = view["members"].as_array().expect("members");
            members.iter().any(|one| one["node_id"] == *id && one["lag"].as_u64().is_some_and(|lag| lag < 5))
        });
        lab.kill(old);
        std::fs::remove_dir_all(&data).and_then(|()| std::fs::rename(&copy, &data)).expect("the copy takes its place");
        lab.start(old);
        let named = |at: usize| {
            let told = told_of(&lab, at).to_string();
            told.contains("older copy") && told.contains(&id)
        };
        wait_until("it to be named, also by itself", || named(leader) && named(old));
        [leader, other].iter().for_each(|at| drop(lab.accepts(*at, history)));
        let alerts = lab.node(leader).ledger("SECURITY_ALERT");
        assert!(alerts.iter().any(|row| row["node_id"] == *id && row["details"].to_string().contains("older")));
        // What the hint says.
        lab.node(leader).cli(&["cluster", "demote", &id]).expect(0);
        lab.node(leader).cli(&["cluster", "promote", &id]).expect(0);
        wait_until("it to vote again", || voters(&lab.node(leader)).contains(&id) && voters(&lab.node(old)).len() == 3);
        lab.accepts(old, history);
        wait_until("nothing to be wrong", || (0..3).all(|at| told_of(&lab, at) == json!([])));
    });
}

#[test]
fn a_worker_that_restarts_while_nobody_leads_comes_back_with_what_it_took() {
    let seed = seed();
    let lab = Lab::new(4, 3, seed, |_, spec| spec);
    let held = voters(&lab.node(lab.leader()));
    let worker = (0..4).find(|at| !held.contains(&lab.node(*at).id())).expect("one that only works");
    let others: Vec<usize> = (0..4).filter(|at| *at != worker).collect();
    lab.under_load(seed, |history| {
        lab.accepts(worker, history);
        wait_until("it to be told who votes", || lab.node(worker).log().contains("this node knows who votes"));
        others.iter().for_each(|at| lab.kill(*at));
        lab.kill(worker);
        lab.start(worker);
        let task = json!({"action": "echo", "n": "alone"});
        // Alone, it keeps what it is given, and says nothing of what only the voters know.
        let id = find("a task to be taken", || history.submit(&lab.api(worker), task.clone()));
        wait_until("it to know that nobody answers", || told_of(&lab, worker).to_string().contains("no voter answers"));
        assert_eq!(lab.node(worker).task(&id)["status"], "queued_locally");
        others.iter().for_each(|at| lab.start(*at));
        others.iter().for_each(|at| drop(lab.accepts(*at, history)));
        lab.accepts(worker, history);
    });
}

#[test]
fn what_is_done_at_a_voter_while_nobody_leads_gets_into_the_ledger_of_all() {
    let seed = seed();
    let lab = Lab::new(3, 3, seed, |_, spec| spec);
    let leader = lab.leader();
    let [one, other] = others(leader);
    let rows = |node: &TestNode| {
        let rows = node.ledger("CONFIG_CHANGE");
        let switched = |row: &&Value| row["details"]["plugin"] == "digest" && row["details"]["what"] != "added";
        rows.iter().filter(switched).map(|row| text(&row["node_id"])).collect::<Vec<_>>()
    };
    lab.node(one).cli(&["plugin", "disable", "digest"]).expect(0);
    wait_until("the row of a voter that follows", || rows(&lab.node(leader)).contains(&lab.node(one).id()));
    lab.kill(leader);
    lab.kill(one);
    wait_until("it to know", || told_of(&lab, other) != json!([]));
    lab.node(other).cli(&["plugin", "disable", "digest"]).expect(0);
    lab.start(leader);
    wait_until("the row from when nobody led", || rows(&lab.node(leader)).contains(&lab.node(other).id()));
    lab.start(one);
}
