//! The flags that say who watches a server.
//!
//! Owns their names, how they are written again for a child process, and which address cannot be.
//! Never acts.

use std::fmt;
use std::net::ToSocketAddrs;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use sluicegate::MIN_STALL_THRESHOLD;

use crate::exit::{Failure, Outcome};
use crate::units::duration;

/// What is looked at while a server runs; what is absent has a default.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchArguments {
    /// Serves the figures of cores and groups at this address, for Prometheus and as a page
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,
    /// How long a call may take before it is a stall, or off [default: 1s]
    #[arg(long, value_name = "T")]
    pub(crate) watchdog: Option<Watchdog>,
}

/// How long a call may take, if anybody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watchdog(pub(crate) Option<Duration>);

impl WatchArguments {
    /// Fails if there is no such address to serve figures at.
    ///
    /// # Errors
    /// The text neither is one nor resolves to one.
    pub(crate) fn check(&self) -> Outcome {
        let resolved = self.metrics.as_deref().map(|addr| (addr, addr.to_socket_addrs()));
        match resolved {
            Some((addr, Err(why))) => Err(Failure::address("--metrics", addr, &why)),
            _ => Ok(()),
        }
    }

    /// The flags that are given, with their values.
    pub(crate) fn flags(&self) -> Vec<(&'static str, String)> {
        let metrics = self.metrics.clone().map(|addr| ("--metrics", addr));
        let watchdog = self.watchdog.map(|watchdog| ("--watchdog", watchdog.to_string()));
        metrics.into_iter().chain(watchdog).collect()
    }
}

impl FromStr for Watchdog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let threshold = duration(text).map_err(|error| format!("{error}; or write off"))?;
        if threshold < MIN_STALL_THRESHOLD {
            return Err(format!(
                "{text:?} is too short to be a stall; give {MIN_STALL_THRESHOLD:?} at least, or off"
            ));
        }
        Ok(Self(Some(threshold)))
    }
}

impl fmt::Display for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(threshold) => write!(f, "{}ns", threshold.as_nanos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_off_or_has_a_time_that_can_be_a_stall() {
        for text in ["off", "1ms", "2s500ms"] {
            let watchdog: Watchdog = text.parse().unwrap();
            assert_eq!(watchdog.to_string().parse(), Ok(watchdog), "{text}");
        }
        assert_eq!("off".parse(), Ok(Watchdog(None)));
        assert!("999us".parse::<Watchdog>().unwrap_err().contains("1ms at least"));
        assert!("no".parse::<Watchdog>().unwrap_err().contains("or write off"));
    }
}
