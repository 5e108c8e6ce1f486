//! The methods that a request with a wrong path or a wrong HTTP method probably meant.
//!
//! This file knows the table of routes, and names nothing that is not in it.

use std::sync::Arc;

use http::Method;

use super::{
    Route,
    routes::{Found, Routes},
    template::{self, Segment, Template, Variable},
};
use crate::catalog::near::nearest;

/// The most differences between a path and one that is named for it. A segment and a verb are one each.
const MOST_DIFFERENCES: usize = 2;

/// A path that differs little from the sent one.
struct Near {
    differences: usize,
    method: Method,
    path: String,
}

/// The methods whose paths differ least from this one, each as in `POST /v1/things:list`: by misspelt words, by a verb
/// that stands behind a slash, by a verb that is part of the method's name, or by a slash at the end. Methods of the
/// same HTTP method come alone.
///
/// Each template is compared once or twice, and only with a path of as many segments.
pub(super) fn similar(routes: &Routes<Arc<Route>>, method: &Method, asked: &str) -> Vec<String> {
    let trimmed = asked.trim_end_matches('/');
    let Some(sent) = template::cut(trimmed) else { return vec![] };
    let with_colon = trimmed.rsplit_once('/').map(|(above, verb)| format!("{above}:{verb}"));
    let with_colon = with_colon.as_deref().and_then(template::cut);
    let mut near: Vec<Near> = vec![];
    for (own, template, route) in routes.iter() {
        let name = route.binding.rpc.name();
        let as_it_is = near_path(template, name, &sent);
        let spelt_out = || {
            let (differences, path) = near_path(template, name, with_colon.as_ref()?)?;
            Some((differences + 1, path))
        };
        let Some((differences, path)) = as_it_is.or_else(spelt_out) else { continue };
        // A template with a smaller order may own the path.
        let is_own =
            matches!(routes.find(own, &path), Found::Route(found, _) if Arc::ptr_eq(found, route));
        if differences <= MOST_DIFFERENCES && path != asked && is_own {
            near.push(Near { differences, method: own.clone(), path });
        }
    }
    let least = near.iter().map(|one| one.differences).min();
    near.retain(|one| Some(one.differences) == least);
    if near.iter().any(|one| one.method == method) {
        near.retain(|one| one.method == method);
    }
    near.into_iter().map(|Near { method, path, .. }| format!("{method} {path}")).collect()
}

/// The methods that a request probably meant whose path is right, and whose HTTP method is not. `others` are the
/// methods that differ from the path in their verb alone.
pub(super) fn by_method(
    method: &Method,
    path: &str,
    allow: &str,
    mut others: Vec<String>,
) -> Vec<String> {
    match *method {
        Method::PUT if allow.split(", ").any(|one| Method::PATCH == one) => {
            vec![format!("{} {path}", Method::PATCH)]
        }
        Method::DELETE => {
            let ends = |one: &String| {
                [":archive", ":revoke", ":end"].iter().any(|verb| one.ends_with(verb))
            };
            others.retain(ends);
            others
        }
        _ => vec![],
    }
}

/// The path of this template that is nearest to the sent one, with the number of their differences. `name` is the
/// name of the template's method.
fn near_path(template: &Template, name: &str, sent: &[&str]) -> Option<(usize, String)> {
    let (last, above) = sent.split_last()?;
    let (own_last, own_above) = template.segments.split_last()?;
    if above.len() != own_above.len() {
        return None;
    }
    let mut differences = 0;
    let mut path = String::new();
    for (i, (own, sent)) in own_above.iter().zip(above).enumerate() {
        let segment = near_segment(template, i, own, sent)?;
        differences += usize::from(segment != *sent);
        path = format!("{path}/{segment}");
    }
    let (base, verb) = last.split_once(':').unwrap_or((last, ""));
    let (own_last, own_verb) = match own_last {
        Segment::Literal(text) => match text.split_once(':') {
            Some((text, verb)) => (Segment::Literal(text.to_owned()), verb),
            None => (own_last.clone(), ""),
        },
        other => (other.clone(), template.verb.as_deref().unwrap_or_default()),
    };
    let segment = near_segment(template, above.len(), &own_last, base)?;
    // A verb that the template lacks may be the first word of the method's name, as in `GetCompany`. No verb is that of
    // an id, which may have a colon in made-up contracts, but a word of a list of words has none.
    let is_listed = template.variables.last().is_some_and(|last| last.values.contains(&base));
    differences += usize::from(segment != base);
    differences += match (own_verb, verb) {
        (own, sent) if own == sent => 0,
        ("", sent) if sent.eq_ignore_ascii_case(first_word(name)) => 1,
        ("", _) => return None,
        (_, "") => 1,
        (own, sent) if nearest(sent, [own]).is_some() => 1,
        _ if is_listed => 2,
        _ => return None,
    };
    let colon = if own_verb.is_empty() { "" } else { ":" };
    Some((differences, format!("{path}/{segment}{colon}{own_verb}")))
}

/// The first word of a method's name.
fn first_word(name: &str) -> &str {
    let end = name.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase());
    &name[..end.map_or(name.len(), |(end, _)| end)]
}

/// The value of a template's segment that is nearest to the sent one.
fn near_segment<'a>(
    template: &'a Template,
    i: usize,
    own: &'a Segment,
    sent: &'a str,
) -> Option<&'a str> {
    let of_i = |variable: &&Variable| variable.segments == (i..i + 1);
    let known = template.variables.iter().find(of_i).map(|variable| &variable.values[..]);
    match own {
        _ if sent.is_empty() => None,
        Segment::Literal(text) if text == sent => Some(sent),
        Segment::Literal(text) => nearest(sent, [text.as_str()]),
        Segment::One => match known {
            None | Some([]) => Some(sent),
            Some(values) if values.contains(&sent) => Some(sent),
            Some(values) => nearest(sent, values.iter().copied()),
        },
        Segment::Rest => None,
    }
}
