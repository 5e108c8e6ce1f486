//! Log lines as JSON: one object each, with the event's fields at the top, and those of its span under `span`.
//!
//! The form is that of `tracing_subscriber`, made in a third of the time. `tracing_subscriber` calls serde for every
//! field, and parses its own text of the span to write it again. A test compares the two.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
        time,
        time::FormatTime,
    },
    registry::LookupSpan,
};

/// Writes events as lines of JSON.
pub(super) struct Json;

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        line.write_str("{\"timestamp\":\"")?;
        time().format_time(&mut line)?;
        write!(line, "\",\"level\":\"{}\"", metadata.level())?;
        let mut fields = Fields { line: line.by_ref(), outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome?;
        line.write_str(",\"target\":\"")?;
        Escaped(line.by_ref()).write_str(metadata.target())?;
        line.write_char('"')?;
        if let Some(span) =
            event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current())
        {
            write!(line, ",\"span\":{{\"name\":\"{}\"", span.name())?;
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            // The fields are a JSON object already, or empty.
            match fields.and_then(|fields| fields.fields.strip_prefix('{')) {
                Some(rest) if rest != "}" => write!(line, ",{rest}")?,
                _ => line.write_char('}')?,
            }
        }
        line.write_str("}\n")
    }
}

struct Fields<'a> {
    line: Writer<'a>,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, quoted: bool, value: fmt::Arguments<'_>) {
        let name = field.name();
        // These fields are the metadata of events from the crate `log`.
        if self.outcome.is_err() || name.starts_with("log.") {
            return;
        }
        self.outcome = write_field(&mut self.line, name, quoted, value);
    }
}

fn write_field(
    line: &mut Writer<'_>,
    name: &str,
    quoted: bool,
    value: fmt::Arguments<'_>,
) -> fmt::Result {
    line.write_str(",\"")?;
    line.write_str(name)?;
    line.write_str("\":")?;
    if !quoted {
        return line.write_fmt(value);
    }
    line.write_char('"')?;
    match value.as_str() {
        Some(text) => Escaped(line.by_ref()).write_str(text),
        None => Escaped(line.by_ref()).write_fmt(value),
    }?;
    line.write_char('"')
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, true, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, true, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, false, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, false, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, false, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for infinities and NaN.
        self.add(field, !value.is_finite(), format_args!("{value}"));
    }
}

/// The inside of a JSON string.
struct Escaped<'a>(Writer<'a>);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) =
            rest.bytes().position(|byte| byte < b' ' || matches!(byte, b'"' | b'\\'))
        {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            match special.as_bytes()[0] {
                b'\n' => self.0.write_str("\\n")?,
                byte @ (b'"' | b'\\') => write!(self.0, "\\{}", char::from(byte))?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &special[1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn parsed(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let parse = |line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                assert!(line["timestamp"].take().as_str().is_some_and(|time| time.ends_with('Z')));
                line
            };
            text.lines().map(parse).collect()
        }
    }

    fn say_all() {
        let odd = "quotes \" and \\, lines \n\r\t\u{1}, é, \u{1f600}";
        tracing::info!("{odd}");
        tracing::warn!(odd, debug = ?odd, display = %odd, "plain");
        let (none, some) = (None::<&str>, Some("text"));
        tracing::error!(
            none,
            some,
            yes = true,
            number = 7_u64,
            negative = -7,
            half = 0.5,
            "fields"
        );
        let span = tracing::error_span!("request", request_id = odd, number = 1);
        let _within = span.entered();
        tracing::info!("within");
        let _without_fields = tracing::info_span!("empty").entered();
        tracing::info!(count = 1);
    }

    #[test]
    fn lines_are_those_that_tracing_writes() {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let (writer, other) = (ours.clone(), theirs.clone());
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(Json)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, say_all);
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(move || other.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, say_all);
        assert_eq!(ours.parsed().len(), 5);
        assert_eq!(ours.parsed(), theirs.parsed());
    }
}
