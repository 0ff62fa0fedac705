//! What can be wrong, in words for the submitter.

use akita_plugin::TaskError;

/// Which of the contract's cases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input does not say what it has to.
    Input,
    /// The input is well formed, and what was asked for cannot be computed from it.
    Data,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    pub code: &'static str,
    pub pointer: Option<String>,
}

impl From<Fault> for TaskError {
    fn from(fault: Fault) -> Self {
        let error = match fault.kind {
            Kind::Input => Self::invalid(fault.message),
            Kind::Data => Self::permanent(fault.message),
        };
        let error = error.code(fault.code);
        match fault.pointer {
            Some(pointer) => error.pointer(pointer),
            None => error,
        }
    }
}

/// A fault of the input; `pointer` may be empty for the whole of it.
pub fn input(code: &'static str, pointer: &str, message: impl Into<String>) -> Fault {
    let pointer = (!pointer.is_empty()).then(|| pointer.to_owned());
    Fault { kind: Kind::Input, message: message.into(), code, pointer }
}

/// A fault of the data.
pub fn data(code: &'static str, message: impl Into<String>) -> Fault {
    Fault { kind: Kind::Data, message: message.into(), code, pointer: None }
}
