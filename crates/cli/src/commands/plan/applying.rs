//! The application of a plan: it is compared as a whole, and then written in groups.

use serde_json::{Map, Value, json};

use super::{
    APPLY, Terms, asked,
    file::PlanFile,
    lines::Writer,
    most::Most,
    shown::{self, Counts},
    text,
};
use crate::{
    failure::{Exit, Failure},
    output::{note, tell},
    target::{Client, Refused, Target, exit_of, new_request_id},
};

/// An application on its way.
pub(super) struct Applying<'a> {
    client: &'a mut Client,
    is_server: bool,
    most: Most,
    /// Whether all companies were compared with their plans, or are as they were planned just now.
    is_compared: bool,
    done: Done,
}

impl<'a> Applying<'a> {
    /// `is_fresh`: the plan was made just now, and nothing can be refused that can be known before.
    pub(super) fn new(
        client: &'a mut Client,
        target: &Target,
        is_fresh: bool,
    ) -> Result<Self, Failure> {
        let (is_server, done) = (target.is_server()?, Done::new(target.form.is_json())?);
        Ok(Self { client, is_server, most: Most::default(), is_compared: is_fresh, done })
    }

    pub(super) async fn run(mut self, file: &PlanFile) -> Result<(), Failure> {
        match self.all(file).await {
            Ok(()) => self.done.end(),
            Err(refused) => self.done.broken_off(refused),
        }
    }

    /// Applies a plan in groups. A plan that is not fresh is compared as a whole before the first group is written, so
    /// that nothing is written that stops half way for a reason that can be known before.
    async fn all(&mut self, file: &PlanFile) -> Result<(), Refused> {
        if !self.is_compared && file.has_several_groups()? {
            let mut groups = file.groups()?;
            while let group @ [_, ..] = &groups.next()?[..] {
                self.compare(group, &file.terms).await?;
            }
            self.is_compared = true;
        }
        let mut groups = file.groups()?;
        while let group @ [_, ..] = &groups.next()?[..] {
            self.write(group, &file.terms).await?;
        }
        Ok(())
    }

    async fn compare(&mut self, mut rest: &[Value], terms: &Terms) -> Result<(), Refused> {
        while !rest.is_empty() {
            let (group, others) = rest.split_at(self.most.of(rest.len()));
            let mut request = apply_request(group, terms);
            request["validate_only"] = json!(true);
            match self.client.call_told(APPLY, &request).await {
                Ok(_) => rest = others,
                Err(refused) if self.most.shrinks(group.len(), &refused) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    /// Writes companies. A request that took too long may have written some of them, each as a whole: the requests after it
    /// find these as their plan says.
    async fn write(&mut self, mut rest: &[Value], terms: &Terms) -> Result<(), Refused> {
        let mut unanswered = 0;
        while !rest.is_empty() {
            let (group, others) = rest.split_at(self.most.of(rest.len()));
            let mut request = apply_request(group, terms);
            if self.is_server {
                request["request_id"] = json!(new_request_id()?);
            }
            match self.client.call_told(APPLY, &request).await {
                Ok(answer) => {
                    self.done.take(answer, &group[..unanswered.min(group.len())])?;
                    unanswered = unanswered.saturating_sub(group.len());
                    rest = others;
                }
                Err(refused) if self.most.shrinks(group.len(), &refused) => {
                    unanswered = unanswered.max(group.len());
                    // The service compares the companies of one request alone.
                    if !self.is_compared {
                        self.compare(rest, terms).await?;
                        self.is_compared = true;
                    }
                }
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }
}

/// A request that applies companies of a plan's file.
fn apply_request(group: &[Value], terms: &Terms) -> Value {
    let company = |line: &Value| line["company"].clone();
    let digest = |line: &Value| (text(&line["company"]["id"]).to_owned(), line["digest"].clone());
    let mut request = asked(group.iter().map(company).collect(), terms);
    request["digests"] = Value::Object(group.iter().map(digest).collect());
    request
}

/// The results of an application.
struct Done {
    /// Printed at the end, where a program wants them.
    results: Option<Writer>,
    counts: Counts,
    companies: usize,
    failed: usize,
    /// The exit code of the first company that was not written.
    exit: Option<Exit>,
}

impl Done {
    fn new(is_json: bool) -> Result<Self, Failure> {
        let results = is_json.then(Writer::new).transpose()?;
        Ok(Self { results, counts: Counts::default(), companies: 0, failed: 0, exit: None })
    }

    /// Takes an answer. An earlier request about the companies of the lines `before` has no answer. If it wrote a company,
    /// this one found nothing to do, and the counts are those of the plan, which both are pinned to.
    fn take(&mut self, mut answer: Value, before: &[Value]) -> Result<(), Failure> {
        for result in answer["results"].as_array_mut().into_iter().flatten() {
            let is_it = |line: &&Value| line["company"]["id"] == result["companyId"];
            if let Some(line) = before.iter().find(is_it)
                && result["error"].is_null()
                && Counts::of(&result["counts"]).is_empty()
            {
                result["counts"] = line["counts"].clone();
            }
            if result["error"].is_object() {
                self.failed += 1;
                let (id, error) = (&result["companyId"], &result["error"]);
                self.exit.get_or_insert(exit_of(error["code"].as_i64().unwrap_or_default()));
                tell(format!(
                    "{}: {} ({})",
                    text(id),
                    text(&error["message"]),
                    text(&error["reason"])
                ));
            }
            self.counts.add(&result["counts"]);
            self.companies += 1;
            if let Some(results) = &mut self.results {
                results.put(result)?;
            }
        }
        Ok(())
    }

    /// The end where the rest was refused.
    fn broken_off(self, Refused { failure, error }: Refused) -> Result<(), Failure> {
        match self.results {
            Some(results) => {
                let error = Map::from_iter([("error".to_owned(), error)]);
                shown::print_list("results", results, &error)?;
            }
            None if self.companies > 0 => note(format!("applied before that: {}", self.counts)),
            None => {}
        }
        Err(failure)
    }

    fn end(self) -> Result<(), Failure> {
        let Self { results, counts, companies, failed, exit } = self;
        match results {
            Some(results) => shown::print_list("results", results, &Map::new())?,
            None if failed > 0 && companies == failed => {}
            None => note(format!("applied: {counts}")),
        }
        match exit {
            None => Ok(()),
            Some(exit) => {
                let message = format!("{failed} of {companies} companies were not written");
                Err(Failure { message, exit })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_that_a_request_without_an_answer_wrote_is_counted_as_its_plan() {
        let counts = |created: u64| json!({"created": created});
        let line = |id: &str| json!({"company": {"id": id}, "counts": counts(2), "digest": "d"});
        let result = |id: &str, created| json!({"companyId": id, "counts": counts(created)});
        let mut refused = result("d", 0);
        refused["error"] = json!({"code": 10, "reason": "PLAN_CHANGED", "message": "changed"});
        let answer = json!({"results": [result("a", 0), result("b", 2), refused, result("e", 0)]});
        let mut done = Done::new(false).unwrap();
        done.take(answer, &["a", "b", "d"].map(line)).unwrap();
        assert_eq!(done.counts.to_string(), "4 created");
        assert_eq!((done.companies, done.failed), (4, 1));
    }
}
