//! Putting a node together: data directory, identity, log, plugins, mesh, and the loops that run on them. Every
//! listener is bound before anything is announced; what is wrong with a setting is found before anything is written.

use std::sync::Arc;

use akita_core::{ClusterId, Command, EventType, NodeId, keys::KeyRing, tuning::Tuning, wire::Standing};
use akita_mesh::{Event, Identity, Interfaces, Mesh, MeshConfig};
use akita_sandbox::{Limits, Sandbox, SandboxConfig};
use anyhow::Context;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{config, spawn_marking, spawn_pruning};
use crate::{
    api::{self, ApiConfig},
    blobs::{BlobLimits, BlobShelf, Blobs, Neighbours},
    cluster::{self, Books, Cluster, Keyring, node_of},
    config::Settings,
    consensus::{self, Consensus, Opened},
    driver::{self, Driver, Service},
    executor::{self, Executor, Home, Report},
    node::{Node, Parts},
    plugins::{self, Carrier, Keeper, Listeners, Plugins},
    resources::{self, Resources},
    store::{DataDir, LedgerKey, Signer, Store},
    telemetry,
};

/// A node that runs, and all that is needed to stop it.
pub(super) struct Running {
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) consensus: Consensus,
    pub(super) driver: Driver,
    pub(super) cluster: Cluster,
    pub(super) executor: Executor,
    pub(super) sandbox: Sandbox,
    pub(super) mesh: Mesh,
    /// Cancelled when the node is asked to stop.
    pub(super) asked: CancellationToken,
    /// Ends what serves requests.
    pub(super) intake: CancellationToken,
    pub(super) api: Option<JoinHandle<()>>,
    pub(super) service: JoinHandle<()>,
    pub(super) members: JoinHandle<()>,
    pub(super) results: JoinHandle<()>,
    pub(super) pruning: JoinHandle<()>,
    pub(super) marking: JoinHandle<()>,
    /// Ends with `intake`.
    pub(super) keeping: JoinHandle<()>,
    /// Kept alive for those who only know that it may be there.
    pub(super) _links: Links,
    /// The lock, held until the end.
    pub(super) _data_dir: DataDir,
}

/// What parts ask that were made before it: they hold it weakly, so that a node that ends is dropped.
pub(super) struct Links {
    /// Other nodes' questions.
    _books: Arc<dyn Books>,
    /// The children of tasks.
    _home: Arc<dyn Home>,
    /// The messages of plugins.
    _carrier: Arc<dyn Carrier>,
    /// Blobs of other nodes.
    _neighbours: Arc<dyn Neighbours>,
}

impl Links {
    fn tie(node: &Node, cluster: &Cluster, executor: &Executor, blobs: &Blobs) -> Links {
        let books: Arc<dyn Books> = Arc::new(node.clone());
        cluster.set_books(Arc::downgrade(&books));
        let home: Arc<dyn Home> = Arc::new(node.clone());
        executor.set_home(Arc::downgrade(&home));
        let carrier: Arc<dyn Carrier> = Arc::new(cluster.clone());
        node.plugins.set_carrier(Arc::downgrade(&carrier));
        let neighbours: Arc<dyn Neighbours> = Arc::new(cluster.clone());
        blobs.set_neighbours(Arc::downgrade(&neighbours));
        Links { _books: books, _home: home, _carrier: carrier, _neighbours: neighbours }
    }
}

