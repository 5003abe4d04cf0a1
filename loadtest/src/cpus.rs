//! Which CPUs the two sides use: lists, defaults, pins and quotas.
//!
//! Owns the two words that stand beside the runtime's own grammar of CPU lists, the split of the
//! allowed CPUs between server and client, and the pinning of client threads. Never chooses a CPU
//! outside the process's mask: asking for one is an error that lists the allowed ones.

use std::fmt;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sluicegate::placement::{CpuQuota, Snapshot};
use sluicegate::{Cores, Cpus, Pin};

use crate::exit::{Failure, Outcome};

/// A CPU list flag: a list as the runtime reads it, such as `0-3,8` or `node0,!0`, `auto` or
/// `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CpuChoice {
    /// Chosen by the program: all of them, server and client apart where possible.
    #[default]
    Auto,
    /// Threads run wherever the kernel puts them.
    Unpinned,
    /// Exactly these CPUs, ascending.
    List(Vec<usize>),
}

impl FromStr for CpuChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::Unpinned),
            _ => {}
        }
        let cpus = text.parse::<Cpus>().map_err(|e| format!("{e}; or write auto or none"))?;
        if cpus.core_count().is_some() {
            return Err(format!(
                "{text:?} is a list for each core; write one for all, and tie cores with --pin"
            ));
        }
        if let Ok(numbers) = text.parse::<sluicegate::CpuSet>() {
            // Whether this process may use them is told where the flag is known.
            return Ok(Self::List(numbers.iter().collect()));
        }
        named(cpus).map(Self::List)
    }
}

/// The CPUs of a list with names, on this machine: those that a core tied to it would run on.
fn named(cpus: Cpus) -> Result<Vec<usize>, String> {
    let mut asked = sluicegate::Placement::default();
    (asked.cpus, asked.cores, asked.pin) = (Some(cpus), Some(Cores::Count(1)), Some(Pin::Set));
    let plan = asked.plan(&Snapshot::take()).map_err(|refused| refused.to_string())?;
    let cores = plan.cores.into_iter().filter_map(|core| core.cpus);
    Ok(cores.flat_map(|cpus| cpus.iter().collect::<Vec<_>>()).collect())
}

impl fmt::Display for CpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Unpinned => f.write_str("none"),
            Self::List(cpus) => f.write_str(&list(cpus)),
        }
    }
}

/// Where the two sides of a run go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// CPUs of the server, one core each; empty means unpinned.
    pub(crate) server: Vec<usize>,
    /// CPUs of the client threads, round robin; empty means unpinned.
    pub(crate) client: Vec<usize>,
    /// Why the two sides may have taken time from each other, if they may.
    pub(crate) shared: Option<String>,
}

impl Placement {
    /// Resolves both flags against the allowed CPUs and the quota.
    ///
    /// The first half of the allowed CPUs goes to the server and the rest to the client, unless a
    /// list says otherwise; what one side takes explicitly the other side avoids if it can.
    ///
    /// # Errors
    /// A CPU outside the allowed ones; choose among those the message lists.
    pub(crate) fn resolve(
        server: &CpuChoice,
        client: &CpuChoice,
        allowed: &[usize],
        quota: Option<f64>,
    ) -> Outcome<Self> {
        check("--server-cpus", server, allowed)?;
        check("--client-cpus", client, allowed)?;
        let without = |taken: &[usize]| -> Vec<usize> {
            let rest: Vec<usize> = allowed.iter().copied().filter(|c| !taken.contains(c)).collect();
            if rest.is_empty() { allowed[allowed.len() - 1..].to_vec() } else { rest }
        };
        let half = allowed.len().div_ceil(2);
        let (server, client) = match (server, client) {
            (CpuChoice::List(s), CpuChoice::List(c)) => (s.clone(), c.clone()),
            (CpuChoice::List(s), CpuChoice::Auto) => (s.clone(), without(s)),
            (CpuChoice::Auto, CpuChoice::List(c)) => (without(c), c.clone()),
            (CpuChoice::Auto, CpuChoice::Auto) => {
                (allowed[..half].to_vec(), without(&allowed[..half]))
            }
            (CpuChoice::List(s), CpuChoice::Unpinned) => (s.clone(), Vec::new()),
            (CpuChoice::Unpinned, CpuChoice::List(c)) => (Vec::new(), c.clone()),
            _ => (Vec::new(), Vec::new()),
        };
        let shared = if server.is_empty() || client.is_empty() {
            Some("a side is not pinned".to_owned())
        } else if server.iter().any(|cpu| client.contains(cpu)) {
            Some(format!("server on CPU {}, client on CPU {}", list(&server), list(&client)))
        } else {
            quota.filter(|q| *q < 2.0).map(|q| format!("the quota is {q:.2} CPUs for both sides"))
        };
        Ok(Self { server, client, shared })
    }

