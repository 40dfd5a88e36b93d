//! What changed between two models, as measurements and as two sides.

use super::suites::{Scores, Speed, Suites};
use crate::run::figures::measure;
use evaluate::{
    DocumentScore, passages,
    statistics::{Bootstrap, clopper_pearson, paired_change, pooled, ratio_bounds},
};
use evidence::{DIGITS_MEASURED, Decimal, Interval, Json, Measurement, Round, Subject};

/// Seed of every interval here: the same passages give the same interval.
const SEED: u64 = 0;

/// One model of a comparison.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) scores: Scores,
    /// Of all files.
    pub(crate) bytes: u64,
    /// Numbers of the decoder as opened.
    pub(crate) parameters: u64,
    /// Bytes in which its matrices are held.
    pub(crate) held_bytes: u64,
    pub(crate) speed: Option<Speed>,
    pub(crate) zeros: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sides {
    pub(crate) before: Side,
    pub(crate) after: Side,
}

/// The measurements of a change, and what was asked.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) suites: Json,
}

/// One figure of both sides with its change, for a person and for `--json`.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// Change and its ends: after minus before, or after by before where that is said.
    pub(crate) change: Option<(f64, [f64; 2])>,
    pub(crate) note: &'static str,
}

fn decimal(value: f64, round: Round) -> anyhow::Result<Decimal> {
    Ok(Decimal::from_f64(value, DIGITS_MEASURED, round)?)
}

fn interval(ends: [f64; 2], level: Option<f64>, method: &str) -> anyhow::Result<Interval> {
    Ok(Interval {
        lower: decimal(ends[0], Round::Down)?,
        upper: decimal(ends[1], Round::Up)?,
        level: level.map(|level| decimal(level, Round::Nearest)).transpose()?,
        method: method.to_owned(),
    })
}

impl Side {
    /// Of each task, in the order they were asked in.
    fn accuracies(&self) -> Vec<(&str, f64)> {
        let tasks = self.scores.items.chunk_by(|(one, ..), (other, ..)| one == other);
        tasks
            .map(|items| {
                (items[0].0.as_str(), items.iter().map(|(_, _, right)| right).sum::<f64>() / items.len() as f64)
            })
            .collect()
    }

    fn accuracies_json(&self) -> anyhow::Result<Json> {
        let members = self
            .accuracies()
            .into_iter()
            .map(|(task, right)| anyhow::Ok((task.to_owned(), Json::from(decimal(right, Round::Nearest)?))));
        Ok(Json::Map(members.collect::<anyhow::Result<_>>()?))
    }

    pub(crate) fn to_json(&self) -> anyhow::Result<Json> {
        let number = |value: f64| decimal(value, Round::Nearest).map(Json::from);
        let text = if self.scores.passages.is_empty() { None } else { Some(pooled(&self.scores.passages)?) };
        let share = |right: f64, n: usize| (n > 0).then(|| number(right / n as f64)).transpose();
        let right: f64 = self.scores.items.iter().map(|(_, _, right)| right).sum();
        let refused = self.scores.refused.iter().filter(|refused| **refused).count() as f64;
        Ok(Json::map([
            ("loss", text.map(|text| number(text.loss_nats)).transpose()?),
            ("perplexity", text.map(|text| number(text.perplexity)).transpose()?),
            ("accuracy", text.map(|text| number(text.accuracy)).transpose()?),
            ("taskAccuracy", share(right, self.scores.items.len())?),
            ("taskAccuracies", (!self.scores.items.is_empty()).then(|| self.accuracies_json()).transpose()?),
            ("refused", share(refused, self.scores.refused.len())?),
            ("bytes", Some(self.bytes.into())),
            ("parameters", Some(self.parameters.into())),
            ("heldBytes", Some(self.held_bytes.into())),
            ("tokensPerSecond", self.speed.map(|speed| number(speed.read)).transpose()?),
            ("tokensPerSecondOneByOne", self.speed.map(|speed| number(speed.one_by_one)).transpose()?),
            ("zeros", self.zeros.map(|(zeros, _)| zeros.into())),
        ]))
    }
}

impl Sides {
    pub(crate) fn to_json(&self) -> anyhow::Result<[Json; 2]> {
        Ok([self.before.to_json()?, self.after.to_json()?])
    }

    /// Pooled loss after minus before.
    pub(crate) fn loss_change(&self) -> anyhow::Result<Option<(f64, [f64; 2])>> {
        let (before, after) = (&self.before.scores.passages, &self.after.scores.passages);
        if before.is_empty() {
            return Ok(None);
        }
        let (change, bounds) = paired_change(before, after, &Bootstrap::new(SEED))?;
        Ok(Some((change, [bounds.lower, bounds.upper])))
    }

