//! Ranks that are processes under mpirun.
//!
//! MPI is spoken to by one thread, which may block for ever when another process has died. The one that trains waits for it with an
//! eye on `give_up`, and leaves it behind when there is nobody left to wait for. An error of MPI itself ends the process, as the
//! `mpi` crate has it.

use super::{GiveUp, Link, RanksError};
use mpi::{
    Count, Threading,
    collective::CommunicatorCollectives as _,
    datatype::{Partition, PartitionMut},
    topology::{Communicator as _, SimpleCommunicator},
};
use std::{
    fmt,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// Between two looks whether there is still somebody to wait for.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks whether all have come, where nothing hurries.
const NAP: Duration = Duration::from_millis(2);

enum Ask {
    Gather(Vec<u8>),
    Deal(Vec<f32>, Vec<usize>),
    Collect(Vec<f32>, Vec<usize>),
    Meet,
    Part,
}

enum Answer {
    Begun { rank: usize, n: usize },
    Bytes(Vec<Vec<u8>>),
    Entries(Vec<f32>),
    Done,
    Failed(String),
}

struct Mpi {
    asks: Sender<Ask>,
    answers: Receiver<Answer>,
    give_up: GiveUp,
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpi").finish_non_exhaustive()
    }
}

pub(super) fn join(_n: usize, give_up: GiveUp) -> Result<(usize, usize, Box<dyn Link>), RanksError> {
    let (asks, to_do) = channel();
    let (done, answers) = channel();
    let spawned = thread::Builder::new().name("mpi".to_owned()).spawn(move || serve(&to_do, &done));
    spawned.map_err(|_| RanksError::NotStarted)?;
    let link = Mpi { asks, answers, give_up };
    match link.wait().map_err(RanksError::Lost)? {
        Answer::Begun { rank, n } => Ok((rank, n, Box::new(link))),
        _ => Err(RanksError::NotStarted),
    }
}

impl Mpi {
    fn ask(&self, ask: Ask) -> Result<Answer, String> {
        self.asks.send(ask).map_err(|_| "MPI has ended".to_owned())?;
        match self.wait()? {
            Answer::Failed(reason) => Err(reason),
            answer => Ok(answer),
        }
    }

    fn wait(&self) -> Result<Answer, String> {
        loop {
            match self.answers.recv_timeout(LOOK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err("MPI has ended".to_owned()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reason) = (self.give_up)() {
                        return Err(reason);
                    }
                }
            }
        }
    }
}

const OUT_OF_STEP: &str = "MPI answered what was not asked";

impl Link for Mpi {
    fn gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, String> {
        if let Answer::Bytes(all) = self.ask(Ask::Gather(own))? { Ok(all) } else { Err(OUT_OF_STEP.to_owned()) }
    }

    fn deal(&mut self, entries: Vec<f32>, cuts: &[usize]) -> Result<Vec<f32>, String> {
        let answer = self.ask(Ask::Deal(entries, cuts.to_vec()))?;
        if let Answer::Entries(dealt) = answer { Ok(dealt) } else { Err(OUT_OF_STEP.to_owned()) }
    }

    fn collect(&mut self, own: Vec<f32>, cuts: &[usize]) -> Result<Vec<f32>, String> {
        let answer = self.ask(Ask::Collect(own, cuts.to_vec()))?;
        if let Answer::Entries(all) = answer { Ok(all) } else { Err(OUT_OF_STEP.to_owned()) }
    }

    fn meet(&mut self) -> Result<(), String> {
        self.ask(Ask::Meet).map(|_| ())
    }

    fn part(self: Box<Self>) -> Result<(), String> {
        self.ask(Ask::Part).map(|_| ())
    }
}

/// The thread that speaks to MPI. It ends MPI only where all have agreed to: otherwise that would wait for those who are gone.
fn serve(to_do: &Receiver<Ask>, done: &Sender<Answer>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Serialized) else {
        let _ = done.send(Answer::Failed("MPI is in use already".to_owned()));
        return;
    };
    let world = universe.world();
    let (Ok(rank), Ok(n)) = (usize::try_from(world.rank()), usize::try_from(world.size())) else { return };
    let mut answer = Answer::Begun { rank, n };
    while done.send(answer).is_ok() {
        let Ok(ask) = to_do.recv() else { break };
        let answered = match ask {
            Ask::Gather(own) => gather(&world, &own).map(Answer::Bytes),
            Ask::Deal(entries, cuts) => deal(&world, (rank, n), &entries, &cuts).map(Answer::Entries),
            Ask::Collect(own, cuts) => collect(&world, &own, &cuts).map(Answer::Entries),
            Ask::Meet => {
                let mut met = world.immediate_barrier().test();
                while let Err(request) = met {
                    thread::sleep(NAP);
                    met = request.test();
                }
                Ok(Answer::Done)
            }
            Ask::Part => {
                drop(universe);
                let _ = done.send(Answer::Done);
                return;
            }
        };
        answer = answered.unwrap_or_else(Answer::Failed);
    }
    std::mem::forget(universe);
}

/// A length as MPI counts.
fn count(len: usize) -> Result<Count, String> {
    Count::try_from(len).map_err(|_| format!("a message of {len} entries is longer than MPI can count"))
}

fn counts(cuts: &[usize]) -> Result<(Vec<Count>, Vec<Count>), String> {
    let lens: Result<Vec<Count>, String> = cuts.windows(2).map(|pair| count(pair[1] - pair[0])).collect();
    let begins: Result<Vec<Count>, String> = cuts[..cuts.len() - 1].iter().map(|&cut| count(cut)).collect();
    Ok((lens?, begins?))
}

fn gather(world: &SimpleCommunicator, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    // A byte before each: the place of an empty vector of bytes is 1, which Open MPI takes for its `MPI_IN_PLACE`.
    let own = &[&[0], own].concat()[..];
    let mut lens = vec![0 as Count; usize::try_from(world.size()).unwrap_or(1)];
    world.all_gather_into(&count(own.len())?, &mut lens[..]);
    let mut cuts = vec![0_usize];
    for len in lens {
        cuts.push(cuts[cuts.len() - 1] + usize::try_from(len).unwrap_or(0));
    }
    let (lens, begins) = counts(&cuts)?;
    let mut all = vec![0_u8; cuts[cuts.len() - 1]];
    world.all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], lens, begins));
    Ok(cuts.windows(2).map(|pair| all[pair[0] + 1..pair[1]].to_vec()).collect())
}

fn deal(
    world: &SimpleCommunicator,
    (rank, n): (usize, usize),
    entries: &[f32],
    cuts: &[usize],
) -> Result<Vec<f32>, String> {
    let own = cuts[rank + 1] - cuts[rank];
    let (lens, begins) = counts(cuts)?;
    let (own_lens, own_begins) = counts(&(0..=n).map(|rank| rank * own).collect::<Vec<_>>())?;
    let mut dealt = vec![0_f32; n * own];
    world.all_to_all_varcount_into(
        &Partition::new(entries, lens, begins),
        &mut PartitionMut::new(&mut dealt[..], own_lens, own_begins),
    );
    Ok(dealt)
}

fn collect(world: &SimpleCommunicator, own: &[f32], cuts: &[usize]) -> Result<Vec<f32>, String> {
    let (lens, begins) = counts(cuts)?;
    let mut all = vec![0_f32; cuts[cuts.len() - 1]];
    world.all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], lens, begins));
    Ok(all)
}
