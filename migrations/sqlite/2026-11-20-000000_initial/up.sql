-- The whole schema.
--
-- ONE RULE OF TIME: every column that holds an instant is an INTEGER, microseconds since
-- 1970-01-01T00:00:00Z. Nothing is local time, nothing is text, nothing is in seconds. People who
-- prefer text read the view `ohlcv_data`.
--
-- Words kept as TEXT (modes, states) are checked, so that a typing mistake made by hand is refused
-- where it is made. Prices of candles are doubles, as the venues' own decimals of up to 15 digits
-- survive them; trades are exact decimals kept as text.

-- A venue. What to collect is data in here and in `symbols`; a running collector notices changes,
-- whoever made them, by `settings.version`.
CREATE TABLE exchanges (
    id            INTEGER PRIMARY KEY NOT NULL,
    -- Lower-case id: kraken, binance.
    name          TEXT    NOT NULL UNIQUE CHECK (name = lower(name) AND length(name) BETWEEN 1 AND 64),
    -- 0 stops all its work.
    enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    -- auto: stream where it streams. poll: REST only. stream: polling is reported as degraded.
    mode          TEXT    NOT NULL DEFAULT 'auto' CHECK (mode IN ('auto', 'poll')),
    -- Instead of the venue's own, for a proxy or a simulator.
    rest_url      TEXT,
    stream_url    TEXT,
    -- Written by the collector: until when the venue has locked us out. Survives restarts, so that
    -- none of them forgets a ban.
    blocked_until INTEGER
);

-- A market somebody wants kept.
CREATE TABLE symbols (
    id              INTEGER PRIMARY KEY NOT NULL,
    exchange_id     INTEGER NOT NULL REFERENCES exchanges (id),
    -- Unified name: BTC/USD, BTC/USDT:USDT, AAPL.
    symbol          TEXT    NOT NULL CHECK (length(symbol) BETWEEN 1 AND 64),
    -- Wanted timeframes, separated by commas: 1m,1h,1d. Empty when only trades or the ticker are wanted.
    timeframes      TEXT    NOT NULL DEFAULT '1m',
    -- Everything from here on is wanted.
    backfill_from   INTEGER NOT NULL,
    collect_candles INTEGER NOT NULL DEFAULT 1 CHECK (collect_candles IN (0, 1)),
    collect_trades  INTEGER NOT NULL DEFAULT 0 CHECK (collect_trades IN (0, 1)),
    -- venue: the venue's own candles. trades: built from its trades.
    candle_source   TEXT    NOT NULL DEFAULT 'venue' CHECK (candle_source IN ('venue', 'trades')),
    only_ticker     INTEGER NOT NULL DEFAULT 0 CHECK (only_ticker IN (0, 1)),
    -- active and paused are the user's; rejected is the collector's: the venue says that it does
    -- not exist. A paused symbol is still wanted, no work is done for it.
    state           TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'rejected')),
    -- The venue's words, when rejected.
    state_reason    TEXT,
    -- Written by the collector, JSON: where the market's buckets lie, as the venue's instrument said.
    anchors         TEXT    CHECK (anchors IS NULL OR json_valid(anchors)),
    -- Set: not wanted any more. The row stays because its candles and ledger do.
    removed_at      INTEGER,
    UNIQUE (exchange_id, symbol)
);

-- One row: a number that changes whenever somebody changes what is to be collected. The triggers
-- below keep it, so that a plain SQL statement counts as much as a command. What the collector
-- itself writes (blocked_until, anchors, the state 'rejected') does not count.
CREATE TABLE settings (
    id      INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    version INTEGER NOT NULL
);
INSERT INTO settings (id, version) VALUES (1, 1);

CREATE TRIGGER exchanges_inserted AFTER INSERT ON exchanges
BEGIN
    UPDATE settings SET version = version + 1;
END;

