//! The `ratelimit` command from outside: a right limiter passes, a broken one is caught.

use serde_json::Value;

use crate::harness::{loadtest, number, patiently, positive, tried};

#[test]
fn the_list_names_every_scenario() {
    let output = loadtest(&["ratelimit", "--list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for name in
        ["libevent-1", "libevent-2", "libevent-3", "libevent-4", "group", "placement", "suspended"]
    {
        assert!(text.contains(name), "{name} in {text}");
    }
}

/// Measures for as long as anything is to move, with what its exit code says of it.
fn judged(first_ms: u64, arguments: &[&str]) -> Value {
    let (code, result) = patiently(first_ms, |duration| {
        tried(&[&["ratelimit"], arguments, &["-d", duration]].concat())
    });
    // Whether a bar was held is the machine's business, what follows from that is not.
    let fails = |check: &Value| check["pass"] == false && check["inconclusive"] == false;
    let mut passed = true;
    for kind in ["scenarios", "comparisons"] {
        for judged in result[kind].as_array().into_iter().flatten() {
            let failed = judged["checks"].as_array().unwrap().iter().any(fails);
            assert_eq!(judged["pass"], !failed, "{judged}");
            passed &= !failed;
        }
    }
    assert_eq!(result["schema"], 1);
    assert_eq!(result["verdict"], if passed { "PASS" } else { "FAIL" });
    assert_eq!(code, if passed { 0 } else { 3 });
    result
}

#[test]
fn a_group_is_judged_by_the_servers_own_log() {
    let result = judged(2000, &["group", "-c", "4", "--group-limit", "2MB/s"]);
    let scenario = &result["scenarios"][0];
    assert_eq!(scenario["name"], "group");
    assert_eq!(scenario["members"], 4);
    assert!(scenario["member_cores"].as_u64() >= Some(1));
    assert_eq!(scenario["configured_bytes_per_sec"], 2_000_000.0);
    assert_eq!(scenario["burst_bytes"], 200_000);
    // That no window carries too much holds on the busiest machine; rate and shares may not.
    assert_eq!(scenario["worst_excess_bytes"], 0);
    for key in [
        "achieved_ratio",
        "ideal_round_ms",
        "jain",
        "jain_1s",
        "longest_gap_ms",
        "longest_loop_gap_ms",
        "longest_service_gap_ms",
        "max_share_ratio",
        "min_share_ratio",
        "peer_excess_bytes",
        "smoothness",
    ] {
        assert!(scenario[key].is_number(), "{key}");
    }
}

#[test]
fn a_group_is_placed_on_the_cores_in_four_ways() {
    let result = judged(2000, &["placement", "-c", "8", "--group-limit", "2MB/s"]);
    let scenarios = result["scenarios"].as_array().unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let found: Vec<_> = scenarios
        .iter()
        .map(|s| (s["name"].as_str().unwrap(), number(&s["member_weight"]), s["member_cores"] == 1))
        .collect();
    let expected = [
        ("placement-one", 8, true),
        ("placement-even", 8, false),
        ("placement-skewed", 8, false),
        ("placement-weighted", 16, false),
    ];
    assert_eq!(found, expected);
    for scenario in scenarios {
        assert_eq!(scenario["worst_excess_bytes"], 0, "{scenario}");
        assert!(scenario["min_share_ratio"].is_number(), "{scenario}");
    }
    let comparison = &result["comparisons"][0];
    assert_eq!(comparison["name"], "placement");
    assert_eq!(comparison["checks"][0]["name"], "largest total / smallest");
}

#[test]
fn what_waiting_members_cost_is_measured_for_three_numbers_of_them() {
    let result = judged(100, &["suspended", "-c", "190"]);
    let scenarios = result["scenarios"].as_array().unwrap();
    let names: Vec<_> = scenarios.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["suspended-10", "suspended-50", "suspended-190"]);
    for scenario in scenarios {
        // How many of them wait, and for what, depends on when the machine lets the client read.
        let waiting = number(scenario, "/waiting");
        assert!(waiting <= number(scenario, "/members"), "{scenario}");
        assert_eq!(scenario["checks"][1]["name"], "members that wait");
        assert_eq!(number(scenario, "/checks/1/value"), waiting);
        let slices = scenario["slices_cpu_ms_per_sec"].as_array().unwrap();
        assert!((1..=3).contains(&slices.len()), "{scenario}");
        // To be asked how it is takes the server some time already.
        assert!(positive(&["/server_cpu_ms_per_sec"])(scenario), "{scenario}");
        for key in ["achieved_ratio", "draws_per_op", "operations_per_sec", "steal_fraction"] {
            assert!(scenario[key].is_number(), "{key} of {scenario}");
        }
    }
    let comparison = &result["comparisons"][0];
    assert_eq!(comparison["name"], "suspended");
    for figure in [
        "flat_ratio",
        "saturated_bytes_per_op",
        "saturated_ms_per_sec",
        "unlimited_bytes_per_op",
        "unlimited_ms_per_sec",
    ] {
        assert!(comparison[figure].is_number(), "{figure} of {comparison}");
    }
}

#[test]
fn a_broken_limiter_is_caught_and_exits_with_three() {
    // 5 % too much shows as soon as the group is empty, unless the server was away for so long that
    // the bucket ran over: its burst is half a second's worth.
    let arguments = ["group", "-c", "4", "--group-limit", "2MB/s", "--burst", "1MB"];
    patiently(2000, |duration| {
        let broken = ["-d", duration, "--break-limiter"];
        let output = loadtest(&[&["ratelimit"], &arguments[..], &broken].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains("FAIL bytes in excess of any window") {
            return Err(text);
        }
        assert_eq!(output.status.code(), Some(3));
        Ok(())
    });
}
