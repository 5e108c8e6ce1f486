//! The system outside that a company's settings come from, and the rule about writers beside it.

use std::fmt;

use super::{
    access::Actor,
    company::{Company, ShortText},
    delta::{Delta, Row},
    entry::Catalog,
    error::{Error, MOST_NAMED, Result, Violation, few},
    id::{CompanyId, StaffId},
    settings::Settings,
    time::Timestamp,
};

/// The system that a company comes from, and whether it still decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Source {
    pub kind: SourceKind,
    pub mode: SourceMode,
}

/// A system that companies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// An account at MoeGo.
    MoeGo,
}

/// The one who decides about a company that has a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMode {
    /// The company is a copy: what the source has is changed there.
    Mirror,
    /// The copy is the original now, and everything is changed here.
    Cutover,
}

/// A comparison of a company with its source. Part of no log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCheck {
    /// The time when it was reported.
    pub checked_time: Timestamp,
    /// Whether the company was changed.
    pub is_changed: bool,
    /// The things that were left as they are, and why, for people.
    pub problems: ShortText,
    /// The lists that lost too much to be believed once, in words of the mirror. `None` in a report: they were not
    /// looked at, and those of the comparison before stay.
    pub held_back: Option<ShortText>,
}

impl Source {
    /// The source that has this text, as logs and tables have it.
    pub fn stored(text: &str) -> Result<Self, Violation> {
        let (kind, mode) = text.split_once(' ').unwrap_or((text, ""));
        let (kind, mode) = (SourceKind::parse("source", kind)?, SourceMode::parse("source", mode)?);
        Ok(Self { kind, mode })
    }
}

impl SourceKind {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::MoeGo];

    /// The name in documents, messages and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MoeGo => "moego",
        }
    }

    /// The name for people.
    const fn people(self) -> &'static str {
        match self {
            Self::MoeGo => "MoeGo",
        }
    }

    /// The kind of that name. `field` names it in the error.
    pub fn parse(field: &str, name: &str) -> Result<Self, Violation> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| Violation::new(field, "UNKNOWN_SOURCE", "must be moego"))
    }
}

impl SourceMode {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mirror, Self::Cutover];

    /// The name in documents and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Cutover => "cutover",
        }
    }

    /// The mode of that name. `field` names it in the error.
    pub fn parse(field: &str, name: &str) -> Result<Self, Violation> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == name);
        found.ok_or_else(|| Violation::new(field, "UNKNOWN_MODE", "must be mirror or cutover"))
    }
}

/// As in plans, logs and tables: `moego mirror`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.mode.as_str())
    }
}

/// Refuses a change that is not the source's own, where a mirror would take it back; and a change of the source that
/// would take back those of people, since the company was cut over.
///
/// The company's field `source` itself is free: the scope `sources:write` guards it.
pub(super) fn check(
    current: Option<&Settings>,
    after: &Settings,
    deltas: &[Delta],
    is_of_source: bool,
) -> Result<()> {
    let company = &after.company.id;
    if is_of_source && after.company.source.is_none() {
        return Err(no_source(company, ": state it in the document"));
    }
    let Some(current) = current else { return Ok(()) };
    let Some(source) = current.company.source else { return Ok(()) };
    match (source.mode, is_of_source) {
        (SourceMode::Mirror, false) => {
            let ends = after.company.source != Some(source);
            refuse_owned(company, source.kind, deltas, ends)
        }
        (SourceMode::Cutover, true) if !deltas.is_empty() => Err(Error::Precondition {
            reason: "CUT_OVER",
            message: format!(
                "company {company} was cut over from {}, and is changed here alone: to make it a mirror again, which \
                 takes back what was changed here since, apply a document with its source in the mode mirror first",
                source.kind.people()
            ),
            facts: facts(company, source.kind),
        }),
        _ => Ok(()),
    }
}

/// The author of a change that a source brings: the mirror, whoever runs it. The key stays, if there is one.
pub(super) fn author(actor: &Actor) -> Actor {
    let staff_id =
        StaffId::parse("author", "mirror").unwrap_or_else(|_| unreachable!("a literal id"));
    Actor { staff_id, ..actor.clone() }
}

/// Refuses to store a comparison with a source for a company that has none.
pub fn check_has_source(company: &Company) -> Result<()> {
    company
        .source
        .map(|_| ())
        .ok_or_else(|| no_source(&company.id, ", so it was compared with none"))
}

fn no_source(company: &CompanyId, hint: &str) -> Error {
    let message = format!("company {company} has no source{hint}");
    Error::Precondition {
        reason: "NO_SOURCE",
        message,
        facts: vec![("company_id", company.to_string())],
    }
}

fn facts(company: &CompanyId, kind: SourceKind) -> Vec<(&'static str, String)> {
    vec![("company_id", company.to_string()), ("source", kind.as_str().to_owned())]
}

/// `ends`: whether the same change ends the mirror.
fn refuse_owned(company: &CompanyId, kind: SourceKind, deltas: &[Delta], ends: bool) -> Result<()> {
    let mut owned: Vec<String> = deltas.iter().flat_map(owned).collect();
    owned.dedup();
    if owned.is_empty() {
        return Ok(());
    }
    let (named, at) = (few(&owned, MOST_NAMED), kind.people());
    let mut facts = facts(company, kind);
    facts.push(("fields", owned[..owned.len().min(MOST_NAMED)].join(",")));
    let way = match ends {
        true => "apply the source alone first, which ends the mirror, and these changes after that"
            .to_owned(),
        false => format!(
            "change it at {at}, and the mirror brings it here; 'customer-settings mirror cutover' ends the mirror"
        ),
    };
    Err(Error::Precondition {
        reason: "MIRRORED",
        message: format!(
            "company {company} is a mirror of {at}, to which this belongs: {named}; nothing was written: {way}"
        ),
        facts,
    })
}

/// The parts of a change that belong to the source: everything but descriptions, colors where the source has none, and
/// the deletion of archived entries.
fn owned(delta: &Delta) -> Vec<String> {
    let place = delta.subject.place();
    // The id of a new thing may be one that was made for this change, and that nobody ever sees again.
    let list = || place.split('/').next().unwrap_or(&place).to_owned();
    let is_free = |field: &str| match (&delta.after, delta.catalog()) {
        (Some(Row::Company(_)), _) => field == "source",
        (Some(Row::Entry(_)), Some(catalog)) => {
            field == "description" || (field == "color" && catalog != Catalog::ActionStatuses)
        }
        _ => false,
    };
    match (&delta.before, &delta.after) {
        // Authors and times alone, which a document may give.
        (Some(Row::Entry(_)), Some(Row::Entry(_))) if delta.fields().is_empty() => vec![place],
        // The source does not have it, and archived entries count.
        (Some(Row::Entry(entry)), Some(Row::Tombstone))
        | (Some(Row::Tombstone), Some(Row::Entry(entry)))
            if !entry.is_active() =>
        {
            vec![]
        }
        (None, _) => vec![list()],
        (Some(Row::Tombstone), _) | (_, Some(Row::Tombstone) | None) => vec![place],
        _ => {
            let fields = delta.fields().into_iter().filter(|field| !is_free(field));
            fields.map(|field| format!("{place}.{field}")).collect()
        }
    }
}
