//! What a model is made of, against hand counts and a program of another kind.

use crate::families;
use candle_core::{Device, Tensor};
use model::profile::{Depth, n_zeros, ranks, spectrum};

fn matrix(rows: &[&[f32]]) -> Tensor {
    let numbers: Vec<f32> = rows.concat();
    Tensor::from_vec(numbers, (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

/// By hand: singular values 3 and 4, so λ = 9, 16: stable rank 25/16, participation 625/337, entropy of (0.36, 0.64).
#[test]
fn ranks_of_a_diagonal_matrix_are_those_of_the_closed_form() {
    for matrix in [matrix(&[&[3.0, 0.0, 0.0], &[0.0, 4.0, 0.0]]), matrix(&[&[0.0, 4.0], &[0.0, 0.0], &[-3.0, 0.0]])] {
        let found = spectrum(&matrix, true).unwrap();
        assert!((found.stable_rank - 25.0 / 16.0).abs() < 1e-9, "{found:?}");
        assert!((found.participation - 625.0 / 337.0).abs() < 1e-12, "{found:?}");
        let entropy = -(0.36_f64 * 0.36_f64.ln() + 0.64 * 0.64_f64.ln());
        assert!((found.entropy_rank.unwrap() - entropy.exp()).abs() < 1e-12, "{found:?}");
    }
    let zeros = spectrum(&matrix(&[&[0.0, 0.0]]), true).unwrap();
    assert_eq!((zeros.stable_rank, zeros.participation, zeros.entropy_rank), (0.0, 0.0, Some(0.0)));
    let one = spectrum(&matrix(&[&[2.0, -4.0]]), true).unwrap();
    assert!((one.stable_rank - 1.0).abs() < 1e-12 && (one.entropy_rank.unwrap() - 1.0).abs() < 1e-12, "{one:?}");
}

/// Referee: numpy 2 (LAPACK), `tests/fixtures/spectra.py`, for the matrix of (row, column) ↦ sin(0.37·row·column + 1.3·row + column²),
/// rounded to f32. Tolerance 1e-6 of the value: the Gram matrix squares the condition in f64.
#[test]
fn ranks_of_an_uneven_matrix_are_those_of_lapack() {
    for (rows, columns, stable, participation, entropy) in SPECTRA {
        let number = |at: usize| {
            let (row, column) = ((at / columns) as f64, (at % columns) as f64);
            (0.37 * row * column + 1.3 * row + column * column).sin() as f32
        };
        let numbers: Vec<f32> = (0..rows * columns).map(number).collect();
        let found = spectrum(&Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap(), true).unwrap();
        for (found, expected) in
            [(found.stable_rank, stable), (found.participation, participation), (found.entropy_rank.unwrap(), entropy)]
        {
            assert!(
                (found - expected).abs() < 1e-6 * expected,
                "({rows}, {columns}): expected {expected}, found {found}"
            );
        }
    }
}

/// Rows, columns, stable rank, participation, entropy.
const SPECTRA: [(usize, usize, f64, f64, f64); 3] = [
    (40, 97, 10.64100327, 17.57058915, 20.57514641),
    (130, 64, 15.25615056, 25.96816136, 29.90597716),
    (200, 200, 44.12192769, 80.02623608, 88.52758996),
];

#[test]
fn zeros_are_counted_of_both_signs() {
    assert_eq!(n_zeros(&matrix(&[&[0.0, -0.0, 1e-40], &[1.0, 2.0, 0.0]])).unwrap(), 3);
}

/// By hand for the mixture of the fixture: experts 4 of which 2 pass, in the second of two layers; width 32, expert 24,
/// heads 4 and 2 of 16, dense feed-forward 48, vocabulary 64.
#[test]
fn parameters_are_counted_by_part() {
    let (_, decoder) = families::decoder(&families::fixture("qwen3_moe_mixed"));
    let counts = decoder.parameters();
    let attention = 2 * (2 * 32 * 64 + 2 * 32 * 32);
    assert_eq!((counts.embedding, counts.head, counts.attention), (64 * 32, 64 * 32, attention));
    assert_eq!(counts.mlp, 3 * 32 * 48 + 4 * 32 + 4 * 3 * 32 * 24);
    assert_eq!(counts.norms, 2 * (2 * 32 + 2 * 16) + 32);
    assert_eq!(counts.total() - counts.active(), 2 * 3 * 32 * 24);
    let shapes = decoder.layer_shapes();
    assert_eq!((shapes[0].experts, shapes[0].hidden), (None, 48));
    assert_eq!((shapes[1].experts, shapes[1].hidden), (Some((4, 2)), 24));
    assert_eq!(decoder.cache_numbers_per_token(), 2 * 2 * 32);
    let names: Vec<String> = decoder.matrices().into_iter().map(|matrix| matrix.name).collect();
    assert_eq!(names.len(), 1 + 2 * 4 + 3 + 1 + 12 + 1);
    assert_eq!(ranks(&decoder, Depth::Full, &|| ()).unwrap().len(), names.len());

    // A layer with a window keeps no more than it sees.
    let (_, mistral) = families::decoder(&families::fixture("mistral"));
    assert_eq!(mistral.cache_numbers(100), 2 * 2 * 32 * 8);
}
