//! Whole nodes against each other: over TCP, over a wire in memory, from configuration folders.

mod calls;
mod config;
mod hostile;
mod local;
mod memory;
mod support;
mod tcp;
