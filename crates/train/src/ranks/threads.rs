//! Ranks that are threads of one process.

use super::Link;
use std::sync::mpsc::{Receiver, Sender, channel};

#[derive(Debug)]
enum Message {
    Bytes(Vec<u8>),
    Entries(Vec<f32>),
}

/// A thread's ways to all, itself included, in the order of ranks.
#[derive(Debug)]
pub(super) struct Threads {
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
}

pub(super) fn links(n: usize) -> Vec<Threads> {
    let mut links: Vec<Threads> = (0..n).map(|_| Threads { to: Vec::new(), from: Vec::new() }).collect();
    for to in 0..n {
        for link in 0..n {
            let (send, receive) = channel();
            links[link].to.push(send);
            links[to].from.push(receive);
        }
    }
    links
}

impl Threads {
    fn swap<T>(&self, give: impl Fn(usize) -> Message, take: impl Fn(Message) -> Option<T>) -> Result<Vec<T>, String> {
        let gone = |rank: usize| format!("rank {rank} is gone");
        for (rank, to) in self.to.iter().enumerate() {
            to.send(give(rank)).map_err(|_| gone(rank))?;
        }
        let taken = self.from.iter().enumerate().map(|(rank, from)| {
            let message = from.recv().map_err(|_| gone(rank))?;
            take(message).ok_or_else(|| format!("rank {rank} is elsewhere"))
        });
        taken.collect()
    }
}

fn bytes(message: Message) -> Option<Vec<u8>> {
    if let Message::Bytes(bytes) = message { Some(bytes) } else { None }
}

fn entries(message: Message) -> Option<Vec<f32>> {
    if let Message::Entries(entries) = message { Some(entries) } else { None }
}

impl Link for Threads {
    fn gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, String> {
        self.swap(|_| Message::Bytes(own.clone()), bytes)
    }

    fn deal(&mut self, all: Vec<f32>, cuts: &[usize]) -> Result<Vec<f32>, String> {
        let dealt = self.swap(|rank| Message::Entries(all[cuts[rank]..cuts[rank + 1]].to_vec()), entries)?;
        Ok(dealt.concat())
    }

    fn collect(&mut self, own: Vec<f32>, _cuts: &[usize]) -> Result<Vec<f32>, String> {
        Ok(self.swap(|_| Message::Entries(own.clone()), entries)?.concat())
    }

    fn meet(&mut self) -> Result<(), String> {
        self.swap(|_| Message::Bytes(Vec::new()), bytes).map(|_| ())
    }

    fn part(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}
