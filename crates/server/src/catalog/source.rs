//! The system outside that a company's settings come from, and the rule about writers beside it.

use std::fmt;

use super::{
    access::Actor,
    change::CompanyDraft,
    company::{Company, ShortText},
    delta::{Delta, Row},
    entry::Catalog,
    error::{Error, MOST_NAMED, Result, Violation, few},
    id::{CompanyId, StaffId},
    settings::{Settings, Subject},
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
/// The company's field `source` itself is free: the scope `sources:write` guards it. An error names the places in the
/// document, if the change is one of a document.
pub(super) fn check(
    current: Option<&Settings>,
    (after, deltas): (&Settings, &[Delta]),
    is_of_source: bool,
    document: Option<&CompanyDraft>,
) -> Result<()> {
    let company = &after.company.id;
    if is_of_source && after.company.source.is_none() {
        return Err(no_source(company, ": state it in the document"));
    }
    let Some(current) = current else { return Ok(()) };
    let Some(source) = current.company.source else { return Ok(()) };
    match (source.mode, is_of_source) {
        (SourceMode::Mirror, false) => Mirrored::refuse((source, after), deltas, document),
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

/// The parts of a change that belong to the source of a mirrored company, for which the change is refused.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Mirrored {
    pub company_id: CompanyId,
    pub kind: SourceKind,
    /// The fields, such as `customer_tags/tag_001.name`; of a new thing, its list.
    pub owned: Vec<String>,
    /// The same by their places in the document that asks for the change, if there is one.
    pub violations: Vec<Violation>,
    /// Whether the same change ends the mirror.
    pub ends: bool,
}

impl Mirrored {
    /// The stable name of the refusal.
    pub const REASON: &'static str = "MIRRORED";

    fn refuse(
        (source, after): (Source, &Settings),
        deltas: &[Delta],
        document: Option<&CompanyDraft>,
    ) -> Result<()> {
        let parts = || {
            let each = |delta| owned(delta).into_iter().map(move |field| (delta, field));
            deltas.iter().flat_map(each)
        };
        let mut owned: Vec<String> = parts().map(|(delta, field)| named(delta, field)).collect();
        owned.dedup();
        if owned.is_empty() {
            return Ok(());
        }
        let (company_id, kind) = (after.company.id.clone(), source.kind);
        let ends = after.company.source != Some(source);
        let mut mirrored = Self { company_id, kind, owned, violations: vec![], ends };
        if let Some(document) = document {
            let places = document.places(after);
            let wrong = |(delta, field): (&Delta, Option<&str>)| {
                let at = path(&delta.subject, places.get(&delta.subject).copied(), field);
                Violation::new(&at, Self::REASON, mirrored.problem())
            };
            let mut violations: Vec<Violation> = parts().map(wrong).collect();
            violations.dedup();
            mirrored.violations = violations;
        }
        Err(Error::Mirrored(Box::new(mirrored)))
    }

    /// The facts for programs.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let fields = self.owned[..self.owned.len().min(MOST_NAMED)].join(",");
        [facts(&self.company_id, self.kind), vec![("fields", fields)]].concat()
    }

    /// The problem of one part.
    fn problem(&self) -> String {
        let at = self.kind.people();
        let way = match self.ends {
            true => "apply the source alone first, which ends the mirror, and this after that",
            false => "change it there, and the mirror brings it here",
        };
        format!("belongs to {at}, of which the company is a mirror: {way}")
    }
}

/// The sentence for people: the parts, and the way to change them.
impl fmt::Display for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { company_id, kind, owned, ends, .. } = self;
        let (named, at) = (few(owned, MOST_NAMED), kind.people());
        write!(
            f,
            "company {company_id} is a mirror of {at}, to which this belongs: {named}; nothing was written: "
        )?;
        match ends {
            true => f.write_str(
                "apply the source alone first, which ends the mirror, and these changes after that",
            ),
            false => write!(
                f,
                "change it at {at}, and the mirror brings it here; 'customer-settings mirror cutover' ends the mirror"
            ),
        }
    }
}

/// The list that a thing belongs to; `company` for the company itself.
fn list(subject: &Subject) -> String {
    let place = subject.place();
    place.split('/').next().unwrap_or(&place).to_owned()
}

/// A part of a change, in errors.
fn named(delta: &Delta, field: Option<&str>) -> String {
    // The id of a new thing may be one that was made for this change, and that nobody ever sees again.
    let thing = match delta.before {
        None => list(&delta.subject),
        Some(_) => delta.subject.place(),
    };
    field.map_or(thing.clone(), |field| format!("{thing}.{field}"))
}

/// The place of a part within the document's company: of a thing that the document does not name, its list.
fn path(subject: &Subject, index: Option<usize>, field: Option<&str>) -> String {
    // A document has no positions: the order of its list counts.
    let field = field.filter(|field| *field != "position");
    match (subject, index) {
        (Subject::Company, _) => field.unwrap_or_default().to_owned(),
        (_, None) => list(subject),
        (_, Some(index)) => {
            let field = field.map(|field| format!(".{field}")).unwrap_or_default();
            format!("{}[{index}]{field}", list(subject))
        }
    }
}

/// The parts of a change that belong to the source, fields or the thing as a whole: everything but descriptions, colors
/// where the source has none, and the deletion of archived entries.
fn owned(delta: &Delta) -> Vec<Option<&'static str>> {
    let is_free = |field: &str| match (&delta.after, delta.catalog()) {
        (Some(Row::Company(_)), _) => field == "source",
        (Some(Row::Entry(_)), Some(catalog)) => {
            field == "description" || (field == "color" && catalog != Catalog::ActionStatuses)
        }
        _ => false,
    };
    match (&delta.before, &delta.after) {
        // Authors and times alone, which a document may give.
        (Some(Row::Entry(_)), Some(Row::Entry(_))) if delta.fields().is_empty() => vec![None],
        // The source does not have it, and archived entries count.
        (Some(Row::Entry(entry)), Some(Row::Tombstone))
        | (Some(Row::Tombstone), Some(Row::Entry(entry)))
            if !entry.is_active() =>
        {
            vec![]
        }
        (None, _) | (Some(Row::Tombstone), _) | (_, Some(Row::Tombstone) | None) => vec![None],
        _ => delta.fields().into_iter().filter(|field| !is_free(field)).map(Some).collect(),
    }
}
