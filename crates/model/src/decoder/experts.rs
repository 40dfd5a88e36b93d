//! A feed-forward part of which a token uses a few experts.

use super::{Act, Linear, rows};
use candle_core::{Device, Tensor};

/// Experts and the router that chooses among them. Source: Shazeer et al. 2017; Fedus et al. 2022.
pub(crate) struct Experts {
    /// (experts, C)
    pub(crate) router: Linear,
    /// gate, up and down of each.
    pub(crate) experts: Vec<[Linear; 3]>,
    pub(crate) act: Act,
    /// Experts a token uses.
    pub(crate) n_active: usize,
    /// The shares of the chosen are made to sum to 1.
    pub(crate) is_normalized: bool,
}

impl Experts {
    /// Shapes: (N, C) → (N, C). A token's parts are added in the order of the experts.
    pub(super) fn apply(&self, normed: &Tensor) -> candle_core::Result<Tensor> {
        let (n, width) = normed.dims2()?;
        let chosen = self.choose(&self.router.apply(normed)?)?;
        let mut out = vec![0.0_f32; n * width];
        for (expert, [gate, up, down]) in self.experts.iter().enumerate() {
            let users: Vec<(u32, f32)> =
                chosen.iter().filter(|(_, of, _)| *of == expert).map(|&(token, _, share)| (token, share)).collect();
            if users.is_empty() {
                continue;
            }
            let tokens: Vec<u32> = users.iter().map(|(token, _)| *token).collect();
            let input = rows::pick(normed, &tokens)?;
            let [inner, up] = Linear::apply_each([gate, up], &input)?;
            self.act.gate(&inner, &up)?;
            rows::with_slice(&down.apply(&inner)?, |parts| {
                for (&(token, share), part) in users.iter().zip(parts.chunks_exact(width)) {
                    let out = &mut out[token as usize * width..][..width];
                    out.iter_mut().zip(part).for_each(|(out, x)| *out += share * x);
                }
            })?;
        }
        Tensor::from_vec(out, (n, width), &Device::Cpu)
    }

    /// Token, expert and share, by token; of equal scores the lower expert is chosen.
    fn choose(&self, scores: &Tensor) -> candle_core::Result<Vec<(u32, usize, f32)>> {
        rows::with_slice(scores, |scores| {
            let mut chosen = Vec::new();
            for (token, scores) in (0..).zip(scores.chunks_exact(self.experts.len())) {
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> = scores.iter().map(|score| f64::from(score - largest).exp()).collect();
                let mut order: Vec<usize> = (0..powers.len()).collect();
                order.sort_by(|&a, &b| powers[b].total_cmp(&powers[a]).then(a.cmp(&b)));
                order.truncate(self.n_active);
                let over = if self.is_normalized { &order[..] } else { &[] };
                let sum: f64 =
                    if over.is_empty() { powers.iter().sum() } else { over.iter().map(|&e| powers[e]).sum() };
                chosen.extend(order.iter().map(|&expert| (token, expert, (powers[expert] / sum) as f32)));
            }
            chosen
        })
    }
}
