//! HTTP to the hosts that the operator allows, by WASI's own interface. To be granted: `interfaces = ["http"]`, and the
//! `hosts`. Behind the crate's feature `http`.
//!
//! ```
//! use akita_plugin::prelude::*;
//! use akita_plugin::http::{self, Response};
//! use akita_plugin::testing::Harness;
//!
//! fn forecast(place: String) -> Result<Content, TaskError> {
//!     let url = format!("http://weather.example/{place}");
//!     let response = http::get(&url)?.successful()?;
//!     Ok(Content::json(String::from_utf8_lossy(&response.body)))
//! }
//!
//! akita_plugin::plugin! {
//!     name: "forecasts",
//!     summary: "Asks the weather service.",
//!     actions: { "forecast" => forecast { summary: "The forecast for a place." } },
//! }
//!
//! let node = Harness::new(&PLUGIN).http(|request| {
//!     assert_eq!(request.url, "http://weather.example/ridge");
//!     Ok(Response { status: 200, headers: vec![], body: br#"{"rain":false}"#.to_vec() })
//! });
//! assert_eq!(node.json("forecast", r#""ridge""#).text(), r#"{"rain":false}"#);
//! ```

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::{TaskError, host, json};

/// Bytes of a body that are read if nothing else is said: what a node takes as an output.
const DEFAULT_MAX_BYTES: u64 = 1 << 20;

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request makes no sense; why.
    Bad(String),
    /// The node does not allow it: the host is not granted.
    Denied,
    /// The body has more bytes than were asked for, which are given.
    TooLarge(u64),
    /// It may work later: no connection, no answer in time, an answer that was cut off.
    Unavailable(String),
}

/// A request, to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` and so on, in upper case.
    pub method: String,
    /// `http://` or `https://`, the host, and the rest.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// A longer body of the response is an error.
    pub max_bytes: u64,
    /// For connecting, for the first byte, and between two; the node's own if it is not set.
    pub timeout_ms: Option<u32>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Asks for what lies at a URL; a body of at most 1 MiB.
pub fn get(url: &str) -> Result<Response, Error> {
    Request::new("GET", url).send()
}

impl Request {
    /// A request without headers and body, for a response of at most 1 MiB.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            max_bytes: DEFAULT_MAX_BYTES,
            timeout_ms: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body and what it is.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sets the body to a value as JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, Error> {
        let text = json::to_string(value).map_err(|error| Error::Bad(error.to_string()))?;
        Ok(self.body(crate::content::JSON, text))
    }

    /// Takes a body of at most so many bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Waits at most so long for a connection, for the first byte, and between two.
    #[must_use]
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }

    /// Sends it, and waits for the whole response.
    pub fn send(self) -> Result<Response, Error> {
        let url = Url::parse(&self.url)?;
        let response = host::http::send(&self, &url)?;
        if response.body.len() as u64 > self.max_bytes {
            return Err(Error::TooLarge(self.max_bytes));
        }
        Ok(response)
    }
}

impl Response {
    /// The first header of a name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Itself if the status is 200 to 299. Otherwise an error: one to try again for 408, 429 and 500 and up.
    pub fn successful(self) -> Result<Self, TaskError> {
        let message = || format!("the server answered with status {}", self.status);
        match self.status {
            200..=299 => Ok(self),
            408 | 429 | 500.. => Err(TaskError::retryable(message()).code("http-status")),
            _ => Err(TaskError::permanent(message()).code("http-status")),
        }
    }

    /// The body, from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        json::from_slice(&self.body).map_err(|error| {
            TaskError::permanent(format!("the server's answer is not what was expected: {error}")).code("bad-response")
        })
    }
}

/// What is not there now may be there later; what is not allowed will not be.
impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::Bad(why) => Self::permanent(format!("no request can be made of this: {why}")).code("bad-request"),
            Error::Denied => Self::permanent("the node's operator does not allow this host").code("host-not-granted"),
            Error::TooLarge(most) => {
                Self::permanent(format!("the response has more than {most} bytes")).code("response-too-large")
            }
            Error::Unavailable(why) => Self::retryable(format!("no response: {why}")).code("unavailable"),
        }
    }
}

/// The parts of a URL that a request is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) secure: bool,
    pub(crate) authority: &'a str,
    /// From the first `/` or `?` on, without a fragment.
    pub(crate) rest: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Bad(format!("`{url}` {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("does not start with http:// or https://"))?;
        let secure = scheme.eq_ignore_ascii_case("https");
        if !secure && !scheme.eq_ignore_ascii_case("http") {
            return Err(bad("does not start with http:// or https://"));
        }
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(bad("has a space or a control character"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return Err(bad("needs a host, without a user before it"));
        }
        Ok(Self { secure, authority, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_its_parts() {
        for (url, secure, authority, rest) in [
            ("http://a.example", false, "a.example", ""),
            ("HTTPS://a.example:8443/b?c=d#e", true, "a.example:8443", "/b?c=d"),
            ("http://[::1]:80?x", false, "[::1]:80", "?x"),
        ] {
            assert_eq!(Url::parse(url), Ok(Url { secure, authority, rest }));
        }
        for wrong in ["", "a.example", "ftp://a.example", "http://", "http:///x", "http://me@a.example", "http://a b"] {
            assert!(matches!(Url::parse(wrong), Err(Error::Bad(_))), "{wrong}");
        }
    }

    #[test]
    fn a_status_decides_whether_to_try_again() {
        let response = |status| Response { status, headers: Vec::new(), body: Vec::new() };
        assert!(response(204).successful().is_ok());
        for status in [408, 429, 500, 503] {
            assert!(matches!(response(status).successful(), Err(TaskError::Retryable(_))), "{status}");
        }
        for status in [301, 400, 404] {
            assert!(matches!(response(status).successful(), Err(TaskError::Permanent(_))), "{status}");
        }
    }
}
