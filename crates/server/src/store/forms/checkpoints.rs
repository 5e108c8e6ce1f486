//! The body of a checkpoint: the body of a log line that would make the whole state, compressed.

use std::io::{Read, Write};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};

use super::{StoreError, decode_changes, encode_changes, not_as_written};
use crate::catalog::delta::Delta;

/// The most bytes of a decompressed body: ten times as many as the largest company has.
const MOST_BYTES: u64 = 128 << 20;

/// The stored form of a state.
pub(in crate::store) fn deflate(deltas: &[Delta]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written =
        encoder.write_all(encode_changes(deltas).as_bytes()).and_then(|()| encoder.finish());
    written.unwrap_or_else(|error| unreachable!("memory is there: {error}"))
}

/// Reads the output of [`deflate`].
pub(super) fn inflate(body: &[u8]) -> Result<Vec<Delta>, StoreError> {
    let mut text = String::new();
    GzDecoder::new(body).take(MOST_BYTES).read_to_string(&mut text).map_err(not_as_written)?;
    decode_changes(&text)
}
