//! Whether a run may be believed, and the one sentence that says what to change.
//!
//! Owns the bars for noise and for a busy client. A verdict never changes a figure; several may
//! apply.

use serde::Serialize;

use crate::figure::count;

/// A remark on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    pub(crate) name: &'static str,
    pub(crate) sentence: String,
}

/// What is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Busiest client thread, as a fraction of the measured time.
    pub(crate) client_cpu: f64,
    /// Busiest the server may have been, as a fraction of its cores; unknown for a foreign server.
    pub(crate) server_cpu: Option<f64>,
    pub(crate) noise: Noise,
    pub(crate) shared: Option<String>,
    /// Connections that failed, told in words.
    pub(crate) errors: Option<String>,
    pub(crate) offered: Option<Offered>,
}

/// What was to be done at a fixed rate, and what was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Offered {
    pub(crate) per_sec: f64,
    pub(crate) done: u64,
    pub(crate) seconds: f64,
}

impl Offered {
    /// Whether less was done than the bar allows: a whole operation less, as the last one may be
    /// under way at the end.
    fn is_missed(self) -> bool {
        let bar = (self.per_sec * self.seconds * ACHIEVED_BAR).floor();
        ((self.done + 1) as f64) < bar
    }
}

/// What kept the two sides from running.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Noise {
    /// Largest share of a used CPU that the host took away.
    pub(crate) steal: f64,
    /// The side whose threads waited longest for a CPU, and for which share of the time; absent
    /// where they wait for each other by design, so that waiting says nothing about strangers.
    pub(crate) waited: Option<(&'static str, f64)>,
    /// Where they do, the share of the CPUs that other programs used instead.
    pub(crate) strangers: Option<f64>,
}

impl Noise {
    /// A remark for each kind of noise that is above its bar.
    pub(crate) fn remarks(&self) -> Vec<Remark> {
        let mut sentences = Vec::new();
        if self.steal > STEAL_BAR {
            sentences.push(format!(
                "{:.1} % of a CPU was taken away by the host; repeat when it is quiet.",
                self.steal * 100.0
            ));
        }
        if let Some((side, share)) = self.waited.filter(|(_, share)| *share > WAIT_BAR) {
            sentences.push(format!(
                "The {side} waited {:.1} % of the time for its CPU; stop other programs and \
                 repeat.",
                share * 100.0
            ));
        }
        if let Some(share) = self.strangers.filter(|share| *share > STRANGER_BAR) {
            sentences.push(format!(
                "Other programs used {:.1} % of the CPUs; stop them and repeat.",
                share * 100.0
            ));
        }
        sentences.into_iter().map(|sentence| Remark { name: "NOISY", sentence }).collect()
    }
}

/// The remarks that apply, worst first; none means the run is valid.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut remark = |name, sentence| remarks.push(Remark { name, sentence });
    if let Some(errors) = &evidence.errors {
        remark("ERRORS", format!("Connections failed ({errors}); the totals are of the others."));
    }
    if let Some(offered) = evidence.offered.filter(|offered| offered.is_missed()) {
        remark(
            "OVERLOADED",
            format!(
                "Of {} per second {} were done, so what is late grows with the length of the run; \
                 lower --rate.",
                count(offered.per_sec),
                count(offered.done as f64 / offered.seconds.max(1e-9))
            ),
        );
    }
    if let Some(why) = &evidence.shared {
        remark(
            "SHARED-CORE",
            format!(
                "Client and server take time from each other ({why}); compare CPU per operation."
            ),
        );
    }
    remarks.extend(evidence.noise.remarks());
    let busy_server = evidence.server_cpu.is_some_and(|server| server >= BUSY);
    if evidence.client_cpu >= BUSY && !busy_server {
        let server = match evidence.server_cpu {
            Some(_) => "the server did not",
            None => "the server's share is unknown",
        };
        let sentence = format!(
            "The client used {:.0} % of its CPU and {server}; give it more with --client-cpus \
             and -t, or compare CPU per operation.",
            evidence.client_cpu * 100.0
        );
        remarks.push(Remark { name: "CLIENT-BOUND", sentence });
    }
    remarks
}

