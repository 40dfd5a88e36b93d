//! Training spread over ranks: copies of one run, each with its share of a batch, that stay the same bit for bit.
//!
//! Every rank makes the same calls in the same order. The first holds the observer, the folder of snapshots and the record; what
//! it decides the others are told. Gradients are added in the order of the parts of a batch, whoever computed them.
//!
//! Legend: n ranks, P parts of a batch.

#[cfg(feature = "mpi")]
mod mpi;
#[cfg(not(feature = "mpi"))]
#[path = "ranks/without_mpi.rs"]
mod mpi;
mod threads;

use evidence::{Control, Json};
use std::{
    cell::{Cell, RefCell},
    fmt::Debug,
};

/// Asked while a rank waits for others: the reason to wait no longer.
pub type GiveUp = Box<dyn Fn() -> Option<String> + Send>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RanksError {
    #[error("the ranks have lost one another: {0}")]
    Lost(String),
    #[error("rank {rank} could not go on: {reason}")]
    Failed { rank: usize, reason: String },
    #[error("rank {rank} differs from rank 0 in its {what}: expected {expected}, found {found}")]
    Differs { rank: usize, what: String, expected: String, found: String },
    #[error("the weights of rank {rank} after step {step} are not those of rank 0; nothing was written")]
    Apart { rank: usize, step: u64 },
    #[error("rank {rank} said what nobody can read")]
    Unread { rank: usize },
    #[error(
        "this program was built without the feature `mpi`, so that {n} processes would be {n} runs of their own; build it with `cargo build --release --features mpi`, or start it without mpirun"
    )]
    NotBuilt { n: usize },
    #[error("MPI could not be started")]
    NotStarted,
}

/// How ranks reach one another. `Err` says why one was lost; nothing is asked of a link after that. One that is dropped leaves
/// the others without a word.
trait Link: Debug + Send {
    /// What every rank gives, in the order of ranks.
    fn gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, String>;
    /// Of `entries` everybody else's share is given away: what comes back are the shares of this rank that each gave, in the order
    /// of ranks. Rank r's share is from `cuts[r]` to `cuts[r + 1]`.
    fn deal(&mut self, entries: Vec<f32>, cuts: &[usize]) -> Result<Vec<f32>, String>;
    /// The shares of all, in the order of ranks.
    fn collect(&mut self, own: Vec<f32>, cuts: &[usize]) -> Result<Vec<f32>, String>;
    /// Waits for all without working at it.
    fn meet(&mut self) -> Result<(), String>;
    /// Ends what all have agreed to end.
    fn part(self: Box<Self>) -> Result<(), String>;
}

/// This process among those that train together.
#[derive(Debug)]
pub struct Ranks {
    rank: usize,
    n: usize,
    link: RefCell<Option<Box<dyn Link>>>,
    /// Why there is no link any more; `None` also where there never was one.
    lost: RefCell<Option<String>>,
    /// Bytes that went out from here, of gradients.
    n_bytes: Cell<u64>,
}

impl Ranks {
    /// A run by itself.
    #[must_use]
    pub const fn alone() -> Self {
        Self { rank: 0, n: 1, link: RefCell::new(None), lost: RefCell::new(None), n_bytes: Cell::new(0) }
    }

    /// Joins the processes that mpirun started; `n` as its environment says. `give_up` is asked while others are waited for.
    ///
    /// # Errors
    /// `NotBuilt` without the feature `mpi`, `NotStarted`.
    pub fn join(n: usize, give_up: GiveUp) -> Result<Self, RanksError> {
        let (rank, n, link) = mpi::join(n, give_up)?;
        Ok(Self { rank, n, link: RefCell::new(Some(link)), ..Self::alone() })
    }

