//! Whether plugins that come and go leave anything behind.

use std::time::Instant;

use akita_sandbox::Sandbox;

use crate::guests::echo;
use crate::process::{open_files, resident};
use crate::{AnyError, Report};

/// Before anything is compared: allocators and the engine take their share.
const WARM_UP: u32 = 200;
/// Then so many more.
const INSTALLS: u32 = 1_000;

/// Installs and removes, and looks at the process before and after.
pub fn measure(report: &Report, sandbox: &Sandbox) -> Result<(), AnyError> {
    let plain = echo();
    let install = |number: u32| -> Result<(), AnyError> {
        // Another content each time, so that it is compiled each time: a section that means nothing.
        let mut component = plain.clone();
        component.extend_from_slice(&[0, 6, 1, b'n']);
        component.extend_from_slice(&number.to_le_bytes());
        sandbox.load_bytes(&component)?;
        Ok(())
    };
    (0..WARM_UP).try_for_each(install)?;
    let (files, bytes, started) = (open_files()?, resident()?, Instant::now());
    (WARM_UP..WARM_UP + INSTALLS).try_for_each(install)?;
    let each = started.elapsed().as_secs_f64() * 1e3 / f64::from(INSTALLS);
    report.row("install of a small plugin, compiled anew", each, "ms");
    let more = resident()? as f64 - bytes as f64;
    report.row("1,000 installs and removals: more memory than before", more / 1e6, "MB");
    let more = open_files()? as f64 - files as f64;
    report.row("1,000 installs and removals: more open files than before", more, "");
    Ok(())
}
