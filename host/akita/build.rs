//! Builds again when a file that is embedded is added or removed; changes of embedded files cargo sees by itself.

fn main() {
    for folder in ["templates", "../../plugins/sdk", "../../wit"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