    /// Mean of what items changed by.
    pub(crate) fn paired(before: &[f64], after: &[f64]) -> anyhow::Result<Option<(f64, [f64; 2])>> {
        if before.len() < 2 || before.len() != after.len() {
            return Ok(None);
        }
        let changes: Vec<f64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        let ones = vec![1.0; changes.len()];
        let bounds = ratio_bounds(&changes, &ones, &Bootstrap::new(SEED))?;
        Ok(Some((changes.iter().sum::<f64>() / changes.len() as f64, [bounds.lower, bounds.upper])))
    }

    fn accuracy_change(&self, task: Option<&str>) -> anyhow::Result<Option<(f64, [f64; 2])>> {
        let of = |side: &Side| -> Vec<f64> {
            let items = side.scores.items.iter();
            items.filter(|(name, _, _)| task.is_none_or(|task| task == name)).map(|(_, _, right)| *right).collect()
        };
        Self::paired(&of(&self.before), &of(&self.after))
    }

    fn refusal_change(&self) -> anyhow::Result<Option<(f64, [f64; 2])>> {
        let of =
            |side: &Side| side.scores.refused.iter().map(|refused| f64::from(u8::from(*refused))).collect::<Vec<_>>();
        Self::paired(&of(&self.before), &of(&self.after))
    }

    /// Everything that can be said of the change, about `subject`.
    pub(crate) fn measure(&self, subject: &Subject, suites: &Suites) -> anyhow::Result<Changed> {
        let mut found = Vec::new();
        let resampled = |unit: &str| format!("bootstrap-{unit}");
        let mut change = |id: &str, change: Option<(f64, [f64; 2])>, n: usize, unit: &str, method: &str| {
            let Some((value, ends)) = change else { return Ok(()) };
            found.push(Measurement {
                interval: Some(interval(ends, Some(Bootstrap::new(SEED).level), &resampled(unit))?),
                n: Some(n as u64),
                convention: (unit == "passages").then(|| passages::CONVENTION.to_owned()),
                inputs: suites.files.iter().map(|(_, digest)| *digest).collect(),
                ..measure(id, subject, decimal(value, Round::Nearest)?, method)?
            });
            anyhow::Ok(())
        };
        let loss = self.loss_change()?;
        let n = suites.passages.len();
        change("compress.loss_change", loss, n, "passages", "pooled loss after minus before on the same passages")?;
        let ratio = loss.map(|(loss, ends)| (loss.exp(), ends.map(f64::exp)));
        change("compress.perplexity_ratio", ratio, n, "passages", "exp of the change of loss, ends alike")?;
        let items = self.before.scores.items.len();
        change(
            "compress.accuracy_change",
            self.accuracy_change(None)?,
            items,
            "items",
            "right after minus right before",
        )?;
        let requests = self.before.scores.refused.len();
        change(
            "compress.refusal_change",
            self.refusal_change()?,
            requests,
            "requests",
            "refused after minus refused before",
        )?;
        for (id, side) in [("compress.refusals_before", &self.before), ("compress.refusals_after", &self.after)] {
            found.extend(refusals(id, subject, &side.scores.refused)?);
        }
        found.extend(self.sizes(subject)?);
        Ok(Changed { measurements: found, suites: suites_json(suites) })
    }

    fn sizes(&self, subject: &Subject) -> anyhow::Result<Vec<Measurement>> {
        let exact = |id: &str, after: u64, before: u64, method: &str| -> anyhow::Result<Measurement> {
            let ratio = after as f64 / before.max(1) as f64;
            let interval = interval([ratio, ratio], None, "exact-count")?;
            Ok(Measurement {
                interval: Some(interval),
                ..measure(id, subject, decimal(ratio, Round::Nearest)?, method)?
            })
        };
        let mut found = vec![
            exact("compress.bytes_ratio", self.after.bytes, self.before.bytes, "sizes of all files of each model")?,
            exact(
                "compress.memory_ratio",
                self.after.held_bytes,
                self.before.held_bytes,
                "bytes of the matrices of each decoder as opened",
            )?,
        ];
        if let (Some(before), Some(after)) = (self.before.speed, self.after.speed) {
            let method = "the same passages through both models by turns, the median of each";
            let ratio = decimal(after.read / before.read, Round::Nearest)?;
            found.push(measure("compress.speed_ratio", subject, ratio, method)?);
            let method =
                "the same tokens, each alone behind those before it, through both models by turns, the median of each";
            let ratio = decimal(after.one_by_one / before.one_by_one, Round::Nearest)?;
            found.push(measure("compress.decoding_speed_ratio", subject, ratio, method)?);
        }
        if let Some((zeros, all)) = self.after.zeros.filter(|(_, all)| *all > 0) {
            let share = zeros as f64 / all as f64;
            found.push(Measurement {
                n: Some(all),
                k: Some(zeros),
                ..exact("compress.zeros", zeros, all, "counted over the matrices as stored")?
            });
            debug_assert!((0.0..=1.0).contains(&share));
        }
        Ok(found)
    }

