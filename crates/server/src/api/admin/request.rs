//! The parts that the methods of the management API share: the way of every read and every write, the caller, etags,
//! request ids, dry runs, and the revision to read.

use std::time::Instant;

use customer_settings_contract::customersettings::v1;
use http::Extensions;
use prost::Message;
use prost_types::FieldMask;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::Admin;
use crate::{
    api::{
        guard,
        marks::{mark, marked},
    },
    catalog::{
        access::Caller,
        change::{Change, Step},
        entry::{Catalog, Revision},
        error::{Cause, Error, Result, Violation, Violations},
        etag::Etag,
        id::{CompanyId, KeyId, StaffId},
        log::{self, RequestId},
        near::nearest,
        settings::Settings,
        time::Timestamp,
    },
    net::Deadline,
    service::{
        history::Filter,
        settings::{AsOf, MOST_AT_ONCE, Write, Written},
        snapshot::Marks,
    },
    status::{grpc_status, quoted},
};

/// The header of an answer that repeats the answer of an earlier request with the same id.
const REPLAYED: &str = "idempotency-replayed";

/// A request about one company.
pub(super) trait OfCompany: Message {
    /// The company's id as it was sent.
    fn company_id(&self) -> &str;
}

/// A request for a page of a log.
pub(super) trait OfLog: Message {
    /// The acting key's id and the author as they were sent.
    fn actor(&self) -> (&str, &str);

    /// The first moment of the lines, and the moment after their last one.
    fn times(&self) -> [Option<prost_types::Timestamp>; 2];
}

/// A request that writes.
pub(super) trait Writes: Message {
    /// The message's name, which distinguishes methods in the log.
    const NAME: &'static str;

    /// The request's id.
    fn request_id(&self) -> &str;

    /// Takes the request's id out: the log compares requests without their ids.
    fn take_request_id(&mut self) -> String;

    /// The etags by which the caller says what it knows: the request's own, and that of the resource within it. Empty
    /// texts count as none.
    fn etags(&self) -> [&str; 2];

    /// Whether the write is a dry run.
    fn validate_only(&self) -> bool;
}

/// Implements the traits for messages with these fields. A macro, since a function cannot name a field of any message.
macro_rules! requests {
    (of a company: $($company:ident)+; of a log: $($log:ident)+; makes: $($make:ident)+; changes: $($change:ident)+;
     updates: $($update:ident $resource:ident,)+) => {
        $(impl OfCompany for v1::$company {
            fn company_id(&self) -> &str {
                &self.company_id
            }
        })+
        $(impl OfLog for v1::$log {
            fn actor(&self) -> (&str, &str) {
                (&self.key_id, &self.staff_id)
            }

            fn times(&self) -> [Option<prost_types::Timestamp>; 2] {
                [self.from_time, self.until_time]
            }
        })+
        $(requests!(write: $make |_sent| ["", ""]);)+
        $(requests!(write: $change |sent| [&sent.etag, ""]);)+
        $(requests!(write: $update |sent| {
            [&sent.etag, sent.$resource.as_ref().map_or("", |resource| &resource.etag)]
        });)+
    };
    (write: $write:ident |$sent:ident| $etags:expr) => {
        impl Writes for v1::$write {
            const NAME: &'static str = stringify!($write);

            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn take_request_id(&mut self) -> String {
                std::mem::take(&mut self.request_id)
            }

            fn etags(&self) -> [&str; 2] {
                let $sent = self;
                $etags
            }

            fn validate_only(&self) -> bool {
                self.validate_only
            }
        }
    };
}

