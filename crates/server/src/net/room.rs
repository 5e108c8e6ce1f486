//! The shared resources of all requests: places for requests that are worked on, and room for the bytes of bodies.
//!
//! Nobody may take so much that others find nothing. A client that has some may take more only while at least as much
//! stays free as it then has. So a single client gets half, two clients get a third each, and a client that has nothing
//! yet finds something. A client is a key, or an address while no key is known. A place is for the server's work: a
//! request that waits for its client has none. This file knows no protocol.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::Gauge;
use tokio::time::sleep;

use super::client_address::ClientAddress;
use crate::{
    catalog::error::{Cause, Error, Limit, Sharer, Unavailable},
    config::Limits,
    telemetry::{BODY_BYTES, OVERLOADED, RATE_LIMITED},
};

/// The least that a body counts while the server waits for it. Its request takes memory, however
/// little of it has arrived.
const LEAST_BODY_BYTES: u64 = 16 << 10;

/// When a refused client may try again.
const RETRY_AFTER_MS: u64 = 1_000;

/// How long a client waits to learn that it asks too often, if no other request of it waits. Clients that ignore the
/// refusal would otherwise take as much of the server as all others together.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// This many more waiting requests double the pause. So at most a thousand in a second go on.
const PAUSED_TOGETHER: u32 = 100;

/// The places and bytes of a server.
pub(super) struct Room {
    places: Pool,
    bytes: Pool,
    held_bytes: Gauge,
    paused: Mutex<Taken>,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            places: Pool::new("requests", limits.concurrent_requests as u64, |whose, most| {
                Limit::RequestsAtOnce { whose, most }
            }),
            bytes: Pool::new("body_bytes", limits.bodies_bytes, |whose, most| {
                Limit::BodiesAtOnce { whose, most }
            }),
            held_bytes: metrics::gauge!(BODY_BYTES),
            paused: Mutex::default(),
        })
    }

    /// For a request that has nothing yet, and whose key is not known.
    pub(super) fn seat(self: &Arc<Self>, client: ClientAddress) -> Seat {
        let whose = Whose::Address(client.network());
        let state = State { whose, standing: Standing::Outside, bytes: 0, refused: None };
        Seat(Arc::new(Held { room: Arc::clone(self), state: Mutex::new(state) }))
    }

    /// A pause for a connection, unless `most` of the same address wait already.
    pub(super) fn hold_up(self: &Arc<Self>, client: ClientAddress, most: u64) -> Option<Paused> {
        let whose = Whose::Address(client.network());
        let waiting = lock(&self.paused).of(&whose);
        (waiting < most).then(|| Paused::begin(self, whose))
    }
}

/// The client whose share it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    Key(Arc<str>),
}

impl Whose {
    fn sharer(&self) -> Sharer {
        match self {
            Self::Address(_) => Sharer::Address,
            Self::Key(_) => Sharer::Key,
        }
    }
}

/// An amount of one resource, and how much of it each client has.
struct Pool {
    what: &'static str,
    most: u64,
    limit: fn(Sharer, u64) -> Limit,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: u64,
    by: HashMap<Whose, u64>,
}

impl Taken {
    fn of(&self, whose: &Whose) -> u64 {
        self.by.get(whose).copied().unwrap_or_default()
    }

    fn add(&mut self, whose: &Whose, amount: u64) {
        self.all += amount;
        *self.by.entry(whose.clone()).or_default() += amount;
    }

