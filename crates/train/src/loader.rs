//! Batches that somebody else brings, and what is done when none comes.

use crate::data::{Batch, DataError};
use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

type Load = dyn Fn(u64) -> Result<Batch, DataError> + Send + Sync;

/// A source of batches outside this crate. The batch of a number (1, 2, …) must always be the same, or work taken up again differs.
#[derive(Clone)]
pub struct Loader {
    load: Arc<Load>,
    timeout: Duration,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Loader {
    /// One that is given up on when a batch takes longer than `timeout`.
    pub fn new(timeout: Duration, load: impl Fn(u64) -> Result<Batch, DataError> + Send + Sync + 'static) -> Self {
        Self { load: Arc::new(load), timeout }
    }

    /// The batch, or why there is none. A load that hangs is left behind on its own thread.
    pub(crate) fn fetch(&self, number: u64) -> Result<Batch, String> {
        let (send, receive) = mpsc::channel();
        let load = Arc::clone(&self.load);
        thread::spawn(move || send.send(load(number)));
        match receive.recv_timeout(self.timeout) {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(error)) => Err(error.to_string()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("no batch in {} s", self.timeout.as_secs_f64())),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err("the loader died".to_owned()),
        }
    }
}
