DROP VIEW ohlcv_data;
DROP TABLE process_status;
DROP TABLE commands;
DROP TABLE tickers;
DROP TABLE trade_coverage;
DROP TABLE coverage;
DROP TABLE trades;
DROP TABLE forming_candles;
DROP TABLE candle_revisions;
DROP TABLE candles;
DROP TABLE series;
-- The triggers go with their tables.
DROP TABLE symbols;
DROP TABLE exchanges;
DROP TABLE collector_lock;
DROP FUNCTION settings_changed();
DROP FUNCTION keep_owner();
DROP TABLE settings;
