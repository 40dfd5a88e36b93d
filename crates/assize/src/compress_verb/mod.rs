//! `assize compress MODEL …`: any opened model pruned or stored otherwise, under rules.

pub(crate) mod compare;
pub(crate) mod distill;
mod figures;
pub(crate) mod governed;
pub(crate) mod lineage;
pub(crate) mod merge;
mod search;
mod spec;
pub(crate) mod suites;
mod work;

pub(crate) use lineage::model_in;
pub(crate) use spec::CompressArgs;

use crate::{
    Ended,
    run::{self, figures::measure},
    screen::{self, Screen},
};
use anyhow::{Context as _, bail};
use compress::calibrate;
use evidence::{DIGITS_MEASURED, Decimal, Digest, Interval, Json, Measurement, Round, Subject};
use figures::{Side, Sides};
use governed::{Passed, Step, StepResult};
use model::{Decoder, ModelParts, OpenOptions, Specials};
use spec::Spec;
use std::path::Path;
use suites::Suites;
use work::{Compressed, Storage};

/// Whether the verb means a model rather than a case.
pub(crate) fn is_meant(args: &CompressArgs) -> anyhow::Result<bool> {
    let path = &args.run.case;
    let is_asked = args.prune.is_some() || args.quantize.is_some() || args.target.is_some();
    let is_case = path.join("assize.toml").exists() || path.extension().is_some_and(|extension| extension == "toml");
    if is_case && is_asked {
        bail!(
            "{} is a case, and `--prune`, `--quantize` and `--target` ask for a model: name its folder or file",
            path.display()
        );
    }
    if !is_case && !is_asked && (path.join("config.json").exists() || path.extension().is_some_and(|e| e == "gguf")) {
        bail!(
            "{} is a model: say what to do with it, `--prune METHOD --sparsity S` or `--quantize FORMAT`",
            path.display()
        );
    }
    Ok(is_asked)
}

/// A model that is opened, with what it is called in the record.
pub(crate) struct Input {
    pub(crate) parts: ModelParts,
    pub(crate) decoder: Decoder,
    pub(crate) subject: Subject,
    pub(crate) lineage: Vec<lineage::Ancestor>,
    /// What was said of its tokens, for what is made of it.
    pub(crate) options: OpenOptions,
}

impl Input {
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> anyhow::Result<Self> {
        let path = lineage::model_in(path);
        let parts = model::take_apart(&path, options)?;
        // As opened, with codes where the file has codes: what is measured is what anyone runs.
        let decoder = model::open_with(&path, options)?.decoder;
        let subject = suites::subject_of(&parts)?;
        let lineage = lineage::of(&path, &subject)?;
        Ok(Self { parts, decoder, subject, lineage, options: options.clone() })
    }

    /// What was made of a model, read back: what is evaluated is what the files say.
    pub(crate) fn made(of: &Self, stored: &Path, subject: Subject) -> anyhow::Result<Self> {
        let (parts, options) = (model::take_apart(stored, &of.options)?, of.options.clone());
        let decoder = model::open_with(stored, &options)?.decoder;
        Ok(Self { parts, decoder, subject, lineage: Vec::new(), options })
    }

    pub(crate) fn side(&self, scores: suites::Scores) -> anyhow::Result<Side> {
        let bytes = suites::file_bytes(&self.parts.files)?;
        let zeros = Some(zeros(&self.parts.tensors)?);
        Ok(Side {
            scores,
            bytes,
            parameters: self.decoder.parameters().total(),
            held_bytes: self.decoder.held_bytes(),
            speed: None,
            zeros,
        })
    }
}

/// What tokenizers are compared by where their files are written differently.
const PROBE: &str = "The year 2024's 1,234.5 km² naïve café: \"déjà-vu\"?\n\tif (x != y) { return 0x1F; }  今天天气很好。 Привет, мир! 안녕 🙂";

/// Whether a token of one model is the same of the other: the files say the same, or no id has two tokens and a text with
/// letters, digits, signs and spaces of many kinds comes to the same ids. A GGUF file and the hub folder it was made from differ in files.
pub(crate) fn same_tokens(first: &Input, second: &Input) -> anyhow::Result<bool> {
    let [one, two] = [first, second].map(|input| &input.parts.tokenizer);
    if one.to_json()? == two.to_json()? {
        return Ok(true);
    }
    let rows = first.decoder.vocab().max(second.decoder.vocab()) as u32;
    // Rows without a token have a filler in a GGUF file, which no text comes to.
    let is_same = (0..rows).all(|id| one.token(id).zip(two.token(id)).is_none_or(|(one, two)| one == two));
    Ok(is_same && one.encode(PROBE, Specials::None)? == two.encode(PROBE, Specials::None)?)
}

