//! A plan for people: the summary first, then a table for each company. On a terminal, in a file, or as Markdown.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    findings::Finding,
    lines::{Groups, Writer},
    located::Told,
    text,
};
use crate::{
    failure::{Failure, failure},
    output::{Form, print},
};

/// The most moves of a catalog that a plan names.
const MOST_MOVES: usize = 3;

#[derive(Clone, Copy)]
pub(super) enum Style {
    Table(Form),
    Markdown,
    Json,
    /// The results of an application that writes nothing, as JSON: all companies of an empty plan, else those that are
    /// refused. A count of another company would look like a change that was made.
    Results,
}

/// Steps, counted by their kinds.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts([u64; 6]);

const KINDS: [&str; 6] = ["created", "updated", "renamed", "moved", "archived", "restored"];

impl Counts {
    pub(super) fn of(counts: &Value) -> Self {
        let mut all = Self::default();
        all.add(counts);
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; 6]
    }

    pub(super) fn add(&mut self, counts: &Value) {
        for (sum, kind) in self.0.iter_mut().zip(KINDS) {
            *sum += counts[kind].as_u64().unwrap_or_default();
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().zip(KINDS).filter(|(count, _)| **count > 0);
        let words: Vec<String> = all.map(|(count, kind)| format!("{count} {kind}")).collect();
        f.write_str(if words.is_empty() { "no differences" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

/// Plans of companies, as they are shown: their summary comes first, so the others wait in a file.
pub(super) struct Shown {
    style: Style,
    counts: Counts,
    companies: usize,
    changed: usize,
    refused: usize,
    details: Writer,
    /// The refused companies, which people find at the end.
    refusals: Writer,
}

impl Shown {
    pub(super) fn new(style: Style) -> Result<Self, Failure> {
        let (counts, details, refusals) = (Counts::default(), Writer::new()?, Writer::new()?);
        Ok(Self { style, counts, companies: 0, changed: 0, refused: 0, details, refusals })
    }

    /// Takes a plan, and what it says of the document.
    pub(super) fn add(&mut self, plan: &Value, told: &Told) -> Result<(), Failure> {
        self.counts.add(&plan["counts"]);
        self.companies += 1;
        self.changed += usize::from(!steps(plan).is_empty());
        let is_refused = plan["error"].is_object();
        self.refused += usize::from(is_refused);
        match self.style {
            Style::Json | Style::Results => {
                let mut plan = plan.clone();
                told.locate(&mut plan);
                if matches!(self.style, Style::Json) {
                    return self.details.put(&plan);
                }
                let part = if is_refused { "error" } else { "counts" };
                self.details.put(&json!({"companyId": plan["companyId"], part: plan[part]}))
            }
            Style::Table(_) | Style::Markdown => {
                let mut lines = String::new();
                company(plan, told, self.style, &mut lines);
                let kept = if is_refused { &mut self.refusals } else { &mut self.details };
                if lines.is_empty() { Ok(()) } else { kept.put(&Value::String(lines)) }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changed == 0
    }

    /// Says for programs that nothing was planned, and why.
    pub(super) fn print_problems(self, problems: &Value) -> Result<(), Failure> {
        let name = match self.style {
            Style::Json => "plans",
            Style::Results => "results",
            Style::Table(_) | Style::Markdown => return Ok(()),
        };
        print_list(name, Writer::new()?, problems.as_object().unwrap_or(&Map::new()))
    }

    /// The failure of a plan of which some companies would be refused.
    pub(super) fn refusal(&self) -> Result<(), Failure> {
        match self.refused {
            0 => Ok(()),
            refused => Err(failure(format!(
                "{refused} of {} companies would be refused, and nothing was changed",
                self.companies
            ))),
        }
    }

    fn summary(&self) -> String {
        if self.changed == 0 && self.refused > 0 {
            return format!("Plan: {} of {} companies refused", self.refused, self.companies);
        }
        let mut summary = format!("Plan: {}", self.counts);
        if self.changed > 0 {
            summary += &format!(", in {} of {} companies", self.changed, self.companies);
        }
        if self.refused > 0 {
            summary += &format!("; {} refused", self.refused);
        }
        summary
    }

    pub(super) fn print(self) -> Result<(), Failure> {
        let summary = self.summary();
        match self.style {
            Style::Results => {
                let is_shown = |result: &Value| self.refused == 0 || result["error"].is_object();
                return print_listed("results", self.details, is_shown, &Map::new());
            }
            Style::Json => return print_list("plans", self.details, &Map::new()),
            Style::Table(form) => print(&form.look().heading(&summary))?,
            Style::Markdown => print(&format!("**{}**\n", escaped(&summary)))?,
        }
        for kept in [self.details, self.refusals] {
            let mut kept = Groups::of(kept.finish()?)?;
            while let Some((_, lines)) = kept.one()? {
                print(text(&lines))?;
            }
        }
        Ok(())
    }
}

/// Prints values that wait in a file as one JSON document, with other keys behind the list.
pub(super) fn print_list(
    name: &str,
    values: Writer,
    more: &Map<String, Value>,
) -> Result<(), Failure> {
    print_listed(name, values, |_| true, more)
}

fn print_listed(
    name: &str,
    values: Writer,
    is_shown: impl Fn(&Value) -> bool,
    more: &Map<String, Value>,
) -> Result<(), Failure> {
    let (mut values, mut comma) = (Groups::of(values.finish()?)?, "");
    print(&format!("{{\"{name}\": ["))?;
    while let Some((_, value)) = values.one()? {
        if !is_shown(&value) {
            continue;
        }
        print(&format!("{comma}\n{}", serde_json::to_string_pretty(&value)?))?;
        comma = ",";
    }
    let mut end = "\n]".to_owned();
    for (key, value) in more {
        end +=
            &format!(",\n{}: {}", Value::from(key.as_str()), serde_json::to_string_pretty(value)?);
    }
    print(&(end + "}\n"))
}

fn steps(plan: &Value) -> &[Value] {
    plan["steps"].as_array().map_or(&[], Vec::as_slice)
}

fn company(plan: &Value, told: &Told, style: Style, lines: &mut String) {
    let id = match text(&plan["companyId"]) {
        "" => told.label.as_str(),
        id => id,
    };
    let is_new =
        if text(&plan["base"]).is_empty() && plan["error"].is_null() { " (new)" } else { "" };
    let rows = rows(steps(plan));
    let remarks = remarks(told);
    if rows.is_empty() && remarks.is_empty() {
        return;
    }
    match style {
        Style::Json | Style::Results => {}
        Style::Table(form) => {
            lines.push('\n');
            lines.push_str(&form.look().heading(&format!("{id}{is_new}")));
            if !rows.is_empty() {
                lines.push_str(&form.table(&["", "THING", "NAME", "CHANGES"], &rows));
            }
            for remark in &remarks {
                lines.push_str(&form.look().warning(&format!("! {remark}")));
            }
        }
        Style::Markdown => {
            lines.push_str(&format!("\n### {}{is_new}\n\n", escaped(id)));
            if !rows.is_empty() {
                lines.push_str("| | thing | name | changes |\n|---|---|---|---|\n");
            }
            for row in &rows {
                let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
                lines.push_str(&format!("| {} |\n", cells.join(" | ")));
            }
            if !remarks.is_empty() {
                lines.push('\n');
            }
            remarks.iter().for_each(|one| lines.push_str(&format!("- {}\n", escaped(one))));
        }
    }
}

/// Escapes the characters that Markdown would read as its own.
fn escaped(cell: &str) -> String {
    let mut escaped = String::with_capacity(cell.len());
    for c in cell.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '~' | '&' | '!' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

fn symbol(action: &str) -> &'static str {
    match action {
        "CREATE" => "+",
        "RENAME" => ">",
        "MOVE" => "↕",
        "ARCHIVE" => "-",
        "RESTORE" => "^",
        _ => "~",
    }
}

/// A row for each step, but one for all entries of a catalog that only move.
fn rows(steps: &[Value]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut moves: Vec<(&str, Vec<String>)> = Vec::new();
    for step in steps {
        let (action, list) = (text(&step["action"]), text(&step["collection"]));
        if action == "MOVE" {
            let moved = format!("{} {}", text(&step["name"]), places(step));
            match moves.iter_mut().find(|(of, _)| *of == list) {
                Some((_, all)) => all.push(moved),
                None => moves.push((list, vec![moved])),
            }
            continue;
        }
        let place = format!("{list}/{}", text(&step["id"]));
        rows.push(vec![
            symbol(action).to_owned(),
            place,
            text(&step["name"]).to_owned(),
            changes(step),
        ]);
    }
    for (list, all) in moves {
        let named = all[..all.len().min(MOST_MOVES)].join(", ");
        let more = all.len().saturating_sub(MOST_MOVES);
        let named = if more > 0 { format!("{named} and {more} more") } else { named };
        rows.push(vec!["↕".to_owned(), list.to_owned(), "order".to_owned(), named]);
    }
    rows
}

/// The places before and after a move. People count from 1, the contract from 0.
fn places(step: &Value) -> String {
    let [from, to] = ["from", "to"].map(|key| step[key].as_i64().unwrap_or_default() + 1);
    format!("{from}→{to}")
}

fn changes(step: &Value) -> String {
    let is_made = text(&step["action"]) == "CREATE";
    let is_kept = ["UPDATE", "RENAME"].contains(&text(&step["action"]));
    let moved = (is_kept && step["from"] != step["to"]).then(|| format!("place {}", places(step)));
    let fields = step["fields"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let change = |field: &Value| {
        let [name, before, after] = ["field", "before", "after"].map(|key| text(&field[key]));
        match (is_made, name) {
            (true, "name") => None,
            (true, _) => Some(format!("{name} {after:?}")),
            (false, _) => Some(format!("{name} {before:?} → {after:?}")),
        }
    };
    let warnings = step["warnings"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let warnings = warnings
        .map(|warning| format!("{}: {}", text(&warning["reason"]), text(&warning["description"])));
    fields.filter_map(change).chain(moved).chain(warnings).collect::<Vec<_>>().join("; ")
}

/// Remarks on the document, and the reasons of a refusal.
fn remarks(told: &Told) -> Vec<String> {
    let warnings = told.warnings.iter().map(Finding::told);
    warnings.chain(told.findings.iter().map(|one| format!("refused: {}", one.told()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_one() {
        let mut step = json!({
            "action": "MOVE", "collection": "customer_tags", "id": "t", "name": "VIP", "from": 2, "to": 0,
        });
        assert_eq!(rows(std::slice::from_ref(&step))[0][3], "VIP 3→1");
        // A step that does something else may move its entry too.
        step["action"] = json!("UPDATE");
        step["fields"] = json!([{"field": "color", "before": "", "after": "#FFFFFF"}]);
        assert_eq!(rows(&[step])[0][3], "color \"\" → \"#FFFFFF\"; place 3→1");
    }
}
