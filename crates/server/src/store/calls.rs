//! The calls of an engine, and those that watch them: the notes of damage, and tests.

use std::{
    any::Any,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;

use super::{StoreError, damages::Place};

/// One call of a method of a store.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method's name.
    pub method: &'static str,
    /// Whether the method writes.
    pub is_write: bool,
    /// The part of the data that the call is about.
    pub(super) place: Place<'a>,
}

impl<'a> Call<'a> {
    pub(super) fn read(method: &'static str, place: Place<'a>) -> Self {
        Self { method, is_write: false, place }
    }

    pub(super) fn write(method: &'static str, place: Place<'a>) -> Self {
        Self { method, is_write: true, place }
    }
}

/// A part of the program that watches the calls of an engine.
#[async_trait]
pub trait Watch: Send + Sync {
    /// The engine waits for this before each call. An error is the answer in place of the engine's.
    async fn before(&self, call: Call<'_>) -> Result<(), StoreError> {
        _ = call;
        Ok(())
    }

    /// The answer of a call, of the type that the method has. An error takes the place of the answer.
    fn after(
        &self,
        call: Call<'_>,
        answer: Result<&mut dyn Any, &StoreError>,
    ) -> Result<(), StoreError>;
}

/// Those that watch an engine.
#[derive(Default)]
pub(super) struct Calls(RwLock<Arc<Vec<Arc<dyn Watch>>>>);

impl Calls {
    pub(super) fn watch(&self, watch: Arc<dyn Watch>) {
        let mut watching = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *watching = Arc::new(watching.iter().cloned().chain([watch]).collect());
    }

    /// Runs the work of a call.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let watching = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let run = async {
            for watch in watching.iter() {
                watch.before(call).await?;
            }
            work.await
        };
        let mut answer = run.await;
        for watch in watching.iter() {
            let seen =
                answer.as_mut().map(|answer| answer as &mut dyn Any).map_err(|error| &*error);
            if let Err(error) = watch.after(call, seen) {
                answer = Err(error);
            }
        }
        answer
    }
}
