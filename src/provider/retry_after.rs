//! `Retry-After`: seconds or an HTTP date, and the milliseconds form that OpenAI's SDKs know.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Longest wait that is believed.
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// Reads the wait from an answer's headers, capped; `None` when there is none or it makes no sense.
pub fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let from_ms = text("retry-after-ms").and_then(seconds).map(|s| s / 1000.0);
    let wait = from_ms.or_else(|| parse(text("retry-after")?, now))?;
    Some(Duration::try_from_secs_f64(wait).unwrap_or(MAX_WAIT).min(MAX_WAIT))
}

/// Seconds to wait: a number, or a date of HTTP's form; a date in the past is 0.
fn parse(text: &str, now: Timestamp) -> Option<f64> {
    seconds(text).or_else(|| {
        let at = DateTimeParser::new().parse_timestamp(text).ok()?;
        Some((at.as_second() - now.as_second()).max(0) as f64)
    })
}

fn seconds(text: &str) -> Option<f64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse::<f64>().ok().filter(|s| is_number && s.is_finite())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn wait(name: &'static str, value: &str) -> Option<Duration> {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        read(&headers, now)
    }

    #[test]
    fn u5_seconds_dates_and_absurd_values() {
        assert_eq!(wait("retry-after", "20"), Some(Duration::from_secs(20)));
        assert_eq!(wait("retry-after", "1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(wait("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(wait("retry-after", "Mon, 23 Nov 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("retry-after", "99999999999999999999999"), Some(MAX_WAIT));
        for odd in ["", "-5", "soon", "NaN", "inf", "1e400", "0x10"] {
            assert_eq!(wait("retry-after", odd), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_gives_a_bounded_wait_or_none(value in "\\PC{0,40}") {
            prop_assert!(wait("retry-after", &value).is_none_or(|w| w <= MAX_WAIT));
        }
    }
}
