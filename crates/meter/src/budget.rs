//! Budgets: what a unit of work may cost is reserved before it is done, so that no cap is ever crossed.

use evidence::{Decimal, Digest, Round, Unit};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Costs in integers, so that restarts add up to the digit: FLOP, microseconds, microjoules, micrograms of CO2e.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost(pub [u128; 4]);

/// The kinds of cost, in the order of [`Cost`], with name, unit, and how many of ours make one.
pub const KINDS: [(&str, Unit, u128); 4] = [
    ("compute", Unit::Flop, 1),
    ("time", Unit::Second, 1_000_000),
    ("energy", Unit::KilowattHour, 3_600_000_000_000),
    ("carbon", Unit::GramCo2e, 1_000_000),
];

impl Cost {
    /// Rounded up, so that a cost is never understated.
    #[must_use]
    pub fn new(flop: u128, seconds: f64, joules: f64, grams: f64) -> Self {
        let up = |number: f64| (number.max(0.0) * 1e6).ceil() as u128;
        Self([flop, up(seconds), up(joules), up(grams)])
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind].saturating_add(other.0[kind])))
    }

    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self(self.0.map(|cost| cost.saturating_mul(u128::from(n))))
    }

    fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind].saturating_sub(other.0[kind])))
    }

    fn covers(self, other: Self) -> bool {
        (0..4).all(|kind| self.0[kind] >= other.0[kind])
    }

    /// One kind of cost in its unit, rounded in the stated direction to 15 digits.
    #[must_use]
    pub fn in_unit(self, kind: usize, round: Round) -> Decimal {
        let (cost, (_, _, scale)) = (self.0[kind], KINDS[kind]);
        if scale == 1 {
            return Decimal::from_u128(cost, round);
        }
        Decimal::from_f64(cost as f64 / scale as f64, 12, round).unwrap_or(Decimal::ZERO)
    }
}

/// The caps that are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps(pub [Option<u128>; 4]);

impl Caps {
    /// From decimals in the units of [`KINDS`]; rounded down.
    #[must_use]
    pub fn new(caps: [Option<Decimal>; 4]) -> Self {
        Self(std::array::from_fn(|kind| caps[kind].map(|cap| scaled_down(cap, KINDS[kind].2))))
    }

    /// A cap in its unit.
    #[must_use]
    pub fn in_unit(&self, kind: usize) -> Option<Decimal> {
        let mut cost = Cost::default();
        cost.0[kind] = self.0[kind]?;
        Some(cost.in_unit(kind, Round::Nearest))
    }
}

/// `value` × `scale`, exact in integers and then rounded down; saturates.
fn scaled_down(value: Decimal, scale: u128) -> u128 {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse::<u128>().unwrap_or(0).saturating_mul(scale);
    let digits: u128 = fraction.chars().take(18).collect::<String>().parse().unwrap_or(0);
    let places = 10_u128.pow(fraction.len().min(18) as u32);
    whole.saturating_add(digits.saturating_mul(scale) / places)
}

/// A reservation that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub kind: usize,
    pub cap: u128,
    pub spent: u128,
    pub asked: u128,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit, _) = KINDS[self.kind];
        let shown = |amount: u128| {
            let mut cost = Cost::default();
            cost.0[self.kind] = amount;
            cost.in_unit(self.kind, Round::Nearest)
        };
        let [cap, spent, asked] = [self.cap, self.spent, self.asked].map(shown);
        write!(f, "the {name} budget of {cap} {unit} would be crossed: {spent} {unit} are spent and the next unit of work may take {asked} {unit}")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("the budget journal {} cannot be {doing}", .path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("line {line} of the budget journal {} is not one of ours; the spending so far is unknown, so nothing is started: remove the folder it is in to begin anew", .path.display())]
    Damaged { path: PathBuf, line: usize },
}

/// What has been spent against the caps, kept in a journal.
///
/// A hold is durable before work begins under it. A crash leaves the hold standing, and opening the journal books it in full:
/// what may have been spent counts as spent.
#[derive(Debug)]
pub struct Account {
    path: PathBuf,
    journal: File,
    caps: Caps,
    spent: Cost,
    /// Durable; what units take from it is in `open`.
    hold: Cost,
    /// Taken from the hold by units that are not yet settled.
    open: Cost,
}