/// Zeros and weights in the matrices of the layers.
fn zeros(tensors: &compress::Tensors) -> anyhow::Result<(u64, u64)> {
    let (mut zeros, mut all) = (0, 0);
    for (_, tensor) in tensors.iter().filter(|(name, _)| model::site(name).is_some()) {
        let weights = tensor.flatten_all()?.to_vec1::<f32>()?;
        zeros += weights.iter().filter(|weight| **weight == 0.0).count() as u64;
        all += weights.len() as u64;
    }
    Ok((zeros, all))
}

/// Calibration rows with where they came from.
pub(crate) struct Calibration {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) file: (String, Digest),
}

fn calibration(args: &CompressArgs, input: &Input) -> anyhow::Result<Option<Calibration>> {
    let Some(path) = &args.calibration else { return Ok(None) };
    let (text, digest) = suites::read_text(path, "--calibration")?;
    let context = input.decoder.context();
    if args.calibration_length > context {
        bail!(
            "`--calibration-length`: expected at most the model's {context} positions, found {}",
            args.calibration_length
        );
    }
    for (option, least, found) in
        [("--calibration-length", 2, args.calibration_length), ("--calibration-rows", 1, args.calibration_rows)]
    {
        anyhow::ensure!(found >= least, "`{option}`: expected {least} or more, found {found}");
    }
    let tokens = input.parts.tokenizer.encode(&text, Specials::None)?;
    let config = calibrate::Config { rows: args.calibration_rows, positions: args.calibration_length };
    let rows = calibrate::rows(&tokens, &config);
    let rows = rows.with_context(|| format!("the calibration text {} is too small", path.display()))?;
    Ok(Some(Calibration { rows, file: (suites::name_of(path), digest) }))
}

pub(crate) fn compress(args: &CompressArgs) -> anyhow::Result<Ended> {
    if args.target.is_some() {
        return search::search(args);
    }
    let spec = Spec::of(args)?;
    let prepared = Prepared::new(args, std::slice::from_ref(&spec))?;
    let identity = identity(args, &spec.name(), &prepared);
    let step = Step::begin(&args.run, governed::held(&args.held.rules, &args.run)?, &identity)?;
    prepared.carry_out(step, &spec, None)
}

/// What a run of the verb stands on.
fn identity(args: &CompressArgs, what: &str, prepared: &Prepared) -> Json {
    let calibration = prepared.calibration.as_ref().map(|one| one.file.1);
    Json::map([
        ("program", Some(run::INSTRUMENT.into())),
        ("model", Some(prepared.input.subject.digest.into())),
        ("work", Some(what.into())),
        ("calibration", calibration.map(Json::from)),
        ("group", Some(args.group.into())),
    ])
}

/// Everything that is read before a dossier is begun.
pub(crate) struct Prepared {
    pub(crate) input: Input,
    pub(crate) calibration: Option<Calibration>,
    pub(crate) suites: Suites,
}

/// The folder that the result goes into.
pub(crate) fn out_of(run: &crate::args::RunArgs) -> anyhow::Result<&Path> {
    run.out.as_deref().context("where does the result go? say `--out DIR`")
}

/// Likewise, which is not there yet.
pub(crate) fn new_out(run: &crate::args::RunArgs) -> anyhow::Result<&Path> {
    let out = out_of(run)?;
    if out.exists() {
        bail!(
            "`--out`: {} stands already and nothing in it was changed; name a folder that is not there yet",
            out.display()
        );
    }
    Ok(out)
}

impl Prepared {
    pub(crate) fn new(args: &CompressArgs, specs: &[Spec]) -> anyhow::Result<Self> {
        new_out(&args.run)?;
        let input = Input::open(&args.run.case, &args.tokens.options())?;
        for spec in specs {
            if let Some(config) = spec.layerwise() {
                compress::layerwise::check(&config, &input.parts.tensors)?;
            }
        }
        let calibration = calibration(args, &input)?;
        let suites = Suites::read(&args.held.suites, &input.parts.tokenizer, input.decoder.context())?;
        Ok(Self { input, calibration, suites })
    }

    pub(crate) fn rows(&self) -> Option<&[Vec<u32>]> {
        self.calibration.as_ref().map(|one| &one.rows[..])
    }

    /// Plan, gate, work, evaluation, gate, seal. `found` is what a search adds to the record.
    pub(crate) fn carry_out(self, mut step: Step, spec: &Spec, found: Option<&search::Found>) -> anyhow::Result<Ended> {
        match self.stages(&mut step, spec, found) {
            Ok((word, summary)) => step.close(word, &summary),
            Err(error) => match governed::stopped(&error) {
                Some(reason) => step.stop(&reason, &self.input.subject),
                None => {
                    step.abandon();
                    Err(error)
                }
            },
        }
    }

