//! Training under the budget.

use super::{
    Session,
    data::Tokens,
    figures,
    follow::Work,
    made::{self, Counted, Made},
    plan,
    shape::Shape,
};
use crate::ranks;
use anyhow::Context as _;
use evidence::{
    Control, DIGITS_MEASURED, Decimal, DerivedFrom, Digest, Json, Measurement, Predicate, Provenance, Round, Subject,
};
use meter::{Cost, Guard, Joules, Sensor};
use model::{Llama, weights};
use std::{collections::BTreeMap, fs};
use supervise::{Record, case::Parent};
use train::{Adjustment, Event, Look, Outcome, Point};

/// The trained model with its file.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) model: Llama,
    pub(crate) weights: Subject,
    pub(crate) shape: Shape,
}

/// What happened on the way.
struct Course {
    curve: Vec<Point>,
    looks: Vec<Look>,
    adjustments: Vec<Adjustment>,
    /// Peak of all ranks together.
    memory: Option<u64>,
}

/// Points of the loss curve that the record keeps, at most.
const CURVE_POINTS: usize = 200;

impl Session<'_> {
    /// Trains, or takes the weights that stand; `None` after a recorded stop.
    pub(crate) fn train(&mut self, tokens: &Tokens, guard: &mut Guard) -> anyhow::Result<Option<Trained>> {
        let Some(shape) = self.chosen(super::shape::of_case(self.case, tokens)?, tokens, guard)? else {
            return Ok(None);
        };
        if let Some(trained) = self.trained_before(&shape, tokens)? {
            self.note_other_answers();
            return Ok(Some(trained));
        }
        let work = Work::new(shape.clone(), tokens, self.work().join(self.run.id()).join("train"))?;
        let flop = shape.step_flop(shape.train.tokens_per_step(&work.corpus)?);
        let bar = self.screen.bar("train", shape.train.steps);
        let (mut failure, mut halt) = (None, None);
        if let Err(error) = ranks::begin(self.ranks) {
            self.stop(&format!("training could not begin: {error:#}"), guard, None)?;
            return Ok(None);
        }
        let together = self.ranks;
        let outcome = work.train(together, &mut |event| {
            match event {
                Event::Ahead { .. } => return guard.ask(flop),
                Event::Scoring { n_tokens, .. } => return guard.ask(shape.look_flop(*n_tokens)),
                Event::HeldOut { .. } => guard.done(),
                Event::Done { step, loss_nats, .. } => {
                    guard.done();
                    bar.set_position(*step);
                    bar.set_message(format!("loss {loss_nats:.3}"));
                }
                Event::Resumed { step } => bar.set_position(*step),
                Event::Damaged { path, reason } => bar.println(format!("passed over {}: {reason}", path.display())),
                Event::Trouble { step, trouble } => {
                    let answered = self.intervene(None, *step, trouble);
                    let (control, halted) = answered.unwrap_or_else(|error| {
                        failure = Some(error);
                        (Control::Stop("the trouble cannot be recorded".to_owned()), None)
                    });
                    halt = halted;
                    return control;
                }
                Event::Saved { .. } | Event::Adjusted { .. } => {}
            }
            Control::Continue
        });
        bar.finish_and_clear();
        let memory = ranks::end(together, matches!(outcome, Ok(Outcome::Finished(_))));
        if let Some(failure) = failure {
            return Err(failure);
        }
        match outcome? {
            Outcome::Stopped { step, reason, snapshot, .. } => {
                let snapshot = snapshot
                    .map(|(_, digest)| Json::map([("step", Some(step.into())), ("digest", Some(digest.into()))]));
                match halt {
                    Some(halt) => self.halt(&reason, guard, snapshot, &halt)?,
                    None => self.stop(&reason, guard, snapshot)?,
                }
                Ok(None)
            }
            Outcome::Finished(trained) => {
                guard.close()?;
                let train::Trained { model, curve, looks, adjustments, .. } = trained;
                let course = Course { curve, looks, adjustments, memory };
                let weights = self.save(&model, tokens)?;
                // What follows reads one set of weights.
                let model = if model.adapters().is_some() { model.merged()? } else { model };
                let record = self.training_record(&shape, tokens, &weights, &course, flop, guard)?;
                self.record(record)?;
                Ok(Some(Trained { model, weights, shape }))
            }
        }
    }

    /// The weights of a training that the record knows, when their file is whole.
    fn trained_before(&self, shape: &Shape, tokens: &Tokens) -> anyhow::Result<Option<Trained>> {
        let Some(entry) = self.run.last(Predicate::TrainingRun) else { return Ok(None) };
        let Some(weights) = entry.statement.subjects.first() else { return Ok(None) };
        if shape.head.is_some() {
            let Ok(tensors) = weights::load_checked(&self.weights("model.safetensors"), weights.digest) else {
                return Ok(None);
            };
            let model = Llama::with_classes_from(shape.model.clone(), tensors)?;
            return Ok(Some(Trained { model, weights: weights.clone(), shape: shape.clone() }));
        }
        if shape.adapters.is_some() {
            let Ok(_) = weights::load_checked(&self.weights("adapter_model.safetensors"), weights.digest) else {
                return Ok(None);
            };
            let (base, _) = tokens.base.as_ref().context("the base is gone")?;
            let model = base.model.load_adapters(&self.weights(""))?.merged()?;
            return Ok(Some(Trained { model, weights: weights.clone(), shape: shape.clone() }));
        }
        let path = self.weights("model.safetensors");
        let Ok(tensors) = weights::load_checked(&path, weights.digest) else { return Ok(None) };
        let model = Llama::from_tensors(shape.model.clone(), tensors)?;
        Ok(Some(Trained { model, weights: weights.clone(), shape: shape.clone() }))
    }

    fn save(&self, model: &Llama, tokens: &Tokens) -> anyhow::Result<Subject> {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        if let Some(labels) = &tokens.labels {
            let digest = weights::save(&self.weights("model.safetensors"), &model.whole_tensors()?, &metadata)?;
            let end_id = tokens.base.as_ref().and_then(|(base, _)| base.tokenizer.eos().first().copied());
            let config = model.classes_json(&labels.names, end_id);
            ledger::durable::write_atomic(&self.weights("config.json"), config.as_bytes())?;
            return Ok(Subject::new("weights/model.safetensors", digest));
        }
        if let (Some(base), true) = (&self.case.base, model.adapters().is_some()) {
            let digest = model.save_adapters(&self.weights(""), &base.path.to_string_lossy())?;
            return Ok(Subject::new("weights/adapter_model.safetensors", digest));
        }
        let digest = weights::save(&self.weights("model.safetensors"), &model.tensors(), &metadata)?;
        let config = model.config().to_json();
        ledger::durable::write_atomic(&self.weights("config.json"), config.as_bytes())?;
        Ok(Subject::new("weights/model.safetensors", digest))
    }

    fn training_record(
        &self,
        shape: &Shape,
        tokens: &Tokens,
        weights: &Subject,
        course: &Course,
        flop_per_step: u128,
        guard: &Guard,
    ) -> anyhow::Result<Record> {
        let curve = course.curve.as_slice();
        let mut record = Record::new(Predicate::TrainingRun, "train");
        record.subjects = vec![weights.clone()];
        let corpus = self.run.last(Predicate::DatasetAudit).context("the record has no audit")?;
        let corpus = corpus.statement.subjects.first().context("the audit has no subject")?.digest;
        let inputs = vec![corpus, tokens.digest];
        let steps = curve.len() as u128;
        // What was computed and thrown away was computed all the same.
        let lost: u64 = course.adjustments.iter().map(|adjustment| adjustment.lost).sum();
        let compute = flop_per_step * (steps + u128::from(lost));
        let spent = guard.account().spent();
        let used = difference(spent, self.spent_before());
        record.measurements = vec![
            figures::flop("train.compute", weights, compute, inputs.clone())?,
            figures::measure("train.steps", weights, Decimal::from_u128(steps, Round::Nearest), "counted")?,
            self.trained_tokens(weights, tokens, shape, steps)?,
            figures::measure(
                if shape.head.is_some() { "classify.train_loss" } else { "train.loss" },
                weights,
                last_tenth(curve)?,
                "mean of the last tenth of the steps",
            )?,
            self.count(weights, shape)?,
            disagreement(weights, shape, compute)?,
        ];
        record.measurements.extend(self.lineage(weights, compute, &tokens.made, inputs)?);
        record.measurements.extend(spending(weights, used, guard)?);
        record.measurements.extend(self.drawn_on(weights, course, guard)?);
        let from = |parent: Digest, action: &str| DerivedFrom { parent, action: action.to_owned() };
        record.derived_from = vec![from(corpus, "trained-on"), from(tokens.digest, "tokenized-by")];
        if let Some((_, digest)) = &tokens.base {
            record.derived_from.push(from(*digest, "fine-tuned"));
        }
        record.derived_from.extend(tokens.made.iter().map(|made| from(made.digest, "trained-on-generated")));
        let is_other = |parent: &&Parent| tokens.base.as_ref().is_none_or(|(_, digest)| *digest != parent.digest);
        let parents = self.case.parents().iter().filter(is_other);
        record.derived_from.extend(parents.map(|parent| from(parent.digest, &parent.action)));
        record.members = vec![
            ("config", plan::config_json(shape)?),
            ("scope", "counted".into()),
            ("curve", curve_json(curve, flop_per_step)),
            ("budget", figures::budget(guard.account())),
            ("spent", figures::spent_json(spent)),
            ("weights", weights.digest.into()),
            ("predictionScores", self.scores(&record.measurements)?),
        ];
        if self.ranks.n() > 1 {
            record.members.push(("ranks", self.ranks.n().into()));
        }
        if !tokens.made.is_empty() {
            record.members.push(("generated", made::to_json(&tokens.made)));
        }
        if !course.looks.is_empty() {
            record.members.push(("looks", Json::List(course.looks.iter().map(look_json).collect())));
        }
        if !course.adjustments.is_empty() {
            let rows = course.adjustments.iter().map(adjustment_json).collect();
            record.members.push(("adjustments", Json::List(rows)));
        }
        Ok(record)
    }

    /// How much of the budget is gone, and the memory that was held at most.
    fn drawn_on(&self, weights: &Subject, course: &Course, guard: &Guard) -> anyhow::Result<Vec<Measurement>> {
        let mut measurements = Vec::new();
        if let Some(share) = guard.account().share_used() {
            let share = Decimal::from_f64(share, DIGITS_MEASURED, Round::Up)?;
            measurements.push(figures::measure("budget.share_used", weights, share, "spent ÷ cap, the largest")?);
        }
        if let Some(bytes) = course.memory {
            let bytes = Decimal::from_u128(u128::from(bytes), Round::Nearest);
            let method = match self.ranks.n() {
                1 => "VmHWM of the kernel".to_owned(),
                n => format!("VmHWM of the kernel, of {n} ranks together"),
            };
            measurements.push(figures::measure("train.memory_peak", weights, bytes, &method)?);
        }
        Ok(measurements)
    }

    /// What the journal had booked when the last stage was recorded.
    pub(crate) fn spent_before(&self) -> Cost {
        let spent = |entry: &ledger::Entry| figures::spent_of(entry.statement.predicate.get("spent")?);
        self.run.entries().iter().rev().find_map(spent).unwrap_or_default()
    }

    fn trained_tokens(
        &self,
        weights: &Subject,
        tokens: &Tokens,
        shape: &Shape,
        steps: u128,
    ) -> anyhow::Result<Measurement> {
        let corpus = tokens.corpus(&tokens.train, shape.train.context)?;
        let tokens = u128::from(shape.train.tokens_per_step(&corpus)?) * steps;
        let tokens = Decimal::from_u128(tokens, Round::Nearest);
        figures::measure("train.tokens", weights, tokens, "windows × positions, counted")
    }

    fn count(&self, weights: &Subject, shape: &Shape) -> anyhow::Result<Measurement> {
        let n = Decimal::from_u128(shape.n_parameters() as u128, Round::Nearest);
        figures::measure("model.parameters", weights, n, "counted over the tensors; a tied embedding once")
    }

    /// Compute along the ancestry, that of making data included, and the share of a modification; missing when a part of it is not
    /// known, but for the thirds, where the law names a substitute for the parents'.
    ///
    /// What generating data took counts towards the whole. Whether it counts as modification the Guidelines do not say: the upper ends of
    /// the thirds and the share have it, the lower ends have not.
    fn lineage(
        &self,
        weights: &Subject,
        own: u128,
        made: &[Made],
        inputs: Vec<Digest>,
    ) -> anyhow::Result<Vec<Measurement>> {
        let Some(Counted { exact, stated }) = made::counted(made) else { return Ok(Vec::new()) };
        let parents = self.case.parents();
        if parents.is_empty() && stated.is_empty() {
            return Ok(vec![figures::flop("lineage.compute", weights, own.saturating_add(exact), inputs)?]);
        }
        let Some(generated) = meter::stated(&stated) else { return Ok(Vec::new()) };
        let generated = generated.map(|end| end.saturating_add(exact));
        let most_own = own.saturating_add(generated[2]);
        let inferred = |measurement| Measurement { provenance: Provenance::Inferred, ..measurement };
        let thirds = original(parents).and_then(|original| {
            let (least, most) =
                (meter::modification_thirds(own, original)?, meter::modification_thirds(most_own, original)?);
            Some([least[0], least[1], most[2]])
        });
        let thirds = thirds.filter(|_| !parents.is_empty()).map(|bounds| {
            figures::enclosed("lineage.modification_thirds", weights, bounds, "3 × own compute ÷ that of the parents")
        });
        let mut found: Vec<Measurement> = thirds.transpose()?.map(inferred).into_iter().collect();
        let known = parents.iter().map(|parent| parent.compute_flop?.to_u128()).collect::<Option<Vec<_>>>();
        let Some(before @ [least, said, most]) = known.and_then(|known| meter::stated(&known)) else {
            return Ok(found);
        };
        let rounds = [Round::Down, Round::Nearest, Round::Up];
        let sum = |at: usize| own.saturating_add(before[at]).saturating_add(generated[at]);
        let sums = std::array::from_fn(|at| Decimal::from_u128(sum(at), rounds[at]));
        let method = "own compute and that stated for each parent, which may be off by 30 %, and that of making data";
        let sum = figures::enclosed("lineage.compute", weights, sums, method)?;
        found.push(inferred(sum));
        let shares = [(own, most, 0), (own, said, 1), (most_own, least, 2)]
            .map(|(own, of, at)| Some(meter::modification_share(own, of)?[at]));
        if let [Some(lower), Some(value), Some(upper)] = shares {
            let method = "own compute ÷ that stated for the parents, which may be off by 30 %";
            let share = figures::enclosed("lineage.modification_share", weights, [lower, value, upper], method)?;
            found.push(inferred(share));
        }
        Ok(found)
    }

    /// The plan's predictions of training, scored.
    fn scores(&self, measured: &[Measurement]) -> anyhow::Result<Json> {
        let Some(plan) = self.run.last(Predicate::Plan) else { return Ok(Json::List(Vec::new())) };
        let mut rows = Vec::new();
        for (name, id) in [("compute", "train.compute"), ("memory", "train.memory_peak")] {
            let Some(measurement) = measured.iter().find(|measurement| measurement.metric.id == id) else { continue };
            let Ok(quantity) = plan::planned(plan, name) else { continue };
            let score = meter::score(&quantity, measurement.value)?;
            rows.push(Json::map([
                ("name", Some(name.into())),
                ("inside", Some(score.is_inside.into())),
                ("intervalScore", Some(score.interval_score.into())),
                ("unit", Some(quantity.unit.symbol().into())),
            ]));
        }
        Ok(Json::List(rows))
    }
}

