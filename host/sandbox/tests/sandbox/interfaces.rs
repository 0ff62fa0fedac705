//! What the sandbox itself does for each interface: bounds what a guest asks, passes it on, and says no in the guest's own
//! words. Hosts are plain fakes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use akita_sandbox::{
    BlobError, BlobHost, ChildTask, Content, Failure, FailureKind, HostFuture, Hosts, Job, MeshError, MeshHost,
    MeshMessage, MeshNode, MeshPeer, Outcome, TasksError, TasksHost,
};

use crate::guests::Guest;
use crate::{job, run, shared};

/// The host of every interface here.
#[derive(Default)]
struct Fake {
    sent: Mutex<Vec<(String, Vec<u8>)>>,
}

impl BlobHost for Fake {
    fn size(&self, _: String) -> HostFuture<'_, Result<u64, BlobError>> {
        Box::pin(async { Ok(7) })
    }

    fn read(&self, _: String, _: u64, _: u32) -> HostFuture<'_, Result<Vec<u8>, BlobError>> {
        Box::pin(async { Err(BlobError::NotFound) })
    }

    fn put(&self, bytes: Vec<u8>) -> HostFuture<'_, Result<String, BlobError>> {
        Box::pin(async move { Ok(format!("id of {} bytes", bytes.len())) })
    }
}

impl MeshHost for Fake {
    fn this_node(&self) -> MeshNode {
        MeshNode { id: "1".repeat(32), name: "here".into() }
    }

    fn peers(&self) -> Vec<MeshPeer> {
        Vec::new()
    }

    fn send(&self, node: String, body: Vec<u8>) -> HostFuture<'_, Result<(), MeshError>> {
        self.sent.lock().unwrap().push((node, body));
        Box::pin(async { Err(MeshError::Full) })
    }

    fn receive(&self, _: Duration) -> HostFuture<'_, Option<MeshMessage>> {
        Box::pin(async { None })
    }
}

impl TasksHost for Fake {
    fn submit(&self, children: Vec<ChildTask>) -> HostFuture<'_, Result<Vec<String>, TasksError>> {
        Box::pin(async move { Ok(vec!["child".to_owned(); children.len()]) })
    }

    fn gather(&self, ids: Vec<String>) -> HostFuture<'_, Result<Vec<Outcome>, TasksError>> {
        Box::pin(async move {
            let end = |id: String| match id.as_str() {
                "good" => Ok(Content { content_type: "text/plain".into(), body: b"fine".to_vec() }),
                _ => Err(Failure::new(FailureKind::TimeLimit, "too slow")),
            };
            Ok(ids.into_iter().map(end).collect())
        })
    }
}

/// Runs a guest with everything granted that it needs, and the fake behind it if there is one.
async fn with(guest: &Guest, input: &[u8], fake: Option<&Arc<Fake>>) -> Vec<u8> {
    let candidate = shared().examine(&guest.component()).unwrap();
    let plugin = shared().link(&candidate, candidate.needs()).unwrap();
    let hosts = fake.map_or_else(Hosts::default, |fake| Hosts {
        blobs: Some(fake.clone()),
        mesh: Some(fake.clone()),
        tasks: Some(fake.clone()),
        ..Hosts::default()
    });
    run(&plugin, Job { hosts, ..job(input) }).await.unwrap().body
}

/// Gives `length` bytes of its memory from `at` on.
fn giving(at: u32, length: u32) -> String {
    format!("(call $ok (local.get 2) (local.get 3) (i32.const {at}) (i32.const {length}))")
}

fn reader(offset: u64, max: u32, chunks: bool) -> Guest {
    Guest {
        name: "reader".into(),
        chunks,
        wat_imports: r#"
            (import "akita:plugin/task@0.1.0" "input-size" (func $size (result i64)))
            (import "akita:plugin/task@0.1.0" "read-input" (func $read (param i64 i32 i32)))"#,
        // What the request itself has goes into the log's place of the answer's media type: its length as a letter.
        run: format!(
            "(call $read (i64.const {offset}) (i32.const {max}) (i32.const 256))
             (i32.store8 (i32.const 512) (i32.add (i32.const 48) (local.get 5)))
             (i32.store8 (i32.const 513) (i32.add (i32.const 48) (i32.wrap_i64 (call $size))))
             (memory.copy (i32.const 514) (i32.load (i32.const 256)) (i32.load (i32.const 260)))
             (call $ok (local.get 2) (local.get 3) (i32.const 512) (i32.add (i32.const 2) (i32.load (i32.const 260))))"
        ),
        ..Guest::default()
    }
}

