//! `cargo xtask demo`: two nodes that meet over Reticulum and do the README's tasks, shown as a person would do them. What
//! is shown is also checked; it claims nothing that it has not seen.

mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::interrupt::Interrupt;
use crate::node::{self, Node, Spec, free_port};
use crate::paths::Paths;
use crate::plugins;
use crate::step::say;
use shell::{Shell, is_id};

/// What `cargo xtask demo` takes.
#[derive(clap::Args)]
pub struct Args {
    /// End by itself, with status 0 only if everything really happened
    #[arg(long)]
    exit: bool,
    /// Use an optimised build: takes longer to build, runs faster
    #[arg(long)]
    release: bool,
}

/// Tasks of the batch.
const BATCH: usize = 1000;

/// What the picture has to fit into: a quarter of a minute on a link of 1,200 bit/s.
const PICTURE_BYTES: usize = 2000;

/// From start to both nodes seeing each other; nodes on one machine need a few seconds.
const MEET_LIMIT: Duration = Duration::from_secs(30);

/// For the whole batch, on a slow machine with a debug build.
const BATCH_LIMIT: Duration = Duration::from_secs(180);

/// The plugins that are shown; `faulty` is for tests.
const SHOWN: [&str; 4] = ["basics", "digest", "image", "stats"];

/// Builds, starts, shows, checks.
pub fn run(paths: &Paths, args: &Args) -> Result<()> {
    let binary = node::build(paths, args.release)?;
    plugins::run(paths, &plugins::Args::default())?;
    let folder = paths.scratch.join("demo");
    let plugins = lay_out(paths, &folder)?;
    let interrupt = Interrupt::install()?;
    let mut demo = Demo::start(&binary, &folder, &plugins, interrupt)?;
    let shown = demo.show(paths);
    demo.interrupt.check()?;
    if let Err(error) = shown {
        bail!("{error:#}\n{}\n{}", demo.alpha.last_words(), demo.beta.last_words());
    }
    println!("\nEverything above was checked: it really happened.");
    if args.exit {
        return Ok(());
    }
    println!(
        "The nodes go on. APIs: {} (alpha) and {} (beta). Try:",
        demo.alpha.api.address(),
        demo.beta.api.address()
    );
    println!("    export AKITA_TARGET_NODE_API={}", demo.alpha.api.address());
    println!("    {} task submit '{{\"action\":\"echo\",\"message\":\"mine\"}}' --wait", binary.display());
    println!("Ctrl-C ends both.");
    demo.interrupt.wait();
    println!();
    say("stopping both nodes");
    Ok(())
}

/// A fresh folder with a copy of the plugins that are shown.
fn lay_out(paths: &Paths, folder: &Path) -> Result<PathBuf> {
    let plugins = folder.join("plugins");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    fs::create_dir_all(&plugins).with_context(|| format!("could not create {}", plugins.display()))?;
    for name in SHOWN {
        let file = format!("{name}.wasm");
        fs::copy(paths.plugins.join(&file), plugins.join(&file)).with_context(|| format!("could not copy {file}"))?;
    }
    Ok(plugins)
}

struct Demo {
    alpha: Node,
    beta: Node,
    shell: Shell,
    folder: PathBuf,
    interrupt: Interrupt,
}

impl Demo {
    fn start(binary: &Path, folder: &Path, plugins: &Path, interrupt: Interrupt) -> Result<Self> {
        let mesh = format!("127.0.0.1:{}", free_port()?);
        let options = |more: &[&str]| -> Vec<String> {
            ["--cluster-name", "demo"].iter().chain(more).map(|word| (*word).to_owned()).collect()
        };
        let spec = |name, options| Spec { binary, name, folder, plugins, options };
        say(&format!("starting node alpha, which listens for Reticulum on {mesh}"));
        let mut alpha = Node::spawn(&spec("alpha", options(&["--mesh-listen", &mesh])))?;
        alpha.ready(&interrupt)?;
        say("starting node beta with the capability gpu");
        let mut beta = Node::spawn(&spec("beta", options(&["--mesh-peer", &mesh, "--capabilities", "gpu"])))?;
        beta.ready(&interrupt)?;
        let shell = Shell::new(binary, folder, alpha.api.address());
        Ok(Self { alpha, beta, shell, folder: folder.to_owned(), interrupt })
    }

