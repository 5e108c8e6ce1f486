//! The rules for any bytes from anybody, one function for each kind of bytes: the program does not panic, refusals are
//! the server's own and short, the size of an answer is bounded by the size of the request, and written text can be
//! read again. A function panics if a rule is broken.
//!
//! `fuzz/` has a target for each function, and `tests/it/fuzzing.rs` runs all of them with the other tests.
//! No other code calls them.

use std::{
    io::Cursor,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use customer_settings_contract::{customersettings::v1::ListEntriesRequest, descriptors};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    api::{
        admin::{
            list::Listing,
            paging::{Asked, ENTRIES},
        },
        frame::{HEAD_BYTES, ends_within_a_frame, framed_bytes, unframed},
        http::template::{Template, cut, decode},
        inflate,
        json::{self, JsonError, reader::Reading},
    },
    auth::credential,
    catalog::{error::Error, token::RevisionToken},
    net::{Coding, http2::wire::Wire},
    service::document,
    status::{MOST_SENT, RequestError, grpc_status, request_status},
};

/// A target.
pub type Target = fn(&[u8]);

/// All targets, by their names.
pub const TARGETS: [(&str, Target); 9] = [
    ("credential", credential),
    ("path_template", path_template),
    ("json_body", json_body),
    ("yaml_document", yaml_document),
    ("filter", filter),
    ("page_token", page_token),
    ("revision_token", revision_token),
    ("grpc_frame", grpc_frame),
    ("http2_preface", http2_preface),
];

/// The most bytes that a body may inflate to here.
const LIMIT: usize = 1 << 16;

/// A refusal has a message, and is not larger than clients accept.
fn check_refusal(status: &tonic::Status) {
    assert!(!status.message().is_empty());
    assert!(status.message().len() + status.details().len() <= MOST_SENT, "{status:?}");
}

fn check_error(error: &Error) {
    assert!(error.cause().is_none(), "nobody's fault but the caller's: {error}");
    check_refusal(&grpc_status(error));
}

/// The value of an `Authorization` header.
pub fn credential(value: &[u8]) {
    for bare in [false, true] {
        match credential::parse(value, bare) {
            Ok(credential) => {
                let secret = credential.secret.expose_secret();
                assert!(!secret.is_empty() && secret.len() <= value.len());
                check_error(&credential.if_unknown);
                let again = credential::parse(format!("Bearer {secret}").as_bytes(), bare);
                assert!(again.is_ok_and(|again| again.secret.expose_secret() == secret.trim()));
            }
            Err(error) => check_error(&error),
        }
    }
}

/// The text of a template, and a path after the end of the first line.
pub fn path_template(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (template, path) = text.split_once('\n').unwrap_or((text, "/v1/a%2Fb/c:d"));
    let decoded = decode(path, false);
    assert!(decoded.is_none_or(|decoded| decoded.len() <= path.len()));
    let (Ok(template), Some(cut)) = (Template::parse(template), cut(path)) else { return };
    let Some(captures) = template.captures(&cut) else { return };
    assert_eq!(captures.len(), template.variables.len());
    assert!(captures.iter().all(|capture| path.contains(capture)));
}

/// The number of a message's type, and then JSON.
pub fn json_body(bytes: &[u8]) {
    let messages: Vec<MessageDescriptor> = descriptors().all_messages().collect();
    let Some((first, sent)) = bytes.split_first() else { return };
    let descriptor = &messages[usize::from(*first) % messages.len()];
    let check = |error: JsonError| match error {
        JsonError::Malformed(description) => {
            check_refusal(&request_status(&RequestError::MalformedJson { description }));
        }
        JsonError::Field(error) => check_error(&error),
    };
    let read = |is_strict| {
        let how = Reading { is_strict, ..Reading::default() };
        json::read(&how, descriptor, sent).map(|read| read.message)
    };
    match (read(true), read(false)) {
        // Bytes that the strict reader accepts have the same meaning for the other reader.
        (Ok(strict), Ok(message)) => {
            assert_eq!(strict, message);
            check_json_of(&message, sent.len());
        }
        (Ok(_), Err(error)) => panic!("refused only where more is allowed: {error:?}"),
        (Err(error), Ok(message)) => {
            check(error);
            check_json_of(&message, sent.len());
        }
        (Err(strict), Err(error)) => [strict, error].into_iter().for_each(check),
    }
}

fn check_json_of(message: &DynamicMessage, sent: usize) {
    // A message that cannot be written has values that only answers may have, such as a moment far in the future.
    let Ok(written) = json::write(message, None) else { return };
    assert!(written.len() <= 4_096 + 1_024 * sent, "{sent} bytes became {}", written.len());
    let again = json::read(&Reading::default(), &message.descriptor(), &written);
    assert_eq!(
        again.ok().map(|again| again.message.encode_to_vec()),
        Some(message.encode_to_vec())
    );
}

