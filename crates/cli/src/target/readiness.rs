//! Asks a server at `/readyz` whether it is ready. The request needs no key.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use tonic::Status;

use super::{Remote, name, refusal, remote::foreign};
use crate::failure::{Exit, Failure};

/// The most bytes that are read of an answer; it has one or two lines.
const MOST_BYTES: usize = 64 * 1024;

/// Asks once. A server that is ready may still report a problem, which is returned.
pub(crate) async fn readiness(
    server: &Uri,
    ca_file: Option<&Path>,
    timeout: Duration,
) -> Result<Option<String>, Failure> {
    let name = name(server);
    let unavailable = |message| Failure { message, exit: Exit::Unavailable };
    let remote = Remote::new(server, ca_file, timeout)?;
    let asked = ask(&remote, &name).await;
    let (status, text) = asked.map_err(|status| unavailable(refusal::no_answer(&name, &status)))?;
    let (first, more) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
    if status != StatusCode::OK {
        return Err(unavailable(format!("{name} is not ready: {first}")));
    }
    Ok(Some(more.to_owned()).filter(|more| !more.is_empty()))
}

async fn ask(remote: &Remote, server: &str) -> Result<(StatusCode, String), Status> {
    let request = Request::get(format!("{server}/readyz")).body(Full::<Bytes>::default());
    let request = request.map_err(|error| Status::internal(error.to_string()))?;
    let answer = remote.send(request, MOST_BYTES).await?;
    let (status, text) = (answer.status(), String::from_utf8_lossy(answer.body()).into_owned());
    // Another program may answer all paths with a page.
    match status {
        StatusCode::OK if text.lines().next() == Some("ok") => Ok((status, text)),
        StatusCode::SERVICE_UNAVAILABLE => Ok((status, text)),
        _ => Err(foreign(&answer)),
    }
}
