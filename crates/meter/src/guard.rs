//! The answer to "may the next unit of work run?": reserve its upper cost, or say stop.

use crate::{Account, AccountError, Cost, Intensity, Sensor};
use evidence::Control;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Asked before each unit of work; told after it.
#[derive(Debug)]
pub struct Guard {
    account: Account,
    sensor: Sensor,
    intensity: Option<Intensity>,
    /// Slowest pace seen, in seconds a FLOP, or until a unit has been timed the one supposed; the next unit is expected to take no more
    /// than three times as long.
    pace: f64,
    is_timed: bool,
    under_way: Option<(Instant, u128, Cost)>,
    interrupted: Arc<AtomicBool>,
    failure: Option<AccountError>,
}

/// How much slower than the slowest unit so far the next one may be.
const MARGIN: f64 = 3.0;
/// Reservations are made durable for about this long at a time.
const BLOCK_S: f64 = 1.0;

impl Guard {
    /// `pace` is what a unit is expected to take before one has been timed, in seconds a FLOP. `interrupted` may be set at any
    /// time, by a signal for example; the next unit is then refused.
    #[must_use]
    pub const fn new(
        account: Account,
        sensor: Sensor,
        intensity: Option<Intensity>,
        pace: f64,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        Self { account, sensor, intensity, pace, is_timed: false, under_way: None, interrupted, failure: None }
    }

    /// Reserves the upper cost of a unit of `flop`. What is still under way is settled first.
    pub fn ask(&mut self, flop: u128) -> Control {
        self.done();
        if self.interrupted.load(Ordering::SeqCst) {
            return Control::Stop("interrupted by a person".to_owned());
        }
        let seconds = flop as f64 * self.pace * MARGIN;
        let reserved = self.cost(flop, seconds, self.sensor.watts_max() * seconds);
        let block = (BLOCK_S / seconds.max(1e-6)).ceil().clamp(1.0, 64.0) as u64;
        match self.account.reserve(reserved, block) {
            Ok(Ok(())) => {
                self.under_way = Some((Instant::now(), flop, reserved));
                Control::Continue
            }
            Ok(Err(refusal)) => Control::Stop(refusal.to_string()),
            Err(error) => {
                let reason = error.to_string();
                self.failure = Some(error);
                Control::Stop(reason)
            }
        }
    }

    /// Settles the unit under way at what it took.
    pub fn done(&mut self) {
        if let Some((begun, flop, reserved)) = self.under_way.take() {
            let seconds = begun.elapsed().as_secs_f64();
            // A unit without arithmetic says nothing of the pace. What was supposed holds until something is known: kept longer, it
            // would forbid a large unit that takes seconds.
            if flop > 0 {
                let pace = seconds / flop as f64;
                self.pace = if self.is_timed { self.pace.max(pace) } else { pace };
                self.is_timed = true;
            }
            let joules = self.sensor.read(seconds).upper;
            self.account.settle(reserved, self.cost(flop, seconds, joules));
        }
    }

    fn cost(&self, flop: u128, seconds: f64, joules: f64) -> Cost {
        let grams_per_kwh = self.intensity.as_ref().map_or(0.0, |intensity| intensity.grams_per_kwh.to_f64());
        Cost::new(flop, seconds, joules, joules / 3.6e6 * grams_per_kwh)
    }

    /// What the journal could not take; a stop that came of it is an error, not a decision.
    pub const fn take_failure(&mut self) -> Option<AccountError> {
        self.failure.take()
    }

    /// Nothing is under way: every hold is freed.
    ///
    /// # Errors
    /// What the journal cannot take.
    pub fn close(&mut self) -> Result<(), AccountError> {
        self.done();
        self.account.close()
    }

    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.account
    }

    #[must_use]
    pub const fn sensor(&self) -> &Sensor {
        &self.sensor
    }

    #[must_use]
    pub const fn intensity(&self) -> Option<&Intensity> {
        self.intensity.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Caps;

    /// 10 GFLOP at the gigaflop a second that is supposed, three times as long at most, are 30 s; a unit that was timed shows otherwise.
    #[test]
    fn a_supposed_pace_yields_to_the_first_that_was_timed() {
        let folder = tempfile::tempdir().unwrap();
        let caps = Caps::new([None, Some("10".parse().unwrap()), None, None]);
        let guard = || {
            let account = Account::open(&folder.path().join("journal"), caps).unwrap();
            Guard::new(account, Sensor::find(1), None, 1e-9, Arc::new(AtomicBool::new(false)))
        };
        assert!(matches!(guard().ask(10_000_000_000), Control::Stop(_)));
        let mut timed = guard();
        for flop in [1_000_000_000, 0, 10_000_000_000] {
            assert_eq!(timed.ask(flop), Control::Continue);
        }
        timed.close().unwrap();
    }
}
