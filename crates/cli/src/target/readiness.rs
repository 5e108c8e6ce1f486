//! Asks a server at `/readyz` whether it is ready. The request needs no key.

use std::{path::Path, time::Duration};

use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use tonic::body::Body;
use tower::ServiceExt;

use super::{endpoint, name, refusal};
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
    let endpoint = endpoint(server.clone(), ca_file)?;
    let asked = async {
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| refusal::no_connection(&name, &error))?;
        ask(channel).await.map_err(|error| unavailable(refusal::no_answer(&name, &*error)))
    };
    let in_time = tokio::time::timeout(timeout, asked).await;
    let late = |_| unavailable(refusal::late(&name));
    let (status, text) = in_time.map_err(late)??;
    let (first, more) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
    if status != StatusCode::OK {
        return Err(unavailable(format!("{name} is not ready: {first}")));
    }
    Ok(Some(more.to_owned()).filter(|more| !more.is_empty()))
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn ask(channel: tonic::transport::Channel) -> Result<(StatusCode, String), Error> {
    let answer = channel.oneshot(Request::get("/readyz").body(Body::empty())?).await?;
    let (head, body) = answer.into_parts();
    if !matches!(head.status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) {
        return Err(format!("status {}", head.status).into());
    }
    let bytes = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&bytes).into_owned()))
}