    fn stages(
        &self,
        step: &mut Step,
        spec: &Spec,
        found: Option<&search::Found>,
    ) -> anyhow::Result<(&'static str, Json)> {
        let subject = &self.input.subject;
        if let Passed::No(gate) = step.plan(subject, self.planned(spec)?, self.plan_members(spec))? {
            return Ok(("denied", denied(&gate)));
        }
        let scores = step.score(&self.suites, &self.input.parts, &self.input.decoder)?;
        let before = self.input.side(scores)?;
        let compressed = self.work(step, spec)?;
        let weights = step.work.join("weights");
        let (file, digest) = compressed.write(&weights, &self.input.parts)?;
        let stored = if matches!(compressed.storage, Storage::Gguf(_)) { weights.join(&file) } else { weights.clone() };
        let after = Input::made(&self.input, &stored, Subject::new(format!("weights/{file}"), digest))?;
        let scores = step.score(&self.suites, &after.parts, &after.decoder)?;
        let mut sides = Sides { before, after: after.side(scores)? };
        if let Some([first, second]) = suites::speeds(&self.input.decoder, &after.decoder, &self.suites.passages)? {
            (sides.before.speed, sides.after.speed) = (Some(first), Some(second));
        }
        if let Some(found) = found {
            found.write(&step.work)?;
        }
        let mut changed = sides.measure(&after.subject, &self.suites)?;
        changed.measurements.extend(self.reconstruction(&compressed, &after.subject)?);
        let mut parameters = self.parameters(spec, &compressed)?;
        if let (Json::Map(members), Some(found)) = (&mut parameters, found) {
            members.insert("search".to_owned(), found.json.clone());
        }
        let rows = sides.rows()?;
        let passed = step.result(StepResult {
            subject: &after.subject,
            parents: &[subject.digest],
            action: spec.action(),
            operation: if spec.prune.is_some() { "prune" } else { "quantize" },
            parameters,
            sides: &sides,
            changed,
            lineage: self.input.lineage.clone(),
        })?;
        show(&step.screen, &rows);
        let mut summary =
            vec![("rows", Json::List(rows.iter().map(figures::Row::to_json).collect::<anyhow::Result<_>>()?))];
        let word = match passed {
            Passed::On => "allowed",
            Passed::No(gate) => {
                summary.extend(denied(&gate).get("denials").cloned().map(|denials| ("denials", denials)));
                "denied"
            }
        };
        Ok((word, Json::Map(summary.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())))
    }

    /// The model, pruned and stored in memory, each layer asked of the budget first.
    fn work(&self, step: &mut Step, spec: &Spec) -> anyhow::Result<Compressed> {
        let rows = self.rows().unwrap_or_default();
        let length = rows.first().map_or(1, |row| row.len() as u64);
        let learning = spec
            .recover
            .map_or(0, |config| governed::blocks_of(&self.input.decoder).training(config.batch as u64, length));
        let flop = governed::walk_flop(&self.input.decoder, rows).max(learning);
        let bar = step.screen.bar("layers", self.input.decoder.layers() as u64);
        let mut ask = governed::ask_layers(&mut step.guard, flop);
        let compressed = work::compress(spec, &self.input.parts, self.rows(), &mut |at, n| {
            bar.set_position(at as u64);
            ask(at, n)
        });
        drop(ask);
        bar.finish_and_clear();
        step.guard.done();
        compressed
    }

