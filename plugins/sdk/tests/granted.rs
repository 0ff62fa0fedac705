//! The interfaces that an operator grants, with the fakes of the node.

use akita_plugin::prelude::*;
use akita_plugin::testing::Harness;
use akita_plugin::{blobs, clock, kv, mesh, sensors, tasks};
use serde_json::{Value, json};

/// Calls what the input names, so that each test runs within a plugin.
fn run(input: Content) -> Result<Content, TaskError> {
    let input = String::from_utf8_lossy(&input.body).into_owned();
    let (what, argument) = input.split_once(' ').unwrap_or((&input, ""));
    let text = match what {
        "count" => kv::update("runs", |old: Option<u64>| old.unwrap_or(0) + 1)?.to_string(),
        "race" => race(argument.parse().unwrap_or(0))?,
        "keys" => kv::keys(argument).at_once(2).collect::<Result<Vec<_>, _>>()?.join(","),
        "keep" => kv::put(argument, &[0; 100])?.to_string(),
        "broken" => {
            kv::put("n", b"[]")?;
            kv::get_json::<u64>("n")?.map(|number| number.to_string()).unwrap_or_default()
        }
        "blob" => blobs::put(argument.as_bytes())?,
        "pieces" => {
            let pieces = blobs::reader(argument).from(1).pieces_of(2).collect::<Result<Vec<_>, _>>()?;
            format!("{pieces:?} {:?}", blobs::read_all(argument, 4))
        }
        "send" => mesh::send_json(argument, &mesh::this_node().name).map(|()| String::new())?,
        "receive" => mesh::receive(0).map(|message| message.json::<String>()).transpose()?.unwrap_or_default(),
        "gps" => mesh::peers_with("gps").into_iter().map(|peer| peer.node.name).collect(),
        "fan-out" => {
            let results = tasks::fan_out::<_, u32>("square", argument.split(',').map(str::len))?;
            format!("{:?}", results.into_iter().map(|result| result.map_err(|_| ())).collect::<Vec<_>>())
        }
        "call" => {
            let child = tasks::Child::json("square", argument)?.requires("gpu").priority(1).timeout_ms(9);
            tasks::call::<u32>(child)?.to_string()
        }
        "strange" => format!("{:?}", tasks::gather(&["child-9".to_owned()])),
        "sensor" => sensors::read(argument)?.value.to_string(),
        "sensors" => sensors::all().iter().map(|reading| format!("{}={} ", reading.name, reading.value)).collect(),
        "time" => clock::now_ms().to_string(),
        other => return Err(TaskError::invalid(other)),
    };
    Ok(Content::new("text/plain", text))
}

/// Another run writes the same key so often, each time just before this one.
fn race(others: u32) -> Result<String, TaskError> {
    let mut left = others;
    let number = kv::update("raced", |old: Option<u32>| {
        let old = old.unwrap_or(0);
        if left > 0 {
            left -= 1;
            kv::put_json("raced", &(old + 10)).expect("there is room");
        }
        old + 1
    })?;
    Ok(number.to_string())
}

fn sum(input: Chunks) -> Result<String, TaskError> {
    let (size, kind) = (input.size(), input.content_type().to_owned());
    let chunks: Vec<usize> = input.of(3).map(|chunk| chunk.len()).collect();
    Ok(format!("{size} {kind} {chunks:?}"))
}

fn plain(input: Content) -> Result<Content, TaskError> {
    let whole = task::read_input(0, 1 << 20);
    Ok(Content::json(format!("[{},{},{}]", input.body.len(), task::input_size(), whole.len())))
}

akita_plugin::plugin! {
    name: "granted",
    summary: "For tests.",
    actions: {
        "run" => run { summary: "Does what it is told." },
        "sum" => sum { summary: "Reads in chunks." },
        "plain" => plain { summary: "Reads in chunks as well.", input: chunks },
    },
}

fn harness() -> Harness {
    Harness::new(&PLUGIN)
}

fn say(harness: &Harness, what: &str) -> String {
    harness.run("run", Content::new("text/plain", what)).text().to_owned()
}

#[track_caller]
fn fails(harness: &Harness, what: &str, code: &str, again: bool) {
    let outcome = harness.run("run", Content::new("text/plain", what));
    assert_eq!(outcome.failure().code.as_deref(), Some(code), "{:?}", outcome.error());
    assert_eq!(matches!(outcome.error(), TaskError::Retryable(_)), again, "{:?}", outcome.error());
}

