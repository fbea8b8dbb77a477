//! The file: who may read it, what it refuses, and that what comes out is what went in.

use std::os::unix::fs::PermissionsExt;

use candlewick::market::{Side, Span, Timeframe, Trade, TradeId};
use candlewick::store::spool::{Entry, Owner, Spool, SpoolError};
use candlewick::store::{Coverage, LedgerChange, SeriesChange, SeriesId, SymbolId, TradesChange};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::{LIMIT, minute, priced, spool};

const URL: &str = "postgres://me@db.example.org:5433/candles";
const NAME: &str = "candlewick-db.example.org-5433-candles.spool";

fn owner(symbol: i64) -> Owner {
    Owner {
        symbol: SymbolId(symbol),
        exchange: "kraken".to_owned(),
        name: "BTC/USD".parse().unwrap(),
        series: vec![(SeriesId(symbol), Timeframe::M1)],
    }
}

/// Everything that can be stated, in numbers that need every bit.
fn everything(series: i64) -> (SeriesChange, TradesChange) {
    let span = Span::new(minute(0), minute(3));
    let mut candle = priced(0, 0.1 + 0.2, 1);
    candle.candle.volume = f64::MIN_POSITIVE;
    candle.candle.quote_volume = Some(1.0 / 3.0);
    candle.candle.vwap = Some(f64::MAX);
    let missing = Coverage::Missing {
        reason: "late_bar".to_owned(),
        attempts: 3,
        next_attempt_at: Some(minute(9) + chrono::TimeDelta::microseconds(1)),
    };
    let change = SeriesChange {
        candles: vec![candle],
        ledger: vec![
            LedgerChange::Set(span, Coverage::Complete { verified: false }),
            LedgerChange::Set(span, missing.clone()),
            LedgerChange::Set(span, Coverage::Unavailable { reason: "too_old: rest".to_owned() }),
            LedgerChange::Unverify(span),
            LedgerChange::Withdraw(span, missing),
        ],
        extent: Some((span, "not_fetched")),
        ..SeriesChange::new(SeriesId(series))
    };
    let trade = |id: TradeId| Trade {
        last_id: id.clone(),
        id,
        time: minute(1) + chrono::TimeDelta::microseconds(971_744),
        price: "105433.600000000000000001".parse().unwrap(),
        amount: "0.00027625".parse().unwrap(),
        side: Some(Side::Sell),
    };
    let mut trades = TradesChange::new(SymbolId(series));
    trades.trades = vec![trade(TradeId::Number(u64::MAX)), trade(TradeId::Text("18".into()))];
    trades.complete_ids = vec![(1, u64::MAX)];
    trades.complete_spans = vec![span];
    trades.unavailable = vec![(span, "not_served: trades".to_owned())];
    trades.withdrawn = vec![span];
    (change, trades)
}

async fn refusal(folder: &TempDir) -> SpoolError {
    let error = spool(folder.path(), URL).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    error
}

#[tokio::test]
async fn what_comes_out_is_what_went_in_to_the_last_bit_and_in_order_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spooled = spool(folder.path(), URL).await.unwrap();
    let written: Vec<_> = (1..=3).map(everything).collect();
    for (n, (change, trades)) in (1..).zip(&written) {
        let entry = Entry { owner: &owner(n), series: std::slice::from_ref(change), trades: Some(trades), modes: &[] };
        assert_eq!(spooled.append(&[entry]).await.unwrap(), n);
    }
    let before = spooled.backlog().depth();
    assert_eq!((before.jobs, before.rows, before.limit_bytes), (3, 3 * (1 + 5 + 2), LIMIT));
    drop(spooled);
    let spooled = spool(folder.path(), URL).await.unwrap();
    assert_eq!(spooled.backlog().depth(), before);
    let waiting = spooled.oldest(10).await.unwrap();
    let read: Vec<_> = waiting.into_iter().map(|job| (job.ticket, job.symbol, job.series, job.trades)).collect();
    let expected =
        (1..).zip(&written).map(|(n, (change, trades))| (n, SymbolId(n), vec![change.clone()], Some(trades.clone())));
    assert_eq!(read, expected.collect::<Vec<_>>());

    spooled.remove(2).await.unwrap();
    let depth = spooled.backlog().depth();
    assert_eq!((depth.jobs, depth.rows, depth.bytes, depth.replayed), (1, 8, before.bytes / 3, 2));
    spooled.remove(3).await.unwrap();
    assert!(spooled.backlog().is_empty());
    drop(spooled);
    let spooled = spool(folder.path(), URL).await.unwrap();
    let (change, _) = everything(1);
    let entry = Entry { owner: &owner(1), series: &[change], trades: None, modes: &[] };
    assert_eq!(spooled.append(&[entry]).await.unwrap(), 4, "a ticket is never given out twice");
}