#[tokio::test]
async fn an_input_is_read_in_pieces() {
    assert_eq!(with(&reader(1, 3, false), b"hello", None).await, b"55ell", "the request has it as well");
    assert_eq!(with(&reader(1, 3, true), b"hello", None).await, b"05ell", "it is only read");
    assert_eq!(with(&reader(4, 99, true), b"hello", None).await, b"05o");
    assert_eq!(with(&reader(u64::MAX, u32::MAX, true), b"hello", None).await, b"05");
}

fn keeper() -> Guest {
    Guest {
        name: "shelf".into(),
        wit_imports: "import blobs;",
        wat_imports: r#"(import "akita:plugin/blobs@0.1.0" "put" (func $put (param i32 i32 i32)))"#,
        run: format!(
            "(call $put (local.get 4) (local.get 5) (i32.const 256))
             (if (i32.load8_u (i32.const 256)) (then (return {})))
             (call $ok (local.get 2) (local.get 3) (i32.load (i32.const 264)) (i32.load (i32.const 268)))",
            giving(264, 1)
        ),
        ..Guest::default()
    }
}

#[tokio::test]
async fn bytes_are_put_where_the_host_keeps_blobs() {
    assert_eq!(with(&keeper(), b"12345", Some(&Arc::default())).await, b"id of 5 bytes");
    assert_eq!(with(&keeper(), b"12345", None).await, [4], "unavailable");
}

#[tokio::test]
async fn an_id_that_is_none_never_reaches_the_host() {
    let guest = Guest {
        name: "asker".into(),
        wit_imports: "import blobs;",
        wat_imports: r#"(import "akita:plugin/blobs@0.1.0" "size" (func $size (param i32 i32 i32)))"#,
        run: format!("(call $size (local.get 4) (local.get 5) (i32.const 256)) {}", giving(256, 16)),
        ..Guest::default()
    };
    let fake = Arc::default();
    for bad in [&b"../../etc/passwd"[..], &[b'A'; 64], &[b'g'; 64], &[b'a'; 63]] {
        let answer = with(&guest, bad, Some(&fake)).await;
        assert_eq!((answer[0], answer[8]), (1, 0), "bad-id");
    }
    let answer = with(&guest, &[b'a'; 64], Some(&fake)).await;
    assert_eq!((answer[0], answer[8]), (0, 7));
}

#[tokio::test]
async fn a_message_that_is_too_long_or_goes_nowhere_never_reaches_the_host() {
    // To the node whose identity is the first 32 bytes of the input.
    let guest = Guest {
        name: "caller".into(),
        wit_imports: "import mesh;",
        wat_imports: r#"(import "akita:plugin/mesh@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32)))"#,
        run: format!(
            "(call $send (local.get 4) (i32.const 32) (i32.add (local.get 4) (i32.const 32))
               (i32.sub (local.get 5) (i32.const 32)) (i32.const 256)) {}",
            giving(256, 8)
        ),
        ..Guest::default()
    };
    let fake = Arc::<Fake>::default();
    let to = |body: usize| [vec![b'a'; 32], vec![b'x'; body]].concat();
    assert_eq!(with(&guest, &to(1_025), Some(&fake)).await[4], 2, "too-large");
    assert!(fake.sent.lock().unwrap().is_empty());
    assert_eq!(with(&guest, &to(1_024), Some(&fake)).await[4], 3, "full, as the host says");
    assert_eq!(fake.sent.lock().unwrap().len(), 1);
    assert_eq!(with(&guest, &to(1), None).await[4], 4, "unavailable");
}

#[tokio::test]
async fn children_end_in_the_words_of_a_plugins_own_end() {
    // Asks for the end of one child, whose id is the input.
    let guest = Guest {
        name: "parent".into(),
        wit_imports: "import tasks;",
        wat_imports: r#"(import "akita:plugin/tasks@0.1.0" "gather" (func $gather (param i32 i32 i32)))"#,
        run: format!(
            "(i32.store (i32.const 512) (local.get 4))
             (i32.store (i32.const 516) (local.get 5))
             (call $gather (i32.const 512) (i32.const 1) (i32.const 256))
             (if (i32.load8_u (i32.const 256)) (then (return {})))
             (call $ok (local.get 2) (local.get 3) (i32.load (i32.const 260)) (i32.const 16))",
            giving(260, 1)
        ),
        ..Guest::default()
    };
    let fake = Arc::default();
    assert_eq!(with(&guest, b"good", Some(&fake)).await[0], 0);
    let slow = with(&guest, b"slow", Some(&fake)).await;
    assert_eq!((slow[0], slow[8]), (1, 3), "permanent");
    assert_eq!(with(&guest, b"good", None).await, [4], "unavailable");
}
