//! Notes of damage: of stored data that cannot be understood.
//!
//! Each damaged place is logged once, in the words of `verify`. Every read of damaged data is counted, and `/readyz`
//! shows the number of places. This file does not know what is done about the damage.

use std::{
    any::Any,
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::{
    CompanyRow, KeyRow, StoreError,
    calls::{Call, Watch},
};
use crate::{
    catalog::{
        error::Cause,
        id::KeyId,
        log::Line,
        stream::{Among, Stream, StreamKind, Streams},
    },
    telemetry::{DAMAGE, DAMAGED_PLACES},
};

/// The most places that are remembered. Damage in further places is only counted.
const MOST_PLACES: usize = 100;

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Database,
    Companies,
    Settings,
    History,
    Keys,
    KeyHistory,
    Sessions,
    SourceChecks,
    /// Data on which no answer relies, and reports about damage itself.
    Aside,
}

impl Part {
    const fn label(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Companies => "companies",
            Self::Settings => "settings",
            Self::History => "history",
            Self::Keys => "keys",
            Self::KeyHistory => "key_history",
            Self::Sessions => "sessions",
            Self::SourceChecks => "source_checks",
            Self::Aside => "aside",
        }
    }

    /// The damage in the words of `verify`.
    const fn problem(self) -> &'static str {
        match self {
            Self::Companies => "they cannot be listed",
            Self::Settings => "its rows cannot be read",
            Self::History => "its change log cannot be read",
            Self::KeyHistory => "their log cannot be read",
            Self::Keys | Self::Sessions | Self::SourceChecks => "they cannot be read",
            Self::Database | Self::Aside => "it cannot be read",
        }
    }
}

/// The part of the data that a call is about: of one thing, or as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    part: Part,
    of: &'a str,
}

impl<'a> Place<'a> {
    pub(super) const ASIDE: Self = Self::all(Part::Aside);
    pub(super) const COMPANIES: Self = Self::all(Part::Companies);
    pub(super) const DATABASE: Self = Self::all(Part::Database);
    pub(super) const KEYS: Self = Self::all(Part::Keys);
    pub(super) const SESSIONS: Self = Self::all(Part::Sessions);
    pub(super) const SOURCE_CHECKS: Self = Self::all(Part::SourceChecks);

    const fn all(part: Part) -> Self {
        Self { part, of: part.label() }
    }

    pub(super) fn key(id: &'a KeyId) -> Self {
        Self { part: Part::Keys, of: id.as_str() }
    }

    /// The rows of a company.
    pub(super) fn settings(stream: &'a Stream) -> Self {
        Self { part: Part::Settings, of: stream.id() }
    }

    /// The rows of the lines of a commit.
    pub(super) fn lines(lines: &[(&'a Stream, &Line)]) -> Self {
        match lines {
            [(stream, _), ..] if stream.kind() != StreamKind::KEY => Self::settings(stream),
            _ => Self::KEYS,
        }
    }

    pub(super) fn log(stream: &'a Stream) -> Self {
        let is_key = stream.kind() == StreamKind::KEY;
        let part = if is_key { Part::KeyHistory } else { Part::History };
        Self { part, of: stream.id() }
    }

    pub(super) fn logs(among: &'a Streams) -> Self {
        match among.among() {
            Among::One(stream) => Self::log(stream),
            Among::All(_) => Self { part: Part::KeyHistory, of: "keys" },
        }
    }
}

/// The damage that was read since the start.
#[derive(Default)]
pub struct Damages(Mutex<BTreeSet<(Part, String)>>);

impl Damages {
    fn note(&self, part: Part, of: &str, cause: &Cause) {
        if part == Part::Aside {
            return;
        }
        metrics::counter!(DAMAGE, "part" => part.label()).increment(1);
        if self.is_new(part, of) {
            tracing::error!(
                part = part.label(),
                of,
                cause = cause.for_log(),
                "the data is damaged: {}; `customer-settings verify` names all that is wrong",
                part.problem()
            );
        }
    }

    fn is_new(&self, part: Part, of: &str) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = places.len() < MOST_PLACES && places.insert((part, of.to_owned()));
        metrics::gauge!(DAMAGED_PLACES).set(places.len() as f64);
        is_new
    }

    /// A line for operators, if damage was read. It names nobody's data.
    pub fn summary(&self) -> Option<String> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        let many = match places {
            0 => return None,
            1 => "one place".to_owned(),
            MOST_PLACES => format!("{MOST_PLACES} places or more"),
            places => format!("{places} places"),
        };
        Some(format!(
            "the data is damaged in {many}: the log names them, and `customer-settings verify` all that is wrong"
        ))
    }
}

impl Watch for Damages {
    fn after(
        &self,
        call: Call<'_>,
        answer: Result<&mut dyn Any, &StoreError>,
    ) -> Result<(), StoreError> {
        match answer {
            Err(StoreError::Damaged(cause)) => self.note(call.place.part, call.place.of, cause),
            Err(_) => {}
            // A damaged row of a list hides no other.
            Ok(answer) => {
                let companies = answer.downcast_ref::<Vec<CompanyRow>>();
                for row in companies.into_iter().flatten().filter_map(|row| row.as_ref().err()) {
                    self.note(Part::Settings, row.place.1.as_str(), &row.cause);
                }
                let keys = answer.downcast_ref::<Vec<KeyRow>>();
                for row in keys.into_iter().flatten().filter_map(|row| row.as_ref().err()) {
                    self.note(Part::Keys, row.place.as_str(), &row.cause);
                }
            }
        }
        Ok(())
    }
}
