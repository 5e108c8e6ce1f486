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
    /// Names the company; `None` where the document has neither a valid id nor a valid name.
    pub fn identity(&self) -> Option<Identity> {
        let named = || self.draft.name.as_ref().map(|name| Identity::FoldKey(name.fold_key()));
        self.id.clone().map(Identity::Id).or_else(named)
    }
}
