//! What the environment says of cores: the same choices as flags, under the same names.
//!
//! Owns the names of the variables, which text is for which choice, and which choices come of them.
//! Reads the environment once, when it is asked to, and never sets it.
//!
//! Invariants: no variable of the prefix is ignored without a word: one that is nearly one of these
//! is refused, any other that nobody knows is a warning of the plan. An error of a plan names the
//! variables that had a part in it.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use super::asked::Placement;
use super::error::PlacementError;
use super::nearest::nearest;
use super::word::Words;

/// What the names of all variables of this project begin with.
const PREFIX: &str = "SLUICEGATE_";

/// Takes a text for a choice.
type Setter = fn(&mut Placement, &str) -> Result<(), PlacementError>;

/// The text of a choice, if it was made.
type Getter = fn(&Placement) -> Option<String>;

/// The rest of each name, and the choice it is for.
const VARIABLES: [(&str, Setter, Getter); 7] = [
    ("CORES", |asked, text| set(&mut asked.cores, text), |asked| written(&asked.cores)),
    ("CPUS", |asked, text| set(&mut asked.cpus, text), |asked| written(&asked.cpus)),
    ("PIN", |asked, text| set(&mut asked.pin, text), |asked| written(&asked.pin)),
    ("ORDER", |asked, text| set(&mut asked.order, text), |asked| written(&asked.order)),
    ("SMT", |asked, text| set(&mut asked.smt, text), |asked| written(&asked.smt)),
    ("IDLE", |asked, text| set(&mut asked.idle, text), |asked| written(&asked.idle)),
    ("STRICT", set_strict, |asked| written(&asked.strict)),
];

/// Names by which this project's tests tell their own programs something else.
const OTHERS: [&str; 7] =
    ["CASE", "REQUIRE_BROWSER", "REQUIRE_INTEROP", "SEED", "SEEDS", "STAND_IN_CHILD", "TEST_CHILD"];

const TRUTH: Words<bool> = Words {
    what: "yes or no",
    table: &[("true", true), ("false", false), ("1", true), ("0", false)],
};

/// What the environment has to do with a placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// The variables, without their prefix, whose choices count.
    used: BTreeSet<&'static str>,
    /// The whole names of those that nobody knows.
    unknown: BTreeSet<String>,
}

impl Placement {
    /// What the variables `SLUICEGATE_CORES`, `_CPUS`, `_PIN`, `_ORDER`, `_SMT`, `_IDLE` and
    /// `_STRICT` say; an empty one says nothing. Others that begin so ask for nothing, and
    /// [`plan`](Self::plan) warns of them.
    ///
    /// # Errors
    ///
    /// [`PlacementError::Variable`] for a text that the flag of the same name would not take
    /// either, [`PlacementError::UnknownVariable`] for a name that is nearly one of these.
    pub fn from_env() -> Result<Self, PlacementError> {
        Self::from_vars(env::vars_os())
    }

    /// As [`from_env`](Self::from_env), from variables at hand.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    ///
    /// # Examples
    ///
    /// ```
    /// use sluicegate::{Cores, Placement};
    ///
    /// let asked = Placement::from_vars([("SLUICEGATE_CORES", "2"), ("PATH", "/bin")])?;
    /// assert_eq!(asked.cores, Some(Cores::Count(2)));
    /// # Ok::<(), sluicegate::PlacementError>(())
    /// ```
    pub fn from_vars<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, PlacementError> {
        let mut asked = Self::default();
        for (name, text) in variables {
            let (name, text) = (name.into(), text.into());
            let name = name.to_string_lossy();
            let Some(name) = name.strip_prefix(PREFIX).filter(|name| !OTHERS.contains(name)) else {
                continue;
            };
            let Some((known, set, _)) = VARIABLES.iter().find(|(known, ..)| *known == name) else {
                refuse_similar(name)?;
                asked.origin.unknown.insert(format!("{PREFIX}{name}"));
                continue;
            };
            let name = || format!("{PREFIX}{known}");
            let text = text.to_str().ok_or_else(|| PlacementError::NotText { name: name() })?;
            if !text.trim().is_empty() {
                set(&mut asked, text).map_err(|source| PlacementError::Variable {
                    name: name(),
                    source: Box::new(source),
                })?;
                asked.origin.used.insert(known);
            }
        }
        Ok(asked)
    }

