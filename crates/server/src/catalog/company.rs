//! Companies and their businesses (locations).

use super::{
    entry::{Audit, State},
    error::Violation,
    id::{BusinessId, CompanyId},
    place::{Country, TimeZone},
    source::Source,
    text::Name,
};

/// The most locations, active and archived, that a company may have.
pub const MAX_BUSINESSES: usize = 5_000;

/// A business with its settings. It may have many locations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub struct Company {
    /// Unique on the server.
    pub id: CompanyId,
    pub name: Name,
    /// ISO 3166-1 alpha-2, or empty.
    pub country: Country,
    /// A zone of the IANA database such as `America/New_York`, or empty.
    pub timezone: TimeZone,
    pub state: State,
    /// The system outside that the company comes from.
    pub source: Option<Source>,
    pub audit: Audit,
}

/// A location of a company.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub struct Business {
    /// Unique on the server.
    pub id: BusinessId,
    pub name: Name,
    pub contact: Contact,
    pub address: Option<Address>,
    pub state: State,
    pub audit: Audit,
}

/// The ways to reach a location, and the pictures and pages that it shows. Every field may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub struct Contact {
    /// The address of a picture.
    pub avatar: ShortText,
    /// The owner's telephone number.
    pub phone: ShortText,
    /// The location's telephone number.
    pub business_phone: ShortText,
    pub email: ShortText,
    pub website: ShortText,
    pub facebook: ShortText,
    pub instagram: ShortText,
    pub yelp: ShortText,
    pub google: ShortText,
}

impl Contact {
    /// All texts, in the order of the fields.
    pub fn texts(&self) -> [&ShortText; 9] {
        [
            &self.avatar,
            &self.phone,
            &self.business_phone,
            &self.email,
            &self.website,
            &self.facebook,
            &self.instagram,
            &self.yelp,
            &self.google,
        ]
    }

    /// All texts in the same order, for writing.
    pub fn texts_mut(&mut self) -> [&mut ShortText; 9] {
        [
            &mut self.avatar,
            &mut self.phone,
            &mut self.business_phone,
            &mut self.email,
            &mut self.website,
            &mut self.facebook,
            &mut self.instagram,
            &mut self.yelp,
            &mut self.google,
        ]
    }
}

/// A postal address. Every text may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub struct Address {
    pub id: ShortText,
    /// Street and number.
    pub address1: ShortText,
    /// Apartment, floor or suite.
    pub address2: ShortText,
    pub city: ShortText,
    /// The state or province.
    pub state: ShortText,
    pub postal_code: ShortText,
    /// ISO 3166-1 alpha-2, or empty.
    pub country: Country,
    pub coordinate: Option<Coordinate>,
    pub kind: AddressKind,
}

impl Address {
    /// Whether nothing is set. In documents such an address is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A place on the earth in degrees (WGS84).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    latitude: f64,
    longitude: f64,
}

impl Coordinate {
    /// The most degrees from the equator.
    pub const MOST_LATITUDE: f64 = 90.0;
    /// The most degrees from the prime meridian.
    pub const MOST_LONGITUDE: f64 = 180.0;

    /// Accepts degrees north of the equator and east of the prime meridian. South and west are negative.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, Violation> {
        let check = |field: &str, degrees: f64, most: f64| {
            if (-most..=most).contains(&degrees) {
                return Ok(());
            }
            let description = format!("must lie between -{most} and {most}");
            Err(Violation::new(field, "OUT_OF_RANGE", description))
        };
        check("latitude", latitude, Self::MOST_LATITUDE)?;
        check("longitude", longitude, Self::MOST_LONGITUDE)?;
        Ok(Self { latitude, longitude })
    }

    /// Degrees north.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(self) -> f64 {
        self.longitude
    }
}

/// Whether an address is the main one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AddressKind {
    /// The address has no kind.
    #[default]
    Unspecified,
    Primary,
    Secondary,
}

