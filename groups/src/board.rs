//! The cold side of a group: configuration, seats and wake-ups behind one lock.
//!
//! Owns what is changed by hand and read when a core takes a seat or adopts a new config version.
//! No byte ever waits for this lock.
//!
//! Invariants: a change of config settles the level under the old depth first, so it never raises
//! it; no word is read by a clock that has left it too far behind to be compared; the shared state
//! changes before any seat is woken; wakers run with the lock released.
//! Ordering: the version is bumped with Release under the lock and loaded with Acquire, so a core
//! that sees a version finds its snapshot, or a later one, behind the lock.

use std::task::Waker;

use crossbeam::utils::CachePadded;

use crate::config::TokenBucketConfig;
use crate::credit::Credit;
use crate::error::{ConfigError, NoLimit, NoSeat};
use crate::group::{GroupId, ServiceOrder};
use crate::lane::Desk;
use crate::plan::{Plan, Terms};
use crate::pool::{Pool, Word, set};
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::{Direction, Time};

/// What the clones and shards of a group share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: GroupId,
    pub(crate) order: ServiceOrder,
    pub(crate) pool: Pool,
    pub(crate) board: Mutex<Board>,
    /// Read before every draw: on a cache line of its own, as whoever asks for levels takes the
    /// lock beside it.
    version: CachePadded<AtomicU64>,
}

/// The cold state: changed by hand, read when a version is adopted.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) config: TokenBucketConfig,
    pub(crate) terms: Terms,
    pub(crate) plans: [Option<Plan>; 2],
    disbanded: bool,
    /// One for each seat; `Some` while it is taken.
    pub(crate) wakers: Vec<Option<Waker>>,
    /// What the last core on each seat owed when it left: the next one pays.
    credits: Vec<[Credit; 2]>,
    /// When each direction's word was last known to be near its clock.
    fresh_at: [Time; 2],
}

impl Board {
    pub(crate) fn new(
        now: Time,
        config: TokenBucketConfig,
        terms: Terms,
        plans: [Option<Plan>; 2],
    ) -> Self {
        let seats = terms.seats as usize;
        let (wakers, credits) = (vec![None; seats], vec![[Credit::default(); 2]; seats]);
        Self { config, terms, plans, disbanded: false, wakers, credits, fresh_at: [now; 2] }
    }

    /// Sees to it that a direction's word can be compared with its clock; says until when.
    ///
    /// Whoever reads the word comes here first when that time is over, cores too: so a draw's
    /// reading is at most `fresh_for` past `fresh_at`. Where four times that has gone by, nobody
    /// has drawn for three, which is more than any debt and any depth: the bucket is full.
    fn freshen(&mut self, now: Time, dir: Direction, word: &Word) -> Time {
        let Some(plan) = self.plans[dir.index()] else { return Time::MAX };
        let fresh_at = &mut self.fresh_at[dir.index()];
        let silence = now.saturating_since(*fresh_at);
        if silence >= plan.fresh_for {
            let g = plan.clock.at(now);
            match silence / 4 > plan.fresh_for {
                true => word.fill(g, plan.depth),
                false => word.settle(g, plan.depth),
            }
            *fresh_at = now;
        }
        *fresh_at + plan.fresh_for
    }
}

/// What a core needs to know of one config version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) version: u64,
    pub(crate) plans: [Option<Plan>; 2],
    pub(crate) disbanded: bool,
}

impl Shared {
    pub(crate) fn new(id: GroupId, order: ServiceOrder, board: Board) -> Self {
        let pool = Pool::new(board.wakers.len());
        Self {
            id,
            order,
            pool,
            board: Mutex::new(board),
            version: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// Returns the current config version.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns the current version with what belongs to it. Takes the cold lock.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let board = self.board.lock();
        Snapshot { version: self.version(), plans: board.plans, disbanded: board.disbanded }
    }

    /// Returns what one seat works with in one direction.
    pub(crate) fn desk(&self, seat: usize, dir: Direction) -> Desk<'_> {
        Desk { word: self.pool.word(dir), tally: self.pool.tally(seat), shared: self }
    }

    /// Seats a core that is woken through `waker`; returns the seat and the account kept there.
    pub(crate) fn take_seat(&self, waker: Waker) -> Result<(usize, [Credit; 2]), NoSeat> {
        let mut board = self.board.lock();
        let seats = board.wakers.len();
        let free = board.wakers.iter().position(Option::is_none).ok_or(NoSeat { seats })?;
        board.wakers[free] = Some(waker);
        set(&self.pool.tally(free).taken, 1);
        Ok((free, board.credits[free]))
    }

    /// Makes a seat available to another core, with the account of the one that leaves: or else
    /// whoever comes and goes would draw a quantum ahead each time.
    pub(crate) fn free_seat(&self, seat: usize, credits: [Credit; 2]) {
        let mut board = self.board.lock();
        (board.wakers[seat], board.credits[seat]) = (None, credits);
        set(&self.pool.tally(seat).taken, 0);
    }

