//! The network transport against real local servers, good ones and broken ones.

mod http;
mod servers;
mod tls_and_proxy;
mod websocket;
