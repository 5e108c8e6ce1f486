//! The contradictions within documents, for a run in which nothing can be planned.

use super::{
    Terms,
    findings::{Finding, Findings},
    reading::{Companies, Input},
};

/// Finds them in documents that were read before, when all that cannot be read was told.
pub(super) fn find(inputs: &[Input], terms: &Terms, findings: &mut Findings) {
    let ignores_default = terms.ignore.iter().any(|part| part == "is_default");
    for input in inputs {
        let mut companies = Companies::of(input);
        while let Ok(Some((lines_before, company))) = companies.next() {
            for problem in company.contradictions(lines_before) {
                if !(ignores_default && problem.violation.reason == "DEFAULT_TWICE") {
                    findings.add(Finding::of_problem(input.name(), &company.label, &problem));
                }
            }
        }
    }
}
