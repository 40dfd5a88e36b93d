//! Columns as numbers: standardised, one 0/1 column a category, all learned from the training part alone.

use super::table::{Feature, Features};

/// Sparse rows: of row i the places `starts[i]..starts[i + 1]` of `columns` and `values`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub columns: Vec<u32>,
    pub values: Vec<f64>,
    pub starts: Vec<usize>,
    pub width: usize,
}

impl Rows {
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns and values of one row.
    pub fn row(&self, at: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let place = self.starts[at]..self.starts[at + 1];
        self.columns[place.clone()].iter().map(|&column| column as usize).zip(self.values[place].iter().copied())
    }
}

/// What one column became.
#[derive(Debug)]
enum Code {
    /// Mean, and deviation with divisor N; 1 for a column that does not vary, as scikit-learn's `StandardScaler` has it.
    Standard(f64, f64),
    /// Categories of the training part, sorted.
    OneOf(Vec<String>),
}

/// An encoder learned from some rows.
#[derive(Debug)]
pub struct Encoder {
    codes: Vec<Code>,
    width: usize,
}

impl Encoder {
    /// Learns means, deviations and categories from `rows` of the features, and from no other.
    ///
    /// Standardisation as `StandardScaler`, categories as `OneHotEncoder(handle_unknown="ignore")`.
    #[must_use]
    pub fn learn(features: &Features, rows: &[usize]) -> Self {
        let mut codes = Vec::new();
        match features {
            Features::Columns(columns) => {
                for (_, feature) in columns {
                    codes.push(match feature {
                        Feature::Numeric(values) => standard(rows.iter().map(|&row| values[row])),
                        Feature::Category(names) => {
                            let mut known: Vec<String> = rows.iter().map(|&row| names[row].clone()).collect();
                            known.sort_unstable();
                            known.dedup();
                            Code::OneOf(known)
                        }
                    });
                }
            }
            Features::Dense { values, width } => {
                let of = |column: usize| rows.iter().map(move |&row| f64::from(values[row * width + column]));
                codes.extend((0..*width).map(|column| standard(of(column))));
            }
        }
        let width = codes.iter().map(|code| if let Code::OneOf(known) = code { known.len() } else { 1 }).sum();
        Self { codes, width }
    }

    /// Rows as numbers; a category that was not learned is 0 in every column of its feature.
    #[must_use]
    pub fn encode(&self, features: &Features, rows: &[usize]) -> Rows {
        let mut out = Rows { columns: Vec::new(), values: Vec::new(), starts: vec![0], width: self.width };
        for &row in rows {
            let mut first = 0;
            for (at, code) in self.codes.iter().enumerate() {
                let mut put = |column: usize, value: f64| {
                    out.columns.push(column as u32);
                    out.values.push(value);
                };
                match (code, features) {
                    (Code::Standard(mean, deviation), Features::Columns(columns)) => {
                        if let Feature::Numeric(values) = &columns[at].1 {
                            put(first, (values[row] - mean) / deviation);
                        }
                        first += 1;
                    }
                    (Code::Standard(mean, deviation), Features::Dense { values, width }) => {
                        put(first, (f64::from(values[row * width + at]) - mean) / deviation);
                        first += 1;
                    }
                    (Code::OneOf(known), Features::Columns(columns)) => {
                        if let Feature::Category(names) = &columns[at].1
                            && let Ok(place) = known.binary_search(&names[row])
                        {
                            put(first + place, 1.0);
                        }
                        first += known.len();
                    }
                    (Code::OneOf(_), Features::Dense { .. }) => {}
                }
            }
            out.starts.push(out.columns.len());
        }
        out
    }
}

fn standard(values: impl Iterator<Item = f64> + Clone) -> Code {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    // scikit-learn takes a variance below this for rounding of a constant.
    let is_constant = variance <= n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
    Code::Standard(mean, if is_constant { 1.0 } else { variance.sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: of 1, 3 the mean is 2 and the deviation 1; `c` was not among the rows learned from.
    #[test]
    fn only_the_training_part_is_learned_from() {
        let features = Features::Columns(vec![
            ("x".to_owned(), Feature::Numeric(vec![1.0, 3.0, 9.0])),
            ("y".to_owned(), Feature::Category(["b", "a", "c"].map(str::to_owned).to_vec())),
            ("z".to_owned(), Feature::Numeric(vec![5.0, 5.0, 6.0])),
        ]);
        let encoder = Encoder::learn(&features, &[0, 1]);
        let rows = encoder.encode(&features, &[0, 1, 2]);
        assert_eq!(rows.width, 4);
        let row = |at: usize| rows.row(at).collect::<Vec<_>>();
        assert_eq!(row(0), [(0, -1.0), (2, 1.0), (3, 0.0)]);
        assert_eq!(row(1), [(0, 1.0), (1, 1.0), (3, 0.0)]);
        assert_eq!(row(2), [(0, 7.0), (3, 1.0)]);
    }
}
