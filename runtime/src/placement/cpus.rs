//! The CPUs of a runtime as a user writes them: one list for all cores, or a list for each.
//!
//! Owns the text behind `--cpus` and `SLUICEGATE_CPUS`: sets parted by `;`, in brackets with a
//! number of cores, each a [`CpuList`]. Which CPUs that are only a [`Snapshot`] tells, so a choice
//! can be parsed on one machine and used on another.
//!
//! Invariants: printing a choice and parsing the result gives the same choice; there are sets for
//! one core at least and for [`MAX_CORES`] at most.
//! Source: the per-thread sets of CAF and Hazelcast. Differs: names, and `!`.

use std::fmt;
use std::str::FromStr;

use super::cpu_set::CpuSet;
use super::error::PlacementError;
use super::list::{CpuList, Piece, number};
use super::list_error::{ListError, ListFault};
use super::plan::MAX_CORES;
use super::snapshot::Snapshot;
use super::warning::Warning;

/// Which CPUs the cores run on, as written; names are looked up when a runtime is planned.
///
/// | text | CPUs |
/// |---|---|
/// | `3` `0-7` `0-31:2` | those numbers; a range may have a stride |
/// | `all` | every CPU that is online, an error if the process may not use one of them |
/// | `allowed` | every CPU the process may use |
/// | `node0` `pkg1` | those of a NUMA node or package (socket) that the process may use |
/// | `core5` | all SMT siblings of the physical core that CPU 5 is on, as far as allowed |
/// | `0-7,core2` | pieces are added from left to right |
/// | `0-7,!3` | `!` removes from what stands before it, or first of all from `allowed` |
/// | `0-1;2-3` | a set for each core: core 0 runs on 0-1, core 1 on 2-3 |
/// | `[0-3]*4` | a set for each of four cores: each runs on 0-3 |
///
/// A list without `;` and brackets is one set for all cores, whatever their number.
///
/// # Examples
///
/// ```
/// use sluicegate::Cpus;
///
/// let cpus: Cpus = "0,1-3,!2;[node1]*2".parse()?;
/// assert_eq!(cpus.to_string(), "0-3,!2;[node1]*2");
/// let error = "0-3,nod1".parse::<Cpus>().unwrap_err();
/// assert_eq!((error.piece.as_str(), error.column), ("nod1", 5));
/// assert!(error.to_string().ends_with("did you mean `node1`?"));
/// # Ok::<(), sluicegate::placement::ListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(Sets);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sets {
    /// One for all cores.
    Shared(CpuList),
    /// One for each core; the same for as many neighbours as the number says.
    Each(Vec<(CpuList, usize)>),
}

/// The CPUs of a choice on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// One set for all cores.
    Shared(CpuSet),
    /// A set for each core.
    Each(Vec<CpuSet>),
}

impl Cpus {
    /// Every CPU the process may use.
    #[must_use]
    pub fn allowed() -> Self {
        Self(Sets::Shared(CpuList::allowed()))
    }

    /// How many cores there are sets for, if each has its own.
    #[must_use]
    pub fn core_count(&self) -> Option<usize> {
        match &self.0 {
            Sets::Shared(_) => None,
            Sets::Each(sets) => Some(sets.iter().map(|(_, count)| count).sum()),
        }
    }

    /// Finds the CPUs on a machine; `cut` is told which a place has that are not allowed.
    pub(super) fn resolve(
        &self,
        snapshot: &Snapshot,
        cut: &mut Vec<Warning>,
    ) -> Result<Resolved, PlacementError> {
        match &self.0 {
            Sets::Shared(list) => list.resolve(snapshot, cut).map(Resolved::Shared),
            Sets::Each(sets) => {
                let mut all = Vec::new();
                for (list, count) in sets {
                    let cpus = list.resolve(snapshot, cut)?;
                    all.extend(std::iter::repeat_n(cpus, *count));
                }
                Ok(Resolved::Each(all))
            }
        }
    }
}

impl Resolved {
    /// The CPUs of all cores.
    pub(super) fn together(&self) -> CpuSet {
        match self {
            Self::Shared(cpus) => cpus.clone(),
            Self::Each(sets) => CpuSet::union(sets).expect("a set for one core at least"),
        }
    }

    /// With every set replaced.
    pub(super) fn with(&self, replace: impl Fn(&CpuSet) -> CpuSet) -> Self {
        match self {
            Self::Shared(cpus) => Self::Shared(replace(cpus)),
            Self::Each(sets) => Self::Each(sets.iter().map(replace).collect()),
        }
    }
}

impl FromStr for Cpus {
    type Err = ListError;

