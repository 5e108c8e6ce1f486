//! The credential of a request: every form in which clients are known to send a key (docs/api.md), and the typical
//! mistakes, each with an error of its own.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::SecretString;

use super::api_key::PREFIX;
use crate::catalog::error::{CredentialMistake, Error, Result};

/// Longer headers are not credentials.
const MAX_LENGTH: usize = 2_048;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// One engine for each alphabet. They are static, since making an engine fills its tables.
static ENGINES: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&STANDARD, ANY_PADDING), GeneralPurpose::new(&URL_SAFE, ANY_PADDING)];

/// The credential that a request carries.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) secret: SecretString,
    /// The error for the case that no such key exists.
    pub(crate) if_unknown: Error,
}

/// Parses the value of an `Authorization` header, or of the metadata of that name.
pub(crate) fn parse(value: &[u8], accept_bare_base64: bool) -> Result<Credential> {
    let mistake = |mistake| Err(Error::MalformedCredential(mistake));
    let Some(text) = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_LENGTH) else {
        return mistake(CredentialMistake::Unreadable);
    };
    let (scheme, rest) = match text.trim().split_once(' ') {
        Some((scheme, rest)) => (scheme, rest.trim()),
        None => ("", text.trim()),
    };
    let is_without_key = ["", "basic", "bearer"].iter().any(|word| rest.eq_ignore_ascii_case(word));
    if scheme.is_empty() && is_without_key {
        mistake(CredentialMistake::Empty)
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(rest)
    } else if scheme.eq_ignore_ascii_case("bearer") {
        Ok(known_or_not(rest))
    } else if scheme.is_empty() && accept_bare_base64 {
        basic(rest)
    } else if scheme.is_empty() {
        mistake(CredentialMistake::NoScheme)
    } else {
        mistake(CredentialMistake::UnknownScheme)
    }
}

/// Parses the value of `Basic`: the secret alone, `secret:` or `user:secret`, each in base64.
fn basic(encoded: &str) -> Result<Credential> {
    let Some(text) = decode_text(encoded) else {
        let is_twice = begins_with_scheme(encoded);
        let mistake =
            if is_twice { CredentialMistake::SchemeTwice } else { CredentialMistake::NotEncoded };
        return Err(Error::MalformedCredential(mistake));
    };
    let secret = secret_of(&text);
    if secret.is_empty() {
        return Err(Error::MalformedCredential(CredentialMistake::Empty));
    }
    Ok(known_or_not(secret))
}

