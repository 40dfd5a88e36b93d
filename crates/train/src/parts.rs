//! The gradient of a step as a sum over parts of its batches, in a fixed order whoever computes which: one process or several.
//!
//! Legend: P parts, n ranks. Round k computes parts k · n to k · n + n − 1, one a rank, and adds them in that order.

use crate::{
    data::{Batch, DataError},
    gradient::Gradient,
    ranks::{Ranks, RanksError, chain},
    slope::{self, SlopeError},
};
use model::{Llama, pass::PassOptions};

/// What a step is computed from.
pub(crate) struct Share<'a> {
    pub(crate) model: &'a Llama,
    pub(crate) batches: &'a [Batch],
    pub(crate) n_parts: usize,
    pub(crate) ranks: &'a Ranks,
    /// How a pass is made whose first row is that of the step.
    pub(crate) options: &'a dyn Fn(u64) -> PassOptions,
}

impl Share<'_> {
    /// Adds the gradient of J_D to `gradient`, which is cleared, and gives J_D in nats: the same on every rank. `scratch` is
    /// kept from step to step.
    pub(crate) fn add(&self, gradient: &mut Gradient, scratch: &mut Option<Gradient>) -> Result<f64, SlopeError> {
        let total: f64 = self.batches.iter().map(Batch::weight).sum();
        let total = if total > 0.0 { total } else { 1.0 };
        if self.n_parts == 1 {
            return self.part(0, total, gradient);
        }
        let mut own = scratch.take().unwrap_or_else(|| gradient.clone());
        let mut loss_nats = 0.0;
        for first in (0..self.n_parts).step_by(self.ranks.n()) {
            own.clear();
            let part = first + self.ranks.rank();
            let found = if part < self.n_parts { self.part(part, total, &mut own) } else { Ok(0.0) };
            let losses = all_losses(self.ranks, found.map(|loss| vec![loss]))?;
            loss_nats = losses.iter().flatten().take(self.n_parts - first).fold(loss_nats, |sum, loss| sum + loss);
            let pairs = gradient.by_name_mut().values_mut().zip(own.by_name_mut().values_mut());
            if self.ranks.n() == 1 {
                for (sum, entries) in pairs {
                    *entries = self.ranks.add_in_order(sum, std::mem::take(entries))?;
                }
                continue;
            }
            for group in grouped(pairs, |(sum, _)| sum.len()) {
                let entries: Vec<f32> = group.iter().flat_map(|(_, entries)| entries.iter()).copied().collect();
                let mut sums: Vec<f32> = group.iter().flat_map(|(sum, _)| sum.iter()).copied().collect();
                self.ranks.add_in_order(&mut sums, entries)?;
                put_back(&sums, group.into_iter().map(|(sum, _)| sum));
            }
        }
        if self.ranks.n() > 1 {
            for group in grouped(gradient.by_name_mut().values_mut(), |sum| sum.len()) {
                let mut sums: Vec<f32> = group.iter().flat_map(|sum| sum.iter()).copied().collect();
                self.ranks.complete(&mut sums)?;
                put_back(&sums, group.into_iter());
            }
        }
        *scratch = Some(own);
        Ok(loss_nats)
    }

    /// One part of every batch.
    fn part(&self, part: usize, total: f64, gradient: &mut Gradient) -> Result<f64, SlopeError> {
        let (mut loss_nats, mut first_row) = (0.0, 0);
        for batch in self.batches {
            let (cut, rows_before) = cut(batch, part, self.n_parts)?;
            if let Some(cut) = cut {
                loss_nats += slope::add(self.model, gradient, &cut, total, &(self.options)(first_row + rows_before))?;
            }
            first_row += batch.n_tokens;
        }
        Ok(loss_nats)
    }
}

/// Entries of one message at least, where there are as many: few messages, and no copy of everything.
const MESSAGE: usize = 1 << 24;

