//! What `akita plugin new`, `build`, `run`, `dev` and `test` do for a plugin's author: projects from templates, their
//! builds with each language's own tools, runs in a sandbox of its own. It needs no node and changes none; it never
//! downloads anything but through a language's own package manager, and then says so.

pub mod build;
pub mod cases;
mod language;
mod memory;
mod project;
mod sdk;
mod template;
mod testbed;
mod watch;
mod workshop;

pub use language::Language;
pub use project::{CASES, Project, SAMPLE, check_name};
pub use template::{NewProject, write as write_project};
pub use testbed::{Testbed, Trial, has_something_behind, node_limits, parse_grants};
pub use watch::Watch;
pub use workshop::Workshop;
