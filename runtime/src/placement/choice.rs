//! What a user may ask for: how many cores, pinned how, chosen in which order.
//!
//! Owns the types behind `--cores`, `--pin`, `--order` and `--smt`, and their texts: the same words
//! in flags, environment and builder. Decides nothing; [`Placement::plan`](super::Placement::plan)
//! does.
//!
//! Invariants: printing a choice and parsing the result gives the same choice.

use std::fmt;
use std::str::FromStr;

use super::error::PlacementError;
use super::list::number;
use super::nearest::nearest;
use super::word::Words;

/// How many cores a runtime has: `auto`, `physical`, or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// As many as CPUs may be used, and no more than the CPU quota pays for, rounded up.
    #[default]
    Auto,
    /// As many as physical cores have a CPU that may be used, and no more than the quota pays for.
    Physical,
    /// This many: 1 to [`MAX_CORES`](super::MAX_CORES), which is checked when the cores are placed.
    Count(usize),
}

/// How the threads of cores are tied to CPUs: `none`, `each`, `set` or `node`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Not at all; the kernel moves them as it sees fit. The default without a CPU list.
    #[default]
    None,
    /// Each core to a CPU of its own, chosen by [`Order`], ascending.
    Each,
    /// Every core to the whole list, or to the list that is its own; the kernel moves it within.
    /// The default with a list.
    Set,
    /// Each core to those CPUs of the list that are on one NUMA node, chosen by [`Order`].
    Node,
}

/// Which CPUs come first where there are fewer cores than CPUs: `spread` or `pack`.
///
/// It matters where a core is tied to a CPU or a node. Whichever CPUs are chosen, the cores get
/// them in ascending order. Nothing is chosen where each core has a set of its own in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As far apart as possible: physical cores before SMT siblings, fast CPUs before efficient
    /// ones, then the node and package with the fewest cores. For most speed.
    #[default]
    Spread,
    /// As near as possible: the rest of a physical core, then of its node and package, then the
    /// lowest CPU. For caches shared, and for other programs beside.
    Pack,
}

/// Which CPUs of a physical core count: `all` or `one`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Smt {
    /// All of them.
    #[default]
    All,
    /// The lowest of those that may be used; SMT siblings stay free.
    One,
}

impl Pin {
    const WORDS: Words<Self> = Words {
        what: "way to pin",
        table: &[
            ("none", Self::None),
            ("each", Self::Each),
            ("set", Self::Set),
            ("node", Self::Node),
        ],
    };
}

impl Order {
    const WORDS: Words<Self> =
        Words { what: "order", table: &[("spread", Self::Spread), ("pack", Self::Pack)] };
}

impl Smt {
    const WORDS: Words<Self> =
        Words { what: "choice of SMT siblings", table: &[("all", Self::All), ("one", Self::One)] };
}

macro_rules! choices_of_one_word {
    ($($choice:ident)+) => {$(
        impl FromStr for $choice {
            type Err = PlacementError;

            fn from_str(text: &str) -> Result<Self, PlacementError> {
                Self::WORDS.parse(text)
            }
        }

        impl fmt::Display for $choice {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::WORDS.name(*self))
            }
        }
    )+};
}

choices_of_one_word!(Pin Order Smt);

impl FromStr for Cores {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "physical" => Ok(Self::Physical),
            count => number(count).filter(|&count| count > 0).map(Self::Count).ok_or_else(|| {
                let nearest = nearest(count, ["auto", "physical"]);
                PlacementError::NotCores { text: text.to_owned(), nearest }
            }),
        }
    }
}

impl From<usize> for Cores {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Physical => f.write_str("physical"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T>(texts: &[&str])
    where
        T: FromStr<Err = PlacementError> + fmt::Display,
    {
        for text in texts {
            let choice: T = text.parse().expect("a valid choice");
            assert_eq!(choice.to_string(), *text);
        }
    }

    #[test]
    fn choices_print_as_they_parse() {
        round_trip::<Cores>(&["auto", "physical", "1", "64"]);
        round_trip::<Pin>(&["none", "each", "set", "node"]);
        round_trip::<Order>(&["spread", "pack"]);
        round_trip::<Smt>(&["all", "one"]);
    }

    #[test]
    fn errors_quote_the_text_and_list_the_choices() {
        let cores = |text: &str| text.parse::<Cores>().expect_err("invalid").to_string();
        let expected = "\"0\" is not a number of cores: write 1 to 1024, `auto`, or `physical`";
        assert_eq!(cores("0"), expected);
        for wrong in ["-2", "1.5", "two", "", "99999999999999999999"] {
            assert!(cores(wrong).starts_with(&format!("{wrong:?} is not")), "{}", cores(wrong));
        }
        assert!(cores("phyiscal").ends_with("or `physical`; did you mean `physical`?"));

        let pin = |text: &str| text.parse::<Pin>().expect_err("invalid").to_string();
        assert_eq!(pin("7"), "\"7\" is no way to pin: write `none`, `each`, `set` or `node`");
        assert!(pin("nod").ends_with("; did you mean `node`?"), "{}", pin("nod"));

        let order = "sprad".parse::<Order>().expect_err("invalid").to_string();
        let expected = "\"sprad\" is no order: write `spread` or `pack`; did you mean `spread`?";
        assert_eq!(order, expected);
        let smt = "two".parse::<Smt>().expect_err("invalid").to_string();
        assert_eq!(smt, "\"two\" is no choice of SMT siblings: write `all` or `one`");
    }
}