/// Whether a text begins with the name of a scheme.
fn begins_with_scheme(text: &str) -> bool {
    let word = text.split_once(' ').map_or("", |(word, _)| word);
    ["basic", "bearer"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Finds the error for the case that no such key exists. The mistakes of encoding twice, and of a second scheme, are
/// reported only then, since imported secrets may look like base64 or have a blank themselves.
fn known_or_not(secret: &str) -> Credential {
    let encoded_again = !secret.starts_with(PREFIX)
        && decode_text(secret).is_some_and(|text| {
            let inner = secret_of(&text);
            inner.starts_with(PREFIX) || inner.len() >= super::api_key::MIN_IMPORTED_LENGTH
        });
    let if_unknown = if begins_with_scheme(secret) {
        Error::MalformedCredential(CredentialMistake::SchemeTwice)
    } else if encoded_again {
        Error::MalformedCredential(CredentialMistake::EncodedTwice)
    } else {
        Error::UnknownKey
    };
    Credential { secret: secret.to_owned().into(), if_unknown }
}

/// The password if there is one, else the user name, else the whole text.
fn secret_of(text: &str) -> &str {
    match text.trim().split_once(':') {
        Some((user, "")) => user.trim(),
        Some((_, password)) => password.trim(),
        None => text.trim(),
    }
}

/// The text behind base64 in either alphabet, with or without padding; `None` if it is not base64 or not text.
fn decode_text(encoded: &str) -> Option<String> {
    let bytes = ENGINES.iter().find_map(|engine| engine.decode(encoded).ok())?;
    let text = String::from_utf8(bytes).ok()?;
    let readable =
        !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace());
    readable.then_some(text)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use secrecy::ExposeSecret;

    use super::*;

    const SECRET: &str = "cs_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMN";

    fn basic_of(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn every_known_form_gives_the_secret() {
        let forms = [
            basic_of(SECRET),
            basic_of(&format!("{SECRET}:")),
            basic_of(&format!("someone:{SECRET}")),
            basic_of(&format!("{SECRET}\n")),
            basic_of(&format!(" {SECRET} ")),
            basic_of(&format!("{SECRET}\r\n:")),
            basic_of(SECRET).trim_end_matches('=').to_owned(),
            basic_of(SECRET).replace("Basic", "bAsIc"),
            format!("Bearer {SECRET}"),
            format!("bearer   {SECRET} "),
        ];
        for form in forms {
            assert_eq!(
                parse(form.as_bytes(), false).unwrap().secret.expose_secret(),
                SECRET,
                "{form}"
            );
        }
    }

    #[test]
    fn bare_base64_is_taken_only_where_it_is_allowed() {
        let bare = STANDARD.encode(SECRET);
        assert_eq!(parse(bare.as_bytes(), true).unwrap().secret.expose_secret(), SECRET);
        assert_eq!(parse(bare.as_bytes(), false).unwrap_err().reason(), "CREDENTIAL_SCHEME");
    }

    #[test]
    fn the_classic_mistakes_are_told_apart() {
        let twice = basic_of(&STANDARD.encode(SECRET));
        assert_eq!(
            parse(twice.as_bytes(), false).unwrap().if_unknown.reason(),
            "CREDENTIAL_ENCODED_TWICE"
        );
        let twice = basic_of(&STANDARD.encode(format!("{SECRET}:")));
        assert_eq!(
            parse(twice.as_bytes(), false).unwrap().if_unknown.reason(),
            "CREDENTIAL_ENCODED_TWICE"
        );
        for raw in [SECRET, "an-imported-secret-of-ours!", "0123456789abcdefABCDEF0123"] {
            let raw = format!("Basic {raw}");
            assert_eq!(
                parse(raw.as_bytes(), false).unwrap_err().reason(),
                "CREDENTIAL_NOT_ENCODED",
                "{raw}"
            );
        }
    }

    #[test]
    fn a_scheme_that_is_sent_twice_is_told_where_there_is_no_such_key() {
        for value in ["Bearer Bearer cs_abc", "bearer basic Y3NfYWJj"] {
            let error = parse(value.as_bytes(), false).unwrap().if_unknown;
            assert_eq!(error.reason(), "CREDENTIAL_SCHEME", "{value}");
            assert!(error.to_string().contains("a scheme twice"), "{error}");
        }
    }

    #[test]
    fn bare_base64_is_advised_only_where_it_helps() {
        for (value, accepts, advised) in
            [("Y3NfYWJj", false, true), ("Digest abc", false, false), ("Digest abc", true, false)]
        {
            let error = parse(value.as_bytes(), accepts).unwrap_err();
            assert_eq!(
                error.to_string().contains("accept_bare_base64"),
                advised,
                "{value}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        for (value, reason) in [
            (&b""[..], "CREDENTIAL_EMPTY"),
            (b" ", "CREDENTIAL_EMPTY"),
            (b"Basic", "CREDENTIAL_EMPTY"),
            (b"Bearer ", "CREDENTIAL_EMPTY"),
            (b"Basic Og==", "CREDENTIAL_EMPTY"),
            (b"Digest abc", "CREDENTIAL_SCHEME"),
            (b"Basic Basic abc", "CREDENTIAL_SCHEME"),
            (b"Basic Bearer abc", "CREDENTIAL_SCHEME"),
            (b"Bearer \xff", "CREDENTIAL_UNREADABLE"),
            (&[b'a'; 3_000], "CREDENTIAL_UNREADABLE"),
        ] {
            assert_eq!(parse(value, false).unwrap_err().reason(), reason);
        }
    }
}
