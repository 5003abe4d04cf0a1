//! The `ratelimit` command from outside: a right limiter passes, a broken one is caught.

use std::fs;

use serde_json::Value;

use crate::harness::loadtest;

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

#[test]
fn a_group_is_judged_by_the_servers_own_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let path = file.to_str().unwrap();
    let output = loadtest(&[
        "ratelimit",
        "group",
        "-c",
        "4",
        "-d",
        "2s",
        "--group-limit",
        "2MB/s",
        "--json",
        path,
    ]);
    let result: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(result["schema"], 1);
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
    let passed = scenario["pass"] == true;
    assert_eq!(result["verdict"], if passed { "PASS" } else { "FAIL" });
    assert_eq!(output.status.code(), Some(if passed { 0 } else { 3 }));
}

#[test]
fn a_group_is_placed_on_the_cores_in_four_ways() {
    let arguments = ["ratelimit", "placement", "-c", "8", "-d", "2s", "--group-limit", "2MB/s"];
    let output = loadtest(&[&arguments[..], &["--json", "-"]].concat());
    let result: Value = serde_json::from_slice(&output.stdout).expect("it is JSON alone");
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
    let output = loadtest(&["ratelimit", "suspended", "-c", "190", "-d", "100ms", "--json", "-"]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("it is JSON alone");
    let scenarios = result["scenarios"].as_array().unwrap();
    let names: Vec<_> = scenarios.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["suspended-10", "suspended-50", "suspended-190"]);
    for scenario in scenarios {
        let members = scenario["members"].as_u64().unwrap();
        assert!(scenario["waiting"].as_u64().unwrap() * 100 >= members * 95, "{scenario}");
        assert!(scenario["server_cpu_ms_per_sec"].as_f64() > Some(0.0), "{scenario}");
        assert!(scenario["draws_per_op"].as_f64() > Some(0.0), "{scenario}");
        assert!(scenario["steal_fraction"].is_number(), "{scenario}");
    }
    let comparison = &result["comparisons"][0];
    assert_eq!(comparison["name"], "suspended");
    for figure in ["flat_ratio", "unlimited_ms_per_sec", "saturated_ms_per_sec"] {
        assert!(comparison[figure].as_f64() > Some(0.0), "{comparison}");
    }
    // A socket may take less, but no write is larger than the group's would be.
    for figure in ["unlimited_bytes_per_op", "saturated_bytes_per_op"] {
        let bytes = comparison[figure].as_f64().unwrap();
        assert!(bytes > 100.0 && bytes <= 1000.0, "{comparison}");
    }
}

#[test]
fn a_broken_limiter_is_caught_and_exits_with_three() {
    // Its burst is small, so that 5 % too much shows in two seconds.
    let output = loadtest(&[
        "ratelimit",
        "group",
        "-c",
        "4",
        "-d",
        "2s",
        "--group-limit",
        "4MB/s",
        "--burst",
        "64KiB",
        "--break-limiter",
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("FAIL bytes in excess of any window"), "{text}");
    assert_eq!(output.status.code(), Some(3));
}
