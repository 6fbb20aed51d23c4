//! What becomes of reports: once, again, revised, contradicted, not ours.

use super::*;

fn with_key(item: NewFeedback, key: &str) -> NewFeedback {
    let report = Report { idempotency_key: Some(key.into()), ..item.report };
    NewFeedback { report, ..item }
}

#[tokio::test]
async fn f1_the_same_report_again_gets_the_same_receipt_and_is_counted_once() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    let first = store.feedback(on(1, 0.5)).await.unwrap();
    assert_eq!((first.kind, first.applied, first.seq), (ReceiptKind::New, true, Seq(3)));
    let by_completion = NewFeedback { to: FeedbackRef::Completion("chatcmpl-1".into()), ..on(1, 0.5) };
    for item in [on(1, 0.5), by_completion] {
        let again = store.feedback(item).await.unwrap();
        assert_eq!((again.id, again.seq, again.kind), (first.id, first.seq, ReceiptKind::Again));
    }
    assert_eq!(reports(&store).len(), 1);
}

#[tokio::test]
async fn f2_a_different_value_is_a_revision_with_the_tick_of_the_first() {
    let (_folder, store) = temporary();
    for n in 1..=3 {
        serve(&store, n, "a", "a").await;
    }
    for (n, value) in [(1, 0.5), (2, 0.6), (1, 0.9), (3, 0.7), (1, 0.1)] {
        store.feedback(on(n, value)).await.unwrap();
    }
    let seen: Vec<_> =
        reports(&store).iter().map(|f| (f.value, f.tick, f.replaces.map(|r| r.value))).collect();
    let expected = [
        (Some(0.5), 1, None),
        (Some(0.6), 2, None),
        (Some(0.9), 1, Some(0.5)),
        (Some(0.7), 3, None),
        (Some(0.1), 1, Some(0.9)),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn reports_of_another_source_or_name_stand_beside_each_other() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    store.feedback(on(1, 0.5)).await.unwrap();
    let judge = Report { source: Source::Judge, ..Report::quality(0.6) };
    let tone = Report { name: "tone".into(), ..Report::quality(0.7) };
    for report in [judge, tone] {
        let receipt = store.feedback(NewFeedback { report, ..on(1, 0.0) }).await.unwrap();
        assert_eq!(receipt.kind, ReceiptKind::New);
    }
    let ticks: Vec<_> = reports(&store).iter().map(|f| f.tick).collect();
    assert_eq!(ticks, [1, 2, 0], "only quality moves the arm's clock");
}

#[tokio::test]
async fn f2_an_idempotency_key_stands_for_one_report() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    serve(&store, 2, "a", "a").await;
    let first = store.feedback(with_key(on(1, 0.5), "x")).await.unwrap();
    let again = store.feedback(with_key(on(1, 0.5), "x")).await.unwrap();
    assert_eq!((again.id, again.kind), (first.id, ReceiptKind::Again));
    for other in [on(1, 0.6), on(2, 0.5)] {
        let refused = store.feedback(with_key(other, "x")).await;
        assert!(matches!(refused, Err(FeedbackRejected::Conflict)), "{refused:?}");
    }
    assert_eq!(store.feedback(with_key(on(1, 0.6), "y")).await.unwrap().kind, ReceiptKind::Revised);
    // The first key still stands for the first report, revised though it is.
    assert_eq!(store.feedback(with_key(on(1, 0.5), "x")).await.unwrap().id, first.id);
    assert_eq!(reports(&store).len(), 2);
}

#[tokio::test]
async fn f4_unknown_and_foreign_decisions_cannot_be_told_apart() {
    let (_folder, store) = temporary();
    let owned = |n, key: &str| Decision { key: Some(KeyId::from(key)), ..decision(n, "a") };
    let same_id = |n| Completed { completion_id: Some("chatcmpl-x".into()), ..completed(n, "a") };
    for (n, key) in [(1, "k1"), (2, "k2"), (3, "k1")] {
        store.append(decided(owned(n, key))).await.unwrap();
        store.append(ended(same_id(n))).await.unwrap();
    }
    let by = |item: NewFeedback, key: &str| NewFeedback { by: Some(KeyId::from(key)), ..item };
    for refused in [by(on(2, 0.5), "k1"), by(on(9, 0.5), "k1"), by(on(1, 0.5), "k3")] {
        let refused = store.feedback(refused).await;
        assert!(matches!(refused, Err(FeedbackRejected::NotFound)), "{refused:?}");
    }
    let completion = NewFeedback { to: FeedbackRef::Completion("chatcmpl-x".into()), ..on(0, 0.5) };
    for (key, expected) in [("k1", 3), ("k2", 2)] {
        let receipt = store.feedback(by(completion.clone(), key)).await.unwrap();
        assert_eq!(receipt.decision, decision_id(expected), "the latest of the key's own");
    }
    let (to, stranger) = (FeedbackRef::Decision(decision_id(1)), KeyId::from("k2"));
    assert_eq!(store.record(&to, Some(&stranger)).unwrap(), None);
    assert!(store.record(&to, Some(&KeyId::from("k1"))).unwrap().is_some());
    assert_eq!(store.session_decisions("s", Some(&stranger), 9).unwrap(), [decision_id(2)]);
}

