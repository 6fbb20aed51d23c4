//! How models join and go.

use super::*;

#[test]
fn models_say_how_they_join_and_go() {
    let more = "tier = \"large\"\n[models.\"openai/gpt-5-nano\"]\nprovider = \"openai\"\nmodel = \"gpt-5-nano\"\n\
                prior = { like = \"openai/gpt-5-mini\" }\ndrain = true\n";
    let s = good(&with(more));
    let (mini, nano) = (ArmId::from("openai/gpt-5-mini"), ArmId::from("openai/gpt-5-nano"));
    assert_eq!(
        (s.priors[&mini].clone(), s.priors[&nano].clone()),
        (PriorSource::Price, PriorSource::Like(mini.clone()))
    );
    assert_eq!(s.comparable_usd[&mini], 4.0);
    assert!(s.draining.contains(&nano) && !s.draining.contains(&mini));
    let model = "models.\"openai/gpt-5-mini\"";
    one_fault(&with("tier = \"huge\"\n"), &format!("7 {model}.tier"), "none of \"small\"");
    one_fault(
        &with("prior = { like = \"openai/gpt-5-mini\" }\n"),
        &format!("7 {model}.prior.like"),
        "no other model",
    );
    one_fault(&with("prior = { sheet = \"none.csv\" }\n"), &format!("7 {model}.prior.sheet"), "is no file");
    one_fault(&with("prior = {}\n"), &format!("7 {model}.prior"), "names one of");
    one_fault(&with("drain = true\n"), &format!("7 {model}.drain"), "default of route `auto`");
}
