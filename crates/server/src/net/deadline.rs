//! Until when a request must be answered.

use std::time::{Duration, Instant};

use http::HeaderMap;

/// The moment by which a request must be answered, in its extensions. Writers that retry stop
/// before it; the request itself is cut off there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// How long a request may take: the server's limit, or the caller's `grpc-timeout` if that is shorter.
pub(super) fn budget(most: Duration, headers: &HeaderMap) -> Duration {
    grpc_timeout(headers).map_or(most, |timeout| timeout.min(most))
}

/// `grpc-timeout`: one to eight digits and a unit. A malformed one counts for nothing, as in tonic.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.as_bytes();
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
            ("000000001m", second),
            ("-1m", second),
            ("+1m", second),
            ("1", second),
            ("m", second),
            ("", second),
            ("1x", second),
            ("1 m", second),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", header.parse().unwrap());
            assert_eq!(budget(second, &headers), expected, "{header:?}");
        }
        assert_eq!(budget(second, &HeaderMap::new()), second);
    }
}
