//! The forms of values in requests, as the contract names them: what JSON schemas say of them.
//!
//! The limits are the constants of the code that checks the values, and stand nowhere else.

use customer_settings_contract::customersettings::v1::Form;
use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Map, Value, json};

use crate::{
    api::admin::{
        filter::MOST_FILTER_BYTES,
        list::ORDERS,
        paging::{ENTRIES, ROWS},
    },
    catalog::{
        access::Scope,
        change::Ignored,
        company::{Coordinate, MAX_SHORT_TEXT_LENGTH},
        entry::Catalog,
        id::MAX_ID_LENGTH,
        log::MAX_REQUEST_ID_LENGTH,
        source::SourceKind,
        text::{MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH},
    },
};

/// The form that the contract names for a field.
pub(super) fn of(field: &FieldDescriptor) -> Form {
    if let Some(form) = of_common(field) {
        return form;
    }
    let pool = field.parent_message().parent_pool().clone();
    let Some(option) = pool.get_extension_by_name("customersettings.v1.form") else {
        return Form::Unspecified;
    };
    let number = field.options().get_extension(&option).as_enum_number();
    number.and_then(|number| Form::try_from(number).ok()).unwrap_or_default()
}

/// The form of a field of MoeGo's common messages. Our options cannot stand there: our own package imports theirs, and
/// Go has no packages that import each other.
fn of_common(field: &FieldDescriptor) -> Option<Form> {
    match field.full_name().strip_prefix("moego.common.v1.")? {
        "Pagination.page_size" => Some(Form::PageSize),
        "Pagination.page_token" => Some(Form::PageNumber),
        "Address.country" => Some(Form::Country),
        name if name.starts_with("Address.") && field.kind() == Kind::String => {
            Some(Form::ShortText)
        }
        _ => None,
    }
}

/// The values of a form that has few of them, with the name of their schema.
pub(super) fn names(form: Form) -> Option<(&'static str, Vec<&'static str>)> {
    match form {
        Form::Collection => Some(("Collection", Catalog::ALL.map(Catalog::as_str).to_vec())),
        Form::Scope => {
            Some(("Scope", Scope::ALL.iter().map(|scope| scope.as_str()).chain(["*"]).collect()))
        }
        Form::IgnoredPart => Some(("IgnoredPart", Ignored::ALL.map(Ignored::as_str).to_vec())),
        Form::SourceKind => Some(("SourceKind", SourceKind::ALL.map(SourceKind::as_str).to_vec())),
        _ => None,
    }
}

/// Adds the limits of a field's form to the schema of its value. An optional text may also be empty.
pub(super) fn constrain(
    schema: &mut Map<String, Value>,
    field: &FieldDescriptor,
    is_required: bool,
) {
    let limits = match of(field) {
        Form::Unspecified => degrees(field),
        Form::Collection | Form::Scope | Form::IgnoredPart | Form::SourceKind => json!({}),
        Form::Id => {
            json!({ "maxLength": MAX_ID_LENGTH, "pattern": filled("[A-Za-z0-9_-]", is_required) })
        }
        Form::Name => json!({ "minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": r"\S" }),
        Form::Description => json!({ "maxLength": MAX_DESCRIPTION_LENGTH }),
        Form::ShortText => json!({ "maxLength": MAX_SHORT_TEXT_LENGTH }),
        Form::Email => {
            json!({ "maxLength": MAX_SHORT_TEXT_LENGTH, "pattern": r"^\s*([^\s@]+@[^\s@]+)?\s*$" })
        }
        Form::WebAddress => json!({
            "maxLength": MAX_SHORT_TEXT_LENGTH,
            "pattern": r"^\s*([Hh][Tt][Tt][Pp][Ss]?://[^\s/?#]\S*)?\s*$",
        }),
        Form::Color => json!({ "pattern": "^(#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}))?$" }),
        Form::Network => json!({ "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$" }),
        Form::Country => json!({ "pattern": "^([A-Za-z]{2})?$" }),
        Form::RequestId => json!({ "maxLength": MAX_REQUEST_ID_LENGTH, "pattern": "^[ -~]*$" }),
        Form::PageSize => json!({ "minimum": 0, "maximum": ROWS.most }),
        Form::CatalogPageSize => json!({ "minimum": 0, "maximum": ENTRIES.most }),
        Form::PageNumber => json!({ "pattern": "^([1-9][0-9]*)?$" }),
        Form::Revision if is_required => json!({ "pattern": "^[1-9][0-9]*$" }),
        Form::Revision => json!({ "pattern": "^[0-9]+$" }),
        Form::Part => json!({ "minimum": 0 }),
        Form::Filter => json!({ "maxLength": MOST_FILTER_BYTES }),
        Form::Order => json!({ "pattern": orders() }),
        Form::DocumentVersion => json!({ "minimum": 0, "maximum": 1 }),
        Form::AddressKind => json!({ "pattern": "^(primary|secondary)?$" }),
    };
    if let Value::Object(limits) = limits {
        schema.extend(limits);
    }
}