    /// Returns the level at `now`, `i64::MAX` without a limit.
    pub(crate) fn level(&self, now: Time, dir: Direction) -> i64 {
        let (mut board, word) = (self.board.lock(), self.pool.word(dir));
        board.freshen(now, dir, word);
        let level = |plan: Plan| word.level(plan.clock.at(now), plan.depth);
        board.plans[dir.index()].map_or(i64::MAX, level)
    }

    /// Sees to it that a direction's word can be compared with its clock; says until when.
    ///
    /// Takes the cold lock: months lie between two calls that are due at any rate there is today.
    #[cold]
    pub(crate) fn freshen(&self, now: Time, dir: Direction) -> Time {
        self.board.lock().freshen(now, dir, self.pool.word(dir))
    }

    /// Debits a direction at `now`, or credits it with a negative number; wakes nobody.
    pub(crate) fn adjust(
        &self,
        now: Time,
        direction: Direction,
        bytes: i64,
    ) -> Result<(), NoLimit> {
        let (mut board, word) = (self.board.lock(), self.pool.word(direction));
        let plan = board.plans[direction.index()].ok_or(NoLimit { direction })?;
        board.freshen(now, direction, word);
        word.adjust(plan.clock.at(now), plan.depth, bytes);
        Ok(())
    }

    /// Applies `change` to a copy of the board, derives new plans, publishes them, wakes all.
    pub(crate) fn reconfigure(
        &self,
        now: Time,
        change: impl FnOnce(&mut Board),
    ) -> Result<(), ConfigError> {
        {
            let mut board = self.board.lock();
            if board.disbanded {
                return Err(ConfigError::Disbanded);
            }
            let mut next = board.clone();
            change(&mut next);
            for dir in Direction::ALL {
                next.plans[dir.index()] = self.successor(now, dir, &next)?;
            }
            // Under the old depth for the last time: what lies beyond it must not come back when
            // the new one is deeper.
            for dir in Direction::ALL {
                let word = self.pool.word(dir);
                board.freshen(now, dir, word);
                if let Some(old) = board.plans[dir.index()] {
                    word.settle(old.clock.at(now), old.depth);
                }
            }
            next.fresh_at = board.fresh_at.map(|fresh_at| fresh_at.max(now));
            *board = next;
            self.bump_version();
        }
        self.wake_all();
        Ok(())
    }

    /// Lifts every limit for good and wakes all.
    pub(crate) fn disband(&self) {
        {
            let mut board = self.board.lock();
            board.plans = [None; 2];
            board.disbanded = true;
            self.bump_version();
        }
        self.wake_all();
    }

    /// Derives the plan that follows the one in `next`, whose config has already changed.
    fn successor(
        &self,
        now: Time,
        dir: Direction,
        next: &Board,
    ) -> Result<Option<Plan>, ConfigError> {
        let (config, terms) = (&next.config, next.terms);
        let Some(limit) = config.limit(dir) else { return Ok(None) };
        match next.plans[dir.index()] {
            None => Plan::first(config, limit, terms, now, self.pool.word(dir).consumed()),
            Some(old) => {
                let stepped = config.tick().is_some();
                let clock = old.clock.successor(now, limit.rate(), config.period_ns(), stepped);
                Plan::new(limit, terms, clock)
            }
        }
        .map(Some)
    }

    /// Announces what was changed under the lock the caller holds.
    fn bump_version(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Wakes every seat, with no lock held: a waker may run anything.
    pub(crate) fn wake_all(&self) {
        let wakers = self.board.lock().wakers.clone();
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::mpsc;
    use std::task::Waker;
    use std::thread;
    use std::time::Duration;

    use crate::config::TokenBucketConfig;
    use crate::group::Group;
    use crate::time::{Direction, Time};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a lock that is taken would block this thread")]
    fn counts_are_read_and_reset_while_the_lock_is_held() {
        let config = TokenBucketConfig::per_second("1MB/s".parse().expect("a rate"));
        let group = Group::new(Time::ZERO, config).expect("a group");
        let mut shard = group.shard(Time::ZERO, Waker::noop().clone()).expect("a seat");
        let member = shard.join(7, NonZeroU32::MIN);
        let grant = shard.request(member, Direction::Read, 9, || Time::ZERO).expect("it is full");
        shard.settle(member, grant, 9, false);
        let board = group.shared.board.lock();
        let (answer, answers) = mpsc::channel();
        let reader = group.clone();
        let reading = thread::spawn(move || {
            let stats = reader.stats();
            let taken = stats.seats.iter().filter(|seat| seat.taken).count();
            let before = reader.totals();
            reader.reset_totals();
            let found = (reader.seats(), taken, before, reader.totals());
            answer.send(found).expect("the test waits");
        });
        let read = answers.recv_timeout(Duration::from_secs(30));
        drop(board);
        reading.join().expect("it has answered");
        assert_eq!(read, Ok((16, 1, (9, 0), (0, 0))));
    }
}
