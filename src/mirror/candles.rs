//! Final candles for programs beside the collector:
//!
//! * stream `candlewick:candles`: every inserted or corrected final candle, once, in the order of
//!   its series' numbers, which the store gave it in the candle's transaction. Within a series each
//!   entry's `sequence` is one more than the last one's, so a reader proves that it missed nothing.
//! * list `ohlcv:{exchange}:{symbol}:{timeframe}`: the newest bars, newest last, each
//!   `[ms, open, high, low, close, volume]`.
//! * where asked for, channel `candlewick:forming:{exchange}:{symbol}:{timeframe}`: the open bar.
//!
//! The hash `candlewick:candles:published` holds the last number of each series and changes in one
//! transaction with the stream: whichever side dies, and whenever, the next entry is the next
//! number. What it says is asked anew before every write, so a Redis that lost its data gets
//! everything again from the first number on, and no two writers number twice.
//!
//! A value that was corrected before it was published is not there any more: its number is
//! published as `superseded`, and the correction follows under its own. A bar that was inferred, and
//! that the venue turned out not to have, is told as `withdrawn`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use redis::{Pipeline, pipe};
use tracing::warn;

use super::Options;
use super::link::{Link, Redis};
use super::publishing::Trouble;
use crate::market::{Candle, Span, Symbol, Timeframe};
use crate::store::{CandleQuery, NumberedCandle, SeriesId, Store};

/// Numbers published in one transaction, at most; one series adds up to [`ROWS_AT_ONCE`].
const NUMBERS_AT_ONCE: usize = 1000;
/// Rows read of one series at once.
const ROWS_AT_ONCE: u32 = 500;
/// Series looked at in one transaction.
const SERIES_AT_ONCE: usize = 100;

/// What a write did to a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesNews {
    /// The series.
    pub series: SeriesId,
    /// Its last number.
    pub last_sequence: i64,
    /// The state of its open bar, where the write had one.
    pub forming: Option<Candle>,
}

/// See the module.
pub struct Publisher {
    link: Link,
    store: Arc<dyn Store>,
    options: Options,
    series: BTreeMap<SeriesId, Head>,
    is_listed: bool,
}

/// A series, and what Redis has of it.
struct Head {
    exchange: String,
    symbol: Symbol,
    timeframe: Timeframe,
    last: i64,
    /// The last number in Redis; `None` when that has to be asked.
    published: Option<i64>,
    /// The number in Redis belongs to this database.
    is_ours: bool,
    /// Open time of the oldest bar of a full list; `None` when the list has to be written.
    listed_from: Option<DateTime<Utc>>,
    forming: Option<Candle>,
}

impl Head {
    fn name(&self) -> String {
        format!("{}:{}:{}", self.exchange, self.symbol, self.timeframe)
    }

    fn is_behind(&self) -> bool {
        self.published.is_none_or(|published| published < self.last)
    }
}

/// What is to be published of one series.
struct Batch {
    series: SeriesId,
    published: i64,
    listed_from: Option<DateTime<Utc>>,
}

impl Publisher {
    /// A publisher that knows nothing yet.
    pub fn new(redis: &Arc<Redis>, store: Arc<dyn Store>, options: Options) -> Publisher {
        Publisher { link: redis.link(), store, options, series: BTreeMap::new(), is_listed: false }
    }

    /// Has the store asked for all series in the next round.
    pub fn look_again(&mut self) {
        self.is_listed = false;
    }

    /// Publishes everything that is stored and not published yet, as far as Redis and the store
    /// can be reached; what is left is the next round's.
    pub async fn round(&mut self, news: impl IntoIterator<Item = SeriesNews>) {
        if let Err(error) = self.try_round(news).await {
            error.tell("candles");
            for head in self.series.values_mut() {
                (head.published, head.listed_from) = (None, None);
            }
        }
    }

    async fn try_round(&mut self, news: impl IntoIterator<Item = SeriesNews>) -> Result<(), Trouble> {
        let mut unknown = false;
        for news in news {
            let Some(head) = self.series.get_mut(&news.series) else {
                unknown = true;
                continue;
            };
            head.last = head.last.max(news.last_sequence);
            if self.options.forming && news.forming.is_some() {
                head.forming = news.forming;
            }
        }
        if unknown || !self.is_listed {
            self.list().await?;
        }
        loop {
            let behind: Vec<SeriesId> =
                self.series.iter().filter(|(_, head)| head.is_behind()).map(|(id, _)| *id).collect();
            if behind.is_empty() {
                break;
            }
            for series in behind.chunks(SERIES_AT_ONCE) {
                self.publish(series).await?;
            }
        }
        self.publish_forming().await
    }

