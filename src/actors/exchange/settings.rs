//! What is wanted of an exchange has changed: symbols begin, end and begin anew, and streams come and go.

use actix::prelude::*;

use super::{ExchangeActor, by_name};
use crate::actors::messages::{Configure, KeepFrom, Stop, away};
use crate::exchange::InstrumentSource;
use crate::market::Symbol;
use crate::store::{ExchangeMode, SymbolRow, SymbolState};

impl ExchangeActor {
    fn configure(&mut self, configure: Configure, ctx: &mut Context<Self>) {
        let mode_changed = configure.exchange.mode != self.setup.row.mode;
        self.setup.row = configure.exchange;
        let mut next = by_name(configure.symbols);
        let gone: Vec<Symbol> = self.wanted.keys().filter(|symbol| !next.contains_key(*symbol)).cloned().collect();
        for symbol in gone {
            self.stop_symbol(&symbol);
            self.wanted.remove(&symbol);
            self.lines.polled.forget(&symbol);
            if self.symbols.remove(&symbol).is_none() {
                self.forget(&symbol);
            }
        }
        let mut fresh = Vec::new();
        while let Some((symbol, row)) = next.pop_first() {
            let known = self.wanted.insert(symbol.clone(), row.clone());
            match known {
                Some(known) if wants_the_same(&known, &row) => {
                    if let Some(addr) = self.symbols.addr(&symbol)
                        && begins_later(&known, &row)
                    {
                        addr.do_send(KeepFrom(row));
                    }
                }
                Some(_) => {
                    // A living child ends and its next life has the new settings; others start now.
                    self.stop_symbol(&symbol);
                    if self.symbols.addr(&symbol).is_none() {
                        self.symbols.remove(&symbol);
                        fresh.push(symbol);
                    }
                }
                None => fresh.push(symbol),
            }
        }
        for symbol in &fresh {
            self.start_symbol(symbol, ctx);
        }
        if fresh.iter().any(|symbol| !self.instruments.contains_key(symbol)) {
            match self.setup.venue.capabilities().instruments {
                InstrumentSource::PerSymbol => self.describe_rest(ctx),
                InstrumentSource::List => self.start_probe(ctx),
            }
        }
        if mode_changed {
            self.mode_changed(ctx);
        }
        self.trim_readings();
        self.report();
    }

    fn mode_changed(&mut self, ctx: &mut Context<Self>) {
        if self.setup.row.mode == ExchangeMode::Poll {
            let symbols: Vec<Symbol> = self.wanted.keys().cloned().collect();
            symbols.iter().for_each(|symbol| self.detach(symbol, away::CONFIGURED));
            self.streams.living().for_each(|(_, stream)| stream.do_send(Stop));
        } else if self.streams_work {
            self.attach_all(ctx);
        } else {
            self.start_probe(ctx);
        }
    }
}

/// True when a change of the row does not concern its actor, or only in that less of the past is kept.
fn wants_the_same(known: &SymbolRow, row: &SymbolRow) -> bool {
    let pausing = |state: &SymbolState| *state == SymbolState::Paused;
    let parts = || row.parts().into_iter();
    known.timeframes == row.timeframes
        && parts().all(|part| known.begin(part) <= row.begin(part))
        && known.backfill_from <= row.backfill_from
        && known.collect_candles == row.collect_candles
        && known.collect_trades == row.collect_trades
        && known.candle_source == row.candle_source
        && known.only_ticker == row.only_ticker
        && pausing(&known.state) == pausing(&row.state)
}

/// True when some of what is kept of a symbol begins later than it did.
fn begins_later(known: &SymbolRow, row: &SymbolRow) -> bool {
    known.backfill_from < row.backfill_from || row.parts().into_iter().any(|part| known.begin(part) < row.begin(part))
}

impl Handler<Configure> for ExchangeActor {
    type Result = ();

    fn handle(&mut self, message: Configure, ctx: &mut Context<Self>) {
        if !self.is_stopping {
            self.configure(message, ctx);
        }
    }
}
