//! One list of CPUs as it is written: what it adds and removes, from left to right.
//!
//! Owns the grammar between two separators of sets: numbers, ranges with an optional stride, the
//! names `all`, `allowed`, `node0`, `pkg1` and `core5`, and the prefix `!` that removes. Keeps
//! names as names; which CPUs they are only a [`Snapshot`] tells.
//!
//! Invariants: a list has a term; printing it and parsing the result gives the same list, because
//! neighbours of the same sign that are numbers are one term from the start.
//! Source: the kernel's cpulist format and the stride of taskset(1). Differs: names and `!`.

use std::collections::BTreeSet;
use std::fmt;

use super::cpu_set::{CpuSet, runs};
use super::error::PlacementError;
use super::list_error::{ListError, ListFault};
use super::nearest::nearest;
use super::snapshot::Snapshot;
use super::warning::Warning;

/// A part of a list that knows where in the whole it stands.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    list: &'a str,
    /// Where `text` begins in `list`, in bytes.
    at: usize,
    text: &'a str,
}

impl<'a> Piece<'a> {
    pub(super) fn whole(list: &'a str) -> Self {
        Self { list, at: 0, text: list }.trimmed()
    }

    pub(super) fn text(self) -> &'a str {
        self.text
    }

    /// The parts between a separator of one byte, spaces around them left out.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let part = Self { at, text, ..self };
            at += text.len() + separator.len_utf8();
            part.trimmed()
        })
    }

    /// The part before byte `middle` of the text, and that from there on.
    pub(super) fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, right) = self.text.split_at(middle);
        let left = Self { text: left, ..self };
        (left.trimmed(), Self { at: self.at + middle, text: right, ..self }.trimmed())
    }

    /// Without a prefix, if it has it.
    pub(super) fn without(self, prefix: char) -> Option<Self> {
        let text = self.text.strip_prefix(prefix)?;
        Some(Self { at: self.at + prefix.len_utf8(), text, ..self }.trimmed())
    }

    pub(super) fn error(self, fault: ListFault) -> ListError {
        ListError {
            list: self.list.to_owned(),
            piece: self.text.to_owned(),
            column: self.list[..self.at].chars().count() + 1,
            fault,
        }
    }

    fn trimmed(self) -> Self {
        let text = self.text.trim_start();
        Self { at: self.at + self.text.len() - text.len(), text: text.trim_end(), ..self }
    }
}

/// A list as written; resolved against a machine by [`resolve`](Self::resolve).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CpuList(Vec<Term>);

/// What one piece of a list adds or removes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    removes: bool,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Numbers(CpuSet),
    /// Every CPU that is online.
    All,
    /// Every CPU the process may use.
    Allowed,
    /// The CPUs of a place, of which those count that the process may use.
    At(Place),
}

/// A place on the machine, by the kind and number the kernel gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A NUMA node.
    Node(usize),
    /// A processor package, which is a socket.
    Package(usize),
    /// The physical core on which the CPU of this number is.
    CoreOf(usize),
}

impl CpuList {
    pub(super) fn allowed() -> Self {
        Self(vec![Term { removes: false, what: What::Allowed }])
    }

    pub(super) fn parse(piece: Piece<'_>) -> Result<Self, ListError> {
        let mut list = Self(Vec::new());
        for piece in piece.split(',') {
            list.push(Term::parse(piece)?);
        }
        Ok(list)
    }

    /// Parses a list that must not need a machine to be understood.
    pub(super) fn numbers(text: &str) -> Result<CpuSet, ListError> {
        let mut sets = Vec::new();
        for piece in Piece::whole(text).split(',') {
            let Term { removes: false, what: What::Numbers(set) } = Term::parse(piece)? else {
                return Err(piece.error(ListFault::NotANumber));
            };
            sets.push(set);
        }
        CpuSet::union(&sets).ok_or_else(|| Piece::whole(text).error(ListFault::Empty))
    }

    /// The CPUs of the list on this machine; a list that begins with `!` removes from all allowed.
    ///
    /// A place counts with the CPUs that the process may use, and `cut` is told of the others.
    pub(super) fn resolve(
        &self,
        snapshot: &Snapshot,
        cut: &mut Vec<Warning>,
    ) -> Result<CpuSet, PlacementError> {
        let allowed = snapshot.allowed();
        let removes_first = self.0.first().is_some_and(|term| term.removes);
        let mut chosen = removes_first.then(|| allowed.clone());
        for Term { removes, what } in &self.0 {
            let cpus = match what {
                What::Numbers(cpus) => cpus.clone(),
                What::All => snapshot.online().clone(),
                What::Allowed => allowed.clone(),
                What::At(place) => {
                    let there = place.cpus(snapshot)?;
                    match there.within(allowed) {
                        Some(usable) if !removes => {
                            let (place, lost) = (place.to_string(), there.minus(allowed));
                            let note =
                                |lost| Warning::PlaceCut { place, usable: usable.clone(), lost };
                            cut.extend(lost.map(note));
                            usable
                        }
                        _ => there,
                    }
                }
            };
            chosen = match chosen {
                Some(chosen) if *removes => chosen.minus(&cpus),
                Some(chosen) => Some(chosen.plus(&cpus)),
                None => (!removes).then_some(cpus),
            };
        }
        let chosen =
            chosen.ok_or_else(|| PlacementError::NothingLeft { list: self.to_string() })?;
        snapshot.check_allowed(&chosen)?;
        Ok(chosen)
    }

