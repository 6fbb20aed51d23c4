//! `GET /admin/stats`: usage, spend, savings, budgets. `GET /admin/prices`: the price tables that calls were billed by.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Json, Response};

use serde_json::json;

use super::super::Api;
use super::super::error::HttpError;
use super::{blocking, query};
use crate::service::Grouping;

/// Hours that the books hold.
const MOST_HOURS: u32 = 31 * 24;

/// Usage and spend of the last hours by model, route, key, tag and user, what was saved against the best fixed model, and how each budget
/// stands.
#[utoipa::path(
    get, path = "/admin/stats", tag = "admin",
    params(
        ("window" = Option<String>, Query, description = "How far back, in full hours: `1h`, `24h` (the default), `7d`, up to `31d`"),
        ("by" = Option<String>, Query, description = "Some of `model`, `route`, `key`, `tag`, `user`, with commas between; all without it"),
    ),
    responses(
        (status = 200, description = "The sums", body = crate::http::openapi::StatsView),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn get(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (back, by) = asked(query.as_deref())?;
    let stats = blocking(&api, move |service| service.stats(back, &by)).await?;
    Ok(Json(stats).into_response())
}

/// The price tables that calls were billed by, the newest first; `billing.prices` of a decision's `completed` names one.
#[utoipa::path(
    get, path = "/admin/prices", tag = "admin",
    responses(
        (status = 200, description = "Price tables", body = crate::http::openapi::PriceTables),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn prices(State(api): State<Api>) -> Result<Response, HttpError> {
    let tables = blocking(&api, |service| service.store.price_tables()).await?;
    Ok(Json(json!({"current": api.service().fleet.prices(), "tables": tables})).into_response())
}

/// Hours back and what to sum by, each at most once.
///
/// # Errors
/// A name or a value that is none of ours.
pub(in crate::http) fn asked(query: Option<&str>) -> Result<(u32, Vec<Grouping>), HttpError> {
    let (mut back, mut by) = (24, Grouping::ALL.to_vec());
    query::each(query, "window and by", |name, text| {
        match name {
            "window" => back = hours(text)?,
            "by" | "group_by" => by = groupings(&text.replace("%2C", ","))?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((back, by))
}

fn hours(text: &str) -> Result<u32, HttpError> {
    let number = |digits: &str, times: u32| digits.parse::<u32>().ok().and_then(|n| n.checked_mul(times));
    let found = match (text.strip_suffix('h'), text.strip_suffix('d')) {
        (Some(digits), _) => number(digits, 1),
        (_, Some(digits)) => number(digits, 24),
        _ => None,
    };
    found.filter(|h| (1..=MOST_HOURS).contains(h)).ok_or_else(|| {
        HttpError::invalid_field("window", format!("must look like 1h, 24h or 7d, at most 31d, got {text:?}"))
    })
}

fn groupings(text: &str) -> Result<Vec<Grouping>, HttpError> {
    let mut found = Vec::new();
    for name in text.split(',') {
        let Some(grouping) = Grouping::ALL.into_iter().find(|g| g.as_str() == name.trim()) else {
            let message = format!("must be some of model, route, key, tag, user, got {text:?}");
            return Err(HttpError::invalid_field("by", message));
        };
        if !found.contains(&grouping) {
            found.push(grouping);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_hours_or_days() {
        assert_eq!((hours("1h").unwrap(), hours("7d").unwrap(), hours("31d").unwrap()), (1, 168, 744));
        for bad in ["", "h", "0h", "32d", "5m", "-1h", "4294967295d"] {
            assert_eq!(hours(bad).unwrap_err().status(), 422, "{bad}");
        }
        assert_eq!(groupings("model, tag").unwrap(), [Grouping::Model, Grouping::Tag]);
        assert_eq!(groupings("user").unwrap(), [Grouping::User]);
        assert_eq!(groupings("tag,model,tag").unwrap(), [Grouping::Tag, Grouping::Model]);
        assert!(groupings("model,colour").is_err());
    }
}
