//! The way to Redis: connected when it is needed, left alone while it is down.
//!
//! A call never waits for a Redis that is away: it fails at once until the next try is due, and
//! tries lie further and further apart. Whoever calls need not speak of it: the outage is logged
//! once when it begins and once when it ends, however many links there are.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, TlsCertificates};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Options;

/// Longest time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for an answer, where the call itself does not wait.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// First and longest time between tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often the same refusal is logged.
const REPEAT: Duration = Duration::from_secs(60);

/// Why something was not mirrored.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The address cannot be used.
    #[error("bad redis address: {0}; write redis://HOST:PORT/DATABASE, or rediss:// for TLS")]
    Address(String),
    /// The file with certificates.
    #[error("cannot read redis.ca_file {path}: {message}")]
    CaFile {
        /// Its path.
        path: String,
        /// The cause.
        message: String,
    },
    /// It cannot be reached now.
    #[error("redis is away")]
    Away,
    /// It is there and refuses.
    #[error("redis refuses: {0}")]
    Refused(String),
}

/// A Redis server as the collector sees it; shared by its links.
pub struct Redis {
    client: Client,
    /// Without credentials.
    address: String,
    outage: Mutex<Outage>,
}

#[derive(Default)]
struct Outage {
    failures: u32,
    next_try: Option<Instant>,
    is_told: bool,
    told_refusal: Option<(String, Instant)>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redis({})", self.address)
    }
}

impl Redis {
    /// The server of the options; `None` where they name none. Connects to nothing yet.
    ///
    /// # Errors
    /// [`RedisError::Address`] and [`RedisError::CaFile`].
    pub fn open(options: &Options) -> Result<Option<Arc<Redis>>, RedisError> {
        let Some(url) = &options.url else { return Ok(None) };
        // The text may hold a password, and the parser's own words may repeat it.
        let bad = |_| RedisError::Address("it cannot be read".to_owned());
        let info = url.as_str().into_connection_info().map_err(bad)?;
        let address = info.addr().to_string();
        let client = match &options.ca_file {
            Some(path) => {
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(read(path)?) })
            }
            None => Client::open(info),
        };
        let client = client.map_err(|error| RedisError::Address(error.to_string()))?;
        Ok(Some(Arc::new(Redis { client, address, outage: Mutex::default() })))
    }

    /// A connection of its own, made when it is first used.
    pub fn link(self: &Arc<Redis>) -> Link {
        Link { redis: self.clone(), connection: tokio::sync::Mutex::new(None) }
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn works(&self) {
        let mut outage = self.outage();
        if outage.is_told {
            info!(redis = self.address, "redis is back");
        }
        (outage.failures, outage.next_try, outage.is_told) = (0, None, false);
    }

    /// A connection that breaks is no outage before it cannot be made again.
    fn fails(&self, error: &redis::RedisError, is_connect: bool) {
        let mut outage = self.outage();
        outage.failures += 1;
        if !is_connect && outage.failures < 2 {
            return;
        }
        let wait = RETRY.0.saturating_mul(1 << outage.failures.min(10)).min(RETRY.1);
        outage.next_try = Some(Instant::now() + wait);
        if !outage.is_told {
            outage.is_told = true;
            warn!(%error, redis = self.address, "redis cannot be reached; collecting goes on, the mirror waits for it");
        }
    }

    fn refuses(&self, error: &redis::RedisError) {
        let (mut outage, words) = (self.outage(), error.to_string());
        let is_news = outage.told_refusal.as_ref().is_none_or(|(told, at)| *told != words || at.elapsed() > REPEAT);
        if is_news {
            warn!(error = words, redis = self.address, "redis refuses what is mirrored to it");
            outage.told_refusal = Some((words, Instant::now()));
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RedisError> {
    std::fs::read(path)
        .map_err(|error| RedisError::CaFile { path: path.display().to_string(), message: error.to_string() })
}

/// One connection, made again after it broke.
#[derive(Debug)]
pub struct Link {
    redis: Arc<Redis>,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    /// Sends commands together and reads their answers.
    ///
    /// # Errors
    /// [`RedisError::Away`]: whether they were carried out is not known.
    /// [`RedisError::Refused`]: one of them was refused.
    pub async fn run<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisError> {
        self.run_within(RESPONSE_TIMEOUT, pipeline).await
    }

    /// [`Link::run`] for commands that wait themselves.
    ///
    /// # Errors
    /// Those of [`Link::run`].
    pub async fn run_within<T: FromRedisValue>(&self, timeout: Duration, pipeline: &Pipeline) -> Result<T, RedisError> {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.set_response_timeout(timeout);
        match pipeline.query_async(&mut connection).await {
            Ok(answer) => {
                *slot = Some(connection);
                self.redis.works();
                Ok(answer)
            }
            Err(error) if is_away(&error) => {
                self.redis.fails(&error, false);
                Err(RedisError::Away)
            }
            Err(error) => {
                *slot = Some(connection);
                self.redis.refuses(&error);
                Err(RedisError::Refused(error.to_string()))
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        if self.redis.outage().next_try.is_some_and(|at| Instant::now() < at) {
            return Err(RedisError::Away);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.redis.client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| {
            self.redis.fails(&error, true);
            RedisError::Away
        })
    }
}

/// True where the connection is of no use any more.
fn is_away(error: &redis::RedisError) -> bool {
    error.is_unrecoverable_error() || matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
}
