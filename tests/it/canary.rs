//! A challenger beside the policy in place: sides, guards, promotion, rollback, over HTTP.

use pointsman::domain::{CanaryGuard, Experiment, PolicyVersion, Seq};
use pointsman::offline::admission::admitted;
use pointsman::offline::bundle::{Account, Bundle, Origin};
use pointsman::policy::{LearnedState, Settings};
use pointsman::routing::Featurizer;
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{LEARNED, TestApp, chat, fault, read};

fn bundle() -> (Bundle, Featurizer) {
    let featurizer = Featurizer::built_in().unwrap();
    let state = LearnedState::new(featurizer.schema().clone(), featurizer.dim()).unwrap();
    let origin = Origin::Data { name: "made up".into(), prompts: 0, sha256: String::new() };
    let account = Account { date: "2026-11-27".into(), seed: 1, origin, metrics: json!({}) };
    (Bundle::new(&state, Settings::DEFAULT, account).unwrap(), featurizer)
}

/// An app whose store has the bundle; its name too.
async fn app_with_bundle() -> (TestApp, String) {
    let app = TestApp::built(LEARNED, TestApp::waits_for_vectors).await;
    let (bundle, featurizer) = bundle();
    let store = app.running.service().store.clone();
    let kept = admitted(&bundle, &store, &featurizer).unwrap();
    tokio::task::spawn_blocking(move || store.keep_policy(kept)).await.unwrap().unwrap();
    (app, bundle.version().to_string())
}

async fn order(app: &TestApp, path: &str, body: Value) -> Response {
    app.post(path, &body).send().await.unwrap()
}

async fn policies(app: &TestApp) -> Value {
    app.learned().await;
    let (status, view) = read(app.get("/admin/policies").await).await;
    assert_eq!(status, 200, "{view}");
    view
}

async fn start(app: &TestApp, policy: &str, share: Value, guards: Value) {
    let terms = json!({"name": "try", "route": "auto", "policy": policy, "share": share, "guards": guards});
    let (status, answer) = read(order(app, "/admin/experiments", terms).await).await;
    assert_eq!(status, 200, "{answer}");
    app.learned().await;
}

/// A decision, rated by what `quality` makes of it.
async fn one(app: &TestApp, n: usize, quality: impl Fn(bool) -> f64) -> Value {
    let (_, answer) =
        read(app.post("/v1/route", &chat("auto", &format!("Question {n}"))).send().await.unwrap()).await;
    let id = answer["decision_id"].as_str().unwrap();
    let seen = app.get_logged(&format!("/v1/decisions/{id}")).await["decision"].clone();
    let challenger = seen["trial"]["challenger"] == json!(true);
    let said = json!({"decision_id": id, "value": quality(challenger), "cost_usd": 0.001});
    assert_eq!(order(app, "/feedback", said).await.status(), 200);
    seen
}

#[tokio::test]
async fn a_challenger_that_holds_takes_over_and_a_rollback_brings_back_what_was() {
    let (app, policy) = app_with_bundle().await;
    let before = policies(&app).await;
    assert_eq!((&before["in_place"], &before["experiment"]), (&Value::Null, &Value::Null));
    assert_eq!(before["kept"][0]["policy"], json!(policy));
    start(&app, &policy, json!("50%"), json!({"quality_drop": 0.6})).await;
    let mut sides = [0, 0];
    for n in 0.. {
        assert!(n < 2000, "{sides:?}");
        let decision = one(&app, n, |_| 0.8).await;
        if decision["trial"].is_null() {
            break;
        }
        let challenger = decision["trial"]["challenger"] == json!(true);
        sides[usize::from(challenger)] += 1;
        assert_eq!(decision["reason"] == json!("canary"), challenger, "{decision}");
        assert_eq!(decision["policy"].as_str().unwrap().starts_with(&policy), challenger, "{decision}");
        let arms = decision["distribution"]["arms"].as_array().unwrap();
        let at = arms.iter().position(|arm| *arm == decision["arm"]).unwrap();
        assert_eq!(decision["propensity"], decision["distribution"]["p"][at]);
    }
    assert!(sides[0] > 5 && sides[1] > 5, "both sides were heard: {sides:?}");
    let after = policies(&app).await;
    assert_eq!((&after["in_place"], &after["experiment"]), (&json!(policy), &Value::Null));
    assert_eq!((&after["past"][0]["name"], &after["past"][0]["end"]), (&json!("try"), &json!("promoted")));
    let (status, code, _) = fault(order(&app, "/admin/policies/rollback", json!({})).await).await;
    assert_eq!((status, code.as_str()), (409, "nothing_before"), "there was no bundle before it");
}

