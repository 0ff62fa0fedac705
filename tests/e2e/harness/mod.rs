//! Nodes under test: real processes with folders and environments of their own, asked as their users ask them, and ended
//! whatever happens. When a test fails it shows the end of each node's log.

mod ask;
mod node;
mod peer;
mod relay;
mod spec;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

pub use ask::Out;
pub use node::TestNode;
pub use peer::RawPeer;
pub use relay::{Net, Way};
pub use spec::Spec;

/// For anything that happens at once on an idle machine: the tests' machine may be busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(40);

/// Waits until `look` finds something.
///
/// # Panics
/// When nothing is found within [`PATIENCE`].
pub fn find<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s for {what}", PATIENCE.as_secs());
        thread::sleep(LOOK);
    }
}

/// Waits until `holds` does.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    find(what, || holds().then_some(()));
}

/// A JSON text's words.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
