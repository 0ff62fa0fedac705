//! What is granted is linked, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use akita_sandbox::{
    FailureKind, Grants, HostFuture, Hosts, Interface, Job, KvEntry, KvError, KvHost, Limits, LoadError, Reading,
    SensorHost,
};
use std::time::Duration;

use crate::guests::{Guest, reader, swapper};
use crate::{job, run, shared};

/// Values in memory, with a quota on their number of bytes.
#[derive(Default)]
struct Memory {
    values: Mutex<BTreeMap<String, KvEntry>>,
    hangs: bool,
}

const QUOTA: usize = 100;

impl KvHost for Memory {
    fn get(&self, key: String) -> HostFuture<'_, Result<Option<KvEntry>, KvError>> {
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            Ok(self.values.lock().unwrap().get(&key).cloned())
        })
    }

    fn put(&self, key: String, value: Vec<u8>, _expected: Option<u64>) -> HostFuture<'_, Result<u64, KvError>> {
        Box::pin(async move {
            if value.len() > QUOTA {
                return Err(KvError::OverQuota(QUOTA as u64));
            }
            let mut values = self.values.lock().unwrap();
            let version = values.len() as u64 + 1;
            values.insert(key, KvEntry { value, version });
            Ok(version)
        })
    }

    fn delete(&self, key: String) -> HostFuture<'_, Result<bool, KvError>> {
        Box::pin(async move { Ok(self.values.lock().unwrap().remove(&key).is_some()) })
    }

    fn list(&self, _: String, _: Option<String>, _: u32) -> HostFuture<'_, Result<Vec<String>, KvError>> {
        Box::pin(async move { Ok(self.values.lock().unwrap().keys().cloned().collect()) })
    }
}

struct Thermometer;

impl SensorHost for Thermometer {
    fn readings(&self) -> Vec<Reading> {
        vec![Reading { name: "temperature".into(), value: Ok(21.5), unit: "celsius".into(), age_ms: 7 }]
    }
}

fn kv() -> Grants {
    Grants::NONE.with(Interface::Kv)
}

fn with(host: &Arc<Memory>, input: &[u8]) -> Job {
    Job { hosts: Hosts { kv: Some(host.clone()), ..Hosts::default() }, ..job(input) }
}

#[tokio::test]
async fn what_a_plugin_needs_is_linked_once_it_is_granted() {
    let component = swapper("keeper").component();
    let candidate = shared().examine(&component).unwrap();
    assert_eq!(candidate.needs(), kv());
    assert_eq!(candidate.name(), "keeper", "a plugin says what it is before it is granted anything");
    let LoadError::Blocked(missing) = shared().link(&candidate, Grants::NONE).unwrap_err() else { panic!() };
    assert_eq!(missing.to_string(), "kv");
    let other = Grants::NONE.with(Interface::Sensors);
    assert!(shared().link(&candidate, other).is_err(), "another grant does not count");
    assert!(matches!(shared().load_bytes(&component).unwrap_err(), LoadError::Blocked(_)));

    let plugin = shared().link(&candidate, kv().or(other)).unwrap();
    assert_eq!(plugin.grants(), kv(), "what is not needed is not linked");
    let host = Arc::new(Memory::default());
    assert_eq!(run(&plugin, with(&host, b"one")).await.unwrap().body, b"");
    assert_eq!(run(&plugin, with(&host, b"two")).await.unwrap().body, b"one");
    assert_eq!(run(&plugin, with(&host, b"three")).await.unwrap().body, b"two");
    assert_eq!(run(&plugin, with(&host, &[0; 101])).await.unwrap().body, b"E0", "over quota");
}

#[tokio::test]
async fn a_granted_interface_without_a_host_is_unavailable_and_no_crash() {
    let candidate = shared().examine(&swapper("nobody").component()).unwrap();
    let plugin = shared().link(&candidate, kv()).unwrap();
    assert_eq!(run(&plugin, job(b"x")).await.unwrap().body, b"E3");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_left_at_the_time_limit() {
    let candidate = shared().examine(&swapper("patient").component()).unwrap();
    let plugin = shared().link(&candidate, kv()).unwrap();
    let host = Arc::new(Memory { hangs: true, ..Memory::default() });
    let limits = Limits { timeout: Duration::from_millis(100), ..Limits::default() };
    let failure = run(&plugin, Job { limits, ..with(&host, b"x") }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimeLimit);
}

#[tokio::test]
async fn one_run_writes_a_bounded_number_of_times() {
    let mut guest = swapper("busy");
    guest.wat_items = "(global $left (mut i32) (i32.const 1001))".into();
    guest.run = format!(
        "(loop $again
           (call $put (i32.const 64) (i32.const 1) (local.get 4) (local.get 5) (i32.const 0) (i64.const 0)
             (i32.const 320))
           (global.set $left (i32.sub (global.get $left) (i32.const 1)))
           (br_if $again (global.get $left)))
         {}",
        guest.run
    )
    // A key that is one printable byte.
    .replacen("(loop", "(i32.store8 (i32.const 64) (i32.const 97)) (loop", 1);
    let plugin = shared().link(&shared().examine(&guest.component()).unwrap(), kv()).unwrap();
    assert_eq!(run(&plugin, with(&Arc::default(), b"x")).await.unwrap().body, b"E3");
}

#[tokio::test]
async fn sensors_are_read_by_name() {
    let candidate = shared().examine(&reader("warm").component()).unwrap();
    assert_eq!(candidate.needs().to_string(), "sensors");
    let plugin = shared().link(&candidate, candidate.needs()).unwrap();
    let ask =
        |name: &[u8]| Job { hosts: Hosts { sensors: Some(Arc::new(Thermometer)), ..Hosts::default() }, ..job(name) };
    let value = run(&plugin, ask(b"temperature")).await.unwrap().body;
    assert_eq!(f64::from_le_bytes(value.try_into().unwrap()), 21.5);
    assert_eq!(run(&plugin, ask(b"humidity")).await.unwrap().body, [0], "unknown-sensor");
}

#[test]
fn describe_gets_nothing_of_what_has_to_be_granted() {
    // Traps unless the answer is an error.
    let guest = Guest {
        describe: "(call $get (i32.const 64) (i32.const 1) (i32.const 256))
            (if (i32.eqz (i32.load8_u (i32.const 256))) (then (unreachable)))",
        ..swapper("eager")
    };
    shared().examine(&guest.component()).unwrap();
}

#[test]
fn a_granted_interface_with_other_types_is_refused_before_anybody_grants_it() {
    let mut guest = swapper("strange");
    guest.wit_edits = vec![("expected: option<u64>", "expected: option<s64>")];
    let error = shared().examine(&guest.component()).unwrap_err();
    assert!(matches!(error, LoadError::WrongWorld(_)), "{error}");
}

#[test]
fn another_version_of_a_granted_interface_is_refused_with_both_versions() {
    let mut guest = swapper("late");
    guest.wit_edits = vec![("@0.1.0", "@0.2.0")];
    guest.wat_edits = vec![("@0.1.0", "@0.2.0")];
    let error = shared().examine(&guest.component()).unwrap_err();
    assert!(matches!(error, LoadError::WrongWorld(_)), "{error}");
}
