-- What consumers are told besides candles, in one order: an event is recorded in the transaction of
-- the change it tells of, so that neither side's death loses or repeats one.
CREATE TABLE events (
    -- One more than that of the event before it, whichever series that was of; never given twice.
    number    BIGINT PRIMARY KEY,
    time      TIMESTAMPTZ NOT NULL,
    symbol_id BIGINT NOT NULL REFERENCES symbols (id),
    -- NULL where it is of the symbol as a whole.
    timeframe TEXT,
    kind      TEXT   NOT NULL,
    -- JSON: what it is about.
    body      TEXT   NOT NULL
);

CREATE INDEX events_by_time ON events (time);

-- One row: the number of the newest event, also when that is not kept any more. Whoever records one
-- holds it to the end of the transaction, so that numbers are in the order of the commits.
CREATE TABLE event_head (
    id          BIGINT PRIMARY KEY CHECK (id = 1),
    last_number BIGINT NOT NULL
);
INSERT INTO event_head (id, last_number) VALUES (1, 0);

-- Stretches of a series that were told as gaps and not as healed or unavailable since; half-open.
CREATE TABLE open_gaps (
    series_id BIGINT NOT NULL REFERENCES series (id),
    from_time TIMESTAMPTZ NOT NULL,
    to_time   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (series_id, from_time),
    CHECK (from_time < to_time)
);

-- The mode that was told last, written by the collector.
ALTER TABLE symbols ADD COLUMN told_mode TEXT;

-- What lies before was pruned and is not wanted, whatever `symbols.backfill_from` says. The ledger
-- begins here, and nothing before it is written.
ALTER TABLE series ADD COLUMN kept_from TIMESTAMPTZ;

-- The same of the symbol's trades.
ALTER TABLE symbols ADD COLUMN trades_kept_from TIMESTAMPTZ;

-- A running collector removes what lies before, and asks for it no more.
CREATE TRIGGER series_kept_from AFTER UPDATE OF kept_from ON series
FOR EACH ROW WHEN (OLD.kept_from IS DISTINCT FROM NEW.kept_from) EXECUTE FUNCTION settings_changed();

CREATE TRIGGER symbols_trades_kept_from AFTER UPDATE OF trades_kept_from ON symbols
FOR EACH ROW WHEN (OLD.trades_kept_from IS DISTINCT FROM NEW.trades_kept_from) EXECUTE FUNCTION settings_changed();