    /// Ranks that are threads of one process, for a look at what spreading does without MPI. One that is dropped is lost to the others.
    #[must_use]
    pub fn in_threads(n: usize) -> Vec<Self> {
        let links = threads::links(n).into_iter().enumerate();
        links.map(|(rank, link)| Self { rank, n, link: RefCell::new(Some(Box::new(link))), ..Self::alone() }).collect()
    }

    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    #[must_use]
    pub const fn n(&self) -> usize {
        self.n
    }

    /// Whether this rank keeps the record.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Whether there are others to speak to.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// Why this rank goes on without the others, when it does.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    fn lose(&self, reason: &str) -> RanksError {
        // A link that is dropped ends nothing with those who are gone.
        drop(self.link.borrow_mut().take());
        self.lost.borrow_mut().get_or_insert_with(|| reason.to_owned());
        RanksError::Lost(reason.to_owned())
    }

    fn over<T>(&self, act: impl FnOnce(&mut dyn Link) -> Result<T, String>) -> Result<T, RanksError> {
        let mut held = self.link.borrow_mut();
        let acted = match held.as_mut() {
            Some(link) => act(link.as_mut()),
            None => Err(self.lost().unwrap_or_else(|| "they have parted".to_owned())),
        };
        drop(held);
        acted.map_err(|reason| self.lose(&reason))
    }

    /// What every rank gives, in the order of ranks.
    ///
    /// # Errors
    /// `Lost`.
    pub fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        if self.n == 1 { Ok(vec![own]) } else { self.over(|link| link.gather(own)) }
    }

    /// Waits until all have come here, without working at it.
    ///
    /// # Errors
    /// `Lost`.
    pub fn meet(&self) -> Result<(), RanksError> {
        if self.n == 1 { Ok(()) } else { self.over(|link| link.meet()) }
    }

    /// Leaves the others, all of whom do the same: nothing is said between them any more.
    ///
    /// # Errors
    /// `Lost`.
    pub fn part(&self) -> Result<(), RanksError> {
        let link = self.link.borrow_mut().take();
        link.map_or(Ok(()), |link| link.part().map_err(|reason| self.lose(&reason)))
    }

    /// What the first rank says; the words of the others count for nothing.
    ///
    /// # Errors
    /// `Lost`, `Unread`.
    pub fn first_says(&self, own: &str) -> Result<String, RanksError> {
        let own = if self.is_first() { own.as_bytes().to_vec() } else { Vec::new() };
        let said = self.gather(own)?.into_iter().next().unwrap_or_default();
        String::from_utf8(said).map_err(|_| RanksError::Unread { rank: 0 })
    }

    /// Whether all ranks are alike in these facts, each a name and its value.
    ///
    /// # Errors
    /// `Differs` on every rank, naming the first rank and the first fact that differ; `Lost`, `Unread`.
    pub fn same(&self, facts: &[(&str, String)]) -> Result<(), RanksError> {
        let own = Json::list(facts.iter().map(|(_, value)| value.as_str())).canonical();
        let mut all = Vec::new();
        for (rank, said) in self.gather(own.into_bytes())?.into_iter().enumerate() {
            let said = String::from_utf8(said).ok().and_then(|text| Json::parse(&text).ok());
            let said = said.filter(|said| said.items().len() == facts.len()).ok_or(RanksError::Unread { rank })?;
            all.push(said);
        }
        let text = |rank: usize, fact: usize| all[rank].items()[fact].as_text().unwrap_or_default().to_owned();
        for rank in 1..all.len() {
            for (fact, (what, _)) in facts.iter().enumerate() {
                let (expected, found) = (text(0, fact), text(rank, fact));
                if expected != found {
                    return Err(RanksError::Differs { rank, what: (*what).to_owned(), expected, found });
                }
            }
        }
        Ok(())
    }

    /// Tells the others whether this rank could do its part. `Ok(Err(..))` gives the failure of this rank back to it.
    ///
    /// # Errors
    /// `Failed` where another could not; `Lost`.
    pub fn share<T, E: std::error::Error>(&self, own: Result<T, E>) -> Result<Result<T, E>, RanksError> {
        if self.n == 1 {
            return Ok(own);
        }
        let said = own.as_ref().err().map(|error| chain(error)).unwrap_or_default();
        let all = self.gather(said.into_bytes());
        if own.is_err() {
            // The others end now, and would not answer.
            self.lose("this rank could not go on");
            return Ok(own);
        }
        match all?.into_iter().enumerate().find(|(_, said)| !said.is_empty()) {
            None => Ok(own),
            Some((rank, said)) => {
                let reason = String::from_utf8_lossy(&said).into_owned();
                Err(self.failed(rank, reason))
            }
        }
    }

    /// What every rank has, or why one of them has it not: the same on all.
    pub(crate) fn all_or_none<T>(&self, own: Result<T, String>) -> Result<Result<T, String>, RanksError> {
        if self.n == 1 {
            return Ok(own);
        }
        // A byte before the reason, so that one without words is one all the same.
        let said = own.as_ref().err().map(|reason| format!("!{reason}")).unwrap_or_default();
        let all = self.gather(said.into_bytes())?;
        Ok(match all.iter().find(|said| !said.is_empty()) {
            Some(reason) => Err(String::from_utf8_lossy(&reason[1..]).into_owned()),
            None => own,
        })
    }

    /// Work together has ended, because one could not go on.
    pub(crate) fn failed(&self, rank: usize, reason: String) -> RanksError {
        let error = RanksError::Failed { rank, reason };
        self.lose(&error.to_string());
        error
    }

    /// The answer of the first rank's observer, on every rank. Without the others the first goes on by itself, so that it can stop.
    pub(crate) fn decide(&self, ask: impl FnOnce() -> Control) -> Control {
        if self.n == 1 {
            return ask();
        }
        let gone = |lost: String| Control::Stop(format!("the ranks have lost one another: {lost}"));
        if self.is_first() {
            let control = ask();
            if self.lost().is_none() {
                let _ = self.first_says(&written(&control));
            }
            return match (control, self.lost()) {
                (Control::Continue | Control::Warn(_), Some(lost)) => gone(lost),
                (control, _) => control,
            };
        }
        match self.first_says("") {
            Ok(said) => read(&said).unwrap_or_else(|| Control::Stop("rank 0 said what nobody can read".to_owned())),
            Err(error) => gone(self.lost().unwrap_or_else(|| error.to_string())),
        }
    }

    /// Does something on the first rank alone, and tells the others what came of it.
    pub(crate) fn first_does<T, E: std::error::Error + From<RanksError>>(
        &self,
        act: impl FnOnce() -> Result<T, E>,
        write: impl FnOnce(&T) -> Json,
        read: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<T, E> {
        if self.is_first() {
            let done = act();
            if self.n > 1 && self.lost().is_none() {
                let (told, failure) = match &done {
                    Ok(done) => (Some(write(done)), None),
                    Err(error) => (None, Some(Json::from(chain(error).as_str()))),
                };
                // Whoever does not hear it is missed at the next step.
                let _ = self.first_says(&Json::map([("done", told), ("failure", failure)]).canonical());
                if done.is_err() {
                    self.lose("rank 0 could not go on");
                }
            }
            return done;
        }
        let told = Json::parse(&self.first_says("")?).map_err(|_| RanksError::Unread { rank: 0 })?;
        if let Some(reason) = told.get("failure").and_then(Json::as_text) {
            return Err(self.failed(0, reason.to_owned()).into());
        }
        let done = told.get("done").and_then(read);
        Ok(done.ok_or(RanksError::Unread { rank: 0 })?)
    }

    /// Adds one part's entries from every rank to the share of `sum` that is this rank's, in the order of ranks: the same additions
    /// as by one rank that goes through the parts one after another. Gives a buffer like `entries` back.
    pub(crate) fn add_in_order(&self, sum: &mut [f32], entries: Vec<f32>) -> Result<Vec<f32>, RanksError> {
        let add = |sum: &mut [f32], part: &[f32]| sum.iter_mut().zip(part).for_each(|(sum, entry)| *sum += entry);
        if self.n == 1 {
            add(sum, &entries);
            return Ok(entries);
        }
        let (cuts, n_entries) = (self.cuts(sum.len()), entries.len());
        let (begin, end) = (cuts[self.rank], cuts[self.rank + 1]);
        self.n_bytes.set(self.n_bytes.get() + 4 * (n_entries - (end - begin)) as u64);
        let mut dealt = self.over(|link| link.deal(entries, &cuts))?;
        if end > begin {
            dealt.chunks(end - begin).for_each(|part| add(&mut sum[begin..end], part));
        }
        dealt.clear();
        dealt.resize(n_entries, 0.0);
        Ok(dealt)
    }

    /// Gives every rank the shares of the others.
    pub(crate) fn complete(&self, sum: &mut Vec<f32>) -> Result<(), RanksError> {
        if self.n == 1 {
            return Ok(());
        }
        let cuts = self.cuts(sum.len());
        let own = sum[cuts[self.rank]..cuts[self.rank + 1]].to_vec();
        self.n_bytes.set(self.n_bytes.get() + 4 * (own.len() * (self.n - 1)) as u64);
        *sum = self.over(|link| link.collect(own, &cuts))?;
        Ok(())
    }

    /// Bytes of gradients that this rank has sent to others.
    #[must_use]
    pub const fn n_bytes_sent(&self) -> u64 {
        self.n_bytes.get()
    }

    /// Where the shares of `len` entries begin and end.
    fn cuts(&self, len: usize) -> Vec<usize> {
        (0..=self.n).map(|rank| len / self.n * rank + len % self.n * rank / self.n).collect()
    }
}

