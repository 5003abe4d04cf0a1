//! `tune` from outside: what it would try, what it tells, what it refuses.
//!
//! Never asserts which candidate wins: that is the machine's business.

use crate::harness::{loadtest, number, positive, says, told};

#[test]
fn the_list_names_what_is_tried_and_why_the_rest_is_not() {
    let output = loadtest(&["tune", "echo", "--list"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("(defaults)\n"), "{text}");
    let left: Vec<&str> = text.lines().filter(|line| line.starts_with("left out")).collect();
    assert!(left.iter().all(|line| line.split(": ").nth(1).is_some()), "{text}");
    assert!(text.contains("--pin none"), "{text}");
}

#[test]
fn a_small_tuning_ranks_its_candidates_and_names_the_flags() {
    let fixed = ["--cores", "1", "--order", "spread", "--smt", "all", "--idle", "park"];
    let short = ["-w", "0s", "-c", "4", "--rounds", "6", "--seed", "9"];
    let result = told(500, &[&["tune", "echo"], &fixed[..], &short].concat(), |_| true);
    assert_eq!((&result["schema"], &result["seed"]), (&1.into(), &9.into()));
    assert_eq!((number(&result, "/rounds"), number(&result, "/planned_rounds")), (6.0, 6.0));
    assert!(result["ended_by"].is_null(), "{result}");
    let candidates = result["candidates"].as_array().unwrap();
    assert!(candidates.len() >= 2, "{result}");
    assert_eq!(number(&result, "/trials"), 6.0 * candidates.len() as f64);
    assert_eq!(candidates[0]["standing"], "best");
    assert_eq!(candidates[0]["ratio_to_best"], 1.0);
    for candidate in candidates {
        assert_eq!(candidate["figures"].as_array().unwrap().len(), 6);
        assert!(candidate["flags"].as_str().unwrap().starts_with("--cores 1"));
    }
    let told = candidates[1]["interval"].is_array();
    assert_eq!(told, result["verdict"] != "TOO FEW ROUNDS", "{result}");
    if let Some(flags) = result["flags"].as_str() {
        let begins = |way| flags.starts_with(&format!("--cores 1 --pin {way} --order spread"));
        assert!(["each", "none", "set", "node"].into_iter().any(begins), "in full: {result}");
    }
}

#[test]
fn a_budget_that_ends_early_says_so() {
    let fixed = ["--cores", "1", "--order", "spread", "--smt", "all", "--idle", "park"];
    let short = ["-w", "0s", "-c", "1", "--budget", "1ms", "--rounds", "6"];
    let result = told(500, &[&["tune", "echo"], &fixed[..], &short].concat(), |_| true);
    assert_eq!(number(&result, "/rounds"), 1.0, "the first round is begun whatever it takes");
    assert_eq!(result["verdict"], "TOO FEW ROUNDS");
    assert_eq!((number(&result, "/planned_rounds"), &result["ended_by"]), (6.0, &"budget".into()));
    let sentence = result["sentence"].as_str().unwrap();
    let end = "It ended after 1 of 6 rounds, because the budget was used up.";
    assert!(sentence.ends_with(end), "{sentence}");
}

#[test]
fn trials_too_short_for_the_figure_are_said_and_end_nothing() {
    let fixed = ["--cores", "2", "--pin", "none", "--smt", "all", "--server-cpus", "none"];
    // Ten connections have no 99th percentile, nor have thirty times as many.
    let short = ["--rate", "20", "-w", "0s", "--by", "p99", "--budget", "1ms"];
    let result = told(500, &[&["tune", "churn"], &fixed[..], &short].concat(), |_| true);
    assert!(result["candidates"][0]["median"].is_null(), "{result}");
    assert_eq!(result["shared"], "a side is not pinned");
    // On a crowded machine even ten may be too many.
    let (unmeasured, void) =
        (number(&result, "/unmeasured_trials"), number(&result, "/void_trials"));
    assert_eq!(unmeasured + void, number(&result, "/trials"), "{result}");
    let sentence = result["sentence"].as_str().unwrap();
    let said = sentence.contains("Trials too short for the replies");
    assert_eq!(said, unmeasured > 0.0, "{sentence}");
}

#[test]
fn a_source_is_compared_by_bytes() {
    let fixed = ["--cores", "1", "--order", "spread", "--smt", "all", "--idle", "park"];
    let short = ["-w", "0s", "-c", "1", "--budget", "1ms"];
    let median = positive(&["/median"]);
    let result = told(500, &[&["tune", "source"], &fixed[..], &short].concat(), |result| {
        result["candidates"].as_array().unwrap().iter().all(&median)
    });
    assert!(result["by"].as_str().unwrap().starts_with("bytes per second"), "{result}");
}

#[test]
fn bad_flags_are_refused_with_what_is_right() {
    let tune = |flags: &[&'static str]| [&["tune", "echo"], flags].concat();
    says(&tune(&["--rounds", "3"]), 2, &["--rounds 3", "candidates"]);
    says(&tune(&["--rounds", "1001"]), 2, &["--rounds 1001", "1000"]);
    says(&tune(&["--rounds", "many"]), 2, &["many", "--rounds"]);
    says(&tune(&["--by", "luck"]), 2, &["luck", "throughput"]);
    says(&tune(&["--by", "trhoughput"]), 2, &["throughput"]);
    says(&tune(&["--by", "user", "-d", "1s"]), 2, &["-d 1s", "--by user", "2s", "--by cost"]);
    says(&tune(&["--noise", "2"]), 2, &["\"2\"", "2%"]);
    says(&tune(&["--budget", "10"]), 2, &["\"10\"", "10s"]);
    says(&tune(&["--budget", "0s"]), 2, &["--budget 0s"]);
    says(&["tune", "sink", "--by", "p99"], 2, &["--by p99", "sink", "throughput"]);
    let all = ["--cores", "1", "--pin", "set", "--order", "pack", "--smt", "all", "--idle", "park"];
    says(&tune(&[&all[..], &["--accept", "balanced"]].concat()), 2, &["one way", "--list"]);
    says(&tune(&["--seed", "x"]), 2, &["x", "--seed"]);
    says(&tune(&["--rate", "10k"]), 2, &["--rate", "churn"]);
    says(&tune(&["-c", "0"]), 2, &["-c 0"]);
    says(&tune(&["--ordr", "pack"]), 2, &["--ordr", "--order"]);
    says(&tune(&["--cores", "9999"]), 2, &["9999"]);
    says(&["tune"], 2, &["WORKLOAD"]);
    says(&["tune", "idle"], 2, &["idle", "echo, source, sink, churn or handshake"]);
    says(&["tune", "echo", "127.0.0.1:9"], 2, &["127.0.0.1:9"]);
}
