//! How gRPC frames a message: whether it is compressed, its length, its bytes.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// Whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// One message, not compressed; `None` if it is too large for a frame.
pub(super) fn framed(message: &impl Message) -> Option<Bytes> {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).ok()?);
    message.encode_raw(&mut frame);
    Some(frame.freeze())
}

/// The bytes of the one message, or what is wrong with the frame where it is an answer.
pub(super) fn unframed(frame: &[u8]) -> Result<&[u8], &'static str> {
    let Some((&[0, a, b, c, d], message)) = frame.split_first_chunk::<HEAD_BYTES>() else {
        return Err("the method answered without a message");
    };
    match u32::from_be_bytes([a, b, c, d]) as usize == message.len() {
        true => Ok(message),
        false => Err("the method's answer was cut off"),
    }
}
