//! The four lists: made with a snapshot, finished in every form that is sent, and answered at once where nothing has
//! to be waited for or refused.

pub(crate) mod at_once;
mod direct;
pub mod finished;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use axum::body::Body;
use customer_settings_contract::descriptors;
use http::{Response, request::Parts};
use prost_reflect::{DynamicMessage, MethodDescriptor};

use self::{direct::DirectJson, finished::FinishedList};
use super::{
    compat::Compat,
    convert,
    frame::{framed, unframed},
    guard,
    http::{FinishedAnswers, rpc_path},
    marks::mark,
};
use crate::{
    catalog::{
        entry::Catalog,
        error::{Cause, Error, Result},
        settings::Settings,
        token::RevisionToken,
    },
    service::snapshot::{Rendered, ServedSnapshot},
};

/// The four lists over HTTP/JSON, from the snapshot's finished bytes.
pub(super) struct FinishedLists(pub(super) Compat);

/// The catalog that a method lists.
pub(super) fn listed(rpc_path: &str) -> Option<Catalog> {
    match rpc_path.strip_prefix("/moego.business.setting.v1.SettingService/")? {
        "ListCustomerTags" => Some(Catalog::CustomerTags),
        "ListCustomerReferralSources" => Some(Catalog::ReferralSources),
        "ListLeadsLifeCycles" => Some(Catalog::LifeCycles),
        "ListLeadsActionStatus" => Some(Catalog::ActionStatuses),
        _ => None,
    }
}

#[async_trait]
impl FinishedAnswers for FinishedLists {
    fn handles(&self, rpc_path: &str) -> bool {
        listed(rpc_path).is_some()
    }

    async fn answer(
        &self,
        rpc_path: &str,
        request: &DynamicMessage,
        head: &Parts,
    ) -> Result<Response<Body>> {
        let catalog =
            listed(rpc_path).ok_or_else(|| Error::Internal(Cause::new("not one of the lists")))?;
        let caller = guard::caller(&head.extensions)?;
        let company_id = request.get_field_by_name("company_id");
        let company_id = company_id.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        let snapshot = self.0.snapshot(caller, company_id).await?;
        let mut response = finished(&snapshot, catalog).over_http(&head.method, &head.headers);
        mark(response.headers_mut(), snapshot.marks());
        Ok(response)
    }
}

/// A company's list in the form that the snapshot stores. Its bytes are those that the transcoder
/// and tonic would write.
pub fn finished_list(epoch: u64, settings: &Settings, catalog: Catalog) -> Rendered {
    let grpc = match catalog {
        Catalog::CustomerTags => framed(&convert::customer_tags(settings)),
        Catalog::ReferralSources => framed(&convert::referral_sources(settings)),
        Catalog::LifeCycles => framed(&convert::life_cycles(settings)),
        Catalog::ActionStatuses => framed(&convert::action_statuses(settings)),
    };
    let grpc = grpc.unwrap_or_else(|| unreachable!("lists are bounded"));
    let json = unframed(&grpc).ok().and_then(|message| JSON[catalog.index()].write(message));
    let json = json.unwrap_or_else(|| unreachable!("these bytes were just made"));
    let token = RevisionToken { epoch, revision: settings.revision };
    Arc::new(FinishedList::new(token, json, grpc))
}

/// The list in a snapshot, which [`finished_list`] made.
pub(super) fn finished(snapshot: &ServedSnapshot, catalog: Catalog) -> &FinishedList {
    let list = snapshot.list(catalog).downcast_ref();
    list.unwrap_or_else(|| unreachable!("snapshots are rendered by finished_list"))
}

/// The JSON writers of the four lists.
static JSON: LazyLock<[DirectJson; 4]> = LazyLock::new(|| {
    Catalog::ALL.map(|catalog| {
        let services = descriptors().services();
        let mut methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let lists = |method: &MethodDescriptor| listed(&rpc_path(method)) == Some(catalog);
        let message = methods.find(lists).map(|method| method.output());
        message
            .and_then(|message| DirectJson::new(&message))
            .unwrap_or_else(|| unreachable!("the contract lists {catalog}"))
    })
});