    /// Both sides figure by figure.
    pub(crate) fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        let row = |name: &str, before: f64, after: f64, change, note| Row {
            name: name.to_owned(),
            before,
            after,
            change,
            note,
        };
        let (before, after) = (&self.before, &self.after);
        let ratio = |before: f64, after: f64| Some((after / before, [after / before; 2]));
        rows.push(row(
            "bytes",
            before.bytes as f64,
            after.bytes as f64,
            ratio(before.bytes as f64, after.bytes as f64),
            "ratio",
        ));
        let memory = [before.held_bytes, after.held_bytes].map(|n| n as f64);
        rows.push(row("weights in memory", memory[0], memory[1], ratio(memory[0], memory[1]), "ratio"));
        if let (Some(first), Some(second)) = (before.speed, after.speed) {
            rows.push(row("tokens a second", first.read, second.read, ratio(first.read, second.read), "ratio"));
            let [first, second] = [first, second].map(|speed| speed.one_by_one);
            rows.push(row("tokens a second, one by one", first, second, ratio(first, second), "ratio"));
        }
        if let (Some(first), Some(second)) = (before.zeros, after.zeros) {
            let share = |(zeros, all): (u64, u64)| zeros as f64 / all.max(1) as f64;
            rows.push(row("zeros", share(first), share(second), None, ""));
        }
        if let Some((change, ends)) = self.loss_change()? {
            let whole = |scores: &[DocumentScore]| pooled(scores).map(|whole| whole.perplexity);
            let (first, second) = (whole(&before.scores.passages)?, whole(&after.scores.passages)?);
            rows.push(row("perplexity", first, second, Some((change.exp(), ends.map(f64::exp))), "ratio"));
        }
        for ((task, first), (_, second)) in before.accuracies().into_iter().zip(after.accuracies()) {
            rows.push(row(task, first, second, self.accuracy_change(Some(task))?, "difference"));
        }
        if !before.scores.refused.is_empty() {
            let share = |side: &Side| {
                side.scores.refused.iter().filter(|refused| **refused).count() as f64 / side.scores.refused.len() as f64
            };
            rows.push(row("refused", share(before), share(after), self.refusal_change()?, "difference"));
        }
        Ok(rows)
    }
}

fn refusals(id: &str, subject: &Subject, refused: &[bool]) -> anyhow::Result<Option<Measurement>> {
    if refused.is_empty() {
        return Ok(None);
    }
    let (k, n) = (refused.iter().filter(|refused| **refused).count() as u64, refused.len() as u64);
    let bounds = clopper_pearson(k, n, Bootstrap::new(SEED).level)?;
    let method = "greedy answers, found by a list of words, unscored counted as not refused";
    Ok(Some(Measurement {
        k: Some(k),
        n: Some(n),
        interval: Some(interval([bounds.lower, bounds.upper], Some(Bootstrap::new(SEED).level), "clopper-pearson")?),
        ..measure(id, subject, decimal(k as f64 / n as f64, Round::Nearest)?, method)?
    }))
}

fn suites_json(suites: &Suites) -> Json {
    let file = |(name, digest): &(String, evidence::Digest)| {
        Json::map([("name", Some(name.as_str().into())), ("digest", Some((*digest).into()))])
    };
    Json::map([
        ("files", Some(Json::List(suites.files.iter().map(file).collect()))),
        ("passages", Some(suites.passages.len().into())),
        ("tasks", Some(Json::list(suites.tasks.iter().map(|one| one.task.name.as_str())))),
        ("requests", Some(suites.requests.len().into())),
    ])
}

impl Row {
    /// As a person reads it.
    pub(crate) fn text(&self) -> String {
        let change = self.change.map_or_else(String::new, |(change, [lower, upper])| {
            let sign = if self.note == "ratio" { "x " } else { "" };
            if lower.to_bits() == upper.to_bits() {
                format!("{sign}{change:.4}")
            } else {
                format!("{sign}{change:.4} [{lower:.4}, {upper:.4}]")
            }
        });
        format!("{:20} {:>14} {:>14}   {change}", self.name, shown(self.before), shown(self.after))
    }

    pub(crate) fn to_json(&self) -> anyhow::Result<Json> {
        let number = |value: f64, round| decimal(value, round).map(Json::from);
        let change = self.change;
        Ok(Json::map([
            ("name", Some(self.name.as_str().into())),
            ("before", Some(number(self.before, Round::Nearest)?)),
            ("after", Some(number(self.after, Round::Nearest)?)),
            ("change", change.map(|(value, _)| number(value, Round::Nearest)).transpose()?),
            ("lower", change.map(|(_, ends)| number(ends[0], Round::Down)).transpose()?),
            ("upper", change.map(|(_, ends)| number(ends[1], Round::Up)).transpose()?),
            ("changeIs", (!self.note.is_empty()).then(|| self.note.into())),
        ]))
    }
}

pub(crate) fn shown(value: f64) -> String {
    if value.abs() >= 1e6 { format!("{:.2} M", value / 1e6) } else { format!("{value:.4}") }
}
