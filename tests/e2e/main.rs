//! End-to-end tests: the real program as processes, over real sockets, with the real plugins. One binary for all, a
//! module for each topic; what a node must do is in the names of the tests.

mod bad_input;
mod basics;
mod crash;
mod harness;
mod prepare;
mod restart;
mod structure;