/// The pattern of text of some characters.
fn filled(characters: &str, is_required: bool) -> String {
    format!("^{characters}{}$", if is_required { '+' } else { '*' })
}

fn orders() -> String {
    format!("^(({})( desc)?)?$", ORDERS.map(|(name, _)| name).join("|"))
}

/// Whether the field is part of a coordinate, which has both parts.
pub(super) fn is_of_coordinate(field: &FieldDescriptor) -> bool {
    field.parent_message().full_name() == "google.type.LatLng"
}

/// The range of a coordinate. Google declares the message, so that our options cannot stand there.
fn degrees(field: &FieldDescriptor) -> Value {
    let most = match field.full_name() {
        "google.type.LatLng.latitude" => Coordinate::MOST_LATITUDE,
        "google.type.LatLng.longitude" => Coordinate::MOST_LONGITUDE,
        _ => return json!({}),
    };
    json!({ "minimum": -most, "maximum": most })
}

#[cfg(test)]
mod tests {
    use customer_settings_contract::descriptors;
    use prost_reflect::MessageDescriptor;

    use super::*;
    use crate::api::{json::fields::has_behavior, openapi::comments::Comments};

    #[test]
    fn the_contract_gives_the_limits_of_the_code() {
        let comments = Comments::read(descriptors());
        let forms = descriptors().get_enum_by_name("customersettings.v1.Form").unwrap();
        let comment = |form: Form| {
            let value = forms.get_value(form.into()).unwrap();
            comments.of(&value.parent_file(), value.path()).to_owned()
        };
        let collections: Vec<String> =
            Catalog::ALL.iter().map(|catalog| format!("`{}`", catalog.as_str())).collect();
        for (form, said) in [
            (Form::Id, format!("1 to {MAX_ID_LENGTH} characters")),
            (Form::Name, format!("1 to {MAX_NAME_LENGTH} characters")),
            (Form::Description, format!("Up to {MAX_DESCRIPTION_LENGTH} characters")),
            (Form::ShortText, format!("Up to {MAX_SHORT_TEXT_LENGTH} characters")),
            (Form::Email, format!("Up to {MAX_SHORT_TEXT_LENGTH} characters")),
            (Form::WebAddress, format!("Up to {MAX_SHORT_TEXT_LENGTH} characters")),
            (Form::RequestId, format!("1 to {MAX_REQUEST_ID_LENGTH} printable")),
            (Form::PageSize, format!("0 to {}.", ROWS.most)),
            (Form::CatalogPageSize, format!("0 to {}.", ENTRIES.most)),
            (Form::Filter, format!("up to {MOST_FILTER_BYTES} bytes")),
            (Form::Collection, format!("{} or {}.", collections[..3].join(", "), collections[3])),
        ] {
            assert!(comment(form).contains(&said), "{form:?}: {} lacks {said}", comment(form));
        }
    }

    #[test]
    fn every_text_and_number_of_a_request_has_a_form() {
        /// Opaque texts that the server made, zones of a list that others keep, fields of maps, where no option can
        /// stand, and fields whose values are right only together with another field.
        const WITHOUT: [&str; 9] = [
            "etag",
            "page_token",
            "google.type.TimeZone.id",
            "DocumentCompany.timezone",
            "DigestsEntry.key",
            "DigestsEntry.value",
            "DocumentAddress.latitude",
            "DocumentAddress.longitude",
            "prune_limit",
        ];
        fn add(message: &MessageDescriptor, silent: &mut Vec<String>) {
            let is_sent = |field: &FieldDescriptor| !has_behavior(field, "OUTPUT_ONLY");
            for field in message.fields().filter(is_sent) {
                match field.kind() {
                    Kind::Message(inner) if inner.full_name().starts_with("google.protobuf.") => {}
                    Kind::Message(inner) => add(&inner, silent),
                    Kind::Bool | Kind::Enum(_) => {}
                    _ if of(&field) != Form::Unspecified || degrees(&field) != json!({}) => {}
                    _ => silent.push(field.full_name().to_owned()),
                }
            }
        }
        let mut silent = vec![];
        for service in descriptors().services() {
            service.methods().for_each(|method| add(&method.input(), &mut silent));
        }
        silent.retain(|field| {
            !WITHOUT.iter().any(|known| field == known || field.ends_with(&format!(".{known}")))
        });
        assert!(silent.is_empty(), "{silent:?}");
    }
}
