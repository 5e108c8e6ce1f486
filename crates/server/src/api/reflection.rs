//! Reflection, by which programs ask for the services that the server has, also without a key. A short
//! question has a long answer. So the questions of an address are paced: no question is refused, but a client
//! that asks too much waits.

use std::{convert::Infallible, net::IpAddr, num::NonZeroU32, sync::Arc};

use futures_util::StreamExt;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http_body_util::{BodyStream, StreamBody};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic_reflection::server::Builder;

/// The questions of an address that are read per second, and at once. A tool that shows all methods asks some fifty.
const PER_SECOND: u32 = 100;
const AT_ONCE: u32 = 1_000;

/// The least bytes of a question, with its frame.
const QUESTION_BYTES: usize = 32;

/// The most addresses that are remembered. Beyond that, the least used are forgotten.
const MOST_ADDRESSES: usize = 10_000;

const SERVICES: [&str; 2] =
    ["/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Whether the path belongs to reflection.
pub(super) fn is_at(path: &str) -> bool {
    SERVICES.iter().any(|service| path.starts_with(service))
}

/// The descriptors that reflection shows.
pub(super) fn service() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(customer_settings_contract::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The pace of each address.
pub(super) struct Pace(Cache<IpAddr, Arc<Line>>);

/// The lock lets one request of an address wait at a time. Otherwise all would check the pace whenever one may go on.
type Line = Mutex<DefaultDirectRateLimiter>;

impl Pace {
    /// A pace that no address has used yet.
    pub(super) fn new() -> Self {
        Self(Cache::new(MOST_ADDRESSES))
    }

    /// The body of a call, whose chunks come at the pace of the address. The call itself counts as a question. If too
    /// many questions wait, the deadline ends the call.
    pub(super) async fn begin(&self, address: IpAddr, body: Body) -> Body {
        let line = self.line(address);
        wait(&line, 1).await;
        let frames = BodyStream::new(body).then(move |frame| {
            let line = Arc::clone(&line);
            async move {
                if let Some(data) = frame.as_ref().ok().and_then(|frame| frame.data_ref()) {
                    wait(&line, data.len().div_ceil(QUESTION_BYTES)).await;
                }
                frame
            }
        });
        Body::new(StreamBody::new(frames))
    }

    fn line(&self, address: IpAddr) -> Arc<Line> {
        let at_once = NonZeroU32::new(AT_ONCE).unwrap_or(NonZeroU32::MIN);
        let per_second = NonZeroU32::new(PER_SECOND).unwrap_or(NonZeroU32::MIN);
        let new = || {
            let quota = Quota::per_second(per_second).allow_burst(at_once);
            Ok::<_, Infallible>(Arc::new(Mutex::new(RateLimiter::direct(quota))))
        };
        self.0.get_or_insert_with(&address, new).unwrap_or_else(|never| match never {})
    }
}

async fn wait(line: &Line, questions: usize) {
    let questions = u32::try_from(questions).unwrap_or(u32::MAX).min(AT_ONCE);
    let Some(questions) = NonZeroU32::new(questions) else { return };
    // This always succeeds, since the number is at most the burst.
    let _ = line.lock().await.until_n_ready(questions).await;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn asked(bytes: usize) -> Body {
        Body::new(Full::new(Bytes::from(vec![0; bytes])))
    }

    async fn read(pace: &Pace, address: [u8; 4], body: Body) -> usize {
        let body = pace.begin(address.into(), body).await;
        body.collect().await.unwrap().to_bytes().len()
    }

    #[tokio::test]
    async fn an_address_that_asks_for_much_waits_alone() {
        let pace = Pace::new();
        let (greedy, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let most = QUESTION_BYTES * (AT_ONCE as usize - 1);
        assert_eq!(read(&pace, greedy, asked(most)).now_or_never(), Some(most));
        assert_eq!(read(&pace, greedy, asked(100 * QUESTION_BYTES)).now_or_never(), None);
        assert_eq!(read(&pace, other, asked(40)).now_or_never(), Some(40));
        // The questions are answered in the end.
        assert_eq!(read(&pace, greedy, asked(40)).await, 40);
    }

    #[tokio::test]
    async fn more_than_may_be_asked_at_once_waits_no_longer_than_that() {
        let pace = Pace::new();
        let much = QUESTION_BYTES * 2 * AT_ONCE as usize;
        let body = pace.begin([192, 0, 2, 1].into(), asked(much)).now_or_never().unwrap();
        assert!(body.collect().now_or_never().is_none());
    }
}
