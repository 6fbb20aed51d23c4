//! The door for `fuzz/`: steps of reading a request, each alone. The service goes through the same functions.

use axum::http::HeaderMap;
use serde_json::Value;

use super::{admin, auth, feedback};
use crate::store::Report;

/// The key that a request presents.
pub fn presented_key(headers: &HeaderMap) -> Option<&str> {
    auth::secret(headers)
}

/// The reports in a body of `/feedback` that can be read; their numbers are not checked yet.
///
/// # Errors
/// The status that the body as a whole is refused with.
pub fn reports(body: &[u8]) -> Result<Vec<Report>, u16> {
    let object = feedback::parse(body).map_err(|e| e.status())?;
    let one = |object| feedback::read(object).map(|(_, report)| report);
    match object.get("feedback").and_then(Value::as_array) {
        Some(list) => Ok(list.iter().filter_map(Value::as_object).filter_map(|o| one(o).ok()).collect()),
        None => one(&object).map(|report| vec![report]).map_err(|e| e.status()),
    }
}

/// Hours back and the number of groupings that a query of `/admin/stats` asks for.
///
/// # Errors
/// The status that it is refused with.
pub fn stats_query(query: &str) -> Result<(u32, usize), u16> {
    admin::stats::asked(Some(query)).map(|(hours, by)| (hours, by.len())).map_err(|e| e.status())
}

/// Rows at most, and the row that they stand before, that a query of `/admin/audit` asks for.
///
/// # Errors
/// The status that it is refused with.
pub fn audit_query(query: &str) -> Result<(usize, Option<i64>), u16> {
    admin::keys::asked(Some(query)).map_err(|e| e.status())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_header_presents_a_part_of_itself_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..80), scheme in prop_oneof![Just(""), Just("Bearer "), Just("bearer\t"), Just("Basic ")]) {
            let Ok(value) = HeaderValue::from_bytes(&[scheme.as_bytes(), &bytes].concat()) else { return Ok(()) };
            for name in ["authorization", "x-api-key"] {
                let mut headers = HeaderMap::new();
                headers.insert(name, value.clone());
                if let Some(key) = presented_key(&headers) {
                    prop_assert!(!key.is_empty() && value.to_str().unwrap().contains(key));
                }
            }
        }

        #[test]
        fn any_query_asks_for_a_bounded_list(names in prop::collection::vec("(window|by|limit|before|\\PC{0,3})=[0-9hd]{0,11}|by=(model|tag|,|%2C){0,9}|\\PC{0,9}", 0..4)) {
            let query = names.join("&");
            if let Ok((hours, groupings)) = stats_query(&query) {
                prop_assert!((1..=744).contains(&hours) && (1..=5).contains(&groupings));
            }
            if let Ok((rows, before)) = audit_query(&query) {
                prop_assert!((1..=1000).contains(&rows) && before.is_none_or(|row| row > 0));
            }
        }

        #[test]
        fn any_report_is_read_or_refused(value in any::<f64>(), text in "\\PC{0,30}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = reports(&bytes);
            let body = serde_json::json!({"decision_id": "x", "value": value, "comment": text});
            match reports(body.to_string().as_bytes()) {
                Ok(read) => prop_assert_eq!((read[0].value, read[0].comment.as_deref()), (Some(value), Some(text.as_str()))),
                // JSON has no word for it: `null`, which says nothing.
                Err(status) => prop_assert!(status == 422 && !value.is_finite()),
            }
        }
    }
}
