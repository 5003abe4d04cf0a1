//! Groups over several cores against an exact bucket, in any interleaving.
//!
//! The model is one bucket of the full burst in exact fractions, charged with every byte any core
//! moves. A core may be slow, park, rebalance or vanish between any two steps; what the group
//! allows must always fit into the model, all windows of the log must keep the bound, and no
//! byte may be lost or made up.

use std::num::NonZeroU32;
use std::task::Waker;
use std::time::Duration;

use proptest::prelude::*;
use sluicegate_groups::{
    Direction, Grant, Group, GroupShard, MemberId, Rate, ServiceOrder, Time, TokenBucketConfig,
};

const DIR: Direction = Direction::Read;
const CORES: usize = 3;
const MEMBERS: usize = 4;
const NANOS: i128 = 1_000_000_000;

/// What a config promises, in exact fractions of a byte.
#[derive(Clone, Debug)]
struct Promise {
    config: TokenBucketConfig,
    /// When ticks are counted from.
    start: u64,
}

impl Promise {
    fn burst(&self) -> i128 {
        i128::from(self.config.limit(DIR).unwrap().burst())
    }

    /// Returns 1e9 times the bytes produced by `now`.
    fn produced(&self, now: u64) -> i128 {
        let (elapsed, rate) =
            (i128::from(now - self.start), self.config.limit(DIR).unwrap().rate());
        match self.config.tick() {
            Some(tick) => elapsed / tick.as_nanos() as i128 * i128::from(rate) * NANOS,
            None => elapsed * i128::from(rate),
        }
    }
}

/// One exact bucket: `tokens` is in 1e-9 bytes.
struct Model {
    promise: Promise,
    now: u64,
    tokens: i128,
    log: Vec<(u64, u64)>,
}

impl Model {
    fn advance(&mut self, now: u64) {
        self.tokens += self.promise.produced(now) - self.promise.produced(self.now);
        self.tokens = self.tokens.min(self.promise.burst() * NANOS);
        self.now = now;
    }

    fn charge(&mut self, bytes: u64) {
        self.tokens -= i128::from(bytes) * NANOS;
        self.log.push((self.now, bytes));
    }

