//! Courses of events between two sessions, drawn from seeds; `tls/fuzz` runs them too.

extern crate sluicegate_core_buf as core_buf;
extern crate sluicegate_groups as groups;

mod machine;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Courses of one run of this test.
const SEEDS: u64 = 2_000;

#[test]
fn nobody_in_between_can_do_more_than_cut() {
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let length = 1 + 2 * rng.random_range(0..60);
        let mut course: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        if seed % 2 == 0 {
            // Half of the courses leave the handshake alone, and of what ends or changes something
            // an eighth: else a course is over after a few operations, and little has been said.
            for op in course.iter_mut().skip(1).step_by(2) {
                if *op & 15 >= 10 && rng.random_ratio(7, 8) {
                    *op &= !8;
                }
            }
            course.splice(1..1, [0, 0, 128, 0].repeat(4));
        }
        let outcome = std::panic::catch_unwind(|| machine::run(&course));
        assert!(outcome.is_ok(), "seed {seed}: {course:?}");
    }
}

#[test]
fn what_was_read_over_goes_with_a_session_that_fails_without_leave_for_it() {
    // Plaintext is charged. The server wants new keys; the client's second record is changed.
    let (client, server) = ([[6, 255], [15, 0]].concat(), [[4 | 128, 255], [15 | 128, 0]].concat());
    let (wants, changes) = ([9 | 128, 0], [10 | 128, 255]);
    let handshake = [0, 0, 128, 0].repeat(4);
    let course: [&[u8]; 7] = [&[16], &handshake, &wants, &client, &client, &changes, &server];
    machine::run(&course.concat());
}
