//! A group on up to three cores, through anything an application and a slow core can do to it.
//!
//! Owns the cores, the grant that one of them may hold, and the ideal bucket all of them together
//! are held against. Cores that are late read an old clock; then only that nothing breaks is
//! judged, as an operation in the past may have what the ideal bucket has lost since.

use std::num::NonZeroU32;
use std::task::Waker;

use proptest::prelude::*;
use sluicegate_groups::{
    Grant, Group, GroupShard, MemberId, ServiceOrder, Time, TokenBucketConfig,
};

use crate::ideal::{Ideal, burst};
use crate::{CASES, DIR, adjustment, config, magnitude, span};

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    /// The grant that is held is settled.
    Release {
        used: u64,
        pending: bool,
    },
    Core(usize, Act),
    Group(Command),
}

/// What a core does.
#[derive(Clone, Debug)]
enum Act {
    Request {
        member: usize,
        want: u64,
        used: u64,
        pending: bool,
        back: u64,
    },
    /// As a request, but settled later.
    Hold {
        member: usize,
        want: u64,
    },
    Poll {
        used: u64,
        pending: bool,
        back: u64,
    },
    Look {
        want: u64,
        back: u64,
    },
    Cancel {
        member: usize,
    },
    Park,
    Rebalance {
        back: u64,
    },
    Deadline,
    /// It goes, and another takes its seat.
    Reseat,
}

/// What an application does.
#[derive(Clone, Debug)]
enum Command {
    Adjust(i64),
    SetConfig(TokenBucketConfig),
    SetMinShare(u64),
    /// Waits until every core has settled what it holds and knows the config.
    Refresh,
}

/// The deepest debt a group notes, whatever its cores hold besides.
const DEBT_MAX: i128 = 1 << 60;
const CORES: usize = 3;
const MEMBERS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let release = (magnitude(64), any::<bool>());
    prop_oneof![
        6 => span().prop_map(Step::Advance),
        2 => release.prop_map(|(used, pending)| Step::Release { used, pending }),
        26 => (0..CORES, act()).prop_map(|(core, act)| Step::Core(core, act)),
        6 => command().prop_map(Step::Group),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let member = 0..MEMBERS;
    let bytes = || magnitude(64);
    prop_oneof![
        8 => (member.clone(), bytes(), bytes(), any::<bool>(), span()).prop_map(
            |(member, want, used, pending, back)| Act::Request { member, want, used, pending, back }
        ),
        2 => (member.clone(), bytes()).prop_map(|(member, want)| Act::Hold { member, want }),
        8 => (bytes(), any::<bool>(), span())
            .prop_map(|(used, pending, back)| Act::Poll { used, pending, back }),
        2 => (bytes(), span()).prop_map(|(want, back)| Act::Look { want, back }),
        1 => member.prop_map(|member| Act::Cancel { member }),
        1 => Just(Act::Park),
        1 => span().prop_map(|back| Act::Rebalance { back }),
        2 => Just(Act::Deadline),
        1 => Just(Act::Reseat),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => adjustment().prop_map(Command::Adjust),
        1 => config().prop_map(Command::SetConfig),
        1 => magnitude(64).prop_map(Command::SetMinShare),
        2 => Just(Command::Refresh),
    ]
}

struct Core {
    shard: GroupShard,
    members: [MemberId; MEMBERS],
}

impl Core {
    fn sit(group: &Group, now: Time, weights: [NonZeroU32; MEMBERS]) -> Self {
        let mut shard = group.shard(now, Waker::noop().clone()).unwrap();
        let members = weights.map(|weight| shard.join(0, weight));
        Self { shard, members }
    }
}

struct World {
    group: Group,
    cores: Vec<Core>,
    weights: [NonZeroU32; MEMBERS],
    held: Option<(usize, MemberId, Grant)>,
    ideal: Ideal,
    moved: u64,
    /// Readings may be old: an operation then lies in the past, where the ideal bucket has been.
    late: bool,
}

impl World {
    fn new(
        config: TokenBucketConfig,
        (seats, min_share, order): (usize, u64, ServiceOrder),
        heavy: u32,
        late: bool,
    ) -> Self {
        let group = Group::builder(config.clone()).seats(seats).min_share(min_share);
        let group = group.service_order(order).build(Time::ZERO).unwrap();
        let weights = [NonZeroU32::MIN, NonZeroU32::new(heavy).unwrap()];
        let cores = (0..seats.min(CORES)).map(|_| Core::sit(&group, Time::ZERO, weights)).collect();
        let floor = burst(&config) - DEBT_MAX;
        let ideal = Ideal::new(config, group.write_limit(Time::ZERO), floor);
        Self { group, cores, weights, held: None, ideal, moved: 0, late }
    }

    /// The reading of a core, made a while ago if it is slow.
    fn reading(&self, back: u64) -> Time {
        self.ideal.earlier(if self.late { back } else { 0 })
    }

    /// Settles a grant of which at most `used` bytes were used.
    fn settle(&mut self, core: usize, member: MemberId, grant: Grant, used: u64, pending: bool) {
        let used = used.min(grant.bytes);
        self.moved = self.moved.wrapping_add(used);
        self.ideal.give_back(grant.bytes - used);
        self.cores[core].shard.settle(member, grant, used, pending);
    }