    fn remove(&mut self, whose: &Whose, amount: u64) {
        self.all -= amount;
        let Some(own) = self.by.get_mut(whose) else { return };
        *own -= amount;
        if *own == 0 {
            self.by.remove(whose);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn new(what: &'static str, most: u64, limit: fn(Sharer, u64) -> Limit) -> Self {
        Self { what, most, limit, taken: Mutex::default() }
    }

    fn take(&self, whose: &Whose, amount: u64) -> Result<(), Error> {
        let mut taken = lock(&self.taken);
        let (free, own) = (self.most - taken.all, taken.of(whose));
        // The first request may take all that is free, so that a small pool is of use.
        let least_left = if own == 0 { 0 } else { own + amount };
        if amount + least_left > free {
            return Err(self.refusal(whose, own, free));
        }
        taken.add(whose, amount);
        Ok(())
    }

    fn give_back(&self, whose: &Whose, amount: u64) {
        lock(&self.taken).remove(whose, amount);
    }

    /// The error of a request that finds no place. A client that has nothing of the pool did not fill it, and is told
    /// that the server is overloaded.
    #[cold]
    fn refusal(&self, whose: &Whose, own: u64, free: u64) -> Error {
        if own == 0 || free == 0 {
            metrics::counter!(OVERLOADED, "of" => self.what).increment(1);
            let cause = Cause::new(format_args!("{} {} at once", self.most, self.what));
            return Error::Unavailable { what: Unavailable::Overloaded, cause };
        }
        let limit = (self.limit)(whose.sharer(), self.most);
        metrics::counter!(RATE_LIMITED, "limit" => limit.reason()).increment(1);
        Error::TooManyRequests { limit, retry_after_ms: RETRY_AFTER_MS }
    }
}

/// The resources that a request has of the server, in its extensions. The place is given back with the head of the
/// answer, the bytes with the last clone of the seat.
#[derive(Clone)]
pub struct Seat(Arc<Held>);

struct Held {
    room: Arc<Room>,
    state: Mutex<State>,
}

struct State {
    whose: Whose,
    standing: Standing,
    bytes: u64,
    /// Why the body was not read to its end.
    refused: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has no place, before or after all work.
    Outside,
    /// It has a place.
    Working,
    /// It has no place until the client has sent the rest of the body.
    Waiting,
}

impl Seat {
    /// Takes note of the key of the request, once the key may be used. All that the seat has counts as the key's from
    /// now on. Fails where the key has its share already.
    pub fn belongs_to(&self, key: &str) -> Result<(), Error> {
        let (room, mut state) = (&self.0.room, self.0.state());
        let (standing, bytes) = (state.standing, state.bytes);
        self.0.give_back(&mut state);
        state.whose = Whose::Key(key.into());
        if standing == Standing::Working {
            room.places.take(&state.whose, 1)?;
        }
        state.standing = standing;
        self.0.hold(&mut state, bytes)
    }

    pub(super) fn take(&self) -> Result<(), Error> {
        let mut state = self.0.state();
        self.0.room.places.take(&state.whose, 1)?;
        state.standing = Standing::Working;
        Ok(())
    }

    /// Takes note that the request waits for the rest of its body, of which `come` bytes have arrived.
    pub(super) fn waits(&self, come: u64) -> Result<(), Error> {
        let mut state = self.0.state();
        if state.standing == Standing::Working {
            self.0.leave(&mut state);
            state.standing = Standing::Waiting;
        }
        let held = self.0.hold(&mut state, come.max(LEAST_BODY_BYTES));
        held.map_err(|error| self.0.refuse(&mut state, error))
    }

    /// Whether the request waits for the rest of its body.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.state().standing == Standing::Waiting
    }

    /// Takes note that `come` bytes of the body have arrived in all. With the last of them, the
    /// request takes a place again.
    pub(super) fn comes(&self, come: u64, is_whole: bool) -> Result<(), Error> {
        let mut state = self.0.state();
        // Bytes that arrived without waiting count from there on.
        let bytes = if come > LEAST_BODY_BYTES { come } else { 0 };
        let held = self.0.hold(&mut state, bytes).and_then(|()| match is_whole {
            true => self.0.go_on(&mut state),
            false => Ok(()),
        });
        held.map_err(|error| self.0.refuse(&mut state, error))
    }

    /// Gives the place back for good. Returns why the body was not read to its end, if it was not.
    pub(super) fn leave(&self) -> Option<Error> {
        let mut state = self.0.state();
        self.0.leave(&mut state);
        state.refused.take()
    }

    /// Gives the place back while the request waits for a limit of its own, and takes little of the server.
    pub fn step_aside(&self) {
        self.0.leave(&mut self.0.state());
    }

    /// Delays the answer to a client that asks too often: the longer, the more of its requests are delayed.
    pub(super) async fn pause(&self) {
        let paused = {
            let mut state = self.0.state();
            self.0.give_back(&mut state);
            Paused::begin(&self.0.room, state.whose.clone())
        };
        sleep(paused.time()).await;
    }
}

/// A delay: of an answer, or of a connection that is not let in yet.
pub(super) struct Paused {
    room: Arc<Room>,
    whose: Whose,
}

impl Paused {
    fn begin(room: &Arc<Room>, whose: Whose) -> Self {
        lock(&room.paused).add(&whose, 1);
        Self { room: Arc::clone(room), whose }
    }

