//! One load against one server, with the figures of both sides.
//!
//! Owns the moments at which the server is asked: before the connections, when the warm-up ends,
//! and when the measured part ends. Works with a server process of ours, with any local process
//! whose number is known (CPU time and memory only), or with a server about which nothing is known.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::child::ServerProcess;
use crate::client::{self, Load, Spectator, Tally};
use crate::cpus::Placement;
use crate::exit::{Failure, Outcome};
use crate::procfs::{self, CpuTicks, CpuTime, Ticks};
use crate::progress::Progress;
use crate::serve::ServerStats;
use crate::server::CoreCounts;
use crate::verdict::Noise;

/// Who is loaded, as far as its figures are concerned.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    /// A child, which tells everything if it is ours.
    Child(&'a mut ServerProcess),
    /// A child of ours that holds its connections until the measured part begins.
    Held(&'a mut ServerProcess),
    /// A process of this machine: CPU time and memory only.
    Process(u32),
    /// An address and nothing else.
    Unknown,
}

/// The figures of a run.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) tally: Tally,
    pub(crate) server: Option<ServerFigures>,
    /// Largest share of time stolen from a CPU that was used.
    pub(crate) steal: f64,
    /// What the CPUs that were used did.
    ticks: Vec<Ticks>,
    /// CPU time of the client process in the measured part.
    pub(crate) client_cpu: CpuTime,
    /// Connections on each core of a child of ours, about four times a second.
    pub(crate) live: Vec<Live>,
}

/// The connections that were open on each core at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Live {
    /// Since the load began, warm-up included.
    pub(crate) at_s: f64,
    pub(crate) cores: Vec<u64>,
}

/// The server's figures at the three moments.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerFigures {
    pub(crate) at_start: ServerStats,
    pub(crate) before: ServerStats,
    pub(crate) after: ServerStats,
}

impl ServerFigures {
    /// What each core counted in the measured part.
    pub(crate) fn cores(&self) -> Vec<CoreCounts> {
        let pairs = self.after.cores.iter().zip(&self.before.cores);
        pairs.map(|(after, before)| after.since(before)).collect()
    }

    /// The longest that any core was away from its events since it started.
    pub(crate) fn loop_gap(&self) -> Duration {
        let gaps = self.after.cores.iter().map(|core| core.longest_gap_ns);
        Duration::from_nanos(gaps.max().unwrap_or_default())
    }

    /// The sum of one counter over the cores in the measured part.
    pub(crate) fn sum(&self, counter: impl Fn(&CoreCounts) -> u64) -> u64 {
        self.cores().iter().map(counter).sum()
    }
}

impl Measurement {
    /// What kept the two sides from running.
    ///
    /// Sides that share CPUs wait for each other, and so do client threads where there are more of
    /// them than CPUs: that is not noise, and those are left out.
    pub(crate) fn noise(&self, placement: &Placement) -> Noise {
        let seconds = self.tally.measured.as_secs_f64().max(1e-9);
        let share =
            |cpu: CpuTime, threads: usize| cpu.waited_ns as f64 / 1e9 / seconds / threads as f64;
        let server = self.server.as_ref().map(|f| f.after.cpu.since(&f.before.cpu));
        let mut sides = Vec::new();
        let threads = self.tally.cpu_fractions.len();
        if (1..=placement.client.len()).contains(&threads) {
            sides.push(("client", share(self.client_cpu, threads)));
        }
        let cores = self.server.as_ref().map_or(0, |figures| figures.after.cores.len());
        if let Some(cpu) = server.filter(|_| cores > 0) {
            sides.push(("server", share(cpu, cores)));
        }
        sides.retain(|_| placement.shared.is_none());
        let worst = sides.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let own = server.map(|server| server.total_ns + self.client_cpu.total_ns);
        let strangers = own.map(|own_ns| procfs::strangers(&self.ticks, own_ns));
        let strangers = strangers.filter(|_| placement.shared.is_some());
        Noise { steal: self.steal, waited: worst, strangers }
    }
}

