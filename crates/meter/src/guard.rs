//! The answer to "may the next unit of work run?": reserve its upper cost, or say stop.

use crate::{Account, AccountError, Cost, Intensity, Sensor};
use evidence::Control;
use std::{
    collections::BTreeMap,
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
    /// By lane: work that goes on side by side.
    under_way: BTreeMap<usize, (Instant, u128, Cost)>,
    /// When time and energy were last booked.
    booked: Option<Instant>,
    interrupted: Arc<AtomicBool>,
    has_refused: bool,
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
        Self {
            account,
            sensor,
            intensity,
            pace,
            is_timed: false,
            under_way: BTreeMap::new(),
            booked: None,
            interrupted,
            has_refused: false,
            failure: None,
        }
    }

    /// Reserves the upper cost of a unit of `flop`. What is still under way is settled first.
    pub fn ask(&mut self, flop: u128) -> Control {
        self.ask_as(0, flop)
    }

    /// As `ask`, for one of several workers side by side: what is under way in other lanes goes on.
    pub fn ask_as(&mut self, lane: usize, flop: u128) -> Control {
        self.done_as(lane);
        if self.interrupted.load(Ordering::SeqCst) {
            return Control::Stop("interrupted by a person".to_owned());
        }
        let seconds = flop as f64 * self.pace * MARGIN;
        let reserved = self.cost(flop, seconds, self.sensor.watts_max() * seconds);
        let block = (BLOCK_S / seconds.max(1e-6)).ceil().clamp(1.0, 64.0) as u64;
        match self.account.reserve(reserved, block) {
            Ok(Ok(())) => {
                self.under_way.insert(lane, (Instant::now(), flop, reserved));
                Control::Continue
            }
            Ok(Err(refusal)) => {
                self.has_refused = true;
                Control::Stop(refusal.to_string())
            }
            Err(error) => {
                let reason = error.to_string();
                self.failure = Some(error);
                Control::Stop(reason)
            }
        }
    }

    /// Settles the unit under way at what it took.
    pub fn done(&mut self) {
        self.done_as(0);
    }

    /// Settles the unit under way in a lane. Time that lanes share is booked once, with its energy.
    pub fn done_as(&mut self, lane: usize) {
        if let Some((begun, flop, reserved)) = self.under_way.remove(&lane) {
            let now = Instant::now();
            let since = self.booked.map_or(begun, |booked| booked.max(begun));
            // A unit without arithmetic says nothing of the pace. What was supposed holds until something is known: kept longer, it
            // would forbid a large unit that takes seconds.
            if flop > 0 {
                let pace = (now - begun).as_secs_f64() / flop as f64;
                self.pace = if self.is_timed { self.pace.max(pace) } else { pace };
                self.is_timed = true;
            }
            self.booked = Some(now);
            let seconds = (now - since).as_secs_f64();
            let joules = self.sensor.read(seconds).upper;
            self.account.settle(reserved, self.cost(flop, seconds, joules));
        }
    }

    fn cost(&self, flop: u128, seconds: f64, joules: f64) -> Cost {
        let grams_per_kwh = self.intensity.as_ref().map_or(0.0, |intensity| intensity.grams_per_kwh.to_f64());
        Cost::new(flop, seconds, joules, joules / 3.6e6 * grams_per_kwh)
    }

    /// Whether the budget did not allow a unit. An interruption by a person is none of its refusals.
    #[must_use]
    pub const fn has_refused(&self) -> bool {
        self.has_refused
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
        let lanes: Vec<usize> = self.under_way.keys().copied().collect();
        lanes.into_iter().for_each(|lane| self.done_as(lane));
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
    use std::{thread, time::Duration};

    fn guard(folder: &std::path::Path, flop: u128) -> Guard {
        let account = Account::open(&folder.join("journal"), Caps([Some(flop), None, None, None])).unwrap();
        Guard::new(account, Sensor::find(1), None, 1e-9, Arc::new(AtomicBool::new(false)))
    }

    /// Four units in two lanes over about 40 ms: 60 ms are worked, no more than the wall's are booked.
    #[test]
    fn time_that_lanes_share_is_booked_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = guard(folder.path(), 1_000);
        let begun = Instant::now();
        for _ in 0..2 {
            assert_eq!([guard.ask_as(0, 100), guard.ask_as(1, 100)], [Control::Continue, Control::Continue]);
            thread::sleep(Duration::from_millis(10));
            guard.done_as(1);
            thread::sleep(Duration::from_millis(10));
            guard.done_as(0);
        }
        guard.close().unwrap();
        let wall = begun.elapsed().as_micros();
        let [flop, time, ..] = guard.account().spent().0;
        assert_eq!(flop, 400);
        assert!((40_000..=wall + 4).contains(&time), "{time} of {wall}");
    }

    #[test]
    fn lanes_together_stay_under_a_cap() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = guard(folder.path(), 250);
        assert_eq!([guard.ask_as(0, 100), guard.ask_as(1, 100)], [Control::Continue, Control::Continue]);
        assert!(matches!(guard.ask_as(2, 100), Control::Stop(_)));
        guard.close().unwrap();
        assert!(guard.has_refused());
        assert_eq!(guard.account().spent().0[0], 200);
    }

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
