//! The PostgreSQL store: the common suite, and what only a server can show.

#[path = "../support/postgres.rs"]
mod postgres;

use candlewick::store::{self, Access, conformance};

use postgres::Server;

#[tokio::test]
async fn a_server_keeps_every_promise() {
    conformance::run_all(async || store::open(&Server::shared().database(), Access::Create).await.unwrap()).await;
}
