//! Tests in real time.

use std::time::Duration;

/// The longest a test in real time may take. What waits for something gives up far earlier, and says
/// for what; this ends a wait that nobody thought of.
const LONGEST: Duration = Duration::from_secs(600);

/// Runs a test in real time, all actors on its thread.
pub fn in_real_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(LONGEST, test).await.expect("the test ends") };
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
