//! The plugin of docs/plugins.md, made from the page itself: its files are taken out of the text and built, so that the
//! page cannot promise what does not work. It never runs the component; the end-to-end tests do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::step::Step;
use crate::toolchain::{Choice, Toolchain, WASM_TARGET, current_cargo};

/// Tells the tests where the component is.
pub const VARIABLE: &str = "AKITA_E2E_TUTORIAL";
/// Where the page says that the SDK is.
const SDK: &str = r#""../akita/plugins/sdk""#;
/// What stands above a file's text in the page.
const MARK: &str = "<!-- file: ";

/// Where the finished component lies.
pub fn component(paths: &Paths) -> PathBuf {
    folder(paths).join("target").join(WASM_TARGET).join("release/hello.wasm")
}

fn folder(paths: &Paths) -> PathBuf {
    paths.scratch.join("tutorial/hello")
}

/// Follows the page up to its third step.
pub fn build(paths: &Paths) -> Result<()> {
    let page = paths.root.join("docs/plugins.md");
    let text = fs::read_to_string(&page).with_context(|| format!("could not read {}", page.display()))?;
    let files = files_of(&text)?;
    let folder = folder(paths);
    for (name, content) in files {
        let content = if name == "Cargo.toml" { here(&content, &paths.plugins)? } else { content };
        write(&folder.join(name), content.as_bytes())?;
    }
    let mut test = current_cargo();
    test.current_dir(&folder).env_remove("CARGO_TARGET_DIR").arg("test");
    Step::new("test the plugin of docs/plugins.md", "the page promises what does not work: mend it").quiet(test)?;
    let toolchain = Toolchain::find(Choice::from_env()?).context("no toolchain\nhint: cargo xtask setup")?;
    let mut cargo = toolchain.cargo();
    cargo.current_dir(&folder).env_remove("CARGO_TARGET_DIR").args(["build", "--release", "--target", WASM_TARGET]);
    Step::new("build the plugin of docs/plugins.md", "the page promises what does not work: mend it").quiet(cargo)
}

/// The manifest with the SDK where it is in this checkout: the page's reader has it in a folder `akita` next door.
fn here(manifest: &str, plugins: &Path) -> Result<String> {
    let sdk = plugins.join("sdk");
    let sdk = sdk.to_str().context("the folder of this checkout has a name that is no UTF-8")?;
    if !manifest.contains(SDK) {
        bail!("the page's Cargo.toml does not depend on {SDK}");
    }
    // A JSON string is a TOML string too.
    Ok(manifest.replace(SDK, &serde_json::to_string(sdk)?))
}

/// Writes only what changed, so that cargo has nothing to do the next time.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let parent = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, bytes))
        .with_context(|| format!("could not write {}", path.display()))
}

/// The files that a page names, with their text. A folder of its own is its own workspace.
fn files_of(page: &str) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for part in page.split(MARK).skip(1) {
        let (name, rest) = part.split_once(" -->").context("a mark without its end")?;
        let body = rest.split_once("```").and_then(|(_, fenced)| fenced.split_once('\n'));
        let body = body.and_then(|(_, fenced)| fenced.split_once("\n```"));
        let Some((body, _)) = body else { bail!("no fenced text below the mark of `{name}`") };
        let own_workspace = if name == "Cargo.toml" { "\n\n[workspace]\n" } else { "\n" };
        files.push((name.to_owned(), format!("{body}{own_workspace}")));
    }
    if files.is_empty() { bail!("the page marks no file with `{MARK}`") } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_out_of_a_page() {
        let page = "a\n<!-- file: src/lib.rs -->\n```rust\nfn x() {}\n```\nb";
        assert_eq!(files_of(page).unwrap(), [("src/lib.rs".to_owned(), "fn x() {}\n".to_owned())]);
        assert!(files_of("nothing").is_err());
    }

    #[test]
    fn the_sdk_is_taken_from_this_checkout() {
        let manifest = format!("akita-plugin = {{ path = {SDK} }}\n");
        let rewritten = here(&manifest, Path::new("/some where/plugins")).unwrap();
        assert_eq!(rewritten, "akita-plugin = { path = \"/some where/plugins/sdk\" }\n");
        assert!(here("serde = \"1\"", Path::new("/x")).is_err());
    }
}
