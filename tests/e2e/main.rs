//! End-to-end tests: the real program as processes, over real sockets, with the real plugins. One binary for all, a
//! module for each topic; what a node must do is in the names of the tests.

mod authoring;
mod backups;
mod bad_input;
mod bad_start;
mod basics;
mod blobs;
mod chaos;
mod children;
mod cluster;
mod cluster_key;
mod crash;
mod deterministic;
mod disk_full;
mod failover;
mod five_voters;
#[path = "../../host/sandbox/tests/sandbox/guests.rs"]
#[expect(dead_code, reason = "the sandbox's tests use more of these guests than the tests here")]
mod guests;
mod harness;
mod history;
mod hostile;
mod http_grants;
mod inputs;
mod islands;
mod key_rotation;
mod kill_points;
mod lab;
mod lifecycle;
mod meeting;
mod merge;
mod mesh_messages;
mod partial;
mod prepare;
mod proofs;
mod reads;
mod registry;
mod restart;
mod sandbox;
mod security_doc;
mod sensors;
mod shutdown;
mod slow_link;
mod stores;
mod strangers;
mod structure;
mod talkers;
mod transport;
mod trust;
mod tutorial;
mod versions;
mod voter_faults;
mod voters;
