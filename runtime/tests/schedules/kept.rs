//! Cases that failed once, each as short as it could be made, and named for what had to be.

use sluicegate::Direction::{Read, Write};
use sluicegate::FlushMode::Finished;
use sluicegate::Trigger::Always;

use crate::machine::Act::*;
use crate::machine::How::*;
use crate::machine::Link::*;
use crate::machine::Nature::*;
use crate::machine::Weather::*;
use crate::machine::{Case, later, on, run};

#[test]
fn a_write_without_a_reader_is_no_good_end() {
    run(&Case::new(
        (Pair(true), Calm, &[Swap]),
        (5000, 13),
        &[on(1, 2, Write, Join(0, 1)), on(1, 1, Read, Put(7083, Copied))],
    ));
}

#[test]
fn an_error_of_writing_does_not_taint_the_end_of_reading() {
    run(&Case::new(
        (Pair(true), Calm, &[Double, Double]),
        (400, 129),
        &[
            on(0, 0, Write, Put(17, Copied)),
            on(1, 3, Write, Put(964, Copied)),
            on(1, 2, Write, Close),
            on(0, 1, Write, Join(0, 4)),
            on(1, 0, Read, Run(10)),
        ],
    ));
}

#[test]
fn the_end_of_a_flush_is_not_the_end_of_the_stream() {
    for link in [Pair(false), Across(false)] {
        run(&Case::new(
            (link, Calm, &[Greedy]),
            (400, 173),
            &[
                on(0, 1, Read, Run(197)),
                on(0, 0, Write, Push(Finished)),
                on(1, 2, Write, Run(238)),
                on(0, 3, Write, Put(629, Owned)),
                on(0, 2, Write, CloseWithin(5)),
            ],
        ));
    }
}

#[test]
fn a_stack_whose_source_failed_does_not_end_well() {
    for link in [Socket, Pair(true), Across(true)] {
        run(&Case::new(
            (link, Calm, &[Frames]),
            (400, 74),
            &[
                on(1, 3, Write, Run(261)),
                on(1, 0, Write, Put(3915, Broken)),
                on(1, 1, Write, Close),
            ],
        ));
    }
}

#[test]
fn a_stack_whose_filter_failed_does_not_end_well_wherever_it_is_cut() {
    for filters in [&[Fails(Write, 6368)][..], &[Swap, Fails(Write, 6368)]] {
        run(&Case::new(
            (Pair(true), Calm, filters),
            (400, 107),
            &[
                on(0, 0, Write, Put(19_527, Shared)),
                on(0, 0, Write, Run(10)),
                on(0, 1, Read, CloseNow),
            ],
        ));
    }
}

#[test]
fn what_is_sent_after_a_reset_does_not_arrive_behind_the_gap() {
    run(&Case::new(
        (Socket, Breaking, &[Greedy]),
        (65_536, 102),
        &[
            later(0, 3, Read, ReadMarks(6, 12)),
            on(0, 0, Read, Put(614, Copied)),
            on(0, 1, Write, Run(10)),
            on(0, 1, Write, Put(663, Copied)),
            on(0, 1, Write, Filter(Fails(Write, 16_834))),
            on(0, 3, Read, Run(4785)),
            on(1, 3, Write, Run(29_329)),
            on(0, 3, Write, Filter(Greedy)),
            on(1, 0, Write, Run(2655)),
            on(0, 3, Read, Run(34_564)),
            on(1, 3, Write, Put(20_115, Shared)),
            on(0, 2, Write, LimitByTick(378)),
            on(0, 0, Read, Run(10)),
            on(0, 3, Read, Run(6)),
            on(1, 3, Read, LimitByTick(27)),
            on(1, 1, Read, Run(4326)),
            on(0, 2, Read, Put(9258, Shared)),
            on(0, 3, Read, Run(3276)),
            on(0, 1, Write, Run(25_810)),
            on(1, 2, Read, Put(1685, Copied)),
            on(0, 1, Read, Run(29_966)),
        ],
    ));
}