CREATE TRIGGER exchanges_deleted AFTER DELETE ON exchanges
BEGIN
    UPDATE settings SET version = version + 1;
END;

CREATE TRIGGER exchanges_updated AFTER UPDATE OF id, name, enabled, mode, rest_url, stream_url ON exchanges
WHEN (OLD.id, OLD.name, OLD.enabled, OLD.mode, OLD.rest_url, OLD.stream_url)
     IS NOT (NEW.id, NEW.name, NEW.enabled, NEW.mode, NEW.rest_url, NEW.stream_url)
BEGIN
    UPDATE settings SET version = version + 1;
END;

CREATE TRIGGER symbols_inserted AFTER INSERT ON symbols
BEGIN
    UPDATE settings SET version = version + 1;
END;

CREATE TRIGGER symbols_deleted AFTER DELETE ON symbols
BEGIN
    UPDATE settings SET version = version + 1;
END;

CREATE TRIGGER symbols_updated
AFTER UPDATE OF id, exchange_id, symbol, timeframes, backfill_from, collect_candles, collect_trades, candle_source,
                only_ticker, state, removed_at ON symbols
WHEN (OLD.id, OLD.exchange_id, OLD.symbol, OLD.timeframes, OLD.backfill_from, OLD.collect_candles,
      OLD.collect_trades, OLD.candle_source, OLD.only_ticker, OLD.removed_at IS NULL)
     IS NOT (NEW.id, NEW.exchange_id, NEW.symbol, NEW.timeframes, NEW.backfill_from, NEW.collect_candles,
      NEW.collect_trades, NEW.candle_source, NEW.only_ticker, NEW.removed_at IS NULL)
     OR (OLD.state <> NEW.state AND NEW.state <> 'rejected')
BEGIN
    UPDATE settings SET version = version + 1;
END;

-- A symbol in one timeframe: the unit that is wanted, covered, repaired and queried. Candles keep
-- its small number instead of three texts.
CREATE TABLE series (
    id             INTEGER PRIMARY KEY NOT NULL,
    symbol_id      INTEGER NOT NULL REFERENCES symbols (id),
    timeframe      TEXT    NOT NULL,
    -- Right edge of what a collector has looked at; `coverage` tiles everything wanted before it.
    observed_until INTEGER,
    -- Number of inserted and revised final candles so far: see `candles.sequence`.
    last_sequence  INTEGER NOT NULL DEFAULT 0 CHECK (last_sequence >= 0),
    UNIQUE (symbol_id, timeframe)
);

-- Final candles. The order of the key is the order of every read, so there is no rowid beside it.
CREATE TABLE candles (
    series_id        INTEGER NOT NULL REFERENCES series (id),
    -- Start of the bucket, inclusive.
    open_time        INTEGER NOT NULL,
    open             REAL    NOT NULL,
    high             REAL    NOT NULL,
    low              REAL    NOT NULL,
    close            REAL    NOT NULL,
    -- Base currency.
    volume           REAL    NOT NULL CHECK (volume >= 0),
    -- As the venue printed them, else NULL.
    quote_volume     REAL,
    trades           INTEGER CHECK (trades >= 0),
    vwap             REAL,
    -- 1 synthesised, 2 derived, 3 trades, 4 stream, 5 stream_closed, 6 rest: weakest first. A row is
    -- replaced by an equal or stronger one only.
    source           INTEGER NOT NULL CHECK (source BETWEEN 1 AND 6),
    -- What settled it: 1 flag, 2 stream, 3 rest, 4 trades, 5 derived, 6 quiet, 7 imported.
    rule             INTEGER NOT NULL CHECK (rule BETWEEN 1 AND 7),
    -- Bit 0: open or close lies outside low..high, as the venue printed it.
    flags            INTEGER NOT NULL DEFAULT 0,
    -- How often the final value changed; the old ones are in `candle_revisions`.
    revision         INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0),
    -- The series' number of the change that brought this value: consumers that remember the last
    -- one they saw can ask for what came after and prove that they missed nothing.
    sequence         INTEGER NOT NULL,
    -- When the value was observed (REST: when the request was sent).
    observed_at      INTEGER NOT NULL,
    first_written_at INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    PRIMARY KEY (series_id, open_time)
) WITHOUT ROWID;

