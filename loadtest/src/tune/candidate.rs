//! What a tuning tries: ways to place a server's cores.
//!
//! Owns the list and its bound; pure. The first candidate is the defaults with what the user fixed;
//! each other differs from it in one thing, because all combinations would be hundreds. (In which
//! order CPUs are chosen only matters where there are more than cores, so it is tried with half of
//! them.) The runtime's own planner is asked what each comes to: one that it refuses, or that comes
//! to the same as another, is left out with the reason. What the user gives as a flag is fixed and
//! not varied.

use std::time::Duration;

use serde::Serialize;
use sluicegate::placement::Snapshot;
use sluicegate::{AcceptMode, Cores, CpuSet, Dispatch, Idle, Order, Pin, Smt};

use crate::arguments::PlacementArguments;

/// What the candidates are made from.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// CPUs the server gets; none if it is not confined.
    pub(crate) server_cpus: &'a [usize],
    /// Whether the client runs on them too.
    pub(crate) is_shared: bool,
}

/// What is tried, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Field {
    /// The first has what the user gave and nothing else.
    pub(crate) candidates: Vec<PlacementArguments>,
    pub(crate) left_out: Vec<LeftOut>,
    /// What each candidate comes to.
    outcomes: Vec<Place>,
    /// How cores are tied where a candidate does not say so.
    default_pin: Option<Pin>,
}

/// A way that is not tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) flags: String,
    pub(crate) why: String,
}

/// What can be told apart from outside: where each core runs, what it does when idle, and how
/// connections come to it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    cores: Vec<Option<CpuSet>>,
    idle: Idle,
    /// Whichever way it is with one core.
    accept: AcceptMode,
}

impl Field {
    /// At most [`MOST_CANDIDATES`].
    ///
    /// # Errors
    /// What the user fixed cannot be done; the message of the planner.
    pub(crate) fn new(ground: &Ground<'_>, fixed: &PlacementArguments) -> Result<Self, String> {
        let mut field = Self::default();
        let first = place(ground, fixed)?;
        let cores = first.cores.len();
        field.default_pin = PlacementArguments::default_pin(ground.server_cpus);
        field.candidates.push(fixed.clone());
        field.outcomes.push(first);
        let mut consider = |change: &dyn Fn(&mut PlacementArguments)| {
            let mut candidate = fixed.clone();
            change(&mut candidate);
            field.consider(ground, candidate);
        };
        let half = (cores / 2).max(1);
        if fixed.cores.is_none() {
            let mut counts = vec![half, 1];
            counts.dedup();
            for count in counts {
                consider(&|candidate| candidate.cores = Some(Cores::Count(count)));
            }
        }
        if fixed.order.is_none() {
            consider(&|candidate| {
                candidate.cores = candidate.cores.or(Some(Cores::Count(half)));
                candidate.order = Some(Order::Pack);
            });
        }
        if fixed.pin.is_none() {
            for pin in [Pin::None, Pin::Set, Pin::Node] {
                consider(&|candidate| candidate.pin = Some(pin));
            }
        }
        if fixed.smt.is_none() {
            consider(&|candidate| candidate.smt = Some(Smt::One));
        }
        if fixed.idle.is_none() {
            for idle in [Idle::Spin(SPIN), Idle::Busy] {
                consider(&|candidate| candidate.idle = Some(idle));
            }
        }
        if fixed.accept.is_none() {
            let single = |by| AcceptMode::Single { acceptor: 0, by };
            for accept in
                [AcceptMode::ReusePort, single(Dispatch::LeastLoaded), single(Dispatch::RoundRobin)]
            {
                consider(&|candidate| candidate.accept = Some(accept));
            }
        }
        debug_assert!(field.candidates.len() <= MOST_CANDIDATES);
        Ok(field)
    }

    /// A candidate's flags with those that follow from the CPUs it is given, so that they mean the
    /// same wherever they are copied to.
    pub(super) fn in_full(&self, index: usize) -> PlacementArguments {
        let mut full = self.candidates[index].clone();
        full.cores = Some(Cores::Count(self.outcomes[index].cores.len()));
        full.pin = full.pin.or(self.default_pin);
        full
    }