impl Account {
    /// Opens the journal, or begins one.
    ///
    /// # Errors
    /// `AccountError`: a journal that is not ours is never overwritten.
    pub fn open(path: &Path, caps: Caps) -> Result<Self, AccountError> {
        let failed = |doing| move |source| AccountError::File { path: path.to_path_buf(), doing, source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("made"))?;
        }
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed("read")(error)),
        };
        let spent = spent_of(&text).map_err(|line| AccountError::Damaged { path: path.to_path_buf(), line })?;
        let mut journal = File::options().create(true).append(true).open(path).map_err(failed("opened"))?;
        if !text.is_empty() && !text.ends_with('\n') {
            // A torn last line: the work it was for had not begun.
            journal.write_all(b"\n").map_err(failed("written"))?;
        }
        Ok(Self { path: path.to_path_buf(), journal, caps, spent, hold: Cost::default(), open: Cost::default() })
    }

    /// Takes the upper cost of one unit of work from the budget, before it is done. Holds for up to `block` units at a time are
    /// made durable, as long as they fit.
    ///
    /// # Errors
    /// `Ok(Err(refusal))` when it does not fit; `Err` when the journal cannot be written.
    pub fn reserve(&mut self, unit: Cost, block: u64) -> Result<Result<(), Refusal>, AccountError> {
        let asked = self.open.plus(unit);
        if !self.hold.covers(asked) {
            let wished = self.open.plus(unit.times(block.max(1)));
            let hold = if self.refusal(wished).is_none() { wished } else { asked };
            if let Some(refusal) = self.refusal(hold) {
                return Ok(Err(refusal));
            }
            self.write(hold)?;
        }
        self.open = asked;
        Ok(Ok(()))
    }

    fn refusal(&self, hold: Cost) -> Option<Refusal> {
        (0..4).find_map(|kind| {
            let (cap, spent, asked) = (self.caps.0[kind]?, self.spent.0[kind], hold.0[kind]);
            (spent.saturating_add(asked) > cap).then_some(Refusal { kind, cap, spent, asked })
        })
    }

    /// Books what a unit really cost, and frees what was reserved for it.
    pub fn settle(&mut self, reserved: Cost, actual: Cost) {
        self.spent = self.spent.plus(actual);
        self.open = self.open.minus(reserved);
        self.hold = self.hold.minus(reserved);
    }

    /// Frees every hold: nothing is under way.
    ///
    /// # Errors
    /// `AccountError` when the journal cannot be written.
    pub fn close(&mut self) -> Result<(), AccountError> {
        self.open = Cost::default();
        self.write(Cost::default())
    }

    fn write(&mut self, hold: Cost) -> Result<(), AccountError> {
        let line = line(self.spent, hold);
        let written = self.journal.write_all(line.as_bytes()).and_then(|()| self.journal.sync_data());
        written.map_err(|source| AccountError::File { path: self.path.clone(), doing: "written", source })?;
        self.hold = hold;
        Ok(())
    }

    #[must_use]
    pub const fn spent(&self) -> Cost {
        self.spent
    }

    #[must_use]
    pub const fn caps(&self) -> Caps {
        self.caps
    }

    /// The largest share of any cap that is spent; `None` without caps.
    #[must_use]
    pub fn share_used(&self) -> Option<f64> {
        let shares = (0..4).filter_map(|kind| Some(self.spent.0[kind] as f64 / self.caps.0[kind]?.max(1) as f64));
        shares.reduce(f64::max)
    }
}

fn line(spent: Cost, hold: Cost) -> String {
    let four = |cost: Cost| cost.0.map(|n| n.to_string()).join(",");
    let body = format!("spent={} hold={}", four(spent), four(hold));
    let sum = Digest::of(body.as_bytes()).to_string();
    format!("{body} sum={}\n", &sum[..16])
}

