//! The time each operation of a group takes, and for comparison a clock reading and an atomic.
//!
//! Owns the measuring with criterion; what is measured is in `rig`. `now` is a number passed in:
//! callers that read a clock for a draw pay what `clock` says on top. Time is CPU time of the
//! measuring thread, so that other programs disturb it little.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};

mod rig;

fn operations(criterion: &mut Criterion) {
    for operation in rig::OPERATIONS {
        // Only what the command line selects is set up.
        let mut steps = None;
        criterion.bench_function(operation.name, |bencher| {
            let steps = steps.get_or_insert_with(|| operation.prepare());
            bencher.iter_custom(|count| cpu_time(|| steps(count)) / operation.per_step);
        });
    }
    criterion.bench_function("clock", |bencher| {
        bencher.iter_custom(|count| cpu_time(|| (0..count).for_each(|_| read_clock())));
    });
    let word = AtomicU64::new(0);
    criterion.bench_function("fetch_add", |bencher| {
        let add = || _ = word.fetch_add(1, Ordering::AcqRel);
        bencher.iter_custom(|count| cpu_time(|| (0..count).for_each(|_| add())));
    });
}

/// The CPU time this thread spends in `work`.
fn cpu_time(work: impl FnOnce()) -> Duration {
    let reading = || {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("CPU time is not negative")
    };
    let begun = reading();
    work();
    reading() - begun
}

#[expect(clippy::disallowed_methods, reason = "the cost of a reading is what is measured")]
fn read_clock() {
    black_box(Instant::now());
}

fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = settings(); targets = operations }
criterion_main!(benches);