    /// Gives the server at least this many CPUs where nobody chose them and there are so many.
    ///
    /// Where none is left then the client runs wherever there is room.
    pub(crate) fn with_server_cpus(
        self,
        least: usize,
        chosen: &CpuChoice,
        allowed: &[usize],
    ) -> Self {
        if *chosen != CpuChoice::Auto || self.server.len() >= least.min(allowed.len()) {
            return self;
        }
        let (server, client) = allowed.split_at(least.min(allowed.len()));
        let anywhere = || format!("server on CPU {}, client anywhere", list(server));
        let shared = self.shared.or_else(|| client.is_empty().then(anywhere));
        Self { server: server.to_vec(), client: client.to_vec(), shared }
    }
}

/// The CPUs this process may run on, in order.
///
/// # Errors
/// The kernel refuses to tell (a sandbox without `sched_getaffinity`).
pub(crate) fn allowed() -> Outcome<Vec<usize>> {
    let set = sched_getaffinity(None)
        .map_err(|errno| Failure::io("reading the CPU mask")(errno.into()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Pins the calling thread to these CPUs; an empty list leaves it alone.
///
/// # Errors
/// The kernel refuses the mask, for example because a CPU went offline meanwhile.
pub(crate) fn pin(cpus: &[usize]) -> Outcome {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    sched_setaffinity(None, &set)
        .map_err(|errno| Failure::io(format!("pinning to CPU {}", list(cpus)))(errno.into()))
}

/// The CPU time this process may use per second of time, if a control group limits it.
pub(crate) fn quota() -> Option<f64> {
    Snapshot::take().quota().map(paid_for)
}

/// The CPUs that a quota pays for, in fractions.
pub(crate) fn paid_for(quota: CpuQuota) -> f64 {
    quota.quota_us as f64 / quota.period_us.get() as f64
}

/// Fails if a list names a CPU that is not allowed.
///
/// # Errors
/// The first such CPU, with the allowed ones.
fn check(flag: &'static str, choice: &CpuChoice, allowed: &[usize]) -> Outcome {
    let CpuChoice::List(cpus) = choice else { return Ok(()) };
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(&cpu) => Err(Failure::CpuNotAllowed { flag, cpu, allowed: list(allowed) }),
        None => Ok(()),
    }
}

/// The CPUs a server's flag stands for: all allowed ones for `auto`, none for `none`.
///
/// # Errors
/// A CPU outside the allowed ones; choose among those the message lists.
pub(crate) fn resolve(
    flag: &'static str,
    choice: &CpuChoice,
    allowed: &[usize],
) -> Outcome<Vec<usize>> {
    check(flag, choice, allowed)?;
    Ok(match choice {
        CpuChoice::Auto => allowed.to_vec(),
        CpuChoice::Unpinned => Vec::new(),
        CpuChoice::List(cpus) => cpus.clone(),
    })
}

/// Prints CPUs the way the flags take them; an empty list is `any`.
pub(crate) fn list(cpus: &[usize]) -> String {
    if cpus.is_empty() {
        return "any".to_owned();
    }
    let mut text = String::new();
    let mut index = 0;
    while index < cpus.len() {
        let first = cpus[index];
        while index + 1 < cpus.len() && cpus[index + 1] == cpus[index] + 1 {
            index += 1;
        }
        let comma = if text.is_empty() { "" } else { "," };
        let last = cpus[index];
        text += &match last - first {
            0 => format!("{comma}{first}"),
            _ => format!("{comma}{first}-{last}"),
        };
        index += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(server: &str, client: &str, allowed: &[usize]) -> Outcome<Placement> {
        let (server, client) = (server.parse().unwrap(), client.parse().unwrap());
        Placement::resolve(&server, &client, allowed, None)
    }

    #[test]
    fn lists_are_the_runtimes_and_two_words_stand_beside_them() {
        assert_eq!("0-3,8".parse(), Ok(CpuChoice::List(vec![0, 1, 2, 3, 8])));
        assert_eq!("6,0-4:2,0".parse(), Ok(CpuChoice::List(vec![0, 2, 4, 6])));
        assert_eq!("none".parse(), Ok(CpuChoice::Unpinned));
        assert_eq!(list(&[0, 1, 2, 3, 8]), "0-3,8");
        let allowed = allowed().unwrap();
        assert_eq!("allowed".parse(), Ok(CpuChoice::List(allowed.clone())));
        let last = allowed[allowed.len() - 1];
        assert_eq!(format!("!0-1023,{last}").parse(), Ok(CpuChoice::List(vec![last])));
    }

    #[test]
    fn a_bad_list_says_where_it_is_wrong_and_what_was_meant() {
        for (text, part) in [
            ("", "column 1"),
            ("3-1", "`1-3`"),
            ("0-4:0", "stride"),
            ("0,x", "\"x\" at column 3"),
            ("1,,2", "column 3"),
            ("99999999", "1023"),
            ("nod0", "`node0`"),
            ("0;1", "for each core"),
        ] {
            let error = text.parse::<CpuChoice>().unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_two_sides_are_kept_apart_by_default() {
        let placement = auto("auto", "auto", &[0, 1]).unwrap();
        assert_eq!((placement.server, placement.client), (vec![0], vec![1]));
        assert_eq!(placement.shared, None);
        let placement = auto("auto", "0", &[0, 1, 2]).unwrap();
        assert_eq!(placement.server, vec![1, 2]);
    }

    #[test]
    fn a_server_that_needs_two_cpus_takes_them_and_says_so() {
        let placed = |server: &str, allowed: &[usize]| {
            let placement = auto(server, "auto", allowed).unwrap();
            placement.with_server_cpus(2, &server.parse().unwrap(), allowed)
        };
        let both = placed("auto", &[0, 1]);
        assert_eq!((both.server, both.client), (vec![0, 1], vec![]));
        assert!(both.shared.unwrap().contains("anywhere"));
        let three = placed("auto", &[0, 1, 2]);
        assert_eq!((three.server, three.client, three.shared), (vec![0, 1], vec![2], None));
        assert_eq!(placed("1", &[0, 1]).server, [1], "it was chosen");
        assert_eq!(placed("auto", &[5]).server, [5], "there is no other");
    }

    #[test]
    fn a_shared_cpu_or_a_quota_is_said() {
        assert!(auto("auto", "auto", &[3]).unwrap().shared.is_some());
        assert!(auto("0-1", "auto", &[0, 1]).unwrap().shared.is_some());
        let both = CpuChoice::Auto;
        let placement = Placement::resolve(&both, &both, &[0, 1], Some(1.0)).unwrap();
        assert!(placement.shared.unwrap().contains("quota"));
    }

    #[test]
    fn a_cpu_outside_the_mask_lists_the_allowed_ones() {
        let error = auto("7", "auto", &[0, 1]).unwrap_err().to_string();
        assert!(error.contains("CPU 7") && error.contains("0-1"), "{error}");
    }
}