/// What the journal says was spent, holds booked in full; the number of the first line that is not ours otherwise.
///
/// Only the last line may be torn: it was being written, and nothing was done under it.
fn spent_of(text: &str) -> Result<Cost, usize> {
    let mut spent = Cost::default();
    let n = text.split_inclusive('\n').count();
    for (position, written) in text.split_inclusive('\n').enumerate() {
        match read_line(written) {
            Some((total, hold)) => spent = total.plus(hold),
            None if position + 1 == n || written.trim().is_empty() || !written.contains(" sum=") => {}
            None => return Err(position + 1),
        }
    }
    Ok(spent)
}

fn read_line(written: &str) -> Option<(Cost, Cost)> {
    let four = |text: &str| {
        let numbers = text.split(',').map(|n| n.parse().ok()).collect::<Option<Vec<u128>>>()?;
        numbers.try_into().ok().map(Cost)
    };
    let (body, _) = written.split_once(" sum=")?;
    let (spent, hold) = body.strip_prefix("spent=")?.split_once(" hold=")?;
    let (spent, hold) = (four(spent)?, four(hold)?);
    (line(spent, hold) == written).then_some((spent, hold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flop(n: u128) -> Cost {
        Cost([n, 0, 0, 0])
    }

    #[test]
    fn a_refusal_says_what_would_be_crossed() {
        let dir = tempfile::tempdir().unwrap();
        let caps = Caps::new([None, None, Some("0.05".parse().unwrap()), None]);
        let mut account = Account::open(&dir.path().join("journal"), caps).unwrap();
        let refusal = account.reserve(Cost::new(1, 1.0, 200_000.0, 0.0), 1).unwrap().unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the energy budget of 0.05 kWh would be crossed: 0 kWh are spent and the next unit of work may take 0.0555555555556 kWh"
        );
    }

    #[test]
    fn a_crash_books_the_open_hold_in_full_and_a_raise_lets_work_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (path, caps) = (dir.path().join("journal"), Caps([Some(100), None, None, None]));
        let mut account = Account::open(&path, caps).unwrap();
        account.reserve(flop(10), 3).unwrap().unwrap();
        account.settle(flop(10), flop(9));
        drop(account);
        // Spent 9 of the hold of 30 before the crash; the hold was made when nothing was spent, so 30 count.
        let mut account = Account::open(&path, caps).unwrap();
        assert_eq!(account.spent(), flop(30));
        assert_eq!(account.reserve(flop(71), 1).unwrap().unwrap_err().spent, 30);
        drop(account);
        let mut account = Account::open(&path, Caps([Some(101), None, None, None])).unwrap();
        account.reserve(flop(71), 5).unwrap().unwrap();
        account.settle(flop(71), flop(71));
        account.close().unwrap();
        assert_eq!(Account::open(&path, caps).unwrap().spent(), flop(101));
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_a_foreign_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let whole = line(flop(7), flop(0));
        fs::write(&path, format!("{whole}{}", &line(flop(9), flop(1))[..20])).unwrap();
        assert_eq!(Account::open(&path, Caps::default()).unwrap().spent(), flop(7));
        fs::write(&path, format!("{}{whole}", whole.replace("spent=7", "spent=8"))).unwrap();
        let error = Account::open(&path, Caps::default()).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of the budget journal"), "{error}");
    }

    #[test]
    fn caps_are_exact() {
        assert_eq!(Caps::new([Some("1e14".parse().unwrap()), Some("0.5".parse().unwrap()), None, None]).0, [Some(100_000_000_000_000), Some(500_000), None, None]);
    }

    proptest! {
        /// Under random unit costs, block sizes and crashes: what was really spent never passes the cap.
        #[test]
        fn the_budget_is_never_crossed(cap in 1_u128..2000, work in proptest::collection::vec((1_u128..60, 0_u128..60, 1_u64..6, 0_u8..10), 1..80)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let caps = Caps([Some(cap), None, None, None]);
            let mut account = Account::open(&path, caps).unwrap();
            let mut really = 0;
            for (upper, actual, block, fate) in work {
                if account.reserve(flop(upper), block).unwrap().is_err() {
                    continue;
                }
                really += actual.min(upper);
                prop_assert!(really <= cap);
                match fate {
                    0 => { drop(account); account = Account::open(&path, caps).unwrap(); }
                    _ => account.settle(flop(upper), flop(actual.min(upper))),
                }
                prop_assert!(account.spent().0[0] >= really);
            }
        }
    }
}
