DROP TRIGGER symbols_trades_kept_from ON symbols;
DROP TRIGGER series_kept_from ON series;
ALTER TABLE symbols DROP COLUMN trades_kept_from;
ALTER TABLE series DROP COLUMN kept_from;
ALTER TABLE symbols DROP COLUMN told_mode;
DROP TABLE open_gaps;
DROP TABLE event_head;
DROP TABLE events;