/// Builds a node that reaches others by `interfaces`, and starts its loops.
pub(super) async fn build(settings: Settings, interfaces: Interfaces) -> anyhow::Result<Running> {
    let logs = telemetry::init(&settings);
    let data_dir = DataDir::open(&settings.data_dir).map_err(|error| config(&error, error.hint()))?;
    let keys = open_keys(&settings)?;
    let identity = Identity::load_or_create(&settings.identity_path)
        .map_err(|error| config(error, "give another file with --identity-path, or move this one away"))?;
    let me = node_of(identity.id());
    let listener = listen(&settings).await?;
    let opened = open_log(&data_dir, &settings, &identity).await?;
    let intake = CancellationToken::new();
    let resources = resources::spawn(settings.resource_monitor_interval, settings.data_dir.clone(), intake.clone());
    let blobs = open_blobs(&settings, &data_dir, &opened.store).await?;
    let (sandbox, plugins, keeper) = load_plugins(&settings, &opened.store, &resources, &blobs).await?;
    let (mesh, events) = start_mesh(&settings, interfaces, identity).await?;

    let (report_sender, reports) = mpsc::unbounded_channel();
    let executor = Executor::new(sandbox.clone(), plugins.clone(), limits(&settings), settings.slots, report_sender);
    let (driver, inbox) = Driver::new();
    let origin = Origin::of(&opened, &settings, me)?;
    let cluster = Cluster::new(cluster::Start {
        me,
        name: settings.node_name.clone(),
        cluster_name: settings.cluster_name.clone(),
        keys,
        tuning: tuning(&settings),
        election_timeout: settings.leader_election_timeout,
        discovery_interval: settings.discovery_interval,
        offer: plugins.shelf().offer(slots(&settings), &settings.capabilities),
        standing: origin.standing,
        term: origin.term,
        mesh: mesh.clone(),
        driver: driver.clone(),
        consensus: opened.consensus.clone(),
        profile: settings.voters_timing,
        max_voters: settings.max_voters,
        voter_dead_after: settings.voter_dead_after,
        store: opened.store.clone(),
        blobs: blobs.shelf().clone(),
        executor: executor.clone(),
        plugins: plugins.clone(),
        resources: resources.clone(),
        incarnation: incarnation()?,
    });
    let start = driver::Start {
        me,
        tuning: tuning(&settings),
        state: opened.state,
        consensus: opened.consensus.clone(),
        events: opened.events,
        time: opened.time,
        votes: opened.votes,
        store: opened.store.clone(),
        executor: executor.clone(),
        assigner: Arc::new(cluster.clone()),
    };
    let service = tokio::spawn(Service::new(start, driver.clone(), inbox).run());
    if !opened.votes {
        driver.commit(origin.first_words).await.context("the node stopped before it began")?;
    }
    // Its calls are answered, and made, once the cluster runs.
    opened.consensus.connect(Arc::new(cluster.clone())).await.map_err(|error| config(&error, error.hint()))?;

    let asked = CancellationToken::new();
    let node = Node::new(Parts {
        me,
        name: settings.node_name.clone(),
        store: opened.store.clone(),
        driver: driver.clone(),
        cluster: cluster.clone(),
        plugins,
        blobs: blobs.clone(),
        resources,
        mesh: mesh.clone(),
        logs,
        max_timeout: settings.worker_processing_timeout,
        stop: asked.clone(),
    });
    let links = Links::tie(&node, &cluster, &executor, &blobs);
    cluster.begin().await;
    let (members, results) = run_loops(&cluster, events, reports);
    let store = opened.store;
    let marking = spawn_marking(store.clone());
    let pruning =
        spawn_pruning(store.clone(), driver.clone(), settings.result_retention, settings.result_retention_max);
    let listeners = Listeners {
        cluster: cluster.clone(),
        me,
        slots: slots(&settings),
        capabilities: settings.capabilities.clone(),
    };
    let keeping = tokio::spawn(keeper.run(listeners, intake.clone()));
    greet(&settings, &node, &mesh, listener.as_ref());
    let api = listener.map(|listener| spawn_api(listener, &settings, &node, &intake));
    Ok(Running {
        node,
        store,
        consensus: opened.consensus,
        driver,
        cluster,
        executor,
        sandbox,
        mesh,
        asked,
        intake,
        api,
        service,
        members,
        results,
        pruning,
        marking,
        keeping,
        _links: links,
        _data_dir: data_dir,
    })
}

fn spawn_api(listener: TcpListener, settings: &Settings, node: &Node, intake: &CancellationToken) -> JoinHandle<()> {
    let router = api::router(node.clone(), ApiConfig::from(settings));
    tokio::spawn(api::serve(listener, router, intake.clone()))
}

fn run_loops(
    cluster: &Cluster,
    events: mpsc::UnboundedReceiver<Event>,
    reports: mpsc::UnboundedReceiver<Report>,
) -> (JoinHandle<()>, JoinHandle<()>) {
    let results = cluster.clone();
    let results = tokio::spawn(async move { results.pass_on(reports).await });
    let members = cluster.clone();
    (tokio::spawn(async move { members.run(events).await }), results)
}

