//! The routes: one table, and a short handler for each. A handler reads the request, asks the node once and writes
//! the answer down.

use std::time::Duration;

use akita_core::{
    ClusterId, NodeId, Status, TaskId,
    keys::{DEFAULT_GRACE_MS, MAX_GRACE_MS},
    wire::Wish,
};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::body::Held;
use super::guard::GivenKey;
use super::problem::{Kind, Problem};
use super::query::{Query, READING};
use super::task_json::{InputPlace, Submission, parse};
use super::{App, Backend, MAX_WAIT, blobs, index, ledger};
use crate::telemetry::{LogLine, RING_LINES};
use crate::view::{
    ClusterView, GovernedView, KeyView, MembersView, NodeError, OutputView, PluginList, StatusView, SwitchedView,
    TaskList, TaskView,
};

/// Rows of a page unless asked otherwise.
pub(super) const DEFAULT_LIMIT: u32 = 50;

/// Rows of a page at most: with the longest reasons a page stays below 4 MiB.
pub(super) const MAX_LIMIT: u32 = 1_000;

/// Letters of a plugin's name that are looked at: longer than any, and short enough to be shown.
const LONGEST_NAME: usize = 64;

/// Larger bodies are parsed on a thread for blocking work, so that other requests do not wait: a parser does about
/// 200 MB/s, so up to here it takes less than half a millisecond.
const PARSE_INLINE_BYTES: usize = 64 << 10;

/// A method and a path, and what they are for.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Endpoint {
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// For people.
    pub summary: &'static str,
}

const fn on(method: &'static str, path: &'static str, summary: &'static str) -> Endpoint {
    Endpoint { method, path, summary }
}

/// Every route with its handler. A path may stand here more than once, with another method each.
pub fn all<B: Backend>() -> Vec<(Endpoint, MethodRouter<App<B>>)> {
    vec![
        (on("GET", "/", "what this is and what it offers"), get(index::show::<B>)),
        (on("GET", "/status", "this node"), get(status::<B>)),
        (on("GET", "/cluster/status", "the nodes of the cluster"), get(cluster::<B>)),
        (on("GET", "/cluster/members", "who holds the log and elects the leader"), get(members::<B>)),
        (on("POST", "/cluster/members/{node}/promote", "let a node vote as soon as it is fit to"), post(promote::<B>)),
        (on("POST", "/cluster/members/{node}/demote", "take a node's vote; it goes on to work"), post(demote::<B>)),
        (on("POST", "/cluster/members/{node}/remove", "put a node out of the cluster"), post(remove::<B>)),
        (on("POST", "/cluster/members/{node}/admit", "let a node in again that was removed"), post(admit::<B>)),
        (on("POST", "/cluster/members/{node}/lead", "hand the lead to a voter"), post(lead::<B>)),
        (on("POST", "/cluster/leave", "give up this node's vote and stop it"), post(leave::<B>)),
        (on("POST", "/cluster/force-new", "go on with this voter alone, as a new cluster"), post(force_new::<B>)),
        (on("GET", "/cluster/key", "which cluster key counts, and who has it"), get(cluster_key::<B>)),
        (on("POST", "/cluster/key/rotate", "give the cluster a new key"), post(rotate_key::<B>)),
        (on("POST", "/cluster/merge", "have this cluster give way to another of its name"), post(merge::<B>)),
        (on("POST", "/tasks/submit", "submit a task, or a list of them"), post(submit::<B>)),
        (
            on("GET", "/tasks/{id}", "a task with its result; ?wait= holds the answer back until it ends"),
            get(task::<B>),
        ),
        (
            on("GET", "/tasks/{id}/output", "what a task has emitted so far; ?wait= holds the answer back for more"),
            get(output::<B>),
        ),
        (on("GET", "/tasks", "the newest tasks"), get(tasks::<B>)),
        (on("GET", "/ledger", "what happened, newest first"), get(ledger::view::<B>)),
        (on("GET", "/ledger/verify", "whether the ledger is as it was written"), get(ledger::verify::<B>)),
        (on("GET", "/ledger/head", "the newest signed checkpoint"), get(ledger::head::<B>)),
        (on("GET", "/ledger/rows", "rows to the letter, in their order"), get(ledger::rows::<B>)),
        (on("GET", "/ledger/proof/{index}", "the proof that a row is in the ledger"), get(ledger::row::<B>)),
        (on("GET", "/ledger/range", "the proof that rows are a stretch of the ledger"), get(ledger::range::<B>)),
        (on("GET", "/ledger/journal", "what this node ran without a leader"), get(ledger::journal::<B>)),
        (on("GET", "/ledger/keys", "the keys that checkpoints are signed with"), get(ledger::keys::<B>)),
        (on("GET", "/logs", "what this node said lately"), get(logs::<B>)),
        (on("GET", "/plugins", "this node's plugins and their actions"), get(plugins::<B>)),
        (on("POST", "/plugins/{name}/disable", "offer a plugin no longer"), post(disable::<B>)),
        (on("POST", "/plugins/{name}/enable", "offer a plugin again, also after a quarantine"), post(enable::<B>)),
        (on("GET", "/blobs", "the blobs of this node"), get(blobs::list::<B>)),
        (on("POST", "/blobs", "keep the body as a blob"), post(blobs::put::<B>)),
        (on("GET", "/blobs/{id}", "the bytes of a blob, fetched where this node lacks it"), get(blobs::get::<B>)),
        (on("DELETE", "/blobs/{id}", "remove a blob from this node"), delete(blobs::remove::<B>)),
        (on("POST", "/shutdown", "stop this node"), post(shutdown::<B>)),
        (on("GET", "/health", "whether this node serves; needs no key"), get(health::<B>)),
    ]
}

