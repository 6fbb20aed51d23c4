//! The text of the new configuration.

use std::fmt::Write as _;

use super::Common;
use super::deployment::{Account, Deployment, plain};
use crate::config::settings::ProviderFormat;

const HEAD: &str = "\
# Made from a LiteLLM configuration. Every key is explained in pointsman.example.toml; `pointsman check` finds what is wrong with this file.
schema_version = 1
";

/// Where Azure takes chat completions, below the resource's address.
const AZURE_PATH: &str = "openai/deployments/{model}/chat/completions";

/// A model of the new configuration.
struct Arm<'d> {
    id: String,
    provider: String,
    from: &'d Deployment,
}

/// Writes all of it; what of the routes has no place is added to `left`.
pub(super) fn config(deployments: &[Deployment], common: &Common, left: &mut Vec<String>) -> String {
    let accounts = accounts(deployments);
    let mut text = HEAD.to_owned();
    for (id, account) in &accounts {
        provider(&mut text, id, account);
    }
    let arms = arms(deployments, &accounts);
    let mut written: Vec<&str> = Vec::new();
    for arm in &arms {
        if !written.contains(&arm.id.as_str()) {
            written.push(&arm.id);
            model(&mut text, arm);
        }
    }
    let mut groups: Vec<&str> = Vec::new();
    for deployment in deployments {
        if !groups.contains(&deployment.group.as_str()) {
            groups.push(&deployment.group);
        }
    }
    let aliases = common.aliases.iter().map(|(alias, group)| (alias.as_str(), group.as_str()));
    let names: Vec<(&str, &str)> = groups.iter().map(|group| (*group, *group)).chain(aliases).collect();
    for (name, group) in &names {
        route(&mut text, (name, group), &arms, common, left);
    }
    if written.len() > 1 && names.iter().all(|(name, _)| *name != "auto") {
        let ids: Vec<String> = written.iter().map(|id| quoted(id)).collect();
        let _ = write!(
            text,
            "\n# All models together: the router learns which is worth it for which prompt.\n[routes.auto]\nmodels = [{}]\n\
             default = {}\nstrategy = \"learned\"\nweights = {{ quality = 0.7, cost = 0.2, latency = 0.1 }}\n",
            ids.join(", "),
            ids[0]
        );
        calls(&mut text, common);
    }
    text
}

/// Each account once, under a name of its own.
fn accounts(deployments: &[Deployment]) -> Vec<(String, Account)> {
    let mut all: Vec<(String, Account)> = Vec::new();
    for account in deployments.iter().map(|d| &d.account) {
        if all.iter().any(|(_, known)| known == account) {
            continue;
        }
        let is_taken = |id: &str| all.iter().any(|(known, _)| known == id);
        let numbered = (2..).map(|n| format!("{}-{n}", account.name));
        let id = std::iter::once(account.name.clone()).chain(numbered).find(|id| !is_taken(id));
        all.extend(id.map(|id| (id, account.clone())));
    }
    all
}

fn arms<'d>(deployments: &'d [Deployment], accounts: &[(String, Account)]) -> Vec<Arm<'d>> {
    let of = |from: &'d Deployment| {
        let (provider, _) = accounts.iter().find(|(_, account)| *account == from.account)?;
        Some(Arm { id: format!("{provider}/{}", from.model), provider: provider.clone(), from })
    };
    deployments.iter().filter_map(of).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn provider(text: &mut String, id: &str, account: &Account) {
    let _ = write!(text, "\n[providers.{}]\nformat = {}\n", quoted(id), quoted(account.format.as_str()));
    if let Some(base_url) = &account.base_url {
        let _ = writeln!(text, "base_url = {}", quoted(base_url));
    }
    if let Some(name) = &account.key_env {
        let _ = writeln!(text, "api_key_env = {}", quoted(name));
    }
    if let Some(version) = &account.api_version {
        let _ = writeln!(
            text,
            "path = {}\nquery = {{ api-version = {} }}\nauth_header = \"api-key\"",
            quoted(AZURE_PATH),
            quoted(version)
        );
    }
}

fn model(text: &mut String, arm: &Arm<'_>) {
    let from = arm.from;
    let _ = write!(
        text,
        "\n[models.{}]\nprovider = {}\nmodel = {}\n",
        quoted(&arm.id),
        quoted(&arm.provider),
        quoted(&from.model)
    );
    match from.price {
        Some((input, output, cached)) => {
            let cached = cached.map(|usd| format!(", cached_input = {usd:?}")).unwrap_or_default();
            let _ = writeln!(text, "price = {{ input = {input:?}, output = {output:?}{cached} }}");
        }
        // A model on one's own machine has no price list; what it costs is the owner's to say.
        None if is_own(&from.account) => {
            text.push_str("price = { input = 0.0, output = 0.0 }   # USD per million tokens; running it may cost you more than nothing\n");
        }
        None => {}
    }
    for (name, tokens) in [("context_window", from.context_window), ("max_output", from.max_output)] {
        if let Some(tokens) = tokens.filter(|tokens| *tokens >= 1.0) {
            let _ = writeln!(text, "{name} = {}", tokens as u64);
        }
    }
    if !from.capabilities.is_empty() {
        let all: Vec<String> = from.capabilities.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(text, "capabilities = [{}]", all.join(", "));
    }
}

