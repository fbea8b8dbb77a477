//! The SQLite store: the common suite, and what only a file on a disk can show.

use std::sync::Arc;

use candlewick::store::{self, Access, Store, conformance};

#[tokio::test]
async fn a_database_in_memory_keeps_every_promise() {
    conformance::run_all(async || store::open("sqlite://:memory:", Access::Create).await.unwrap()).await;
}

#[tokio::test]
async fn a_database_in_a_file_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    let make = async || -> Arc<dyn Store> {
        count.set(count.get() + 1);
        let url = format!("sqlite://{}", folder.path().join(format!("{}.db", count.get())).display());
        store::open(&url, Access::Create).await.unwrap()
    };
    conformance::run_all(make).await;
}