fn written(control: &Control) -> String {
    match control {
        Control::Continue => "continue".to_owned(),
        Control::Warn(reason) => format!("warn {reason}"),
        Control::Stop(reason) => format!("stop {reason}"),
        Control::LowerRate { percent } => format!("lower {percent}"),
        Control::RollBack { percent, skip } => format!("back {percent} {skip}"),
    }
}

fn read(said: &str) -> Option<Control> {
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    Some(match word {
        "continue" => Control::Continue,
        "warn" => Control::Warn(rest.to_owned()),
        "stop" => Control::Stop(rest.to_owned()),
        "lower" => Control::LowerRate { percent: rest.parse().ok()? },
        "back" => {
            let (percent, skip) = rest.split_once(' ')?;
            Control::RollBack { percent: percent.parse().ok()?, skip: skip.parse().ok()? }
        }
        _ => return None,
    })
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_as_they_are() {
        for control in [
            Control::Continue,
            Control::Warn("two words".to_owned()),
            Control::Stop(String::new()),
            Control::Stop("the budget of 1 s would be crossed".to_owned()),
            Control::LowerRate { percent: 50 },
            Control::RollBack { percent: 25, skip: 7 },
        ] {
            assert_eq!(read(&written(&control)), Some(control));
        }
        assert_eq!((read("lower much"), read("")), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn shares_cover_all_entries_and_differ_by_one_at_most(len in 0_usize..5000, n in 1_usize..17) {
            let cuts = Ranks { n, ..Ranks::alone() }.cuts(len);
            proptest::prop_assert_eq!((cuts.len(), cuts[0], cuts[n]), (n + 1, 0, len));
            for pair in cuts.windows(2) {
                proptest::prop_assert!((len / n..=len / n + 1).contains(&(pair[1] - pair[0])));
            }
        }
    }

    #[test]
    fn a_program_without_mpi_says_how_to_get_it() {
        let error = RanksError::NotBuilt { n: 4 }.to_string();
        assert!(error.contains("4 processes would be 4 runs") && error.contains("--features mpi"), "{error}");
    }
}
