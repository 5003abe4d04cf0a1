//! Ticks of a limit at the edges of what is valid.

use std::time::Duration;

use sluicegate::{ConfigError, TokenBucketConfig};

use crate::rig::sim::{World, ms};

/// A byte per tick.
fn ticking(tick: Duration) -> Result<TokenBucketConfig, ConfigError> {
    TokenBucketConfig::new(1, 1, 1, 1, Some(tick))
}

/// regress_bufferevent.c `ratelimit_div_by_zero`: no time at all is no tick.
///
/// Differs: a tick shorter than a millisecond is one, down to a nanosecond; upstream rounds it to
/// zero.
#[test]
fn ratelimit_div_by_zero() {
    assert_eq!(ticking(Duration::ZERO), Err(ConfigError::ZeroTick));
    let shortest = ticking(Duration::from_nanos(1)).expect("it is valid");
    let mut world = World::new(1);
    let one = world.connect();
    world.bev(one).set_rate_limit(Some(shortest));
    assert_eq!(world.pour(&[one], 1000, ms(100)), [1000]);
}

/// regress_bufferevent.c `ratelimit_overflow`: a tick beyond the longest is refused, it is not.
///
/// Differs: the longest is a day, not as many milliseconds as an int can count.
#[test]
fn ratelimit_overflow() {
    let longest = Duration::from_secs(24 * 60 * 60);
    for tick in [longest + Duration::from_nanos(1), Duration::MAX] {
        assert_eq!(ticking(tick), Err(ConfigError::TickTooLong { tick }));
    }
    let mut world = World::new(2);
    let one = world.connect();
    world.bev(one).set_rate_limit(Some(ticking(longest).expect("it is valid")));
    assert_eq!(world.pour(&[one], 1000, ms(100)), [1], "what a bucket begins with");
}
