//! What a runtime found and chose at start, and what became of it at the end.
//!
//! Owns the two reports. The first prints as one line for the log, so that an operator sees what
//! the machine allows and where the cores run; the second says what a drain closed and what it cut.

use std::fmt;
use std::net::SocketAddr;

use crate::descriptor::DescriptorLimit;
use crate::placement::Plan;
use crate::stats::CoreStats;

/// What the runtime found and chose.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StartReport {
    /// How many cores there are.
    pub cores: usize,
    /// Where they run, and why there.
    pub plan: Plan,
    /// The limit of open files, before and now.
    pub descriptors: DescriptorLimit,
    /// Who keeps OpenSSL safe between threads.
    #[cfg(feature = "tls")]
    pub tls: tls::Threading,
    /// Where the figures are served.
    pub metrics: Option<SocketAddr>,
}

impl fmt::Display for StartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.plan, self.descriptors)?;
        #[cfg(feature = "tls")]
        write!(f, "; OpenSSL: {}", self.tls)?;
        self.metrics.map_or(Ok(()), |addr| write!(f, "; figures at http://{addr}/"))
    }
}

/// What became of the connections when the runtime ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// The last figures of each core, among them `drained` and `cut`.
    pub cores: Vec<CoreStats>,
    /// Cores whose thread panicked outside of any handler: a defect of the runtime.
    pub panicked: Vec<usize>,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drained: u64 = self.cores.iter().map(|core| core.drained).sum();
        let cut: u64 = self.cores.iter().map(|core| core.cut).sum();
        write!(f, "{} cores ended; {drained} connections drained, {cut} cut", self.cores.len())?;
        if !self.panicked.is_empty() {
            write!(f, "; cores {:?} panicked", self.panicked)?;
        }
        Ok(())
    }
}
