//! What can be wrong with an archive or a payload, in words for the submitter.

use akita_plugin::prelude::*;

/// The bytes are not what they should be.
pub fn broken(what: &str) -> TaskError {
    TaskError::invalid(what).code("broken")
}

/// It would be more than was asked for.
pub fn too_large(limit: usize) -> TaskError {
    let message = format!("the result is larger than the {limit} bytes that are left of the limit");
    TaskError::invalid(message).code("too-large")
}

/// The code and the place, for tests.
#[cfg(test)]
pub fn told(error: &TaskError) -> (Option<&str>, Option<&str>) {
    let failure = error.failure();
    (failure.and_then(|failure| failure.code.as_deref()), failure.and_then(|failure| failure.pointer.as_deref()))
}