pub(super) type Answer<T> = Result<Json<T>, Problem>;

/// The node stops: long polls end. [`serve`](fn@super::serve) adds it to each request.
#[derive(Debug, Clone)]
pub struct Ending(pub CancellationToken);

async fn status<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<StatusView> {
    Query::read(&uri, &[])?;
    Ok(Json(app.backend.status().await?))
}

async fn cluster<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<ClusterView> {
    let reading = Query::read(&uri, &READING)?.reading()?;
    Ok(Json(app.backend.cluster(reading).await?))
}

async fn members<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<MembersView> {
    let reading = Query::read(&uri, &READING)?.reading()?;
    Ok(Json(app.backend.members(reading).await?))
}

type NodePath = Result<Path<String>, PathRejection>;

async fn govern<B: Backend>(backend: &B, wish: Wish, node: NodePath, uri: &Uri) -> Answer<GovernedView> {
    Query::read(uri, &[])?;
    let node = match &node {
        Ok(Path(text)) => text.parse::<NodeId>().map_err(|_| text.chars().take(64).collect::<String>()),
        Err(_) => Err("?".into()),
    };
    let node = node.map_err(|text| {
        Problem::new(Kind::BadRequest, format!("`{text}` is no node's id"))
            .hint("an id has 32 hexadecimal digits; GET /cluster/members lists them")
    })?;
    Ok(Json(backend.govern(wish, node).await?))
}

async fn promote<B: Backend>(State(app): State<App<B>>, node: NodePath, uri: Uri) -> Answer<GovernedView> {
    govern(&app.backend, Wish::Promote, node, &uri).await
}

async fn demote<B: Backend>(State(app): State<App<B>>, node: NodePath, uri: Uri) -> Answer<GovernedView> {
    govern(&app.backend, Wish::Demote, node, &uri).await
}

async fn remove<B: Backend>(State(app): State<App<B>>, node: NodePath, uri: Uri) -> Answer<GovernedView> {
    govern(&app.backend, Wish::Remove, node, &uri).await
}

async fn admit<B: Backend>(State(app): State<App<B>>, node: NodePath, uri: Uri) -> Answer<GovernedView> {
    govern(&app.backend, Wish::Admit, node, &uri).await
}

async fn lead<B: Backend>(State(app): State<App<B>>, node: NodePath, uri: Uri) -> Answer<GovernedView> {
    govern(&app.backend, Wish::Lead, node, &uri).await
}

async fn leave<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<GovernedView> {
    Query::read(&uri, &[])?;
    Ok(Json(app.backend.leave().await?))
}

async fn force_new<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<GovernedView> {
    Query::read(&uri, &[])?;
    Ok(Json(app.backend.force_new().await?))
}

async fn cluster_key<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<KeyView> {
    Query::read(&uri, &[])?;
    Ok(Json(app.backend.cluster_key().await?))
}