/// The remarks as one word: their names joined, or VALID.
pub(crate) fn summary(remarks: &[Remark]) -> String {
    if remarks.is_empty() {
        return "VALID".to_owned();
    }
    let mut names: Vec<&str> = remarks.iter().map(|remark| remark.name).collect();
    names.dedup();
    names.join("+")
}

/// Share of a CPU stolen above which figures are noise.
const STEAL_BAR: f64 = 0.05;
/// Share of the time spent waiting for a CPU above which figures are noise.
const WAIT_BAR: f64 = 0.05;
/// Share of the CPUs used by others above which figures are noise; it is known to a few per cent.
const STRANGER_BAR: f64 = 0.1;
/// Share of the offered rate below which latencies depend on the length of the run.
const ACHIEVED_BAR: f64 = 0.99;
/// A thread that used this much of its time was the limit.
const BUSY: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(evidence: &Evidence) -> String {
        summary(&judge(evidence))
    }

    #[test]
    fn a_quiet_run_is_valid() {
        let evidence = Evidence {
            client_cpu: 0.5,
            server_cpu: Some(0.99),
            offered: Some(Offered { per_sec: 1000.0, done: 9899, seconds: 10.0 }),
            ..Evidence::default()
        };
        assert_eq!(names(&evidence), "VALID");
    }

    #[test]
    fn a_moment_that_falls_outside_of_a_short_time_is_not_missed() {
        let missed = |per_sec, done, seconds| Offered { per_sec, done, seconds }.is_missed();
        // In a time of 49.5 there are 49 moments, of which the last may be under way at the end.
        assert!(!missed(33.0, 48, 1.5));
        assert!(missed(33.0, 47, 1.5));
        assert!(!missed(1.0, 0, 0.5));
    }

    #[test]
    fn a_busy_client_bounds_all_but_a_busy_server() {
        let mut evidence =
            Evidence { client_cpu: 0.95, server_cpu: Some(0.6), ..Evidence::default() };
        assert_eq!(names(&evidence), "CLIENT-BOUND");
        evidence.server_cpu = None;
        assert_eq!(names(&evidence), "CLIENT-BOUND");
        evidence.server_cpu = Some(0.95);
        assert_eq!(names(&evidence), "VALID");
    }

    #[test]
    fn noise_is_said_above_the_bar_only_and_names_the_side() {
        let quiet = Noise { steal: 0.05, waited: Some(("client", 0.05)), strangers: Some(0.1) };
        assert_eq!(quiet.remarks(), []);
        let noisy = Noise { waited: Some(("client", 0.051)), ..Noise::default() };
        let remarks = noisy.remarks();
        assert!(remarks[0].sentence.starts_with("The client waited 5.1 %"), "{remarks:?}");
        let noisy = Noise { strangers: Some(0.11), ..Noise::default() };
        let remarks = noisy.remarks();
        assert!(remarks[0].sentence.starts_with("Other programs used 11.0 %"), "{remarks:?}");
    }

    #[test]
    fn several_remarks_are_joined_and_each_says_something() {
        let evidence = Evidence {
            noise: Noise { steal: 0.06, waited: Some(("server", 0.06)), strangers: None },
            shared: Some("CPU 0".to_owned()),
            errors: Some("2 refused".to_owned()),
            offered: Some(Offered { per_sec: 1000.0, done: 9898, seconds: 10.0 }),
            ..Evidence::default()
        };
        assert_eq!(names(&evidence), "ERRORS+OVERLOADED+SHARED-CORE+NOISY");
        assert!(judge(&evidence).iter().all(|remark| remark.sentence.ends_with('.')));
    }
}
