//! The methods of the contract, called in this process.

use std::convert::Infallible;

use customer_settings_contract::customersettings::v1::{
    business_service_client::BusinessServiceClient, company_service_client::CompanyServiceClient,
    entry_service_client::EntryServiceClient, history_service_client::HistoryServiceClient,
    key_service_client::KeyServiceClient, settings_service_client::SettingsServiceClient,
};
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

use super::visit::Visit;

/// The gRPC services, for the holder in the extensions of each request.
pub(crate) type Methods =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

impl Visit<'_> {
    pub(super) fn companies(&self) -> CompanyServiceClient<Methods> {
        CompanyServiceClient::new(self.methods()).max_decoding_message_size(usize::MAX)
    }

    pub(super) fn locations(&self) -> BusinessServiceClient<Methods> {
        BusinessServiceClient::new(self.methods()).max_decoding_message_size(usize::MAX)
    }

    pub(super) fn entries(&self) -> EntryServiceClient<Methods> {
        EntryServiceClient::new(self.methods()).max_decoding_message_size(usize::MAX)
    }

    pub(super) fn history(&self) -> HistoryServiceClient<Methods> {
        HistoryServiceClient::new(self.methods()).max_decoding_message_size(usize::MAX)
    }

    pub(super) fn documents(&self) -> SettingsServiceClient<Methods> {
        SettingsServiceClient::new(self.methods()).max_decoding_message_size(usize::MAX)
    }

    pub(super) fn keys(&self) -> KeyServiceClient<Methods> {
        KeyServiceClient::new(self.methods()).max_decoding_message_size(usize::MAX)
    }
}
