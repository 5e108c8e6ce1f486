//! New secrets, which are shown once: on standard output, or in a file that only its owner may read.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{CREATE_KEY, Call, note_unknown_companies};
use crate::{
    failure::{Failure, failure},
    output::{self, cell, note, print_json},
    target::{Client, new_request_id},
};

/// The place for a new secret.
#[derive(Args, Debug)]
pub(crate) struct Out {
    /// Write the secret into this new file, which only you may read (mode 0600), instead of standard output (`-`)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Out {
    pub(super) fn file(&self) -> Option<&Path> {
        self.out.as_deref().filter(|out| out.as_os_str() != "-")
    }
}

/// The place for a new secret, which is open before the secret exists.
enum Place {
    Output,
    File(NewFile),
}

/// A file that is removed again if it gets no content.
struct NewFile {
    path: PathBuf,
    file: File,
    is_written: bool,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_written {
            _ = fs::remove_file(&self.path);
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output => f.write_str("standard output"),
            Self::File(new) => new.path.display().fmt(f),
        }
    }
}

impl Place {
    fn open(out: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = out else {
            return match output::leads_nowhere() {
                false => Ok(Self::Output),
                true => Err(failure(
                    "standard output is closed, or /dev/null, where the new secret would be lost, so nothing was \
                     changed: give --out FILE",
                )),
            };
        };
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => failure(format!(
                "--out {}: the file exists already, so nothing was changed: give another name",
                path.display()
            )),
            _ => failure(format!("--out {}: {error}, so nothing was changed", path.display())),
        };
        let file = made.map_err(refused)?;
        Ok(Self::File(NewFile { path: path.to_owned(), file, is_written: false }))
    }

    /// Writes a secret. A file has it alone, without the end of a line, so that a program may use it as it is.
    fn write(&mut self, secret: &str, answer: Option<&Value>) -> io::Result<()> {
        match self {
            Self::Output => {
                let whole = answer.map(serde_json::to_string_pretty).transpose()?;
                output::write(format!("{}\n", whole.as_deref().unwrap_or(secret)).as_bytes())
            }
            Self::File(new) => {
                new.file.write_all(secret.as_bytes())?;
                new.file.sync_all()?;
                new.is_written = true;
                Ok(())
            }
        }
    }
}

impl Call<'_> {
    /// Sends the request. The secret goes alone to its place, and all else to standard error.
    pub(super) async fn run_for_secret(self) -> Result<(), Failure> {
        let mut place = Place::open(self.out)?;
        let mut client = self.connect().await?;
        let answer = self.answer(&mut client).await?;
        let (key, secret) = (&answer["key"], answer["secret"].as_str().unwrap_or_default());
        let is_json = self.form.is_json();
        if secret.is_empty() && is_json {
            return print_json(&answer);
        }
        if secret.is_empty() {
            return Err(failure(format!("key {}: {}", cell(&key["id"]), cell(&answer["note"]))));
        }
        if let Err(error) = place.write(secret, is_json.then_some(&answer)) {
            return Err(self.secret_lost(&mut client, key, &place, &error).await);
        }
        let is_in_file = matches!(place, Place::File(_));
        if is_json && is_in_file {
            let mut rest = answer.clone();
            rest.as_object_mut().map(|fields| fields.shift_remove("secret"));
            print_json(&rest)?;
        }
        if !is_json {
            tell_key(key, is_in_file.then_some(&place));
        }
        note_unknown_companies(&mut client, self.covered).await;
        Ok(())
    }

    /// Handles a secret that could not be written. A new key is useless without its secret, so it is revoked.
    /// A rotated key was in use, and stays.
    async fn secret_lost(
        &self,
        client: &mut Client,
        key: &Value,
        place: &Place,
        error: &io::Error,
    ) -> Failure {
        let id = cell(&key["id"]);
        let lost = format!(
            "{place} cannot be written ({error}), so nobody has the new secret of key {id} \"{}\"",
            cell(&key["name"])
        );
        if self.method != CREATE_KEY {
            return failure(format!("{lost}: {}", self.after_lost_rotation(key, &id)));
        }
        let mut revoke = json!({"id": id});
        if !self.request["request_id"].is_null() {
            match new_request_id() {
                Ok(id) => revoke["request_id"] = json!(id),
                Err(failure) => return failure,
            }
        }
        match client.call("KeyService/RevokeKey", &revoke).await {
            Ok(_) => failure(format!("{lost}: it was revoked again")),
            Err(why) => failure(format!(
                "{lost}: revoke it with 'key revoke {id}', as that failed just now: {}",
                why.message
            )),
        }
    }

    /// The advice for a key whose newest secret is lost. Another rotation would keep only the lost secret
    /// beside the new one. It would therefore end the secret that clients use.
    fn after_lost_rotation(&self, key: &Value, id: &str) -> String {
        match key["previousSecretExpiresTime"].as_str().filter(|_| self.request["overlap"] != "0s")
        {
            Some(time) => format!(
                "the one from before works until {time}, and rotating the key again would end that at once; so make \
                 another key with 'key create', have its clients use that one, then end this one with 'key revoke \
                 {id}'"
            ),
            None => format!("no older one works any more; 'key rotate {id}' makes another one"),
        }
    }
}

fn tell_key(key: &Value, file: Option<&Place>) {
    let companies = match &key["allCompanies"] {
        Value::Bool(true) => "all companies".to_owned(),
        _ => cell(&key["companyIds"]),
    };
    let place = match file {
        Some(file) => format!("the secret is in {file}, and is shown nowhere else"),
        None => "the secret above is shown only this once".to_owned(),
    };
    note(format!(
        "key {} \"{}\" ({}; {companies}); {place}",
        cell(&key["id"]),
        cell(&key["name"]),
        cell(&key["scopes"])
    ));
}