#[test]
fn a_flush_that_finished_a_filter_does_not_spare_it_the_end() {
    for link in [Pair(false), Across(false)] {
        run(&Case::new(
            (link, Breaking, &[Frames, Frames, Swap]),
            (5000, 234),
            &[
                on(1, 2, Read, Run(278)),
                on(0, 2, Read, Limit(339)),
                on(0, 3, Write, Put(2678, Copied)),
                on(0, 1, Read, Filter(Greedy)),
                on(0, 3, Write, Push(Finished)),
                on(1, 0, Read, Run(3588)),
                on(0, 0, Write, Close),
            ],
        ));
    }
}

#[test]
fn an_end_that_has_come_up_is_told_though_the_filter_is_released() {
    run(&Case::new(
        (Across(true), Rough, &[]),
        (400, 72),
        &[
            on(1, 3, Read, Run(238)),
            on(1, 0, Read, Close),
            on(0, 0, Write, Run(21_114)),
            on(0, 1, Write, Filter(Identity)),
            on(0, 2, Read, Release),
        ],
    ));
    run(&Case::new(
        (Socket, Breaking, &[]),
        (65_536, 121),
        &[
            on(0, 0, Read, Close),
            on(0, 3, Read, Run(2926)),
            on(1, 0, Read, Filter(Identity)),
            on(1, 2, Read, Release),
        ],
    ));
}

#[test]
fn a_filter_that_lost_bytes_is_not_released() {
    run(&Case::new(
        (Pair(false), Breaking, &[Identity]),
        (65_536, 93),
        &[
            later(1, 0, Read, Put(940, Broken)),
            later(1, 2, Read, Release),
            on(0, 2, Write, Put(3, Shared)),
            on(1, 2, Write, Run(32_250)),
            on(1, 0, Write, Put(4937, Copied)),
            on(1, 1, Read, Run(22_229)),
        ],
    ));
}
#[test]
fn a_source_that_fails_after_writing_was_ended_is_no_good_end() {
    run(&Case::new(
        (Across(true), Breaking, &[Greedy]),
        (65_536, 65),
        &[
            on(0, 1, Write, Run(216)),
            on(0, 3, Read, Put(10_651, Copied)),
            on(1, 2, Read, Put(142, Broken)),
            on(1, 2, Read, LimitByTick(10_014)),
            on(1, 3, Read, EndWriting),
            later(0, 1, Write, Run(26_786)),
        ],
    ));
}

#[test]
fn a_flush_that_is_over_after_the_end_does_not_tell_it_again() {
    for link in [Pair(true), Across(true)] {
        run(&Case::new(
            (link, Rough, &[]),
            (65_536, 254),
            &[
                on(1, 0, Read, EndWriting),
                on(0, 2, Read, Run(500)),
                on(1, 2, Write, Push(Finished)),
            ],
        ));
    }
}

#[test]
fn writing_that_was_ended_above_a_filter_ends_though_it_is_released() {
    run(&Case::new(
        (Socket, Rough, &[]),
        (65_536, 78),
        &[
            on(1, 3, Read, Run(34_175)),
            on(0, 2, Read, Filter(Identity)),
            on(0, 0, Read, EndWriting),
            on(0, 2, Write, Release),
        ],
    ));
}

#[test]
fn a_close_above_writing_that_was_ended_below_lets_it_drain() {
    run(&Case::new(
        (Pair(false), Breaking, &[]),
        (65_536, 152),
        &[
            on(0, 0, Read, Put(2005, Shared)),
            on(1, 3, Read, Disable),
            on(0, 3, Read, EndWriting),
            on(0, 2, Write, Filter(Greedy)),
            on(0, 1, Write, Close),
            later(1, 0, Write, Run(267)),
        ],
    ));
}

#[test]
fn a_filter_learns_of_an_end_that_was_told_whatever_call_is_due() {
    run(&Case::new(
        (Across(false), Calm, &[]),
        (5000, 224),
        &[
            on(0, 1, Read, Run(34_434)),
            on(0, 1, Read, EndWriting),
            on(0, 2, Read, Run(251)),
            on(1, 2, Read, Call(Always)),
            on(1, 1, Write, Filter(Greedy)),
        ],
    ));
}
