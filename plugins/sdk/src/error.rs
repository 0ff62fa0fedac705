//! Errors in words for the submitter, built where they happen.

use alloc::string::String;

use crate::{Failure, TaskError};

impl TaskError {
    /// The input is wrong, and sending it again is no use.
    ///
    /// ```
    /// use akita_plugin::TaskError;
    /// let error = TaskError::invalid("`width` must not be 0").code("zero-width").pointer("/width");
    /// assert_eq!(error.failure().unwrap().pointer.as_deref(), Some("/width"));
    /// ```
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidInput(failure(message))
    }

    /// It will not work, whatever is tried; the input is not the reason.
    ///
    /// ```
    /// use akita_plugin::TaskError;
    /// let error = TaskError::permanent("the columns depend on each other").code("singular");
    /// assert_eq!(error.failure().unwrap().message, "the columns depend on each other");
    /// ```
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(failure(message))
    }

    /// It may work later: the cluster tries again while attempts are left.
    ///
    /// ```
    /// use akita_plugin::TaskError;
    /// let error = TaskError::retryable("the sensor is warming up").code("busy").after_ms(5_000);
    /// assert!(matches!(error, TaskError::Retryable((_, Some(5_000)))));
    /// ```
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable((failure(message), None))
    }

    /// Adds a stable word for programs, such as `bad-jpeg`. Nothing happens to an error without words.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        if let Some(failure) = self.failure_mut() {
            failure.code = Some(code.into());
        }
        self
    }

    /// Adds where in a JSON input the fault lies (RFC 6901), such as `/rows/3/width`.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        if let Some(failure) = self.failure_mut() {
            failure.pointer = Some(pointer.into());
        }
        self
    }

    /// Sets how many milliseconds to wait at least before the next attempt; only of use on [`TaskError::retryable`].
    #[must_use]
    pub fn after_ms(mut self, milliseconds: u64) -> Self {
        if let Self::Retryable((_, after)) = &mut self {
            *after = Some(milliseconds);
        }
        self
    }

    /// The words, where the error has any.
    ///
    /// ```
    /// use akita_plugin::TaskError;
    /// assert!(TaskError::Cancelled.failure().is_none());
    /// ```
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::InvalidInput(failure) | Self::Permanent(failure) | Self::Retryable((failure, _)) => Some(failure),
            Self::UnknownAction | Self::Cancelled => None,
        }
    }

    fn failure_mut(&mut self) -> Option<&mut Failure> {
        match self {
            Self::InvalidInput(failure) | Self::Permanent(failure) | Self::Retryable((failure, _)) => Some(failure),
            Self::UnknownAction | Self::Cancelled => None,
        }
    }
}

fn failure(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), code: None, pointer: None }
}