CREATE INDEX candles_by_sequence ON candles (series_id, sequence);

-- What a candle was before a revision, with the provenance it had.
CREATE TABLE candle_revisions (
    series_id        INTEGER NOT NULL REFERENCES series (id),
    open_time        INTEGER NOT NULL,
    -- Of the old value: 0 is the first one stored.
    revision         INTEGER NOT NULL CHECK (revision >= 0),
    open             REAL    NOT NULL,
    high             REAL    NOT NULL,
    low              REAL    NOT NULL,
    close            REAL    NOT NULL,
    volume           REAL    NOT NULL,
    quote_volume     REAL,
    trades           INTEGER,
    vwap             REAL,
    source           INTEGER NOT NULL,
    rule             INTEGER NOT NULL,
    flags            INTEGER NOT NULL,
    -- Of the change that replaced the value: the order of revisions within a series.
    sequence         INTEGER NOT NULL,
    observed_at      INTEGER NOT NULL,
    first_written_at INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    replaced_at      INTEGER NOT NULL,
    PRIMARY KEY (series_id, open_time, revision)
) WITHOUT ROWID;

-- The open bucket of a series as last seen: one row, replaced in place, never history.
CREATE TABLE forming_candles (
    series_id    INTEGER PRIMARY KEY NOT NULL REFERENCES series (id),
    open_time    INTEGER NOT NULL,
    open         REAL    NOT NULL,
    high         REAL    NOT NULL,
    low          REAL    NOT NULL,
    close        REAL    NOT NULL,
    volume       REAL    NOT NULL,
    quote_volume REAL,
    trades       INTEGER,
    vwap         REAL,
    updated_at   INTEGER NOT NULL
);

-- Trades of a symbol, once each. `price` and `amount` are exact decimals as printed.
CREATE TABLE trades (
    symbol_id     INTEGER NOT NULL REFERENCES symbols (id),
    -- The venue's number; where its ids are not numbers, a stable 63-bit hash of `venue_id`.
    trade_id      INTEGER NOT NULL CHECK (trade_id >= 0),
    -- The venue's id where it is not a number, else empty. Part of the key: two ids that share
    -- their hash are still two trades.
    venue_id      TEXT    NOT NULL DEFAULT '',
    -- Equal to trade_id, but for an aggregated trade, which stands for trade_id..=last_trade_id.
    last_trade_id INTEGER NOT NULL,
    time          INTEGER NOT NULL,
    price         TEXT    NOT NULL,
    amount        TEXT    NOT NULL,
    -- The taker's; NULL where the venue does not tell.
    side          TEXT    CHECK (side IN ('buy', 'sell')),
    PRIMARY KEY (symbol_id, trade_id, venue_id),
    CHECK (last_trade_id >= trade_id)
) WITHOUT ROWID;

CREATE INDEX trades_by_time ON trades (symbol_id, time, trade_id);

-- The ledger: what is proven of each stretch [from_time, to_time) of a series' time line. Intervals
-- of a series never overlap; equal neighbours are merged, so a healthy series has one or two rows
-- that grow. Written in the same transaction as the candles that prove it, and only by one writer.
CREATE TABLE coverage (
    series_id       INTEGER NOT NULL REFERENCES series (id),
    from_time       INTEGER NOT NULL,
    to_time         INTEGER NOT NULL,
    -- complete: every bucket has its final row or is proven empty.
    -- missing: a known gap. unavailable: the venue does not have it.
    state           TEXT    NOT NULL CHECK (state IN ('complete', 'missing', 'unavailable')),
    -- REST has confirmed it (complete stretches only).
    verified        INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    -- Why it is missing or unavailable.
    reason          TEXT,
    -- Reads of a missing stretch that brought nothing so far, and when to ask again.
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at INTEGER,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (series_id, from_time),
    CHECK (from_time < to_time),
    CHECK (verified = 0 OR state = 'complete'),
    CHECK ((state = 'complete') = (reason IS NULL)),
    CHECK (state = 'missing' OR (attempts = 0 AND next_attempt_at IS NULL))
) WITHOUT ROWID;

