//! What `wit/` means in Rust, generated. No line of it is written by hand, and nothing but this crate should use it: it
//! is public only because the export macro names it.

wit_bindgen::generate!({
    world: "plugin",
    path: "wit",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    default_bindings_module: "akita_plugin::contract",
    additional_derives: [PartialEq, Eq],
});