#[tokio::test]
async fn what_is_one_transaction_names_no_series_twice() {
    let folder = tempfile::tempdir().unwrap();
    let spooled = spool(folder.path(), URL).await.unwrap();
    for series in [1, 2, 1, 3] {
        let (change, _) = everything(series);
        let entry = Entry { owner: &owner(series), series: &[change], trades: None, modes: &[] };
        spooled.append(&[entry]).await.unwrap();
    }
    let tickets = async |limit| spooled.oldest(limit).await.unwrap().iter().map(|job| job.ticket).collect::<Vec<_>>();
    assert_eq!(tickets(10).await, [1, 2]);
    assert_eq!(tickets(1).await, [1]);
    spooled.remove(2).await.unwrap();
    assert_eq!(tickets(10).await, [3, 4]);
}

#[tokio::test]
async fn only_its_owner_may_read_the_file_and_each_database_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let first = spool(folder.path(), URL).await.unwrap();
    assert_eq!(first.path(), folder.path().join(NAME));
    let other = spool(folder.path(), "postgres://me@db.example.org/other").await.unwrap();
    assert_eq!(other.path(), folder.path().join("candlewick-db.example.org-other.spool"));
    let (change, _) = everything(1);
    first.append(&[Entry { owner: &owner(1), series: &[change], trades: None, modes: &[] }]).await.unwrap();
    let mut seen = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        seen += 1;
    }
    assert!(seen >= 2, "{seen} files");
}

#[tokio::test]
async fn a_file_in_use_is_not_touched_and_is_free_when_its_user_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = spool(folder.path(), URL).await.unwrap();
    let error = refusal(&folder).await;
    assert!(matches!(error, SpoolError::InUse { .. }), "{error:?}");
    let path = folder.path().join(NAME);
    assert_eq!(
        error.to_string(),
        format!(
            "the spool {} is in use by another collector; stop it first, or set another [spool] folder",
            path.display()
        )
    );
    drop(first);
    spool(folder.path(), URL).await.unwrap();
}

#[tokio::test]
async fn files_of_others_are_refused_in_words_that_help_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let advice = "; nothing was changed: move it away, or set another [spool] folder in the configuration";

    let text = "a letter to somebody, long enough to be a page or so\n".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let words = refusal(&folder).await.to_string();
    let name = path.display();
    assert_eq!(words, format!("{name} is no spool of this program (file is not a database){advice}"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    std::fs::remove_file(&path).unwrap();
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("CREATE TABLE letters (text TEXT)").unwrap();
    drop(other);
    let words = refusal(&folder).await.to_string();
    assert_eq!(
        words,
        format!("{name} is no spool of this program (it is a SQLite database of something else){advice}")
    );

    std::fs::remove_file(&path).unwrap();
    drop(spool(folder.path(), URL).await.unwrap());
    let mut newer = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    newer.batch_execute("PRAGMA user_version = 2").unwrap();
    drop(newer);
    let words = refusal(&folder).await.to_string();
    assert_eq!(words, format!("{name} is no spool of this program (it has version 2, this program knows 1){advice}"));
}

#[tokio::test]
async fn a_damaged_file_is_named_and_nothing_of_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let spooled = spool(folder.path(), URL).await.unwrap();
    for _ in 0..200 {
        let (change, trades) = everything(1);
        let entry = Entry { owner: &owner(1), series: &[change], trades: Some(&trades), modes: &[] };
        spooled.append(&[entry]).await.unwrap();
    }
    drop(spooled);
    let whole = std::fs::read(&path).unwrap();
    let advice = |words: &str| {
        assert!(words.starts_with(&format!("the spool {} is damaged (", path.display())), "{words}");
        assert!(
            words.ends_with("or move it away and start again (what exchanges still serve is fetched again)"),
            "{words}"
        );
    };
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xaa);
    std::fs::write(&path, &damaged).unwrap();
    advice(&refusal(&folder).await.to_string());
    assert_eq!(std::fs::read(&path).unwrap(), damaged);

    // SQLite finds its pages in order; what stands in a row makes no sense.
    std::fs::write(&path, &whole).unwrap();
    let mut hand = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    hand.batch_execute("UPDATE jobs SET payload = substr(payload, 1, 100) WHERE id = 150").unwrap();
    drop(hand);
    advice(&refusal(&folder).await.to_string());
}

#[tokio::test]
async fn a_full_spool_takes_nothing_more_until_something_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let spooled = Spool::open(folder.path(), URL, 1_000).await.unwrap();
    let (change, _) = everything(1);
    let entry = Entry { owner: &owner(1), series: &[change], trades: None, modes: &[] };
    let mut last = 0;
    let error = loop {
        match spooled.append(&[entry]).await {
            Ok(ticket) => last = ticket,
            Err(error) => break error,
        }
    };
    let depth = spooled.backlog().depth();
    assert!(matches!(error, SpoolError::Full { bytes, limit_bytes: 1_000 } if bytes == depth.bytes), "{error:?}");
    assert!(error.is_transient());
    assert_eq!((depth.jobs as i64, depth.last), (last, last));
    assert!(depth.bytes >= 1_000 && depth.bytes < 1_000 + depth.bytes / depth.jobs, "{depth:?}");
    spooled.remove(1).await.unwrap();
    assert_eq!(spooled.append(&[entry]).await.unwrap(), last + 1);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = spool(&folder.path().join("nowhere"), URL).await.unwrap_err();
    let words = error.to_string();
    assert!(words.contains("nowhere") && words.contains("check the folder, its permissions"), "{words}");
}
