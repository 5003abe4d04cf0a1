//! One thing that was looked at.
//!
//! Owns the three grades and the rule that whatever is not `ok` says what to do.

use serde::Serialize;

/// What a figure of the machine means for servers and their measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) grade: Grade,
    /// What it is a limit of.
    pub(crate) limits: &'static str,
    pub(crate) remedy: Option<String>,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    Ok,
    /// It costs something, or could not be read.
    Note,
    /// Measurements fail or cannot be believed.
    Bad,
}

impl Grade {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Bad => "BAD",
        }
    }
}

impl Finding {
    /// A finding that is `ok` until it is said not to be.
    pub(crate) fn new(name: &'static str, value: impl Into<String>, limits: &'static str) -> Self {
        Self { name, value: value.into(), grade: Grade::Ok, limits, remedy: None }
    }

    /// A figure that the machine does not tell.
    pub(crate) fn unknown(name: &'static str, path: &str, limits: &'static str) -> Self {
        let remedy = format!("make /{path} readable, or find it out otherwise");
        Self::new(name, "unknown", limits).grade_if(true, Grade::Note, || remedy)
    }

    /// Grades it, with what to do; of two grades that apply the worse one stays.
    pub(crate) fn grade_if(
        mut self,
        applies: bool,
        grade: Grade,
        remedy: impl FnOnce() -> String,
    ) -> Self {
        if applies && grade > self.grade {
            (self.grade, self.remedy) = (grade, Some(remedy()));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_grade_stays_with_its_remedy() {
        let finding = Finding::new("a", "1", "b")
            .grade_if(true, Grade::Bad, || "first".into())
            .grade_if(true, Grade::Note, || "second".into())
            .grade_if(false, Grade::Bad, || "third".into());
        assert_eq!((finding.grade, finding.remedy.as_deref()), (Grade::Bad, Some("first")));
        assert_eq!(Finding::new("a", "1", "b").remedy, None);
        assert_eq!(Finding::unknown("a", "proc/x", "b").grade, Grade::Note);
    }
}
