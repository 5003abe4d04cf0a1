//! The modes of accepting, and their texts.
//!
//! Owns what a user may ask for, in the same words for flags and code. Decides which cores have a
//! socket to accept from; which core then gets a connection is `choice.rs`'s.
//!
//! Invariant: printing a mode and parsing the result gives the same mode.

use std::fmt;
use std::str::FromStr;

use crate::placement::nearest;

/// How the connections of a listener come to the cores.
///
/// # Examples
/// ```
/// use sluicegate::{AcceptMode, Dispatch};
///
/// let mode: AcceptMode = "single:least".parse()?;
/// assert_eq!(mode, AcceptMode::Single { acceptor: 0, by: Dispatch::LeastLoaded });
/// assert_eq!(AcceptMode::default().to_string(), "balanced");
/// # Ok::<(), sluicegate::AcceptModeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptMode {
    /// Every core accepts from a socket of its own and keeps the connection, unless that would
    /// leave it more than `slack` connections above the less loaded of two others, which take
    /// turns; then that one gets it. The default.
    ///
    /// `None` is a slack of 5 % of the core's own connections, at least 2. What counts is all
    /// sockets of a core, also those it has connected. Keeping costs one look at the count of each
    /// of the two; handing over costs a message.
    Balanced {
        /// How many connections more than another core a core keeps.
        slack: Option<u32>,
    },
    /// Every core accepts from a socket of its own and keeps the connection: the kernel spreads
    /// them by a hash, knowing nothing of their number or age.
    ReusePort,
    /// One core accepts and hands over. Right where there can be only one socket, or where every
    /// connection is to be placed exactly; that core is what limits connections per second.
    Single {
        /// The core that accepts, counted from 0.
        acceptor: usize,
        /// Whom it hands a connection to.
        by: Dispatch,
    },
    /// One core accepts, and keeps what it accepts.
    Fixed(usize),
}

/// Whom a single acceptor hands a connection to; it is one of the choices itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The core with the fewest connections; among equals they take turns.
    LeastLoaded,
    /// The next core.
    RoundRobin,
    /// The core that a hash of the peer's address names, its port left out: all connections of one
    /// client meet on one core. If that takes no more, the next. Peers without an address (on a
    /// Unix-domain socket) take turns.
    ///
    /// The hash is no secret: who has many addresses can choose a core. Where that matters balance
    /// by load.
    HashPeer,
}

/// A text that is no accept mode: write one of those it lists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no accept mode: write `balanced` or `balanced:SLACK`, `reuseport`, \
     `single:least`, `single:round-robin`, `single:hash` (each with `@CORE` if a core other than \
     0 is to accept), or `fixed:CORE`{}",
    .nearest.map_or_else(String::new, |mode| format!("; did you mean `{mode}`?"))
)]
pub struct AcceptModeError {
    /// The text as given.
    pub text: String,
    /// The mode that was probably meant.
    pub nearest: Option<AcceptMode>,
}

impl AcceptMode {
    /// Whether a core has a socket to accept from.
    pub(crate) fn accepts(self, core: usize) -> bool {
        match self {
            Self::Balanced { .. } | Self::ReusePort => true,
            Self::Single { acceptor, .. } => core == acceptor,
            Self::Fixed(fixed) => core == fixed,
        }
    }

    /// Whether whoever accepts a connection keeps it.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::ReusePort | Self::Fixed(_))
    }

    /// Whether a core keeps what it accepts unless others have less.
    pub(crate) fn is_balanced(self) -> bool {
        matches!(self, Self::Balanced { .. })
    }

    /// The core that it names.
    pub(crate) fn named(self) -> Option<usize> {
        match self {
            Self::Single { acceptor: core, .. } | Self::Fixed(core) => Some(core),
            Self::Balanced { .. } | Self::ReusePort => None,
        }
    }
}

impl Default for AcceptMode {
    fn default() -> Self {
        Self::Balanced { slack: None }
    }
}

impl FromStr for AcceptMode {
    type Err = AcceptModeError;

    fn from_str(text: &str) -> Result<Self, AcceptModeError> {
        let (word, rest) = parted(text.trim(), ':');
        mode(word, rest)
            .ok_or_else(|| AcceptModeError { text: text.to_owned(), nearest: meant(word, rest) })
    }
}