/// Runs a load and reads the server's figures at its moments.
///
/// # Errors
/// No connection could be opened or none lasted, the server went away, or nothing was transferred.
pub(crate) fn take(
    load: &Load,
    subject: Subject<'_>,
    server_cpus: &[usize],
    progress: &mut Progress,
) -> Outcome<Measurement> {
    let mut watch = Watch {
        subject,
        figures: ServerFigures::default(),
        ticks: (CpuTicks::new(), CpuTicks::new()),
        client_cpu: (CpuTime::default(), CpuTime::default()),
        live: load.churn.is_some().then(Vec::new),
        is_measuring: false,
        progress,
    };
    watch.figures.at_start = watch.read()?;
    // A server that died is to blame for whatever the client met.
    let tally =
        client::run(load, &mut watch).map_err(|failure| watch.read().err().unwrap_or(failure))?;
    let failed = match load.churn {
        Some(_) if tally.ops == 0 && load.size == 0 => {
            Some("no handshake was completed".to_owned())
        }
        Some(_) if tally.ops == 0 => Some("no short connection got its reply".to_owned()),
        None if tally.errors.count() >= load.connections() as u64 => {
            Some(format!("none of {} connections lasted until the end", load.connections()))
        }
        _ => None,
    };
    if let Some(failed) = failed {
        return Err(Failure::NothingMeasured(format!("{failed}: {}", tally.errors)));
    }
    if tally.bytes_in + tally.bytes_out == 0 && load.traffic != client::Traffic::Idle {
        return Err(Failure::NothingMeasured(format!(
            "no bytes moved in {:?}; does the server at {} answer this workload?",
            load.duration, load.targets[0].address
        )));
    }
    let used: BTreeSet<usize> = server_cpus.iter().chain(&load.cpus).copied().collect();
    // A side that is not pinned may have run anywhere.
    let anywhere = server_cpus.is_empty() || load.cpus.is_empty();
    let used: Vec<usize> = used.into_iter().filter(|_| !anywhere).collect();
    let ticks = procfs::ticks_between(&watch.ticks.0, &watch.ticks.1, &used);
    let steal = procfs::steal(&ticks);
    let known = !matches!(watch.subject, Subject::Unknown);
    let client_cpu = watch.client_cpu.1.since(&watch.client_cpu.0);
    let server = known.then_some(watch.figures);
    let live = watch.live.unwrap_or_default();
    Ok(Measurement { tally, server, steal, ticks, client_cpu, live })
}

struct Watch<'a, 'b> {
    subject: Subject<'a>,
    figures: ServerFigures,
    /// Of the machine, before and after.
    ticks: (CpuTicks, CpuTicks),
    /// Of this process, before and after.
    client_cpu: (CpuTime, CpuTime),
    /// What [`Measurement`] is to know of connections, if anything.
    live: Option<Vec<Live>>,
    is_measuring: bool,
    progress: &'b mut Progress,
}

impl Watch<'_, '_> {
    fn read(&mut self) -> Outcome<ServerStats> {
        match &mut self.subject {
            Subject::Child(server) | Subject::Held(server) => server.stats(),
            Subject::Process(pid) => ServerStats::of_process(*pid),
            Subject::Unknown => Ok(ServerStats::default()),
        }
    }
}

fn own_cpu() -> Outcome<CpuTime> {
    procfs::cpu_time("self").map_err(Failure::io("reading CPU time"))
}

impl Spectator for Watch<'_, '_> {
    fn measure(&mut self) -> Outcome {
        self.is_measuring = true;
        self.ticks.0 = procfs::cpu_ticks();
        self.client_cpu.0 = own_cpu()?;
        self.figures.before = match &mut self.subject {
            Subject::Held(server) => server.go()?,
            _ => self.read()?,
        };
        Ok(())
    }

    fn stop(&mut self) -> Outcome {
        self.figures.after = self.read()?;
        self.client_cpu.1 = own_cpu()?;
        self.ticks.1 = procfs::cpu_ticks();
        Ok(())
    }

    fn tick(&mut self, elapsed: Duration) -> Outcome {
        self.progress.advance(elapsed);
        match (&mut self.subject, &mut self.live) {
            (Subject::Child(server), Some(live)) if self.is_measuring => {
                let cores = server.stats()?.cores;
                let cores: Vec<u64> = cores.iter().map(|core| core.connections).collect();
                // Of a foreign server they are not known.
                if !cores.is_empty() {
                    live.push(Live { at_s: elapsed.as_secs_f64(), cores });
                }
                Ok(())
            }
            (Subject::Child(server) | Subject::Held(server), _) => server.check(),
            (Subject::Process(_) | Subject::Unknown, _) => Ok(()),
        }
    }
}
