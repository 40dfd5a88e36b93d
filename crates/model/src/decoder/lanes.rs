//! What is packed: lanes side by side, one depth behind another, in groups that the kernel takes at once.
//!
//! Legend: D depths, L lanes of a group, which are rows of a tile or columns of a panel.

use super::vectors::{Vectors, vectors};

/// Rows that are fetched before they are copied: each stands on a page of its own, where no machine looks ahead by itself.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 12;

/// Groups of L lanes one behind another, each (D, L). The last has the lanes that are left, `Full` or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups<const L: usize> {
    pub(crate) n_lanes: usize,
    pub(crate) depth: usize,
    pub(crate) last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// As narrow as its lanes.
    Narrow,
    /// As wide as the others; zeros behind its lanes.
    Full,
}

impl<const L: usize> Groups<L> {
    /// Numbers that they take.
    pub(crate) const fn room(self) -> usize {
        match self.last {
            Last::Narrow => self.n_lanes * self.depth,
            Last::Full => self.n_lanes.next_multiple_of(L) * self.depth,
        }
    }

    const fn width(self, n_lanes: usize) -> usize {
        match self.last {
            Last::Narrow => n_lanes,
            Last::Full => L,
        }
    }

    /// From rows of lanes, each `stride` after the one before. A whole row at a time: it is one run of memory.
    pub(crate) fn copy(self, from: &[f32], stride: usize, out: &mut [f32]) {
        let size = self.depth * L;
        let rest = self.n_lanes % L;
        let (whole, last) = out[..self.room()].split_at_mut(self.n_lanes / L * size);
        let width = self.width(rest);
        for depth in 0..self.depth {
            let row = &from[depth * stride..][..self.n_lanes];
            #[cfg(target_arch = "x86_64")]
            x86::fetch(from.as_ptr().wrapping_add((depth + AHEAD) * stride), self.n_lanes);
            let (lanes, left) = row.as_chunks::<L>();
            for (lanes, out) in lanes.iter().zip(whole.chunks_exact_mut(size)) {
                out[depth * L..][..L].copy_from_slice(lanes);
            }
            if rest > 0 {
                let out = &mut last[depth * width..][..width];
                out[..rest].copy_from_slice(left);
                out[rest..].fill(0.0);
            }
        }
    }

    /// From lanes that are runs of depths, each `stride` after the one before.
    pub(crate) fn interleave(self, from: &[f32], stride: usize, out: &mut [f32]) {
        for (group, out) in out[..self.room()].chunks_mut(self.depth * L).enumerate() {
            let n_lanes = L.min(self.n_lanes - group * L);
            let width = self.width(n_lanes);
            if n_lanes < width {
                out.fill(0.0);
            }
            let from = &from[group * L * stride..];
            let (lanes, depths) = squares(from, stride, (n_lanes, self.depth), out, width);
            plain(from, stride, (0, lanes), (depths, self.depth), out, width);
            plain(from, stride, (lanes, n_lanes), (0, self.depth), out, width);
        }
    }
}

/// Lanes and depths, `from..to` each.
fn plain(
    from: &[f32],
    stride: usize,
    lanes: (usize, usize),
    (start, end): (usize, usize),
    out: &mut [f32],
    width: usize,
) {
    for lane in lanes.0..lanes.1 {
        let run = &from[lane * stride..][start..end];
        run.iter().zip(out.chunks_mut(width).skip(start)).for_each(|(x, out)| out[lane] = *x);
    }
}

/// Transposes what fills whole squares of vectors and gives how many lanes and depths that were.
fn squares(
    from: &[f32],
    stride: usize,
    (n_lanes, depth): (usize, usize),
    out: &mut [f32],
    width: usize,
) -> (usize, usize) {
    let (n_lanes, depth) = (n_lanes / 4 * 4, depth / 8 * 8);
    if n_lanes * depth == 0 {
        return (0, 0);
    }
    assert!(from.len() >= (n_lanes - 1) * stride + depth, "{} numbers for {n_lanes} runs of {depth}", from.len());
    assert!(width >= n_lanes && out.len() >= depth * width, "room for {} of {depth} x {width}", out.len());
    match vectors() {
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512 | Vectors::Avx2 => {
            #[expect(unsafe_code, reason = "calling what the machine was found to have")]
            // SAFETY: the features were found on this machine; the lengths were asserted.
            unsafe {
                x86::squares(from, stride, (n_lanes, depth), out, width);
            }
            (n_lanes, depth)
        }
        _ => (0, 0),
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads and stores have no safe form")]
mod x86 {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm_storeu_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_loadu_ps,
        _mm256_shuffle_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    /// Asks for `n` numbers that are read soon, if they are there.
    pub(super) fn fetch(from: *const f32, n: usize) {
        for line in (0..n).step_by(16) {
            // SAFETY: a hint, which reads nothing: it may point behind the numbers.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast()) };
        }
    }

    /// Four lanes by eight depths at a time. The caller promises `n_lanes` runs of `depth` numbers, and room for `depth` rows.
    #[target_feature(enable = "avx")]
    pub(crate) unsafe fn squares(
        from: &[f32],
        stride: usize,
        (n_lanes, depth): (usize, usize),
        out: &mut [f32],
        width: usize,
    ) {
        let (from, out) = (from.as_ptr(), out.as_mut_ptr());
        let mut k = 0;
        while k < depth {
            let mut lane = 0;
            while lane < n_lanes {
                // SAFETY: lanes `lane` to `lane + 3` and depths `k` to `k + 7` are there on both sides.
                unsafe {
                    let from = from.add(lane.wrapping_mul(stride).wrapping_add(k));
                    let (a, b) = (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(stride)));
                    let (c, d) = (
                        _mm256_loadu_ps(from.add(stride.wrapping_mul(2))),
                        _mm256_loadu_ps(from.add(stride.wrapping_mul(3))),
                    );
                    let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                    let (low_2, high_2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                    let depths = [
                        _mm256_shuffle_ps::<0x44>(low, low_2),
                        _mm256_shuffle_ps::<0xee>(low, low_2),
                        _mm256_shuffle_ps::<0x44>(high, high_2),
                        _mm256_shuffle_ps::<0xee>(high, high_2),
                    ];
                    let mut out = out.add(k.wrapping_mul(width).wrapping_add(lane));
                    for lanes in depths {
                        _mm_storeu_ps(out, _mm256_castps256_ps128(lanes));
                        _mm_storeu_ps(out.wrapping_add(width.wrapping_mul(4)), _mm256_extractf128_ps::<1>(lanes));
                        out = out.wrapping_add(width);
                    }
                }
                lane = lane.wrapping_add(4);
            }
            k = k.wrapping_add(8);
        }
    }
}
