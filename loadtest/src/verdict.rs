//! Whether a run may be believed, and the one sentence that says what to change.
//!
//! Owns the bars for theft and for a busy client. A verdict never changes a figure; several may
//! apply.

use serde::Serialize;

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
    pub(crate) steal: f64,
    /// Largest share of the time a side was ready to run but had to wait for a CPU.
    pub(crate) waited: f64,
    pub(crate) shared: Option<String>,
    pub(crate) errors: u64,
}

/// The remarks that apply, worst first; none means the run is valid.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut remark = |name, sentence| remarks.push(Remark { name, sentence });
    if evidence.errors > 0 {
        remark(
            "ERRORS",
            format!("{} connections failed; the totals are of the others.", evidence.errors),
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
    if evidence.steal > STEAL_BAR {
        remark(
            "NOISY",
            format!(
                "{:.1} % of a CPU was taken away by the host; repeat when it is quiet.",
                evidence.steal * 100.0
            ),
        );
    }
    if evidence.waited > WAIT_BAR {
        remark(
            "NOISY",
            format!(
                "Threads waited {:.1} % of the time for a CPU; stop other programs and repeat.",
                evidence.waited * 100.0
            ),
        );
    }
    let idle_server = evidence.server_cpu.is_some_and(|server| server < BUSY);
    if evidence.client_cpu >= BUSY && idle_server {
        remark(
            "CLIENT-BOUND",
            format!(
                "The client used {:.0} % of its CPU and the server did not; give it more with \
                 --client-cpus and -t, or compare CPU per operation.",
                evidence.client_cpu * 100.0
            ),
        );
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
        let evidence = Evidence { client_cpu: 0.5, server_cpu: Some(0.99), ..Evidence::default() };
        assert_eq!(names(&evidence), "VALID");
    }

    #[test]
    fn a_busy_client_bounds_only_an_idle_server() {
        let mut evidence =
            Evidence { client_cpu: 0.95, server_cpu: Some(0.6), ..Evidence::default() };
        assert_eq!(names(&evidence), "CLIENT-BOUND");
        evidence.server_cpu = Some(0.95);
        assert_eq!(names(&evidence), "VALID");
    }

    #[test]
    fn several_remarks_are_joined_and_each_says_something() {
        let evidence = Evidence {
            steal: 0.06,
            waited: 0.06,
            shared: Some("CPU 0".to_owned()),
            errors: 2,
            ..Evidence::default()
        };
        assert_eq!(names(&evidence), "ERRORS+SHARED-CORE+NOISY");
        assert!(judge(&evidence).iter().all(|remark| remark.sentence.ends_with('.')));
    }
}
