//! The wheel against a plain list of deadlines, and the edges a list does not have.

use proptest::prelude::*;
use sluicegate_groups::Time;

use super::wheel::TICK_NS;
use super::{TimerKey, Wheel};

fn millis(count: u64) -> Time {
    Time::from_nanos(count * TICK_NS)
}

/// Takes everything that is due at `now`.
fn drain<T>(wheel: &mut Wheel<T>, now: Time) -> Vec<T> {
    std::iter::from_fn(|| wheel.poll_expired(now)).collect()
}

/// Polls only when the wheel asks for it, until one value comes; returns the polls it took.
fn polls_until_fired<T>(wheel: &mut Wheel<T>) -> (u32, Time, T) {
    let mut polls = 0;
    loop {
        polls += 1;
        let at = wheel.next_deadline().expect("a timer is armed");
        if let Some(value) = wheel.poll_expired(at) {
            return (polls, at, value);
        }
        assert!(polls < 10, "the wheel keeps asking for polls that do nothing");
    }
}

#[test]
fn an_empty_wheel_asks_for_no_poll() {
    let mut wheel = Wheel::<()>::new(millis(7));
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(wheel.poll_expired(Time::from_nanos(u64::MAX)), None);
    assert_eq!(wheel.len(), 0);
}

#[test]
fn a_timer_fires_at_its_deadline_rounded_up_to_the_tick_and_not_before() {
    let mut wheel = Wheel::new(millis(0));
    wheel.arm(Time::from_nanos(5 * TICK_NS + 1), 'a');
    assert_eq!(wheel.next_deadline(), Some(millis(6)));
    assert_eq!(wheel.poll_expired(Time::from_nanos(6 * TICK_NS - 1)), None);
    assert_eq!(wheel.poll_expired(millis(6)), Some('a'));
    assert_eq!(wheel.poll_expired(millis(6)), None);
    assert_eq!(wheel.len(), 0);
}

#[test]
fn a_deadline_already_past_fires_at_the_next_poll() {
    let mut wheel = Wheel::new(millis(100));
    wheel.arm(millis(3), 'a');
    assert_eq!(wheel.next_deadline(), Some(millis(100)));
    assert_eq!(wheel.poll_expired(millis(100)), Some('a'));
}

#[test]
fn timers_of_one_tick_fire_in_the_order_they_were_armed() {
    let mut wheel = Wheel::new(millis(0));
    // The first two start on the second level, the third on the first.
    wheel.arm(millis(70), 'a');
    wheel.arm(millis(70), 'b');
    wheel.arm(millis(65), 'x');
    assert_eq!(drain(&mut wheel, millis(66)), ['x']);
    wheel.arm(millis(70), 'c');
    assert_eq!(drain(&mut wheel, millis(70)), ['a', 'b', 'c']);
}

#[test]
fn a_lone_timer_costs_one_poll_however_far_away() {
    for power in 0..40 {
        let mut wheel = Wheel::new(millis(63));
        let deadline = millis(63 + (1 << power));
        wheel.arm(deadline, power);
        assert_eq!(polls_until_fired(&mut wheel), (1, deadline, power));
    }
}

#[test]
fn a_cancelled_neighbour_costs_at_most_one_poll_a_level() {
    let mut wheel = Wheel::new(millis(0));
    wheel.arm(millis(4095), 'a');
    let neighbours: Vec<TimerKey> = (64..4095).map(|at| wheel.arm(millis(at), 'b')).collect();
    for key in neighbours {
        assert_eq!(wheel.cancel(key), Some('b'));
    }
    let (polls, at, value) = polls_until_fired(&mut wheel);
    assert!(polls <= 2, "{polls} polls for one timer on the second level");
    assert_eq!((at, value), (millis(4095), 'a'));
}

#[test]
fn a_stale_key_cancels_nothing() {
    let mut wheel = Wheel::new(millis(0));
    let fired = wheel.arm(millis(1), 'a');
    assert_eq!(wheel.poll_expired(millis(1)), Some('a'));
    assert_eq!(wheel.cancel(fired), None);

    let cancelled = wheel.arm(millis(2), 'b');
    assert_eq!(wheel.cancel(cancelled), Some('b'));
    let reused = wheel.arm(millis(3), 'c');
    assert_eq!(wheel.cancel(cancelled), None);
    assert_eq!(wheel.len(), 1);
    assert_eq!(wheel.cancel(reused), Some('c'));
}

#[test]
fn a_due_timer_can_be_cancelled_before_it_is_taken() {
    let mut wheel = Wheel::new(millis(0));
    wheel.arm(millis(1), 'a');
    let second = wheel.arm(millis(1), 'b');
    assert_eq!(wheel.poll_expired(millis(9)), Some('a'));
    assert_eq!(wheel.cancel(second), Some('b'));
    assert_eq!(wheel.poll_expired(millis(9)), None);
}

#[test]
fn the_last_deadline_of_all_is_kept_and_reached() {
    let mut wheel = Wheel::new(millis(0));
    wheel.arm(Time::from_nanos(u64::MAX), 'z');
    wheel.arm(millis(1), 'a');
    assert_eq!(drain(&mut wheel, millis(1_000_000)), ['a']);
    assert_eq!(wheel.len(), 1);
    let (polls, _, value) = polls_until_fired(&mut wheel);
    assert_eq!((polls, value), (1, 'z'));
}