    fn from_str(text: &str) -> Result<Self, ListError> {
        let whole = Piece::whole(text);
        if !whole.text().contains([';', '[']) {
            return Ok(Self(Sets::Shared(CpuList::parse(whole)?)));
        }
        let mut sets: Vec<(CpuList, usize)> = Vec::new();
        let mut total = 0;
        for piece in whole.split(';') {
            let (list, count) = set(piece)?;
            total += count;
            if total > MAX_CORES {
                return Err(piece.error(ListFault::TooManySets { sets: total }));
            }
            match sets.last_mut() {
                // Neighbours with the same set print as one, so they are one.
                Some((before, many)) if *before == list => *many += count,
                _ => sets.push((list, count)),
            }
        }
        Ok(Self(Sets::Each(sets)))
    }
}

/// A list for one core, or one in brackets for as many as stand behind it.
fn set(piece: Piece<'_>) -> Result<(CpuList, usize), ListError> {
    let Some(inside) = piece.without('[') else {
        return Ok((CpuList::parse(piece)?, 1));
    };
    let close = inside.text().find(']').ok_or_else(|| piece.error(ListFault::Bracket))?;
    let (list, behind) = inside.split_at(close);
    let behind = behind.without(']').expect("it begins with the bracket that was found");
    let count = match behind.text() {
        "" => 1,
        text => {
            let count = text.strip_prefix('*').and_then(|count| number(count.trim()));
            let count = count.filter(|count| (1..=MAX_CORES).contains(count));
            count.ok_or_else(|| behind.error(ListFault::Repeat))?
        }
    };
    Ok((CpuList::parse(list)?, count))
}

