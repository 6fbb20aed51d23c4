//! The query of a path of operators: pairs, each with a name that the path knows.

use crate::http::error::HttpError;

/// Hands each pair of `query` to `take`, which says whether it knows the name.
///
/// # Errors
/// What `take` refuses, or a name that it does not know; the message then lists those of `known`.
pub(super) fn each<F>(query: Option<&str>, known: &str, mut take: F) -> Result<(), HttpError>
where
    F: FnMut(&str, &str) -> Result<bool, HttpError>,
{
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        if !take(name, text)? {
            let name: String = name.chars().take(40).collect();
            let message = format!("there is no parameter {name:?}; there are {known}");
            return Err(HttpError::bad_request(message));
        }
    }
    Ok(())
}
