//! What a user may ask for: how many cores, on which CPUs, pinned how.
//!
//! Owns the three types behind `--cores`, `--cpus` and `--pin`, and their texts: the same words
//! in flags, environment and builder. Decides nothing; [`plan`](super::plan()) does.
//!
//! Invariants: printing a choice and parsing the result gives the same choice.

use std::fmt;
use std::str::FromStr;

use super::cpu_set::CpuSet;
use super::error::PlacementError;

/// How many cores a runtime has: `auto`, or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// As many as CPUs may be used, and no more than the CPU quota pays for, rounded up.
    #[default]
    Auto,
    /// This many: 1 to [`MAX_CORES`](super::MAX_CORES), which is checked when the cores are placed.
    Count(usize),
}

/// Which CPUs the cores run on: `all`, `allowed`, or a list in the grammar of [`CpuSet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// Every CPU that is online, an error if the process may not use one of them.
    All,
    /// Every CPU the process may use.
    Allowed,
    /// These.
    Listed(CpuSet),
}

/// How the threads of cores are tied to CPUs: `none`, `each` or `set`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Not at all; the kernel moves them as it sees fit. The default without a CPU list.
    #[default]
    None,
    /// Core i to the i-th CPU of the list, in ascending order.
    Each,
    /// Every core to the whole list; the kernel moves them within it. The default with a list.
    Set,
}

impl FromStr for Cores {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "physical" => {
                let instead = "write a number, or `auto` for one core a CPU";
                Err(PlacementError::NotYet { word: "physical", instead })
            }
            number => match number.parse() {
                Ok(0) | Err(_) => Err(PlacementError::NotCores { text: text.to_owned() }),
                Ok(count) => Ok(Self::Count(count)),
            },
        }
    }
}

impl FromStr for Cpus {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        match text.trim() {
            "all" => Ok(Self::All),
            "allowed" => Ok(Self::Allowed),
            list => Ok(Self::Listed(list.parse()?)),
        }
    }
}

impl FromStr for Pin {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        match text.trim() {
            "none" => Ok(Self::None),
            "each" => Ok(Self::Each),
            "set" => Ok(Self::Set),
            "node" => {
                let instead = "write `set` and list the CPUs of the node";
                Err(PlacementError::NotYet { word: "node", instead })
            }
            _ => Err(PlacementError::NotAPin { text: text.to_owned() }),
        }
    }
}

impl From<usize> for Cores {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<CpuSet> for Cpus {
    fn from(cpus: CpuSet) -> Self {
        Self::Listed(cpus)
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Allowed => f.write_str("allowed"),
            Self::Listed(cpus) => cpus.fmt(f),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Each => "each",
            Self::Set => "set",
        })
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
        round_trip::<Cores>(&["auto", "1", "64"]);
        round_trip::<Cpus>(&["all", "allowed", "0-3,8"]);
        round_trip::<Pin>(&["none", "each", "set"]);
    }

    #[test]
    fn errors_quote_the_text_and_list_the_choices() {
        let cores = |text: &str| text.parse::<Cores>().expect_err("invalid").to_string();
        let expected = "\"0\" is not a number of cores: write 1 to 1024, or `auto`";
        assert_eq!(cores("0"), expected);
        assert!(cores("-2").contains("\"-2\""));
        assert!(cores("physical").starts_with("`physical` is not offered yet: write a number"));

        let pin = |text: &str| text.parse::<Pin>().expect_err("invalid").to_string();
        assert_eq!(pin("all"), "\"all\" is no way to pin: write `none`, `each` or `set`");
        assert!(pin("node").starts_with("`node` is not offered yet: write `set`"));

        let cpus = "all,3".parse::<Cpus>().expect_err("invalid").to_string();
        assert!(cpus.starts_with("CPU list: \"all\" is not a CPU"), "{cpus}");
        assert!(cpus.ends_with("`all` and `allowed` stand alone"), "{cpus}");
    }
}
