//! Labels: what each piece of user code is called, as a number that fits into a beat.
//!
//! Owns the names of one runtime, behind a lock that is taken when a name is met for the first time
//! on a core, and when somebody reads one: never for a call. Numbers are not given back, so there
//! are at most [`MAX_LABELS`], half of them of factories; whatever comes after those is called
//! "something else", or "factory of a listener".

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Names that are told apart.
pub(crate) const MAX_LABELS: usize = 4096;

/// What a core may be at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Label(u16);

impl Label {
    /// Not asked yet; no core is ever at it.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// The core waits for events.
    pub(crate) const WAITING: Self = Self(1);
    /// The core is gone.
    pub(crate) const ENDED: Self = Self(2);
    /// Between calls of user code: system calls, bookkeeping, sources that are read.
    pub(crate) const CORE: Self = Self(3);
    /// A task that was sent to the core.
    pub(crate) const TASK: Self = Self(4);
    /// A task of a timer.
    pub(crate) const TIMER: Self = Self(5);
    /// The observer of metered operations.
    pub(crate) const OBSERVER: Self = Self(6);
    /// A handler or filter is dropped.
    pub(crate) const DROP: Self = Self(7);
    /// One of too many.
    pub(crate) const OTHER: Self = Self(8);
    /// The factory of one of too many listeners.
    pub(crate) const FACTORY: Self = Self(9);

    pub(super) fn number(self) -> u16 {
        self.0
    }

    pub(super) fn from_number(number: u16) -> Self {
        Self(number)
    }
}

/// The names of [`Label`]'s constants, in order of their numbers.
const FIXED: [&str; 10] = [
    "unknown",
    "waiting",
    "ended",
    "the core itself",
    "task",
    "timer",
    "observer",
    "drop of a handler",
    "something else",
    "factory of a listener",
];

/// The names of one runtime.
#[derive(Debug)]
pub(crate) struct Labels(Mutex<Names>);

#[derive(Debug)]
struct Names {
    list: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Label>,
}

impl Labels {
    pub(crate) fn new() -> Self {
        let list = FIXED.into_iter().map(Arc::from).collect();
        Self(Mutex::new(Names { list, numbers: HashMap::new() }))
    }

    /// The label of a name, the same for the same name.
    pub(crate) fn intern(&self, name: &str) -> Label {
        self.intern_within(MAX_LABELS, name, Label::OTHER)
    }

    /// As [`intern`](Self::intern), of a factory: their names are the program's own data, as many
    /// as it has listeners in its life, and must leave room for those of handlers.
    pub(crate) fn intern_factory(&self, name: &str) -> Label {
        self.intern_within(MAX_LABELS / 2, name, Label::FACTORY)
    }

    fn intern_within(&self, most: usize, name: &str, otherwise: Label) -> Label {
        let names = &mut *self.0.lock();
        if let Some(&label) = names.numbers.get(name) {
            return label;
        }
        if names.list.len() >= most {
            return otherwise;
        }
        let label = Label(names.list.len() as u16);
        let name: Arc<str> = Arc::from(name);
        names.list.push(name.clone());
        names.numbers.insert(name, label);
        label
    }

    /// The name of a label.
    pub(crate) fn name(&self, label: Label) -> Arc<str> {
        let names = self.0.lock();
        names.list.get(usize::from(label.0)).map_or_else(|| Arc::from("unknown"), Arc::clone)
    }
}

/// The labels of handlers that one core has met, so that it takes the lock once a type.
#[derive(Debug, Default)]
pub(crate) struct KnownLabels(HashMap<&'static str, Label>);

impl KnownLabels {
    pub(crate) fn find(&mut self, labels: &Labels, name: &'static str) -> Label {
        *self.0.entry(name).or_insert_with(|| labels.intern(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_label_and_a_label_one_name() {
        let labels = Labels::new();
        let (echo, proxy) = (labels.intern("Echo"), labels.intern("Proxy"));
        assert_ne!(echo, proxy);
        assert_eq!(labels.intern("Echo"), echo);
        assert_eq!(&*labels.name(echo), "Echo");
        assert_eq!(&*labels.name(Label::TASK), "task");
        assert_eq!(&*labels.name(Label::OTHER), "something else");
        assert_eq!(&*labels.name(Label(u16::MAX)), "unknown");
    }

    #[test]
    fn names_beyond_the_last_number_share_one() {
        let labels = Labels::new();
        let last = (FIXED.len()..MAX_LABELS).map(|at| labels.intern(&at.to_string())).last();
        assert_ne!(last, Some(Label::OTHER));
        assert_eq!(labels.intern("one more"), Label::OTHER);
        assert_eq!(labels.intern("and one more"), Label::OTHER);
        assert_eq!(Some(labels.intern(&(MAX_LABELS - 1).to_string())), last, "known ones stay");
    }

    #[test]
    fn factories_leave_room_for_handlers() {
        let labels = Labels::new();
        let first = labels.intern_factory("factory of 127.0.0.1:1");
        for port in 2..=MAX_LABELS {
            labels.intern_factory(&format!("factory of 127.0.0.1:{port}"));
        }
        assert_eq!(labels.intern_factory("factory of one more"), Label::FACTORY);
        assert_eq!(labels.intern_factory("factory of 127.0.0.1:1"), first, "known ones stay");
        assert_eq!(&*labels.name(Label::FACTORY), "factory of a listener");
        let echo = labels.intern("Echo");
        assert_eq!(&*labels.name(echo), "Echo");
    }

    #[test]
    fn a_core_asks_for_a_name_once() {
        let (labels, mut known) = (Labels::new(), KnownLabels::default());
        let label = known.find(&labels, "Echo");
        assert_eq!(known.find(&labels, "Echo"), label);
        assert_eq!(labels.intern("Echo"), label);
    }
}
