//! The moment by which a request must be answered.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};

/// The moment by which a request must be answered, in its extensions. Writers that retry stop before it. The
/// request itself is cut off then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// How long gRPC's clients wait for an answer. The server honours it for HTTP/JSON too.
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long a request may take: the server's limit, or the caller's `grpc-timeout` if that is shorter.
pub(super) fn budget(most: Duration, headers: &HeaderMap) -> Duration {
    let timeout = headers.get(GRPC_TIMEOUT).and_then(|value| grpc_timeout(value.as_bytes()));
    timeout.map_or(most, |timeout| timeout.min(most))
}

/// Whether there is a `grpc-timeout` that cannot be parsed, or more than one.
pub(super) fn is_malformed(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(value) = values.next() else { return false };
    grpc_timeout(value.as_bytes()).is_none() || values.next().is_some()
}

/// Parses one to eight digits and a unit. gRPC asks for a positive number. A caller whose time is over sends 0.
fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |amount, digit| amount * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3_600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_timeout_shortens_the_budget_and_never_lengthens_it() {
        let second = Duration::from_secs(1);
        for (header, expected) in [
            ("1H", second),
            ("1S", second),
            ("999m", Duration::from_millis(999)),
            ("1001m", second),
            ("250000u", Duration::from_millis(250)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("0S", Duration::ZERO),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, header.parse().unwrap());
            assert_eq!(budget(second, &headers), expected, "{header:?}");
            assert!(!is_malformed(&headers), "{header:?}");
            headers.append(GRPC_TIMEOUT, header.parse().unwrap());
            assert!(is_malformed(&headers), "twice");
        }
        let mut headers = HeaderMap::new();
        assert!(budget(second, &headers) == second && !is_malformed(&headers));
        for header in ["000000001m", "-1m", "+1m", "1", "m", "", "1x", "1 m", "1.5S", "nonsense"] {
            headers.insert(GRPC_TIMEOUT, header.parse().unwrap());
            assert!(is_malformed(&headers), "{header:?}");
        }
    }
}