    fn release(&mut self, used: u64, pending: bool) {
        if let Some((core, member, grant)) = self.held.take() {
            self.settle(core, member, grant, used, pending);
        }
    }

    fn request(
        &mut self,
        core: usize,
        member: usize,
        want: u64,
        now: Time,
    ) -> Result<Option<(MemberId, Grant)>, TestCaseError> {
        let member = self.cores[core].members[member];
        let Some(grant) = self.cores[core].shard.request(member, DIR, want, || now) else {
            return Ok(None);
        };
        prop_assert!(grant.bytes > 0 && grant.bytes <= want, "{grant:?} for {want}");
        self.ideal.tokens -= i128::from(grant.bytes);
        Ok(Some((member, grant)))
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Advance(span) => self.ideal.advance(span),
            Step::Release { used, pending } => self.release(used, pending),
            Step::Core(core, act) => self.act(core % self.cores.len(), act)?,
            Step::Group(command) => self.command(command),
        }
        Ok(())
    }

    fn act(&mut self, core: usize, act: Act) -> Result<(), TestCaseError> {
        let now = self.ideal.time();
        let shard = &mut self.cores[core].shard;
        match act {
            Act::Request { member, want, used, pending, back } => {
                let now = self.reading(back);
                if let Some((member, grant)) = self.request(core, member, want, now)? {
                    self.settle(core, member, grant, used, pending);
                }
            }
            Act::Hold { member, want } => {
                if self.held.is_none() {
                    let granted = self.request(core, member, want, now)?;
                    self.held = granted.map(|(member, grant)| (core, member, grant));
                }
            }
            Act::Poll { used, pending, back } => {
                let now = self.reading(back);
                if let Some((_, member, grant)) = self.cores[core].shard.poll_grant(DIR, || now) {
                    prop_assert!(grant.bytes > 0, "{grant:?}");
                    self.ideal.tokens -= i128::from(grant.bytes);
                    self.settle(core, member, grant, used, pending);
                }
            }
            Act::Look { want, back } => {
                prop_assert!(shard.allowance(self.ideal.earlier(back), DIR, want) <= want);
                let _deadline = shard.poll_deadline();
            }
            Act::Cancel { member } => {
                let member = self.cores[core].members[member];
                self.cores[core].shard.cancel(member, DIR);
            }
            Act::Park => shard.park(),
            Act::Rebalance { back } => shard.rebalance(self.ideal.earlier(back)),
            Act::Deadline => shard.handle_deadline(now),
            Act::Reseat => {
                self.release(u64::MAX, false);
                drop(self.cores.remove(core));
                self.cores.insert(core, Core::sit(&self.group, now, self.weights));
            }
        }
        Ok(())
    }

    fn command(&mut self, command: Command) {
        let now = self.ideal.time();
        match command {
            Command::Adjust(bytes) => {
                self.ideal.adjust(bytes);
                self.group.decrement(now, DIR, bytes).unwrap();
            }
            Command::SetConfig(config) => {
                self.release(0, false);
                self.group.set_config(now, config.clone()).unwrap();
                self.ideal.set_config(config);
                self.ideal.floor = self.ideal.brim - DEBT_MAX;
            }
            Command::SetMinShare(share) => {
                self.release(0, false);
                self.group.set_min_share(now, share).unwrap();
                // Other leases and another depth: a new version, though its clock goes on.
                self.ideal.set_config(self.ideal.config.clone());
            }
            Command::Refresh => {
                self.release(0, false);
                for core in &mut self.cores {
                    core.shard.refresh();
                }
                self.ideal.settle();
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (now, burst) = (self.ideal.time(), self.ideal.config.limit(DIR).unwrap().burst());
        let usable = self.group.usable_burst(DIR);
        prop_assert!((1..=burst).contains(&usable), "usable {usable} of a burst of {burst}");
        let level = self.group.write_limit(now);
        prop_assert!(level <= usable as i64, "a level of {level} above {usable}");
        // What is left must be there: all that moved, leases and grants have come out of it.
        let left = self.ideal.tokens;
        let covered = self.late || i128::from(level) <= left;
        prop_assert!(covered, "a level of {level} where {left} are left");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_group_keeps_its_promises(
        config in config(),
        seats in prop_oneof![1usize..8, Just(4096), 1usize..4096],
        min_share in prop_oneof![3 => magnitude(64), 1 => Just(0), 1 => Just(64)],
        order in prop_oneof![Just(ServiceOrder::RoundRobin), Just(ServiceOrder::RandomEachTick)],
        heavy in prop_oneof![1u32..4, Just(u32::MAX)],
        late: bool,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(config, (seats, min_share, order), heavy, late);
        for step in steps {
            world.step(step)?;
            world.check()?;
        }
        world.release(0, false);
        world.cores.clear();
        world.check()?;
        prop_assert_eq!(world.group.stats().weight, [0, 0]);
        prop_assert_eq!(world.group.totals().1, world.moved);
    }
}
