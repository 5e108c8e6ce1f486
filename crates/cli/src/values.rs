//! Values of the command line that have a range: what is wrong is told it, whatever is wrong.

use std::{collections::HashSet, convert::Infallible, fmt::Display, str::FromStr, time::Duration};

use customer_settings_server::{catalog::id::CompanyId, service::document::quoted};

use crate::failure::{Failure, usage};

/// A number from `least` to `most`.
pub(crate) fn whole_number<T: FromStr + PartialOrd + Display>(
    text: &str,
    least: T,
    most: T,
) -> Result<T, String> {
    let wrong = format!("it must be a whole number from {least} to {most}");
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or(wrong)
}

/// A name, which the server would refuse if it were blank. Command lines that are wrong have an exit code of their own.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("it must not be blank".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// An item of a list with commas. Blanks around it do not belong to it.
pub(crate) fn item(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

/// The companies of a list. A wrong item is quoted, as it stands among others.
pub(crate) fn companies(ids: &[String]) -> Result<Vec<CompanyId>, Failure> {
    let company = |id: &String| {
        CompanyId::parse("--company", id).map_err(|violation| match id.is_empty() {
            true => usage("--company must not be blank"),
            false => usage(format!("{violation}; it is {}", quoted(id))),
        })
    };
    // One that is named twice counts once.
    let mut seen = HashSet::new();
    ids.iter().filter(|id| seen.insert(*id)).map(company).collect()
}

/// How many things to show: at least one.
pub(crate) fn limit(text: &str) -> Result<u32, String> {
    whole_number(text, 1, u32::MAX)
}

/// A revision of a company.
pub(crate) fn revision(text: &str) -> Result<i64, String> {
    whole_number(text, 1, i64::MAX)
}

/// How long to wait for an answer.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    span(text, Duration::from_millis(1), Duration::from_hours(24))
}

/// The time between two requests.
pub(crate) fn pace(text: &str) -> Result<Duration, String> {
    span(text, Duration::ZERO, Duration::from_secs(60))
}

/// How long before its end something is said to end soon.
pub(crate) fn soon(text: &str) -> Result<Duration, String> {
    span(text, Duration::ZERO, Duration::from_hours(3_650 * 24))
}

/// How long an old secret works beside a new one.
pub(crate) fn overlap(text: &str) -> Result<Duration, String> {
    span(text, Duration::ZERO, Duration::from_hours(30 * 24))
}

fn span(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| (least..=most).contains(span));
    let [least, most] = [least, most].map(written);
    span.ok_or_else(|| format!("it must be a span such as 90s or 2h, from {least} to {most}"))
}

/// A limit as people write it: whole days as days, which the library would make years and months of 30.44 days.
fn written(span: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match (span.as_secs() / DAY, span.as_secs() % DAY) {
        (days @ 1.., 0) => format!("{days}d"),
        _ => humantime::format_duration(span).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_company_of_a_list_is_quoted() {
        let read = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            let ids = companies(&ids).map_err(|failure| failure.message)?;
            Ok::<_, String>(ids.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read(&["b", "a", "b"]).unwrap(), ["b", "a"]);
        assert!(read(&["a", "b c"]).unwrap_err().ends_with("; it is \"b c\""));
        assert_eq!(read(&["a", ""]).unwrap_err(), "--company must not be blank");
    }

    #[test]
    fn every_range_is_told_on_both_sides() {
        assert_eq!((limit("1"), limit("4294967295")), (Ok(1), Ok(u32::MAX)));
        for wrong in ["0", "-1", "4294967296", "abc", "", "1.5"] {
            let range = "it must be a whole number from 1 to 4294967295".to_owned();
            assert_eq!(limit(wrong), Err(range), "{wrong}");
        }
        assert_eq!(revision("9223372036854775807"), Ok(i64::MAX));
        assert!(revision("0").unwrap_err().contains("from 1 to 9223372036854775807"));
        assert_eq!(timeout("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(timeout("1day"), Ok(Duration::from_hours(24)));
        for wrong in ["0s", "1ns", "25h", "500000000000y", "30", "", "-1s"] {
            let range = "it must be a span such as 90s or 2h, from 1ms to 1d".to_owned();
            assert_eq!(timeout(wrong), Err(range), "{wrong}");
        }
        assert_eq!(
            (overlap("0s"), overlap("30d")),
            (Ok(Duration::ZERO), Ok(Duration::from_hours(720)))
        );
        assert!(overlap("31d").unwrap_err().ends_with("from 0s to 30d"));
        assert!(soon("banana").unwrap_err().ends_with("from 0s to 3650d"));
        assert!(pace("61s").unwrap_err().ends_with("from 0s to 1m"));
    }
}
