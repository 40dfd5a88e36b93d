//! One matrix of a layer as the methods see it, and what goes into it.
//!
//! Legend: O outputs (rows), I inputs (columns), N calibration tokens, X (I, N) what went in.

use crate::Tensors;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// W (O, I), row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// By its hub name.
    pub name: String,
    pub outputs: usize,
    pub inputs: usize,
    pub weights: Vec<f32>,
    /// Whether the hub keeps it as (I, O).
    pub is_turned: bool,
}

impl Matrix {
    /// The matrix of that name, turned where the hub keeps it as (in, out).
    ///
    /// # Errors
    /// Those of the tensors, and a tensor that is no matrix.
    pub fn of(tensors: &Tensors, name: &str, is_turned: bool) -> candle_core::Result<Self> {
        let Some(tensor) = tensors.get(name) else { candle_core::bail!("expected a tensor `{name}`, found none") };
        let tensor = if is_turned { tensor.t()?.contiguous()? } else { tensor.clone() };
        let (outputs, inputs) = tensor.dims2()?;
        let weights = tensor.flatten_all()?.to_vec1()?;
        Ok(Self { name: name.to_owned(), outputs, inputs, weights, is_turned })
    }

    /// As the hub keeps it.
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn tensor(&self) -> candle_core::Result<Tensor> {
        let tensor = Tensor::from_slice(&self.weights, (self.outputs, self.inputs), &Device::Cpu)?;
        if self.is_turned { tensor.t()?.contiguous() } else { Ok(tensor) }
    }

    #[must_use]
    pub fn n_zero(&self) -> u64 {
        self.weights.iter().filter(|weight| **weight == 0.0).count() as u64
    }
}

/// G = X Xᵀ (I, I): all that the layer-wise problem needs of the calibration data.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    pub width: usize,
    /// N: tokens added.
    pub n: u64,
    pub sums: Vec<f64>,
}

impl Gram {
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { width, n: 0, sums: vec![0.0; width * width] }
    }

    /// Adds rows of inputs (n, I). A call's products are summed in f32, calls in f64.
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn add(&mut self, rows: &Tensor) -> candle_core::Result<()> {
        let (n, width) = rows.dims2()?;
        if width != self.width {
            candle_core::bail!("expected inputs of width {}, found {width}", self.width);
        }
        let product = rows.t()?.contiguous()?.matmul(rows)?.flatten_all()?.to_vec1::<f32>()?;
        self.sums.par_iter_mut().zip(product).for_each(|(sum, part)| *sum += f64::from(part));
        self.n += n as u64;
        Ok(())
    }

    /// ‖X_j‖₂ of each input j. Shape: (I,).
    #[must_use]
    pub fn norms(&self) -> Vec<f64> {
        (0..self.width).map(|at| self.sums[at * self.width + at].max(0.0).sqrt()).collect()
    }

    /// ‖M X‖²_F = Σ rows m G mᵀ for a matrix M (O, I). Summed in f64.
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn energy(&self, rows: &[f32]) -> candle_core::Result<f64> {
        let n = rows.len() / self.width.max(1);
        let rows: Vec<f64> = rows.iter().map(|number| f64::from(*number)).collect();
        let gram = Tensor::from_slice(&self.sums, (self.width, self.width), &Device::Cpu)?;
        let product = Tensor::from_slice(&rows, (n, self.width), &Device::Cpu)?.matmul(&gram)?;
        let product = product.flatten_all()?.to_vec1::<f64>()?;
        let row =
            |(row, product): (&[f64], &[f64])| row.iter().zip(product).map(|(m, mg)| m * mg).sum::<f64>().max(0.0);
        let each: Vec<f64> = rows.par_chunks(self.width).zip(product.par_chunks(self.width)).map(row).collect();
        Ok(each.iter().sum())
    }

    /// The layer-wise problem's value, ‖WX − ŴX‖²_F ÷ ‖WX‖²_F, 0 where nothing went in; and ‖WX‖²_F.
    ///
    /// Shapes: both (O, I) flat.
    ///
    /// # Errors
    /// Those of the tensors.
    pub fn relative_error(&self, before: &[f32], after: &[f32]) -> candle_core::Result<(f64, f64)> {
        let change: Vec<f32> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        let whole = self.energy(before)?;
        Ok((if whole > 0.0 { self.energy(&change)? / whole } else { 0.0 }, whole))
    }

    /// G with only these inputs.
    #[must_use]
    pub fn among(&self, kept: &[usize]) -> Self {
        let sums = kept.iter().flat_map(|&row| kept.iter().map(move |&column| (row, column)));
        let sums = sums.map(|(row, column)| self.sums[row * self.width + column]).collect();
        Self { width: kept.len(), n: self.n, sums }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Gram matrix gives the same error as the products themselves: W X by hand, 2 × 3 and four tokens.
    #[test]
    fn the_error_is_that_of_the_products() {
        let inputs = [[1.0_f32, 2.0, -1.0], [0.5, 0.0, 3.0], [-2.0, 1.0, 1.0], [0.0, 4.0, 0.25]];
        let rows = Tensor::new(&inputs, &Device::Cpu).unwrap();
        let mut gram = Gram::new(3);
        gram.add(&rows.narrow(0, 0, 1).unwrap()).unwrap();
        gram.add(&rows.narrow(0, 1, 3).unwrap()).unwrap();
        let (before, after) = ([1.0_f32, -2.0, 0.5, 3.0, 0.0, 1.0], [1.0_f32, 0.0, 0.5, 3.0, 0.0, 0.0]);
        let square = |weights: &[f32]| -> f64 {
            let product = |row: &[f32], x: &[f32; 3]| row.iter().zip(x).map(|(w, x)| f64::from(w * x)).sum::<f64>();
            weights.chunks(3).map(|row| inputs.iter().map(|x| product(row, x).powi(2)).sum::<f64>()).sum()
        };
        let change: Vec<f32> = before.iter().zip(after).map(|(b, a)| a - b).collect();
        let expected = square(&change) / square(&before);
        let (error, energy) = gram.relative_error(&before, &after).unwrap();
        assert!((error - expected).abs() < 1e-6 * expected);
        assert!((energy - square(&before)).abs() < 1e-6 * energy);
        assert_eq!(gram.n, 4);
        let norms: Vec<f64> = [5.25_f64, 21.0, 11.0625].map(f64::sqrt).into();
        assert!(gram.norms().iter().zip(norms).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }
}
