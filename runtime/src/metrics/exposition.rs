//! The figures as Prometheus reads them: text, version 0.0.4.
//!
//! Owns the names of all families and the place up to which a snapshot has been written. A pure
//! function of the snapshot, written in pieces so that whoever sends it needs room for one piece;
//! where the pieces end changes nothing. Never takes a figure of its own.
//!
//! Invariants: each family has its HELP and TYPE once, before its samples; a name and its labels
//! occur once; counters, and only they, end in `_total`; units are seconds and bytes.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use groups::Direction;

use super::snapshot::{DirectionFigures, GroupFigures, SeatFigures, Snapshot};
use crate::stats::CoreStats;

/// What the text is, for whoever asked for it.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A snapshot on its way to its reader.
pub(super) struct Exposition {
    snapshot: Snapshot,
    family: usize,
    /// The next sample of the family; none yet, and its head is still to be written.
    row: Option<usize>,
}

impl Exposition {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, family: 0, row: None }
    }

    /// Adds to `out` until it holds `full` bytes or a sample more; `false` if nothing is left.
    pub(super) fn write(&mut self, out: &mut String, full: usize) -> bool {
        while out.len() < full {
            let Some(family) = Family::at(self.family) else { return false };
            let rows = family.rows.count(&self.snapshot);
            match self.row {
                None if rows > 0 => {
                    family.write_head(out);
                    self.row = Some(0);
                }
                Some(row) if row < rows => {
                    family.write_sample(out, &self.snapshot, row);
                    self.row = Some(row + 1);
                }
                _ => (self.family, self.row) = (self.family + 1, None),
            }
        }
        true
    }
}

/// Metrics of one name.
#[derive(Clone)]
struct Family {
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    rows: Rows,
}

/// What a family has a sample for each of, and how to read it.
#[derive(Clone, Copy)]
enum Rows {
    Whole(fn(&Snapshot) -> Value),
    /// The version of this crate, as a label.
    Info,
    /// A core's figure of that number.
    Core(usize),
    Group(fn(&GroupFigures) -> Value),
    Direction(fn(&DirectionFigures) -> Value),
    Seat(fn(&SeatFigures) -> Value),
    SeatDirection(fn(&SeatFigures, usize) -> Value),
}

impl Family {
    /// The family of that number, in the order in which they are written.
    fn at(number: usize) -> Option<Self> {
        if let Some(family) = FAMILIES.get(number) {
            return Some(family.clone());
        }
        let at = number - FAMILIES.len();
        let figure = CoreStats::FIGURES.get(at)?;
        let name = figure.metric("sluicegate_core_").into();
        Some(Self { name, help: figure.plain_help().into(), rows: Rows::Core(at) })
    }

    const fn new(name: &'static str, help: &'static str, rows: Rows) -> Self {
        Self { name: Cow::Borrowed(name), help: Cow::Borrowed(help), rows }
    }

    fn write_head(&self, out: &mut String) {
        let kind = if self.name.ends_with("_total") { "counter" } else { "gauge" };
        let (name, help) = (&self.name, &self.help);
        put(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn write_sample(&self, out: &mut String, snapshot: &Snapshot, row: usize) {
        out.push_str(&self.name);
        let group = |out: &mut String, at: usize| put(out, GroupLabels(&snapshot.groups[at]));
        let value = match self.rows {
            Rows::Whole(read) => read(snapshot),
            Rows::Info => {
                put(out, format_args!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")));
                Value::Whole(1)
            }
            Rows::Core(figure) => {
                put(out, format_args!("{{core=\"{row}\"}}"));
                let value = snapshot.cores[row].values()[figure];
                match CoreStats::FIGURES[figure].kind.is_time() {
                    true => Value::Nanos(value),
                    false => Value::Whole(value),
                }
            }
            Rows::Group(read) => {
                group(out, row);
                out.push('}');
                read(&snapshot.groups[row])
            }
            Rows::Direction(read) => {
                let (at, direction) = split(row);
                group(out, at);
                put(out, format_args!(",direction=\"{}\"}}", DIRECTIONS[direction]));
                read(&snapshot.groups[at].directions[direction])
            }
            Rows::Seat(read) => {
                let seat = &snapshot.seats[row];
                group(out, seat.group);
                put(out, format_args!(",core=\"{}\"}}", seat.core));
                read(seat)
            }
            Rows::SeatDirection(read) => {
                let (at, direction) = split(row);
                let seat = &snapshot.seats[at];
                group(out, seat.group);
                let (core, direction_name) = (seat.core, DIRECTIONS[direction]);
                put(out, format_args!(",core=\"{core}\",direction=\"{direction_name}\"}}"));
                read(seat, direction)
            }
        };
        put(out, format_args!(" {value}\n"));
    }
}

impl Rows {
    fn count(&self, snapshot: &Snapshot) -> usize {
        match self {
            Self::Whole(_) | Self::Info => 1,
            Self::Core(_) => snapshot.cores.len(),
            Self::Group(_) => snapshot.groups.len(),
            Self::Direction(_) => snapshot.groups.len() * DIRECTIONS.len(),
            Self::Seat(_) => snapshot.seats.len(),
            Self::SeatDirection(_) => snapshot.seats.len() * DIRECTIONS.len(),
        }
    }
}

/// A sample's value.
#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Signed(i64),
    Real(f64),
    /// Told in seconds, exactly.
    Nanos(u64),
    /// There is no limit.
    Unlimited,
}

impl Value {
    fn or_unlimited<T>(value: Option<T>, wrap: fn(T) -> Self) -> Self {
        value.map_or(Self::Unlimited, wrap)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value}"),
            Self::Nanos(ns) => {
                write!(f, "{}.{:09}", ns / NANOS_PER_SECOND, ns % NANOS_PER_SECOND)
            }
            Self::Unlimited => f.write_str("+Inf"),
        }
    }
}

