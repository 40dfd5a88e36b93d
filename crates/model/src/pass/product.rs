//! Matrix products on slices, by the kernels the tensor engine uses itself.

/// A matrix in a slice: entry (i, j) stands at i · `row` + j · `column`.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    entries: &'a [f32],
    sides: (usize, usize),
    row: usize,
    column: usize,
}

impl<'a> View<'a> {
    /// Rows of `n_columns`, one behind another.
    pub(super) const fn rows(entries: &'a [f32], n_columns: usize) -> Self {
        Self { entries, sides: (entries.len() / n_columns, n_columns), row: n_columns, column: 1 }
    }

    /// `n_rows` rows of `n_columns`, each `stride` entries after the one before.
    pub(super) const fn strided(entries: &'a [f32], n_rows: usize, n_columns: usize, stride: usize) -> Self {
        Self { entries, sides: (n_rows, n_columns), row: stride, column: 1 }
    }

    /// Transposed.
    pub(super) const fn t(self) -> Self {
        let Self { entries, sides: (rows, columns), row, column } = self;
        Self { entries, sides: (columns, rows), row: column, column: row }
    }

    /// The first `n` rows.
    pub(super) const fn first_rows(self, n: usize) -> Self {
        Self { sides: (n, self.sides.1), ..self }
    }

    fn check(&self) {
        let (rows, columns) = self.sides;
        let last = rows.saturating_sub(1) * self.row + columns.saturating_sub(1) * self.column;
        assert!(rows * columns == 0 || last < self.entries.len(), "{:?} in {}", self.sides, self.entries.len());
    }
}

/// Who works on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The caller alone: it is one of many.
    One,
    All,
}

/// `out` ← a · b · `factor`, and with `adds` that is added to what stands in `out`; rows of `out` one behind another.
///
/// The order of a sum does not depend on the number of threads.
pub(super) fn product(out: &mut [f32], adds: bool, a: View<'_>, b: View<'_>, factor: f32, threads: Threads) {
    let ((m, k), (k_of_b, n)) = (a.sides, b.sides);
    assert!(k == k_of_b && out.len() == m * n, "{:?} · {:?} into {}", a.sides, b.sides, out.len());
    a.check();
    b.check();
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(rayon::current_num_threads()),
    };
    #[expect(unsafe_code, reason = "the kernels take pointers")]
    // SAFETY: every entry that the strides reach lies inside its slice, as checked above; `out` is borrowed alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n.cast_signed(),
            adds,
            a.entries.as_ptr(),
            a.column.cast_signed(),
            a.row.cast_signed(),
            b.entries.as_ptr(),
            b.column.cast_signed(),
            b.row.cast_signed(),
            1.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: [[1, 2], [3, 4]] · [[5, 6], [7, 8]] = [[19, 22], [43, 50]].
    #[test]
    fn products_add_scale_and_transpose() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let mut out = [1.0; 4];
        product(&mut out, true, View::rows(&a, 2), View::rows(&b, 2), 2.0, Threads::One);
        assert_eq!(out, [39.0, 45.0, 87.0, 101.0]);
        product(&mut out, false, View::rows(&a, 2).t(), View::rows(&b, 2), 1.0, Threads::All);
        assert_eq!(out, [26.0, 30.0, 38.0, 44.0]);
        let wide = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        product(&mut out, false, View::strided(&wide, 2, 2, 3), View::rows(&b, 2), 1.0, Threads::One);
        assert_eq!(out, [19.0, 22.0, 43.0, 50.0]);
    }
}
