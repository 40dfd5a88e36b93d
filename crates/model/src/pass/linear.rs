//! A projection of a layer, with its adapter where it has one: y = x · Wᵀ + s · (x · Aᵀ) · Bᵀ.
//!
//! Source of the adapter: Hu et al. 2021, "LoRA", equation 3.

use super::{
    Gradients, Threads,
    precision::Precision,
    product::{View, product, product_of},
};
use crate::{Llama, decoder::vectors::for_vectors};
use candle_core::{CpuStorage, Storage, Tensor};
use rayon::prelude::*;

/// The numbers of a contiguous f32 tensor on the processor.
pub(super) fn with_slice<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(numbers)), Some((start, end))) => Ok(read(&numbers[start..end])),
        _ => candle_core::bail!("expected a contiguous f32 tensor on the processor"),
    }
}

/// x ← x + y.
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    const PIECE: usize = 1 << 14;
    x.par_chunks_mut(PIECE).zip(y.par_chunks(PIECE)).for_each(|(x, y)| {
        add_piece(x, y);
    });
}

for_vectors! {
    fn add_piece(x: &mut [f32], y: &[f32]) = add_piece_body
}

#[inline(always)]
fn add_piece_body(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// One projection, by its name without `.weight`.
pub(super) struct Linear {
    name: String,
    /// (out, in)
    weight: Tensor,
    adapter: Option<Adapter>,
    precision: Precision,
}

struct Adapter {
    names: [String; 2],
    /// (r, in)
    down: Tensor,
    /// (out, r)
    up: Tensor,
    scale: f32,
    precision: Precision,
}

impl Linear {
    pub(super) fn of(model: &Llama, name: &str, precision: Precision) -> Self {
        let adapter = model.adapter_of(name);
        let adapter = adapter.map(|(names, [down, up], scale)| Adapter { names, down, up, scale, precision });
        let name = format!("{name}.weight");
        Self { weight: model.held(&name), name, adapter, precision }
    }

    fn sides(&self) -> (usize, usize) {
        let dims = self.weight.dims();
        (dims[0], dims[1])
    }

    pub(super) fn forward(&self, x: &[f32]) -> candle_core::Result<Vec<f32>> {
        let (_, inputs) = self.sides();
        let rows = View::rows(x, inputs);
        let mut y = self.precision.with_weight(&self.weight, |w| product_of(rows, View::rows(w, inputs).t()))?;
        if let Some(adapter) = &self.adapter {
            let low = adapter.low(x, inputs)?;
            let rank = adapter.rank();
            self.precision.with_weight(&adapter.up, |up| {
                let up = View::rows(up, rank).t();
                product(&mut y, true, View::rows(&low, rank), up, adapter.scale, Threads::All);
            })?;
        }
        Ok(y)
    }

    /// dy · W.
    pub(super) fn back(&self, dy: &[f32]) -> candle_core::Result<Vec<f32>> {
        let (outputs, inputs) = self.sides();
        let rows = View::rows(dy, outputs);
        let mut dx = self.precision.with_weight(&self.weight, |w| product_of(rows, View::rows(w, inputs)))?;
        self.back_through_adapter(dy, &mut dx)?;
        Ok(dx)
    }

    /// `dx` ← dx + dy · W.
    pub(super) fn add_back(&self, dy: &[f32], dx: &mut [f32]) -> candle_core::Result<()> {
        let (outputs, inputs) = self.sides();
        let rows = View::rows(dy, outputs);
        self.precision
            .with_weight(&self.weight, |w| product(dx, true, rows, View::rows(w, inputs), 1.0, Threads::All))?;
        self.back_through_adapter(dy, dx)
    }

    fn back_through_adapter(&self, dy: &[f32], dx: &mut [f32]) -> candle_core::Result<()> {
        let (outputs, inputs) = self.sides();
        if let Some(adapter) = &self.adapter {
            let low = adapter.low_back(dy, outputs)?;
            self.precision.with_weight(&adapter.down, |down| {
                product(dx, true, View::rows(&low, adapter.rank()), View::rows(down, inputs), 1.0, Threads::All);
            })?;
        }
        Ok(())
    }

    /// Adds dyᵀ · x to the gradient of W, and what falls to A and B to theirs, where they are asked for.
    pub(super) fn back_to_weight(&self, x: &[f32], dy: &[f32], gradients: &mut Gradients) -> candle_core::Result<()> {
        let (outputs, inputs) = self.sides();
        let (x_rows, dy_rows) = (View::rows(x, inputs), View::rows(dy, outputs));
        if let Some(gradient) = gradients.get_mut(&self.name) {
            product(gradient, true, dy_rows.t(), x_rows, 1.0, Threads::All);
        }
        let Some(adapter) = &self.adapter else { return Ok(()) };
        let [down, up] = &adapter.names;
        if let Some(gradient) = gradients.get_mut(down) {
            let low = adapter.low_back(dy, outputs)?;
            product(gradient, true, View::rows(&low, adapter.rank()).t(), x_rows, 1.0, Threads::All);
        }
        if let Some(gradient) = gradients.get_mut(up) {
            let low = adapter.low(x, inputs)?;
            product(gradient, true, dy_rows.t(), View::rows(&low, adapter.rank()), adapter.scale, Threads::All);
        }
        Ok(())
    }
}

impl Adapter {
    fn rank(&self) -> usize {
        self.down.dims()[0]
    }

    /// x · Aᵀ
    fn low(&self, x: &[f32], inputs: usize) -> candle_core::Result<Vec<f32>> {
        self.precision.with_weight(&self.down, |down| product_of(View::rows(x, inputs), View::rows(down, inputs).t()))
    }

    /// s · dy · B
    fn low_back(&self, dy: &[f32], outputs: usize) -> candle_core::Result<Vec<f32>> {
        let rank = self.rank();
        let mut low = vec![0.0; dy.len() / outputs * rank];
        self.precision.with_weight(&self.up, |up| {
            product(&mut low, false, View::rows(dy, outputs), View::rows(up, rank), self.scale, Threads::All);
        })?;
        Ok(low)
    }
}
