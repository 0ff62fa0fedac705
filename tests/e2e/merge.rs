//! Two clusters that meet and become one.

use serde_json::{Value, json};

use crate::{
    cluster::completions,
    harness::{Spec, wait_until},
    meeting::wait_until_met,
    prepare::free_address,
};

#[test]
fn two_leaders_that_meet_keep_every_task_under_its_id_and_every_result() {
    let bridge = free_address();
    // Both lead alone as long as nobody listens on the bridge.
    let east = Spec::new("east").arg("--mesh-peer", &bridge).start();
    let west = Spec::new("west").arg("--mesh-peer", &bridge).start();
    let waiting = |side: &str| -> Vec<Value> {
        let task = |n| json!({"action": "echo", "side": side, "n": n, "required_capabilities": ["rare"]});
        (0..20).map(task).collect()
    };
    let (in_east, in_west) = (east.submit_all(waiting("east")), west.submit_all(waiting("west")));
    let done_in_east = east.submit(&json!({"action": "echo", "done": "east"}));
    let done_in_west = west.submit(&json!({"action": "echo", "done": "west"}));
    east.completed(&done_in_east);
    west.completed(&done_in_west);

    let middle = Spec::new("middle").arg("--mesh-listen", &bridge).start();
    let all = [&east, &west, &middle];
    wait_until_met(&all);
    for node in all {
        for id in in_east.iter().chain(&in_west) {
            wait_until("a waiting task on its new leader", || {
                node.try_get(&format!("/tasks/{id}"))
                    .is_some_and(|(code, task)| code == 200 && task["status"] == "pending")
            });
        }
        assert_eq!(node.completed(&done_in_east)["result"], json!({"done": "east"}));
        assert_eq!(node.completed(&done_in_west)["result"], json!({"done": "west"}));
    }

    let rare = Spec::new("rare").arg("--mesh-peer", &bridge).arg("--capabilities", "rare").start();
    wait_until_met(&[&east, &west, &middle, &rare]);
    for (side, ids) in [("east", &in_east), ("west", &in_west)] {
        for (n, id) in ids.iter().enumerate() {
            let task = middle.completed(id);
            assert_eq!(task["result"], json!({"side": side, "n": n}));
            assert_eq!(task["worker_id"], rare.id().as_str());
        }
    }
    let times = completions(&rare);
    assert!(in_east.iter().chain(&in_west).all(|id| times.get(id) == Some(&1)), "each once");
    for node in [&east, &west, &middle, &rare] {
        assert_eq!(node.get("/ledger/verify?local=true")["ok"], true);
    }
}
