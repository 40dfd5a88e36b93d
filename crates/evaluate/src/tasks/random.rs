//! CPython's generator and its draws: few-shot prompts of the harness depend on every bit of it.
//!
//! Source: Matsumoto and Nishimura 1998 (MT19937, `init_by_array`); CPython's `random.py` for `sample` and `choices`.

const N: usize = 624;
const M: usize = 397;

/// `random.Random(seed)` for seeds that fit 32 bits.
#[derive(Clone)]
pub struct Random {
    state: [u32; N],
    at: usize,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Random").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Random {
    #[must_use]
    pub fn new(seed: u32) -> Self {
        let mut state = [0_u32; N];
        state[0] = 19_650_218;
        for at in 1..N {
            state[at] = 1_812_433_253_u32.wrapping_mul(state[at - 1] ^ (state[at - 1] >> 30)).wrapping_add(at as u32);
        }
        // `init_by_array` with the one word of the seed, so the index into the key stays 0.
        let mut at = 1;
        for _ in 0..N {
            let mixed = (state[at - 1] ^ (state[at - 1] >> 30)).wrapping_mul(1_664_525);
            state[at] = (state[at] ^ mixed).wrapping_add(seed);
            at += 1;
            if at >= N {
                state[0] = state[N - 1];
                at = 1;
            }
        }
        for _ in 0..N - 1 {
            let mixed = (state[at - 1] ^ (state[at - 1] >> 30)).wrapping_mul(1_566_083_941);
            state[at] = (state[at] ^ mixed).wrapping_sub(at as u32);
            at += 1;
            if at >= N {
                state[0] = state[N - 1];
                at = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, at: N }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.at >= N {
            self.refill();
        }
        let mut word = self.state[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn refill(&mut self) {
        for at in 0..N {
            let word = (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % N] & 0x7fff_ffff);
            let odd = if word & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + M) % N] ^ (word >> 1) ^ odd;
        }
        self.at = 0;
    }

    /// `random()`: 53 bits in [0, 1).
    pub fn unit(&mut self) -> f64 {
        let (high, low) = (u64::from(self.next_u32() >> 5), u64::from(self.next_u32() >> 6));
        (high * 67_108_864 + low) as f64 / 9_007_199_254_740_992.0
    }

    /// `_randbelow(n)`, for n from 1 to 2³² − 1.
    pub fn below(&mut self, n: usize) -> usize {
        let bits = usize::BITS - n.leading_zeros();
        loop {
            let drawn = (self.next_u32() >> (32 - bits)) as usize;
            if drawn < n {
                return drawn;
            }
        }
    }

    /// Indices of `sample(population, k)` from a population of `n`; `None` when k > n.
    pub fn sample(&mut self, n: usize, k: usize) -> Option<Vec<usize>> {
        if k > n {
            return None;
        }
        let set_size = 21 + if k > 5 { 4_usize.pow(ceil_log4(3 * k)) } else { 0 };
        let mut drawn = Vec::with_capacity(k);
        if n <= set_size {
            let mut pool: Vec<usize> = (0..n).collect();
            for taken in 0..k {
                let at = self.below(n - taken);
                drawn.push(pool[at]);
                pool[at] = pool[n - taken - 1];
            }
        } else {
            while drawn.len() < k {
                let at = self.below(n);
                if !drawn.contains(&at) {
                    drawn.push(at);
                }
            }
        }
        Some(drawn)
    }

    /// Indices of `choices(population, k=k)`: with replacement.
    pub fn choices(&mut self, n: usize, k: usize) -> Vec<usize> {
        (0..k).map(|_| (self.unit() * n as f64).floor() as usize).collect()
    }
}

/// ⌈log₄ x⌉ of CPython's `_ceil(_log(x, 4))`, for x ≥ 1. The quotient of logarithms is exact enough at powers of 4.
fn ceil_log4(x: usize) -> u32 {
    let mut power = 0;
    while 4_usize.pow(power) < x {
        power += 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: CPython 3.11, `random.Random(seed)` and the call named.
    #[test]
    fn draws_are_those_of_cpython() {
        let mut random = Random::new(1234);
        let words: Vec<u32> = (0..4).map(|_| random.next_u32()).collect();
        assert_eq!(words, [4_150_886_329, 3_342_196_574, 1_892_932_127, 501_869_158]);

        let sampled = |n, k, times| {
            let mut random = Random::new(1234);
            (0..times).map(|_| random.sample(n, k).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(sampled(100, 5, 3), [[99, 56, 14, 0, 11], [74, 4, 85, 88, 10], [12, 98, 45, 30, 2]]);
        assert_eq!(sampled(7473, 5, 2), [[6374, 3610, 957, 61, 742], [7462, 6610, 4769, 286, 5501]]);
        assert_eq!(sampled(20, 5, 1), [[14, 3, 0, 2, 1]]);
        assert_eq!(sampled(2000, 10, 1), [[1979, 1593, 902, 239, 15, 185, 1865, 1930, 1923, 1652]]);
        assert_eq!(Random::new(0).choices(1000, 5), [844, 757, 420, 258, 511]);
        assert_eq!(Random::new(1).sample(3, 4), None);
    }
}