requests! {
    of a company:
        ArchiveBusinessRequest ArchiveCompanyRequest ArchiveEntryRequest BatchChangeEntriesRequest
        CreateBusinessRequest CreateEntryRequest DeleteEntryRequest GetBusinessRequest GetChangeRequest
        GetCompanyRequest GetEntryRequest ListBusinessesRequest ListChangesRequest ListEntriesRequest
        ReorderEntriesRequest ReportSourceCheckRequest RestoreBusinessRequest RestoreCompanyRequest
        RestoreEntryRequest RollBackRequest UndoChangeRequest UpdateBusinessRequest UpdateCompanyRequest UpdateEntryRequest;
    of a log:
        ListChangesRequest ListKeyChangesRequest;
    makes:
        ApplySettingsRequest CreateBusinessRequest CreateCompanyRequest CreateKeyRequest;
    changes:
        ArchiveBusinessRequest ArchiveCompanyRequest ArchiveEntryRequest BatchChangeEntriesRequest
        CreateEntryRequest CreateSignInLinkRequest DeleteEntryRequest ReorderEntriesRequest RestoreBusinessRequest
        RestoreCompanyRequest RestoreEntryRequest RevokeKeyRequest RollBackRequest RotateKeyRequest
        UndoChangeRequest;
    updates:
        UpdateBusinessRequest business, UpdateCompanyRequest company, UpdateEntryRequest entry,
        UpdateKeyRequest key,
}

/// A request in parts: its message and its metadata.
pub(super) struct Envelope<M> {
    /// The message of a write has no request id any more.
    pub(super) message: M,
    request_id: String,
    metadata: MetadataMap,
    extensions: Extensions,
}

impl<M> Envelope<M> {
    /// Opens a request that reads.
    pub(super) fn open(request: Request<M>) -> Self {
        let (metadata, extensions, message) = request.into_parts();
        Self { message, request_id: String::new(), metadata, extensions }
    }

    pub(super) fn caller(&self) -> Result<&Caller> {
        guard::caller(&self.extensions)
    }

    /// The moment by which the request must be answered.
    pub(super) fn deadline(&self) -> Result<Instant> {
        let deadline = self.extensions.get::<Deadline>().map(|deadline| deadline.0);
        let without = || Error::Internal(Cause::new("a method was reached without a deadline"));
        deadline.ok_or_else(without)
    }

    fn header(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.metadata.get(name) else { return Ok(None) };
        let text = value.to_str().map_err(|_| {
            Violation::new(name, "MALFORMED_HEADER", "must be printable ASCII characters")
        })?;
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }
}

impl<M: OfCompany> Envelope<M> {
    /// The company that the request is about.
    pub(super) fn company(&self) -> Result<CompanyId> {
        Ok(CompanyId::parse("company_id", self.message.company_id())?)
    }
}

impl<M: Writes> Envelope<M> {
    /// Opens a request that writes.
    pub(super) fn open_write(request: Request<M>) -> Self {
        let mut envelope = Self::open(request);
        envelope.request_id = envelope.message.take_request_id();
        envelope
    }

    /// The request id, from its field or from `Idempotency-Key`.
    pub(super) fn request_id(&self) -> Result<Option<RequestId>> {
        let parse = |id: &str| RequestId::parse("request_id", id);
        let field = Some(&*self.request_id).filter(|id| !id.is_empty()).map(parse).transpose()?;
        let header = self.header(guard::IDEMPOTENCY_KEY)?.map(parse).transpose()?;
        match (field, header) {
            (Some(field), Some(header)) if field != header => {
                let description = "differs from the header Idempotency-Key: send it in one place";
                Err(Error::invalid("request_id", "CONFLICTING_VALUES", description))
            }
            (field, header) => Ok(field.or(header)),
        }
    }

    /// The etag that the caller knows, from one of the fields or from `If-Match`.
    pub(super) fn etag(&self) -> Result<Option<Etag>> {
        let header = self.header("if-match")?.filter(|tag| *tag != "*");
        one_etag(self.message.etags().into_iter().chain(header))
    }

    /// The request for the change log, if it has an id.
    pub(super) fn log_request(&self) -> Result<Option<log::Request>> {
        let id = self.request_id()?;
        let digest = || {
            let mut hash = Sha256::new();
            hash.update(M::NAME);
            hash.update([0]);
            hash.update(self.header("if-match").ok().flatten().unwrap_or_default());
            hash.update([0]);
            hash.update(self.message.encode_to_vec());
            hash.finalize().into()
        };
        Ok(id.map(|id| log::Request { id, digest: digest() }))
    }
}

