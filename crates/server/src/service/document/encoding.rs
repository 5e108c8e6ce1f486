//! The text of a file, in the encodings in which editors and spreadsheet programs write.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::tree::{Unreadable, unreadable};

/// The advice that is always right.
const SAVE: &str = "save the file as UTF-8";

/// A file as text.
#[derive(Debug)]
pub struct Decoded {
    /// The text, without a mark at its beginning.
    pub text: String,
    /// The name of the encoding.
    pub encoding: &'static str,
    /// Whether the bytes would also be a text in another encoding, with other letters.
    pub is_guess: bool,
}

impl Decoded {
    /// The note about an encoding that was guessed.
    pub fn note(&self) -> Option<String> {
        let encoding = self.encoding;
        self.is_guess.then(|| {
            format!("read as {encoding}, as it is no UTF-8: if letters are wrong in it, {SAVE}")
        })
    }
}

/// Reads a file as text, in UTF-8, UTF-16 or Windows-1252, which Excel writes in the west where nobody asks for UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<Decoded, Unreadable> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        let problem = "this is a workbook, and no text: save the sheet as CSV (Excel calls it CSV UTF-8), and convert that file";
        return Err(Unreadable { line: None, problem: problem.to_owned() });
    }
    // In UTF-16, every other byte of plain letters is zero, with or without a mark at the beginning.
    let encoding = match bytes[..] {
        [0xFF, 0xFE, ..] => UTF_16LE,
        [0xFE, 0xFF, ..] => UTF_16BE,
        [first, 0, ..] if first != 0 => UTF_16LE,
        [0, second, ..] if second != 0 => UTF_16BE,
        _ => UTF_8,
    };
    let decoded = match encoding == UTF_8 {
        true => utf_8_or_windows(bytes)?,
        false => decoded(encoding, &bytes),
    };
    if is_markup(&decoded.text) {
        let problem = "this is a web page or XML, and no table and no document: open the address that it came from in a \
                       browser, sign in if the page asks for it, and download the file itself (a sheet as CSV)";
        return Err(Unreadable { line: None, problem: problem.to_owned() });
    }
    let strange = decoded.text.split_once(['\0', char::REPLACEMENT_CHARACTER]);
    // A text in UTF-8 may have the replacement character itself, which the reader of its values refuses by the field.
    let strange = strange.filter(|_| encoding != UTF_8 || decoded.text.contains('\0'));
    match strange {
        None => Ok(decoded),
        Some((before, _)) => {
            let problem =
                format!("there are bytes that are no text in {}: {SAVE}", decoded.encoding);
            Err(unreadable(line_behind(before), problem))
        }
    }
}

/// Whether the text is what a web server answers to a link that is meant for browsers, or XML.
fn is_markup(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(10).collect();
    let beginnings = ["<!doctype", "<html", "<head", "<?xml", "<!--"];
    beginnings.iter().any(|beginning| start.to_ascii_lowercase().starts_with(beginning))
}

fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    let (text, _) = encoding.decode_with_bom_removal(bytes);
    let is_guess = encoding == WINDOWS_1252;
    let encoding = if is_guess { "Windows-1252" } else { encoding.name() };
    Decoded { text: text.into_owned(), encoding, is_guess }
}

fn utf_8_or_windows(bytes: Vec<u8>) -> Result<Decoded, Unreadable> {
    let bytes = match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with('\u{feff}') {
                text.remove(0);
            }
            return Ok(Decoded { text, encoding: UTF_8.name(), is_guess: false });
        }
        Err(error) => error.into_bytes(),
    };
    // Letters of UTF-8 beside a broken one: the file was damaged.
    if bytes.utf8_chunks().all(|chunk| chunk.valid().is_ascii()) {
        return Ok(decoded(WINDOWS_1252, &bytes));
    }
    let mut chunks = bytes.utf8_chunks();
    let (before, broken) = chunks.next().map(|it| (it.valid(), it.invalid())).unwrap_or_default();
    let byte = broken.first().copied().unwrap_or_default();
    let problem = format!("the byte 0x{byte:02X} is no UTF-8, as the rest of the file is: {SAVE}");
    Err(unreadable(line_behind(before), problem))
}

/// The number of the line that goes on behind a text.
fn line_behind(before: &str) -> u64 {
    1 + before.matches('\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_in_any_encoding_and_a_guess_is_told() {
        let utf_16 = |units: Vec<u16>, big: bool| -> Vec<u8> {
            let bytes = |unit: &u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            units.iter().flat_map(bytes).collect()
        };
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        for bytes in [
            utf_16(units("\u{feff}companies: []\n"), false),
            utf_16(units("\u{feff}companies: []\n"), true),
            utf_16(units("companies: []\n"), false),
            utf_16(units("companies: []\n"), true),
        ] {
            let decoded = decode(bytes.clone()).unwrap();
            assert_eq!((decoded.text.as_str(), decoded.note()), ("companies: []\n", None));
            let broken = decode(bytes[..bytes.len() - 1].to_vec()).unwrap_err().to_string();
            assert!(broken.contains("UTF-16") && broken.contains("save"), "{broken}");
        }
        let latin = decode(b"companies:\n- name: Caf\xe9 \x80\n".to_vec()).unwrap();
        assert_eq!(latin.text, "companies:\n- name: Café €\n");
        let note = latin.note().unwrap();
        assert!(note.starts_with("read as Windows-1252, as it is no UTF-8"), "{note}");
        // A file that is UTF-8 but for one place was damaged.
        let damaged = "companies:\n- name: Café\n- name: Caf".as_bytes();
        let error = decode([damaged, b"\xc3\n"].concat()).unwrap_err().to_string();
        assert!(error.starts_with("line 3: the byte 0xC3 is no UTF-8, as the rest"), "{error}");
        for (bytes, told) in [
            (&b"PK\x03\x04"[..], "workbook"),
            (b"companies:\n\x00", "line 2: there are bytes"),
            (b"\xef\xbb\xbf\n<!DOCTYPE html><title>Sign in</title>", "this is a web page"),
            (b"<HTML lang=en>", "download the file itself"),
            (b"<?xml version='1.0'?>", "web page or XML"),
        ] {
            let error = decode(bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let marked = decode(b"\xef\xbb\xbfcompanies: [{id: a}]\n".to_vec()).unwrap();
        assert_eq!((marked.text.as_str(), marked.note()), ("companies: [{id: a}]\n", None));
    }
}