    fn planned(&self, spec: &Spec) -> anyhow::Result<Vec<Measurement>> {
        let subject = &self.input.subject;
        let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest);
        let exact = |id: &str, value: f64| -> anyhow::Result<Measurement> {
            let interval = Interval {
                lower: decimal(value)?,
                upper: decimal(value)?,
                level: None,
                method: "exact-count".to_owned(),
            };
            Ok(Measurement { interval: Some(interval), ..measure(id, subject, decimal(value)?, "as asked for")? })
        };
        let (bits, n_otherwise) = compress::formats::planned_bits(spec.format, &self.input.parts.tensors);
        if n_otherwise > 0 {
            screen::remark(&format!(
                "{n_otherwise} matrices have rows that {} does not fit and are stored otherwise: {bits:.2} bits a weight in the mean",
                spec.format.name()
            ));
        }
        let mut planned = vec![
            exact("compress.sparsity_planned", spec.prune.map_or(0.0, |(_, share)| share))?,
            exact("compress.bits_planned", bits)?,
        ];
        let tokens: usize = self.rows().unwrap_or_default().iter().map(Vec::len).sum();
        let tokens = Decimal::from_u128(tokens as u128, Round::Nearest);
        planned.push(measure(
            "compress.calibration_tokens",
            subject,
            tokens,
            "counted over the rows that will be used",
        )?);
        Ok(planned)
    }

    fn plan_members(&self, spec: &Spec) -> Vec<(&'static str, Json)> {
        let files = self.suites.files.iter().chain(self.calibration.as_ref().map(|one| &one.file));
        let file = |(name, digest): &(String, Digest)| {
            Json::map([("name", Some(name.as_str().into())), ("digest", Some((*digest).into()))])
        };
        vec![
            ("compression", spec.name().into()),
            ("dataDigests", Json::List(files.map(file).collect())),
            ("lineage", Json::List(self.input.lineage.iter().map(lineage::Ancestor::to_json).collect())),
        ]
    }

    /// What the layer-wise problem came to.
    fn reconstruction(&self, compressed: &Compressed, subject: &Subject) -> anyhow::Result<Option<Measurement>> {
        if self.calibration.is_none() {
            return Ok(None);
        }
        let pruned = compressed.pruned.as_ref().filter(|found| found.matrices.iter().any(|one| one.energy > 0.0));
        let error = match (compressed.packed.as_ref().and_then(compress::formats::Findings::error), pruned) {
            (Some(packed), Some(pruned)) => pruned.error() + packed,
            (Some(packed), None) => packed,
            (None, Some(pruned)) => pruned.error(),
            (None, None) => return Ok(None),
        };
        let method = "sum of |WX - W'X|^2 by sum of |WX|^2 over the matrices, behind the compressed layers; of pruning and \
                      storing, where both were done, added";
        let value = Decimal::from_f64(error, DIGITS_MEASURED, Round::Nearest)?;
        Ok(Some(measure("compress.reconstruction_error", subject, value, method)?))
    }

    fn parameters(&self, spec: &Spec, compressed: &Compressed) -> anyhow::Result<Json> {
        let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).map(Json::from);
        let mut matrices = Vec::new();
        let pruned = compressed.pruned.iter().flat_map(|found| &found.matrices);
        let packed = compressed.packed.iter().flat_map(|found| &found.matrices);
        for one in pruned.chain(packed) {
            matrices.push(Json::map([
                ("name", Some(one.name.as_str().into())),
                ("weights", Some(one.n.into())),
                ("zeros", Some(one.n_zero.into())),
                ("error", (one.energy > 0.0).then(|| decimal(one.error)).transpose()?),
            ]));
        }
        let calibration = self.calibration.as_ref().map(|one| {
            let length = one.rows.first().map_or(0, Vec::len);
            let (name, digest) = &one.file;
            Json::map([
                ("name", Some(name.as_str().into())),
                ("digest", Some((*digest).into())),
                ("rows", Some(one.rows.len().into())),
                ("length", Some(length.into())),
            ])
        });
        let fallbacks = compressed
            .packed
            .as_ref()
            .map(|found| Json::list(found.fallbacks.iter().map(|(name, kind)| format!("{name}: {kind}"))));
        Ok(Json::map([
            ("method", Some(spec.name().into())),
            ("sparsity", spec.prune.map(|(_, share)| decimal(share)).transpose()?),
            ("format", Some(spec.format.name().into())),
            ("calibration", calibration),
            ("maxAbsError", compressed.packed.as_ref().map(|found| decimal(found.max_abs_error)).transpose()?),
            ("rmsError", compressed.packed.as_ref().map(|found| decimal(found.rms_error)).transpose()?),
            ("fallbacks", fallbacks),
            ("recovery", compressed.learned.as_ref().map(|found| recovery(spec, found)).transpose()?),
            ("matrices", Some(Json::List(matrices))),
        ]))
    }
}

/// What learning after pruning came to.
fn recovery(spec: &Spec, found: &compress::learn::Findings) -> anyhow::Result<Json> {
    let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).map(Json::from);
    Ok(Json::map([
        ("steps", Some(found.losses.len().into())),
        ("rate", spec.recover.map(|config| decimal(config.rate)).transpose()?),
        ("heldZeros", Some(found.n_held.into())),
        ("losses", Some(Json::List(found.losses.iter().map(|loss| decimal(*loss)).collect::<Result<_, _>>()?))),
    ]))
}

pub(crate) fn denied(gate: &supervise::Gate) -> Json {
    Json::map([("denials", Some(Json::list(gate.denials.iter().map(String::as_str))))])
}

fn show(screen: &Screen, rows: &[figures::Row]) {
    if !screen.is_json() {
        crate::screen::line(&format!("{:20} {:>14} {:>14}   change", "", "before", "after"));
        rows.iter().for_each(|row| crate::screen::line(&row.text()));
        let is_slow = |row: &&figures::Row| row.name == "tokens a second" && row.change.is_some_and(|(x, _)| x < 1.05);
        if rows.iter().any(|row| is_slow(&row)) {
            crate::screen::line(
                "no speed-up here: zeros are multiplied like any number, and not every format has a kernel of its own",
            );
        }
    }
}
