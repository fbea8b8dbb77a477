//! A crash at one point after another of the same quarter of an hour: first history, live closes,
//! derived and built bars, trades. No chance in it but how long things take.

use candlewick::store::Store;
use chrono::TimeDelta;

use super::check::{self, Checked};
use super::crash::Crash;
use super::life::{Life, World};
use super::plan::Plan;
use super::{get, in_virtual_time, rows, setting, trades};

const SEED: u64 = 3;
/// Until the crash at the latest, and after it.
const LENGTH: TimeDelta = TimeDelta::minutes(4);
const AFTER: TimeDelta = TimeDelta::minutes(8);

/// Lives until it crashes at a point, then once more, undisturbed. Gives how many points the first
/// life passed, and what is wrong in the end.
async fn crashed_at(number: i64) -> (i64, Vec<String>) {
    let mut plan = Plan::calm(SEED, LENGTH);
    let (mut world, _folder) = World::of(&mut plan).await;
    let crash = Crash::at_point(None, number, &world.course);
    let first = Life { crash: crash.clone(), ..Life::undisturbed(plan.end, &world.course) };
    world.live(first).await;
    let mut checked = Checked::default();
    check::structure(&*world.store, &mut checked).await;
    let end = plan.end + AFTER;
    world.live(Life::undisturbed(end, &world.course)).await;
    let ask = |path: &str| get(&world.simulator, path);
    let store: &dyn Store = &*world.store;
    check::structure(store, &mut checked).await;
    check::values(store, &ask, end, &mut checked).await;
    trades::check(store, &ask, end, &mut checked.violations).await;
    checked.violations.extend(world.course.violations());
    assert!(rows(store).await.len() > 300, "hardly anything was collected");
    (number - crash.left(), checked.violations)
}

#[test]
fn a_crash_at_any_point_costs_nothing() {
    let (points, violations) = in_virtual_time(crashed_at(i64::MAX));
    assert_eq!(violations, Vec::<String>::new(), "without any crash");
    assert!(points > 400, "only {points} points");
    let tried = (setting("CANDLEWICK_POINTS", 12) as i64).min(points);
    // Another set of points for another first seed.
    let offset = setting("CANDLEWICK_FIRST_SEED", 0) as i64;
    let mut violations = Vec::new();
    for index in 0..tried {
        let number = (index * points / tried + offset) % points;
        let (passed, found) = in_virtual_time(crashed_at(number));
        assert_eq!(passed, number + 1, "point {number} of {points} was not reached");
        violations.extend(found.into_iter().map(|violation| format!("point {number}: {violation}")));
    }
    println!("a crash at each of {tried} of {points} points: {} violations", violations.len());
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}
