//! Keys and values of the positions behind which a row goes on.

use super::{
    kernel::WIDTH,
    lanes::{Groups, Last},
};
use rayon::prelude::*;
use std::sync::Arc;

/// Keys and values of one row's positions, by layer.
///
/// A clone shares memory with what it was cloned from, and goes on sharing it when either grows: what is added stands in a
/// stretch of its own. So rows that begin alike compute and keep their beginning once:
///
/// ```
/// # fn on(decoder: &model::Decoder) -> Result<(), model::DecoderError> {
/// use model::Row;
/// let mut prefix = decoder.cache();
/// decoder.prefill(&mut [Row { tokens: &[1, 2, 3], cache: Some(&mut prefix), targets: &[] }])?;
/// let (mut one, mut two) = (prefix.clone(), prefix);
/// decoder.logits(&mut [
///     Row { tokens: &[4, 5], cache: Some(&mut one), targets: &[] },
///     Row { tokens: &[6], cache: Some(&mut two), targets: &[] },
/// ])?;
/// assert_eq!((one.len(), two.len()), (5, 4));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cache {
    stretches: Vec<Arc<Stretch>>,
    layers: usize,
    length: usize,
    /// By which of the rotary tables' variants its keys were turned.
    pub(super) turned: Option<Vec<u64>>,
}

/// Positions one behind another.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// Positions before it.
    pub(super) first: usize,
    length: usize,
    layers: Vec<KeysValues>,
}

/// One layer's keys and values of some positions.
#[derive(Debug, Clone, Default)]
pub(super) struct KeysValues {
    /// (⌈S / W⌉, K·D, W): the positions side by side in panels, as products with them need them.
    pub(super) keys: Vec<f32>,
    /// (S, K·D), and W numbers behind them that are read and not used.
    pub(super) values: Vec<f32>,
    /// S
    pub(super) n: usize,
}

impl KeysValues {
    /// Shapes: `keys` and `values` (n, `width`).
    pub(super) fn add(&mut self, width: usize, keys: &[f32], values: &[f32]) {
        let n = keys.len() / width;
        self.keys.resize((self.n + n).div_ceil(WIDTH) * width * WIDTH, 0.0);
        // Into the panel that is begun, then panels of their own.
        let n_begun = (self.n.next_multiple_of(WIDTH) - self.n).min(n);
        let (begun, own) = keys.split_at(n_begun * width);
        for (at, key) in begun.chunks_exact(width).enumerate() {
            let (panel, lane) = (self.n / WIDTH, self.n % WIDTH + at);
            let places = self.keys[panel * width * WIDTH..].chunks_exact_mut(WIDTH);
            places.zip(key).for_each(|(place, x)| place[lane] = *x);
        }
        let panels = self.keys[(self.n + n_begun).div_ceil(WIDTH) * width * WIDTH..].par_chunks_mut(width * WIDTH);
        panels.zip(own.par_chunks(width * WIDTH)).for_each(|(panel, keys)| {
            let groups: Groups<WIDTH> = Groups { n_lanes: keys.len() / width, depth: width, last: Last::Full };
            groups.interleave(keys, width, panel);
        });
        self.values.truncate(self.n * width);
        self.values.extend_from_slice(values);
        self.n += n;
        self.values.resize(self.n * width + WIDTH, 0.0);
    }

    /// Numbers behind the first `n` positions stay in a panel, and are not used.
    fn truncate(&mut self, n: usize) {
        if self.n == 0 {
            return;
        }
        let width = (self.values.len() - WIDTH) / self.n;
        self.keys.truncate(n.div_ceil(WIDTH) * width * WIDTH);
        self.values.truncate(n * width);
        self.values.resize(n * width + WIDTH, 0.0);
        self.n = n;
    }
}

impl Cache {
    pub(super) fn new(layers: usize) -> Self {
        Self { stretches: Vec::new(), layers, length: 0, turned: None }
    }

    /// S: positions it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets all but the first `n` positions; nothing when it holds no more than that.
    pub fn truncate(&mut self, n: usize) {
        let n = n.min(self.length);
        self.stretches.retain(|stretch| stretch.first < n);
        if let Some(last) = self.stretches.last_mut()
            && (last.first + last.length > n || last.layers.iter().any(|layer| layer.n > n - last.first))
        {
            let last = Arc::make_mut(last);
            last.length = n - last.first;
            last.layers.iter_mut().for_each(|layer| layer.truncate(n - last.first));
        }
        self.length = n;
        if n == 0 {
            self.turned = None;
        }
    }

    pub(super) const fn layers(&self) -> usize {
        self.layers
    }

    /// Makes room for what the coming pass adds: behind what no other cache shares, else in a stretch of its own.
    pub(super) fn begin(&mut self) {
        if self.stretches.last_mut().is_none_or(|last| Arc::get_mut(last).is_none()) {
            let layers = vec![KeysValues::default(); self.layers];
            self.stretches.push(Arc::new(Stretch { first: self.length, length: 0, layers }));
        }
    }

    /// Adds to one layer, after `begin`.
    pub(super) fn grow(&mut self, layer: usize, width: usize, keys: &[f32], values: &[f32]) {
        if let Some(last) = self.stretches.last_mut().and_then(Arc::get_mut) {
            last.layers[layer].add(width, keys, values);
        }
    }

    /// One layer's stretches, each with the positions before it.
    pub(super) fn layer(&self, layer: usize) -> impl Iterator<Item = (usize, &KeysValues)> {
        self.stretches.iter().map(move |stretch| (stretch.first, &stretch.layers[layer]))
    }

    pub(super) fn grown_by(&mut self, n: usize) {
        if let Some(last) = self.stretches.last_mut().and_then(Arc::get_mut) {
            last.length += n;
        }
        self.length += n;
    }
}