    /// Checks every window of the log, one by one.
    fn check_windows(&self) -> Result<(), TestCaseError> {
        for first in 0..self.log.len() {
            let mut moved = 0;
            for &(end, bytes) in &self.log[first..] {
                moved += i128::from(bytes);
                let start = self.log[first].0;
                let produced = self.promise.produced(end) - self.promise.produced(start);
                let bound = (produced + NANOS - 1) / NANOS + self.promise.burst();
                prop_assert!(moved <= bound, "{moved} in {start}..{end}, bound {bound}");
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    /// Asks, and moves these thousandths of the grant; `later`: settled by a later step.
    Request {
        core: usize,
        member: usize,
        want: u64,
        thousandths: u64,
        pending: bool,
        later: bool,
    },
    Poll {
        core: usize,
        thousandths: u64,
        pending: bool,
    },
    SettleLate,
    Cancel {
        core: usize,
        member: usize,
    },
    Replace {
        core: usize,
        member: usize,
        weight: u32,
    },
    Park {
        core: usize,
    },
    Rebalance {
        core: usize,
    },
    Deadline {
        core: usize,
    },
    Reseat {
        core: usize,
    },
    Debit(i64),
}

struct Core {
    shard: Option<GroupShard>,
    members: Vec<MemberId>,
}

struct Late {
    core: usize,
    member: MemberId,
    grant: Grant,
    used: u64,
}

struct World {
    group: Group,
    cores: Vec<Core>,
    late: Vec<Late>,
    model: Model,
    fill: i128,
    moved: i128,
    debited: i128,
    /// Whether bytes were taken by hand, which may leave a debt.
    may_owe: bool,
}

impl World {
    fn new(config: TokenBucketConfig, min_share: u64, order: ServiceOrder, start: u64) -> Self {
        let now = Time::from_nanos(start);
        let group = Group::builder(config.clone())
            .seats(CORES)
            .min_share(min_share)
            .service_order(order)
            .build(now)
            .unwrap();
        let fill = i128::from(group.read_limit(now));
        let promise = Promise { config, start };
        let model = Model { promise, now: start, tokens: fill * NANOS, log: Vec::new() };
        let cores = (0..CORES).map(|_| Core::sit(&group, start)).collect();
        Self { group, cores, late: Vec::new(), model, fill, moved: 0, debited: 0, may_owe: false }
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.model.now)
    }

    fn level(&self) -> i64 {
        self.group.read_limit(self.now())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.now();
        match *step {
            Step::Advance(ns) => self.model.advance(self.model.now + ns),
            Step::Request { core, member, want, thousandths, pending, later } => {
                let member = self.cores[core].members[member];
                if let Some(grant) = self.cores[core].shard().request(member, DIR, want, || now) {
                    prop_assert!(grant.bytes >= 1 && grant.bytes <= want);
                    let used = grant.bytes * thousandths / 1000;
                    if grant.drawn_at().is_some() {
                        self.charge(used); // Its window begins at the draw.
                    }
                    if later {
                        self.late.push(Late { core, member, grant, used });
                    } else {
                        self.settle(core, member, grant, used, pending)?;
                    }
                } else {
                    prop_assert!(self.cores[core].shard().is_waiting(DIR));
                }
            }
            Step::Poll { core, thousandths, pending } => {
                if let Some((_, member, grant)) = self.cores[core].shard().poll_grant(DIR, || now) {
                    prop_assert!(grant.bytes >= 1);
                    let used = grant.bytes * thousandths / 1000;
                    if grant.drawn_at().is_some() {
                        self.charge(used);
                    }
                    self.settle(core, member, grant, used, pending)?;
                }
            }
            Step::SettleLate => {
                if let Some(Late { core, member, grant, used }) = self.late.pop() {
                    self.settle(core, member, grant, used, true)?;
                }
            }
            Step::Cancel { core, member } => {
                let member = self.cores[core].members[member];
                self.cores[core].shard().cancel(member, DIR);
            }
            Step::Replace { core, member, weight } => {
                self.settle_late(core)?;
                let old = self.cores[core].members[member];
                let shard = self.cores[core].shard();
                shard.leave(old);
                let new = shard.join(member as u64, NonZeroU32::new(weight).unwrap());
                self.cores[core].members[member] = new;
                prop_assert_eq!(self.cores[core].shard().member_count(), MEMBERS);
            }
            Step::Park { core } => {
                self.cores[core].shard().park();
                prop_assert!(!self.cores[core].shard().holds_lease());
            }
            Step::Rebalance { core } => self.cores[core].shard().rebalance(now),
            Step::Deadline { core } => self.cores[core].shard().handle_deadline(now),
            Step::Reseat { core } => {
                self.settle_late(core)?;
                self.cores[core].shard = None;
                self.cores[core] = Core::sit(&self.group, self.model.now);
            }
            Step::Debit(bytes) => {
                self.group.decrement(now, DIR, bytes).unwrap();
                self.debited += i128::from(bytes);
                self.may_owe = true;
                self.model.tokens -= i128::from(bytes) * NANOS;
            }
        }
        Ok(())
    }

    fn charge(&mut self, used: u64) {
        self.moved += i128::from(used);
        if used > 0 {
            self.model.charge(used);
        }
    }

    /// Settles a grant and checks that what was not used went back, and nothing else.
    fn settle(
        &mut self,
        core: usize,
        member: MemberId,
        grant: Grant,
        used: u64,
        pending: bool,
    ) -> Result<(), TestCaseError> {
        let before = self.level();
        let (granted, leased) = (grant.bytes, grant.drawn_at().is_none());
        self.cores[core].shard().settle(member, grant, used, pending);
        if leased {
            self.charge(used);
        }
        let (gained, unused) = (self.level() - before, (granted - used) as i64);
        prop_assert!(gained >= 0 && gained <= unused, "settling {unused} unused gave {gained}");
        if leased {
            prop_assert_eq!(gained, 0, "a lease takes back what it lent");
        }
        Ok(())
    }

    fn settle_late(&mut self, core: usize) -> Result<(), TestCaseError> {
        let (mine, others) =
            std::mem::take(&mut self.late).into_iter().partition(|l| l.core == core);
        self.late = others;
        let mine: Vec<Late> = mine;
        for late in mine {
            self.settle(core, late.member, late.grant, late.used, true)?;
        }
        Ok(())
    }

    /// What must hold after every step.
    fn check(&mut self) -> Result<(), TestCaseError> {
        prop_assert!(self.model.tokens >= 0 || self.may_owe, "more than an exact bucket allows");
        prop_assert!(self.level() >= 0 || self.may_owe, "bytes of the future were drawn");
        for core in &mut self.cores {
            let waiting = core.shard().is_waiting(DIR);
            prop_assert_eq!(waiting, core.shard().poll_deadline().is_some());
        }
        Ok(())
    }

    /// Lets everyone who still waits be served: first one deadline after the other, where time must
    /// move on, then in leaps that bring every core more than it can owe.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        for core in 0..CORES {
            self.settle_late(core)?;
        }
        let mut standing = 0;
        for step in 0..DEADLINES + LEAPS {
            for core in 0..CORES {
                self.step(&Step::Deadline { core })?;
                for _ in 0..MEMBERS {
                    self.step(&Step::Poll { core, thousandths: 1000, pending: false })?;
                }
                self.step(&Step::Park { core })?;
            }
            let due = self.cores.iter_mut().filter_map(|core| core.shard().poll_deadline()).min();
            let Some(due) = due else { return Ok(()) };
            let mut wait = due.as_nanos().saturating_sub(self.model.now);
            standing = if wait == 0 { standing + 1 } else { 0 };
            prop_assert!(standing < STANDING_MAX, "a deadline passed and nothing can be done");
            if step >= DEADLINES {
                wait = wait.max(self.leap_ns());
            }
            self.step(&Step::Advance(wait))?;
        }
        prop_assert!(false, "members still wait although there was enough for all");
        Ok(())
    }

