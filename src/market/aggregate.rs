//! Trades to candles.
