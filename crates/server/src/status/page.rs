//! The outcomes of requests for pages, and refusals of such requests in words.

use axum::body::Body;
use http::{HeaderValue, Response, header};

use super::{Refusal, is_of_the_moment};

/// The outcome of a request for a page of the console.
#[derive(Clone, Copy, Debug)]
pub enum Page<'a> {
    /// The page is shown.
    Shown,
    /// The browser shall go elsewhere, with a GET.
    Elsewhere,
    /// A method refused, or the page says in its own words that something is wrong with the form.
    Refused(&'a tonic::Status),
    /// There is no such page.
    Unknown,
    /// The page takes another HTTP method.
    OtherMethod,
    /// The request comes from a page that is not of the console.
    Forged,
    /// The form is not one that a page of the console sends.
    Malformed,
    /// The form is too long.
    TooLarge,
    /// The person is not signed in.
    Unknowable,
    /// The request is for another host.
    Misdirected,
}

/// In the extensions of a page: a refusal for a reason of the moment, after which the same request may succeed.
#[derive(Clone)]
pub(super) struct NotNow(pub(super) tonic::Status);

/// The refusal of a page whose request may succeed a moment later.
pub fn not_now<B>(response: &Response<B>) -> Option<&tonic::Status> {
    response.extensions().get().map(|NotNow(status)| status)
}

/// A refusal in JSON for a reason of the moment, in words: for a browser whose request did not reach its page. The body of
/// the request was not read then, but the browser has it.
pub fn in_words(response: Response<Body>) -> Response<Body> {
    let refusal = response.extensions().get::<Refusal>();
    let Some(text) = refusal.filter(|_| is_of_the_moment(&response)).map(|refusal| {
        format!(
            "This page was not answered: {}.\n\nLoad it again in a moment. If you sent a form, your browser has it still and \
             sends it again.\n",
            refusal.message
        )
    }) else {
        return response;
    };
    let (mut parts, _) = response.into_parts();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    Response::from_parts(parts, Body::from(text))
}
