//! What can be wrong with an archive or a payload, in words for the submitter.

use akita_plugin::prelude::*;

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

/// The bytes are not what they should be.
pub fn broken(what: &str) -> Fault {
    Fault { code: "broken", message: what.into() }
}

/// It would be more than was asked for.
pub fn too_large(limit: usize) -> Fault {
    Fault {
        code: "too-large",
        message: format!("the result is larger than the {limit} bytes that are left of the limit"),
    }
}