    /// The variables of this project's prefix that were set and that nobody knows, by name.
    pub fn unknown_variables(&self) -> impl Iterator<Item = &str> {
        self.origin.unknown.iter().map(String::as_str)
    }

    /// Where this comes from if it leaves to `other` what it leaves open.
    pub(super) fn origin_or(&self, other: &Self) -> Origin {
        let mut origin = self.origin.clone();
        origin.unknown.extend(other.origin.unknown.iter().cloned());
        let left = VARIABLES.iter().filter(|(_, _, get)| get(self).is_none());
        let names = left.map(|(name, ..)| *name);
        origin.used.extend(names.filter(|name| other.origin.used.contains(name)));
        origin
    }

    /// An error of the plan, under the names of the variables that had a part in it.
    pub(super) fn name_variables(&self, error: PlacementError) -> PlacementError {
        let choices: &[&str] = match &error {
            PlacementError::CpuNotAllowed { .. }
            | PlacementError::NoSuchPlace { .. }
            | PlacementError::NothingLeft { .. } => &["CPUS"],
            PlacementError::CoreCount { .. } => &["CORES"],
            PlacementError::CoresBesideSets { .. } => &["CORES", "CPUS"],
            PlacementError::PinBesideSets { .. } => &["PIN", "CPUS"],
            PlacementError::TooFewCpus { .. } => &["CORES", "CPUS", "PIN", "SMT"],
            _ => &[],
        };
        let names = choices.iter().filter(|name| self.origin.used.contains(*name));
        let names: Vec<String> = names.map(|name| format!("{PREFIX}{name}")).collect();
        if names.is_empty() {
            return error;
        }
        PlacementError::Variable { name: names.join(" and "), source: Box::new(error) }
    }
}

/// Refuses a name whose whole or first word is nearly one of ours.
fn refuse_similar(name: &str) -> Result<(), PlacementError> {
    let known = || VARIABLES.iter().map(|(known, ..)| *known);
    let first_word = name.split('_').next().unwrap_or_default();
    match nearest(name, known()).or_else(|| nearest(first_word, known())) {
        Some(meant) => Err(PlacementError::UnknownVariable {
            name: format!("{PREFIX}{name}"),
            nearest: format!("{PREFIX}{meant}"),
        }),
        None => Ok(()),
    }
}

/// The names there are, as a sentence lists them.
pub(super) fn names() -> String {
    let [(first, ..), rest @ ..] = &VARIABLES;
    let rest: Vec<String> = rest.iter().map(|(name, ..)| format!("_{name}")).collect();
    format!("{PREFIX}{first}, {}", rest.join(", "))
}

fn set<T: FromStr>(choice: &mut Option<T>, text: &str) -> Result<(), PlacementError>
where
    PlacementError: From<T::Err>,
{
    *choice = Some(text.parse()?);
    Ok(())
}

fn set_strict(asked: &mut Placement, text: &str) -> Result<(), PlacementError> {
    asked.strict = Some(TRUTH.parse(text)?);
    Ok(())
}

fn written<T: ToString>(choice: &Option<T>) -> Option<String> {
    choice.as_ref().map(T::to_string)
}

impl fmt::Display for Placement {
    /// Writes what is given as variables would give it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _, get) in VARIABLES {
            let Some(text) = get(self) else { continue };
            write!(f, "{separator}{PREFIX}{name}={text}")?;
            separator = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn message(name: &str, text: &str) -> String {
        Placement::from_vars([(name, text)]).expect_err("refused").to_string()
    }

    #[test]
    fn every_choice_has_a_variable_and_prints_as_it() {
        let text = "SLUICEGATE_CORES=physical SLUICEGATE_CPUS=0-7,!core3 SLUICEGATE_PIN=each \
                    SLUICEGATE_ORDER=pack SLUICEGATE_SMT=one SLUICEGATE_IDLE=spin:50us \
                    SLUICEGATE_STRICT=true";
        let variables = text.split(' ').map(|pair| pair.split_once('=').expect("a pair"));
        let asked = Placement::from_vars(variables).expect("valid choices");
        assert_eq!(asked.to_string(), text);
        let open = asked.clone().or(Placement::default());
        assert_eq!(open, asked);
        assert_eq!(Placement::default().to_string(), "");
    }

