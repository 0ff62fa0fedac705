//! What the machine itself can do, so that the node's numbers mean something on another machine.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::table::Table;
use crate::http::Api;

/// How long each rate is measured.
const SPAN: Duration = Duration::from_secs(1);

/// A page: what a small transaction writes at least.
const PAGE: [u8; 4096] = [7; 4096];

/// Durable writes a second, one after another: what no queue that commits each task by itself can exceed.
pub fn disk(bench: &Bench, table: &mut Table) -> Result<()> {
    let path = bench.folder.join("fsync");
    let mut file = File::create(&path).with_context(|| format!("could not create {}", path.display()))?;
    let started = Instant::now();
    let mut writes = 0_u32;
    while started.elapsed() < SPAN {
        bench.interrupt.check()?;
        file.write_all(&PAGE).and_then(|()| file.sync_data()).context("could not write durably")?;
        writes += 1;
    }
    let rate = f64::from(writes) / started.elapsed().as_secs_f64();
    table.row("disk: durable 4 KiB writes", rate, "/s", "");
    table.row("disk: one durable 4 KiB write", 1000.0 / rate, "ms", "");
    Ok(())
}

/// Requests a second that do nothing, one after another on one connection: the least that any request costs.
pub fn health(bench: &Bench, api: &Api, table: &mut Table) -> Result<()> {
    let started = Instant::now();
    let mut requests = 0_u32;
    while started.elapsed() < SPAN {
        bench.interrupt.check()?;
        api.get("/health")?;
        requests += 1;
    }
    table.row("HTTP: GET /health, one after another", f64::from(requests) / started.elapsed().as_secs_f64(), "/s", "");
    Ok(())
}
