//! What `wit/` means in Rust, generated. No line of it is written by hand, and nothing but this crate should use it: it
//! is public only because the export macro names it.
//!
//! It names every interface, and still a component imports only those that it calls: a function that is not linked in
//! leaves no import, and an interface without a function none either. A test of the built plugins holds that.

wit_bindgen::generate!({
    world: "plugin-full",
    path: "wit",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    default_bindings_module: "akita_plugin::contract",
    additional_derives: [PartialEq],
});

/// The part of WASI's clocks that `clock` reads.
pub mod wall {
    wit_bindgen::generate!({
        inline: "
            package akita:clock;
            world clock { import wasi:clocks/wall-clock@0.2.0; }
            package wasi:clocks@0.2.0 {
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                    now: func() -> datetime;
                }
            }
        ",
        world: "akita:clock/clock",
        generate_all,
    });
}

// A sensor's reading has a number that may be none, and with it no `Eq`; these have it.
mod eq {
    use super::akita::plugin::{blobs, kv, mesh, sensors, tasks, types};

    impl Eq for types::Content {}
    impl Eq for types::ActionInfo {}
    impl Eq for types::PluginInfo {}
    impl Eq for types::Request {}
    impl Eq for types::Failure {}
    impl Eq for types::TaskError {}
    impl Eq for blobs::BlobError {}
    impl Eq for kv::KvError {}
    impl Eq for kv::Entry {}
    impl Eq for mesh::Node {}
    impl Eq for mesh::Peer {}
    impl Eq for mesh::Message {}
    impl Eq for mesh::MeshError {}
    impl Eq for sensors::SensorError {}
    impl Eq for tasks::Child {}
    impl Eq for tasks::TasksError {}
}
