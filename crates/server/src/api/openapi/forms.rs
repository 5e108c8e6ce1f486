//! The forms of values in requests, as the contract names them: what JSON schemas say of them.
//!
//! The limits are the constants of the code that checks the values, and stand nowhere else.

use customer_settings_contract::customersettings::v1::Form;
use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Map, Value, json};

use crate::{
    api::admin::{
        filter::MOST_FILTER_BYTES,
        keys::MAX_OVERLAP_SECONDS,
        list::ORDERS,
        paging::{ENTRIES, ROWS},
    },
    catalog::{
        access::Scope,
        change::Ignored,
        company::{Coordinate, MAX_SHORT_TEXT_LENGTH},
        entry::{Catalog, MAX_ENTRIES},
        etag::Etag,
        id::MAX_ID_LENGTH,
        log::MAX_REQUEST_ID_LENGTH,
        preview::Digest,
        source::SourceKind,
        text::{MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH},
    },
};

/// The form that the contract names for a field.
pub(crate) fn of(field: &FieldDescriptor) -> Form {
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

/// The form of a field of a message in which our options cannot stand. Of MoeGo's common messages: our own package
/// imports theirs, and Go has no packages that import each other. Of Google's messages.
fn of_common(field: &FieldDescriptor) -> Option<Form> {
    match field.full_name() {
        "google.type.LatLng.latitude" => return Some(Form::Latitude),
        "google.type.LatLng.longitude" => return Some(Form::Longitude),
        _ => {}
    }
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
pub(crate) fn names(form: Form) -> Option<(&'static str, Vec<&'static str>)> {
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
    let limits = limits(of(field), is_required);
    if let Value::Object(limits) = limits {
        schema.extend(limits);
    }
}

/// The limits of a form, as keywords of JSON schemas.
pub(super) fn limits(form: Form, is_required: bool) -> Value {
    match form {
        Form::Unspecified | Form::Digests => json!({}),
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
        Form::Etag | Form::OwnEtag => json!({ "pattern": format!("^({})?$", etag()) }),
        Form::PruneLimit => json!({ "minimum": 0, "maximum": MAX_ENTRIES }),
        Form::Overlap => json!({ "pattern": format!("^({})s$", up_to(MAX_OVERLAP_SECONDS)) }),
        Form::Latitude => {
            json!({ "minimum": -Coordinate::MOST_LATITUDE, "maximum": Coordinate::MOST_LATITUDE })
        }
        Form::Longitude => {
            json!({ "minimum": -Coordinate::MOST_LONGITUDE, "maximum": Coordinate::MOST_LONGITUDE })
        }
    }
}

/// The schema of a map, beside that of its values: the ids of its keys, and the limits of its values.
pub(super) fn constrain_map(schema: &mut Value, field: &FieldDescriptor) {
    if of(field) == Form::Digests {
        schema["propertyNames"] = limits(Form::Id, true);
        schema["additionalProperties"]["pattern"] =
            json!(format!("^[0-9A-Fa-f]{{{}}}$", Digest::DIGITS));
    }
}

/// Whether only updates have the field.
pub(super) fn is_of_updates(field: &FieldDescriptor) -> bool {
    of(field) == Form::OwnEtag
}

/// The pattern of an etag, also as the value of the header `ETag`.
pub(super) fn etag() -> String {
    let tag = format!(r"[0-9A-Fa-f]{{{}}}(\.[A-Za-z0-9_-]+)?", Etag::DIGITS);
    format!(r#"(W/)?({tag}|"{tag}")"#)
}

/// The pattern of whole numbers from 0 to a number.
fn up_to(most: i64) -> String {
    let most = most.to_string();
    let digits = |count: usize| match count {
        0 => String::new(),
        1 => "[0-9]".to_owned(),
        more => format!("[0-9]{{{more}}}"),
    };
    let fewer = match most.len() {
        1 => None,
        2 => Some(digits(1)),
        length => Some(format!("[0-9]{{1,{}}}", length - 1)),
    };
    // As many digits, of which the first ones are the same, and the next one is smaller.
    let smaller = most.bytes().enumerate().filter(|(_, digit)| *digit > b'0').map(|(i, digit)| {
        let largest = char::from(digit - 1);
        format!("{}[0-{largest}]{}", &most[..i], digits(most.len() - i - 1))
    });
    fewer.into_iter().chain(smaller).chain([most.clone()]).collect::<Vec<_>>().join("|")
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
            (Form::Etag, format!(": {} hexadecimal digits", Etag::DIGITS)),
            (Form::Digests, format!(", {} hexadecimal digits", Digest::DIGITS)),
            (Form::PruneLimit, format!("0 to {MAX_ENTRIES}.")),
            (Form::Overlap, format!("0s to {MAX_OVERLAP_SECONDS}s.")),
            (Form::Latitude, format!("-{0} to {0} degrees", Coordinate::MOST_LATITUDE)),
            (Form::Longitude, format!("-{0} to {0} degrees", Coordinate::MOST_LONGITUDE)),
            (Form::Collection, format!("{} or {}.", collections[..3].join(", "), collections[3])),
        ] {
            assert!(comment(form).contains(&said), "{form:?}: {} lacks {said}", comment(form));
        }
    }

    #[test]
    fn a_pattern_takes_the_numbers_up_to_its_limit() {
        for (most, expected) in [
            (7, "[0-6]|7"),
            (30, "[0-9]|[0-2][0-9]|30"),
            (2_502, "[0-9]{1,3}|[0-1][0-9]{3}|2[0-4][0-9]{2}|250[0-1]|2502"),
        ] {
            assert_eq!(up_to(most), expected);
        }
    }

    #[test]
    fn every_text_and_number_of_a_request_has_a_form() {
        /// Opaque texts that the server made, and zones of a list that others keep.
        const WITHOUT: [&str; 3] =
            ["page_token", "google.type.TimeZone.id", "DocumentCompany.timezone"];
        /// Messages whose form is the one that JSON gives them.
        const DATES_AND_MASKS: [&str; 2] =
            ["google.protobuf.Timestamp", "google.protobuf.FieldMask"];
        fn add(message: &MessageDescriptor, silent: &mut Vec<String>) {
            let is_sent = |field: &FieldDescriptor| !has_behavior(field, "OUTPUT_ONLY");
            for field in message.fields().filter(is_sent) {
                match field.kind() {
                    _ if of(&field) != Form::Unspecified => {}
                    Kind::Message(inner) if DATES_AND_MASKS.contains(&inner.full_name()) => {}
                    Kind::Message(inner) => add(&inner, silent),
                    Kind::Bool | Kind::Enum(_) => {}
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