    fn show(&mut self, paths: &Paths) -> Result<()> {
        self.meet()?;
        self.shell.akita(&["cluster", "status"])?;
        self.echo()?;
        self.log()?;
        self.gpu()?;
        self.picture(paths)?;
        self.batch()?;
        self.shell.akita(&["task", "list", "--limit", "5"])?;
        self.shell.akita(&["cluster", "status"])?;
        self.ledger()
    }

    /// Both nodes see both, and agree who leads.
    fn meet(&mut self) -> Result<()> {
        let started = Instant::now();
        let (alpha, beta) = (&mut self.alpha, &mut self.beta);
        self.interrupt.until("the meeting of the nodes", MEET_LIMIT, || {
            alpha.check()?;
            beta.check()?;
            let (one, other) = (alpha.api.get("/cluster/status")?, beta.api.get("/cluster/status")?);
            let agree = one["leader_id"].is_string() && one["leader_id"] == other["leader_id"];
            Ok((agree && online(&one) == 2 && online(&other) == 2).then_some(()))
        })?;
        say(&format!("the nodes found each other, {:.1} s after both were up", started.elapsed().as_secs_f64()));
        say(&format!("the APIs: {} (alpha) and {} (beta)", alpha.api.address(), beta.api.address()));
        Ok(())
    }