/// A change of one step.
pub(super) fn one_step(step: Step) -> Change {
    Change::Steps { etag: None, steps: vec![step], is_batch: false }
}

impl Admin {
    /// Answers a request with the message that `show` makes of the company's settings. `asked` returns the revision to
    /// read, and the arguments of `show`.
    pub(super) async fn read<M: OfCompany, A: Send + 'static, T: Send + 'static>(
        &self,
        request: Request<M>,
        asked: impl FnOnce(M) -> Result<(AsOf, A)>,
        show: impl FnOnce(&Settings, A) -> Result<T> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        self.read_rows(request, asked, |_, _| 1, show).await
    }

    /// The same for an answer with many rows: `rows` says how many are looked at. If they are many, the answer is made
    /// as long work.
    pub(super) async fn read_rows<M: OfCompany, A: Send + 'static, T: Send + 'static>(
        &self,
        request: Request<M>,
        asked: impl FnOnce(M) -> Result<(AsOf, A)>,
        rows: impl FnOnce(&Settings, &A) -> usize,
        show: impl FnOnce(&Settings, A) -> Result<T> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let envelope = Envelope::open(request);
        let read = async {
            let company = envelope.company()?;
            let (caller, deadline) = (envelope.caller()?.clone(), envelope.deadline()?);
            let (as_of, asked) = asked(envelope.message)?;
            let read = self.0.settings.read(&caller, &company, as_of, deadline);
            let (settings, marks) = read.await?;
            let takes_long = rows(&settings, &asked) > MOST_AT_ONCE;
            let show = async move { show(&settings, asked) };
            let key = caller.actor.key_id.as_ref();
            Ok((marks, self.0.long_work.run_if(takes_long, key, deadline, show).await?))
        };
        marked(read.await)
    }

    /// Makes the one step that a request asks for, with the etag that its caller knows.
    pub(super) async fn step<M: Writes + OfCompany, T>(
        &self,
        request: Request<M>,
        step: impl FnOnce(&M, Option<Etag>) -> Result<Step>,
        show: impl FnOnce(&M, &Written) -> Result<T>,
    ) -> Result<Response<T>, Status> {
        let change = |sent: &Envelope<M>| {
            let mut wrong = Violations::default();
            let etag = wrong.check(sent.etag()).flatten();
            let step = wrong.check(step(&sent.message, etag));
            wrong.finish(|| step.map(one_step))
        };
        self.write(request, change, show).await
    }

    /// Makes the write of a request, and answers with the message that `show` makes of the settings after it.
    pub(super) async fn write<M: Writes + OfCompany, T>(
        &self,
        request: Request<M>,
        change: impl FnOnce(&Envelope<M>) -> Result<Change>,
        show: impl FnOnce(&M, &Written) -> Result<T>,
    ) -> Result<Response<T>, Status> {
        let envelope = Envelope::open_write(request);
        let made = self.write_to(envelope.company(), &envelope, change, show);
        written(made.await)
    }

    /// Makes a write to this company. The refusal of a request names all that is wrong in it.
    pub(super) async fn write_to<M: Writes, T>(
        &self,
        company: Result<CompanyId>,
        envelope: &Envelope<M>,
        change: impl FnOnce(&Envelope<M>) -> Result<Change>,
        show: impl FnOnce(&M, &Written) -> Result<T>,
    ) -> Result<(Written, T)> {
        let mut wrong = Violations::default();
        let (company, change) = (wrong.check(company), wrong.check(change(envelope)));
        let request = wrong.check(envelope.log_request());
        let (company, change, request) = wrong.finish(|| Some((company?, change?, request?)))?;
        let validate_only = envelope.message.validate_only();
        let write = Write { change, request, validate_only, deadline: envelope.deadline()? };
        let written = self.0.settings.write(envelope.caller()?, &company, write).await?;
        let shown = show(&envelope.message, &written)?;
        Ok((written, shown))
    }
}