    async fn list(&mut self) -> Result<(), Trouble> {
        for symbol in self.store.symbols().await? {
            for row in self.store.series_of(symbol.id).await? {
                let head = self.series.entry(row.id).or_insert_with(|| Head {
                    exchange: symbol.exchange.clone(),
                    symbol: symbol.symbol.clone(),
                    timeframe: row.timeframe,
                    last: 0,
                    published: None,
                    is_ours: false,
                    listed_from: None,
                    forming: None,
                });
                head.last = head.last.max(row.last_sequence);
            }
        }
        self.is_listed = true;
        Ok(())
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.options.prefix)
    }

    /// Publishes the next numbers of some series in one transaction.
    async fn publish(&mut self, series: &[SeriesId]) -> Result<(), Trouble> {
        let marks_key = self.key("candlewick:candles:published");
        let names: Vec<String> = series.iter().map(|id| self.series[id].name()).collect();
        let mut asking = pipe();
        // Should anybody else write the marks meanwhile, the transaction does not happen.
        asking.cmd("WATCH").arg(&marks_key).ignore().cmd("HMGET").arg(&marks_key).arg(&names);
        let (marks,): (Vec<Option<String>>,) = self.link.run(&asking).await?;
        let mut writing = pipe();
        writing.atomic();
        let mut batches = Vec::new();
        let mut numbers = 0;
        for (id, mark) in series.iter().zip(marks) {
            let (published, is_ours) = self.published(*id, mark).await?;
            let Some(head) = self.series.get_mut(id) else { continue };
            if published >= head.last {
                (head.published, head.is_ours) = (Some(published), is_ours);
                continue;
            }
            if !is_ours {
                let series = head.name();
                warn!(series, "redis has candles of another database under this name; all are published anew");
            }
            numbers += self.add(*id, published, &marks_key, &mut writing, &mut batches).await?;
            if numbers >= NUMBERS_AT_ONCE {
                break;
            }
        }
        if batches.is_empty() {
            return Ok(self.link.run(pipe().cmd("UNWATCH").ignore()).await?);
        }
        let done: Option<()> = self.link.run(&writing).await?;
        for batch in batches {
            let Some(head) = self.series.get_mut(&batch.series) else { continue };
            // Where somebody else wrote, it is asked again.
            head.published = done.map(|()| batch.published);
            if done.is_some() {
                (head.is_ours, head.listed_from) = (true, batch.listed_from);
            }
        }
        Ok(())
    }

    /// The last number in Redis that is one of this database, and whether what Redis has is: the
    /// row it names is looked up once in a life.
    async fn published(&self, id: SeriesId, mark: Option<String>) -> Result<(i64, bool), Trouble> {
        let head = &self.series[&id];
        let Some((number, row)) = mark.as_deref().and_then(read_mark) else { return Ok((0, true)) };
        if head.is_ours {
            return Ok((number, true));
        }
        let stored = self.store.candles_after(id, number - 1, 1).await?;
        let is_ours = number <= head.last
            && match stored.first().filter(|first| first.sequence == number) {
                Some(first) => row_of(first) == row,
                // Corrected since: nothing speaks against it.
                None => true,
            };
        Ok(if is_ours { (number, true) } else { (0, false) })
    }

    /// Adds what follows after `published` to a transaction; returns how many numbers.
    async fn add(
        &self,
        id: SeriesId,
        published: i64,
        marks_key: &str,
        writing: &mut Pipeline,
        batches: &mut Vec<Batch>,
    ) -> Result<usize, Trouble> {
        let head = &self.series[&id];
        let rows = self.store.candles_after(id, published, ROWS_AT_ONCE).await?;
        let is_all = rows.len() < ROWS_AT_ONCE as usize;
        let newest = rows.last().map_or(published, |row| row.sequence);
        // Numbers up to `last` were given before the rows were read.
        let upto = if is_all { newest.max(head.last) } else { newest };
        let mut by_number: HashMap<i64, &NumberedCandle> = rows.iter().map(|row| (row.sequence, row)).collect();
        for number in published + 1..=upto {
            let row = by_number.remove(&number);
            self.options.append(writing, "candlewick:candles", fields(head, number, row));
        }
        let mark = rows.last().filter(|row| row.sequence == upto).map(row_of).unwrap_or_default();
        writing.hset(marks_key, head.name(), format!("{upto}{mark}")).ignore();
        let is_listed = |row: &NumberedCandle| head.listed_from.is_none_or(|from| row.stored.candle.open_time >= from);
        let mut listed_from = head.listed_from;
        if self.options.cache_bars > 0 && rows.iter().any(is_listed) {
            listed_from = self.rewrite_list(id, head, writing).await?;
        }
        batches.push(Batch { series: id, published: upto, listed_from });
        Ok(usize::try_from(upto - published).unwrap_or(usize::MAX))
    }

    /// Adds the newest bars as they are stored; returns the open time of the oldest when there are
    /// as many as wanted.
    async fn rewrite_list(
        &self,
        id: SeriesId,
        head: &Head,
        writing: &mut Pipeline,
    ) -> Result<Option<DateTime<Utc>>, Trouble> {
        let limit = self.options.cache_bars;
        let span = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let stored = self.store.candles(id, CandleQuery { span, limit: Some(limit), newest_first: true }).await?;
        let key = self.key(&format!("ohlcv:{}", head.name()));
        let bars: Vec<String> = stored.iter().map(|row| bar(&row.candle)).collect();
        writing.del(&key).ignore();
        if !bars.is_empty() {
            writing.rpush(&key, bars).ignore();
        }
        Ok(stored.first().filter(|_| stored.len() >= limit as usize).map(|row| row.candle.open_time))
    }

    async fn publish_forming(&mut self) -> Result<(), Trouble> {
        let mut telling = pipe();
        for head in self.series.values_mut() {
            if let Some(forming) = head.forming.take() {
                let channel = format!("{}candlewick:forming:{}", self.options.prefix, head.name());
                telling.publish(channel, bar(&forming)).ignore();
            }
        }
        if telling.is_empty() { Ok(()) } else { Ok(self.link.run(&telling).await?) }
    }
}