    fn push(&mut self, term: Term) {
        if let (Some(Term { removes, what: What::Numbers(before) }), What::Numbers(more)) =
            (self.0.last_mut(), &term.what)
            && *removes == term.removes
        {
            *before = before.plus(more);
            return;
        }
        self.0.push(term);
    }
}

impl From<CpuSet> for CpuList {
    fn from(cpus: CpuSet) -> Self {
        Self(vec![Term { removes: false, what: What::Numbers(cpus) }])
    }
}

impl Term {
    fn parse(piece: Piece<'_>) -> Result<Self, ListError> {
        let (removes, piece) = match piece.without('!') {
            Some(removed) => (true, removed),
            None => (false, piece),
        };
        let what = match piece.text() {
            "" => return Err(piece.error(ListFault::Empty)),
            "all" => What::All,
            "allowed" => What::Allowed,
            text => match Place::parse(text) {
                Some(place) => What::At(place),
                None => What::Numbers(numbers(piece)?),
            },
        };
        Ok(Self { removes, what })
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|letter: char| letter.is_ascii_digit())?;
        let number = number(&text[digits..])?;
        match &text[..digits] {
            "node" => Some(Self::Node(number)),
            "pkg" => Some(Self::Package(number)),
            "core" => Some(Self::CoreOf(number)),
            _ => None,
        }
    }

    fn cpus(self, snapshot: &Snapshot) -> Result<CpuSet, PlacementError> {
        let topology = snapshot.topology();
        let cpus = topology.cpus_where(|at| match self {
            Self::Node(node) => at.node == node,
            Self::Package(package) => at.package == package,
            Self::CoreOf(cpu) => topology.location(cpu).is_some_and(|its| its.core == at.core),
        });
        cpus.ok_or_else(|| {
            let of_kind = topology.locations().iter().map(|at| match self {
                Self::Node(_) => at.node,
                Self::Package(_) => at.package,
                Self::CoreOf(_) => at.cpu,
            });
            // No set of CPUs: firmware numbers packages as it likes.
            let known = runs(of_kind.collect::<BTreeSet<_>>()).map(|run| run.to_string());
            let known = known.collect::<Vec<_>>().join(",");
            PlacementError::NoSuchPlace { place: self.to_string(), known }
        })
    }
}

/// The CPUs of a number, a range or a range with a stride.
fn numbers(piece: Piece<'_>) -> Result<CpuSet, ListError> {
    let text = piece.text();
    let parsed = || {
        let (range, stride) = match text.split_once(':') {
            Some((range, stride)) if range.contains('-') => (range, number(stride)?),
            Some(_) => return None,
            None => (text, 1),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((number(first)?, number(last)?, stride))
    };
    let Some((first, last, stride)) = parsed() else {
        let fault = match text.contains(['[', ']', '*']) {
            true => ListFault::Bracket,
            false => ListFault::Unknown { meant: meant(text) },
        };
        return Err(piece.error(fault));
    };
    if stride == 0 {
        return Err(piece.error(ListFault::ZeroStride));
    }
    if last < first {
        return Err(piece.error(ListFault::Backward { first, last }));
    }
    let cpus = CpuSet::collect((first..=last).step_by(stride));
    let cpus = cpus.map_err(|cpu| piece.error(ListFault::TooHigh { cpu }))?;
    cpus.ok_or_else(|| piece.error(ListFault::Empty))
}

/// A number written in digits alone.
pub(super) fn number(text: &str) -> Option<usize> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// What a piece that is not understood was probably meant to be.
fn meant(text: &str) -> Option<String> {
    let digits = text.find(|letter: char| letter.is_ascii_digit()).unwrap_or(text.len());
    let (word, digits) = text.split_at(digits);
    let near = nearest(word.trim_end(), NAMES.iter().map(|(name, _)| *name))?;
    let name = NAMES.iter().find_map(|&(name, means)| (name == near).then_some(means))?;
    match (name, digits) {
        ("all" | "allowed", "") => Some(name.to_owned()),
        ("all" | "allowed", _) => None,
        (place, "") => Some(format!("{place}0")),
        (place, digits) => number(digits).map(|number| format!("{place}{number}")),
    }
}

/// Names that people write for a place, and what that place is called here.
const NAMES: &[(&str, &str)] = &[
    ("all", "all"),
    ("allowed", "allowed"),
    ("node", "node"),
    ("numa", "node"),
    ("pkg", "pkg"),
    ("package", "pkg"),
    ("socket", "pkg"),
    ("core", "core"),
    ("cpu", ""),
];

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for Term { removes, what } in &self.0 {
            let sign = if *removes { "!" } else { "" };
            match what {
                What::Numbers(cpus) => {
                    for range in cpus.ranges() {
                        write!(f, "{separator}{sign}{range}")?;
                        separator = ",";
                    }
                }
                What::All => write!(f, "{separator}{sign}all")?,
                What::Allowed => write!(f, "{separator}{sign}allowed")?,
                What::At(place) => write!(f, "{separator}{sign}{place}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(number) => write!(f, "node{number}"),
            Self::Package(number) => write!(f, "pkg{number}"),
            Self::CoreOf(cpu) => write!(f, "core{cpu}"),
        }
    }
}