fn is_own(account: &Account) -> bool {
    let near = |url: &String| {
        ["127.0.0.1", "localhost", "[::1]", "host.docker.internal"].iter().any(|h| url.contains(h))
    };
    account.format == ProviderFormat::OpenAiCompatible && account.base_url.as_ref().is_some_and(near)
}

fn route(
    text: &mut String,
    (name, group): (&str, &str),
    arms: &[Arm<'_>],
    common: &Common,
    left: &mut Vec<String>,
) {
    let of_group =
        |group: &str| -> Vec<&Arm<'_>> { arms.iter().filter(|arm| arm.from.group == group).collect() };
    let own = of_group(group);
    let Some(first) = own.first() else {
        left.push(format!("router_settings.model_group_alias.{name}: there is no group {group}"));
        return;
    };
    let mut all: Vec<&str> = Vec::new();
    let after = common.fallbacks.get(group).into_iter().flatten().chain(&common.default_fallbacks);
    let mut others = Vec::new();
    for other in after.filter(|other| *other != group) {
        let found = of_group(other);
        if found.is_empty() {
            let line = format!("fallbacks of {group}: there is no group {other}");
            // An alias of the group has been here before.
            if !left.contains(&line) {
                left.push(line);
            }
        }
        others.extend(found);
    }
    for arm in own.iter().chain(&others) {
        if !all.contains(&arm.id.as_str()) {
            all.push(&arm.id);
        }
    }
    let called = plain(name);
    if called != name {
        left.push(format!("model_name {name}: a route's name holds letters, digits, `-`, `_` and `.`; clients ask for {called}"));
    }
    let models: Vec<String> = all.iter().map(|id| quoted(id)).collect();
    let _ = write!(
        text,
        "\n[routes.{}]\nmodels = [{}]\ndefault = {}\n",
        quoted(&called),
        models.join(", "),
        quoted(&first.id)
    );
    strategy(text, group, (&own, all.len() > own.len()), common, left);
    calls(text, common);
}

/// Fallbacks of a group have no share: they are asked when its own deployments fail.
fn strategy(
    text: &mut String,
    group: &str,
    (own, has_fallbacks): (&[&Arm<'_>], bool),
    common: &Common,
    left: &mut Vec<String>,
) {
    let wanted = common.strategy.as_deref().unwrap_or("simple-shuffle");
    let same = match wanted {
        "cost-based-routing" => Some("cheapest"),
        "latency-based-routing" => Some("fastest"),
        _ => None,
    };
    if own.len() == 1 && (has_fallbacks || same.is_none()) {
        text.push_str("strategy = \"fixed\"\n");
        return;
    }
    match same {
        Some(strategy) if !has_fallbacks => {
            let _ = writeln!(text, "strategy = \"{strategy}\"");
            return;
        }
        Some(_) => left.push(format!(
            "router_settings.routing_strategy: {wanted} of {group} would choose among its fallbacks too; it is weighted instead"
        )),
        None if wanted == "simple-shuffle" => {}
        None => left.push(format!(
            "router_settings.routing_strategy: {wanted} is not known; {group} is weighted (`learned` looks at latency and cost as well)"
        )),
    }
    let weights: Vec<f64> = own.iter().map(|arm| arm.from.weight.unwrap_or(0.0)).collect();
    let known = weights.iter().sum::<f64>() > 0.0 && own.iter().all(|arm| arm.from.weight.is_some());
    let share = |i: usize| if known { weights[i] } else { 1.0 };
    let total: f64 = (0..own.len()).map(share).sum();
    let mut shares: Vec<(String, f64)> = Vec::new();
    for (i, arm) in own.iter().enumerate() {
        match shares.iter_mut().find(|(id, _)| *id == arm.id) {
            Some((_, known)) => *known += share(i) / total,
            None => shares.push((arm.id.clone(), share(i) / total)),
        }
    }
    let shares: Vec<String> = shares
        .iter()
        .map(|(id, share)| format!("{} = {:?}", quoted(id), (share * 1e4).round() / 1e4))
        .collect();
    let _ = writeln!(text, "strategy = \"weighted\"\nshares = {{ {} }}", shares.join(", "));
}

fn calls(text: &mut String, common: &Common) {
    if let Some(seconds) = common.timeout_s.filter(|s| *s > 0.0) {
        let _ = writeln!(text, "timeouts = {{ total_ms = {} }}", (seconds * 1e3).round() as u64);
    }
    if let Some(retries) = common.retries {
        let _ = writeln!(text, "retry = {{ max = {retries} }}");
    }
}
