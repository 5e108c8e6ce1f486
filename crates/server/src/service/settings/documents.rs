//! Documents at the settings of one company: the plan of a document, and its application.

use std::{sync::Arc, time::Instant};

use super::{SettingsService, Write, Written, history};
use crate::catalog::{
    access::Grant,
    change::{Change, CompanyDraft, LoadOptions},
    error::{Cause, Error, Result},
    log::Request,
    preview::Preview,
    token::RevisionToken,
};

impl SettingsService {
    /// The plan of a document, which is not carried out.
    pub async fn preview(
        &self,
        grant: &Grant,
        document: &Arc<CompanyDraft>,
        options: &LoadOptions,
        deadline: Instant,
    ) -> Result<(Preview, Option<RevisionToken>)> {
        let change = Change::Load { document: Arc::clone(document), options: options.clone() };
        let write = Write { change, request: None, validate_only: true, deadline };
        let Some(prepared) = self.prepared(grant, &write.change).await? else {
            return Err(lost());
        };
        let current = self.writing.read(self.store.settings(grant)).await?.map(Arc::new);
        let terms = write.terms(grant);
        let planned = self.plan(grant, current.as_deref(), &prepared, &terms, true);
        match planned.await {
            Ok(plan) => {
                let preview = Preview::of(current.as_deref(), &plan, options);
                if let Some(current) = &current
                    && let (true, Some(_)) = (preview.steps.is_empty(), options.expected)
                    && let Some(undone) =
                        history::undone(&*self.store, grant, current, (document, options), &preview)
                            .await
                {
                    return Err(undone);
                }
                let token = current.as_ref().map(|held| self.snapshots.token(held.revision));
                Ok((preview, token))
            }
            Err(error) => Err(self.explained(grant, current, &write, error).await),
        }
    }

    /// Makes a company agree with a document, or answers the result of the same request before.
    pub async fn apply(
        &self,
        grant: &Grant,
        document: Arc<CompanyDraft>,
        options: LoadOptions,
        (request, deadline): (Option<Request>, Instant),
    ) -> Result<Written> {
        self.snapshots.refuse_other_epoch(grant)?;
        let change = Change::Load { document, options };
        self.written(grant, Write { change, request, validate_only: false, deadline }).await
    }

    /// Whether the company was written by this request before.
    pub async fn was_applied(&self, grant: &Grant, request: &Option<Request>) -> Result<bool> {
        let change = Change::Load { document: Arc::default(), options: LoadOptions::default() };
        let deadline = self.clock.monotonic();
        let write = Write { change, request: request.clone(), validate_only: false, deadline };
        Ok(self.writing.logged(&write.terms(grant)).await?.is_some())
    }

    async fn written(&self, grant: &Grant, write: Write) -> Result<Written> {
        self.commit(grant.clone(), write).await?.ok_or_else(lost)
    }
}

fn lost() -> Error {
    Error::Internal(Cause::new("a load found no company and made none"))
}