fn open_keys(settings: &Settings) -> anyhow::Result<Keyring> {
    let secret = settings.cluster_key.as_ref().map(|secret| secret.expose());
    if secret.is_some_and(|secret| KeyRing::of(secret).is_none()) {
        return Err(config("the cluster key is shorter than 16 characters", "make one with: openssl rand -hex 32"));
    }
    Keyring::open(&settings.data_dir, secret).map_err(|error| config(&error, error.hint()))
}

async fn listen(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    if !settings.api_server {
        return Ok(None);
    }
    let bound = api::bind(settings.api_host, settings.api_port).await;
    bound.map(Some).map_err(|error| config(&error, error.hint()))
}

async fn open_log(data_dir: &DataDir, settings: &Settings, identity: &Identity) -> anyhow::Result<Opened> {
    let (dir, file) = (data_dir.clone(), settings.sqlite_db_file.to_string_lossy().into_owned());
    let identity = identity.clone();
    let signer = Signer {
        key: LedgerKey { node: node_of(identity.id()), public_key: identity.public_key() },
        sign: Box::new(move |message| identity.sign(message)),
    };
    let open = move || consensus::open(&dir, &file, signer, Arc::new(driver::now));
    let opened = tokio::task::spawn_blocking(open).await.context("opening the database failed")?;
    opened.map_err(|error| config(&error, error.hint()))
}

async fn open_blobs(settings: &Settings, data_dir: &DataDir, store: &Store) -> anyhow::Result<Blobs> {
    let limits = BlobLimits { blob_bytes: settings.blob_max_bytes, store_bytes: settings.blob_store_bytes };
    let shelf = BlobShelf::open(data_dir.file("blobs"), store.clone(), limits).await.map_err(|error| {
        config(format!("the blobs cannot be opened: {error}"), "check the folder `blobs` in the data directory")
    })?;
    Ok(Blobs::new(shelf))
}

async fn load_plugins(
    settings: &Settings,
    store: &Store,
    resources: &watch::Receiver<Resources>,
    blobs: &Blobs,
) -> anyhow::Result<(Sandbox, Plugins, Keeper)> {
    let (dir, slots) = (settings.plugins_dir.clone(), settings.slots);
    let defaults = SandboxConfig::default();
    let (cache_dir, guest_threads) = (settings.data_dir.join("compiled"), defaults.guest_threads.min(slots));
    let parked = executor::most_parked(slots);
    let start = move || Sandbox::new(SandboxConfig { slots, parked, cache_dir, guest_threads, ..defaults });
    let sandbox = tokio::task::spawn_blocking(start).await.context("starting the sandbox failed")?;
    let sandbox = sandbox.map_err(|error| config(error, "see docs/operations.md, \"The sandbox does not start\""))?;
    if !dir.is_dir() {
        tracing::warn!(dir = %dir.display(), "there is no such folder of plugins; this node runs no tasks itself");
    }
    let start = plugins::Start {
        dir,
        sandbox: sandbox.clone(),
        store: store.clone(),
        resources: resources.clone(),
        blobs: blobs.clone(),
    };
    let (plugins, keeper) = Keeper::open(start)
        .await
        .map_err(|error| config(format!("{error:#}"), "give a folder that can be read with --plugins"))?;
    Ok((sandbox, plugins, keeper))
}

/// The interfaces that the settings name.
pub(super) fn interfaces(settings: &Settings) -> Interfaces {
    if settings.rns_config.is_some() {
        Interfaces::Reticulum(settings.rns_config.clone())
    } else if settings.mesh_listen.is_some() || !settings.mesh_peers.is_empty() {
        Interfaces::Direct {
            listen: settings.mesh_listen.iter().map(ToString::to_string).collect(),
            peers: settings.mesh_peers.iter().map(ToString::to_string).collect(),
        }
    } else {
        Interfaces::Default
    }
}