/// What is known of the models that were modified; nothing where a declared compute is no whole number of FLOP.
fn original(parents: &[Parent]) -> Option<meter::Original> {
    let known = |parent: &Parent| match parent.compute_flop {
        None => Some((None, parent.systemic_risk)),
        Some(compute) => Some((Some(compute.to_u128()?), parent.systemic_risk)),
    };
    meter::Original::of(&parents.iter().map(known).collect::<Option<Vec<_>>>()?)
}

/// The count beside two estimates that share no code with it: the model's own list of matrix products, and 6·N·D, or 4·N·D where
/// the weights are held.
fn disagreement(weights: &Subject, shape: &Shape, compute: u128) -> anyhow::Result<Measurement> {
    let products = shape.model.products(1, shape.train.context);
    let columns = |p: &model::Product| if p.name == "logits" { shape.outputs() } else { p.n };
    let window: u128 = products.iter().map(|p| 2 * (p.m * p.k * columns(p) * p.count) as u128).sum();
    let per_window = shape.step_flop(shape.train.context as u64);
    let n_windows = compute / per_window;
    let tokens = (n_windows * shape.train.context as u128) as f64;
    let norms = (2 * shape.model.layers + 1) * shape.model.width;
    // A tied embedding counts as the matrix at the end; a head stands there instead of it.
    let counted = shape.model.n_parameters() - norms - shape.model.vocab * shape.model.width;
    let counted = counted + shape.outputs() * shape.model.width;
    let share = shape.n_passes() as f64 / 3.0;
    let n_d = share * meter::flop::six_n_d(counted as f64, tokens);
    let apart = |estimate: f64| (estimate - compute as f64).abs() / compute as f64;
    let largest = apart((shape.n_passes() * window * n_windows) as f64).max(apart(n_d));
    let value = Decimal::from_f64(largest, DIGITS_MEASURED, Round::Up)?;
    let method = match shape.n_passes() {
        1 => "against the list of matrix products and 2·N·D, the larger",
        2 => "against twice the list of matrix products and 4·N·D, the larger",
        _ => "against the list of matrix products and 6·N·D, the larger",
    };
    figures::measure("train.compute_disagreement", weights, value, method)
}