/// The one etag among the sent texts. Empty texts count as none.
pub(super) fn one_etag<'a>(sent: impl IntoIterator<Item = &'a str>) -> Result<Option<Etag>> {
    let mut found: Option<Etag> = None;
    for text in sent.into_iter().filter(|text| !text.is_empty()) {
        let etag = Etag::parse("etag", text)?;
        if found.as_ref().is_some_and(|found| *found != etag) {
            let description = "is given more than once, with different values";
            return Err(Error::invalid("etag", "CONFLICTING_VALUES", description));
        }
        found = Some(etag);
    }
    Ok(found)
}

/// The catalog with this collection name.
pub(super) fn catalog(collection: &str) -> Result<Catalog> {
    Catalog::parse(collection).ok_or_else(|| {
        let names = Catalog::ALL.map(Catalog::as_str);
        let near = nearest(collection, names);
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        let (sent, known) = (quoted(collection), names.join(", "));
        let description = format!("\"{sent}\" is no collection; there are {known}{hint}");
        Error::invalid("collection", "UNKNOWN_COLLECTION", description)
    })
}

/// Refuses the etag of a thing that does not exist yet.
pub(super) fn refuse_etag(field: &str, etag: &str, hint: &str) -> Result<()> {
    if etag.is_empty() {
        return Ok(());
    }
    let description = format!("must be left out, as what is to be made has no etag yet{hint}");
    Err(Error::invalid(field, "NO_ETAG_YET", description))
}

/// Refuses an id within a new thing: the request itself has a field for it.
pub(super) fn id_of_new(field: &str, sent: &str, asked: &str, parameter: &str) -> Result<()> {
    if asked.is_empty() && !sent.is_empty() {
        let description = format!("is not taken from there: give the new id as {parameter}");
        return Err(Error::invalid(field, "CONFLICTING_VALUES", description));
    }
    same_id(field, sent, asked)
}

/// Refuses an id within a resource that differs from the id of the request.
pub(super) fn same_id(field: &str, sent: &str, own: &str) -> Result<()> {
    if sent.is_empty() || own.is_empty() || sent == own {
        return Ok(());
    }
    let description = "differs from the id that the request itself has, and ids never change";
    Err(Error::invalid(field, "CONFLICTING_VALUES", description))
}

/// A value that a request must have.
pub(super) fn required<T>(field: &str, given: Option<T>) -> Result<T> {
    given.ok_or_else(|| Error::invalid(field, "REQUIRED", "is required"))
}

/// A value that may be left out, as an empty text.
pub(super) fn optional<T>(
    field: &str,
    text: &str,
    parse: impl FnOnce(&str, &str) -> Result<T, Violation>,
) -> Result<Option<T>, Violation> {
    Some(text).filter(|text| !text.is_empty()).map(|text| parse(field, text)).transpose()
}

/// A revision in a request.
pub(super) fn revision(number: i64) -> Result<Revision> {
    u64::try_from(number).ok().filter(|number| *number > 0).map(Revision).ok_or_else(|| {
        Error::invalid("revision", "OUT_OF_RANGE", "must be a revision: 1, 2, 3 and so on")
    })
}

/// The revision to read.
pub(super) fn as_of(number: i64, read_time: Option<prost_types::Timestamp>) -> Result<AsOf> {
    match (number, read_time) {
        (0, None) => Ok(AsOf::Now),
        (number, None) => Ok(AsOf::Revision(revision(number)?)),
        (0, Some(time)) => Ok(AsOf::Time(moment("read_time", time)?)),
        (_, Some(_)) => {
            let description = "must not be given together with revision";
            Err(Error::invalid("read_time", "CONFLICTING_VALUES", description))
        }
    }
}

