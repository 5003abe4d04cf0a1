//! What becomes of a case that fails: it is made as short as it can be, and printed.
//!
//! Owns the one hook that keeps the attempts of the meantime quiet.

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::machine::{self, Case};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a case; if it fails, panics with the shortest that fails in the same way.
pub(crate) fn run(name: &impl fmt::Display, case: &Case) {
    let Some(text) = failure(case) else { return };
    let (case, text) = shorten(case, text);
    panic!("{name} fails, and so does this, shorter:\n{case}\n{text}");
}

/// Leaves out whatever can be left out; returns what it fails with then.
fn shorten(case: &Case, mut text: String) -> (Case, String) {
    let mut case = case.clone();
    let mut count = case.operations.len();
    let mut attempts = ATTEMPTS;
    let mut try_it = |case: &mut Case, shorter: Case| {
        if attempts == 0 {
            return false;
        }
        attempts -= 1;
        let failed = failure(&shorter).filter(|other| is_alike(&text, other));
        failed.is_some_and(|failed| {
            (*case, text) = (shorter, failed);
            true
        })
    };
    while count > 0 {
        let mut at = 0;
        while at < case.operations.len() {
            let mut shorter = case.clone();
            shorter.operations.drain(at..case.operations.len().min(at + count));
            if !try_it(&mut case, shorter) {
                at += count;
            }
        }
        count /= 2;
    }
    for at in (0..case.plan.filters.len()).rev() {
        let mut fewer = case.clone();
        fewer.plan.filters.remove(at);
        try_it(&mut case, fewer);
    }
    (case, text)
}

/// Whether two failures are the same but for numbers.
fn is_alike(one: &str, other: &str) -> bool {
    let words =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphabetic()).take(30).collect() };
    words(one) == words(other)
}

/// What a case fails with, said nowhere else.
fn failure(case: &Case) -> Option<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let run = panic::catch_unwind(AssertUnwindSafe(|| machine::run(case)));
    QUIET.set(false);
    let panic = run.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .or(Some(String::new()))
}

/// Runs that shortening takes at most.
const ATTEMPTS: usize = 300;