    fn leap_ns(&self) -> u64 {
        let config = &self.model.promise.config;
        let limit = config.limit(DIR).unwrap();
        let period_ns = config.tick().map_or(1_000_000_000, |tick| tick.as_nanos() as u64);
        // A core's debt is a quantum and its share at least one in 48, the sum of all weights.
        let bytes = 50 * limit.burst().min(1 << 20);
        (u128::from(bytes) * u128::from(period_ns) / u128::from(limit.rate())) as u64
    }

    /// Checks that every byte is accounted for: exactly, where none can have been discarded.
    fn check_conservation(&mut self, exactly: bool) -> Result<(), TestCaseError> {
        let produced = self.model.promise.produced(self.model.now).div_euclid(NANOS);
        let expected = self.fill + produced - self.moved - self.debited;
        self.cores.clear();
        let level = i128::from(self.level());
        prop_assert!(level <= expected, "level {level} of {expected}");
        if exactly {
            prop_assert_eq!(level, expected);
        }
        prop_assert_eq!(self.group.totals(), (self.moved as u64, 0));
        prop_assert_eq!(self.group.stats().weight, [0, 0]);
        Ok(())
    }
}

impl Core {
    fn sit(group: &Group, now: u64) -> Self {
        let mut shard = group.shard(Time::from_nanos(now), Waker::noop().clone()).unwrap();
        let members = (0..MEMBERS as u64).map(|token| shard.join(token, NonZeroU32::MIN)).collect();
        Self { shard: Some(shard), members }
    }

    fn shard(&mut self) -> &mut GroupShard {
        self.shard.as_mut().expect("only between two seats is there none")
    }
}

/// Interleavings tried in each run.
const CASES: u32 = 1000;

/// Deadlines that are followed one by one.
const DEADLINES: usize = 300;
/// Leaps after which every waiting member must have been served.
const LEAPS: usize = 100;
/// How often in a row a deadline may turn out to have passed: all cores may compete for the bytes.
const STANDING_MAX: usize = 10;

fn ticking() -> impl Strategy<Value = TokenBucketConfig> {
    (1u64..5000, 0u64..30_000, 1_000u64..5_000_000).prop_map(|(rate, extra, tick)| {
        let burst = rate + extra;
        TokenBucketConfig::new(rate, burst, rate, burst, Some(Duration::from_nanos(tick))).unwrap()
    })
}

fn smooth(burst: impl Strategy<Value = u64>) -> impl Strategy<Value = TokenBucketConfig> {
    (1_000u64..2_000_000_000, burst).prop_map(|(rate, burst)| {
        let rate = Rate::bytes_per_second(rate).unwrap();
        TokenBucketConfig::per_second(rate).with_burst(burst).unwrap()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let core = 0..CORES;
    let member = 0..MEMBERS;
    prop_oneof![
        6 => (0u64..3_000_000).prop_map(Step::Advance),
        8 => (core.clone(), member.clone(), 1u64..20_000, 0u64..=1000, any::<bool>(), any::<bool>())
            .prop_map(|(core, member, want, thousandths, pending, later)| {
                Step::Request { core, member, want, thousandths, pending, later }
            }),
        8 => (core.clone(), 0u64..=1000, any::<bool>())
            .prop_map(|(core, thousandths, pending)| Step::Poll { core, thousandths, pending }),
        2 => Just(Step::SettleLate),
        1 => (core.clone(), member.clone()).prop_map(|(core, member)| Step::Cancel { core, member }),
        1 => (core.clone(), member, 1u32..5)
            .prop_map(|(core, member, weight)| Step::Replace { core, member, weight }),
        2 => core.clone().prop_map(|core| Step::Park { core }),
        1 => core.clone().prop_map(|core| Step::Rebalance { core }),
        2 => core.clone().prop_map(|core| Step::Deadline { core }),
        1 => core.prop_map(|core| Step::Reseat { core }),
    ]
}

fn order() -> impl Strategy<Value = ServiceOrder> {
    prop_oneof![Just(ServiceOrder::RoundRobin), Just(ServiceOrder::RandomEachTick)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn no_interleaving_exceeds_an_exact_bucket(
        config in prop_oneof![ticking(), smooth(1u64..100_000)],
        min_share in prop_oneof![Just(0u64), Just(64), 1u64..3000],
        order in order(),
        start in 0u64..1 << 60,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(config, min_share, order, start);
        for step in &steps {
            world.step(step)?;
            world.check()?;
        }
        world.model.check_windows()?;
        world.drain()?;
        world.check_conservation(false)?;
    }

    #[test]
    fn no_interleaving_loses_a_byte_while_the_bucket_is_not_full(
        config in smooth(Just(1 << 45)),
        order in order(),
        steps in prop::collection::vec(
            prop_oneof![9 => step(), 1 => (-5000i64..5000).prop_map(Step::Debit)],
            1..150,
        ),
    ) {
        let mut world = World::new(config, 64, order, 7);
        for step in &steps {
            world.step(step)?;
            world.check()?;
        }
        world.drain()?;
        world.check_conservation(true)?;
    }
}
