//! Starter vocabularies: the documents under docs/vocabularies, whose entries the console offers one by one.

use std::sync::LazyLock;

use super::document;
use crate::catalog::entry::Catalog;

/// The name of each vocabulary, and its document.
const DOCUMENTS: [(&str, &str); 4] = [
    ("Grooming", include_str!("../../../../docs/vocabularies/grooming.yaml")),
    ("Boarding", include_str!("../../../../docs/vocabularies/boarding.yaml")),
    ("Daycare", include_str!("../../../../docs/vocabularies/daycare.yaml")),
    ("Training", include_str!("../../../../docs/vocabularies/training.yaml")),
];

/// An entry that somebody may take.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of an entry")]
pub struct Idea {
    /// The name of the vocabulary.
    pub vocabulary: &'static str,
    /// The name of the catalog.
    pub collection: &'static str,
    pub name: String,
    pub description: String,
    /// `#RRGGBB`, or empty.
    pub color: String,
}

/// The entries of all vocabularies, in their order.
pub fn ideas() -> &'static [Idea] {
    static IDEAS: LazyLock<Vec<Idea>> =
        LazyLock::new(|| DOCUMENTS.into_iter().flat_map(|(name, text)| read(name, text)).collect());
    &IDEAS
}

fn read(vocabulary: &'static str, text: &str) -> Vec<Idea> {
    let Ok(companies) = document::parse(text) else { unreachable!("a test loads each document") };
    let mut ideas = Vec::new();
    for company in companies {
        for (catalog, entries) in Catalog::ALL.into_iter().zip(&company.draft.catalogs) {
            ideas.extend(entries.iter().flatten().map(|entry| {
                Idea {
                    vocabulary,
                    collection: catalog.as_str(),
                    name: entry.name.to_string(),
                    description: entry
                        .description
                        .as_ref()
                        .map(|text| text.as_str().to_owned())
                        .unwrap_or_default(),
                    color: entry.color.flatten().map(|color| color.to_string()).unwrap_or_default(),
                }
            }));
        }
    }
    ideas
}
