//! The rows of a change before and after it. A row that is made has no side before, and a deleted entry leaves a
//! tombstone, so that exchanging the sides of a delta reverses it.

use super::{
    company::{Business, Company},
    entry::{Catalog, Entry, State},
    id::{BusinessId, EntryId},
    key::Key,
    settings::Subject,
    text::Name,
};

/// One row that a change touched, before and after the change.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// The row that changed.
    pub subject: Subject,
    /// The row before the change; `None` if the change made it.
    pub before: Option<Row>,
    /// The row after the change; `None` only where the making of a row is reversed.
    pub after: Option<Row>,
}

/// One side of a delta.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named like what they hold")]
pub enum Row {
    Company(Box<Company>),
    Business(Box<Business>),
    Entry(Box<Entry>),
    /// The rank of an entry that changes in nothing else.
    Rank(u32),
    /// A deleted entry's id, which no other entry gets.
    Tombstone,
    Key(Box<Key>),
}

impl Row {
    fn state(&self) -> Option<State> {
        match self {
            Self::Company(company) => Some(company.state),
            Self::Business(business) => Some(business.state),
            Self::Entry(entry) => Some(entry.state),
            Self::Rank(_) | Self::Tombstone | Self::Key(_) => None,
        }
    }

    fn name(&self) -> Option<&Name> {
        match self {
            Self::Company(company) => Some(&company.name),
            Self::Business(business) => Some(&business.name),
            Self::Entry(entry) => Some(&entry.name),
            Self::Key(key) => Some(&key.name),
            Self::Rank(_) | Self::Tombstone => None,
        }
    }

    /// The company, if it is one.
    pub fn company(&self) -> Option<&Company> {
        if let Self::Company(company) = self { Some(company) } else { None }
    }

    /// The location, if it is one.
    pub fn business(&self) -> Option<&Business> {
        if let Self::Business(business) = self { Some(business) } else { None }
    }

    /// The key, if it is one.
    pub fn key(&self) -> Option<&Key> {
        if let Self::Key(key) = self { Some(key) } else { None }
    }

    /// The entry, if it is one.
    pub fn entry(&self) -> Option<&Entry> {
        if let Self::Entry(entry) = self { Some(entry) } else { None }
    }
}

impl Delta {
    /// A key that is made (without `before`) or changed.
    pub fn key(before: Option<Key>, after: Key) -> Self {
        let row = |key| Row::Key(Box::new(key));
        let subject = Subject::Key(after.id.clone());
        Self { subject, before: before.map(row), after: Some(row(after)) }
    }

    /// A company that is made (without `before`) or changed.
    pub fn company(before: Option<Company>, after: Company) -> Self {
        let row = |company| Row::Company(Box::new(company));
        Self { subject: Subject::Company, before: before.map(row), after: Some(row(after)) }
    }

    /// A location that is made (without `before`) or changed.
    pub fn business(before: Option<Business>, after: Business) -> Self {
        let row = |business| Row::Business(Box::new(business));
        let subject = Subject::Business(after.id.clone());
        Self { subject, before: before.map(row), after: Some(row(after)) }
    }

    /// An entry that is made (without `before`) or changed.
    pub fn entry(catalog: Catalog, before: Option<Entry>, after: Entry) -> Self {
        let row = |entry| Row::Entry(Box::new(entry));
        let subject = Subject::Entry(catalog, after.id.clone());
        Self { subject, before: before.map(row), after: Some(row(after)) }
    }

    /// An entry whose rank changes, and nothing else.
    pub fn moved(catalog: Catalog, id: EntryId, from: u32, to: u32) -> Self {
        let (before, after) = (Some(Row::Rank(from)), Some(Row::Rank(to)));
        Self { subject: Subject::Entry(catalog, id), before, after }
    }

    /// An entry that is deleted.
    pub fn deleted(catalog: Catalog, before: Entry) -> Self {
        let subject = Subject::Entry(catalog, before.id.clone());
        let before = Some(Row::Entry(Box::new(before)));
        Self { subject, before, after: Some(Row::Tombstone) }
    }

    /// A deleted entry that is revived with its id.
    pub fn revived(catalog: Catalog, after: Entry) -> Self {
        let subject = Subject::Entry(catalog, after.id.clone());
        let after = Some(Row::Entry(Box::new(after)));
        Self { subject, before: Some(Row::Tombstone), after }
    }

    /// The catalog of an entry's delta.
    pub fn catalog(&self) -> Option<Catalog> {
        if let Subject::Entry(catalog, _) = &self.subject { Some(*catalog) } else { None }
    }

    /// The entry of an entry's delta.
    pub fn entry_id(&self) -> Option<&EntryId> {
        if let Subject::Entry(_, id) = &self.subject { Some(id) } else { None }
    }

