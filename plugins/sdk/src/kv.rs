//! Small durable values of this plugin on this node: a cache, a cursor, a setting. To be granted: `interfaces = ["kv"]`.
//!
//! ```
//! use akita_plugin::{TaskError, kv};
//!
//! fn count_runs() -> Result<u64, TaskError> {
//!     kv::update("runs", |old: Option<u64>| old.unwrap_or(0) + 1)
//! }
//! assert_eq!((count_runs(), count_runs()), (Ok(1), Ok(2)));
//! ```

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub use crate::contract::akita::plugin::kv::{Entry, KvError as Error};
use crate::{TaskError, host, json};

/// Keys that one call of the node's asks for: the most that it answers.
const PAGE: u32 = 1_000;
/// How often [`update`] tries when others write the same key: each try of one fails only because another's succeeded.
const TRIES: usize = 16;

/// The value of a key and its version; nothing where there is none.
///
/// ```
/// assert_eq!(akita_plugin::kv::get("no-such-key"), Ok(None));
/// ```
pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    host::kv::get(key)
}

/// Writes a value, whatever was there, and answers its version. It is on the node's disk then.
///
/// ```
/// use akita_plugin::kv;
/// kv::put("cursor", b"4711")?;
/// assert_eq!(kv::get("cursor")?.unwrap().value, b"4711");
/// # Ok::<(), kv::Error>(())
/// ```
pub fn put(key: &str, value: &[u8]) -> Result<u64, Error> {
    host::kv::put(key, value, None)
}

/// Writes a value if the present version is the expected one; 0: if there is none. Fails with [`Error::Conflict`]
/// otherwise.
///
/// ```
/// use akita_plugin::kv;
/// let first = kv::put_if("owner", b"me", 0)?;
/// assert_eq!(kv::put_if("owner", b"you", 0), Err(kv::Error::Conflict(first)));
/// # Ok::<(), kv::Error>(())
/// ```
pub fn put_if(key: &str, value: &[u8], version: u64) -> Result<u64, Error> {
    host::kv::put(key, value, Some(version))
}

/// Removes a value. Answers whether there was one.
///
/// ```
/// assert_eq!(akita_plugin::kv::delete("no-such-key"), Ok(false));
/// ```
pub fn delete(key: &str) -> Result<bool, Error> {
    host::kv::delete(key)
}

/// All keys that begin with the prefix, in the order of their bytes. It asks for them as they are needed, and ends after
/// an error.
///
/// ```
/// use akita_plugin::kv;
/// kv::put("log/2", b"")?;
/// kv::put("log/1", b"")?;
/// let keys = kv::keys("log/").collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(keys, ["log/1", "log/2"]);
/// # Ok::<(), kv::Error>(())
/// ```
pub fn keys(prefix: &str) -> Keys {
    Keys { prefix: prefix.into(), page: Vec::new().into_iter(), at_once: PAGE, last: None, more: true }
}

/// See [`keys`].
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
    page: alloc::vec::IntoIter<String>,
    at_once: u32,
    last: Option<String>,
    more: bool,
}

impl Keys {
    /// Only those after this one.
    #[must_use]
    pub fn after(mut self, key: Option<String>) -> Self {
        self.last = key;
        self
    }

    /// Asks the node for so many at once, 1,000 at most: a few, where only the first are needed.
    #[must_use]
    pub fn at_once(mut self, keys: u32) -> Self {
        self.at_once = keys.clamp(1, PAGE);
        self
    }
}

impl Iterator for Keys {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(key) = self.page.next() {
            return Some(Ok(key));
        }
        if !self.more {
            return None;
        }
        let page = host::kv::list_keys(&self.prefix, self.last.as_deref(), self.at_once);
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.more = false;
                return Some(Err(error));
            }
        };
        self.more = page.len() >= self.at_once as usize;
        if let Some(last) = page.last() {
            self.last = Some(last.clone());
        }
        self.page = page.into_iter();
        self.page.next().map(Ok)
    }
}

/// The value of a key, from JSON.
///
/// ```
/// use akita_plugin::kv;
/// kv::put_json("limits", &[1, 20])?;
/// assert_eq!(kv::get_json::<Vec<u8>>("limits")?, Some(vec![1, 20]));
/// # Ok::<(), akita_plugin::TaskError>(())
/// ```
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, TaskError> {
    match get(key)? {
        Some(entry) => read(key, &entry).map(Some),
        None => Ok(None),
    }
}

/// Writes a value as JSON, whatever was there, and answers its version.
pub fn put_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<u64, TaskError> {
    Ok(put(key, text(value)?.as_bytes())?)
}

/// Changes a JSON value by a function of the old one, and gives the new one. When another run wrote meanwhile, the
/// function is called again with what that one wrote: nothing is lost, and nothing is overwritten unseen.
///
/// ```
/// use akita_plugin::kv;
/// let seen = kv::update("seen", |old: Option<Vec<String>>| {
///     let mut names = old.unwrap_or_default();
///     names.push("ridge-2".into());
///     names
/// })?;
/// assert_eq!(seen, ["ridge-2"]);
/// # Ok::<(), akita_plugin::TaskError>(())
/// ```
pub fn update<T: Serialize + DeserializeOwned>(
    key: &str,
    mut change: impl FnMut(Option<T>) -> T,
) -> Result<T, TaskError> {
    try_update(key, |old| Ok(change(old)))
}

/// [`update`] with a function that may fail; then nothing is written.
pub fn try_update<T: Serialize + DeserializeOwned>(
    key: &str,
    mut change: impl FnMut(Option<T>) -> Result<T, TaskError>,
) -> Result<T, TaskError> {
    let mut tries = TRIES;
    loop {
        let (old, version) = match get(key)? {
            Some(entry) => (Some(read(key, &entry)?), entry.version),
            None => (None, 0),
        };
        let new = change(old)?;
        match put_if(key, text(&new)?.as_bytes(), version) {
            Ok(_) => return Ok(new),
            Err(Error::Conflict(_)) if tries > 1 => tries -= 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn read<T: DeserializeOwned>(key: &str, entry: &Entry) -> Result<T, TaskError> {
    json::from_slice(&entry.value).map_err(|error| {
        let message = format!("the value kept as `{key}` is not what this version of the plugin expects: {error}");
        TaskError::permanent(message).code("bad-value")
    })
}

fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, TaskError> {
    json::to_string(value).map_err(|error| TaskError::permanent(error.to_string()).code("bad-value"))
}

/// Over the quota and a bad key are for good; a conflict and a node that stops are not.
impl From<Error> for TaskError {
    fn from(error: Error) -> Self {
        match error {
            Error::OverQuota(quota) => {
                let message = format!("the plugin's values would have more than the {quota} bytes that it may keep");
                Self::permanent(message).code("over-quota")
            }
            Error::BadKey(why) => Self::permanent(format!("no key to keep a value by: {why}")).code("bad-key"),
            Error::Conflict(_) => Self::retryable("another run changes the same value").code("conflict"),
            Error::Unavailable(why) => Self::retryable(format!("no value can be kept now: {why}")).code("unavailable"),
        }
    }
}