async fn rotate_key<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<GovernedView> {
    let (usual, most) = (Duration::from_millis(DEFAULT_GRACE_MS), Duration::from_millis(MAX_GRACE_MS));
    let grace = Query::read(&uri, &["grace"])?.seconds_or("grace", usual, most)?;
    Ok(Json(app.backend.rotate_key(grace).await?))
}

async fn merge<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<GovernedView> {
    let query = Query::read(&uri, &["into"])?;
    let kinds = || "a cluster's id of 32 hexadecimal digits; GET /cluster/status lists those that were met".to_owned();
    let into = query.word("into", |text| text.parse::<ClusterId>().ok(), kinds)?;
    let into = into.ok_or_else(|| {
        Problem::new(Kind::BadRequest, "`into` is missing")
            .hint(format!("POST /cluster/merge?into=ID; `into` is {}", kinds()))
    })?;
    Ok(Json(app.backend.merge(into).await?))
}

async fn submit<B: Backend>(State(app): State<App<B>>, request: Request) -> Result<Response, Problem> {
    Query::read(request.uri(), &[])?;
    if !app.backend.healthy() {
        return Err(NodeError::Stopping.into());
    }
    let key = request.extensions().get::<GivenKey>().map(|given| given.0);
    let Held { bytes, right } = app.intake.json(request).await?;
    let limits = app.limits;
    let parsed = if bytes.len() <= PARSE_INLINE_BYTES {
        parse(&bytes, &limits)
    } else {
        let parsing = tokio::task::spawn_blocking(move || parse(&bytes, &limits));
        parsing.await.map_err(|error| Problem::new(Kind::Internal, format!("parsing the body failed: {error}")))?
    };
    let Submission { tasks, inputs, batch } = parsed?;
    let count = tasks.len();
    let mut views = app.backend.submit(tasks, key).await.map_err(|error| in_body(error, &inputs))?;
    drop(right);
    match views.pop() {
        Some(view) if !batch && views.is_empty() => Ok((StatusCode::ACCEPTED, Json(view)).into_response()),
        Some(view) if batch && views.len() + 1 == count => {
            views.push(view);
            Ok((StatusCode::ACCEPTED, Json(views)).into_response())
        }
        _ => Err(NodeError::Internal(format!("the node did not answer for each of {count} tasks")).into()),
    }
}

/// A fault of an input, with its place in the body.
fn in_body(error: NodeError, inputs: &[InputPlace]) -> Problem {
    let pointer = match &error {
        NodeError::Misfit { task, pointer, .. } => inputs.get(*task).map(|input| input.pointer(pointer)),
        _ => None,
    };
    let problem = Problem::from(error);
    Problem { pointer: pointer.or(problem.pointer), ..problem }
}

async fn task<B: Backend>(
    State(app): State<App<B>>,
    ending: Option<Extension<Ending>>,
    id: TaskPath,
    uri: Uri,
) -> Answer<TaskView> {
    let id = named_task(&id)?;
    let query = Query::read(&uri, &["wait", READING[0], READING[1]])?;
    let (wait, reading) = (query.seconds("wait", MAX_WAIT)?, query.reading()?);
    let found = until_ending(ending, wait, |wait| app.backend.task(id, wait, reading)).await;
    found?.map(Json).ok_or_else(|| no_such_task(id))
}

async fn output<B: Backend>(
    State(app): State<App<B>>,
    ending: Option<Extension<Ending>>,
    id: TaskPath,
    uri: Uri,
) -> Answer<OutputView> {
    let id = named_task(&id)?;
    let query = Query::read(&uri, &["attempt", "offset", "wait"])?;
    let attempt = query.number("attempt", 0..=u64::from(u32::MAX))?.unwrap_or(0);
    let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
    let offset = query.number("offset", 0..=u64::MAX)?.unwrap_or(0);
    let wait = query.seconds("wait", MAX_WAIT)?;
    let found = until_ending(ending, wait, |wait| app.backend.output(id, attempt, offset, wait)).await;
    found?.map(Json).ok_or_else(|| no_such_task(id))
}

/// Asks with a wait, and once more without one when the node stops meanwhile.
async fn until_ending<T, F: Future<Output = T>>(
    ending: Option<Extension<Ending>>,
    wait: Duration,
    ask: impl Fn(Duration) -> F,
) -> T {
    match ending {
        Some(Extension(Ending(ending))) if !wait.is_zero() => {
            tokio::select! {
                found = ask(wait) => found,
                () = ending.cancelled() => ask(Duration::ZERO).await,
            }
        }
        _ => ask(wait).await,
    }
}

