//! The contradictions within documents, for companies that cannot be planned, or for a run in which nothing can.

use super::{
    Terms,
    findings::{Finding, Findings},
    reading::{Companies, Input},
};

/// Finds them in documents that were read before, when all that cannot be read was told: in the companies whose numbers are
/// wanted.
pub(super) fn find(
    inputs: &[Input],
    terms: &Terms,
    is_wanted: impl Fn(usize) -> bool,
    findings: &mut Findings,
) {
    let ignores_default = terms.ignore.iter().any(|part| part == "is_default");
    let mut number = 0;
    for input in inputs {
        let mut companies = Companies::of(input);
        while let Ok(Some((lines_before, company))) = companies.next() {
            number += 1;
            if !is_wanted(number - 1) {
                continue;
            }
            for problem in company.contradictions(lines_before) {
                if !(ignores_default && problem.violation.reason == "DEFAULT_TWICE") {
                    findings.add(Finding::of_problem(input.name(), &company.label, &problem));
                }
            }
        }
    }
}