    #[test]
    fn an_error_names_the_variable_and_says_what_its_flag_would() {
        assert_eq!(
            message("SLUICEGATE_PIN", "nod"),
            "SLUICEGATE_PIN: \"nod\" is no way to pin: write `none`, `each`, `set` or `node`; did \
             you mean `node`?"
        );
        for (name, text, expected) in [
            ("CORES", "0", "is not a number of cores"),
            ("CORES", "two", "is not a number of cores"),
            ("CPUS", "0-3,nod1", "\"nod1\" at column 5 is not a CPU: did you mean `node1`?"),
            ("CPUS", "1024", "the highest possible is 1023"),
            ("ORDER", "sread", "did you mean `spread`?"),
            ("SMT", "2", "is no choice of SMT siblings"),
            ("IDLE", "spin:50", "is no way to idle"),
            ("IDLE", "spin:1h", "is no way to idle"),
            ("IDLE", "spin:10s", "a core cannot look for events for 10s"),
            ("STRICT", "maybe", "is no yes or no: write `true`, `false`, `1` or `0`"),
        ] {
            let message = message(&format!("SLUICEGATE_{name}"), text);
            let named = message.starts_with(&format!("SLUICEGATE_{name}: "));
            assert!(named && message.contains(expected), "{message}");
        }
        let odd = OsString::from_vec(vec![0xff]);
        let refused = Placement::from_vars([("SLUICEGATE_CPUS", odd)]).expect_err("no text");
        assert_eq!(refused.to_string(), "SLUICEGATE_CPUS is not text in UTF-8: set it anew");
    }

    #[test]
    fn a_name_that_is_nearly_known_is_refused() {
        for (name, meant) in [
            ("CORE", "CORES"),
            ("CPU", "CPUS"),
            ("CPUSET", "CPUS"),
            ("CPU_LIST", "CPUS"),
            ("PINNING", "PIN"),
            ("PIN_TO", "PIN"),
            ("ODRER", "ORDER"),
            ("IDEL", "IDLE"),
            ("STRICT_CPUS", "STRICT"),
            ("cores", "CORES"),
        ] {
            assert_eq!(
                message(&format!("SLUICEGATE_{name}"), "1"),
                format!(
                    "there is no variable SLUICEGATE_{name}: did you mean SLUICEGATE_{meant}? \
                     Unset it otherwise"
                )
            );
        }
    }

    #[test]
    fn what_is_empty_or_for_something_else_says_nothing() {
        let others = OTHERS.map(|name| (format!("{PREFIX}{name}"), "7"));
        let nothing = [("SLUICEGATE_PIN".to_owned(), " "), ("CORES".to_owned(), "x")];
        let asked = Placement::from_vars(others.into_iter().chain(nothing));
        assert_eq!(asked.expect("nothing to object to"), Placement::default());
    }

    #[test]
    fn a_name_that_nobody_knows_is_remembered_whoever_is_asked_first() {
        let names =
            ["NUM_CORES", "THREADS", "LOG", "", "SEED_"].map(|name| format!("{PREFIX}{name}"));
        let odd = OsString::from_vec([b"SLUICEGATE_X" as &[u8], &[0xff]].concat());
        let variables = names.iter().map(OsString::from).chain([odd]).map(|name| (name, ""));
        let asked = Placement::from_vars(variables).expect("nothing that is refused");
        assert_eq!(asked.to_string(), "");
        let unknown =
            |asked: &Placement| Vec::from_iter(asked.unknown_variables().map(str::to_owned));
        let expected = ["", "LOG", "NUM_CORES", "SEED_", "THREADS", "X\u{fffd}"];
        assert_eq!(unknown(&asked), expected.map(|name| format!("{PREFIX}{name}")));
        assert_eq!(unknown(&Placement::default().or(asked.clone())), unknown(&asked));
        assert_eq!(unknown(&asked.clone().or(Placement::default())), unknown(&asked));
    }
}