    /// The entry and its ranks before and after, if nothing else changes.
    pub fn ranks(&self) -> Option<(Catalog, &EntryId, u32, u32)> {
        match self {
            Self {
                subject: Subject::Entry(catalog, id),
                before: Some(Row::Rank(from)),
                after: Some(Row::Rank(to)),
            } => Some((*catalog, id, *from, *to)),
            _ => None,
        }
    }

    /// The location that the change makes, if it makes one.
    pub fn made_business(&self) -> Option<&BusinessId> {
        match self {
            Self { subject: Subject::Business(id), before: None, .. } => Some(id),
            _ => None,
        }
    }

    /// The entry of the catalog that the change makes, if it makes one.
    pub fn made_entry(&self, catalog: Catalog) -> Option<&EntryId> {
        match self {
            Self { subject: Subject::Entry(of, id), before: None, .. } if *of == catalog => {
                Some(id)
            }
            _ => None,
        }
    }

    /// Whether the delta is about the subject. A delta of an entry is about its catalog too.
    pub fn touches(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Catalog(catalog) => self.catalog() == Some(*catalog),
            subject => self.subject == *subject,
        }
    }

    /// The verb for the change, in the past tense.
    pub fn verb(&self) -> &'static str {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return "created" };
        match (before, after) {
            (Row::Rank(_), _) => "moved",
            (Row::Tombstone, _) => "revived",
            (_, Row::Tombstone) => "deleted",
            _ => match (before.state(), after.state()) {
                (Some(State::Active), Some(State::Archived)) => "archived",
                (Some(State::Archived), Some(State::Active)) => "restored",
                _ => "updated",
            },
        }
    }

    /// The name of the changed thing: after the change, or else before it.
    pub fn name(&self) -> Option<&Name> {
        [&self.after, &self.before].into_iter().flatten().find_map(Row::name)
    }

    /// The names of the fields that changed; none if the row was made, deleted or revived.
    pub fn fields(&self) -> Vec<&'static str> {
        match (&self.before, &self.after) {
            (Some(Row::Company(before)), Some(Row::Company(after))) => changed(&**before, after),
            (Some(Row::Business(before)), Some(Row::Business(after))) => changed(&**before, after),
            (Some(Row::Entry(before)), Some(Row::Entry(after))) => changed(&**before, after),
            (Some(Row::Key(before)), Some(Row::Key(after))) => changed(&**before, after),
            (Some(Row::Rank(_)), Some(Row::Rank(_))) => vec!["position"],
            _ => vec![],
        }
    }
}

/// A field of a row that people change, under its name in errors and in the history.
pub struct Field<T: 'static> {
    /// The field's name in the contract.
    pub name: &'static str,
    /// Whether two rows have the same value.
    pub is_same: fn(&T, &T) -> bool,
    /// Copies the second row's value to the first.
    pub copy: fn(&mut T, &T),
}

/// A row with fields: all but its id and its audit.
pub trait Fields: Sized + 'static {
    /// The fields, in the order in which they are named.
    const FIELDS: &'static [Field<Self>];
}

fn changed<T: Fields>(one: &T, other: &T) -> Vec<&'static str> {
    let changed = T::FIELDS.iter().filter(|field| !(field.is_same)(one, other));
    changed.map(|field| field.name).collect()
}

/// Each field stands here once, for undo, history and `verify`.
macro_rules! fields {
    ($row:ty: $($name:literal => $($path:ident).+,)+) => {
        impl Fields for $row {
            const FIELDS: &'static [Field<Self>] = &[$(Field {
                name: $name,
                is_same: |one, other| one.$($path).+ == other.$($path).+,
                copy: |to, from| to.$($path).+.clone_from(&from.$($path).+),
            },)+];
        }
    };
}

fields! { Company:
    "name" => name,
    "country" => country,
    "timezone" => timezone,
    "state" => state,
    "source" => source,
}

fields! { Business:
    "name" => name,
    "address" => address,
    "state" => state,
    "avatar" => contact.avatar,
    "phone" => contact.phone,
    "business_phone" => contact.business_phone,
    "email" => contact.email,
    "website" => contact.website,
    "facebook" => contact.facebook,
    "instagram" => contact.instagram,
    "yelp" => contact.yelp,
    "google" => contact.google,
}

fields! { Entry:
    "name" => name,
    "description" => description,
    "color" => color,
    "is_default" => is_default,
    "state" => state,
    "position" => rank,
}

fields! { Key:
    "name" => name,
    "scopes" => scopes,
    "company_ids" => coverage,
    "addresses" => addresses,
    "expires_time" => expires_time,
    "staff_id" => staff_id,
    "secret" => secret,
    "revoked_time" => revoked_time,
    "link_time" => link_time,
}
