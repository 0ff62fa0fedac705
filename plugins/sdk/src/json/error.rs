//! What is wrong with a JSON document, and where.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display};

use serde_core::de::{Expected, Unexpected};
use serde_core::{de, ser};

use crate::TaskError;

/// What is wrong, in words for the submitter, and where in the document it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    what: What,
    /// Keys and places, the innermost first.
    path: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// It is no JSON, from this byte on.
    Syntax(&'static str, usize),
    /// Another kind of value belongs there.
    Wrong(String),
    /// A key that has to be there.
    Missing,
    /// A key that means nothing, and those that do.
    Unknown(&'static [&'static str]),
    /// A key that is there twice.
    Twice,
    /// In the words of the type itself.
    Custom(String),
}

impl Error {
    pub(super) fn syntax(expected: &'static str, at: usize) -> Self {
        What::Syntax(expected, at).into()
    }

    pub(super) fn wrong(expected: impl Into<String>) -> Self {
        What::Wrong(expected.into()).into()
    }

    /// The same error, seen from the value around it.
    pub(super) fn under(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }

    /// Where in the document the fault lies (RFC 6901); `None` where it is not JSON at all.
    #[must_use]
    pub fn pointer(&self) -> Option<String> {
        if let What::Syntax(..) = self.what {
            return None;
        }
        let mut pointer = String::new();
        for step in self.path.iter().rev() {
            pointer.push('/');
            for letter in step.chars() {
                match letter {
                    '~' => pointer.push_str("~0"),
                    '/' => pointer.push_str("~1"),
                    other => pointer.push(other),
                }
            }
        }
        Some(pointer)
    }

    fn code(&self) -> &'static str {
        if let What::Syntax(..) = self.what { "not-json" } else { "bad-input" }
    }
}

impl From<What> for Error {
    fn from(what: What) -> Self {
        Self { what, path: Vec::new() }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>| match self.path.first() {
            Some(name) => write!(f, "`{name}`"),
            None => f.write_str("the input"),
        };
        match &self.what {
            What::Syntax(expected, at) => {
                return write!(f, "the input is not JSON: {expected} expected at byte {at}");
            }
            What::Custom(message) if self.path.is_empty() => return f.write_str(message),
            _ => place(f)?,
        }
        match &self.what {
            What::Syntax(..) => Ok(()),
            What::Wrong(expected) => write!(f, " must be {expected}"),
            What::Missing => f.write_str(" is missing"),
            What::Twice => f.write_str(" is there twice"),
            What::Custom(message) => write!(f, ": {message}"),
            What::Unknown(known) => {
                f.write_str(" is not known; there are")?;
                for (index, name) in known.iter().enumerate() {
                    write!(f, "{} `{name}`", if index > 0 { "," } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl core::error::Error for Error {}

impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        let fault = Self::invalid(error.to_string()).code(error.code());
        match error.pointer() {
            Some(pointer) => fault.pointer(pointer),
            None => fault,
        }
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        What::Custom(message.to_string()).into()
    }

    // What is there instead is not repeated: the submitter has it, and formatting numbers costs kilobytes.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let mut words = String::from("one of");
        for (index, word) in expected.iter().enumerate() {
            words.push_str(if index > 0 { ", `" } else { " `" });
            words.push_str(word);
            words.push('`');
        }
        Self::wrong(words)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::from(What::Unknown(expected)).under(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::from(What::Missing).under(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::from(What::Twice).under(field)
    }
}

impl ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        What::Custom(message.to_string()).into()
    }
}
