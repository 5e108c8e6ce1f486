//! The four lists, answered at once: from a fresh snapshot, for a key in the cache.
//!
//! All other requests for these lists, and all refusals, go the general way (`compat`, `http`, `grpc`),
//! whose answers are the same.

use std::sync::Arc;

use customer_settings_contract::{
    descriptors, moego::business::setting::v1::ListCustomerTagsRequest,
};
use http::{Method, Response, header};
use prost::Message;
use serde::Deserialize;

use super::{finished, listed};
use crate::{
    api::{
        frame::unframed,
        guard::{Method as Called, Methods, tell},
        http::{Binding, BodyRule, bindings, rpc_path},
        marks::MIN_REVISION,
    },
    auth::Authenticator,
    catalog::{entry::Catalog, id::CompanyId},
    net::{AnswersAtOnce, Coding, Head, RouteLabel, WholeBody, WholeRequest},
    service::{settings::SettingsService, snapshot::ServedSnapshot},
    status::Protocol,
};

const SERVICE: &str = "moego.business.setting.v1.SettingService";

/// All routes to the four lists.
pub(in crate::api) struct ListsAtOnce {
    json: Vec<JsonRoute>,
    grpc: Vec<GrpcRoute>,
}

/// The parts that every route needs.
struct Lists {
    authenticator: Arc<Authenticator>,
    settings: Arc<SettingsService>,
}

impl ListsAtOnce {
    pub(in crate::api) fn new(
        called: &Methods,
        authenticator: Arc<Authenticator>,
        settings: Arc<SettingsService>,
    ) -> Self {
        let lists = Arc::new(Lists { authenticator, settings });
        let bindings = bindings(descriptors(), &[SERVICE]).unwrap_or_default();
        let json = |binding: &Binding| {
            JsonRoute::new(binding, called.get(&binding.rpc_path)?.clone(), &lists)
        };
        let json = bindings.iter().filter_map(json).collect();
        let methods = descriptors().get_service_by_name(SERVICE);
        let methods = methods.iter().flat_map(|service| service.methods());
        let grpc = methods.filter_map(|method| {
            let path = rpc_path(&method);
            let (catalog, called) = (listed(&path)?, called.get(&path)?.clone());
            Some(GrpcRoute { path, catalog, called, lists: lists.clone() })
        });
        Self { json, grpc: grpc.collect() }
    }
}

impl AnswersAtOnce for ListsAtOnce {
    fn answer(&self, request: &WholeRequest<'_>) -> Option<(RouteLabel, Response<WholeBody>)> {
        let head = request.head;
        let path = head.uri.path();
        if request.manner.protocol == Protocol::Grpc {
            let route = self.grpc.iter().find(|route| route.path == path)?;
            return Some((route.called.label.clone(), route.answer(request)?));
        }
        if request.manner.protocol != Protocol::Http {
            return None;
        }
        let route = self.json.iter().find(|route| route.fits(head.method, path))?;
        Some((route.called.label.clone(), route.answer(request)?))
    }
}

impl Lists {
    /// The company's snapshot, if nothing has to be waited for or refused.
    fn snapshot(
        &self,
        called: &Called,
        company_id: &str,
        request: &WholeRequest<'_>,
    ) -> Option<ServedSnapshot> {
        let WholeRequest { head: Head { headers, .. }, client, arrived, who, .. } = *request;
        if headers.contains_key(MIN_REVISION) {
            return None;
        }
        let id = CompanyId::parse("company_id", company_id).ok()?;
        let mut keys = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else { return None };
        self.authenticator.recognize(key.as_bytes(), client.0, arrived, |holder| {
            let caller = called.permitted(holder).ok()?;
            let snapshot = self.settings.get_at_once(&caller.grant(&id).ok()?, arrived)?;
            who.iter().for_each(|who| tell(who, &caller.actor));
            Some(snapshot)
        })
    }
}

/// One list at one path with one HTTP method.
struct JsonRoute {
    method: Method,
    /// The path before and after the company's id.
    before: String,
    after: String,
    takes_body: bool,
    catalog: Catalog,
    called: Arc<Called>,
    lists: Arc<Lists>,
}

impl JsonRoute {
    fn new(binding: &Binding, called: Arc<Called>, lists: &Arc<Lists>) -> Option<Self> {
        let (before, after) = binding.path.split_once("{company_id}")?;
        Some(Self {
            method: binding.method.clone(),
            before: before.to_owned(),
            after: after.to_owned(),
            takes_body: matches!(binding.body, BodyRule::Whole),
            catalog: listed(&binding.rpc_path)?,
            called,
            lists: lists.clone(),
        })
    }

    fn fits(&self, method: &Method, path: &str) -> bool {
        path.ends_with(&self.after) && path.starts_with(&self.before) && self.method == *method
    }

    fn answer(&self, request: &WholeRequest<'_>) -> Option<Response<WholeBody>> {
        let WholeRequest { head, manner, body, .. } = *request;
        let path = head.uri.path();
        let company_id = path.get(self.before.len()..path.len() - self.after.len())?;
        let is_common = match self.takes_body {
            true => {
                manner.coding == Coding::Identity
                    && manner.check_body(body).is_ok()
                    && CommonBody::is(body, company_id)
            }
            false => body.is_empty(),
        };
        if !is_common || head.uri.query().is_some() {
            return None;
        }
        let snapshot = self.lists.snapshot(&self.called, company_id, request)?;
        Some(finished(&snapshot, self.catalog).over_http(head.method, head.headers))
    }
}

/// The body that nearly all programs send: nothing, or the company's id once more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonBody<'a> {
    #[serde(rename = "companyId", alias = "company_id", borrow)]
    company_id: Option<&'a str>,
}

impl CommonBody<'_> {
    fn is(body: &[u8], company_id: &str) -> bool {
        body.is_empty()
            || serde_json::from_slice::<CommonBody>(body)
                .is_ok_and(|body| body.company_id.is_none_or(|id| id == company_id))
    }
}

struct GrpcRoute {
    path: String,
    catalog: Catalog,
    called: Arc<Called>,
    lists: Arc<Lists>,
}

impl GrpcRoute {
    fn answer(&self, request: &WholeRequest<'_>) -> Option<Response<WholeBody>> {
        let body = request.body;
        // The requests of the four lists have the same form.
        let company_id = ListCustomerTagsRequest::decode(unframed(body).ok()?).ok()?.company_id;
        let snapshot = self.lists.snapshot(&self.called, &company_id, request)?;
        Some(finished(&snapshot, self.catalog).over_grpc())
    }
}
