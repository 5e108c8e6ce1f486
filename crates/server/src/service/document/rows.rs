//! Rows of companies that were read, and parts of rows.

use super::{BusinessRow, CompanyRow, DocumentCompany, EntryRow, write::address_row};
use crate::catalog::{
    change::{BusinessDraft, EntryDraft},
    company::ShortText,
    entry::Catalog,
};

impl CompanyRow {
    /// The row without the ids of locations and entries, and without the source, in which they have these ids.
    pub fn without_ids(mut self) -> Self {
        self.source = None;
        self.businesses.iter_mut().flatten().for_each(|business| business.id = None);
        for catalog in Catalog::ALL {
            self.entries_mut(catalog).iter_mut().flatten().for_each(|entry| entry.id = None);
        }
        self
    }

    /// The row without authors and times of entries.
    pub fn without_audit(mut self) -> Self {
        for catalog in Catalog::ALL {
            for entry in self.entries_mut(catalog).iter_mut().flatten() {
                (entry.created_by, entry.created_time) = (None, None);
                (entry.last_updated_by, entry.last_updated_time) = (None, None);
            }
        }
        self
    }

    /// The row without locations.
    pub fn without_businesses(self) -> Self {
        Self { businesses: None, ..self }
    }

    /// The row of a company of a document that was read. Values that could not be read are left out.
    pub fn of_document(company: &DocumentCompany) -> Self {
        let draft = &company.draft;
        let businesses: Vec<BusinessRow> = draft.businesses.iter().map(drafted_business).collect();
        let mut row = Self {
            id: company.id.as_ref().map(ToString::to_string),
            name: draft.name.as_ref().map(ToString::to_string),
            country: draft.country.as_ref().map(|country| country.as_str().to_owned()),
            timezone: draft.timezone.as_ref().map(|timezone| timezone.as_str().to_owned()),
            state: draft.state.map(|state| state.as_str().to_owned()),
            source: draft.source.map(|source| source.map(Into::into).unwrap_or_default()),
            businesses: Some(businesses).filter(|rows| !rows.is_empty()),
            ..Self::default()
        };
        for catalog in Catalog::ALL {
            let drafts = draft.catalogs[catalog.index()].as_ref();
            *row.entries_mut(catalog) =
                drafts.map(|drafts| drafts.iter().map(drafted_entry).collect());
        }
        row
    }

    /// The entries of a catalog, if the document states it.
    pub fn entries_mut(&mut self, catalog: Catalog) -> &mut Option<Vec<EntryRow>> {
        match catalog {
            Catalog::CustomerTags => &mut self.customer_tags,
            Catalog::ReferralSources => &mut self.referral_sources,
            Catalog::LifeCycles => &mut self.life_cycles,
            Catalog::ActionStatuses => &mut self.action_statuses,
        }
    }
}

impl DocumentCompany {
    /// The line, the field and the description of a violation that a plan of the valid values found. None where it depends
    /// on a problem of the document. `lines_before`: by so much the lines of the whole document have higher numbers.
    pub fn located(
        &self,
        (field, reason, description): (&str, &str, &str),
        lines_before: u64,
    ) -> Option<(u64, String, String)> {
        let field = self.in_document(field);
        if !self.problems.leave_sure(reason, &field) {
            return None;
        }
        let description = self.with_lines(&self.in_document(description), lines_before);
        Some((self.lines.of(&field) + lines_before, field, description))
    }

    /// A text about the document with the line of each entry and location that it names, other than the field that it is
    /// about: `customer_tags[1] (line 9)`.
    pub(super) fn with_lines(&self, text: &str, lines_before: u64) -> String {
        let lists = Catalog::ALL.map(Catalog::as_str).into_iter().chain(["businesses"]);
        lists.fold(text.to_owned(), |told, list| {
            placed(&told, list, |index, rest| {
                let line = self.lines.of(&format!("{list}[{index}]")) + lines_before;
                (!rest.starts_with('.')).then(|| format!("{index}] (line {line})"))
            })
        })
    }

    /// The text in which the places of lists are those of the document, where the rows of the valid values have others:
    /// an entry that was left out moves those behind it.
    fn in_document(&self, text: &str) -> String {
        let draft = &self.draft;
        let businesses = draft.businesses.iter().map(|one| one.index).collect();
        let mut lists: Vec<(&str, Vec<usize>)> = vec![("businesses", businesses)];
        for (catalog, drafts) in Catalog::ALL.into_iter().zip(&draft.catalogs) {
            let indexes = drafts.iter().flatten().map(|one| one.index);
            lists.push((catalog.as_str(), indexes.collect()));
        }
        lists.into_iter().fold(text.to_owned(), |told, (list, indexes)| {
            placed(&told, list, |row, _| Some(format!("{}]", indexes.get(row)?)))
        })
    }
}

/// The text with other words in the places of a list: for the `1]` of `customer_tags[1].name` those that `place` gives for
/// the number and the text behind it, if it gives any.
fn placed(text: &str, list: &str, place: impl Fn(usize, &str) -> Option<String>) -> String {
    let begin = format!("{list}[");
    let mut parts = text.split(&begin);
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let found = part
            .split_once(']')
            .and_then(|(index, rest)| Some((place(index.parse().ok()?, rest)?, rest)));
        let (there, rest) = found.unwrap_or_else(|| (String::new(), part));
        told.extend([begin.as_str(), &there, rest]);
    }
    told
}

fn drafted_entry(draft: &EntryDraft) -> EntryRow {
    let was: Vec<String> = draft.was.iter().map(ToString::to_string).collect();
    EntryRow {
        id: draft.id.as_ref().map(ToString::to_string),
        name: Some(draft.name.to_string()),
        was,
        description: draft.description.as_ref().map(|text| text.as_str().to_owned()),
        color: draft.color.map(|color| color.map(|color| color.to_string()).unwrap_or_default()),
        is_default: draft.is_default,
        state: draft.state.map(|state| state.as_str().to_owned()),
        created_by: draft.created_by.as_ref().map(ToString::to_string),
        created_time: draft.created_time.map(|time| time.to_string()),
        last_updated_by: draft.last_updated_by.as_ref().map(ToString::to_string),
        last_updated_time: draft.last_updated_time.map(|time| time.to_string()),
    }
}

fn drafted_business(draft: &BusinessDraft) -> BusinessRow {
    let given = |text: &Option<ShortText>| text.as_ref().map(|text| text.as_str().to_owned());
    let contact = &draft.contact;
    BusinessRow {
        id: draft.id.as_ref().map(ToString::to_string),
        name: Some(draft.name.to_string()),
        state: draft.state.map(|state| state.as_str().to_owned()),
        avatar: given(&contact.avatar),
        phone: given(&contact.phone),
        business_phone: given(&contact.business_phone),
        email: given(&contact.email),
        website: given(&contact.website),
        facebook: given(&contact.facebook),
        instagram: given(&contact.instagram),
        yelp: given(&contact.yelp),
        google: given(&contact.google),
        address: draft.address.as_ref().map(address_row),
    }
}