pub(crate) fn difference(after: Cost, before: Cost) -> Cost {
    Cost(std::array::from_fn(|kind| after.0[kind].saturating_sub(before.0[kind])))
}

/// Time, energy and carbon of a stage, from the journal: steps repeated after a crash included.
fn spending(subject: &Subject, used: Cost, guard: &Guard) -> anyhow::Result<Vec<Measurement>> {
    let seconds = used.0[1] as f64 / 1e6;
    let exactly = Joules { lower: seconds, value: seconds, upper: seconds };
    let time =
        figures::bounded("train.time", subject, exactly, "monotonic clock around each step, from the budget journal")?;
    // The journal books upper ends; the sensor's own bounds give the others.
    let (watts, upper) = (guard.sensor().watts(), used.0[2] as f64 / 1e6 / 3.6e6);
    let energy = match guard.sensor() {
        Sensor::Rapl(_) => Joules { lower: upper, value: upper, upper },
        Sensor::Model(_) => {
            Joules { lower: upper * watts.lower / watts.upper, value: upper * watts.value / watts.upper, upper }
        }
    };
    let provenance = if guard.sensor().is_counter() { Provenance::Measured } else { Provenance::Inferred };
    let method = guard.sensor().method();
    let mut rows =
        vec![time, Measurement { provenance, ..figures::bounded("train.energy", subject, energy, &method)? }];
    if let Some(intensity) = guard.intensity() {
        let grams = intensity.grams_per_kwh.to_f64();
        let carbon = Joules { lower: energy.lower * grams, value: energy.value * grams, upper: energy.upper * grams };
        let carbon = figures::bounded("train.carbon", subject, carbon, &format!("energy × intensity; {method}"))?;
        rows.push(Measurement { provenance: Provenance::Inferred, convention: Some(intensity.convention()), ..carbon });
    }
    Ok(rows)
}

