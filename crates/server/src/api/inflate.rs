//! Compressed bodies and messages. Decompressed, they may be no larger than a plain body.

use std::io::Read;

use axum::body::Bytes;
use bytes::{Buf, BytesMut};
use flate2::bufread::GzDecoder;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use tonic::body::Body;

use super::frame::{HEAD_BYTES, frame_length, framed_bytes};
use crate::{
    net::Coding,
    status::{RequestError, request_status},
};

/// The most members of a gzip file. Members are complete gzip streams, one behind the other.
const MOST_MEMBERS: usize = 1_000;

/// The decompressed body of an HTTP/JSON request. The limit is that of the decompressed bytes.
pub(crate) fn body(sent: Bytes, coding: Coding, limit: usize) -> Result<Bytes, RequestError> {
    match coding {
        Coding::Identity => Ok(sent),
        Coding::Gzip => gunzip(&sent, limit),
        Coding::Unknown => Err(RequestError::UnknownEncoding { header: "content-encoding" }),
    }
}

/// A whole gRPC call, with all messages decompressed. The limit is that of all messages together.
pub(crate) fn call(sent: Bytes, coding: Coding, limit: usize) -> Result<Bytes, RequestError> {
    // Most calls are one message that is not compressed.
    if sent.first().is_none_or(|flag| *flag == 0) {
        return Ok(sent);
    }
    let (mut rest, mut made) = (sent, BytesMut::new());
    while let Some(frame) = next(&mut rest) {
        made.extend_from_slice(&plain(frame, coding, limit.saturating_sub(made.len()))?);
    }
    made.extend_from_slice(&rest);
    Ok(made.freeze())
}

/// A gRPC call that may go on for ever, with all messages decompressed.
pub(super) fn stream(sent: Body, coding: Coding, limit: usize) -> Body {
    let state = (sent, BytesMut::new());
    let frames = stream::unfold(state, move |(mut sent, mut waiting)| async move {
        loop {
            if let Some(length) = frame_length(&waiting).filter(|length| *length <= waiting.len()) {
                let plain = plain(waiting.split_to(length).freeze(), coding, limit);
                let plain = plain.map(http_body::Frame::data);
                return Some((plain.map_err(|error| request_status(&error)), (sent, waiting)));
            }
            // The library refuses a message that is too large or cut off, as it does with plain messages.
            let is_too_large = frame_length(&waiting).is_some_and(|length| length > limit);
            match sent.frame().await {
                Some(Ok(frame)) if !is_too_large => match frame.into_data() {
                    Ok(data) => waiting.extend_from_slice(&data),
                    Err(trailers) => return Some((Ok(trailers), (sent, waiting))),
                },
                Some(Err(status)) => return Some((Err(status), (sent, waiting))),
                _ if waiting.is_empty() => return None,
                _ => {
                    let rest = waiting.split().freeze();
                    return Some((Ok(http_body::Frame::data(rest)), (sent, waiting)));
                }
            }
        }
    });
    Body::new(StreamBody::new(frames))
}

/// Takes the first frame, if it is complete.
fn next(frames: &mut Bytes) -> Option<Bytes> {
    let length = frame_length(frames).filter(|length| *length <= frames.len())?;
    Some(frames.split_to(length))
}

/// A frame whose message is decompressed. The rules are those of gRPC's document on compression.
fn plain(mut frame: Bytes, coding: Coding, limit: usize) -> Result<Bytes, RequestError> {
    if frame.first() != Some(&1) {
        return Ok(frame);
    }
    frame.advance(HEAD_BYTES);
    let message = match coding {
        Coding::Gzip => gunzip(&frame, limit)?,
        Coding::Identity => return Err(RequestError::UnannouncedCompression),
        Coding::Unknown => {
            return Err(RequestError::UnknownEncoding { header: "grpc-encoding" });
        }
    };
    framed_bytes(&message).ok_or(RequestError::BodyTooLarge { limit })
}

