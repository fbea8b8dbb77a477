use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

fn at(milliseconds: i64) -> DateTime<Utc> {
    "2026-11-20T14:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::milliseconds(milliseconds)
}

fn limit(capacity: u32, window_ms: u64) -> RateLimit {
    RateLimit { name: "requests", capacity, window: Duration::from_millis(window_ms) }
}

fn cost(units: u32) -> Cost {
    Cost { limit: 0, units }
}

fn wait(ms: i64) -> Admission {
    Admission::WaitUntil(at(ms))
}

#[test]
fn one_call_a_second_leaves_a_quarter_more_apart() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    assert_eq!(budget.request(cost(1), Priority::Backfill, at(0)), Admission::Go);
    assert_eq!(budget.request(cost(1), Priority::Live, at(1)), wait(1250));
    assert_eq!(budget.request(cost(1), Priority::Live, at(1249)), wait(1250));
    assert_eq!(budget.request(cost(1), Priority::Verification, at(1250)), Admission::Go);
}

#[test]
fn lower_priorities_leave_their_part_of_the_window_free() {
    let mut budget = Budget::new(&[limit(10, 60_000)], at(0));
    let mut admitted = |priority: Priority, ms: i64| {
        (0..20).take_while(|_| budget.request(cost(1), priority, at(ms)) == Admission::Go).count()
    };
    let counts = [
        admitted(Priority::Verification, 0),
        admitted(Priority::Backfill, 1),
        admitted(Priority::Repair, 2),
        admitted(Priority::Live, 3),
    ];
    assert_eq!(counts, [5, 3, 1, 1]);
    assert_eq!(budget.used(0, at(3)), 10);
    // Live needs one unit back; verification needs the total down to five, so all five of the
    // first burst must go and one more.
    assert_eq!(budget.request(cost(1), Priority::Live, at(4)), wait(61_000));
    assert_eq!(budget.request(cost(1), Priority::Verification, at(4)), wait(61_001));
    assert_eq!(budget.used(0, at(61_001)), 2);
}

#[test]
fn a_cost_above_the_capacity_waits_for_an_empty_window() {
    let mut budget = Budget::new(&[limit(10, 60_000)], at(0));
    assert_eq!(budget.request(cost(1), Priority::Live, at(0)), Admission::Go);
    assert_eq!(budget.request(cost(25), Priority::Live, at(1)), wait(61_000));
    assert_eq!(budget.request(cost(25), Priority::Live, at(61_000)), Admission::Go);
}

#[test]
fn an_undeclared_limit_counts_nothing() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    let stray = Cost { limit: 7, units: 1000 };
    assert_eq!(budget.request(stray, Priority::Live, at(0)), Admission::Go);
    budget.observe_used(7, 5, at(0));
    assert_eq!(budget.used(7, at(0)), 0);
}

#[test]
fn limits_are_counted_apart() {
    let mut budget = Budget::new(&[limit(1, 1000), limit(2, 2000)], at(0));
    let second = Cost { limit: 1, units: 2 };
    assert_eq!(budget.request(cost(1), Priority::Live, at(0)), Admission::Go);
    assert_eq!(budget.request(second, Priority::Live, at(0)), Admission::Go);
    assert_eq!(budget.request(cost(1), Priority::Live, at(0)), wait(1250));
    assert_eq!(budget.request(second, Priority::Live, at(0)), wait(2500));
}

#[test]
fn what_others_spent_is_charged_once() {
    let mut budget = Budget::new(&[limit(100, 60_000)], at(0));
    assert_eq!(budget.request(cost(10), Priority::Live, at(0)), Admission::Go);
    budget.observe_used(0, 40, at(100));
    assert_eq!(budget.used(0, at(100)), 40);
    budget.observe_used(0, 40, at(200));
    budget.observe_used(0, 3, at(300));
    assert_eq!(budget.used(0, at(300)), 40);
    assert_eq!(budget.request(cost(61), Priority::Live, at(400)), wait(61_000));
    assert_eq!(budget.used(0, at(61_000)), 30);
}

#[test]
fn refusals_without_a_wait_double_from_five_seconds_to_five_minutes() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let until = budget.refused(Refusal::Limited, None, now);
        waits.push((until - now).num_seconds());
        now = until;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    budget.succeeded(now);
    assert_eq!(budget.refused(Refusal::Limited, None, now), now + TimeDelta::seconds(5));
}

#[test]
fn bans_wait_minutes() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    assert_eq!(budget.refused(Refusal::Banned, None, at(0)), at(300_000));
    assert_eq!(budget.request(cost(1), Priority::Live, at(299_999)), wait(300_000));
    assert_eq!(budget.refused(Refusal::Banned, None, at(300_000)), at(900_000));
}