    pub(super) fn time(&self) -> Duration {
        let all = u32::try_from(lock(&self.room.paused).of(&self.whose)).unwrap_or(u32::MAX);
        let more = SHORTEST_PAUSE.saturating_mul(all.saturating_sub(1)) / PAUSED_TOGETHER;
        (SHORTEST_PAUSE + more).min(LONGEST_PAUSE)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        lock(&self.room.paused).remove(&self.whose, 1);
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Makes sure that the seat has at least so many bytes in all.
    fn hold(&self, state: &mut State, bytes: u64) -> Result<(), Error> {
        let more = bytes.saturating_sub(state.bytes);
        if more > 0 {
            self.room.bytes.take(&state.whose, more)?;
            self.room.held_bytes.increment(more as f64);
            state.bytes = bytes;
        }
        Ok(())
    }

    fn go_on(&self, state: &mut State) -> Result<(), Error> {
        if state.standing == Standing::Waiting {
            self.room.places.take(&state.whose, 1)?;
            state.standing = Standing::Working;
        }
        Ok(())
    }

    fn refuse(&self, state: &mut State, error: Error) -> Error {
        self.leave(state);
        state.refused = Some(error.clone());
        error
    }

    fn leave(&self, state: &mut State) {
        if state.standing == Standing::Working {
            self.room.places.give_back(&state.whose, 1);
        }
        state.standing = Standing::Outside;
    }

    fn give_back(&self, state: &mut State) {
        self.leave(state);
        self.room.bytes.give_back(&state.whose, state.bytes);
        self.room.held_bytes.decrement(state.bytes as f64);
        state.bytes = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.state();
        self.give_back(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn room(places: usize, bytes: u64) -> Arc<Room> {
        let mut limits = Config::default().limits;
        (limits.concurrent_requests, limits.bodies_bytes) = (places, bytes);
        Room::new(&limits)
    }

    fn seat(room: &Arc<Room>, address: usize) -> Seat {
        let address = u32::try_from(address).unwrap().to_be_bytes();
        room.seat(ClientAddress(address.into()))
    }

    type Step = fn(&Seat) -> Result<(), Error>;

    fn reason(tried: Result<(), Error>) -> &'static str {
        tried.map_or_else(|error| error.reason(), |()| "")
    }

    /// Takes as many places as one address gets now.
    fn taken(room: &Arc<Room>, address: usize) -> Vec<Seat> {
        let seats = std::iter::repeat_with(|| seat(room, address));
        seats.take_while(|seat| seat.take().is_ok()).collect()
    }

    #[test]
    fn one_has_no_more_than_it_leaves_to_others() {
        for (places, own) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (1_024, 512)] {
            assert_eq!(taken(&room(places, 0), 1).len(), own, "{places}");
        }
        for greedy in 1..=9 {
            let room = room(1_000, 0);
            let mut seats: Vec<Vec<Seat>> = vec![vec![]; greedy];
            loop {
                let before: usize = seats.iter().map(Vec::len).sum();
                for (address, seats) in seats.iter_mut().enumerate() {
                    let another = seat(&room, address);
                    if another.take().is_ok() {
                        seats.push(another);
                    }
                }
                if seats.iter().map(Vec::len).sum::<usize>() == before {
                    break;
                }
            }
            let fair = 1_000 / (greedy + 1);
            assert!(seats.iter().all(|seats| seats.len().abs_diff(fair) <= 1), "{greedy}");
            assert!(taken(&room, greedy).len() >= fair / 2, "{greedy}");
        }
    }

    #[test]
    fn who_has_nothing_is_not_blamed_for_what_others_have() {
        let room = room(4, 0);
        let (_a, b) = (taken(&room, 1), taken(&room, 2));
        assert_eq!(reason(seat(&room, 1).take()), "REQUESTS_AT_ONCE_LIMIT");
        assert_eq!(reason(seat(&room, 2).take()), "REQUESTS_AT_ONCE_LIMIT");
        let c = taken(&room, 3);
        assert_eq!((b.len(), c.len()), (1, 1));
        assert_eq!(reason(seat(&room, 4).take()), "OVERLOADED");
        drop(b);
        assert_eq!(reason(seat(&room, 4).take()), "");
    }

    #[test]
    fn who_steps_aside_leaves_a_place_to_the_next_of_the_same() {
        let room = room(2, 0);
        let seats = taken(&room, 1);
        assert_eq!(reason(seat(&room, 1).take()), "REQUESTS_AT_ONCE_LIMIT");
        seats[0].step_aside();
        let next = seat(&room, 1);
        assert_eq!(reason(next.take()), "");
        assert!(seats[0].leave().is_none());
        assert_eq!(reason(seat(&room, 1).take()), "REQUESTS_AT_ONCE_LIMIT");
    }

    #[test]
    fn who_waits_for_the_client_has_no_place_but_bytes() {
        let room = room(2, 8 * LEAST_BODY_BYTES);
        let waiting: Vec<Seat> = (0..4).map(|_| seat(&room, 1)).collect();
        for seat in &waiting {
            assert_eq!((reason(seat.take()), reason(seat.waits(1))), ("", ""));
            assert!(seat.is_waiting());
        }
        let fifth = seat(&room, 1);
        assert_eq!(reason(fifth.take()), "");
        assert_eq!(reason(fifth.waits(0)), "BODIES_AT_ONCE_LIMIT");
        assert!(!fifth.is_waiting());
        assert_eq!(fifth.leave().unwrap().reason(), "BODIES_AT_ONCE_LIMIT");
        // There are two places, and this address may have one of them.
        assert_eq!(reason(waiting[0].comes(9, false)), "");
        assert!(waiting[0].is_waiting());
        assert_eq!(reason(waiting[0].comes(9, true)), "");
        assert_eq!(reason(waiting[1].comes(9, true)), "REQUESTS_AT_ONCE_LIMIT");
        assert!(waiting[0].leave().is_none());
        assert_eq!(reason(waiting[2].comes(9, true)), "");
    }

    #[test]
    fn what_came_at_once_counts_by_its_bytes_and_from_16_kib_on() {
        let room = room(9, 8 * LEAST_BODY_BYTES);
        let seat = seat(&room, 1);
        seat.take().unwrap();
        for (come, counted) in [(100, 0), (LEAST_BODY_BYTES, 0), (16_385, 16_385), (16_385, 16_385)]
        {
            seat.comes(come, false).unwrap();
            assert_eq!(lock(&room.bytes.taken).all, counted);
        }
        seat.waits(16_385).unwrap();
        assert_eq!(lock(&room.bytes.taken).all, 16_385);
        assert_eq!(reason(seat.comes(4 * LEAST_BODY_BYTES, false)), "");
        assert_eq!(reason(seat.comes(4 * LEAST_BODY_BYTES + 1, false)), "BODIES_AT_ONCE_LIMIT");
    }

    #[test]
    fn what_a_request_has_goes_over_to_its_key() {
        let room = room(4, 8 * LEAST_BODY_BYTES);
        let seats: Vec<Seat> = (0..3).map(|address| seat(&room, address)).collect();
        for (seat, refusal) in seats.iter().zip(["", "", "REQUESTS_AT_ONCE_LIMIT"]) {
            seat.take().unwrap();
            assert_eq!(reason(seat.belongs_to("key")), refusal);
            assert_eq!(reason(seat.belongs_to("key")), "");
        }
        assert_eq!(lock(&room.places.taken).by, HashMap::from([(Whose::Key("key".into()), 2)]));
        seats[0].waits(0).unwrap();
        seats[0].belongs_to("other").unwrap();
        let bytes = HashMap::from([(Whose::Key("other".into()), LEAST_BODY_BYTES)]);
        assert_eq!((lock(&room.places.taken).all, &lock(&room.bytes.taken).by), (1, &bytes));
    }

    #[test]
    fn who_asks_too_often_waits_the_longer_the_more_of_it_waits() {
        let room = room(1, 0);
        let one = Whose::Key("one".into());
        let mut waiting: Vec<Paused> = Vec::new();
        for (all, pause_ms) in [(1, 100), (101, 200), (901, 1_000), (4_901, 5_000), (9_000, 5_000)]
        {
            waiting.resize_with(all, || Paused::begin(&room, one.clone()));
            assert_eq!(waiting[0].time(), Duration::from_millis(pause_ms), "{all}");
            let other = Paused::begin(&room, Whose::Key("other".into()));
            assert_eq!(other.time(), SHORTEST_PAUSE);
        }
        drop(waiting);
        assert_eq!(lock(&room.paused).by.len(), 0);
    }

    #[test]
    fn all_is_given_back_in_the_end() {
        let room = room(4, 8 * LEAST_BODY_BYTES);
        let steps: [Step; 6] = [
            Seat::take,
            |seat| seat.belongs_to("key"),
            |seat| seat.waits(3),
            |seat| seat.comes(2 * LEAST_BODY_BYTES, false),
            |seat| seat.comes(3 * LEAST_BODY_BYTES, true),
            |seat| Ok(_ = seat.leave()),
        ];
        // The other seats make some of the steps fail.
        for others in 0..4 {
            let other: Vec<Seat> = (0..others).map(|i| seat(&room, 7 + i)).collect();
            for seat in &other {
                seat.take().unwrap();
                seat.comes(2 * LEAST_BODY_BYTES, true).unwrap();
            }
            for end in 1..=steps.len() {
                let seat = seat(&room, 1);
                steps[..end].iter().for_each(|step| _ = step(&seat));
            }
            drop(other);
            for pool in [&room.places, &room.bytes] {
                let taken = lock(&pool.taken);
                assert_eq!((taken.all, taken.by.len()), (0, 0), "{others}");
            }
        }
    }
}