/// Neighbours together until they make a message.
fn grouped<T>(items: impl Iterator<Item = T>, len: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut groups, mut n_entries) = (vec![Vec::new()], 0);
    for item in items {
        if n_entries >= MESSAGE {
            groups.push(Vec::new());
            n_entries = 0;
        }
        n_entries += len(&item);
        if let Some(last) = groups.last_mut() {
            last.push(item);
        }
    }
    groups
}

fn put_back<'a>(all: &[f32], into: impl Iterator<Item = &'a mut Vec<f32>>) {
    let mut rest = all;
    for to in into {
        let (own, behind) = rest.split_at(to.len());
        to.copy_from_slice(own);
        rest = behind;
    }
}

/// J over all batches without a gradient, each batch on one rank, added in their order.
pub(crate) fn loss(model: &Llama, batches: &[Batch], ranks: &Ranks) -> Result<f64, SlopeError> {
    let total: f64 = batches.iter().map(Batch::weight).sum();
    let own = batches.iter().skip(ranks.rank()).step_by(ranks.n());
    let losses = own.map(|batch| slope::loss(model, batch, total)).collect();
    let all = all_losses(ranks, losses)?;
    let in_order = (0..batches.len()).filter_map(|batch| all[batch % ranks.n()].get(batch / ranks.n()));
    Ok(in_order.sum())
}

/// Windows `part` of `n_parts` of a batch, with the rows before them; `None` where the batch has too few.
fn cut(batch: &Batch, part: usize, n_parts: usize) -> Result<(Option<Batch>, u64), DataError> {
    if n_parts == 1 {
        return Ok((Some(batch.clone()), 0));
    }
    let (n_windows, positions) = batch.inputs.dims2()?;
    let [begin, end] = [part, part + 1].map(|part| n_windows * part / n_parts);
    let rows = begin * positions..end * positions;
    if rows.is_empty() {
        return Ok((None, rows.start as u64));
    }
    let inputs = batch.inputs.narrow(0, begin, end - begin)?;
    let targets = batch.targets.narrow(0, begin, end - begin)?;
    let weights = batch.weights.as_ref().map(|all| all[rows.clone()].to_vec());
    let starts = batch.starts.as_ref().map(|all| all[rows.clone()].to_vec());
    Ok((Some(Batch { inputs, targets, n_tokens: rows.len() as u64, weights, starts }), rows.start as u64))
}

/// What every rank found, in the order of ranks, bit for bit; or the failure of one of them.
fn all_losses(ranks: &Ranks, own: Result<Vec<f64>, SlopeError>) -> Result<Vec<Vec<f64>>, SlopeError> {
    if ranks.n() == 1 {
        return own.map(|own| vec![own]);
    }
    // A failure is told of in the same message: a byte, then why, or the losses.
    let said = match &own {
        Ok(losses) => [0].into_iter().chain(losses.iter().flat_map(|loss| loss.to_bits().to_le_bytes())).collect(),
        Err(error) => [&[1_u8][..], chain(error).as_bytes()].concat(),
    };
    let said = ranks.gather(said);
    if own.is_err() {
        ranks.failed(ranks.rank(), String::new());
    }
    own?;
    let said = said?;
    if let Some((rank, reason)) = said.iter().enumerate().find(|(_, said)| said.first() == Some(&1)) {
        return Err(ranks.failed(rank, String::from_utf8_lossy(&reason[1..]).into_owned()).into());
    }
    let read = |(rank, bytes): (usize, Vec<u8>)| {
        let (losses, rest) = bytes.get(1..).unwrap_or(&[]).as_chunks::<8>();
        let losses = losses.iter().map(|bits| f64::from_bits(u64::from_le_bytes(*bits))).collect();
        if rest.is_empty() { Ok(losses) } else { Err(RanksError::Unread { rank }) }
    };
    Ok(said.into_iter().enumerate().map(read).collect::<Result<_, _>>()?)
}
