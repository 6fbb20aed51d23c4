use super::*;
use crate::domain::CanaryGuard;

fn experiment(more: &str) -> String {
    with_route(&format!("[experiments.try]\nroute = \"auto\"\n{more}"))
}

#[test]
fn an_experiment_has_a_bundle_a_share_and_guards() {
    let text = experiment(
        "challenger = { strategy = \"learned\", policy = \"2026-11-23a\" }\nshare = \"5%\"\nguards = { cost_rise = 0.1 }\n",
    );
    let found = good(&text).experiment.unwrap();
    let terms = &found.experiment;
    assert_eq!((terms.name.as_str(), terms.policy.as_str(), terms.share), ("try", "2026-11-23a", 0.05));
    assert_eq!(terms.guards, [(CanaryGuard::CostRise, 0.1)].into());
    assert!(found.folder.ends_with("models/policy/2026-11-23a"));
    let short = good(&experiment("challenger = { policy = \"p\" }\n")).experiment.unwrap().experiment;
    assert_eq!((short.share, short.guards.len()), (0.05, 4));
}

#[test]
fn what_is_no_experiment_is_a_fault_with_its_line() {
    one_fault(&experiment("challenger = { }\n"), "12 experiments.try.challenger.policy", "is missing");
    let with_bundle = |more: &str| experiment(&format!("challenger = {{ policy = \"p\" }}\n{more}"));
    one_fault(&with_bundle("share = \"all\"\n"), "13 experiments.try.share", "\"5%\"");
    one_fault(&with_bundle("share = \"60%\"\n"), "10 experiments.try.share", "at most 50%");
    one_fault(
        &with_bundle("guards = { cost = 0.1 }\n"),
        "13 experiments.try.guards.cost",
        "latency_p95_rise",
    );
    one_fault(
        &with_bundle("[experiments.other]\nchallenger = { policy = \"q\" }\n"),
        "13 experiments.other",
        "one runs at a time",
    );
    let fixed = experiment("challenger = { policy = \"p\" }\n")
        .replace("[experiments", "strategy = \"fixed\"\n[experiments");
    one_fault(&fixed, "12 experiments.try.route", "learned");
}