/// Decompresses a gzip file. Its members are limited, as each takes as long for twenty bytes as for thousands.
fn gunzip(sent: &[u8], limit: usize) -> Result<Bytes, RequestError> {
    let (mut rest, mut made) = (sent, Vec::new());
    for _ in 0..MOST_MEMBERS {
        let room = u64::try_from(limit - made.len()).unwrap_or(u64::MAX).saturating_add(1);
        let mut member = GzDecoder::new(rest);
        let read = member.by_ref().take(room).read_to_end(&mut made);
        read.map_err(|_| RequestError::MalformedGzip)?;
        if made.len() > limit {
            return Err(RequestError::BodyTooLarge { limit });
        }
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(made.into());
        }
    }
    Err(RequestError::MalformedGzip)
}
#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag], &length[..], message].concat()
    }

    fn reason(refused: Result<Bytes, RequestError>) -> &'static str {
        refused.unwrap_err().reason()
    }

    #[test]
    fn what_is_compressed_may_be_as_large_as_what_is_not() {
        let (fits, too_large) = (gzip(&[b'x'; 1_000]), gzip(&[b'x'; 1_001]));
        assert_eq!(body(fits.clone().into(), Coding::Gzip, 1_000).unwrap().len(), 1_000);
        assert_eq!(reason(body(too_large.into(), Coding::Gzip, 1_000)), "BODY_TOO_LARGE");
        let twice = [fits.clone(), fits.clone()].concat();
        assert_eq!(body(twice.clone().into(), Coding::Gzip, 2_000).unwrap().len(), 2_000);
        assert_eq!(reason(body(twice.into(), Coding::Gzip, 1_999)), "BODY_TOO_LARGE");
        let member = gzip(b"");
        let members = |count: usize| Bytes::from(member.repeat(count));
        assert_eq!(body(members(MOST_MEMBERS), Coding::Gzip, 9).unwrap(), "");
        assert_eq!(reason(body(members(MOST_MEMBERS + 1), Coding::Gzip, 9)), "MALFORMED_GZIP");
        let frames = [frame(1, &fits), frame(1, &fits)].concat();
        assert_eq!(reason(call(frames.into(), Coding::Gzip, 1_500)), "BODY_TOO_LARGE");
    }

    #[test]
    fn what_is_cut_off_or_no_gzip_is_refused() {
        let whole = gzip(b"{\"companyId\":\"cmp_001\"}");
        // Nothing at all is no gzip either: those bytes got lost on their way.
        for cut in 0..whole.len() {
            let sent = Bytes::copy_from_slice(&whole[..cut]);
            assert_eq!(reason(body(sent, Coding::Gzip, 1_000)), "MALFORMED_GZIP", "{cut}");
        }
        let nothing = frame(1, b"").into();
        assert_eq!(reason(call(nothing, Coding::Gzip, 1_000)), "MALFORMED_GZIP");
        assert_eq!(reason(body("{}".into(), Coding::Gzip, 1_000)), "MALFORMED_GZIP");
        assert_eq!(reason(body("{}".into(), Coding::Unknown, 1_000)), "UNKNOWN_ENCODING");
    }

    #[test]
    fn messages_are_taken_as_grpcs_document_on_compression_says() {
        let (plain, compressed) = (frame(0, b"ab"), frame(1, &gzip(b"ab")));
        for coding in [Coding::Identity, Coding::Gzip, Coding::Unknown] {
            assert_eq!(call(plain.clone().into(), coding, 9).unwrap(), plain);
        }
        assert_eq!(call(compressed.clone().into(), Coding::Gzip, 9).unwrap(), plain);
        let refused = |coding| reason(call(compressed.clone().into(), coding, 9));
        assert_eq!(refused(Coding::Identity), "UNANNOUNCED_COMPRESSION");
        assert_eq!(refused(Coding::Unknown), "UNKNOWN_ENCODING");
    }
}