-- The ledger of trades, half-open as well: by id where the venue's ids are dense (`to_key` is the
-- first id not covered), else by time.
CREATE TABLE trade_coverage (
    symbol_id       INTEGER NOT NULL REFERENCES symbols (id),
    kind            TEXT    NOT NULL CHECK (kind IN ('id', 'time')),
    from_key        INTEGER NOT NULL,
    to_key          INTEGER NOT NULL,
    -- As in `coverage`.
    state           TEXT    NOT NULL DEFAULT 'complete' CHECK (state IN ('complete', 'missing', 'unavailable')),
    reason          TEXT,
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at INTEGER,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, kind, from_key),
    CHECK (from_key < to_key),
    CHECK ((state = 'complete') = (reason IS NULL)),
    CHECK (state = 'missing' OR (attempts = 0 AND next_attempt_at IS NULL))
) WITHOUT ROWID;

-- The newest ticker of a symbol: one row, replaced in place.
CREATE TABLE tickers (
    symbol_id   INTEGER PRIMARY KEY NOT NULL REFERENCES symbols (id),
    -- The venue's time where it prints one, else ours.
    time        INTEGER NOT NULL,
    last        REAL,
    bid         REAL,
    ask         REAL,
    -- Over the venue's last 24 hours, base and quote currency.
    volume      REAL,
    quote_volume REAL,
    updated_at  INTEGER NOT NULL
);

-- What was asked of the collector, by whom, and what became of it. A known id is not done twice.
CREATE TABLE commands (
    id       TEXT PRIMARY KEY NOT NULL,
    kind     TEXT NOT NULL,
    -- The whole command.
    body     TEXT NOT NULL CHECK (json_valid(body)),
    asked_by TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    -- done, or refused: why.
    outcome  TEXT NOT NULL
);

CREATE INDEX commands_by_time ON commands (asked_at);

-- What operators see of each component of the collector, replaced in place.
CREATE TABLE process_status (
    -- exchange:symbol, exchange, or ohlcv_daemon.
    component        TEXT PRIMARY KEY NOT NULL,
    exchange         TEXT,
    symbol           TEXT,
    status           TEXT    NOT NULL,
    mode             TEXT,
    phase            TEXT    NOT NULL,
    message          TEXT    NOT NULL,
    last_candle      INTEGER,
    lag_ms           INTEGER,
    restarts         INTEGER NOT NULL DEFAULT 0,
    coverage_percent REAL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    heartbeat        INTEGER NOT NULL
) WITHOUT ROWID;

-- For readers who do not care where a bar came from. Timestamps are ISO 8601 text; open times are
-- whole seconds, so nothing is lost.
CREATE VIEW ohlcv_data AS
SELECT exchanges.name                                                                 AS exchange,
       symbols.symbol                                                                 AS symbol,
       series.timeframe                                                               AS timeframe,
       strftime('%Y-%m-%dT%H:%M:%SZ', candles.open_time / 1000000, 'unixepoch')       AS timestamp,
       candles.open                                                                   AS open,
       candles.high                                                                   AS high,
       candles.low                                                                    AS low,
       candles.close                                                                  AS close,
       candles.volume                                                                 AS volume
FROM candles
JOIN series ON series.id = candles.series_id
JOIN symbols ON symbols.id = series.symbol_id
JOIN exchanges ON exchanges.id = symbols.exchange_id;
