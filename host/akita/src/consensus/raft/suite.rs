//! The engine's own test suite for storage, run against the database.

use std::{sync::Arc, time::Duration};

use akita_core::{ClusterId, autopilot::Profile};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::{
    Noted, Shared,
    log::Log,
    machine::{Source, StateMachine},
    types::Types,
};
use crate::{
    consensus::{Event, Role},
    store::{
        self, DEFAULT_FILE, DataDir, SMALL,
        testing::{ME, signer},
    },
};

struct Builder;

struct Guard {
    _dir: TempDir,
    _events: mpsc::UnboundedReceiver<Event>,
}

impl StoreBuilder<Types, Log, StateMachine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, Log, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let opened = store::open(&DataDir::open(dir.path()).unwrap(), DEFAULT_FILE, signer()).unwrap();
        let noted = Noted { cluster: ClusterId([9; 16]), number: 0, profile: Profile::Lan };
        opened.writer.write(SMALL, move |machine| noted.join(machine)).await.unwrap();
        let (events, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            cluster: noted.cluster,
            number: noted.number,
            profile: noted.profile,
            me: ME,
            process: 1,
            counter: 1.into(),
            events,
            role: Arc::new(watch::Sender::new(Role::default())),
            waiting: Default::default(),
            leading: Default::default(),
            acknowledged: Default::default(),
        });
        let source = Source::new(opened.store.clone(), dir.path().join("snapshots"));
        let log = Log::new(opened.store, opened.writer.clone());
        let machine = StateMachine::load(source, opened.writer, shared).await.unwrap();
        Ok((Guard { _dir: dir, _events: receiver }, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_a_store_as_the_engine_wants_it() {
    let suite = Suite::<Types, Log, StateMachine, Builder, Guard>::test_all(Builder);
    tokio::time::timeout(Duration::from_secs(300), suite).await.unwrap().unwrap();
}