#[tokio::test]
async fn f5_a_report_out_of_range_is_refused_and_nothing_is_kept() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "a").await;
    for value in [f64::NAN, f64::INFINITY, -0.1, 1.0001] {
        let refused = store.feedback(on(1, value)).await;
        assert!(matches!(&refused, Err(FeedbackRejected::Invalid(e)) if e.field == "value"), "{refused:?}");
    }
    assert_eq!(*store.committed().borrow(), Seq(2));
    store.feedback(on(1, 1.0)).await.unwrap();
    assert_eq!(reports(&store)[0].tick, 1, "refused reports moved no clock");
}

#[tokio::test]
async fn credit_goes_to_the_arm_that_answered_and_a_fallback_is_not_counted() {
    let (_folder, store) = temporary();
    serve(&store, 1, "a", "b").await;
    store.append(decided(decision(2, "a"))).await.unwrap();
    store.append(decided(Decision { context: None, ..decision(3, "a") })).await.unwrap();
    store.append(decided(decision(4, "a"))).await.unwrap();
    store
        .append(ended(Completed { served: None, end: CompletionEnd::Failed, ..completed(4, "a") }))
        .await
        .unwrap();
    for n in 1..=4 {
        store.feedback(on(n, 0.5)).await.unwrap();
    }
    store.feedback(on(1, 0.6)).await.unwrap();
    let credit: Vec<_> =
        reports(&store).iter().map(|f| (f.arm.as_ref().map(|a| a.to_string()).unwrap(), f.tick)).collect();
    let expected = [("b", 0), ("a", 1), ("a", 0), ("a", 0), ("b", 0)].map(|(a, t)| (a.to_owned(), t));
    assert_eq!(
        credit, expected,
        "fallback; not yet ended; no context; nobody answered; revision of the first"
    );
}

#[tokio::test]
async fn a_caller_who_made_the_call_itself_reports_it_once() {
    let (_folder, store) = temporary();
    let only = |n| decided(Decision { decision_only: true, ..decision(n, "a") });
    store.append(only(1)).await.unwrap();
    store.append(only(2)).await.unwrap();
    let usage = Some(Usage { input_tokens: 5, output_tokens: 7, ..Usage::default() });
    let call = Report { usage, cost_usd: Some(0.25), latency_ms: Some(830.0), ..Report::quality(0.5) };
    store.feedback(NewFeedback { report: call.clone(), ..on(1, 0.0) }).await.unwrap();
    store
        .feedback(NewFeedback { report: Report { cost_usd: Some(0.5), ..call }, ..on(1, 0.0) })
        .await
        .unwrap();
    let failed = Report { value: None, error: Some("timeout".into()), ..Report::quality(0.0) };
    store.feedback(NewFeedback { report: failed, ..on(2, 0.0) }).await.unwrap();
    let of = |n| store.record(&FeedbackRef::Decision(decision_id(n)), None).unwrap().unwrap();
    let told = of(1).completed.unwrap();
    assert_eq!((told.end, told.cost_usd, told.total_ms), (CompletionEnd::Reported, Some(0.25), 830.0));
    assert_eq!((told.served, told.usage), (Some(ArmId::from("a")), usage));
    let broken = of(2).completed.unwrap();
    assert_eq!((broken.served.clone(), broken.attempts[0].end.is_arm_failure()), (None, true));
    assert_eq!(of(2).feedback[0].tick, 0, "no value, nothing to count");
    assert_eq!(*store.committed().borrow(), Seq(7), "2 decisions, 2 calls, 3 reports");
}
