use std::path::Path;

use super::*;
use crate::config::{self, Settings};
use crate::domain::ArmId;
use crate::routing::RouteStrategy;

const FIXTURE: &str = include_str!("../../../tests/fixtures/litellm.yaml");

fn accepted(toml: &str) -> Settings {
    let secret = |name: &str| (name != "POINTSMAN_LISTEN").then(|| "secret".to_owned());
    config::parse(toml, Path::new("pointsman.toml"), &secret)
        .unwrap_or_else(|faults| panic!("{faults}\n{toml}"))
}

fn left_of(yaml: &str) -> Vec<String> {
    match import(yaml) {
        Ok(imported) => imported.left,
        Err(ImportError::Empty { left }) => left,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_configuration_becomes_models_routes_and_one_route_that_learns() {
    let imported = import(FIXTURE).unwrap();
    let settings = accepted(&imported.toml);
    let names: Vec<&str> = settings.routes.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["auto", "claude-haiku", "default", "local", "small"]);
    let route = |name: &str| settings.routes.iter().find(|r| r.name.as_str() == name).unwrap();
    let (mini, west) = (ArmId::from("openai/gpt-5-mini"), ArmId::from("azure-west/mini-west"));
    let small = route("small");
    assert_eq!(small.default, mini);
    // By their requests per minute, three to one; the fallback has no share.
    assert!(
        matches!(&small.strategy, RouteStrategy::Weighted(shares) if *shares == [(mini, 0.75), (west.clone(), 0.25)])
    );
    assert!(matches!(&route("auto").strategy, RouteStrategy::Learned));
    let arm = settings.catalog.get(&west).unwrap();
    assert_eq!((arm.price.input, arm.price.output, arm.limits.context_window), (0.25, 2.0, 128_000));
    let azure = settings.providers.iter().find(|p| p.id.as_str() == "azure-west").unwrap();
    assert_eq!(azure.base_url.as_str().trim_end_matches('/'), "https://west.example.com");
    assert_eq!(azure.path.as_deref(), Some("openai/deployments/{model}/chat/completions"));
    let ollama = settings.providers.iter().find(|p| p.id.as_str() == "ollama").unwrap();
    assert!(ollama.base_url.as_str().ends_with(":11434/v1"));
}

#[test]
fn what_has_no_place_is_named_one_line_each() {
    let left = left_of(FIXTURE);
    let says = |at: &str, why: &str| left.iter().any(|line| line.starts_with(at) && line.contains(why));
    for (at, why) in [
        ("general_settings:", "keys create"),
        ("environment_variables.OPENAI_API_KEY:", "never stand in the file"),
        ("router_settings.cooldown_time:", "breakers"),
        ("litellm_settings.drop_params:", "not eligible"),
        ("litellm_settings.callbacks:", "nothing like it"),
        ("model_list[1].litellm_params.api_key:", "AZURE_WEST_API_KEY"),
        ("model_list[2].litellm_params.temperature:", "not sent"),
        ("model_list[5]:", "image_generation"),
        ("model_list[6].litellm_params.model:", "bedrock"),
        ("model_list[7].model_name:", "patterns"),
        ("fallbacks of small:", "no group gone"),
        ("model_name claude/haiku:", "claude-haiku"),
    ] {
        assert!(says(at, why), "{at} {why}: {left:#?}");
    }
    assert!(left.iter().all(|line| !line.contains("sk-")), "no secret is shown: {left:#?}");
}

#[test]
fn strategies_are_carried_over_where_they_mean_the_same() {
    let with = |strategy: &str| {
        let one = |model: &str| {
            format!(
                "  - model_name: chat\n    litellm_params:\n      model: openai/{model}\n      api_key: os.environ/OPENAI_API_KEY\n"
            )
        };
        let list = one("gpt-5-mini") + &one("gpt-5-nano");
        import(&format!("model_list:\n{list}router_settings:\n  routing_strategy: {strategy}\n")).unwrap()
    };
    let strategy = |imported: &Imported| {
        let settings = accepted(&imported.toml);
        settings.routes.iter().find(|r| r.name.as_str() == "chat").map(|r| r.strategy.clone()).unwrap()
    };
    assert!(matches!(strategy(&with("cost-based-routing")), RouteStrategy::Cheapest));
    assert!(matches!(strategy(&with("latency-based-routing")), RouteStrategy::Fastest));
    let busy = with("least-busy");
    assert!(matches!(strategy(&busy), RouteStrategy::Weighted(shares) if shares.len() == 2));
    assert!(busy.left[0].contains("least-busy"), "{:?}", busy.left);
}

#[test]
fn what_is_no_configuration_is_refused_with_the_reason() {
    assert!(matches!(import("model_list: [}"), Err(ImportError::Yaml(_))));
    for empty in ["", "model_list: 3", "model_list:\n  - 7\n", "other: true"] {
        assert!(matches!(import(empty), Err(ImportError::Empty { .. })), "{empty}");
    }
    let error =
        import("model_list:\n  - model_name: a\n    litellm_params: {model: nobody/x}\n").unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
}
