//! By which a document names a company, so that one that is named twice is found.

use super::DocumentCompany;
use crate::catalog::id::CompanyId;

/// The id by which a document names a company, else the name as it is compared. A document has each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants say what they are")]
pub enum Identity {
    Id(CompanyId),
    FoldKey(String),
}

impl DocumentCompany {
    /// Names the company; `None` where the document does not say which company is meant: it has an id that cannot be
    /// read, or neither an id nor a name.
    pub fn identity(&self) -> Option<Identity> {
        if let Some(id) = &self.id {
            return Some(Identity::Id(id.clone()));
        }
        let name = self.draft.name.as_ref().filter(|_| !self.problems.are_at("id"))?;
        Some(Identity::FoldKey(name.fold_key()))
    }
}
