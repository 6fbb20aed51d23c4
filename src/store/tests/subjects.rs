//! Reports on more than one decision, and reports that come late; named after the rows of the fault table.

use super::*;

fn compare(one: u128, other: u128, score: f64) -> NewComparison {
    NewComparison {
        one: FeedbackRef::Decision(decision_id(one)),
        other: FeedbackRef::Decision(decision_id(other)),
        score,
        by: None,
        report: Report { value: None, ..Report::quality(0.0) },
        within_ms: None,
    }
}

fn episode(session: &str, value: f64) -> NewEpisode {
    NewEpisode { session: session.into(), by: None, report: Report::quality(value), within_ms: None }
}

async fn serve_in(store: &Store, n: u128, arm: &str, session: &str) {
    let decision = Decision { session: Some(session.into()), ..decision(n, arm) };
    store.append(decided(decision)).await.unwrap();
    store.append(ended(completed(n, arm))).await.unwrap();
}

#[tokio::test]
async fn a_comparison_has_one_identity_whichever_way_it_is_told() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "b", "b").await;
    let first = store.compare(compare(2, 1, 1.0)).await.unwrap();
    assert_eq!(first.kind, ReceiptKind::New);
    let again = store.compare(compare(1, 2, 0.0)).await.unwrap();
    assert_eq!((again.id, again.kind), (first.id, ReceiptKind::Again));
    let by_completion = NewComparison {
        one: FeedbackRef::Completion("chatcmpl-2".into()),
        other: FeedbackRef::Completion("chatcmpl-1".into()),
        ..compare(0, 0, 1.0)
    };
    assert_eq!(store.compare(by_completion).await.unwrap().id, first.id);
    assert_eq!(store.compare(compare(1, 2, 1.0)).await.unwrap().kind, ReceiptKind::Revised);
    assert_eq!(store.compare(compare(1, 2, 0.5)).await.unwrap().kind, ReceiptKind::Revised);
    let seen: Vec<_> = reports(&store)
        .iter()
        .map(|f| {
            let versus = f.versus.as_ref().unwrap();
            let arms = [f.arm.clone(), versus.arm.clone()].map(|a| a.unwrap().to_string());
            (f.value.unwrap(), f.tick, versus.tick, arms.join(" "), f.replaces.map(|r| r.value))
        })
        .collect();
    let row = |value, old| (value, 1, 1, "a b".to_owned(), old);
    assert_eq!(seen, [row(0.0, None), row(1.0, Some(0.0)), row(0.5, Some(1.0))]);
}

#[tokio::test]
async fn a_comparison_takes_two_decisions_that_its_key_may_see() {
    let (_folder, store) = temporary();
    let owned = |n, key: &str| Decision { key: Some(KeyId::from(key)), ..decision(n, "a") };
    store.append(decided(owned(1, "k1"))).await.unwrap();
    store.append(decided(owned(2, "k2"))).await.unwrap();
    let by = |item: NewComparison| NewComparison { by: Some(KeyId::from("k1")), ..item };
    for item in [by(compare(1, 2, 1.0)), by(compare(2, 1, 1.0)), by(compare(1, 9, 1.0))] {
        assert!(matches!(store.compare(item).await, Err(FeedbackRejected::NotFound)));
    }
    let same = store.compare(by(compare(1, 1, 1.0))).await;
    assert!(matches!(&same, Err(FeedbackRejected::Invalid(e)) if e.field == "loser"), "{same:?}");
    assert!(reports(&store).is_empty());
}

#[tokio::test]
async fn only_two_arms_that_answered_to_known_prompts_are_numbered() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "a", "a").await;
    serve(&store, 3, "b", "c").await;
    store.append(decided(Decision { context: None, ..decision(4, "b") })).await.unwrap();
    for (one, other) in [(1, 2), (1, 3), (1, 4)] {
        store.compare(compare(one, other, 1.0)).await.unwrap();
    }
    assert!(reports(&store).iter().all(|f| f.tick == 0 && f.versus.as_ref().unwrap().tick == 0));
}

#[tokio::test]
async fn an_episode_spreads_its_weight_over_its_decisions_and_is_revised_as_a_whole() {
    let (_folder, store) = temporary();
    for n in 1..=4 {
        serve_in(&store, n, if n % 2 == 0 { "b" } else { "a" }, if n == 3 { "other" } else { "mine" }).await;
    }
    store.feedback(on(1, 0.9)).await.unwrap();
    let first = store.rate_episode(episode("mine", 1.0)).await.unwrap();
    assert_eq!(first.kind, ReceiptKind::New);
    serve_in(&store, 5, "a", "mine").await;
    let again = store.rate_episode(episode("mine", 1.0)).await.unwrap();
    assert_eq!((again.id, again.kind), (first.id, ReceiptKind::Again), "though the session has grown");
    assert_eq!(store.rate_episode(episode("mine", 0.0)).await.unwrap().kind, ReceiptKind::Revised);
    let seen: Vec<_> = reports(&store)
        .iter()
        .skip(1)
        .map(|f| {
            (f.decision, f.value.unwrap(), (f.weight * 3.0).round(), f.tick, f.replaces.map(|r| r.value))
        })
        .collect();
    let row = |n, value, tick, old| (decision_id(n), value, 1.0, tick, old);
    let expected = [
        row(1, 1.0, 2, None),
        row(2, 1.0, 1, None),
        row(4, 1.0, 2, None),
        row(1, 0.0, 2, Some(1.0)),
        row(2, 0.0, 1, Some(1.0)),
        row(4, 0.0, 2, Some(1.0)),
    ];
    assert_eq!(seen, expected);
    assert!(matches!(store.rate_episode(episode("nobody's", 1.0)).await, Err(FeedbackRejected::NotFound)));
    let foreign = NewEpisode { by: Some(KeyId::from("k")), ..episode("mine", 1.0) };
    assert!(matches!(store.rate_episode(foreign).await, Err(FeedbackRejected::NotFound)));
}

