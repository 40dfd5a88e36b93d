//! Budgets: what a unit of work may cost is reserved before it is done, so that no cap is ever crossed.

use crate::ratio::ratio;
use evidence::{Decimal, Digest, Round, Unit};
use std::{
    fmt,
    fs::{self, File, TryLockError},
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
    /// Rounded up, so that a cost is never understated. What is not known is given as NaN and costs more than any cap.
    #[must_use]
    pub fn new(flop: u128, seconds: f64, joules: f64, grams: f64) -> Self {
        let up = |number: f64| if number.is_nan() { u128::MAX } else { (number * 1e6).ceil() as u128 };
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

    /// One kind of cost in its unit, rounded in the stated direction: FLOP to 15 digits, the others to 12.
    #[must_use]
    pub fn in_unit(self, kind: usize, round: Round) -> Decimal {
        match (self.0[kind], KINDS[kind].2) {
            (cost, 1) => Decimal::from_u128(cost, round),
            (cost, scale) => ratio(cost, scale, round),
        }
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

    /// Whether every cap that is set can be held: carbon only where the grid's intensity is known.
    ///
    /// # Errors
    /// `UnknownCarbon` for a carbon cap that nothing could be counted against.
    pub const fn check(&self, carbon_is_known: bool) -> Result<(), UnknownCarbon> {
        if self.0[3].is_some() && !carbon_is_known { Err(UnknownCarbon) } else { Ok(()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a carbon budget is set, but emissions cannot be known without a country of the intensity table: name the country, or take the carbon budget out"
)]
pub struct UnknownCarbon;

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
        if self.asked == u128::MAX {
            return write!(
                f,
                "the {name} budget of {cap} {unit} cannot be held: what the next unit of work may take is unknown"
            );
        }
        write!(
            f,
            "the {name} budget of {cap} {unit} would be crossed: {spent} {unit} are spent and the next unit of work may take {asked} {unit}"
        )
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("the budget journal {} cannot be {doing}", .path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("line {line} of the budget journal {} is not one of ours; the spending so far is unknown, so nothing is started: remove the folder it is in to begin anew", .path.display())]
    Damaged { path: PathBuf, line: usize },
    #[error("the budget journal {} is in use by another run", .path.display())]
    InUse { path: PathBuf },
}

/// What has been spent against the caps, kept in a journal.
///
/// A hold is durable before work begins under it. A crash leaves the hold standing, and opening the journal books it in full:
/// what may have been spent counts as spent. One account at a time has a journal.
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
    /// After a failed write the end of the journal is not known, so nothing more is written behind it.
    is_broken: bool,
}

impl Account {
    /// Opens the journal, or begins one. A last line that a crash tore is cut off: nothing was done under it.
    ///
    /// # Errors
    /// `AccountError`: a journal that is not ours is never overwritten, and one that is in use is left alone.
    pub fn open(path: &Path, caps: Caps) -> Result<Self, AccountError> {
        let failed = |doing| move |source| AccountError::File { path: path.to_path_buf(), doing, source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(failed("made"))?;
        }
        let journal = File::options().create(true).read(true).append(true).open(path).map_err(failed("opened"))?;
        journal.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => AccountError::InUse { path: path.to_path_buf() },
            TryLockError::Error(source) => failed("locked")(source),
        })?;
        if let Some(folder) = folder {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("made durable"))?;
        }
        let bytes = fs::read(path).map_err(failed("read"))?;
        let whole = whole_lines(&bytes);
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let spent = spent_of(&text).map_err(|line| AccountError::Damaged { path: path.to_path_buf(), line })?;
        if whole < bytes.len() {
            journal.set_len(whole as u64).map_err(failed("cut"))?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            journal,
            caps,
            spent,
            hold: Cost::default(),
            open: Cost::default(),
            is_broken: false,
        })
    }

    /// Takes the upper cost of one unit of work from the budget, before it is done. Holds for up to `block` units at a time are
    /// made durable, as long as they fit.
    ///
    /// # Errors
    /// `Ok(Err(refusal))` when it does not fit; `Err` when the journal cannot be written.
    pub fn reserve(&mut self, unit: Cost, block: u64) -> Result<Result<(), Refusal>, AccountError> {
        let asked = self.open.plus(unit);
        if let Some(refusal) = self.refusal(asked) {
            return Ok(Err(refusal));
        }
        if self.is_broken || !self.hold.covers(asked) {
            let wished = self.open.plus(unit.times(block.max(1)));
            self.write(if self.refusal(wished).is_none() { wished } else { asked })?;
        }
        self.open = asked;
        Ok(Ok(()))
    }

    fn refusal(&self, hold: Cost) -> Option<Refusal> {
        (0..4).find_map(|kind| {
            let (cap, spent, asked) = (self.caps.0[kind]?, self.spent.0[kind], hold.0[kind]);
            let is_unknown = asked == u128::MAX;
            (is_unknown || spent.saturating_add(asked) > cap).then_some(Refusal { kind, cap, spent, asked })
        })
    }

    /// Books what a unit really cost, and frees what was reserved for it.
    ///
    /// A unit that cost more than was reserved is booked at what it cost, at once and durably; when the journal cannot take it, the
    /// next reservation fails.
    pub fn settle(&mut self, reserved: Cost, actual: Cost) {
        self.spent = self.spent.plus(actual);
        self.open = self.open.minus(reserved);
        self.hold = self.hold.minus(reserved);
        if !reserved.covers(actual) {
            self.is_broken |= self.write(self.hold).is_err();
        }
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
        let written = match self.is_broken {
            true => Err(io::Error::other("an earlier write failed")),
            false => self.journal.write_all(line.as_bytes()).and_then(|()| self.journal.sync_data()),
        };
        self.is_broken = written.is_err();
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

/// How many bytes are whole lines. What follows was being written when a crash came: it has no end, or blocks that never arrived.
fn whole_lines(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
    let last =
        bytes[..end.saturating_sub(1)].iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
    if bytes[last..end].contains(&0) { last } else { end }
}

/// What the journal says was spent, the last hold booked in full; the number of the first line that is not ours otherwise.
fn spent_of(text: &str) -> Result<Cost, usize> {
    let mut spent = Cost::default();
    for (position, written) in text.split_inclusive('\n').enumerate() {
        let (total, hold) = read_line(written).ok_or(position + 1)?;
        spent = total.plus(hold);
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
mod tests;
