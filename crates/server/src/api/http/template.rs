//! Path templates of `google.api.http`: parsing, matching and their order.
//!
//! This file knows text only, and no descriptors or methods.

use std::ops::Range;

use percent_encoding::percent_decode_str;

/// One part of a template between two slashes. The order of the variants is the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Segment {
    /// A literal text.
    Literal(String),
    /// Any one segment, `*`.
    One,
    /// Any number of segments, `**`. It can only be the last part.
    Rest,
}

/// A part of the path that fills a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The field's path, for example `company_id` or `parent.name`.
    pub(crate) field: String,
    /// The template's segments that the variable spans.
    pub(crate) segments: Range<usize>,
    /// Whether the variable may span several segments, and so keeps `%2F` encoded.
    pub(crate) multiple: bool,
    /// The values that there are, if they are few.
    pub(crate) values: Vec<&'static str>,
}

/// A parsed path template.
///
/// A verb behind a literal is part of that literal. Only behind a variable does it need a field of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) verb: Option<String>,
}

/// Cuts a path into segments. `None` if no template can match: with empty segments, so also with a trailing slash.
pub(crate) fn cut(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    (!segments.contains(&"")).then_some(segments)
}

/// Decodes percent-encoding. A value that spans several segments keeps its encoded slashes.
///
/// `None` if the encoding is broken or the bytes are not UTF-8.
pub(crate) fn decode(text: &str, keep_slashes: bool) -> Option<String> {
    let mut left = text;
    while let Some((_, after)) = left.split_once('%') {
        if !after.get(..2)?.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        left = &after[2..];
    }
    // An encoded slash that stays is encoded a second time first, so that one pass decodes everything else.
    let text = if keep_slashes {
        text.replace("%2F", "%252F").replace("%2f", "%252f")
    } else {
        text.to_owned()
    };
    percent_decode_str(&text).decode_utf8().ok().map(|text| text.into_owned())
}

