//! The way to everything cached: served while it is fresh, else looked up, by one request at a time, else served stale
//! while the store does not answer. Knows neither what is cached nor where.

use std::time::Duration;

use super::{Freshness, Stamp};
use crate::{catalog::error::Result, store::StoreError};

/// Something cached, or just looked up.
#[derive(Clone, Debug)]
pub struct Served<T> {
    /// The thing itself.
    pub value: T,
    /// For how long it has not been known to be current, where the store does not answer.
    pub stale_for: Option<Duration>,
}

impl Freshness {
    /// Serves what `held` finds in memory, or what `look_up` finds in the store; `None` if there is no such thing.
    ///
    /// The store is asked for a thing that memory has even where it was silent for long: it may just have come back. A
    /// request for a thing that memory does not have waits for no silent store.
    ///
    /// `lock` lets one look-up of the thing through at a time: requests that waited behind it find its answer in
    /// memory. `may_look_up` is called with the lock, and may refuse the look-up.
    pub async fn serve<T, G>(
        &self,
        held: impl Fn() -> Option<(T, Stamp)>,
        lock: impl Future<Output = G>,
        may_look_up: impl FnOnce() -> Result<()>,
        look_up: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<Served<T>>> {
        if let Some(served) = self.without_look_up(held()) {
            return Ok(Some(served));
        }
        let _lock = lock.await;
        if let Some(served) = self.without_look_up(held()) {
            return Ok(Some(served));
        }
        may_look_up()?;
        let looked_up = match held() {
            Some(_) => self.ask(look_up).await,
            None => self.unless_gone(look_up).await,
        };
        match looked_up {
            Ok(found) => Ok(found.map(|value| Served { value, stale_for: None })),
            Err(error) if error.is_outage() => {
                self.stale(held()).map(Some).ok_or_else(|| error.into())
            }
            Err(other) => Err(other.into()),
        }
    }

    fn without_look_up<T>(&self, held: Option<(T, Stamp)>) -> Option<Served<T>> {
        let (value, stamp) = held?;
        match self.is_fresh(stamp) {
            true => Some(Served { value, stale_for: None }),
            false if self.is_away() => self.stale(Some((value, stamp))),
            false => None,
        }
    }

    fn stale<T>(&self, held: Option<(T, Stamp)>) -> Option<Served<T>> {
        let (value, stamp) = held?;
        self.stale_for(stamp).map(|age| Served { value, stale_for: Some(age) })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        sync::Arc,
    };

    use futures_util::{FutureExt, join};
    use tokio::{sync::Mutex, task::yield_now};

    use super::*;
    use crate::{
        catalog::error::{Cause, Error},
        clock::ShiftedClock,
        freshness::Slot,
    };

    const BOUND: Duration = Duration::from_secs(1);
    const MAX_STALE: Duration = Duration::from_secs(300);

    /// A cache of one number that counts what it is asked for.
    struct Number {
        freshness: Freshness,
        held: RefCell<Option<(u32, Stamp)>>,
        turns: Mutex<()>,
        look_ups: Cell<u32>,
        /// The answer of a look-up.
        stored: Result<Option<u32>, ()>,
        may_look_up: bool,
    }

    impl Number {
        fn new(clock: Arc<ShiftedClock>) -> Self {
            Self {
                freshness: Freshness::new(clock, BOUND, MAX_STALE, 1),
                held: RefCell::new(None),
                turns: Mutex::new(()),
                look_ups: Cell::new(0),
                stored: Ok(Some(7)),
                may_look_up: true,
            }
        }

        async fn get(&self) -> Result<Option<(u32, bool)>> {
            let look_up = async {
                let stamp = self.freshness.stamp(Slot::KEYS);
                self.look_ups.set(self.look_ups.get() + 1);
                yield_now().await;
                let found = self.stored.map_err(|()| StoreError::Unavailable(Cause::default()))?;
                *self.held.borrow_mut() = found.map(|number| (number, stamp));
                Ok(found)
            };
            let may_look_up = || match self.may_look_up {
                true => Ok(()),
                false => Err(Error::UnknownKey),
            };
            let held = || *self.held.borrow();
            let served =
                self.freshness.serve(held, self.turns.lock(), may_look_up, look_up).await?;
            Ok(served.map(|served| (served.value, served.stale_for.is_some())))
        }
    }

    #[tokio::test]
    async fn what_is_fresh_takes_no_look_up_and_what_is_not_takes_one_for_all() {
        let clock = Arc::new(ShiftedClock::default());
        let number = Number::new(clock.clone());
        for look_ups in 1..3 {
            let (one, other) = join!(number.get(), number.get());
            assert_eq!((one.unwrap(), other.unwrap()), (Some((7, false)), Some((7, false))));
            assert_eq!(number.get().now_or_never().unwrap().unwrap(), Some((7, false)));
            assert_eq!(number.look_ups.get(), look_ups);
            clock.advance(BOUND + Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn what_is_stale_is_served_while_the_store_does_not_answer() {
        let clock = Arc::new(ShiftedClock::default());
        let mut number = Number::new(clock.clone());
        assert_eq!(number.get().await.unwrap(), Some((7, false)));
        number.stored = Err(());
        clock.advance(Duration::from_secs(2));
        assert_eq!(number.get().await.unwrap(), Some((7, true)));
        // The store is known to be away: nobody asks it again.
        assert_eq!(number.get().await.unwrap(), Some((7, true)));
        assert_eq!(number.look_ups.get(), 2);
        clock.advance(MAX_STALE);
        assert!(matches!(number.get().await, Err(Error::Unavailable { .. })));
    }

    #[tokio::test]
    async fn a_look_up_may_be_refused_and_may_find_nothing() {
        let mut number = Number::new(Arc::default());
        number.may_look_up = false;
        assert!(matches!(number.get().await, Err(Error::UnknownKey)));
        assert_eq!(number.look_ups.get(), 0);
        (number.may_look_up, number.stored) = (true, Ok(None));
        assert_eq!(number.get().await.unwrap(), None);
    }
}
