//! A process monitor that knows nothing of candlewick but the layout it mirrors to Redis:
//! `process:active:ohlcv`, `process:components` and `process:data:{process_id}`.
//!
//! ```text
//! candlewick demo --redis redis://127.0.0.1:6379
//! cargo run --example monitor -- redis://127.0.0.1:6379
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use redis::{AsyncCommands, RedisResult};
use serde::Deserialize;

/// A value of `process:data:{process_id}`.
#[derive(Deserialize)]
struct Process {
    component: String,
    params: Params,
    status: String,
    message: String,
    created_at: String,
    heartbeat: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "type")]
    kind: Option<String>,
    interval: Option<String>,
}

/// What a monitor shows: active processes, the status of the components, the health of the whole.
pub async fn report(url: &str) -> RedisResult<String> {
    let mut redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let active: BTreeMap<String, String> = redis.hgetall("process:active:ohlcv").await?;
    let components: BTreeMap<String, String> = redis.hgetall("process:components").await?;
    let mut out = String::new();
    if active.is_empty() {
        return Ok("no process is active\n".to_owned());
    }
    let _ = writeln!(out, "active processes: {}", active.len());
    for (id, seen) in &active {
        let _ = writeln!(out, "  {id:<40} last seen {seen}");
    }
    let _ = writeln!(out, "\ncomponents");
    let (mut healthy, mut total) = (0, 0);
    for id in components.values().filter(|id| active.contains_key(*id)) {
        total += 1;
        let data: Option<String> = redis.get(format!("process:data:{id}")).await?;
        // A record that has expired belongs to a process that is gone.
        let Some(process) = data.and_then(|data| serde_json::from_str::<Process>(&data).ok()) else { continue };
        if ["running", "processing", "idle"].contains(&process.status.as_str()) {
            healthy += 1;
        }
        let (kind, interval) = (process.params.kind.unwrap_or_default(), process.params.interval.unwrap_or_default());
        let _ = writeln!(
            out,
            "  {:<22} {:<10} {kind:<18} {interval:<10} since {}  heartbeat {}  {}",
            process.component, process.status, process.created_at, process.heartbeat, process.message
        );
    }
    let health = if healthy == total { "ok" } else { "degraded" };
    let _ = writeln!(out, "\nsystem health: {health}, {healthy} of {total} components running, processing or idle");
    Ok(out)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> RedisResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    print!("{}", report(&url).await?);
    Ok(())
}