impl AddressKind {
    /// The kind's name in documents and tables; empty for `Unspecified`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Unspecified, Self::Primary, Self::Secondary].into_iter().find(|k| k.as_str() == name)
    }
}

/// The most characters of a [`ShortText`].
pub const MAX_SHORT_TEXT_LENGTH: usize = 500;

/// One line of text: trimmed, without control characters, up to 500 characters, perhaps empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShortText(String);

impl ShortText {
    /// Parses text from outside. `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let text = value.trim();
        if text.chars().any(char::is_control) {
            return Err(Violation::new(
                field,
                "CONTROL_CHARACTER",
                "must not hold control characters",
            ));
        }
        let length = text.chars().count();
        if length > MAX_SHORT_TEXT_LENGTH {
            let most = MAX_SHORT_TEXT_LENGTH;
            let description = format!("has {length} characters; at most {most} are allowed");
            return Err(Violation::new(field, "TOO_LONG", description));
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses an address for electronic mail, or an empty text. Only a mail could tell whether the address exists, so
    /// this refuses what cannot be one.
    pub fn email(field: &str, value: &str) -> Result<Self, Violation> {
        let text = Self::parse(field, value)?;
        let is_address = text.0.split_once('@').is_some_and(|(who, at)| {
            !who.is_empty() && !at.is_empty() && !at.contains('@') && !has_space(&text.0)
        });
        if text.is_empty() || is_address {
            return Ok(text);
        }
        let description = "must be an email address such as hello@example.com";
        Err(Violation::new(field, "MALFORMED_EMAIL", description))
    }

    /// Parses the address of a web site, or an empty text. Programs make links of it, so other schemes, such as
    /// `javascript:`, are refused.
    pub fn web_address(field: &str, value: &str) -> Result<Self, Violation> {
        let text = Self::parse(field, value)?;
        let after = |scheme: &str| match text.0.split_at_checked(scheme.len()) {
            Some((begin, rest)) if begin.eq_ignore_ascii_case(scheme) => Some(rest),
            _ => None,
        };
        let rest = after("https://").or_else(|| after("http://")).unwrap_or_default();
        let has_host = !rest.is_empty() && !rest.starts_with(['/', '?', '#']);
        if text.is_empty() || (has_host && !has_space(&text.0)) {
            return Ok(text);
        }
        let description = "must be a web address that begins with https:// or http://, such as https://example.com";
        Err(Violation::new(field, "MALFORMED_WEB_ADDRESS", description))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn has_space(text: &str) -> bool {
    text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_has_one_sign_between_two_parts() {
        let long = format!("{}@b", "a".repeat(MAX_SHORT_TEXT_LENGTH - 2));
        for good in ["", " ", "a@b", " ana.diaz+x@example.co.uk ", "ä@ü.example", &long] {
            assert_eq!(ShortText::email("email", good).unwrap().as_str(), good.trim());
        }
        for bad in ["ana", "@b", "a@", "a@b@c", "a b@c", "a@b c", "Ana <a@b>"] {
            assert_eq!(
                ShortText::email("email", bad).unwrap_err().reason,
                "MALFORMED_EMAIL",
                "{bad}"
            );
        }
        assert_eq!(ShortText::email("email", &(long + "c")).unwrap_err().reason, "TOO_LONG");
    }

    #[test]
    fn a_web_address_begins_with_http() {
        for good in
            ["", "https://a", "HTTP://example.com/x?y#z", "http://[::1]:80", "https://ü.example"]
        {
            assert_eq!(ShortText::web_address("website", good).unwrap().as_str(), good);
        }
        for bad in [
            "a.example",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "http://?",
            "ftp://a",
            "https://a b",
        ] {
            let refused = ShortText::web_address("website", bad).unwrap_err();
            assert_eq!(refused.reason, "MALFORMED_WEB_ADDRESS", "{bad}");
        }
    }
}