fn last_tenth(curve: &[Point]) -> anyhow::Result<Decimal> {
    let n = curve.len().div_ceil(10);
    let sum: f64 = curve[curve.len() - n..].iter().map(|point| point.loss.to_f64()).sum();
    Ok(Decimal::from_f64(sum / n.max(1) as f64, DIGITS_MEASURED, Round::Nearest)?)
}

fn look_json(look: &Look) -> Json {
    Json::map([("step", Some(look.step.into())), ("loss", Some(look.loss.into()))])
}

fn adjustment_json(adjustment: &Adjustment) -> Json {
    Json::map([
        ("step", Some(adjustment.step.into())),
        ("percent", Some(i64::from(adjustment.percent).into())),
        ("skip", Some(adjustment.skip.into())),
        ("lost", Some(adjustment.lost.into())),
    ])
}

/// Every so many points, the last always among them.
fn curve_json(curve: &[Point], flop_per_step: u128) -> Json {
    let stride = curve.len().div_ceil(CURVE_POINTS).max(1);
    let is_kept = |point: &&Point| {
        point.step == 1 || point.step.is_multiple_of(stride as u64) || point.step == curve.len() as u64
    };
    let row = |point: &Point| {
        Json::map([
            ("step", Some(point.step.into())),
            ("loss", Some(point.loss.into())),
            ("learningRate", Some(point.learning_rate.into())),
            ("computeFlop", Some(Decimal::from_u128(flop_per_step * u128::from(point.step), Round::Nearest).into())),
        ])
    };
    Json::List(curve.iter().filter(is_kept).map(row).collect())
}

/// Removes the scratch of a finished run.
pub(crate) fn clear(folder: &std::path::Path) {
    let _ = fs::remove_dir_all(folder);
}
