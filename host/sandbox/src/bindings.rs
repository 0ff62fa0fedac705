//! The Rust side of `wit/`, generated. Nothing else names a WIT type by hand.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "akita:plugin/plugin",
    imports: { default: trappable },
    exports: { default: async },
});

/// The interfaces that are granted or not. Linked one by one, so that what is not granted is not there.
mod granted {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package akita:host; world granted {
            import akita:plugin/blobs@0.1.0;
            import akita:plugin/kv@0.1.0;
            import akita:plugin/mesh@0.1.0;
            import akita:plugin/sensors@0.1.0;
            import akita:plugin/tasks@0.1.0;
        }",
        world: "akita:host/granted",
        imports: {
            "akita:plugin/blobs": async | trappable,
            "akita:plugin/kv": async | trappable,
            "akita:plugin/mesh.send": async | trappable,
            "akita:plugin/mesh.receive": async | trappable,
            "akita:plugin/tasks": async | trappable,
            default: trappable,
        },
        with: { "akita:plugin/types": super::akita::plugin::types },
    });
}

pub(crate) use self::akita::plugin::{log, task, types};
pub(crate) use self::granted::akita::plugin::{blobs, kv, mesh, sensors, tasks};
pub(crate) use self::{Plugin as Guest, PluginPre as GuestPre};

/// The package that this host speaks.
pub(crate) const PACKAGE: &str = "akita:plugin";
/// Its version.
pub(crate) const VERSION: &str = "0.1.0";
/// The interface that a plugin exports.
pub(crate) const ACTIONS: &str = "akita:plugin/actions";
