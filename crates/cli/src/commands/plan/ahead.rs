//! Plans of groups of companies: while one is shown, the next is made.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use tokio::{
    runtime::Handle,
    select,
    sync::watch,
    task::{JoinHandle, block_in_place, spawn_blocking},
};

use super::{Terms, findings::Finding, lines::Groups, most::Most, places::Places, plans};
use crate::{
    failure::{Failure, failure},
    target::{Client, Refused},
};

/// The most groups that are planned at a time: the service works on one, the command reads or writes the other.
const AT_ONCE: usize = 2;

/// A group of companies that was planned.
pub(super) struct Planned {
    pub(super) group: Vec<Value>,
    /// The plans, each with the company's number.
    pub(super) plans: Vec<(usize, Value)>,
    /// The numbers of the companies that another one of the group names too, and what is to be told of them.
    pub(super) twice: BTreeSet<usize>,
    pub(super) named_twice: Vec<Finding>,
}

/// Groups in their order, with their plans.
pub(super) struct Ahead<'a> {
    client: &'a Client,
    terms: &'a Terms,
    places: &'a Arc<Places>,
    most: Most,
    groups: Groups,
    begun: VecDeque<JoinHandle<Result<Planned, Refused>>>,
    /// Ends what was begun and is not wanted any more.
    end: watch::Sender<bool>,
}

impl<'a> Ahead<'a> {
    /// The first group was taken out of the others before.
    pub(super) fn new(
        client: &'a Client,
        (terms, places): (&'a Terms, &'a Arc<Places>),
        first: Vec<Value>,
        groups: Groups,
    ) -> Self {
        let (most, begun) = (Most::default(), VecDeque::new());
        let end = watch::Sender::new(false);
        let mut ahead = Self { client, terms, places, most, groups, begun, end };
        if !first.is_empty() {
            ahead.begin(first);
        }
        ahead
    }

    /// The next group; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Result<Planned, Refused>>, Failure> {
        while self.begun.len() < AT_ONCE {
            match self.groups.next()? {
                group if group.is_empty() => break,
                group => self.begin(group),
            }
        }
        let Some(begun) = self.begun.pop_front() else { return Ok(None) };
        begun.await.map(Some).map_err(|broken| failure(broken.to_string()))
    }

    fn begin(&mut self, group: Vec<Value>) {
        let (mut client, terms) = (self.client.clone(), self.terms.clone());
        let (places, most, runtime) =
            (Arc::clone(self.places), self.most.clone(), Handle::current());
        // A thread of its own, as the compiler cannot see that the future of a call may change threads.
        let mut end = self.end.subscribe();
        let plan = move || {
            runtime.block_on(async {
                select! {
                    biased;
                    _ = end.wait_for(|is_over| *is_over) => Err(failure("was ended").into()),
                    planned = plans(&mut client, group, (&terms, &most), &places) => planned,
                }
            })
        };
        self.begun.push_back(spawn_blocking(plan));
    }
}

impl Drop for Ahead<'_> {
    /// Waits for the threads too: a request that is on its way panics where the runtime ends before it.
    fn drop(&mut self) {
        self.end.send_replace(true);
        let begun = std::mem::take(&mut self.begun);
        block_in_place(|| {
            Handle::current().block_on(async {
                for one in begun {
                    _ = one.await;
                }
            });
        });
    }
}
