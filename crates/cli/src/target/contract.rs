//! Methods and messages by their descriptors, and messages as JSON in protobuf's canonical form.

use customer_settings_contract::descriptors;
use customer_settings_server::{api::json::read_parsed, catalog::error::Error};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::failure::{Failure, failure};

/// A method of the management API, for example `EntryService/GetEntry`.
fn method(name: &str) -> MethodDescriptor {
    let (service, method) = name.split_once('/').unwrap_or_default();
    let service = descriptors().get_service_by_name(&format!("customersettings.v1.{service}"));
    service
        .and_then(|service| service.methods().find(|one| one.name() == method))
        .unwrap_or_else(|| unreachable!("a test holds the commands to the contract: {name}"))
}

/// A method's path on the wire.
pub(super) fn path(name: &str) -> String {
    let method = method(name);
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Whether a method changes settings or keys, so that its change has an author.
pub(super) fn is_write(name: &str) -> bool {
    method(name).input().get_field_by_name("request_id").is_some()
}

/// Makes a method's request. An argument that the method does not take is an error that names it.
pub(super) fn request(name: &str, value: &Value) -> Result<DynamicMessage, Failure> {
    let form = method(name).input();
    read_parsed(&form, value).map_err(|violations| {
        let problem = Error::Invalid(violations);
        failure(format!("this is no {}: {problem}", form.name()))
    })
}

#[cfg(test)]
pub(super) fn fields(name: &str) -> std::collections::BTreeSet<String> {
    let mut forms = vec![method(name).input()];
    let mut names = std::collections::BTreeSet::new();
    while let Some(form) = forms.pop() {
        let ours = form.full_name().starts_with("customersettings.")
            || form.full_name().starts_with("moego.");
        for field in form.fields().filter(|_| ours) {
            if names.insert(field.name().to_owned())
                && let prost_reflect::Kind::Message(inner) = field.kind()
            {
                forms.push(inner);
            }
        }
    }
    names
}

/// Whether `false`, `""` and `0` are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    Written,
    LeftOut,
}

/// A message as JSON.
pub(super) fn json(message: &DynamicMessage, defaults: Defaults) -> Result<Value, Failure> {
    let options = SerializeOptions::new().skip_default_fields(defaults == Defaults::LeftOut);
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// The typed details of a refused call as JSON, each with its `@type`.
pub(super) fn details(status_details: &[u8]) -> Vec<Value> {
    let status = descriptors().get_message_by_name("google.rpc.Status");
    let status = status.and_then(|form| DynamicMessage::decode(form, status_details).ok());
    let Some(list) = status.as_ref().and_then(|status| status.get_field_by_name("details")) else {
        return Vec::new();
    };
    let details = list.as_list().unwrap_or_default().iter();
    // A detail whose type is not in the contract is left out.
    details.filter_map(|detail| json(detail.as_message()?, Defaults::Written).ok()).collect()
}

/// The stable reason of a refused call.
pub(super) fn reason(status_details: &[u8]) -> Option<String> {
    let details = details(status_details);
    let info = details.iter().find(|detail| detail["reason"].is_string());
    info.and_then(|info| info["reason"].as_str()).map(str::to_owned)
}

/// Writes the request and reads the answer of a method, for tonic.
pub(super) struct DynamicCodec(MessageDescriptor);

impl DynamicCodec {
    pub(super) fn of(name: &str) -> Self {
        Self(method(name).output())
    }
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.0.clone())
    }
}

pub(super) struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(to).map_err(|error| Status::internal(error.to_string()))
    }
}

pub(super) struct DynamicDecoder(MessageDescriptor);

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.0.clone(), from)
            .map(Some)
            .map_err(|error| Status::internal(format!("the answer cannot be read: {error}")))
    }
}
