//! JSON to and from Rust types, through serde, in a tenth of the size of a general library: no document tree, no floating
//! point unless a type has some, and errors that say where in the input they lie.
//!
//! ```
//! use akita_plugin::json;
//! let sizes: Vec<u8> = json::from_slice(b"[1, 2, 300]").unwrap_or_default();
//! assert!(sizes.is_empty());
//! let error = json::from_slice::<Vec<u8>>(b"[1, 2, 300]").unwrap_err();
//! assert_eq!(error.pointer().as_deref(), Some("/2"));
//! assert_eq!(error.to_string(), "`2` must be a whole number from 0 to 255");
//! ```

mod error;
mod read;
mod text;
mod write;

pub use error::Error;
pub use read::from_slice;
pub use write::to_string;
