//! What a guest can call, a file for each interface. Nothing here blocks: a host function that waits cannot be
//! interrupted by an epoch.

mod log;
pub(crate) mod stdio;
mod task;