impl From<CpuSet> for Cpus {
    fn from(cpus: CpuSet) -> Self {
        Self(Sets::Shared(cpus.into()))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Sets::Shared(list) => list.fmt(f),
            Sets::Each(sets) => {
                for (place, (list, count)) in sets.iter().enumerate() {
                    let separator = if place == 0 { "" } else { ";" };
                    match count {
                        1 if sets.len() > 1 => write!(f, "{separator}{list}")?,
                        1 => write!(f, "[{list}]")?,
                        count => write!(f, "{separator}[{list}]*{count}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Cpus {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(text: &str) -> (String, usize, ListFault) {
        let error = text.parse::<Cpus>().expect_err("an invalid list");
        assert!(error.to_string().starts_with(&format!("CPU list {text:?}: ")), "{error}");
        (error.piece, error.column, error.fault)
    }

    #[test]
    fn a_choice_prints_in_its_shortest_form() {
        for (text, printed) in [
            ("3", "3"),
            (" 8, 0-6:2 ,1\n", "0-2,4,6,8"),
            ("all", "all"),
            ("allowed,!0,!1", "allowed,!0-1"),
            ("!3,!5", "!3,!5"),
            ("node0,pkg1,core5", "node0,pkg1,core5"),
            ("0-7,!node1,3", "0-7,!node1,3"),
            ("0-1;2-3", "0-1;2-3"),
            ("[0-3]*4", "[0-3]*4"),
            ("[0-3]", "[0-3]"),
            ("0;0;0", "[0]*3"),
            ("[0]*1000;[0]*24", "[0]*1024"),
            ("[0,1]*2 ; [0-1] ; node1", "[0-1]*3;node1"),
        ] {
            assert_eq!(parsed(text).to_string(), printed, "{text}");
            assert_eq!(parsed(printed), parsed(text), "{text}");
        }
        assert_eq!(Cpus::allowed(), parsed("allowed"));
        assert_eq!(Cpus::from(CpuSet::from_cpus([1, 0]).expect("two")), parsed("0-1"));
    }

    #[test]
    fn errors_point_at_the_piece() {
        let at = |piece: &str, column, fault| (piece.to_owned(), column, fault);
        for (text, expected) in [
            ("0-3,x,5", at("x", 5, ListFault::Unknown { meant: None })),
            ("", at("", 1, ListFault::Empty)),
            ("1,,2", at("", 3, ListFault::Empty)),
            ("1; ;2", at("", 4, ListFault::Empty)),
            ("0-3,!", at("", 6, ListFault::Empty)),
            ("[]*2", at("", 2, ListFault::Empty)),
            ("1, 7-3", at("7-3", 4, ListFault::Backward { first: 7, last: 3 })),
            ("0;0-7:0", at("0-7:0", 3, ListFault::ZeroStride)),
            ("2,!1024", at("1024", 4, ListFault::TooHigh { cpu: 1024 })),
            (
                "0-18446744073709551615",
                at("0-18446744073709551615", 1, ListFault::TooHigh { cpu: 1024 }),
            ),
            ("[0-3*4", at("[0-3*4", 1, ListFault::Bracket)),
            ("0-3*4", at("0-3*4", 1, ListFault::Bracket)),
            ("0,[1]", at("[1]", 3, ListFault::Bracket)),
            ("0-1]", at("0-1]", 1, ListFault::Bracket)),
            ("[0]*0", at("*0", 4, ListFault::Repeat)),
            ("[0]*1025", at("*1025", 4, ListFault::Repeat)),
            ("1;[0]x", at("x", 6, ListFault::Repeat)),
            ("[0]*1000;[0]*1000", at("[0]*1000", 10, ListFault::TooManySets { sets: 2000 })),
            ("[0]*1024; 1", at("1", 11, ListFault::TooManySets { sets: 1025 })),
            ("é,1", at("é", 1, ListFault::Unknown { meant: None })),
            ("0;é1;2x", at("é1", 3, ListFault::Unknown { meant: None })),
        ] {
            assert_eq!(refused(text), expected, "{text:?}");
        }
        for odd in ["-1", "1-", "1:2", "0-3:", "+1", "0-3-5", "99999999999999999999", "node-1"] {
            assert!(matches!(refused(odd).2, ListFault::Unknown { .. }), "{odd}");
        }
    }

    #[test]
    fn a_mistyped_name_is_told_what_it_may_have_meant() {
        for (text, expected) in [
            ("nod1", Some("node1")),
            ("Node 1", Some("node1")),
            ("node", Some("node0")),
            ("numa3", Some("node3")),
            ("package0", Some("pkg0")),
            ("socket01", Some("pkg1")),
            ("cores5", Some("core5")),
            ("cpu7", Some("7")),
            ("al", Some("all")),
            ("alowed", Some("allowed")),
            ("alowed3", None),
            ("node1-2", None),
            ("zebra", None),
        ] {
            let meant = expected.map(str::to_owned);
            assert_eq!(refused(text).2, ListFault::Unknown { meant }, "{text}");
        }
    }

    /// Texts that the grammar allows, in the many forms it allows them, and for how many cores they
    /// have sets; that may be too many.
    fn texts() -> impl Strategy<Value = (String, usize)> {
        let numbers = (0..1000_usize, 0..24_usize, 1..4_usize).prop_map(|(first, more, stride)| {
            match (more, stride) {
                (0, _) => first.to_string(),
                (more, 1) => format!("{first}-{}", first + more),
                (more, stride) => format!("{first}-{}:{stride}", first + more),
            }
        });
        let names = ("node|pkg|core", 0..9_usize).prop_map(|(kind, n)| format!("{kind}{n}"));
        let what = prop_oneof![4 => numbers, 2 => names, 1 => Just("all".to_owned()),
            1 => Just("allowed".to_owned())];
        let term = ("!?", what, " ?").prop_map(|(sign, what, space)| sign + &what + &space);
        let list = proptest::collection::vec(term, 1..6).prop_map(|terms| terms.join(","));
        let counts = prop_oneof![4 => 0..5_usize, 1 => 300..=MAX_CORES];
        let set = (list, counts, any::<bool>()).prop_map(|(list, count, bare)| {
            let text = match (count, bare) {
                (0, true) => list,
                (0, false) => format!("[{list}]"),
                (count, _) => format!("[{list}]*{count}"),
            };
            (text, count.max(1))
        });
        proptest::collection::vec(set, 1..4).prop_map(|sets| {
            let (texts, counts): (Vec<String>, Vec<usize>) = sets.into_iter().unzip();
            (texts.join(";"), counts.iter().sum())
        })
    }

    proptest! {
        #[test]
        fn printing_and_parsing_gives_the_same_choice((text, cores) in texts()) {
            if cores > MAX_CORES {
                prop_assert!(matches!(refused(&text).2, ListFault::TooManySets { .. }), "{text}");
                return Ok(());
            }
            let choice = parsed(&text);
            let printed = choice.to_string();
            prop_assert_eq!(&parsed(&printed), &choice);
            prop_assert_eq!(parsed(&printed).to_string(), printed);
        }

        #[test]
        fn an_error_quotes_the_piece_at_its_column(text in "[0-9nodeprk!,;:*\\[\\] é-]{0,24}") {
            if let Err(error) = text.parse::<Cpus>() {
                let rest: String = text.chars().skip(error.column - 1).collect();
                prop_assert!(rest.starts_with(&error.piece), "{error}");
            }
        }
    }
}