#[tokio::test]
async fn g3_a_challenger_whose_answers_are_worse_is_taken_back() {
    let (app, policy) = app_with_bundle().await;
    start(&app, &policy, json!(0.5), json!({"quality_drop": 0.02, "cost_rise": 0.1})).await;
    for n in 0.. {
        assert!(n < 2000);
        let decision = one(&app, n, |challenger| if challenger { 0.1 } else { 0.9 }).await;
        if decision["trial"].is_null() {
            break;
        }
        if n == 20 {
            let running = policies(&app).await["experiment"].clone();
            assert!(running.is_null() || running["guards"][0]["guard"] == json!("quality_drop"), "{running}");
        }
    }
    let after = policies(&app).await;
    assert_eq!((&after["past"][0]["end"], &after["in_place"]), (&json!("rolled_back"), &Value::Null));
    assert!(after["past"][0]["why"].as_str().unwrap().contains("quality_drop is at least"), "{after}");
}

#[tokio::test]
async fn orders_are_checked_and_one_experiment_runs_at_a_time() {
    let (app, policy) = app_with_bundle().await;
    let terms = |policy: &str, share: f64| json!({"name": "try", "policy": policy, "share": share});
    for (terms, wanted) in [
        (terms("nobody", 0.05), (404, "unknown_policy")),
        (terms(&policy, 0.9), (422, "invalid_field")),
        (json!({"name": "try", "policy": policy, "share": "5%", "route": "no"}), (404, "unknown_route")),
        (
            json!({"name": "try", "policy": policy, "share": "5%", "guards": {"no": 1}}),
            (422, "invalid_field"),
        ),
        (json!({"name": "try", "policy": policy, "share": "5%", "gards": {}}), (400, "bad_request")),
    ] {
        let (status, code, _) = fault(order(&app, "/admin/experiments", terms).await).await;
        assert_eq!((status, code.as_str()), wanted);
    }
    let (status, code, _) = fault(order(&app, "/admin/experiments/try/stop", json!({})).await).await;
    assert_eq!((status, code.as_str()), (404, "unknown_experiment"));
    let (status, code, _) =
        fault(order(&app, "/admin/policies/promote", json!({"policy": "nobody"})).await).await;
    assert_eq!((status, code.as_str()), (404, "unknown_policy"));
    start(&app, &policy, json!("5%"), json!({"error_rate_rise": 0.01})).await;
    let running = policies(&app).await["experiment"].clone();
    assert_eq!((&running["share"], &running["next_share"]), (&json!(0.05), &json!(0.25)));
    assert_eq!(running["guards"][0]["verdict"], json!("open"));
    let (status, code, _) = fault(order(&app, "/admin/experiments", terms(&policy, 0.05)).await).await;
    assert_eq!((status, code.as_str()), (409, "experiment_running"));
    assert_eq!(order(&app, "/admin/experiments/try/promote", json!({})).await.status(), 200);
    assert_eq!(policies(&app).await["in_place"], json!(policy));
}

#[tokio::test]
async fn g3_a_conversation_stays_on_its_side_and_a_restart_keeps_the_stage() {
    let (bundle, featurizer) = bundle();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let configured = |settings: &mut pointsman::config::Settings| {
        settings.store.address = (&path).into();
        let experiment = Experiment {
            name: "try".into(),
            route: None,
            policy: bundle.version(),
            share: 0.5,
            guards: [(CanaryGuard::CostRise, 0.1)].into(),
        };
        let folder = folder.path().join(bundle.version().as_str());
        settings.experiment = Some(pointsman::config::ExperimentSettings { experiment, folder });
    };
    bundle.save(folder.path(), &[]).unwrap();
    assert_eq!(featurizer.dim(), bundle.state.dim());
    let mut stages: Vec<(Seq, PolicyVersion)> = Vec::new();
    for _ in 0..2 {
        let app = TestApp::built(LEARNED, configured).await;
        let stage = app.running.service().learning.challenger().unwrap().stage.clone();
        stages.push((stage.since, stage.experiment.policy.clone()));
        for session in ["one", "two", "three"] {
            let mut sides = Vec::new();
            for turn in 0..3 {
                let mut body = chat("auto", &format!("Turn {turn}"));
                body["pointsman"] = json!({"session_id": session});
                let (_, answer) = read(app.post("/v1/route", &body).send().await.unwrap()).await;
                let id = answer["decision_id"].as_str().unwrap();
                sides.push(app.get_logged(&format!("/v1/decisions/{id}")).await["decision"]["trial"].clone());
            }
            assert!(sides.iter().all(|side| *side == sides[0] && !side.is_null()), "{sides:?}");
        }
        app.running.stop().await;
    }
    assert_eq!(stages[0], stages[1]);
}