#[test]
fn values_stay_from_run_to_run_and_on_their_node() {
    let here = harness().peer("lake", &[]);
    assert_eq!((say(&here, "count"), say(&here, "count")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(say(&here.clone().at("lake"), "count"), "1");
    for key in ["a/1", "a/2", "a/3", "a/4", "b"] {
        say(&here, &format!("keep {key}"));
    }
    assert_eq!(say(&here, "keys a/"), "a/1,a/2,a/3,a/4");
    fails(&here, "broken", "bad-value", false);
    fails(&here, "keep \n", "bad-key", false);
    fails(&here.clone().kv_quota(500), "keep c", "over-quota", false);
    fails(&here.unavailable("kv"), "count", "unavailable", true);
}

#[test]
fn nothing_is_lost_when_two_write_at_once() {
    assert_eq!(say(&harness(), "race 3"), "31");
    fails(&harness(), "race 100", "conflict", true);
}

#[test]
fn blobs_are_read_in_pieces_on_any_node() {
    let here = harness().peer("lake", &[]);
    let id = say(&here, "blob abcd");
    // By the reference implementation of BLAKE3.
    assert_eq!(id.len(), 64);
    assert_eq!(say(&here.clone().at("lake"), &format!("pieces {id}")), "[[98, 99], [100]] Ok([97, 98, 99, 100])");
    let long = say(&here, "blob abcde");
    assert!(say(&here, &format!("pieces {long}")).ends_with("Err(BlobError::TooLarge(4))"));
    fails(&here, "pieces abc", "bad-blob-id", false);
    fails(&here, &format!("pieces {}", "0".repeat(64)), "no-such-blob", true);
    fails(&here.blob_quota(9), "blob x", "over-quota", false);
}

#[test]
fn messages_go_from_node_to_node() {
    let here = harness().peer("lake", &[]).peer("ridge", &["gps"]);
    let lake = here.clone().at("lake");
    say(&here, &format!("send {}", here.id_of("lake")));
    assert_eq!((say(&lake, "receive"), say(&lake, "receive")), ("here".to_owned(), String::new()));
    assert_eq!((say(&lake, "gps"), say(&here.clone().at("ridge"), "gps")), ("ridge".to_owned(), String::new()));
    fails(&here, "send nobody", "unknown-node", false);
    fails(&here.clone().unavailable("mesh"), &format!("send {}", here.id_of("lake")), "unavailable", true);
    for _ in 0..64 {
        say(&here, &format!("send {}", here.id_of("lake")));
    }
    fails(&here, &format!("send {}", here.id_of("lake")), "box-full", true);
}

#[test]
fn children_are_answered_by_the_test() {
    let here = harness().child("square", |input| {
        let number: Value = serde_json::from_slice(&input.body).expect("it is JSON");
        match number.as_u64() {
            Some(number) => Ok(Content::json((number * number).to_string())),
            None if number == json!("text") => Ok(Content::json(r#""no number""#)),
            None => Err(TaskError::invalid("no number")),
        }
    });
    assert_eq!(say(&here, "fan-out a,bb,ccc"), "[Ok(1), Ok(4), Ok(9)]");
    assert_eq!(say(&harness(), "fan-out a"), "[Err(())]");
    fails(&here, "call text", "bad-child-output", false);
    let outcome = here.run("run", Content::new("text/plain", "call x"));
    assert_eq!(outcome.failure().message, "no number");
    let child = &outcome.children[0];
    assert_eq!(
        (child.requires.as_slice(), child.priority, child.timeout_ms),
        (&["gpu".to_owned()][..], Some(1), Some(9))
    );
    assert!(say(&here, "strange").contains("NotAChild"));
    fails(&here.max_children(2), "fan-out a,b,c", "too-many-children", false);
}

#[test]
fn a_child_may_be_an_action_of_a_plugin_with_a_node_of_its_own() {
    let other = harness();
    let here =
        harness().child("square", move |_| other.run("plain", Content::json("12")).result.map(|_| Content::json("7")));
    assert_eq!(say(&here, "fan-out a,b"), "[Ok(7), Ok(7)]");
}

#[test]
fn sensors_and_the_clock_say_what_the_test_says() {
    let here = harness().sensor("battery", 71.5, "percent").sensor("cpu", 3.0, "percent").now_ms(42);
    assert_eq!((say(&here, "sensor battery"), say(&here, "time")), ("71.5".to_owned(), "42".to_owned()));
    assert_eq!(say(&here, "sensors"), "battery=71.5 cpu=3 ");
    fails(&here, "sensor wind", "unknown-sensor", false);
    fails(&here.unavailable("sensors"), "sensor battery", "unavailable", true);
}

#[test]
fn an_input_in_chunks_does_not_come_with_the_request() {
    let here = harness();
    let chunks: String = here.run("sum", Content::new("text/csv", "1234567")).value();
    assert_eq!(chunks, "7 text/csv [3, 3, 1]");
    assert_eq!(here.run("plain", Content::new("text/csv", "1234567")).text(), "[0,7,7]");
    let marks: Vec<usize> = here.describe().actions.iter().map(|action| action.annotations.len()).collect();
    assert_eq!(marks, [0, 1, 1]);
}
