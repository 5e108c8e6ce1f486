//! Reads the fields of a message from its bytes, without making the message.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The value of a field.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Numbers of fixed size, and groups.
    Other,
}

impl<'a> Part<'a> {
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) | Self::Other => None,
        }
    }
}

/// The fields, in the order of the bytes.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The number and the value of the next field. `None` if the bytes are damaged.
    pub(super) fn next(&mut self) -> Option<Option<(u32, Part<'a>)>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let (number, wire) = decode_key(&mut self.rest).ok()?;
        let part = match wire {
            WireType::Varint => Part::Number(decode_varint(&mut self.rest).ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut self.rest).ok()?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Part::Bytes(bytes)
            }
            other => {
                skip_field(other, number, &mut self.rest, DecodeContext::default()).ok()?;
                Part::Other
            }
        };
        Some(Some((number, part)))
    }
}
