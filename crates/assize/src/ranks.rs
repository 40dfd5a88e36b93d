//! `assize train` as one of several processes under mpirun: the first keeps ledger, budget and dossier, the others compute with it.

use crate::{
    Ended,
    args::{RunArgs, TrainArgs},
    run::{self, Upto},
};
use anyhow::Context as _;
use evidence::{Control, Digest, Json};
use std::{
    cell::Cell,
    env, fmt, fs, process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use train::{GiveUp, Outcome, Ranks, RanksError};

/// How long an interrupted rank still waits for the others.
const GRACE: Duration = Duration::from_millis(300);
/// What the first rank says when training begins, and when there is nothing to train.
const BEGIN: &str = "begin";
const OVER: &str = "over";

/// How many processes mpirun says it has started, by the variables of Open MPI, and of MPICH and those who follow it.
fn launched() -> usize {
    let said = |name: &str| env::var(name).ok()?.parse().ok();
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find_map(said).unwrap_or(1)
}

/// Any verb but `train` is one process: several of them would write one dossier.
pub(crate) fn refuse_many() -> anyhow::Result<()> {
    let n = launched();
    anyhow::ensure!(
        n <= 1,
        "only `assize train` runs as several processes, and mpirun has started {n}: train under mpirun, then go on without it"
    );
    Ok(())
}

pub(crate) fn train(args: &TrainArgs) -> anyhow::Result<Ended> {
    let (n, interrupted) = (launched(), run::signals()?);
    if n <= 1 {
        return run::run_ranked(&args.run, Upto::Train, args.resume, &Ranks::alone(), interrupted);
    }
    let peers = Arc::new(Mutex::new(Vec::new()));
    let ranks = Ranks::join(n, watch(Arc::clone(&interrupted), Arc::clone(&peers)))?;
    let ended = greet(&ranks, &peers).and_then(|()| match ranks.is_first() {
        true => lead(args, &ranks, interrupted),
        false => follow(&args.run, &ranks),
    });
    // All come here together, or those who are missing have ended: neither is waited for without end.
    let _ = ranks.part();
    ended
}

/// Runs the case as far as the training and says to those who wait whether there was any.
fn lead(args: &TrainArgs, ranks: &Ranks, interrupted: Arc<AtomicBool>) -> anyhow::Result<Ended> {
    let ended = run::run_ranked(&args.run, Upto::Train, args.resume, ranks, interrupted);
    // Where ranks differ all know it, and nobody waits; after training they have parted.
    let is_known = matches!(&ended, Err(error) if error.downcast_ref::<RanksError>().is_some());
    if ranks.is_joined() && !is_known {
        let _ = ranks.meet().and_then(|()| ranks.first_says(OVER));
    }
    ended
}

/// What the first rank says before the first step. Those who wait for it do nothing until then.
pub(crate) fn begin(ranks: &Ranks) -> anyhow::Result<()> {
    ranks.meet()?;
    ranks.first_says(BEGIN)?;
    all_can(ranks, Ok(()))
}

/// Leaves the others after training and gives the peak memory of all, in bytes; `None` where one does not know its own.
pub(crate) fn end(ranks: &Ranks, is_finished: bool) -> Option<u64> {
    let own = meter::memory_peak();
    if ranks.n() == 1 {
        return own;
    }
    let said = is_finished.then(|| ranks.gather(own.unwrap_or(0).to_le_bytes().to_vec()).ok()).flatten();
    let _ = ranks.part();
    let read = |bytes: Vec<u8>| Some(u64::from_le_bytes(bytes.try_into().ok()?)).filter(|peak| *peak > 0);
    said?.into_iter().map(read).sum()
}

/// Reads the same case and computes; writes nothing.
fn follow(args: &RunArgs, ranks: &Ranks) -> anyhow::Result<Ended> {
    // A case of which nothing is trained is refused here, on all ranks.
    let read = run::read(args, Upto::Train).and_then(|read| Ok((run::run_id(&read.0, &read.1)?, read)));
    let (id, (case, basis)) = agree(ranks, read)?;
    let run::Basis::Training(data) = basis else { return Ok(Ended::Well) };
    let work = run::Work::prepare(args, &case, &data, &id);
    ranks.meet()?;
    if ranks.first_says("")? != BEGIN {
        return Ok(Ended::Well);
    }
    let work = all_can(ranks, work)?;
    let outcome = work.train(ranks, &mut |_| Control::Continue);
    end(ranks, matches!(outcome, Ok(Outcome::Finished(_))));
    outcome?;
    // A stop is the first rank's to tell.
    Ok(Ended::Well)
}

/// Whether all ranks have read the same case, before anything is written.
pub(crate) fn agree<T>(ranks: &Ranks, read: anyhow::Result<(String, T)>) -> anyhow::Result<(String, T)> {
    let (id, read) = all_can(ranks, read)?;
    ranks.same(&[("case, with its data", id.clone())])?;
    Ok((id, read))
}

/// A failure on its way through a library that knows errors of its own.
#[derive(Debug)]
struct Told(anyhow::Error);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Told {}

/// What this rank has, where all have it; else its own failure, or that of another.
fn all_can<T>(ranks: &Ranks, own: anyhow::Result<T>) -> anyhow::Result<T> {
    ranks.share(own.map_err(Told))?.map_err(|told| told.0)
}

/// The process of another rank.
#[derive(Debug, PartialEq, Eq)]
struct Peer {
    rank: usize,
    id: u32,
    /// When it began, in ticks of the kernel: an id may be given again.
    begun: u64,
}

/// Finds out who the others are, and that they are this program on this machine.
fn greet(ranks: &Ranks, peers: &Mutex<Vec<Peer>>) -> anyhow::Result<()> {
    let program = fs::File::open("/proc/self/exe").and_then(Digest::of_reader);
    let program = all_can(ranks, program.context("this program cannot read its own file"))?;
    ranks
        .same(&[("version", run::INSTRUMENT.to_owned()), ("program", program.to_string())])
        .context("every rank must run the same file of this program; nothing was read or written")?;
    let of_kernel = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let machine = ["/proc/sys/kernel/hostname", "/proc/sys/kernel/random/boot_id"].map(of_kernel).join(" ");
    ranks
        .same(&[("machine", machine)])
        .context("ranks train on one machine, whose energy one meter counts: start them without a list of hosts")?;
    let own = process::id();
    let said = Json::list([i64::from(own), state(own).map_or(0, |(_, begun)| begun.cast_signed())]).canonical();
    let mut found = Vec::new();
    for (rank, said) in ranks.gather(said.into_bytes())?.into_iter().enumerate() {
        let said = String::from_utf8(said).ok().and_then(|text| Json::parse(&text).ok());
        let number = |at: usize| said.as_ref()?.items().get(at)?.as_int();
        let id = number(0).and_then(|id| u32::try_from(id).ok());
        let begun = number(1).and_then(|begun| u64::try_from(begun).ok());
        let (id, begun) = id.zip(begun).with_context(|| format!("rank {rank} did not say what process it is"))?;
        found.extend((rank != ranks.rank()).then_some(Peer { rank, id, begun }));
    }
    *peers.lock().unwrap_or_else(PoisonError::into_inner) = found;
    Ok(())
}

/// State and beginning of a process, of its line in `/proc`: the third and the twenty-second field, behind a name in brackets.
fn state(id: u32) -> Option<(char, u64)> {
    state_of(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

fn state_of(line: &str) -> Option<(char, u64)> {
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.nth(18)?.parse().ok()?))
}

/// Reasons to wait for the others no longer: one has ended, or this rank is asked to end and they do not come.
fn watch(interrupted: Arc<AtomicBool>, peers: Arc<Mutex<Vec<Peer>>>) -> GiveUp {
    let since = Cell::new(None);
    Box::new(move || {
        let is_alive = |peer: &&Peer| {
            let is_same = |(state, begun): (char, u64)| begun == peer.begun && !matches!(state, 'Z' | 'X');
            state(peer.id).is_some_and(is_same)
        };
        let peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Peer { rank, id, .. }) = peers.iter().find(|peer| !is_alive(peer)) {
            return Some(format!("rank {rank} is gone: its process {id} has ended"));
        }
        if !interrupted.load(Ordering::SeqCst) {
            return None;
        }
        let since = since.get().unwrap_or_else(|| {
            since.set(Some(Instant::now()));
            Instant::now()
        });
        let began = if peers.is_empty() { ", perhaps because another rank could not begin" } else { "" };
        (since.elapsed() > GRACE).then(|| format!("interrupted by a person, or by mpirun{began}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_state_and_beginning() {
        let fields: Vec<String> = (4..=22).map(|field| (field * 10).to_string()).collect();
        let line = format!("7 (a) b (c) S {} 0", fields.join(" "));
        assert_eq!(state_of(&line), Some(('S', 220)));
        assert_eq!(state_of("7 (a"), None);
        let own = state(process::id()).unwrap();
        assert!(matches!(own.0, 'R' | 'S') && own.1 > 0, "{own:?}");
        assert_eq!(state(u32::MAX), None);
    }

    #[test]
    fn who_is_gone_is_told_and_an_interrupted_rank_waits_a_while() {
        let (interrupted, peers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let give_up = watch(Arc::clone(&interrupted), Arc::clone(&peers));
        let own = process::id();
        peers.lock().unwrap().push(Peer { rank: 1, id: own, begun: state(own).unwrap().1 });
        assert_eq!(give_up(), None);
        interrupted.store(true, Ordering::SeqCst);
        assert_eq!(give_up(), None);
        std::thread::sleep(GRACE + Duration::from_millis(20));
        assert_eq!(give_up().unwrap(), "interrupted by a person, or by mpirun");
        peers.lock().unwrap().push(Peer { rank: 2, id: own, begun: 1 });
        assert_eq!(give_up().unwrap(), format!("rank 2 is gone: its process {own} has ended"));
    }
}
