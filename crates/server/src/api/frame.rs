//! The frames of gRPC messages: a byte for compression, the length, the message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// The byte for compression, and the length.
pub(crate) const HEAD_BYTES: usize = 5;

/// A frame with one message, not compressed; `None` if the message is too large for a frame.
pub(crate) fn framed(message: &impl Message) -> Option<Bytes> {
    let mut frame = begun(message.encoded_len())?;
    message.encode_raw(&mut frame);
    Some(frame.freeze())
}

/// A frame with the bytes of a message, not compressed.
pub(crate) fn framed_bytes(message: &[u8]) -> Option<Bytes> {
    let mut frame = begun(message.len())?;
    frame.extend_from_slice(message);
    Some(frame.freeze())
}

/// The head of a frame, with room for so many bytes.
fn begun(length: usize) -> Option<BytesMut> {
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).ok()?);
    Some(frame)
}

/// The length of the first frame, including its head, once the head is there.
pub(crate) fn frame_length(frames: &[u8]) -> Option<usize> {
    let ([_, a, b, c, d], _) = frames.split_first_chunk::<HEAD_BYTES>()?;
    Some((u32::from_be_bytes([*a, *b, *c, *d]) as usize).saturating_add(HEAD_BYTES))
}

/// The bytes of an answer's one message, or the problem of the frame.
pub(crate) fn unframed(frame: &[u8]) -> Result<&[u8], &'static str> {
    let Some((&[0, a, b, c, d], message)) = frame.split_first_chunk::<HEAD_BYTES>() else {
        return Err("the method answered without a message");
    };
    match u32::from_be_bytes([a, b, c, d]) as usize == message.len() {
        true => Ok(message),
        false => Err("the method's answer was cut off"),
    }
}

/// The messages of whole frames.
pub(super) fn messages(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (frame, rest) = frames.split_at_checked(frame_length(frames)?)?;
        frames = rest;
        Some(&frame[HEAD_BYTES..])
    })
}

/// Whether the last of a request's frames is cut off, or there is no frame. A frame whose head announces more than the
/// limit passes, and is refused later.
pub(crate) fn ends_within_a_frame(mut frames: &[u8], limit: usize) -> bool {
    loop {
        let Some(length) = frame_length(frames) else { return true };
        match frames.get(length..) {
            Some([]) => return false,
            Some(more) => frames = more,
            None => return length <= limit.saturating_add(HEAD_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_cut_off_anywhere_are_told_from_whole_ones() {
        let frames = [0, 0, 0, 0, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7];
        for cut in 0..=frames.len() {
            let is_whole = [7, 12, 18].contains(&cut);
            assert_eq!(ends_within_a_frame(&frames[..cut], 2), !is_whole, "{cut}");
        }
        let all: Vec<&[u8]> = messages(&frames).collect();
        assert_eq!(all, [&[1_u8, 1][..], &[], &[7]]);
        assert!(ends_within_a_frame(&[0, 0, 0, 0, 2], 2));
        assert!(!ends_within_a_frame(&[0, 0, 0, 0, 3], 2));
    }
}
