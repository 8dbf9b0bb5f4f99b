//! openraft's own tests of a store.

use std::path::PathBuf;
use std::sync::Arc;

use filegrid_journal::sim::Faults;
use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};

use super::machine::MemoryMachine;
use crate::log::disk::sim::SimDisk;
use crate::log::{Log, LogOptions};
use crate::raft::applier::{Applier, StateMachine};
use crate::raft::store::Store;
use crate::raft::types::Types;

struct Builder;

impl StoreBuilder<Types, Store, StateMachine> for Builder {
    async fn build(&self) -> Result<((), Store, StateMachine), StorageError<u64>> {
        let options = LogOptions {
            member: 0,
            segment_bytes: 64 << 10,
            batch_max_bytes: 16 << 10,
            cache_max_bytes: 64 << 10,
        };
        let disk = Arc::new(SimDisk::new(0, Faults::default()));
        let (log, writer) = Log::open(disk, PathBuf::from("/log"), options).unwrap();
        std::thread::spawn(move || writer.run());
        let applier = Applier::new(Arc::new(MemoryMachine::default()));
        let store = Store::new(log, Arc::clone(&applier));
        Ok(((), store, StateMachine::new(applier).unwrap()))
    }
}

#[test]
fn the_store_is_what_openraft_expects() {
    Suite::test_all(Builder).unwrap();
}
