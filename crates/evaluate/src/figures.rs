//! Figures as evidence: each rounded once, here, the ends of an interval outward.

use crate::{
    Bounds, CONVENTION, DocumentScore,
    statistics::{
        Bootstrap, LEVEL, StatisticsError, paired_change, pooled, ratio_bounds, resampled::resampled, spread,
    },
};
use evidence::{
    DIGITS_MEASURED, Decimal, DecimalError, Digest, Interval, Measurement, Provenance, Round, Subject, metric,
};
use jiff::Timestamp;

/// How a model that is trained further is scored over folds.
const COUNTED: &str = "the tokens that training counts, answers alone of conversations; each document whole in a window of the case's \
                       context and cut at its end, no look from one document to another; each token weighs the same";

/// What every measurement of one evaluation shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    /// The weights that were scored.
    pub subject: Subject,
    /// Digests of what was read: weights, tokenizer, documents.
    pub inputs: Vec<Digest>,
    /// Program and version.
    pub instrument: String,
    /// End of the evaluation.
    pub at: Timestamp,
}

/// Why scores did not become evidence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FigureError {
    #[error("no metric `{0}` in the catalogue")]
    UnknownMetric(&'static str),
    #[error("`{metric}` cannot be computed")]
    Statistics {
        metric: &'static str,
        #[source]
        source: StatisticsError,
    },
    #[error("`{metric}` cannot be written as a decimal")]
    Decimal {
        metric: &'static str,
        #[source]
        source: DecimalError,
    },
    #[error("expected at most {weights} zeros among {weights} weights, found {zeros}")]
    Zeros { zeros: u64, weights: u64 },
}

/// `heldout.loss`, `heldout.perplexity` and `heldout.accuracy` of one model on held-out documents.
///
/// `n` of loss and perplexity is the number of documents, which is what the interval resamples; `k` of `n` of accuracy
/// counts tokens. One document alone gives figures without intervals: nothing is known of other documents then.
///
/// # Errors
/// `FigureError` naming the metric.
pub fn held_out(
    scores: &[DocumentScore],
    bootstrap: &Bootstrap,
    circumstances: &Circumstances,
) -> Result<Vec<Measurement>, FigureError> {
    let whole = pooled(scores).map_err(|source| FigureError::Statistics { metric: "heldout.loss", source })?;
    let tokens: Vec<f64> = scores.iter().map(|score| score.n_tokens as f64).collect();
    let bounds = |metric, of: fn(&DocumentScore) -> f64| {
        let numerators: Vec<f64> = scores.iter().map(of).collect();
        match ratio_bounds(&numerators, &tokens, bootstrap) {
            Ok(bounds) => Ok(Some(bounds)),
            Err(StatisticsError::TooFew { .. }) => Ok(None),
            Err(source) => Err(FigureError::Statistics { metric, source }),
        }
    };
    let loss = bounds("heldout.loss", |score| score.nll_nats)?;
    let perplexity = loss.map(|Bounds { lower, upper }| Bounds { lower: lower.exp(), upper: upper.exp() });
    let accuracy = bounds("heldout.accuracy", |score| score.n_correct as f64)?;
    let counts = format!("over {} tokens of {} documents", whole.n_tokens, whole.n_documents);
    let n_documents = Counts { n: Some(whole.n_documents), k: None };
    let n_tokens = Counts { n: Some(whole.n_tokens), k: Some(whole.n_correct) };
    let resampled = Level::Bootstrap(bootstrap);

    [
        ("heldout.loss", whole.loss_nats, loss, n_documents, format!("mean negative log-likelihood {counts}")),
        (
            "heldout.perplexity",
            whole.perplexity,
            perplexity,
            n_documents,
            "exp of the mean loss, ends alike".to_owned(),
        ),
        ("heldout.accuracy", whole.accuracy, accuracy, n_tokens, format!("share of first choices {counts}")),
    ]
    .into_iter()
    .map(|(metric, value, bounds, counts, method)| {
        let method = format!("{method}; {}", resampled.words());
        figure(metric, value, bounds, &resampled, counts, method, circumstances)
    })
    .collect()
}

/// A change of held-out loss on the same documents, after minus before: `metric` is `prune.loss_change` or
/// `quantize.loss_change`; `circumstances.subject` is the model after.
///
/// # Errors
/// `FigureError` naming the metric; fewer than two documents are an error, for a change without doubt decides nothing.
pub fn loss_change(
    metric: &'static str,
    before: &[DocumentScore],
    after: &[DocumentScore],
    bootstrap: &Bootstrap,
    circumstances: &Circumstances,
) -> Result<Measurement, FigureError> {
    let changed = paired_change(before, after, bootstrap);
    let (change, bounds) = changed.map_err(|source| FigureError::Statistics { metric, source })?;
    let resampled = Level::Bootstrap(bootstrap);
    let counts = Counts { n: Some(after.len() as u64), k: None };
    let method = format!("pooled loss after minus before on the same documents; {}", resampled.words());
    figure(metric, change, Some(bounds), &resampled, counts, method, circumstances)
}

