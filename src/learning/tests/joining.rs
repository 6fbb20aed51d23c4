//! What each event teaches.

use super::*;
use crate::store::NewFeedback;
use crate::store::tests::temporary;

/// What the joiner makes of the whole log, in words.
fn taught(store: &Store) -> Vec<String> {
    let (mut joiner, mut seen) = (Joiner::default(), Vec::new());
    for row in store.scan(Seq(0), 1000).unwrap() {
        let told = joiner.observe(&row, store, &mut |o| {
            if !matches!(o, Observation::Asked { .. }) {
                seen.push(words(o));
            }
            Ok(())
        });
        told.unwrap().unwrap();
    }
    seen
}

fn words(observation: &Observation<'_>) -> String {
    match observation {
        Observation::Quality { arm, value, weight, tick, replaces, .. } => {
            let old = replaces.map(|r| (r.value, (r.weight * 1e3).round() / 1e3));
            format!("{arm} quality {value} weight {:.3} tick {tick} old {old:?}", weight)
        }
        Observation::Answered {
            arm,
            context,
            input_tokens,
            output_tokens,
            first_token_ms,
            total_ms,
            bill,
            ..
        } => {
            let context = context.is_some();
            let cost =
                bill.map_or_else(String::new, |b| format!(" for {} at {}", b.cost_usd, b.price.output));
            format!(
                "{arm} answered {context} {input_tokens} {output_tokens:?} {first_token_ms:?} {total_ms:?}{cost}"
            )
        }
        Observation::Asked { .. } => "asked".to_owned(),
        Observation::Compared { sides: [one, other], score, weight, replaces, .. } => {
            let (one, other) = ((one.arm, one.tick), (other.arm, other.tick));
            format!("{one:?} scores {score} against {other:?} weight {weight:.3} old {replaces:?}")
        }
        Observation::Failed { arm, .. } => format!("{arm} failed"),
        Observation::Added { arm, .. } => format!("{arm} added"),
        Observation::Removed { arm } => format!("{arm} removed"),
    }
}

#[tokio::test]
async fn a_whole_answer_teaches_the_serving_arm_and_failed_attempts_teach_theirs() {
    let (_folder, store) = temporary();
    let attempt =
        |arm: &str, end| Attempt { arm: ArmId::from(arm), end, status: None, ms: 1.0, cost_usd: None };
    let attempts = vec![
        attempt("a", AttemptEnd::ServerError),
        attempt("b", AttemptEnd::BadRequest),
        attempt("c", AttemptEnd::Answered),
    ];
    store.append(decided(decision(1, "a"))).await.unwrap();
    store.append(ended(Completed { attempts, ..completed(1, "c") })).await.unwrap();
    store.append(decided(Decision { context: None, ..decision(2, "a") })).await.unwrap();
    store.append(ended(Completed { usage: None, ..completed(2, "a") })).await.unwrap();
    store.feedback(on(2, 0.5)).await.unwrap();
    let expected = [
        "a failed",
        "c answered true 90 Some(30) Some(212.7) Some(700.1)",
        "a answered false 102 None Some(212.7) Some(700.1)",
    ];
    assert_eq!(taught(&store), expected);
}

#[tokio::test]
async fn an_answer_that_was_cut_teaches_no_length() {
    let (_folder, store) = temporary();
    let ends = [
        (CompletionEnd::ClientAborted, Some(5.0), Some("a")),
        (CompletionEnd::ClientAborted, None, Some("a")),
        (CompletionEnd::UpstreamCut, Some(5.0), Some("a")),
        (CompletionEnd::UpstreamIdle, Some(5.0), Some("a")),
        (CompletionEnd::Failed, None, None),
    ];
    for (n, (end, first_token_ms, served)) in (1..).zip(ends) {
        store.append(decided(decision(n, "a"))).await.unwrap();
        let served = served.map(ArmId::from);
        let call = Completed { end, first_token_ms, served, ..completed(n, "a") };
        store.append(ended(call)).await.unwrap();
    }
    assert_eq!(taught(&store), ["a answered true 101 None Some(5.0) None", "a failed", "a failed"]);
}

#[tokio::test]
async fn reports_weigh_by_their_source_and_a_fallbacks_is_kept_but_not_learned() {
    let (_folder, store) = temporary();
    for n in 1..=3 {
        let price = Some(Price::flat(1.0, 4.0));
        let asked = Decision { decision_only: n == 3, price, ..decision(n, "a") };
        store.append(decided(asked)).await.unwrap();
    }
    store.append(ended(completed(2, "b"))).await.unwrap();
    let report = |n, source, weight, value| NewFeedback {
        report: Report { source, weight, ..Report::quality(value) },
        ..on(n, 0.0)
    };
    store.feedback(report(1, Source::Code, 1.0, 1.0)).await.unwrap();
    store.feedback(report(1, Source::Judge, 0.3, 0.25)).await.unwrap();
    store.feedback(report(1, Source::Judge, 0.6, 0.5)).await.unwrap();
    store.feedback(report(2, Source::User, 1.0, 0.5)).await.unwrap();
    let told = Report { cost_usd: Some(0.1), value: None, ..Report::quality(0.0) };
    store.feedback(NewFeedback { report: told, ..on(3, 0.0) }).await.unwrap();
    let expected = [
        "b answered true 90 Some(30) Some(212.7) Some(700.1)",
        "a quality 1 weight 4.000 tick 1 old None",
        "a quality 0.25 weight 0.200 tick 2 old None",
        "a quality 0.5 weight 0.400 tick 2 old Some((0.25, 0.2))",
        "a answered true 103 None None None for 0.1 at 4",
    ];
    assert_eq!(taught(&store), expected);
}

#[tokio::test]
async fn a_decision_that_is_long_forgotten_is_read_from_the_log_again() {
    let (_folder, store) = temporary();
    store.append(decided(decision(1, "a"))).await.unwrap();
    store.append(ended(completed(1, "a"))).await.unwrap();
    let rows = store.scan(Seq(1), 1).unwrap();
    let mut count = 0;
    let mut joiner = Joiner::default();
    let told = joiner.observe(&rows[0], &store, &mut |_| {
        count += 1;
        Ok(())
    });
    assert_eq!((told.unwrap(), count), (Ok(()), 1));
}
