//! What the sandbox does in a second, and how soon it stops a guest. `cargo run --release --example throughput -- \
//! [--json] [--runs N] [PLUGIN.wasm=ACTION]...`; without a plugin it measures a built-in echo. `cargo xtask bench plugins`
//! runs it with `--json`, which prints one object a line.

#[path = "../../tests/sandbox/guests.rs"]
#[expect(dead_code, reason = "only some of the tests' guests are used here")]
mod guests;
mod installs;
mod process;
mod speed;
mod stops;

use std::fs;

use akita_sandbox::{Sandbox, SandboxConfig};

type AnyError = Box<dyn std::error::Error>;

/// Runs in each measurement of speed.
const RUNS: usize = 100_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let mut report = Report { json: false };
    let (mut runs, mut plugins) = (RUNS, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => report.json = true,
            "--runs" => runs = args.next().ok_or("--runs needs a number")?.parse()?,
            plugin => plugins.push(plugin.to_owned()),
        }
    }
    let folder = tempfile::TempDir::new()?;
    let config = SandboxConfig { cache_dir: folder.path().join("compiled"), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config)?;
    speed::baseline(&report, runs).await?;
    speed::measure(&report, &sandbox, "text", &guests::echo(), "run", runs).await?;
    speed::typed(&report, &sandbox, &guests::resizer().component(), runs).await?;
    for plugin in &plugins {
        let (path, action) = plugin.split_once('=').ok_or("write PLUGIN.wasm=ACTION")?;
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".wasm");
        let bytes = fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        report.row(&format!("size: {name}"), bytes.len() as f64 / 1e3, "KB");
        speed::measure(&report, &sandbox, &format!("{name}/{action}"), &bytes, action, runs).await?;
    }
    stops::measure(&report, &sandbox).await?;
    installs::measure(&report, &sandbox)?;
    Ok(())
}

/// One line for each number.
struct Report {
    json: bool,
}

impl Report {
    fn row(&self, name: &str, value: f64, unit: &str) {
        if self.json {
            println!("{}", serde_json::json!({ "name": name, "value": value, "unit": unit }));
        } else {
            println!("{name:<60} {value:>12.2} {unit}");
        }
    }
}