async fn start_mesh(
    settings: &Settings,
    interfaces: Interfaces,
    identity: Identity,
) -> anyhow::Result<(Mesh, mpsc::UnboundedReceiver<Event>)> {
    let started = Mesh::start(MeshConfig {
        identity,
        interfaces,
        state_dir: settings.data_dir.join("reticulum"),
        announce_interval: settings.announce_interval,
        tuning: akita_mesh::Tuning::default(),
    });
    started
        .await
        .map_err(|error| config(error, "see --rns-config, --mesh-listen and --mesh-peer in `akita start --help`"))
}

fn slots(settings: &Settings) -> u16 {
    u16::try_from(settings.slots).unwrap_or(u16::MAX)
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        timeout: settings.task_timeout,
        memory_bytes: settings.task_memory_bytes as u64,
        output_bytes: settings.task_output_bytes as u64,
        ..Limits::default()
    }
}

fn tuning(settings: &Settings) -> Tuning {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Tuning {
        ack_timeout: millis(settings.worker_ack_timeout),
        processing_timeout: millis(settings.worker_processing_timeout),
        max_attempts: settings.max_task_execution_attempts,
        max_queue: settings.max_task_queue_size,
        node_timeout: millis(settings.node_timeout),
    }
}

/// Where the node stands by its own log, and what it first commits.
struct Origin {
    standing: Standing,
    term: u64,
    first_words: Vec<Command>,
}

impl Origin {
    fn of(opened: &Opened, settings: &Settings, me: NodeId) -> anyhow::Result<Origin> {
        let name = settings.cluster_name.clone();
        let start = Command::Record {
            event: EventType::NodeStart,
            node: me,
            details: vec![("name".into(), settings.node_name.clone()), ("version".into(), crate::program::version())],
        };
        if opened.votes {
            return Origin::of_voter(opened, &name);
        }
        let known = opened.state.cluster().filter(|cluster| cluster.name == name);
        let Some(cluster) = known else {
            let id: ClusterId = cluster::new_cluster_id(&name, me).context("the system gives no random numbers")?;
            let found = Command::Found { id, name, founder: me };
            let term = opened.state.cluster().map_or(0, |old| old.term) + 1;
            return Ok(Origin {
                standing: Standing { cluster: id, leader: me },
                term,
                first_words: vec![start, found],
            });
        };
        let standing = match cluster.sealed_into {
            Some((cluster, leader)) => Standing { cluster, leader },
            None => Standing { cluster: cluster.id, leader: me },
        };
        Ok(Origin { standing, term: cluster.term, first_words: vec![start] })
    }

    /// One of several voters: who leads it hears from the others.
    fn of_voter(opened: &Opened, name: &str) -> anyhow::Result<Origin> {
        let cluster = opened.state.cluster();
        if let Some(other) = cluster.filter(|cluster| cluster.name != name) {
            return Err(config(
                format!("this node votes in the cluster `{}` and cannot start in `{name}`", other.name),
                format!(
                    "start it with --cluster-name {} and leave with `akita cluster leave`, or give another data \
                         directory",
                    other.name
                ),
            ));
        }
        let id = cluster.map_or(ClusterId::default(), |cluster| cluster.id);
        let standing = Standing { cluster: id, leader: cluster::NOBODY };
        Ok(Origin { standing, term: cluster.map_or(0, |cluster| cluster.term), first_words: Vec::new() })
    }
}

fn incarnation() -> anyhow::Result<u32> {
    getrandom::u32().context("the system gives no random numbers")
}

fn greet(settings: &Settings, node: &Node, mesh: &Mesh, listener: Option<&TcpListener>) {
    let api = listener.and_then(|listener| listener.local_addr().ok());
    let api = api.map_or_else(|| "off".to_owned(), |address| format!("http://{address}"));
    tracing::info!(
        node = settings.node_name,
        id = %node.me,
        cluster = settings.cluster_name,
        api,
        mesh = mesh.describe(),
        plugins = node.plugins.shelf().catalog.plugins().len(),
        compiling = node.plugins.work().len(),
        slots = settings.slots,
        "the node is running"
    );
    if node.cluster.is_open() {
        tracing::warn!("the cluster is open: any node that reaches it may join; close it with --cluster-key-file");
    }
}
