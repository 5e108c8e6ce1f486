//! Makes a request's message from its path, query and body.
//!
//! The body is read first, then the query, then the path. The path wins, and a body with another value is refused. The
//! rules of strict services alone are in `strict`.

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prost_reflect::{DynamicMessage, Value};

use super::{
    query,
    routes::{Binding, BodyRule},
    strict,
    template::decode,
};
use crate::{
    api::{
        inflate,
        json::{self, JsonError, fields::FieldPath, reader::Reading, values},
        large::AT_ONCE,
    },
    catalog::error::{Error, Violation},
    net::Manner,
    status::RequestError,
};

/// Why a request has no message.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The body cannot be read.
    Body(RequestError),
    /// A field is wrong.
    Field(Error),
}

impl From<JsonError> for Unreadable {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Malformed(description) => {
                Self::Body(RequestError::MalformedJson { description })
            }
            JsonError::Field(error) => Self::Field(error),
        }
    }
}

impl From<Violation> for Unreadable {
    fn from(violation: Violation) -> Self {
        Self::Field(violation.into())
    }
}

/// A body that has arrived.
pub(crate) enum Sent {
    /// A small body, not compressed.
    Small(Bytes),
    /// A large body, or a compressed body that becomes large, as it arrived.
    Large(Bytes),
}

/// Takes a body up to a limit, and always to its end, since a body that did not arrive whole must not be carried out. A
/// binding without a body ignores it, unless the binding is strict.
pub(crate) async fn read_body(
    binding: &Binding,
    manner: Manner,
    body: Body,
    limit: usize,
) -> Result<Sent, RequestError> {
    // The head may announce the length.
    if body.size_hint().lower() > limit as u64 {
        return Err(RequestError::BodyTooLarge { limit });
    }
    let bytes = collected(body, limit, 0).await?;
    if matches!(binding.body, BodyRule::Nothing) && binding.ignores_unknown {
        return Ok(Sent::Small(Bytes::new()));
    }
    manner.check_body(&bytes)?;
    match inflate::body(bytes.clone(), manner.coding, limit.min(AT_ONCE)) {
        Ok(body) if body.len() <= AT_ONCE => Ok(Sent::Small(body)),
        Ok(_) | Err(RequestError::BodyTooLarge { .. }) => Ok(Sent::Large(bytes)),
        Err(error) => Err(error),
    }
}

/// All bytes of a body. It may have `limit` bytes, beside those of its framing.
pub(crate) async fn collected<B>(
    body: B,
    limit: usize,
    framing: usize,
) -> Result<Bytes, RequestError>
where
    B: HttpBody,
    B::Error: Into<tonic::codegen::StdError>,
{
    match Limited::new(body, limit.saturating_add(framing)).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(RequestError::BodyTooLarge { limit }),
        Err(_) => Err(RequestError::BodyUnreadable),
    }
}

/// Makes the message.
pub(crate) fn message(
    binding: &Binding,
    captures: &[String],
    query: Option<&str>,
    body: &[u8],
) -> Result<DynamicMessage, Unreadable> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let query = query.unwrap_or_default();
    let mut message = if binding.ignores_unknown {
        let mut message = from_body(binding, body)?;
        add_query(binding, &mut message, query)?;
        message
    } else {
        strict::message(binding, query, body)?
    };
    add_path(binding, &mut message, captures)?;
    Ok(message)
}

fn from_body(binding: &Binding, body: &[u8]) -> Result<DynamicMessage, JsonError> {
    let input = binding.rpc.input();
    let only = match &binding.body {
        _ if body.trim_ascii().is_empty() => return Ok(DynamicMessage::new(input)),
        BodyRule::Nothing => return Ok(DynamicMessage::new(input)),
        BodyRule::Whole => None,
        BodyRule::Field(field) => Some(field),
    };
    json::read(&Reading { only, ..Reading::default() }, &input, body).map(|read| read.message)
}

fn add_path(
    binding: &Binding,
    message: &mut DynamicMessage,
    captures: &[String],
) -> Result<(), Violation> {
    for ((variable, path), raw) in
        binding.template.variables.iter().zip(&binding.variables).zip(captures)
    {
        let name = path.name();
        let text = decode(raw, variable.multiple).ok_or_else(|| query::not_text(&name))?;
        let value = values::read_text(path.leaf(), &text).map_err(|problem| {
            Violation::new(&name, "INVALID_VALUE", format!("in the path {problem}"))
        })?;
        let holder = holder(message, path);
        if holder.has_field(path.leaf()) && *holder.get_field(path.leaf()) != value {
            let problem =
                "has one value in the path and another one beside it: send it in the path only";
            return Err(Violation::new(&name, "CONFLICTING_VALUES", problem));
        }
        holder.set_field(path.leaf(), value);
    }
    Ok(())
}

fn add_query(
    binding: &Binding,
    message: &mut DynamicMessage,
    query: &str,
) -> Result<(), Violation> {
    for pair in query::pairs(query) {
        let (name, text) = pair?;
        let Some(path) = query::field(binding, &name) else { continue };
        let value = query::read(&path, text)?;
        let holder = holder(message, &path);
        match holder.get_field_mut(path.leaf()) {
            Value::List(values) => values.push(value),
            _ => holder.set_field(path.leaf(), value),
        }
    }
    Ok(())
}

/// The message that holds a path's last field. Missing messages are made.
pub(crate) fn holder<'a>(
    message: &'a mut DynamicMessage,
    path: &FieldPath,
) -> &'a mut DynamicMessage {
    let mut holder = message;
    for field in &path.0[..path.0.len() - 1] {
        let Value::Message(next) = holder.get_field_mut(field) else {
            unreachable!("FieldPath::find goes through messages only")
        };
        holder = next;
    }
    holder
}
