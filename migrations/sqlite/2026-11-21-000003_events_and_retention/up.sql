-- What consumers are told besides candles, in one order: an event is recorded in the transaction of
-- the change it tells of, so that neither side's death loses or repeats one.
CREATE TABLE events (
    -- One more than that of the event before it, whichever series that was of; never given twice.
    number    INTEGER PRIMARY KEY NOT NULL,
    time      INTEGER NOT NULL,
    symbol_id INTEGER NOT NULL REFERENCES symbols (id),
    -- NULL where it is of the symbol as a whole.
    timeframe TEXT,
    kind      TEXT    NOT NULL,
    -- JSON: what it is about.
    body      TEXT    NOT NULL CHECK (json_valid(body))
);

CREATE INDEX events_by_time ON events (time);

-- One row: the number of the newest event, also when that is not kept any more.
CREATE TABLE event_head (
    id          INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    last_number INTEGER NOT NULL
);
INSERT INTO event_head (id, last_number) VALUES (1, 0);

-- Stretches of a series that were told as gaps and not as healed or unavailable since; half-open.
CREATE TABLE open_gaps (
    series_id INTEGER NOT NULL REFERENCES series (id),
    from_time INTEGER NOT NULL,
    to_time   INTEGER NOT NULL,
    PRIMARY KEY (series_id, from_time),
    CHECK (from_time < to_time)
) WITHOUT ROWID;

-- The mode that was told last, written by the collector.
ALTER TABLE symbols ADD COLUMN told_mode TEXT;

-- What lies before was pruned and is not wanted, whatever `symbols.backfill_from` says. The ledger
-- begins here, and nothing before it is written.
ALTER TABLE series ADD COLUMN kept_from INTEGER;

-- The same of the symbol's trades.
ALTER TABLE symbols ADD COLUMN trades_kept_from INTEGER;

-- A running collector removes what lies before, and asks for it no more.
CREATE TRIGGER series_kept_from AFTER UPDATE OF kept_from ON series
WHEN OLD.kept_from IS NOT NEW.kept_from
BEGIN
    UPDATE settings SET version = version + 1;
END;

CREATE TRIGGER symbols_trades_kept_from AFTER UPDATE OF trades_kept_from ON symbols
WHEN OLD.trades_kept_from IS NOT NEW.trades_kept_from
BEGIN
    UPDATE settings SET version = version + 1;
END;