/// Which lines of a log are listed: of which key and author, and from when until when.
pub(super) fn line_filter(sent: &impl OfLog) -> Result<Filter> {
    // Lines have whole microseconds: those from a moment on are those from the next whole one on.
    let bound = |field: &str, time: Option<prost_types::Timestamp>| {
        let bound = |time: prost_types::Timestamp| {
            let rest = i64::from(time.nanos % 1_000 > 0);
            let whole = moment(field, time)?;
            Ok::<_, Violation>(Timestamp::from_micros(whole.as_micros() + rest))
        };
        time.map(bound).transpose()
    };
    let ((key, staff), [from, until]) = (sent.actor(), sent.times());
    let exact = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
    let is_backward = from.zip(until).is_some_and(|(from, until)| exact(&from) >= exact(&until));
    let mut wrong = Violations::default();
    let (from, until) = (bound("from_time", from), bound("until_time", until));
    if is_backward && from.is_ok() && until.is_ok() {
        let description = "must be after from_time, as it is the moment after the last change";
        wrong.note(Violation::new("until_time", "CONFLICTING_VALUES", description));
    }
    let (from, until) = (wrong.check(from), wrong.check(until));
    let key = wrong.check(optional("key_id", key, KeyId::parse));
    let staff = wrong.check(optional("staff_id", staff, StaffId::parse));
    wrong.finish(|| {
        Some(Filter { subject: None, key: key?, staff: staff?, from: from?, until: until? })
    })
}

/// A moment in a request, within the years that RFC 3339 can write.
pub(super) fn moment(field: &str, time: prost_types::Timestamp) -> Result<Timestamp, Violation> {
    const END_OF_YEAR_9999: i64 = 253_402_300_799;
    let is_written =
        (0..=END_OF_YEAR_9999).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    if !is_written {
        let description = "must be a time from 1970 to 9999";
        return Err(Violation::new(field, "OUT_OF_RANGE", description));
    }
    Ok(Timestamp::from_micros(time.seconds * 1_000_000 + i64::from(time.nanos / 1_000)))
}

/// The fields that a request changes: those of its mask, or without a mask those that it has.
pub(super) struct Mask<'a> {
    paths: Option<&'a [String]>,
}

impl<'a> Mask<'a> {
    /// Parses a mask of these fields, or of all of them (`*`).
    pub(super) fn parse(mask: Option<&'a FieldMask>, known: &[&str]) -> Result<Self> {
        let paths = mask.map(|mask| &mask.paths[..]).filter(|paths| !paths.is_empty());
        let is_known = |path: &&String| *path != "*" && !known.contains(&path.as_str());
        if let Some(path) = paths.unwrap_or_default().iter().find(is_known) {
            let (path, known) = (quoted(path), known.join(", "));
            let description = format!("names {path}, which cannot be set; there are {known} and *");
            return Err(Error::invalid("update_mask", "UNKNOWN_FIELD", description));
        }
        Ok(Self { paths })
    }

    /// Whether the request changes the field.
    pub(super) fn takes(&self, field: &str, is_present: bool) -> bool {
        match self.paths {
            None => is_present,
            Some(paths) => paths.iter().any(|path| path == "*" || path == field),
        }
    }

    /// The field's new value, made from the sent one. A missing value counts as empty.
    pub(super) fn take<T: Clone + Default, U>(
        &self,
        field: &str,
        sent: Option<&T>,
        parse: impl FnOnce(T) -> Result<U, Violation>,
    ) -> Result<Option<U>> {
        if !self.takes(field, sent.is_some()) {
            return Ok(None);
        }
        Ok(Some(parse(sent.cloned().unwrap_or_default())?))
    }
}

/// The answer to a write, with its revision and the mark of a repeated request.
pub(super) fn written<T>(result: Result<(Written, T)>) -> Result<Response<T>, Status> {
    let token = result.as_ref().ok().and_then(|(written, _)| written.token);
    let mut response = repeatable(result.map(|(written, message)| (written.repeated, message)))?;
    if let Some(token) = token {
        let marks = Marks { token, stale_for: None };
        let mut headers = std::mem::take(response.metadata_mut()).into_headers();
        mark(&mut headers, marks);
        *response.metadata_mut() = MetadataMap::from_headers(headers);
    }
    Ok(response)
}

/// The answer to a write, with the mark if the request was repeated.
pub(super) fn repeatable<T>(result: Result<(bool, T)>) -> Result<Response<T>, Status> {
    let (repeated, message) = result.map_err(|error| grpc_status(&error))?;
    let mut response = Response::new(message);
    if repeated {
        let value = tonic::metadata::MetadataValue::from_static("true");
        response.metadata_mut().insert(REPLAYED, value);
    }
    Ok(response)
}
