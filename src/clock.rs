//! Time as an argument: one clock is handed down, and nothing else asks what time it is.
//!
//! All three kinds run on tokio's monotonic clock, so a step of the wall clock moves nothing, and
//! a test that pauses tokio's clock has virtual time everywhere.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

/// A source of UTC instants that can also be waited on. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct Clock(Arc<Kind>);

enum Kind {
    /// `epoch` was the time at `start`; every second of monotonic time is `factor` seconds.
    Running {
        epoch: DateTime<Utc>,
        start: Instant,
        factor: f64,
    },
    Manual(watch::Sender<DateTime<Utc>>),
}

impl Clock {
    /// The machine's wall clock read once, then advanced by the monotonic clock.
    pub fn system() -> Clock {
        Clock::scaled(Utc::now(), 1.0)
    }

    /// A clock that shows `epoch` now and runs `factor` times as fast as real time.
    pub fn scaled(epoch: DateTime<Utc>, factor: f64) -> Clock {
        let factor = if factor.is_finite() && factor > 0.0 { factor } else { 1.0 };
        Clock(Arc::new(Kind::Running { epoch, start: Instant::now(), factor }))
    }

    /// A clock that stands still until it is moved with [`Clock::set`] or [`Clock::advance`].
    pub fn manual(now: DateTime<Utc>) -> Clock {
        Clock(Arc::new(Kind::Manual(watch::Sender::new(now))))
    }

    /// The current time.
    pub fn now(&self) -> DateTime<Utc> {
        match &*self.0 {
            Kind::Running { epoch, start, factor } => {
                let elapsed = start.elapsed().as_micros() as f64 * factor;
                *epoch + TimeDelta::microseconds(elapsed as i64)
            }
            Kind::Manual(now) => *now.borrow(),
        }
    }

    /// How many seconds of this clock pass in one second of real time; 0 for a manual clock.
    pub fn factor(&self) -> f64 {
        match &*self.0 {
            Kind::Running { factor, .. } => *factor,
            Kind::Manual(_) => 0.0,
        }
    }

    /// Real time that a duration of this clock takes; zero for a manual clock.
    pub fn to_wall(&self, duration: Duration) -> Duration {
        match &*self.0 {
            Kind::Running { factor, .. } => duration.div_f64(*factor),
            Kind::Manual(_) => Duration::ZERO,
        }
    }

    /// Waits until the clock shows `deadline` or later.
    pub async fn sleep_until(&self, deadline: DateTime<Utc>) {
        match &*self.0 {
            Kind::Running { epoch, start, factor } => {
                let micros = (deadline - *epoch).num_microseconds().unwrap_or(i64::MAX).max(0) as f64 / factor;
                // tokio rounds up to the next millisecond; the loop covers the rounding of `now` itself.
                tokio::time::sleep_until(*start + Duration::from_micros(micros.ceil().min(1e15) as u64)).await;
                while self.now() < deadline {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Kind::Manual(now) => {
                let mut changes = now.subscribe();
                // The sender lives in `self`, so waiting cannot fail while we borrow it.
                let _ = changes.wait_for(|now| *now >= deadline).await;
            }
        }
    }

    /// Waits for a duration of this clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Moves a manual clock to `now`, waking whoever waits for it. Other kinds ignore it.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Kind::Manual(sender) = &*self.0 {
            sender.send_replace(now);
        }
    }

    /// Moves a manual clock forward. Other kinds ignore it.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({} x{})", self.now(), self.factor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> DateTime<Utc> {
        "2026-11-20T14:00:00Z".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_passes_a_minute_in_a_second() {
        let clock = Clock::scaled(epoch(), 60.0);
        let start = Instant::now();
        clock.sleep_until(epoch() + TimeDelta::minutes(1)).await;
        assert!(clock.now() >= epoch() + TimeDelta::minutes(1));
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_millis(1010), "{waited:?}");
        assert_eq!(clock.to_wall(Duration::from_secs(120)), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_is_moved_by_time_that_passes_and_by_nothing_else() {
        let clock = Clock::system();
        let then = clock.now();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        // The machine's own clock has hardly moved meanwhile, so it is not what is shown.
        assert_eq!((clock.now() - then).num_seconds(), 3600);
    }

    #[tokio::test(start_paused = true)]
    async fn a_manual_clock_wakes_sleepers_only_when_moved_far_enough() {
        let clock = Clock::manual(epoch());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(10)).await }
        });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        clock.advance(Duration::from_secs(9));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.now(), epoch() + TimeDelta::seconds(10));
    }
}