#[test]
fn the_venues_own_wait_is_obeyed_and_stretched_only_when_it_proved_short() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    let told = Some(Duration::from_secs(1));
    assert_eq!(budget.refused(Refusal::Limited, told, at(0)), at(1_000));
    assert_eq!(budget.refused(Refusal::Limited, told, at(1_000)), at(6_000));
    assert_eq!(budget.refused(Refusal::Limited, told, at(6_000)), at(16_000));
    let long = Some(Duration::from_secs(120));
    assert_eq!(budget.refused(Refusal::Banned, long, at(20_000)), at(1_220_000));
}

#[test]
fn refusals_of_calls_under_way_are_one_strike() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    assert_eq!(budget.refused(Refusal::Limited, None, at(0)), at(5_000));
    assert_eq!(budget.refused(Refusal::Limited, None, at(100)), at(5_100));
    budget.succeeded(at(200));
    assert_eq!(budget.blocked_until(), Some(at(5_100)));
    assert_eq!(budget.refused(Refusal::Limited, None, at(5_100)), at(15_100));
}

#[test]
fn a_wait_of_nonsense_is_cut_to_a_week() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(0));
    assert_eq!(budget.refused(Refusal::Banned, Some(Duration::MAX), at(0)), at(7 * 86_400_000));
}

#[test]
fn a_stored_block_holds_until_its_end() {
    let mut budget = Budget::new(&[limit(10, 1000)], at(0));
    budget.block_until(at(5_000));
    budget.block_until(at(3_000));
    assert_eq!(budget.blocked_until(), Some(at(5_000)));
    assert_eq!(budget.request(cost(1), Priority::Live, at(4_999)), wait(5_000));
    assert_eq!(budget.request(cost(1), Priority::Live, at(5_000)), Admission::Go);
    assert_eq!(budget.blocked_until(), None);
    budget.block_until(at(4_000));
    assert_eq!(budget.blocked_until(), None);
}

#[test]
fn a_clock_that_steps_back_frees_nothing() {
    let mut budget = Budget::new(&[limit(1, 1000)], at(10_000));
    assert_eq!(budget.request(cost(1), Priority::Live, at(0)), Admission::Go);
    assert_eq!(budget.request(cost(1), Priority::Live, at(9_000)), wait(11_250));
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(Priority::ALL.to_vec())
}

proptest! {
    #[test]
    fn no_window_the_server_may_count_holds_more_than_the_capacity(
        capacity in 1u32..30,
        window_ms in prop::sample::select(vec![400u64, 1000, 10_000]),
        steps in prop::collection::vec((0i64..300, 1u32..8, priority(), 0.0f64..1.0), 1..400),
    ) {
        let limit = limit(capacity, window_ms);
        let mut budget = Budget::new(&[limit], at(0));
        let transit_ms = transit_allowance(&limit).as_millis() as f64;
        let mut now = 0;
        let mut arrivals = Vec::new();
        for (pause, units, priority, delay) in steps {
            now += pause;
            let units = units.min(capacity);
            if budget.request(cost(units), priority, at(now)) == Admission::Go {
                // Floored, so strictly less than the allowance.
                arrivals.push((now + (delay * transit_ms) as i64, units));
            }
        }
        prop_assert!(!arrivals.is_empty());
        for (start, _) in &arrivals {
            let window = *start..*start + window_ms as i64;
            let units: u32 = arrivals.iter().filter(|(at, _)| window.contains(at)).map(|(_, units)| units).sum();
            prop_assert!(units <= capacity, "{units} of {capacity} units within {window:?}");
        }
    }

    #[test]
    fn live_calls_within_the_reserve_never_wait_for_lower_priorities(
        steps in prop::collection::vec((0i64..200, any::<bool>(), priority(), 1u32..4), 1..400),
    ) {
        // A tenth of the window is out of reach of everything but live.
        let mut budget = Budget::new(&[limit(100, 1000)], at(0));
        let mut reserve = Budget::new(&[limit(10, 1000)], at(0));
        let mut now = 0;
        for (pause, is_live, lower, units) in steps {
            now += pause;
            if is_live {
                if reserve.request(cost(units), Priority::Live, at(now)) == Admission::Go {
                    prop_assert_eq!(budget.request(cost(units), Priority::Live, at(now)), Admission::Go);
                }
            } else if lower != Priority::Live {
                while budget.request(cost(units), lower, at(now)) == Admission::Go {}
            }
        }
    }

    #[test]
    fn a_wait_is_never_longer_than_a_window_and_ends_exactly_when_told(
        capacity in 1u32..20,
        steps in prop::collection::vec((0i64..300, 1u32..8, priority()), 1..200),
    ) {
        let limit = limit(capacity, 1000);
        let mut budget = Budget::new(&[limit], at(0));
        let mut now = 0;
        for (pause, units, priority) in steps {
            now += pause;
            if let Admission::WaitUntil(until) = budget.request(cost(units), priority, at(now)) {
                prop_assert!(until > at(now) && until <= at(now + 1250), "{until}");
                let early = until - TimeDelta::milliseconds(1);
                prop_assert_eq!(budget.clone().request(cost(units), priority, early), Admission::WaitUntil(until));
                prop_assert_eq!(budget.clone().request(cost(units), priority, until), Admission::Go);
            }
        }
    }
}
