//! The text of a file, in the encodings in which spreadsheet programs write.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The text with one kind of line breaks, and the name of its encoding.
pub(super) fn decode(bytes: &[u8]) -> Result<(String, &'static str), String> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        return Err("this is a workbook, and no text: save the sheet as CSV (Excel calls it CSV UTF-8), and convert \
                    that file"
            .to_owned());
    }
    let encoding = encoding(bytes);
    let (text, is_broken) = encoding.decode_with_bom_removal(bytes);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let strange = if is_broken { '\u{fffd}' } else { '\0' };
    if let Some((before, _)) = text.split_once(strange) {
        let line = before.matches('\n').count() + 1;
        return Err(format!(
            "line {line} has bytes that are no text in {}: save the file as UTF-8",
            encoding.name()
        ));
    }
    Ok((text, encoding.name()))
}

/// The encoding by the mark at the beginning, else by the bytes. Windows-1252 is what Excel writes in the west where
/// nobody asks for UTF-8.
fn encoding(bytes: &[u8]) -> &'static Encoding {
    match *bytes {
        [0xFF, 0xFE, ..] => UTF_16LE,
        [0xFE, 0xFF, ..] => UTF_16BE,
        [0xEF, 0xBB, 0xBF, ..] => UTF_8,
        [first, 0, ..] if first != 0 => UTF_16LE,
        [0, second, ..] if second != 0 => UTF_16BE,
        _ if std::str::from_utf8(bytes).is_ok() => UTF_8,
        _ => WINDOWS_1252,
    }
}