/// What stands before a sign, and what behind it if it is there.
fn parted(text: &str, sign: char) -> (&str, Option<&str>) {
    match text.split_once(sign) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

fn mode(word: &str, rest: Option<&str>) -> Option<AcceptMode> {
    match (word, rest) {
        ("balanced", None) => Some(AcceptMode::default()),
        ("balanced", Some(slack)) => {
            slack.parse().ok().map(|slack| AcceptMode::Balanced { slack: Some(slack) })
        }
        ("reuseport", None) => Some(AcceptMode::ReusePort),
        ("single", Some(dispatch)) => single(dispatch),
        ("fixed", Some(core)) => core.parse().ok().map(AcceptMode::Fixed),
        _ => None,
    }
}

/// The mode that comes of putting its words right, one by one.
fn meant(word: &str, rest: Option<&str>) -> Option<AcceptMode> {
    let word = nearest(word, ["balanced", "reuseport", "single", "fixed"])?;
    if word != "single" {
        // What stands behind may be what is wrong.
        return mode(word, rest).or_else(|| mode(word, None));
    }
    let (dispatch, acceptor) = parted(rest.unwrap_or_default(), '@');
    let dispatch = match dispatch {
        "" => "least",
        dispatch => nearest(dispatch, ["least", "round-robin", "hash"])?,
    };
    let with_acceptor = acceptor.and_then(|core| single(&format!("{dispatch}@{core}")));
    with_acceptor.or_else(|| single(dispatch))
}

fn single(text: &str) -> Option<AcceptMode> {
    let (word, core) = parted(text, '@');
    let acceptor = core.map_or(Some(0), |core| core.parse().ok())?;
    let by = match word {
        "least" => Dispatch::LeastLoaded,
        "round-robin" => Dispatch::RoundRobin,
        "hash" => Dispatch::HashPeer,
        _ => return None,
    };
    Some(AcceptMode::Single { acceptor, by })
}

impl fmt::Display for AcceptMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balanced { slack: None } => f.write_str("balanced"),
            Self::Balanced { slack: Some(slack) } => write!(f, "balanced:{slack}"),
            Self::ReusePort => f.write_str("reuseport"),
            Self::Single { acceptor: 0, by } => write!(f, "single:{by}"),
            Self::Single { acceptor, by } => write!(f, "single:{by}@{acceptor}"),
            Self::Fixed(core) => write!(f, "fixed:{core}"),
        }
    }
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeastLoaded => "least",
            Self::RoundRobin => "round-robin",
            Self::HashPeer => "hash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_print_as_they_parse() {
        let texts = [
            "balanced",
            "balanced:0",
            "balanced:17",
            "reuseport",
            "single:least",
            "single:round-robin@3",
            "single:hash@1",
            "fixed:0",
            "fixed:63",
        ];
        for text in texts {
            let mode: AcceptMode = text.parse().expect("a mode");
            assert_eq!(mode.to_string(), text);
        }
        assert_eq!(" reuseport ".parse(), Ok(AcceptMode::ReusePort));
    }

    #[test]
    fn errors_quote_the_text_and_list_the_modes() {
        let wrong = [
            "",
            "Balanced",
            "balanced:",
            "balanced:-1",
            "balanced:x",
            "reuseport:1",
            "single",
            "single:",
            "single:most",
            "single:least@",
            "single:least@x",
            "fixed",
            "fixed:",
            "fixed:-1",
            "fixed:1.5",
            "spread",
        ];
        for text in wrong {
            let error = text.parse::<AcceptMode>().expect_err("no mode").to_string();
            assert!(error.starts_with(&format!("{text:?} is no accept mode: ")), "{error}");
            for word in ["balanced", "reuseport", "single:hash", "fixed:CORE"] {
                assert!(error.contains(word), "{error}");
            }
        }
    }

    #[test]
    fn an_error_names_the_mode_that_was_probably_meant() {
        for (text, meant) in [
            ("reusport", Some("reuseport")),
            ("reuseport:1", Some("reuseport")),
            ("balancd", Some("balanced")),
            ("Balanced:7", Some("balanced:7")),
            ("balanced:x", Some("balanced")),
            ("single", Some("single:least")),
            ("singel:hsah@3", Some("single:hash@3")),
            ("single:lest", Some("single:least")),
            ("single:robin", None),
            ("single:round_robin@x", Some("single:round-robin")),
            ("fixd:2", Some("fixed:2")),
            ("fixed:x", None),
            ("spread", None),
            ("", None),
        ] {
            let error = text.parse::<AcceptMode>().expect_err("no mode");
            let found = error.nearest.map(|mode| mode.to_string());
            assert_eq!(found.as_deref(), meant, "{text}");
            let end = meant.map_or_else(
                || "or `fixed:CORE`".to_owned(),
                |mode| format!("; did you mean `{mode}`?"),
            );
            assert!(error.to_string().ends_with(&end), "{error}");
        }
    }
}
