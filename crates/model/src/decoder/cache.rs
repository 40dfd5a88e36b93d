//! Keys and values of the positions behind which a row goes on.

use std::sync::Arc;

/// Keys and values of one row's positions, by layer.
///
/// A clone shares memory until one of the two grows, so rows that begin alike compute their beginning once:
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
    /// (S, K·D) each.
    keys: Vec<Arc<Vec<f32>>>,
    values: Vec<Arc<Vec<f32>>>,
    /// K·D of each layer, once it holds something.
    widths: Vec<usize>,
    length: usize,
    /// By which of the rotary tables' variants its keys were turned.
    pub(super) turned: Option<Vec<u64>>,
}

impl Cache {
    pub(super) fn new(layers: usize) -> Self {
        let empty = || (0..layers).map(|_| Arc::default()).collect();
        Self { keys: empty(), values: empty(), widths: vec![0; layers], length: 0, turned: None }
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
        let parts = self.keys.iter_mut().zip(&self.widths).chain(self.values.iter_mut().zip(&self.widths));
        for (part, width) in parts.filter(|(part, width)| part.len() > n * **width) {
            Arc::make_mut(part).truncate(n * width);
        }
        self.length = n;
        if n == 0 {
            self.turned = None;
        }
    }

    pub(super) fn layers(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn grow(&mut self, layer: usize, width: usize, keys: &[f32], values: &[f32]) {
        self.widths[layer] = width;
        Arc::make_mut(&mut self.keys[layer]).extend_from_slice(keys);
        Arc::make_mut(&mut self.values[layer]).extend_from_slice(values);
    }

    pub(super) fn layer(&self, layer: usize) -> (&[f32], &[f32]) {
        (&self.keys[layer], &self.values[layer])
    }

    pub(super) const fn grown_by(&mut self, n: usize) {
        self.length += n;
    }
}