/// A document in the form of `load`.
pub fn yaml_document(bytes: &[u8]) {
    let parsed =
        document::decode(bytes.to_vec()).and_then(|decoded| document::parse(&decoded.text));
    match parsed {
        Ok(companies) => {
            for (index, company) in companies.enumerate() {
                assert!(index < bytes.len());
                let told = company.problems.told();
                assert!(told.iter().all(|problem| problem.to_string().len() < 2_000));
            }
        }
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && told.len() < 100_000, "{} bytes", told.len());
        }
    }
}

/// Lines: a filter, an order, and a page token.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n').map(str::to_owned);
    let mut line = || lines.next().unwrap_or_default();
    let request = ListEntriesRequest {
        filter: line(),
        order_by: line(),
        page_token: line(),
        ..ListEntriesRequest::default()
    };
    if let Err(error) = Listing::parse(request) {
        check_error(&error);
    }
}

/// A page token, and the place that a token is made of.
pub fn page_token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let query = ListEntriesRequest::default();
    let asked = |token: &str| Asked::parse("Fuzzed", &query, (0, token), ENTRIES);
    for token in [text, asked("").map(|first| first.token(text)).unwrap_or_default().as_str()] {
        let listing =
            Listing::parse(ListEntriesRequest { page_token: token.to_owned(), ..query.clone() });
        match (asked(token), listing) {
            (Ok(_), Ok(_)) => assert!(token.is_empty(), "no digest is that of two lists"),
            (ours, theirs) => ours.err().iter().chain(&theirs.err()).for_each(check_error),
        }
    }
    let place = asked("").and_then(|first| asked(&first.token(text)));
    let place = place
        .and_then(|asked| asked.after(1, |words| words.first().map(|word| (*word).to_owned())));
    assert!(place.is_ok_and(|place| place.as_deref() == Some(text)));
}

/// A revision token.
pub fn revision_token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match RevisionToken::parse("revision", text) {
        Ok(token) => assert_eq!(RevisionToken::parse("revision", &token.to_string()), Ok(token)),
        Err(violation) => check_error(&Error::Invalid(vec![violation])),
    }
}

/// The frames of a call.
pub fn grpc_frame(bytes: &[u8]) {
    if let Ok(message) = unframed(bytes) {
        assert_eq!(framed_bytes(message).as_deref(), Some(bytes));
    }
    let framed = framed_bytes(bytes).unwrap_or_default();
    assert_eq!(unframed(&framed), Ok(bytes));
    assert!(!ends_within_a_frame(&framed, bytes.len()));
    assert!(ends_within_a_frame(&framed[..framed.len() - 1], bytes.len()));
    // One byte more begins another frame.
    assert!(ends_within_a_frame(&[&framed[..], &[0]].concat(), bytes.len()));
    for coding in [Coding::Identity, Coding::Gzip, Coding::Unknown] {
        let sent = Bytes::copy_from_slice(bytes);
        match inflate::call(sent.clone(), coding, LIMIT) {
            Ok(call) => assert!(call.len() <= LIMIT + HEAD_BYTES + bytes.len()),
            // gRPC's document on compression asks for this code.
            Err(error) => assert!(!request_status(&error).message().is_empty()),
        }
        match inflate::body(sent, coding, LIMIT) {
            Ok(body) => assert!(body.len() <= LIMIT.max(bytes.len())),
            Err(error) => check_refusal(&request_status(&error)),
        }
    }
}

/// The first bytes of a client, read in pieces of any size.
pub fn http2_preface(bytes: &[u8]) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let Some((piece, said)) = bytes.split_first() else { return };
    for said in [said.to_vec(), [PREFACE, said].concat()] {
        let whole = passed(&said, said.len().max(1));
        assert_eq!(whole.is_http2, said.starts_with(PREFACE));
        let in_pieces = passed(&said, usize::from(*piece) + 1);
        assert!(in_pieces.read <= whole.read);
        // A flood is recognized in pieces as in one read. In pieces it may be recognized earlier;
        // other results are equal.
        assert!(in_pieces.is_flooding == whole.is_flooding);
        assert!(in_pieces == whole || whole.is_flooding);
    }
}

/// The state of a stream after these bytes were read in pieces of this size.
fn passed(said: &[u8], piece: usize) -> crate::net::http2::wire::Passed {
    let mut wire = Wire::new(Cursor::new(said.to_vec()), 1);
    let mut context = Context::from_waker(Waker::noop());
    let mut buffer = vec![0; piece];
    loop {
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut wire).poll_read(&mut context, &mut read);
        let is_over = !matches!(polled, Poll::Ready(Ok(()))) || read.filled().is_empty();
        if let (true, Ok(passed)) = (is_over, wire.end_poll(0, &mut context)) {
            return passed;
        }
    }
}