    /// Takes a candidate, or leaves it out.
    fn consider(&mut self, ground: &Ground<'_>, candidate: PlacementArguments) {
        let why = match place(ground, &candidate) {
            Err(why) => why,
            // Unless it is what the user wants of all of them.
            Ok(place)
                if ground.is_shared
                    && place.idle != Idle::Park
                    && candidate.idle != self.candidates[0].idle =>
            {
                "looking for events would take the time of the client on the same CPUs".to_owned()
            }
            Ok(place) => match self.outcomes.iter().position(|other| *other == place) {
                None => {
                    self.candidates.push(candidate);
                    return self.outcomes.push(place);
                }
                Some(0) => "on this machine it comes to the same as the first".to_owned(),
                Some(other) => {
                    let other = self.candidates[other].line();
                    format!("on this machine it comes to the same as {other}")
                }
            },
        };
        self.left_out.push(LeftOut { flags: candidate.line(), why });
    }
}

/// What a candidate comes to, or why it cannot be done.
fn place(ground: &Ground<'_>, candidate: &PlacementArguments) -> Result<Place, String> {
    let plan = candidate.plan(ground.server_cpus, ground.snapshot)?;
    if plan.idle != candidate.idle.unwrap_or_default() {
        let refused = plan.warnings.iter().map(ToString::to_string);
        return Err(refused.collect::<Vec<_>>().join("; "));
    }
    let cores: Vec<_> = plan.cores.into_iter().map(|core| core.cpus).collect();
    let accept = candidate.accept.filter(|_| cores.len() > 1).unwrap_or_default();
    Ok(Place { cores, idle: plan.idle, accept })
}

