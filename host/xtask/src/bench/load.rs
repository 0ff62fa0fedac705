//! Tasks by the thousand through the HTTP API, and waiting for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use crate::http::Api;

/// Tasks in one request: far below the limit of a body, and enough that requests do not count.
const PER_REQUEST: usize = 500;

/// Clients that submit one task a request: enough to keep two cores busy.
const CLIENTS: usize = 16;

/// The queue takes 10,000 tasks; we stay well below, so that nothing is refused.
const MOST_WAITING: usize = 5000;

/// For all tasks of one measurement.
const LIMIT: Duration = Duration::from_secs(600);

/// Between two looks at the counters: fine beside the seconds that are measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An `echo` of 100 bytes.
pub fn echo(number: usize) -> Value {
    let text = format!("{number:0>86}");
    json!({ "task_data": { "action": "basics/echo", "input": { "message": text } } })
}

/// Tasks that have ended well, by the node's own counters.
pub fn completed(api: &Api) -> Result<usize> {
    let count = api.get("/status")?["tasks"]["completed"].as_u64().unwrap_or(0);
    usize::try_from(count).context("the node counts more tasks than fit into memory")
}

/// Submits in batches and waits; gives the time from the first submission to the last completion.
pub fn batches(bench: &Bench, api: &Api, tasks: usize) -> Result<Duration> {
    let before = completed(api)?;
    let started = Instant::now();
    let mut submitted = 0;
    while submitted < tasks {
        let size = PER_REQUEST.min(tasks - submitted);
        let body: Vec<Value> = (submitted..submitted + size).map(echo).collect();
        let answer = api.post("/tasks/submit", &Value::from(body))?;
        ensure!(answer.as_array().is_some_and(|ids| ids.len() == size), "a batch was answered by {answer}");
        submitted += size;
        if submitted >= MOST_WAITING {
            wait_for(bench, api, before + submitted - MOST_WAITING)?;
        }
    }
    wait_for(bench, api, before + tasks)?;
    Ok(started.elapsed())
}

/// Many clients, each with its own connection, one task a request; gives the time to the last completion.
pub fn clients(bench: &Bench, api: &Api, tasks: usize) -> Result<Duration> {
    let before = completed(api)?;
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let client = || -> Result<()> {
        let api = api.fresh();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= tasks {
                return Ok(());
            }
            bench.interrupt.check()?;
            api.post("/tasks/submit", &echo(number))?;
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
    })?;
    wait_for(bench, api, before + tasks)?;
    Ok(started.elapsed())
}

/// Submits one task and waits for its result, again and again; gives each time, sorted.
pub fn one_at_a_time(bench: &Bench, api: &Api, tasks: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(tasks);
    for number in 0..tasks {
        bench.interrupt.check()?;
        let started = Instant::now();
        let accepted = api.post("/tasks/submit", &echo(number))?;
        let id = accepted["task_id"].as_str().context("a task was accepted without an id")?;
        // The node holds the answer back until the task has ended.
        let task = api.get(&format!("/tasks/{id}?wait=10"))?;
        times.push(started.elapsed());
        ensure!(task["status"] == "completed", "task {id} is {} after 10 s", task["status"]);
    }
    times.sort();
    Ok(times)
}

/// The time that this share of all stays within, in milliseconds.
pub fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn wait_for(bench: &Bench, api: &Api, wanted: usize) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        bench.interrupt.check()?;
        let done = completed(api)?;
        if done >= wanted {
            return Ok(());
        }
        ensure!(Instant::now() < end, "only {done} of {wanted} tasks have completed: {}", api.get("/status")?["tasks"]);
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_has_a_hundred_bytes() {
        assert_eq!(echo(7)["task_data"]["input"].to_string().len(), 100);
    }

    #[test]
    fn percentiles_are_of_what_is_there() {
        let times: Vec<Duration> = (1..=101).map(Duration::from_millis).collect();
        assert!((percentile(&times, 0.5) - 51.0).abs() < 1e-9 && (percentile(&times, 0.99) - 100.0).abs() < 1e-9);
        assert!(percentile(&[], 0.5) < 1e-9);
    }
}