    fn echo(&self) -> Result<()> {
        let task = self.submit(&[r#"{"action":"echo","message":"hello, mesh"}"#])?;
        ensure!(task["result"]["message"] == "hello, mesh", "the echo came back as {}", task["result"]);
        Ok(())
    }

    fn log(&self) -> Result<()> {
        let task = self.submit(&[r#"{"action":"log","message":"hello, operator","level":"info"}"#])?;
        ensure!(task["result"]["logged"] == true, "the log line came back as {}", task["result"]);
        Ok(())
    }

    /// A task that only beta may run.
    fn gpu(&self) -> Result<()> {
        let task = r#"{"action":"stats/train","target":"range_km","csv":"height_m,range_km\n2,5.1\n10,11.4\n30,19.5\n60,27.7"}"#;
        let task = self.submit(&[task, "--require", "gpu"])?;
        let beta = self.beta.api.get("/status")?;
        ensure!(
            task["worker_id"] == beta["node_id"],
            "the task that requires gpu ran on {}, not on beta",
            task["worker_id"]
        );
        ensure!(task["result"]["n"] == 4, "the model came back as {}", task["result"]);
        Ok(())
    }

    fn picture(&self, paths: &Paths) -> Result<()> {
        let source = paths.plugins.join("image/testdata/lake.jpg");
        fs::copy(&source, self.folder.join("lake.jpg"))
            .with_context(|| format!("could not copy {}", source.display()))?;
        let task = format!(r#"{{"action":"image/fit","max_bytes":{PICTURE_BYTES}}}"#);
        let task = self.submit(&[&task, "--file", "image_base64=lake.jpg", "--save", "small.jpg"])?;
        let small = fs::read(self.folder.join("small.jpg")).context("the picture was not saved")?;
        let in_task = task["result_base64"].as_str().and_then(|text| STANDARD.decode(text).ok());
        ensure!(in_task.as_ref() == Some(&small), "the saved picture is not the result");
        ensure!(small.len() <= PICTURE_BYTES, "the picture has {} bytes", small.len());
        ensure!(small.starts_with(&[0xff, 0xd8, 0xff]) && small.ends_with(&[0xff, 0xd9]), "the picture is no JPEG");
        let before = fs::metadata(&source)?.len();
        println!(
            "    lake.jpg had {before} bytes, small.jpg has {}: {}",
            small.len(),
            self.folder.join("small.jpg").display()
        );
        Ok(())
    }

    /// A thousand tasks at once, over both nodes.
    fn batch(&mut self) -> Result<()> {
        let tasks: Vec<Value> = (0..BATCH)
            .map(|number| json!({ "action": "sha256", "input": { "text": format!("message {number}") } }))
            .collect();
        fs::write(self.folder.join("batch.json"), Value::from(tasks).to_string())
            .context("could not write batch.json")?;
        let started = Instant::now();
        let output = self.shell.akita_cut(&["task", "submit", "@batch.json"], 3)?;
        let ids: Vec<String> = output.split_whitespace().filter(|word| is_id(word)).map(str::to_owned).collect();
        ensure!(ids.len() == BATCH, "{} ids came back for {BATCH} tasks", ids.len());
        self.watch(&ids)?;
        let took = started.elapsed();
        let workers = self.outcomes(&ids)?;
        println!("    {BATCH} tasks completed in {:.1} s: {}", took.as_secs_f64(), self.shares(&workers)?);
        ensure!(workers.len() == 2, "all tasks of the batch ran on one node");
        Ok(())
    }

    /// A progress bar until every task has ended.
    fn watch(&mut self, ids: &[String]) -> Result<()> {
        let bar = ProgressBar::new(ids.len() as u64);
        let mut ended = 0;
        self.interrupt.until("the end of the batch", BATCH_LIMIT, || {
            self.alpha.check()?;
            self.beta.check()?;
            // In the order of submission, near enough, tasks end: only the first that has not is looked at again.
            while let Some(id) = ids.get(ended) {
                if !has_ended(&self.alpha.api.get(&format!("/tasks/{id}"))?) {
                    break;
                }
                ended += 1;
            }
            bar.set_position(ended as u64);
            Ok((ended == ids.len()).then_some(()))
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    /// How many tasks each worker completed; an error if one did not complete, or its result is wrong.
    fn outcomes(&self, ids: &[String]) -> Result<BTreeMap<String, usize>> {
        let mut workers = BTreeMap::new();
        for (number, id) in ids.iter().enumerate() {
            let task = self.alpha.api.get(&format!("/tasks/{id}"))?;
            ensure!(task["status"] == "completed", "task {id} ended as {}: {}", task["status"], task["error"]);
            let bytes = format!("message {number}").len();
            ensure!(
                task["result"]["bytes"] == bytes,
                "task {id} hashed {} bytes, not {bytes}",
                task["result"]["bytes"]
            );
            *workers.entry(task["worker_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        Ok(workers)
    }

    fn shares(&self, workers: &BTreeMap<String, usize>) -> Result<String> {
        let mut shares = Vec::new();
        for (name, node) in [("alpha", &self.alpha), ("beta", &self.beta)] {
            let id = node.api.get("/status")?["node_id"].as_str().unwrap_or_default().to_owned();
            shares.push(format!("{} on {name}", workers.get(&id).copied().unwrap_or(0)));
        }
        Ok(shares.join(", "))
    }

    fn ledger(&self) -> Result<()> {
        self.shell.akita(&["ledger", "view", "--limit", "8"])?;
        // Ends with another code if anything does not fit.
        self.shell.akita(&["ledger", "verify"])?;
        let verified = self.alpha.api.get("/ledger/verify")?;
        ensure!(verified["ok"] == true, "the ledger does not verify: {}", verified["problem"]);
        let rows = verified["rows"].as_u64().unwrap_or(0);
        ensure!(rows > BATCH as u64, "the ledger has only {rows} rows for {BATCH} tasks");
        Ok(())
    }

    /// Submits through the command line, waits, shows what it says, and gives the task as the API has it.
    fn submit(&self, arguments: &[&str]) -> Result<Value> {
        let mut words = vec!["task", "submit"];
        words.extend_from_slice(arguments);
        words.extend(["--wait", "--timeout", "60"]);
        let output = self.shell.akita(&words)?;
        let id = output.split_whitespace().find(|word| is_id(word)).context("the command named no task")?;
        let task = self.alpha.api.get(&format!("/tasks/{id}"))?;
        ensure!(task["status"] == "completed", "task {id} ended as {}: {}", task["status"], task["error"]);
        Ok(task)
    }
}

fn online(cluster: &Value) -> usize {
    let nodes = cluster["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes.iter().filter(|node| node["status"] == "online").count()
}

fn has_ended(task: &Value) -> bool {
    matches!(task["status"].as_str(), Some("completed" | "failed" | "cancelled"))
}
