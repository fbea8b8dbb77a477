//! Trades per second into 1m, 5m, 1h and 1d at once: from parsed trades, in order and slightly
//! disordered, and from the text of a CSV.

mod allocator;

use std::hint::black_box;
use std::time::Duration;

use candlewick::cli::aggregate;
use candlewick::market::{Aggregator, Grid, Timeframe, Trade, TradeId};
use chrono::DateTime;
use clap::Parser;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rust_decimal::Decimal;

const TRADES: u64 = 500_000;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: aggregate::Args,
}

/// A random walk like a busy market's: ten trades a second, often several in one instant.
fn market() -> Vec<Trade> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let (mut time_us, mut price) = (1_763_640_000_000_000_i64, 10_000_000_i64);
    (0..TRADES)
        .map(|index| {
            time_us += if random(3) == 0 { 0 } else { random(300_000) as i64 };
            price += random(201) as i64 - 100;
            let id = TradeId::Number(7_000_000_000 + index);
            Trade {
                last_id: id.clone(),
                id,
                time: DateTime::from_timestamp_micros(time_us).expect("a time of today"),
                price: Decimal::new(price, 2),
                amount: Decimal::new(random(100_000_000) as i64 + 1, 8),
                side: None,
            }
        })
        .collect()
}

fn aggregator() -> Aggregator {
    let grids = [Timeframe::M1, Timeframe::M5, Timeframe::H1, Timeframe::D1].map(Grid::utc);
    Aggregator::new(&grids, Duration::from_secs(5))
}

fn run(aggregator: &mut Aggregator, trades: &[Trade]) {
    let mut emit = |timeframe, candle| {
        black_box((timeframe, candle));
    };
    for trade in trades {
        aggregator.push(trade, &mut emit).expect("the amounts are small");
    }
    aggregator.flush(&mut emit).expect("the amounts are small");
}

fn benches(criterion: &mut Criterion) {
    let trades = market();
    let mut disordered = trades.clone();
    for index in (0..disordered.len() - 4).step_by(10) {
        disordered.swap(index, index + 3);
    }
    let mut csv = String::from("time,price,amount,id,side\n");
    for trade in &trades {
        let time = trade.time.timestamp_millis();
        csv.push_str(&format!("{time},{},{},{},buy\n", trade.price, trade.amount, trade.id));
    }

    let mut group = criterion.benchmark_group("aggregate");
    group.throughput(Throughput::Elements(TRADES));
    for (name, trades) in [("in order", &trades), ("disordered", &disordered)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(aggregator, |aggregator| run(aggregator, trades), BatchSize::LargeInput);
        });
    }
    let command = Command::parse_from(["aggregate", "-t", "1m,5m,1h,1d", "--lateness", "5s"]);
    group.bench_function("csv text", |bencher| {
        bencher.iter(|| {
            aggregate::stream(&command.args, &mut csv.as_bytes(), &mut std::io::sink()).expect("well-formed CSV")
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
