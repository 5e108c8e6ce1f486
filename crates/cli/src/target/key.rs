//! The source of the key: a file that other users cannot read, or the environment. Never the command line,
//! which every user of the machine can read.

use std::{fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use customer_settings_server::config::{unreadable, variable};
use http::HeaderValue;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    failure::{Failure, usage},
    storage::parse_path,
};

const KEY: &str = "CUSTOMER_SETTINGS_KEY";
const KEY_FILE: &str = "CUSTOMER_SETTINGS_KEY_FILE";

/// The `authorization` header of a request.
pub(super) fn authorization(key_file: Option<&Path>) -> Result<MetadataValue<Ascii>, Failure> {
    match (key_file, variable(KEY), variable(KEY_FILE)) {
        (Some(file), ..) => from_file(file),
        (None, Some(_), Some(_)) => Err(usage(format!(
            "{KEY} and {KEY_FILE} are both set: set one of them, or give --key-file FILE"
        ))),
        (None, Some(key), None) => bearer(&key.to_string_lossy(), KEY),
        (None, None, Some(file)) => {
            let file = parse_path(&file.to_string_lossy());
            from_file(&file.map_err(|error| usage(format!("{KEY_FILE}: {error}")))?)
        }
        (None, None, None) => {
            Err(usage(format!("no key: set {KEY}, or give --key-file FILE (or set {KEY_FILE})")))
        }
    }
}

fn from_file(path: &Path) -> Result<MetadataValue<Ascii>, Failure> {
    bearer(&content(path)?, &path.display().to_string())
}

/// The `authorization` header for an account elsewhere, whose key is a name without a password.
pub(crate) fn basic(path: &Path) -> Result<HeaderValue, Failure> {
    let key = content(path)?;
    let key = key.trim();
    if key.is_empty() {
        return Err(usage(format!("there is no key in {}", path.display())));
    }
    let header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(key)));
    let mut header = header.unwrap_or_else(|_| unreachable!("base64 is ASCII"));
    header.set_sensitive(true);
    Ok(header)
}

/// The content of a file that other users cannot read.
fn content(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let problem =
        |error: std::io::Error| usage(format!("the key file {name}: {}", unreadable(&error)));
    let mut file = File::open(path).map_err(problem)?;
    if file.metadata().map_err(problem)?.permissions().mode() & 0o077 != 0 {
        return Err(usage(format!("others may use the key file {name}: chmod 600 {name}")));
    }
    let mut key = String::new();
    file.read_to_string(&mut key).map_err(problem)?;
    Ok(key)
}

/// Makes the header. The error names the place of the key, and never shows the key.
fn bearer(key: &str, place: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let key = key.trim();
    if key.is_empty() {
        return Err(usage(format!("there is no key in {place}")));
    }
    let mut value: MetadataValue<Ascii> = format!("Bearer {key}")
        .parse()
        .map_err(|_| usage(format!("what is in {place} cannot be a key")))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn file(content: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_file_that_only_its_owner_may_use_is_taken() {
        for mode in [0o600, 0o400, 0o700] {
            let file = file("cs_abc\n", mode);
            assert_eq!(authorization(Some(file.path())).unwrap(), "Bearer cs_abc");
        }
    }

    #[test]
    fn a_file_that_others_may_use_is_refused_with_what_to_do() {
        for mode in [0o640, 0o604, 0o660, 0o601] {
            let file = file("cs_abc", mode);
            let failure = authorization(Some(file.path())).unwrap_err();
            assert!(failure.message.contains("chmod 600 "), "{}", failure.message);
            assert!(!failure.message.contains("cs_abc"));
        }
    }

    #[test]
    fn an_empty_or_impossible_key_is_refused_without_showing_it() {
        for content in ["", " \n", "secret\nkey"] {
            let file = file(content, 0o600);
            let failure = authorization(Some(file.path())).unwrap_err();
            assert!(!failure.message.contains("secret"), "{}", failure.message);
        }
    }
}
