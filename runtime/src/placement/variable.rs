//! What the environment says of cores: the same choices as flags, under the same names.
//!
//! Owns the names of the variables and which text is for which choice. Reads the environment once,
//! when it is asked to, and never sets it.
//!
//! Invariants: a variable that is nearly one of these is refused rather than ignored; one that is
//! not like any of them is somebody else's.

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

type Setter = fn(&mut Placement, &str) -> Result<(), PlacementError>;

/// The rest of each name, and which choice it is for.
const VARIABLES: [(&str, Setter); 7] = [
    ("CORES", |asked, text| set(&mut asked.cores, text)),
    ("CPUS", |asked, text| set(&mut asked.cpus, text)),
    ("PIN", |asked, text| set(&mut asked.pin, text)),
    ("ORDER", |asked, text| set(&mut asked.order, text)),
    ("SMT", |asked, text| set(&mut asked.smt, text)),
    ("IDLE", |asked, text| set(&mut asked.idle, text)),
    ("STRICT", |asked, text| {
        asked.strict = Some(TRUTH.parse(text)?);
        Ok(())
    }),
];

const TRUTH: Words<bool> = Words {
    what: "yes or no",
    table: &[("true", true), ("false", false), ("1", true), ("0", false)],
};

impl Placement {
    /// What the variables `SLUICEGATE_CORES`, `_CPUS`, `_PIN`, `_ORDER`, `_SMT`, `_IDLE` and
    /// `_STRICT` say; an empty one says nothing.
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
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            let Some((known, set)) = VARIABLES.iter().find(|(known, _)| *known == name) else {
                refuse_similar(name)?;
                continue;
            };
            let name = || format!("{PREFIX}{known}");
            let text = text.to_str().ok_or_else(|| PlacementError::NotText { name: name() })?;
            if !text.trim().is_empty() {
                set(&mut asked, text).map_err(|source| PlacementError::Variable {
                    name: name(),
                    source: Box::new(source),
                })?;
            }
        }
        Ok(asked)
    }
}

/// Refuses a name whose whole or first word is nearly one of ours.
fn refuse_similar(name: &str) -> Result<(), PlacementError> {
    let known = || VARIABLES.iter().map(|(known, _)| *known);
    let first_word = name.split('_').next().unwrap_or_default();
    match nearest(name, known()).or_else(|| nearest(first_word, known())) {
        Some(meant) => Err(PlacementError::UnknownVariable {
            name: format!("{PREFIX}{name}"),
            nearest: format!("{PREFIX}{meant}"),
        }),
        None => Ok(()),
    }
}

fn set<T: FromStr>(choice: &mut Option<T>, text: &str) -> Result<(), PlacementError>
where
    PlacementError: From<T::Err>,
{
    *choice = Some(text.parse()?);
    Ok(())
}

impl fmt::Display for Placement {
    /// Writes what is given as variables would give it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |choice: Option<&dyn fmt::Display>| choice.map(ToString::to_string);
        let texts = [
            text(self.cores.as_ref().map(|choice| choice as _)),
            text(self.cpus.as_ref().map(|choice| choice as _)),
            text(self.pin.as_ref().map(|choice| choice as _)),
            text(self.order.as_ref().map(|choice| choice as _)),
            text(self.smt.as_ref().map(|choice| choice as _)),
            text(self.idle.as_ref().map(|choice| choice as _)),
            text(self.strict.as_ref().map(|choice| choice as _)),
        ];
        let mut separator = "";
        for ((name, _), text) in VARIABLES.iter().zip(texts) {
            let Some(text) = text else { continue };
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
    fn what_is_empty_or_of_somebody_else_says_nothing() {
        let variables = ["SEED", "SEEDS", "CASE", "TEST_CHILD", "METRICS", "LOG", "TRACE"];
        let variables = variables.map(|name| (format!("{PREFIX}{name}"), "7"));
        let nothing = [("SLUICEGATE_PIN".to_owned(), " "), ("CORES".to_owned(), "x")];
        let asked = Placement::from_vars(variables.into_iter().chain(nothing));
        assert_eq!(asked.expect("nothing to object to"), Placement::default());
    }
}