impl Template {
    /// Parses a template such as `/v1/{parent=shelves/*}/books/{id}:archive`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('/').ok_or("must begin with a slash")?;
        let mut template = Self { segments: vec![], variables: vec![], verb: None };
        loop {
            rest = if let Some(inside) = rest.strip_prefix('{') {
                let (variable, after) =
                    inside.split_once('}').ok_or("has a brace that is not closed")?;
                template.add_variable(variable)?;
                after
            } else {
                let end = rest.find(['/', ':']).unwrap_or(rest.len());
                template.add_segment(&rest[..end])?;
                &rest[end..]
            };
            if let Some(verb) = rest.strip_prefix(':') {
                template.add_verb(verb)?;
                break;
            }
            match rest.strip_prefix('/') {
                Some(more) => rest = more,
                None if rest.is_empty() => break,
                None => {
                    return Err(format!("has a segment that goes on after its variable: {rest}"));
                }
            }
        }
        template.checked()
    }

    fn add_segment(&mut self, text: &str) -> Result<(), String> {
        self.segments.push(match text {
            "" => return Err("has an empty segment".to_owned()),
            "*" => Segment::One,
            "**" => Segment::Rest,
            _ if text.contains(['{', '}', '*', '=']) => {
                return Err(format!("has a malformed segment: {text}"));
            }
            _ => Segment::Literal(decode(text, false).ok_or("has malformed percent-encoding")?),
        });
        Ok(())
    }

    fn add_variable(&mut self, text: &str) -> Result<(), String> {
        let (field, pattern) = text.split_once('=').unwrap_or((text, "*"));
        let start = self.segments.len();
        for segment in pattern.split('/') {
            self.add_segment(segment)?;
        }
        let multiple = self.segments.len() - start > 1 || self.segments[start] == Segment::Rest;
        let segments = start..self.segments.len();
        let variable = Variable { field: field.to_owned(), segments, multiple, values: vec![] };
        if self.variables.iter().any(|other| other.field == variable.field) {
            return Err(format!("names the variable {field} twice"));
        }
        self.variables.push(variable);
        Ok(())
    }

    fn add_verb(&mut self, verb: &str) -> Result<(), String> {
        if verb.is_empty() || verb.contains(['/', '{', '}', '*', ':']) {
            return Err(format!("has a malformed verb: {verb}"));
        }
        let in_variable = self
            .variables
            .last()
            .is_some_and(|variable| variable.segments.end == self.segments.len());
        match self.segments.last_mut() {
            Some(Segment::Literal(last)) if !in_variable => {
                last.push(':');
                last.push_str(verb);
            }
            _ => self.verb = Some(verb.to_owned()),
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        let before_last = &self.segments[..self.segments.len() - 1];
        if before_last.contains(&Segment::Rest) {
            return Err("has ** before its end".to_owned());
        }
        Ok(self)
    }

    /// The part of the path that each variable spans, still encoded, if the path fits.
    pub(crate) fn captures(&self, path: &[&str]) -> Option<Vec<String>> {
        let last = *path.last()?;
        let last = match &self.verb {
            Some(verb) => last
                .strip_suffix(verb.as_str())?
                .strip_suffix(':')
                .filter(|last| !last.is_empty())?,
            None => last,
        };
        let ends_open = self.segments.last() == Some(&Segment::Rest);
        let fixed = self.segments.len() - usize::from(ends_open);
        if path.len() < fixed || (!ends_open && path.len() > fixed) {
            return None;
        }
        let sent = |i: usize| if i + 1 == path.len() { last } else { path[i] };
        let fits = |(i, segment): (usize, &Segment)| match segment {
            Segment::Literal(text) => {
                text == sent(i) || decode(sent(i), false).as_ref() == Some(text)
            }
            Segment::One | Segment::Rest => true,
        };
        if !self.segments.iter().enumerate().take(fixed).all(fits) {
            return None;
        }
        let value = |variable: &Variable| {
            let open = ends_open && variable.segments.end == self.segments.len();
            let end = if open { path.len() } else { variable.segments.end };
            (variable.segments.start..end).map(sent).collect::<Vec<_>>().join("/")
        };
        Some(self.variables.iter().map(value).collect())
    }

    /// Whether each value is one that its variable can have.
    pub(crate) fn can_have(&self, values: &[String]) -> bool {
        let known = |(variable, value): (&Variable, &String)| {
            variable.values.is_empty() || variable.values.contains(&value.as_str())
        };
        self.variables.iter().zip(values).all(known)
    }

    /// The verb, behind a variable or behind a literal.
    pub(crate) fn own_verb(&self) -> Option<&str> {
        match (&self.verb, self.segments.last()) {
            (Some(verb), _) => Some(verb),
            (None, Some(Segment::Literal(last))) => Some(last.rsplit_once(':')?.1),
            _ => None,
        }
    }

    /// Whether both templates have the same segments before their last one.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|template| template.segments.split_last());
        own.map(|(_, above)| above) == others.map(|(_, above)| above)
    }

    /// The order of matching templates, smallest first: literals before variables, a verb before none.
    pub(crate) fn precedence(&self) -> (&[Segment], bool, Option<&str>) {
        (&self.segments, self.verb.is_none(), self.verb.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(template: &str, path: &str) -> Option<Vec<String>> {
        Template::parse(template).unwrap().captures(&cut(path)?)
    }

    #[test]
    fn a_path_fits_its_template() {
        let cases: &[(&str, &str, Option<&[&str]>)] = &[
            ("/v1/things", "/v1/things", Some(&[])),
            ("/v1/things", "/v1/things/", None),
            ("/v1/things", "/v1//things", None),
            ("/v1/things", "/v1/thing", None),
            ("/v1/things", "/v1", None),
            ("/v1/things", "v1/things", None),
            ("/v1/things:list", "/v1/things:list", Some(&[])),
            ("/v1/things:list", "/v1/things%3Alist", Some(&[])),
            ("/v1/things:list", "/v1/things", None),
            ("/v1/*/x", "/v1/a/x", Some(&[])),
            ("/v1/*/x", "/v1/a/b/x", None),
            ("/v1/{id}", "/v1/a%2Fb", Some(&["a%2Fb"])),
            ("/v1/{id}", "/v1/", None),
            ("/v1/{id}", "/v1/a/b", None),
            ("/v1/{id}:undo", "/v1/a:undo", Some(&["a"])),
            ("/v1/{id}:undo", "/v1/a:b:undo", Some(&["a:b"])),
            ("/v1/{id}:undo", "/v1/:undo", None),
            ("/v1/{id}:undo", "/v1/a%3Aundo", None),
            ("/v1/{id}:undo", "/v1/aundo", None),
            ("/v1/{name=shelves/*}", "/v1/shelves/a", Some(&["shelves/a"])),
            ("/v1/{name=shelves/*}", "/v1/boxes/a", None),
            (
                "/v1/{name=shelves/*/books/*}:move",
                "/v1/shelves/a/books/b:move",
                Some(&["shelves/a/books/b"]),
            ),
            ("/v1/{a}/{b.c}", "/v1/x/y", Some(&["x", "y"])),
            ("/v1/{path=**}", "/v1", Some(&[""])),
            ("/v1/{path=**}", "/v1/a/b%2Fc", Some(&["a/b%2Fc"])),
            ("/v1/{path=files/**}:read", "/v1/files/a/b:read", Some(&["files/a/b"])),
            ("/v1/{path=files/**}:read", "/v1/files:read", Some(&["files"])),
            ("/v1/{a}/**", "/v1/x/y/z", Some(&["x"])),
        ];
        for (template, path, expected) in cases {
            let expected =
                expected.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
            assert_eq!(captures(template, path), expected, "{template} with {path}");
        }
    }

    #[test]
    fn a_malformed_template_is_refused() {
        for text in [
            "",
            "v1",
            "/",
            "/v1//a",
            "/v1/",
            "/{a",
            "/{a}b",
            "/{a=}",
            "/{a=**}/b",
            "/a:",
            "/a:b:c",
            "/a:b/c",
            "/{a}/{a}",
            "/a*",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percent_encoding_is_decoded_once() {
        assert_eq!(decode("a%20b%2Fc%C3%A4", false).as_deref(), Some("a b/cä"));
        assert_eq!(decode("a%20b%2Fc%2fd%252F", true).as_deref(), Some("a b%2Fc%2fd%2F"));
        for broken in ["%", "%2", "%zz", "%C3", "a%+1b"] {
            assert_eq!(decode(broken, false), None, "{broken}");
        }
    }

    #[test]
    fn literals_go_before_variables_and_verbs_before_none() {
        let mut templates = ["/v1/{a=**}", "/v1/{a}", "/v1/{a}:undo", "/v1/x"]
            .map(|text| Template::parse(text).unwrap());
        templates.sort_by(|one, other| one.precedence().cmp(&other.precedence()));
        let order = ["/v1/x", "/v1/{a}:undo", "/v1/{a}", "/v1/{a=**}"]
            .map(|text| Template::parse(text).unwrap());
        assert_eq!(templates, order);
    }
}
