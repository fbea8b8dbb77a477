//! TLS to Redis: by an authority of one's own, and not without it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use redis::Commands;

use crate::server::RedisServer;
use crate::stage::{Stage, until};
use crate::support::real_time::in_real_time;

#[test]
fn a_server_with_tls_is_used_where_its_authority_is_known_and_not_where_it_is_not() {
    in_real_time(async {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().to_string();
        let files = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem"];
        let mut server =
            RedisServer::stopped(&[&["--tls-port", &port, "--tls-auth-clients", "no"], &files[..]].concat());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(server.folder().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(server.folder().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        server.restart();
        let mut redis = server.client();
        let mut stage = Stage::new(&format!("rediss://localhost:{port}"));
        stage.start().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(redis.keys::<_, Vec<String>>("*").unwrap(), Vec::<String>::new());
        stage.stop().await;
        stage.config.redis.ca_file = Some(server.folder().join("cert.pem"));
        stage.start().await;
        until("its status", || {
            redis.hexists::<_, _, bool>("process:components", "ohlcv_daemon").unwrap().then_some(())
        })
        .await;
        stage.stop().await;
    });
}
