//! What the operator exposes reaches the plugins that may see it, and the operator sees whether it works.

use std::{fs, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    guests::reader,
    harness::{text, wait_until},
    lifecycle::{Bench, ask},
};

/// The value that the guest read; its error's number where it read none.
fn value(bench: &Bench, sensor: &str) -> Result<f64, u8> {
    let bytes = BASE64_STANDARD.decode(text(&ask(&bench.node, "look/run", sensor))).expect("base64");
    match bytes.as_slice() {
        [case] => Err(*case),
        eight => Ok(f64::from_le_bytes(eight.try_into().expect("eight bytes"))),
    }
}

const UNKNOWN: Result<f64, u8> = Err(0);
const UNAVAILABLE: Result<f64, u8> = Err(1);

fn shown(bench: &Bench, name: &str) -> Value {
    let status = bench.node.get("/status");
    let all = status["sensors"].as_array().expect("sensors");
    all.iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn a_value_that_the_operator_exposes_is_read_by_plugins_and_shown_with_what_is_wrong_with_it() {
    let bench = Bench::new("sensors");
    bench.put("look.wasm", &reader("look").component());
    fs::write(bench.path("volts"), "12650 mV\n").expect("written");
    // The last one waits for ever in an open, were it opened: it must keep nobody waiting.
    rustix::fs::mkfifoat(rustix::fs::CWD, bench.path("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
    let sensors = "[sensor.battery]\nfile = \"volts\"\nunit = \"volt\"\nscale = 0.001\nevery_s = 1\n\
                   [sensor.wind]\nfile = \"missing\"\n[sensor.stuck]\nfile = \"pipe\"\n";
    let grants = |only: &str| format!("{sensors}[plugin.look]\ninterfaces = [\"sensors\"]\n{only}");
    bench.put("akita-plugins.toml", grants("").as_bytes());
    bench.wait_for("look.wasm", "ready");

    wait_until("the battery is read", || value(&bench, "battery") == Ok(12.65));
    assert_eq!((value(&bench, "wind"), value(&bench, "stuck")), (UNAVAILABLE, UNAVAILABLE));
    assert_eq!(value(&bench, "humidity"), UNKNOWN);
    assert!(value(&bench, "memory-total").expect("the machine's are there too") > 1e6);
    let battery = shown(&bench, "battery");
    assert_eq!((&battery["value"], &battery["unit"]), (&json!(12.65), &json!("volt")), "{battery:#}");
    assert!(text(&shown(&bench, "wind")["problem"]).contains("missing"), "{}", shown(&bench, "wind"));
    let page = bench.node.cli(&["status"]).expect(0).stdout;
    assert!(page.contains("battery 12.65 volt") && page.contains("wind: cannot read"), "{page}");

    // A script that writes anew, and one that breaks.
    fs::write(bench.path("volts"), "11000").expect("written");
    wait_until("the new value", || value(&bench, "battery") == Ok(11.0));
    fs::write(bench.path("volts"), "no contact").expect("written");
    wait_until("the fault", || value(&bench, "battery") == UNAVAILABLE);
    assert!(text(&shown(&bench, "battery")["problem"]).contains("holds no number"));
    wait_until("the log tells it", || bench.node.log().contains("holds no number"));

    // A grant that names what is seen, then no sensor of the operator at all.
    bench.put("akita-plugins.toml", grants("sensors = [\"wind\", \"cpu\"]\n").as_bytes());
    wait_until("the battery is hidden", || value(&bench, "battery") == UNKNOWN);
    assert_eq!((value(&bench, "wind"), value(&bench, "memory-total")), (UNAVAILABLE, UNKNOWN));
    bench.put("akita-plugins.toml", b"[plugin.look]\ninterfaces = [\"sensors\"]\n");
    wait_until("none is left", || bench.node.get("/status")["sensors"] == json!([]));
    assert_eq!(value(&bench, "wind"), UNKNOWN);
}

#[test]
fn sensors_that_come_and_go_leave_no_thread_behind() {
    let bench = Bench::new("sensor-threads");
    fs::write(bench.path("one"), "1").expect("written");
    let threads = || fs::read_dir(format!("/proc/{}/task", bench.node.pid())).expect("it is there").count();
    let many: String = (0..32).map(|n| format!("[sensor.s{n}]\nfile = \"one\"\n")).collect();
    let before = threads();
    for round in 1..=3 {
        bench.put("akita-plugins.toml", format!("{many}# {round}\n").as_bytes());
        wait_until("all are read", || {
            let all = bench.node.get("/status")["sensors"].clone();
            all.as_array().is_some_and(|all| all.len() == 32 && all.iter().all(|one| one["value"] == 1.0))
        });
        bench.put("akita-plugins.toml", format!("# none {round}\n").as_bytes());
        wait_until("none is read", || bench.node.get("/status")["sensors"] == json!([]));
    }
    // Threads for blocking work come and go by themselves.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while threads() > before + 8 {
        assert!(std::time::Instant::now() < end, "{} threads, {before} before", threads());
        std::thread::sleep(Duration::from_millis(50));
    }
}