type TaskPath = Result<Path<String>, PathRejection>;

fn named_task(id: &TaskPath) -> Result<TaskId, Problem> {
    let id = match id {
        Ok(Path(text)) => task_id(text).ok_or(text.as_str()),
        Err(_) => Err("?"),
    };
    id.map_err(|text| {
        let detail = format!("`{}` is no task id", text.chars().take(64).collect::<String>());
        Problem::new(Kind::BadRequest, detail).hint("a task id looks like 01890a5d-ac96-774b-bcce-b302099a8057")
    })
}

fn no_such_task(id: TaskId) -> Problem {
    Problem::new(Kind::NoSuchTask, format!("no task {id} in this cluster"))
        .hint("see the newest with: akita task list; finished tasks are kept for RESULT_RETENTION_S")
}

async fn tasks<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<TaskList> {
    let query = Query::read(&uri, &["status", "limit", READING[0], READING[1]])?;
    let status = query.word("status", Status::parse, || one_of(Status::ALL.iter().map(|status| status.as_str())))?;
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    Ok(Json(app.backend.tasks(status, limit, query.reading()?).await?))
}

/// `GET /logs`.
#[derive(Serialize)]
struct LogPage {
    lines: Vec<LogLine>,
    next: u64,
}

async fn logs<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<LogPage> {
    const LEVELS: [(&str, Level); 5] = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let query = Query::read(&uri, &["limit", "level", "after"])?;
    let level = |word: &str| LEVELS.into_iter().find(|(name, _)| *name == word).map(|(_, level)| level);
    let level = query.word("level", level, || one_of(LEVELS.iter().map(|(name, _)| *name)))?;
    let most = u32::try_from(RING_LINES).unwrap_or(u32::MAX);
    let limit = query.limit(DEFAULT_LIMIT, most)?;
    let after = query.number("after", 0..=u64::MAX)?;
    let (lines, next) = app.backend.logs(limit as usize, level.unwrap_or(Level::TRACE), after);
    Ok(Json(LogPage { lines, next }))
}

async fn plugins<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<PluginList> {
    Query::read(&uri, &[])?;
    Ok(Json(app.backend.plugins().await?))
}

async fn disable<B: Backend>(State(app): State<App<B>>, name: PluginName, uri: Uri) -> Answer<SwitchedView> {
    switch(&app.backend, name, &uri, false).await
}

async fn enable<B: Backend>(State(app): State<App<B>>, name: PluginName, uri: Uri) -> Answer<SwitchedView> {
    switch(&app.backend, name, &uri, true).await
}

type PluginName = Result<Path<String>, PathRejection>;

async fn switch<B: Backend>(backend: &B, name: PluginName, uri: &Uri, on: bool) -> Answer<SwitchedView> {
    Query::read(uri, &[])?;
    let Ok(Path(name)) = name else {
        return Err(Problem::new(Kind::BadRequest, "the plugin's name is not UTF-8").hint("akita plugin list"));
    };
    Ok(Json(backend.switch_plugin(name.chars().take(LONGEST_NAME).collect(), on).await?))
}

async fn shutdown<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Result<Response, Problem> {
    Query::read(&uri, &[])?;
    app.backend.shutdown();
    Ok((StatusCode::ACCEPTED, Json(json!({"status": "stopping"}))).into_response())
}

async fn health<B: Backend>(
    State(app): State<App<B>>,
    ending: Option<Extension<Ending>>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::read(&uri, &[])?;
    if !app.backend.healthy() || ending.is_some_and(|Extension(Ending(ending))| ending.is_cancelled()) {
        return Err(NodeError::Stopping.into());
    }
    Ok(Json(json!({"status": "ok"})).into_response())
}

/// Any path that is no route.
pub async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(64).collect();
    Problem::new(Kind::NotFound, format!("there is no `{path}` here")).hint("GET / lists what there is")
}

/// A route with another method. The router adds the `Allow` header.
pub async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {}", uri.path(), method.as_str().chars().take(16).collect::<String>());
    Problem::new(Kind::MethodNotAllowed, detail).hint("the header `allow` names the methods; GET / lists what there is")
}

pub(super) fn task_id(text: &str) -> Option<TaskId> {
    text.parse().ok()
}

pub(super) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", words.collect::<Vec<_>>().join(", "))
}