/// `kfold.loss`, `kfold.perplexity`, `kfold.loss_spread` and `kfold.folds` from the pooled held-out loss of each fold, in nats per token.
///
/// `before`: of a model that was trained further, its losses on the same folds as it was; then also `kfold.loss_change`, after minus
/// before, fold by fold. Intervals are those of `resampled`, for K folds share most of what they train on.
///
/// # Errors
/// `FigureError` under two folds, and where `before` is not as long as `losses`.
pub fn folds(
    losses: &[f64],
    before: Option<&[f64]>,
    circumstances: &Circumstances,
) -> Result<Vec<Measurement>, FigureError> {
    let share = 1.0 / (losses.len() as f64 - 1.0);
    let mean = |metric, values: &[f64]| {
        // Under two folds there is no share either.
        let spread = spread(values).map_err(|source| FigureError::Statistics { metric, source })?;
        let found = resampled(values, share, LEVEL).map_err(|source| FigureError::Statistics { metric, source })?;
        Ok((spread, found.bounds))
    };
    let (spread, bounds) = mean("kfold.loss", losses)?;
    let ends = format!("folds from {} to {}; {}", spread.least, spread.largest, Level::Folds.words());
    let perplexity = Bounds { lower: bounds.lower.exp(), upper: bounds.upper.exp() };
    let mut rows = vec![
        ("kfold.loss", spread.mean, Some(bounds), format!("mean of the folds' held-out losses; {ends}")),
        ("kfold.perplexity", spread.mean.exp(), Some(perplexity), "exp of the mean loss, ends alike".to_owned()),
        (
            "kfold.loss_spread",
            spread.deviation,
            None,
            "sample standard deviation of the folds' losses, divisor K - 1".to_owned(),
        ),
        ("kfold.folds", losses.len() as f64, None, "folds counted".to_owned()),
    ];
    if let Some(before) = before {
        let metric = "kfold.loss_change";
        if before.len() != losses.len() {
            let source = StatisticsError::Lengths { numerators: losses.len(), denominators: before.len() };
            return Err(FigureError::Statistics { metric, source });
        }
        let changes: Vec<f64> = losses.iter().zip(before).map(|(after, before)| after - before).collect();
        let (spread, bounds) = mean(metric, &changes)?;
        let words = format!("folds from {} to {}; {}", spread.least, spread.largest, Level::Folds.words());
        rows.insert(
            1,
            (metric, spread.mean, Some(bounds), format!("loss after minus before, mean over folds; {words}")),
        );
    }
    let counts = Counts { n: Some(losses.len() as u64), k: None };
    // What is trained further is scored as it is trained, not a document at a time.
    let convention = if before.is_some() { COUNTED } else { CONVENTION };
    let row = |(metric, value, bounds, method)| {
        let measured = figure(metric, value, bounds, &Level::Folds, counts, method, circumstances)?;
        Ok(Measurement { convention: Some(convention.to_owned()), ..measured })
    };
    rows.into_iter().map(row).collect()
}

/// `prune.sparsity`: `zeros` of `weights` prunable weights, counted.
///
/// # Errors
/// `Zeros` unless `zeros` ≤ `weights` and `weights` > 0.
pub fn sparsity(zeros: u64, weights: u64, circumstances: &Circumstances) -> Result<Measurement, FigureError> {
    if zeros > weights || weights == 0 {
        return Err(FigureError::Zeros { zeros, weights });
    }
    let share = zeros as f64 / weights as f64;
    let counts = Counts { n: Some(weights), k: Some(zeros) };
    let method = "exact zeros among the prunable weights as stored, counted".to_owned();
    let whole = Some(Bounds { lower: share, upper: share });
    let measured = figure("prune.sparsity", share, whole, &Level::ExactCount, counts, method, circumstances)?;
    Ok(Measurement { convention: None, ..measured })
}

#[derive(Clone, Copy)]
struct Counts {
    n: Option<u64>,
    k: Option<u64>,
}

/// Where an interval comes from.
enum Level<'a> {
    Bootstrap(&'a Bootstrap),
    Folds,
    ExactCount,
}

impl Level<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "bootstrap-documents",
            Self::Folds => "corrected-resampled-t",
            Self::ExactCount => "exact-count",
        }
    }

    /// For the method of a measurement: what another program needs to draw the same.
    fn words(&self) -> String {
        match self {
            Self::Bootstrap(bootstrap) => format!(
                "{} resamples of documents, seed {}, percentiles widened for few documents",
                bootstrap.resamples, bootstrap.seed
            ),
            Self::Folds => "corrected resampled t, Nadeau and Bengio 2003".to_owned(),
            Self::ExactCount => String::new(),
        }
    }

    const fn level(&self) -> Option<f64> {
        match self {
            Self::Bootstrap(bootstrap) => Some(bootstrap.level),
            Self::Folds => Some(LEVEL),
            Self::ExactCount => None,
        }
    }
}

fn figure(
    id: &'static str,
    value: f64,
    bounds: Option<Bounds>,
    level: &Level<'_>,
    counts: Counts,
    method: String,
    circumstances: &Circumstances,
) -> Result<Measurement, FigureError> {
    let decimal = |number, round| {
        Decimal::from_f64(number, DIGITS_MEASURED, round).map_err(|source| FigureError::Decimal { metric: id, source })
    };
    let interval = |bounds: Bounds| -> Result<Interval, FigureError> {
        let stated = level.level().map(|level| decimal(level, Round::Nearest)).transpose()?;
        let (lower, upper) = (decimal(bounds.lower, Round::Down)?, decimal(bounds.upper, Round::Up)?);
        Ok(Interval { lower, upper, level: stated, method: level.name().to_owned() })
    };
    Ok(Measurement {
        metric: metric::find(id).ok_or(FigureError::UnknownMetric(id))?,
        subject: circumstances.subject.clone(),
        value: decimal(value, Round::Nearest)?,
        interval: bounds.map(interval).transpose()?,
        n: counts.n,
        k: counts.k,
        method,
        convention: Some(CONVENTION.to_owned()),
        inputs: circumstances.inputs.clone(),
        instrument: circumstances.instrument.clone(),
        provenance: Provenance::Measured,
        at: circumstances.at,
    })
}
