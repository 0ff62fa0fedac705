//! What can be wrong, in words for the submitter.

use akita_plugin::prelude::*;

/// The input does not say what it has to; `pointer` may be empty for the whole of it.
pub fn input(code: &'static str, pointer: &str, message: impl Into<String>) -> TaskError {
    let error = TaskError::invalid(message).code(code);
    if pointer.is_empty() { error } else { error.pointer(pointer) }
}

/// The input is well formed, and what was asked for cannot be computed from it.
pub fn data(code: &'static str, message: impl Into<String>) -> TaskError {
    TaskError::permanent(message).code(code)
}

/// The code and the place, for tests.
#[cfg(test)]
pub fn told(error: &TaskError) -> (Option<&str>, Option<&str>) {
    let failure = error.failure();
    (failure.and_then(|failure| failure.code.as_deref()), failure.and_then(|failure| failure.pointer.as_deref()))
}
