//! Asks a server at `/readyz` whether it is ready, and at `/metrics` for its figures. Neither needs a key.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tonic::Status;

use super::{Remote, name, refusal, remote::foreign};
use crate::failure::{Exit, Failure};

/// The most bytes that are read of an answer.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The answers of a server that is ready.
pub(crate) struct Answers {
    /// The problems that the server reports all the same.
    pub(crate) problems: Vec<String>,
    /// The text of `/metrics`, if this machine may read it.
    pub(crate) metrics: Option<String>,
}

/// Asks once.
pub(crate) async fn ask(
    server: &Uri,
    ca_file: Option<&Path>,
    timeout: Duration,
) -> Result<Answers, Failure> {
    let name = name(server);
    let unavailable = |message| Failure { message, exit: Exit::Unavailable };
    let remote = Remote::new(server, ca_file, timeout)?;
    let failed = |status| unavailable(refusal::no_answer(refusal::Side::Server, &name, &status));
    let answer = get(&remote, &format!("{name}/readyz")).await.map_err(failed)?;
    let text = String::from_utf8_lossy(answer.body());
    let mut lines = text.lines().map(str::to_owned);
    let first = lines.next().unwrap_or_default();
    match answer.status() {
        // Another program may answer all paths with a page.
        StatusCode::OK if first == "ok" => {}
        StatusCode::SERVICE_UNAVAILABLE => {
            return Err(unavailable(format!("{name} is not ready: {first}")));
        }
        _ => return Err(failed(foreign(&answer))),
    }
    let metrics = get(&remote, &format!("{name}/metrics")).await.ok();
    let metrics = metrics.filter(|answer| answer.status() == StatusCode::OK);
    let metrics = metrics.map(|answer| String::from_utf8_lossy(answer.body()).into_owned());
    Ok(Answers { problems: lines.collect(), metrics })
}

async fn get(remote: &Remote, url: &str) -> Result<Response<Bytes>, Status> {
    let request = Request::get(url).body(Full::<Bytes>::default());
    let request = request.map_err(|error| Status::internal(error.to_string()))?;
    remote.send(request, MOST_BYTES).await
}
