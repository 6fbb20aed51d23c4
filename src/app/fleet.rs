//! From settings to what there is to route to; of what was there before, what has not changed goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::AppError;
use crate::config::{ProviderFormat, ProviderSettings, Settings};
use crate::dispatch::Upstream;
use crate::domain::{ArmId, RouteName};
use crate::policy::SimplePolicy;
use crate::provider;
use crate::routing::{Route, RouteStrategy};
use crate::service::{Chooser, Fleet, SimpleChooser};
use crate::store::{Store, StoreError};

/// The fleet of `settings`. Of the one before, providers keep their connections and their calls in flight, and routes what they were
/// asked.
pub(super) fn of(settings: &Settings, before: Option<(&Settings, &Fleet)>) -> Result<Fleet, AppError> {
    let upstreams = settings.providers.iter().map(|p| upstream(p, settings, before));
    let upstreams = upstreams.collect::<Result<Vec<_>, _>>()?;
    let routes = settings.routes.iter().map(|route| (route.clone(), chooser(route))).collect();
    let fleet = Fleet::new(settings.catalog.arms().to_vec(), upstreams, routes)?
        .draining(settings.draining.clone())
        .priced_by(settings.prices_from.clone(), settings.catalog.version());
    Ok(match before {
        Some((_, before)) => fleet.following(before),
        None => fleet,
    })
}

/// Hands the names of routes and arms to `take`.
pub(super) fn names<T>(settings: &Settings, take: impl FnOnce(Vec<&RouteName>, Vec<&ArmId>) -> T) -> T {
    let routes = settings.routes.iter().map(|route| &route.name).collect();
    take(routes, settings.catalog.arms().iter().map(|arm| &arm.id).collect())
}

/// Keeps the table of prices under its version, for the ledger to point to.
pub(super) fn keep_prices(settings: &Settings, store: &Store) -> Result<(), StoreError> {
    let prices: BTreeMap<_, _> = settings.catalog.arms().iter().map(|arm| (&arm.id, arm.price)).collect();
    store.keep_prices(settings.catalog.version(), &serde_json::json!(prices))
}

/// Whether calls of the provider go to the same place in the same way, so that what was seen of it still holds.
pub(super) fn is_same(id: &crate::domain::ProviderId, before: &Settings, now: &Settings) -> bool {
    let of = |settings: &'_ Settings| settings.providers.iter().find(|p| p.id == *id).cloned();
    of(before).zip(of(now)).is_some_and(|(old, new)| client(&old, before) == client(&new, now))
}

/// What a client is made of.
#[derive(PartialEq)]
struct Client {
    format: ProviderFormat,
    base_url: String,
    api_key: Option<String>,
    headers: Vec<(String, String)>,
    auth_header: Option<String>,
    path: Option<String>,
    query: Vec<(String, String)>,
    ca_pem: Option<Arc<[u8]>>,
    allow_link_local: bool,
    connect: Duration,
}

fn client(settings: &ProviderSettings, all: &Settings) -> Client {
    Client {
        format: settings.format,
        base_url: settings.base_url.clone(),
        api_key: settings.api_key.as_ref().map(|key| key.expose_secret().to_owned()),
        headers: settings.headers.clone(),
        auth_header: settings.auth_header.clone(),
        path: settings.path.clone(),
        query: settings.query.clone(),
        ca_pem: settings.ca_pem.clone(),
        allow_link_local: settings.allow_link_local,
        connect: connect_timeout(settings, all),
    }
}

fn upstream(
    settings: &ProviderSettings,
    all: &Settings,
    before: Option<(&Settings, &Fleet)>,
) -> Result<Arc<Upstream>, AppError> {
    let known = before.and_then(|(old, fleet)| Some((old, fleet.upstream(&settings.id)?)));
    let (limits, conduct) = (settings.limits, settings.conduct);
    Ok(Arc::new(match known {
        Some((old, known)) if is_same(&settings.id, old, all) => known.followed_by(None, limits, conduct),
        Some((_, known)) => {
            let provider = provider::build(provider_settings(settings, all))?;
            known.followed_by(Some(provider), limits, conduct)
        }
        None => Upstream::new(provider::build(provider_settings(settings, all))?, limits, conduct),
    }))
}

fn provider_settings(settings: &ProviderSettings, all: &Settings) -> provider::ProviderSettings {
    let format = match settings.format {
        ProviderFormat::OpenAi => provider::Format::OpenAi,
        ProviderFormat::OpenAiCompatible => provider::Format::OpenAiCompatible,
        ProviderFormat::Anthropic => provider::Format::Anthropic,
        ProviderFormat::Gemini => provider::Format::Gemini,
        ProviderFormat::Cohere => provider::Format::Cohere,
    };
    let mut wanted = provider::ProviderSettings::new(settings.id.clone(), format);
    wanted.base_url = Some(settings.base_url.clone());
    wanted.api_key.clone_from(&settings.api_key);
    wanted.headers.clone_from(&settings.headers);
    wanted.auth_header.clone_from(&settings.auth_header);
    wanted.path.clone_from(&settings.path);
    wanted.query.clone_from(&settings.query);
    wanted.ca_pem.clone_from(&settings.ca_pem);
    wanted.allow_link_local = settings.allow_link_local;
    wanted.connect_timeout = connect_timeout(settings, all);
    wanted
}

/// Connections are shared by all routes: the longest time that any of them gives holds.
fn connect_timeout(settings: &ProviderSettings, all: &Settings) -> Duration {
    let arms: Vec<_> = all.catalog.arms().iter().filter(|arm| arm.provider == settings.id).collect();
    let calls = |route: &&Route| arms.iter().any(|arm| route.arms.contains(&arm.id));
    let of_routes = all.routes.iter().filter(calls).map(|route| route.conduct.timeouts.connect);
    of_routes.max().unwrap_or_default().max(settings.conduct.timeouts.connect)
}

fn chooser(route: &Route) -> Chooser {
    match &route.strategy {
        RouteStrategy::Learned => Chooser::Learned,
        RouteStrategy::Fixed => Chooser::Simple(Arc::new(SimplePolicy::fixed(route.default.clone()))),
        RouteStrategy::Weighted(shares) => Chooser::Simple(Arc::new(SimplePolicy::weighted(shares.clone()))),
        RouteStrategy::RoundRobin => Chooser::Simple(Arc::new(SimplePolicy::round_robin())),
        RouteStrategy::Cheapest => Chooser::Estimated(SimpleChooser::Cheapest),
        RouteStrategy::Fastest => Chooser::Estimated(SimpleChooser::Fastest),
    }
}
