//! What a figure is: its name, what it counts, in which unit.
//!
//! Owns the kinds of figures and how each is called and written where it leaves the process. The
//! figures themselves are listed in `stats.rs`, each once, with all that is said about it.

/// What a figure counts, and in which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows; events of some sort.
    Counter,
    /// Only grows; bytes.
    Bytes,
    /// Only grows; nanoseconds.
    Nanos,
    /// Goes up and down; things of some sort.
    Level,
    /// The most things so far.
    Most,
    /// The longest so far, in nanoseconds.
    Longest,
}

impl Kind {
    /// Whether it is kept in nanoseconds, and told in seconds.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Nanos | Self::Longest)
    }

    /// What ends the name of such a figure outside: its base unit, and whether it only grows.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Bytes => "_bytes_total",
            Self::Nanos => "_seconds_total",
            Self::Level | Self::Most => "",
            Self::Longest => "_seconds",
        }
    }
}

/// One figure of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    /// Its name in [`CoreStats`](crate::CoreStats).
    pub(crate) name: &'static str,
    /// Its name outside, where that differs; without prefix and unit.
    pub(crate) stem: Option<&'static str>,
    pub(crate) kind: Kind,
    /// What it is, in a sentence or two.
    pub(crate) help: &'static str,
}

impl Figure {
    /// Its name outside, behind a prefix: with the base unit, as Prometheus wants it.
    pub(crate) fn metric(&self, prefix: &str) -> String {
        let stem = self.stem.unwrap_or_else(|| self.name.trim_end_matches("_ns"));
        format!("{prefix}{stem}{}", self.kind.suffix())
    }

    /// What it is, as plain text in one line: links are named and point nowhere.
    pub(crate) fn plain_help(&self) -> String {
        let mut plain = String::with_capacity(self.help.len());
        let mut rest = self.help.trim();
        while let Some((before, after)) = rest.split_once('[') {
            let Some((name, after)) = after.split_once(']') else { break };
            plain.push_str(before);
            plain.push_str(name);
            let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            rest = target.map_or(after, |(_, after)| after);
        }
        plain.push_str(rest);
        plain.replace('`', "")
    }
}

/// The last sentence of a figure's documentation: its kind and its unit.
macro_rules! describe_kind {
    () => {
        describe_kind!(Counter)
    };
    (Counter) => {
        "A counter."
    };
    (Bytes) => {
        "A counter, in bytes."
    };
    (Nanos) => {
        "A counter, in nanoseconds."
    };
    (Level) => {
        "A level."
    };
    (Most) => {
        "The most so far."
    };
    (Longest) => {
        "The longest so far, in nanoseconds."
    };
}
pub(crate) use describe_kind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_plain_text() {
        let plain = |help| Figure { name: "", stem: None, kind: Kind::Level, help }.plain_help();
        assert_eq!(plain(" Nothing to change."), "Nothing to change.");
        assert_eq!(
            plain(" Those [closed](crate::close) by `b` or [`c`]."),
            "Those closed by b or c."
        );
        assert_eq!(plain("[open"), "[open");
    }

    #[test]
    fn a_name_ends_in_its_base_unit_and_a_counter_in_total() {
        let metric = |name, stem, kind| Figure { name, stem, kind, help: "" }.metric("core_");
        assert_eq!(metric("turns", None, Kind::Counter), "core_turns_total");
        assert_eq!(metric("bytes_in", Some("received"), Kind::Bytes), "core_received_bytes_total");
        assert_eq!(metric("busy_ns", None, Kind::Nanos), "core_busy_seconds_total");
        assert_eq!(metric("timers", None, Kind::Level), "core_timers");
        assert_eq!(metric("longest_gap_ns", None, Kind::Longest), "core_longest_gap_seconds");
    }
}
