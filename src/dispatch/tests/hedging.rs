//! A second request beside a slow one.

use super::*;

fn hedging(after: Duration) -> Conduct {
    let timeouts = Timeouts { first_byte: SHORT * 100, ..Timeouts::default() };
    Conduct { timeouts, hedge: Some(Hedge::After(after)), ..once() }
}

#[tokio::test]
async fn a_silent_target_is_hedged_and_the_slower_call_is_given_up_and_billed() {
    let mut silent = Fake::start(vec![Act::Stall]).await;
    let good = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let targets =
        vec![target("a", silent.provider(Format::OpenAi)), target("b", good.provider(Format::OpenAi))];
    let plan = Plan::starting_now(targets, hedging(SHORT / 10), Arc::default());
    let done = run(&plan, plain()).await.unwrap();
    assert_eq!(done.served.id.as_str(), "b");
    assert_eq!(ends(&done.attempts), [AttemptEnd::Cancelled, AttemptEnd::Answered]);
    assert!(done.attempts[0].cost_usd.unwrap() > 0.0 && done.attempts[1].cost_usd.is_none());
    assert!(plan.health.snapshot().is_available(&ArmId::from("a")), "to be slower is no failure");
    silent.until_closed().await;
}

#[tokio::test]
async fn a_quick_target_is_not_hedged_and_a_failed_one_leaves_the_other() {
    let good = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let other = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let targets =
        vec![target("a", good.provider(Format::OpenAi)), target("b", other.provider(Format::OpenAi))];
    let done =
        run(&Plan::starting_now(targets, hedging(SHORT * 100), Arc::default()), plain()).await.unwrap();
    assert_eq!((done.served.id.as_str(), done.attempts.len()), ("a", 1));
    assert!(other.requests().is_empty());

    // Both are asked, the second fails at once, the first is waited for and fails as well: the third is still asked.
    let silent = Fake::start(vec![Act::Stall]).await;
    let down = Fake::answering(503, &[], b"").await;
    let targets = vec![
        target("a", silent.provider(Format::OpenAi)),
        target("b", down.provider(Format::OpenAi)),
        target("c", good.provider(Format::OpenAi)),
    ];
    let conduct = Conduct { hedge: Some(Hedge::After(SHORT / 10)), ..once() };
    let done = run(&Plan::starting_now(targets, conduct, Arc::default()), plain()).await.unwrap();
    assert_eq!(done.served.id.as_str(), "c");
    assert_eq!(
        ends(&done.attempts),
        [AttemptEnd::ServerError, AttemptEnd::FirstByteTimeout, AttemptEnd::Answered]
    );
}

#[tokio::test]
async fn hedging_by_p95_begins_when_twenty_answers_are_known() {
    let good = Fake::answering(200, &[], COMPLETION.as_bytes()).await;
    let (one, health) = (target("a", good.provider(Format::OpenAi)), Arc::<Health>::default());
    let conduct = Conduct { hedge: Some(Hedge::AfterP95), ..once() };
    for i in 0..20 {
        assert_eq!(health.p95_to_begin(&one.arm.id, false), None, "{i}");
        let plan = Plan::starting_now(vec![one.clone()], conduct, Arc::clone(&health));
        run(&plan, plain()).await.unwrap();
    }
    let p95 = health.p95_to_begin(&one.arm.id, false).unwrap();
    assert!(p95 > Duration::ZERO);
    assert_eq!(health.p95_to_begin(&one.arm.id, true), None, "streams are apart");
}