/// So many there are at most, on whatever machine.
pub(crate) const MOST_CANDIDATES: usize = 13;
/// Longer than a message between cores takes, shorter than most pauses.
const SPIN: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of so many CPUs with two to a physical core, and nodes of four.
    fn machine(cpus: usize, quota: Option<&str>) -> Snapshot {
        let root = tempfile::tempdir().unwrap();
        let write = |path: String, text: String| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/devices/system/cpu/online".into(), format!("0-{}", cpus - 1));
        for cpu in 0..cpus {
            let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            let core = cpu / 2 * 2;
            write(format!("{topology}/thread_siblings_list"), format!("{core}-{}", core + 1));
            write(format!("{topology}/physical_package_id"), (cpu / 4).to_string());
        }
        for node in 0..cpus.div_ceil(4) {
            let last = (node * 4 + 3).min(cpus - 1);
            let path = format!("sys/devices/system/node/node{node}/cpulist");
            write(path, format!("{}-{last}", node * 4));
        }
        if let Some(quota) = quota {
            write("proc/self/cgroup".into(), "0::/\n".into());
            let mount = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
            write("proc/self/mountinfo".into(), mount.into());
            write("sys/fs/cgroup/cpu.max".into(), quota.into());
        }
        Snapshot::read(root.path())
    }

    fn field(snapshot: &Snapshot, cpus: &[usize], fixed: &PlacementArguments) -> Field {
        let ground = Ground { snapshot, server_cpus: cpus, is_shared: false };
        Field::new(&ground, fixed).unwrap()
    }

    fn lines(field: &Field) -> Vec<String> {
        field.candidates.iter().map(PlacementArguments::line).collect()
    }

    fn left_out<'a>(field: &'a Field, flags: &str) -> &'a str {
        let left = field.left_out.iter().find(|left| left.flags == flags);
        &left.unwrap_or_else(|| panic!("{flags} in {:?}", field.left_out)).why
    }

    #[test]
    fn a_server_with_everything_is_varied_in_everything_and_stays_within_the_bound() {
        let snapshot = machine(8, None);
        let all: Vec<usize> = (0..8).collect();
        let field = field(&snapshot, &all, &PlacementArguments::default());
        let expected = [
            "",
            "--cores 4",
            "--cores 1",
            "--cores 4 --order pack",
            "--pin none",
            "--pin set",
            "--pin node",
            "--smt one",
            "--idle spin:50us",
            "--idle busy",
            "--accept reuseport",
            "--accept single:least",
            "--accept single:round-robin",
        ];
        // With eight CPUs one to a physical core is four cores spread out.
        let expected: Vec<&str> =
            expected.into_iter().filter(|line| *line != "--smt one").collect();
        assert_eq!(lines(&field), expected);
        assert!(left_out(&field, "--smt one").ends_with("the same as --cores 4"));
        assert!(field.candidates.len() <= MOST_CANDIDATES);
    }

    #[test]
    fn a_single_cpu_leaves_little_to_try() {
        let field = field(&machine(2, None), &[1], &PlacementArguments::default());
        assert_eq!(lines(&field), ["", "--pin none", "--idle spin:50us", "--idle busy"]);
        let same =
            ["--cores 1", "--pin set", "--smt one", "--cores 1 --order pack", "--accept reuseport"];
        for flags in same {
            assert!(left_out(&field, flags).contains("the same as the first"), "{flags}");
        }
    }

    #[test]
    fn what_is_given_stays_and_is_not_varied() {
        let fixed = PlacementArguments {
            cores: Some(Cores::Count(2)),
            idle: Some(Idle::Park),
            smt: Some(Smt::All),
            ..PlacementArguments::default()
        };
        let field = field(&machine(8, None), &[0, 1, 2, 3], &fixed);
        assert!(lines(&field).iter().all(|line| line.starts_with("--cores 2 ")), "{field:?}");
        assert!(lines(&field).iter().all(|line| line.contains("--smt all --idle park")));
        assert!(lines(&field).contains(&"--cores 2 --pin none --smt all --idle park".to_owned()));
    }

    #[test]
    fn an_idle_way_that_is_given_is_no_reason_to_leave_all_others_out() {
        let snapshot = machine(8, None);
        let ground = Ground { snapshot: &snapshot, server_cpus: &[0, 1], is_shared: true };
        let idle = Some(Idle::Spin(SPIN));
        let fixed = PlacementArguments { idle, ..PlacementArguments::default() };
        let field = Field::new(&ground, &fixed).unwrap();
        assert!(lines(&field).contains(&"--cores 1 --idle spin:50us".to_owned()), "{field:?}");
        let fixed = PlacementArguments::default();
        let field = Field::new(&ground, &fixed).unwrap();
        assert!(left_out(&field, "--idle busy").contains("client"), "{field:?}");
    }

    #[test]
    fn an_acceptor_that_is_given_leaves_out_those_who_do_not_have_it() {
        let accept = Some(AcceptMode::Fixed(1));
        let fixed = PlacementArguments { accept, ..PlacementArguments::default() };
        let field = field(&machine(4, None), &[0, 1], &fixed);
        assert_eq!(lines(&field)[0], "--accept fixed:1");
        let why = left_out(&field, "--cores 1 --accept fixed:1");
        assert!(why.contains("names core 1, and there are 1"), "{why}");
        let ground = Ground { snapshot: &machine(4, None), server_cpus: &[0], is_shared: false };
        assert!(Field::new(&ground, &fixed).unwrap_err().contains("fixed:1"));
    }

    #[test]
    fn the_flags_to_copy_do_not_depend_on_defaults() {
        let copied = |cpus: &[usize], index: usize| {
            let field = field(&machine(8, None), cpus, &PlacementArguments::default());
            field.in_full(index).line()
        };
        assert_eq!(copied(&[0, 1, 2, 3], 0), "--cores 4 --pin each");
        assert_eq!(copied(&[0, 1, 2, 3], 1), "--cores 2 --pin each");
        assert_eq!(copied(&[], 0), "--cores 1");
    }

    #[test]
    fn what_the_machine_cannot_do_is_left_out_with_the_planners_reason() {
        let snapshot = machine(4, Some("150000 100000"));
        let defaults = PlacementArguments::default();
        let quota = field(&snapshot, &[0, 1], &defaults);
        assert!(left_out(&quota, "--idle busy").contains("quota"), "{quota:?}");
        let free = machine(4, None);
        let ground = Ground { snapshot: &free, server_cpus: &[0, 1], is_shared: true };
        let shared = Field::new(&ground, &defaults).unwrap();
        assert!(left_out(&shared, "--idle spin:50us").contains("client"), "{shared:?}");
        let ground = Ground { snapshot: &free, server_cpus: &[9], is_shared: false };
        assert!(Field::new(&ground, &defaults).unwrap_err().contains('9'));
    }
}