/// `[ms, open, high, low, close, volume]`.
fn bar(candle: &Candle) -> String {
    let ms = candle.open_time.timestamp_millis();
    serde_json::json!([ms, candle.open, candle.high, candle.low, candle.close, candle.volume]).to_string()
}

fn fields(head: &Head, number: i64, row: Option<&NumberedCandle>) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("exchange", head.exchange.clone()),
        ("symbol", head.symbol.to_string()),
        ("timeframe", head.timeframe.to_string()),
        ("sequence", number.to_string()),
    ];
    let Some(row) = row else {
        fields.push(("kind", "superseded".to_owned()));
        return fields;
    };
    let stored = &row.stored;
    let candle = &stored.candle;
    if row.is_withdrawn {
        let time = candle.open_time.timestamp_millis().to_string();
        fields.extend([("kind", "withdrawn".to_owned()), ("time", time)]);
        return fields;
    }
    let kind = if stored.revision > 0 { "correction" } else { "candle" };
    fields.extend([
        ("kind", kind.to_owned()),
        ("time", candle.open_time.timestamp_millis().to_string()),
        ("open", candle.open.to_string()),
        ("high", candle.high.to_string()),
        ("low", candle.low.to_string()),
        ("close", candle.close.to_string()),
        ("volume", candle.volume.to_string()),
        ("source", stored.source.to_string()),
    ]);
    fields
}

/// Which row of which database a number belongs to, as far as a mark tells: ` open_time@first_written_at`.
fn row_of(row: &NumberedCandle) -> String {
    let (open, written) = (row.stored.candle.open_time, row.stored.first_written_at);
    format!(" {}@{}", open.timestamp_millis(), written.timestamp_micros())
}

/// The number of a mark and the row it names.
fn read_mark(mark: &str) -> Option<(i64, String)> {
    let digits = mark.find(' ').unwrap_or(mark.len());
    Some((mark[..digits].parse().ok()?, mark[digits..].to_owned()))
}
