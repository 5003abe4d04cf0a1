//! The `simulate` command from outside: the same output each time, and a broken limiter is seen.

use serde_json::Value;

use crate::harness::{loadtest, says};

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let run = || loadtest(&["simulate", "even", "churn", "--cores", "3", "--json", "-"]);
    let (first, second) = (run(), run());
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(first.stdout, second.stdout);
    let result: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(result["verdict"], "PASS");
    assert_eq!(result["scenarios"][0]["name"], "even");
    assert_eq!(result["scenarios"][0]["excess_bytes"], 0);
    let other = loadtest(&["simulate", "churn", "--cores", "3", "--seed", "2"]);
    let again = loadtest(&["simulate", "churn", "--cores", "3", "--seed", "3"]);
    assert_ne!(other.stdout, again.stdout);
}

#[test]
fn a_broken_limiter_exits_with_three_and_says_where_it_shows() {
    let output = loadtest(&["simulate", "even", "--cores", "2", "--broken", "five-percent"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("FAIL excess"), "{text}");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn names_and_sizes_there_are_none_of_are_refused_with_those_there_are() {
    for (arguments, expected) in [
        (vec!["simulate", "evven"], "idle-start"),
        (vec!["simulate", "--broken", "everything"], "cached-clock"),
        (vec!["simulate", "--cores", "129"], "1 to 128"),
        (vec!["simulate", "--members", "0"], "1 to 1000000"),
    ] {
        says(&arguments, 2, &[expected]);
    }
}