#[tokio::test]
async fn of_a_long_session_the_latest_decisions_are_credited() {
    let (_folder, store) = temporary();
    for n in 1..=40 {
        store.append(decided(decision(n, "a"))).await.unwrap();
    }
    store.rate_episode(episode("s", 0.5)).await.unwrap();
    let credited: Vec<_> = reports(&store).iter().map(|f| f.decision).collect();
    assert_eq!(credited, (9..=40).map(decision_id).collect::<Vec<_>>());
    assert!(reports(&store).iter().all(|f| f.weight == 1.0 / 32.0));
}

#[tokio::test]
async fn f1_an_idempotency_key_covers_comparisons_and_episodes_too() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "b", "b").await;
    let keyed = |report: Report| Report { idempotency_key: Some("x".into()), ..report };
    let versus = |score| NewComparison { report: keyed(compare(1, 2, 1.0).report), ..compare(1, 2, score) };
    let first = store.compare(versus(1.0)).await.unwrap();
    assert_eq!(store.compare(versus(1.0)).await.unwrap().id, first.id);
    assert!(matches!(store.compare(versus(0.0)).await, Err(FeedbackRejected::Conflict)));
    let whole = NewEpisode { report: keyed(Report::quality(1.0)), ..episode("s", 1.0) };
    assert!(matches!(store.rate_episode(whole).await, Err(FeedbackRejected::Conflict)));
    assert_eq!(reports(&store).len(), 1);
}

#[tokio::test]
async fn f3_after_the_feedback_window_a_report_is_refused_and_the_same_again_is_not() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "b", "b").await;
    let first = store.feedback(on(1, 0.5)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let late = |item| NewFeedback { within_ms: Some(0), ..item };
    let again = store.feedback(late(on(1, 0.5))).await.unwrap();
    assert_eq!((again.id, again.kind), (first.id, ReceiptKind::Again), "a client that tries again");
    for item in [late(on(1, 0.6)), late(on(2, 0.5))] {
        assert!(matches!(store.feedback(item).await, Err(FeedbackRejected::Closed)));
    }
    let versus = NewComparison { within_ms: Some(0), ..compare(1, 2, 1.0) };
    assert!(matches!(store.compare(versus).await, Err(FeedbackRejected::Closed)));
    let whole = NewEpisode { within_ms: Some(0), ..episode("s", 1.0) };
    assert!(matches!(store.rate_episode(whole).await, Err(FeedbackRejected::Closed)));
    let unknown = store.feedback(late(on(9, 0.5))).await;
    assert!(matches!(unknown, Err(FeedbackRejected::NotFound)), "no oracle: {unknown:?}");
    assert_eq!(reports(&store).len(), 1);
}

#[tokio::test]
async fn f3_a_report_in_parts_cost_first_and_value_later_counts_once() {
    let (_folder, store) = temporary();
    store.append(decided(Decision { decision_only: true, ..decision(1, "a") })).await.unwrap();
    let cost = Report { value: None, cost_usd: Some(0.1), latency_ms: Some(40.0), ..Report::quality(0.0) };
    store.feedback(NewFeedback { report: cost, ..on(1, 0.0) }).await.unwrap();
    let value = store.feedback(on(1, 0.8)).await.unwrap();
    assert_eq!(value.kind, ReceiptKind::New, "a value beside a cost is no revision of it");
    let ticks: Vec<_> = reports(&store).iter().map(|f| (f.value, f.tick)).collect();
    assert_eq!(ticks, [(None, 0), (Some(0.8), 1)]);
    let record = store.record(&FeedbackRef::Decision(decision_id(1)), None).unwrap().unwrap();
    assert_eq!(record.completed.unwrap().cost_usd, Some(0.1));
}

#[tokio::test]
async fn a_person_and_whatever_else_rates_the_same_answer_are_paired() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "a", "a").await;
    let judged = || Some(Judged { by: ArmId::from("j"), pi: 0.01, cost_usd: 1e-4 });
    let judge = |value| Report { source: Source::Judge, judged: judged(), ..Report::quality(value) };
    let say = |n, report| store.feedback(NewFeedback { report, ..on(n, 0.0) });
    say(1, judge(0.9)).await.unwrap();
    say(1, Report::quality(0.4)).await.unwrap();
    say(2, Report { source: Source::Code, ..Report::quality(0.3) }).await.unwrap();
    say(2, Report::quality(0.2)).await.unwrap();
    say(2, judge(0.8)).await.unwrap();
    say(2, Report::quality(0.5)).await.unwrap();
    let said = |f: &Feedback| f.overlaps.iter().map(|o| (o.value, o.tick)).collect::<Vec<_>>();
    let pairs: Vec<_> = reports(&store).iter().map(said).collect();
    // A person's report, by its tick, with what a program said and what the judge said.
    assert_eq!(pairs[..3], [vec![], vec![(0.9, 2)], vec![]]);
    assert_eq!(pairs[3..], [vec![(0.3, 4)], vec![(0.2, 4)], vec![(0.3, 4), (0.8, 4)]]);
}