/// The labels that name a group, without the brace that ends them: its name, or number if it has
/// none, and its number, as two groups may have one name.
struct GroupLabels<'a>(&'a GroupFigures);

impl fmt::Display for GroupLabels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(GroupFigures { id, name, .. }) = self;
        match name {
            Some(name) => write!(f, "{{group=\"{}\",id=\"{id}\"", Escaped(name)),
            None => write!(f, "{{group=\"{id}\",id=\"{id}\""),
        }
    }
}

/// The value of a label, so that it ends where it should.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn put(out: &mut String, text: impl fmt::Display) {
    write!(out, "{text}").expect("a string can be written to");
}

/// The thing and the direction that a row is about, where there is one for each of both.
fn split(row: usize) -> (usize, usize) {
    (row / DIRECTIONS.len(), row % DIRECTIONS.len())
}

/// What the directions are called, by [`Direction::index`].
const DIRECTIONS: [&str; 2] = ["read", "write"];
const _: () = assert!(Direction::Read.index() == 0 && Direction::Write.index() == 1);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The families of the whole and of groups. Those of cores are made of the figures, one each, and
/// follow.
const FAMILIES: &[Family] = &[
    Family::new("sluicegate_info", "The version of sluicegate, as a label.", Rows::Info),
    Family::new(
        "sluicegate_groups_omitted",
        "Groups that exist and are left out here, as there are too many.",
        Rows::Whole(|snapshot| Value::Whole(snapshot.omitted)),
    ),
    Family::new(
        "sluicegate_group_rate_bytes_per_second",
        "Rate that all members of a group share.",
        Rows::Direction(|dir| Value::or_unlimited(dir.bytes_per_second, Value::Real)),
    ),
    Family::new(
        "sluicegate_group_burst_bytes",
        "Burst of a group, as configured.",
        Rows::Direction(|dir| Value::or_unlimited(dir.burst, Value::Whole)),
    ),
    Family::new(
        "sluicegate_group_usable_burst_bytes",
        "What a quiet group can save up: its burst less what the leases of cores may hold.",
        Rows::Direction(|dir| Value::or_unlimited(dir.usable_burst, Value::Whole)),
    ),
    Family::new(
        "sluicegate_group_level_bytes",
        "Tokens that a group holds now, leases apart; negative in debt.",
        Rows::Direction(|dir| Value::or_unlimited(dir.level, Value::Signed)),
    ),
    Family::new(
        "sluicegate_group_leased_bytes",
        "Tokens of a group that cores hold.",
        Rows::Direction(|dir| Value::Whole(dir.leased)),
    ),
    Family::new(
        "sluicegate_group_moved_bytes_total",
        "Bytes that the members of a group have moved.",
        Rows::Direction(|dir| Value::Whole(dir.moved)),
    ),
    Family::new(
        "sluicegate_group_draws_total",
        "Draws of cores from the tokens of a group.",
        Rows::Group(|group| Value::Whole(group.draws)),
    ),
    Family::new(
        "sluicegate_group_refunds_total",
        "Times a core gave tokens of a group back.",
        Rows::Group(|group| Value::Whole(group.refunds)),
    ),
    Family::new(
        "sluicegate_group_waits_total",
        "Times a member of a group had to wait for tokens.",
        Rows::Group(|group| Value::Whole(group.waits)),
    ),
    Family::new(
        "sluicegate_group_rebalances_total",
        "Times a core settled its share of a group with the others.",
        Rows::Group(|group| Value::Whole(group.rebalances)),
    ),
    Family::new(
        "sluicegate_group_members",
        "Members of a group on a core, waiting or not.",
        Rows::Seat(|seat| Value::Whole(seat.members)),
    ),
    Family::new(
        "sluicegate_group_waiting_weight",
        "Weight of the members of a group that wait for tokens on a core, as last told the others.",
        Rows::SeatDirection(|seat, direction| Value::Whole(seat.waiting[direction])),
    ),
];