#[test]
fn a_clock_reading_from_the_past_fires_nothing_twice_and_breaks_nothing() {
    let mut wheel = Wheel::new(millis(0));
    wheel.arm(millis(10), 'a');
    wheel.arm(millis(20), 'b');
    assert_eq!(drain(&mut wheel, millis(15)), ['a']);
    assert_eq!(drain(&mut wheel, millis(2)), []);
    assert_eq!(wheel.next_deadline(), Some(millis(20)));
    assert_eq!(drain(&mut wheel, millis(20)), ['b']);
}

/// One step of the comparison with the model; distances are in nanoseconds.
#[derive(Clone, Debug)]
enum Step {
    Arm {
        ahead_ns: u64,
    },
    ArmPast {
        ago_ns: u64,
    },
    /// Cancels the nth key ever given out, stale or not.
    Cancel {
        nth: usize,
    },
    Advance {
        by_ns: u64,
        budget: usize,
    },
    AdvanceToNext,
}

fn step() -> impl Strategy<Value = Step> {
    // A power for the size of a distance reaches every level of the wheel.
    let distance = (0_u32..60, any::<u64>()).prop_map(|(bits, random)| random % (1 << bits));
    let short = 0..200 * TICK_NS;
    let ahead = prop_oneof![distance.clone(), short.clone()];
    prop_oneof![
        4 => ahead.prop_map(|ahead_ns| Step::Arm { ahead_ns }),
        1 => short.clone().prop_map(|ago_ns| Step::ArmPast { ago_ns }),
        2 => (0_usize..200).prop_map(|nth| Step::Cancel { nth }),
        2 => (prop_oneof![short, distance], 0_usize..8)
            .prop_map(|(by_ns, budget)| Step::Advance { by_ns, budget }),
        2 => Just(Step::AdvanceToNext),
    ]
}

/// A plain list of timers: what the wheel must agree with.
struct Model {
    now: u64,
    armed: Vec<(u64, usize)>,
}

impl Model {
    fn tick(&self, id: usize) -> Option<u64> {
        self.armed.iter().find(|&&(_, armed)| armed == id).map(|&(tick, _)| tick)
    }

    fn remove(&mut self, id: usize) -> bool {
        let before = self.armed.len();
        self.armed.retain(|&(_, armed)| armed != id);
        before != self.armed.len()
    }

    fn earliest(&self) -> Option<u64> {
        self.armed.iter().map(|&(tick, _)| tick).min()
    }
}

/// Polls up to `budget` times at the model's time and checks each value that comes.
fn expire(wheel: &mut Wheel<usize>, model: &mut Model, settled: &mut u64, budget: usize) {
    let now_tick = model.now / TICK_NS;
    // What was overdue before the last complete poll has no order among itself.
    let mut last = *settled;
    for _ in 0..budget {
        let Some(id) = wheel.poll_expired(Time::from_nanos(model.now)) else {
            let earliest = model.earliest();
            assert!(earliest.is_none_or(|tick| tick > now_tick), "{earliest:?} was due");
            *settled = now_tick.max(*settled);
            return;
        };
        let tick = model.tick(id).expect("a timer fires once, and not when it was cancelled");
        assert!(tick <= now_tick, "fired {} ticks early", tick - now_tick);
        assert!(tick.max(*settled) >= last, "tick {tick} fired after {last}");
        last = tick.max(*settled);
        model.remove(id);
    }
    *settled = last;
}

proptest! {
    #[test]
    fn the_wheel_agrees_with_a_plain_list(
        start in 0_u64..1 << 40,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut wheel = Wheel::new(Time::from_nanos(start));
        let mut model = Model { now: start, armed: Vec::new() };
        let mut settled = start / TICK_NS;
        let mut keys = Vec::new();
        for step in steps {
            match step {
                Step::Arm { ahead_ns } => {
                    let deadline = model.now.saturating_add(ahead_ns);
                    model.armed.push((deadline.div_ceil(TICK_NS), keys.len()));
                    keys.push(wheel.arm(Time::from_nanos(deadline), keys.len()));
                }
                Step::ArmPast { ago_ns } => {
                    let deadline = model.now.saturating_sub(ago_ns);
                    model.armed.push((deadline.div_ceil(TICK_NS), keys.len()));
                    keys.push(wheel.arm(Time::from_nanos(deadline), keys.len()));
                }
                Step::Cancel { nth } => {
                    if let Some(&key) = keys.get(nth) {
                        prop_assert_eq!(wheel.cancel(key).is_some(), model.remove(nth));
                    }
                }
                Step::Advance { by_ns, budget } => {
                    model.now = model.now.saturating_add(by_ns);
                    expire(&mut wheel, &mut model, &mut settled, budget);
                }
                Step::AdvanceToNext => {
                    let Some(next) = wheel.next_deadline() else { continue };
                    model.now = model.now.max(next.as_nanos());
                    let (before, asked) = (wheel.len(), wheel.next_deadline());
                    expire(&mut wheel, &mut model, &mut settled, usize::MAX);
                    prop_assert!(
                        wheel.len() < before || wheel.next_deadline() > asked,
                        "a poll at the time asked for did nothing"
                    );
                }
            }
            prop_assert_eq!(wheel.len(), model.armed.len());
            prop_assert_eq!(wheel.len() == 0, model.armed.is_empty());
            match (wheel.next_deadline(), model.earliest()) {
                (None, None) => {}
                (Some(next), Some(tick)) => {
                    let latest = tick.max(model.now / TICK_NS) * TICK_NS;
                    prop_assert!(next.as_nanos() <= latest, "asks for a poll too late");
                }
                (next, tick) => prop_assert!(false, "asked {next:?}, model {tick:?}"),
            }
        }
    }
}
