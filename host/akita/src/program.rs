//! Which version of the program this is. Debug builds can be made to look like a newer one, so that tests see what becomes of
//! a cluster whose nodes are not upgraded at the same moment: `AS_VERSION=9.0.0` names another version, and every message
//! then ends with an element that this version does not know, as one with a new field does. Nothing of that is in a release build.

/// The version, as people write it.
pub fn version() -> String {
    newer().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
}

#[cfg(debug_assertions)]
fn newer() -> Option<String> {
    std::env::var("AS_VERSION").ok()
}

#[cfg(not(debug_assertions))]
fn newer() -> Option<String> {
    None
}

/// A message as this version writes it.
#[cfg(not(debug_assertions))]
pub fn shaped(message: Vec<u8>) -> Vec<u8> {
    message
}

/// A message as this version writes it, or as the newer one would that a test asks for.
#[cfg(debug_assertions)]
pub fn shaped(mut message: Vec<u8>) -> Vec<u8> {
    // Behind the version and the kind stands the array's head; up to 15 elements are counted in its low half.
    if newer().is_some()
        && let Some(head @ 0x90..0x9f) = message.get_mut(2)
    {
        *head += 1;
        message.push(0xc0);
    }
    message
}
