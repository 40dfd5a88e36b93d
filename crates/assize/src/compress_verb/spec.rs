//! What was typed, as what is to be done.

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use compress::{formats::Format, gptq, layerwise, learn, obs, structured};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prune {
    /// The smallest weights of each matrix
    Magnitude,
    /// The smallest weights of all matrices together
    MagnitudeGlobal,
    /// The smallest weight times input norm of each row
    Wanda,
    /// Column by column, the rest made to make up for it
    Sparsegpt,
    /// Key-value heads with their query heads
    Heads,
    /// Channels of the feed-forward part
    Channels,
    /// Whole layers, least block influence first
    Layers,
    /// Each matrix as two thin ones
    LowRank,
}

impl Prune {
    /// Whether the method looks at what goes into the matrices.
    pub(crate) const fn needs_calibration(self) -> bool {
        !matches!(self, Self::Magnitude | Self::MagnitudeGlobal)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Magnitude => "magnitude",
            Self::MagnitudeGlobal => "magnitude-global",
            Self::Wanda => "wanda",
            Self::Sparsegpt => "sparsegpt",
            Self::Heads => "heads",
            Self::Channels => "channels",
            Self::Layers => "layers",
            Self::LowRank => "low-rank",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompressArgs {
    #[command(flatten)]
    pub(crate) run: crate::args::RunArgs,
    /// Prune a model by this method; the path is then a model
    #[arg(long, value_name = "METHOD")]
    pub(crate) prune: Option<Prune>,
    /// Share of the weights, heads, channels or layers that goes, or of the numbers that two thin matrices save
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) sparsity: Option<f64>,
    /// Of every M consecutive inputs keep N
    #[arg(long, value_name = "N:M")]
    pub(crate) pattern: Option<String>,
    /// A text that decides what is kept
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// Rows cut out of it
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) calibration_rows: usize,
    /// Tokens of a row
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) calibration_length: usize,
    /// Steps of learning on the calibration text after pruning, with the zeros held
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) recover: usize,
    /// Learning rate of these steps
    #[arg(long, value_name = "R", default_value_t = 1e-4)]
    pub(crate) recover_rate: f64,
    /// Store a model in this format; the path is then a model
    #[arg(long, value_name = "FORMAT")]
    pub(crate) quantize: Option<String>,
    /// Weights that share a scale in GPTQ
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) group: usize,
    #[command(flatten)]
    pub(crate) held: super::governed::HeldArgs,
    #[command(flatten)]
    pub(crate) tokens: crate::args::TokenArgs,
    /// Find the setting instead: size=SHARE% of the files
    #[arg(long, value_name = "size=N%", conflicts_with_all = ["prune", "quantize"])]
    pub(crate) target: Option<String>,
    /// What must hold for a setting to be taken: perplexity<=+N%
    #[arg(long, value_name = "perplexity<=+N%")]
    pub(crate) keep: Option<String>,
}

/// One way to compress, checked as far as it can be without the model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) prune: Option<(Prune, f64)>,
    pub(crate) pattern: Option<layerwise::Pattern>,
    pub(crate) format: Format,
    pub(crate) gptq: gptq::Config,
    /// Learning after pruning.
    pub(crate) recover: Option<learn::Config>,
}

impl Spec {
    pub(crate) fn of(args: &CompressArgs) -> anyhow::Result<Self> {
        let pattern = args.pattern.as_deref().map(pattern).transpose()?;
        let prune = match (args.prune, args.sparsity, pattern) {
            (None, None, None) => None,
            (None, _, _) => bail!("`--sparsity` and `--pattern` say how much, not how: name a method with `--prune`"),
            (Some(method), None, Some(pattern)) => Some((method, 1.0 - pattern.kept as f64 / pattern.of as f64)),
            (Some(method), Some(sparsity), _) => Some((method, sparsity)),
            (Some(method), None, None) => {
                bail!("how much does `--prune {}` prune? say `--sparsity 0.5`", method.name())
            }
        };
        if let Some((method, share)) = prune {
            if !(share > 0.0 && share < 1.0) {
                bail!("`--sparsity`: expected a share above 0 and below 1, found {share}; half of the weights are 0.5");
            }
            if pattern.is_some()
                && matches!(
                    method,
                    Prune::MagnitudeGlobal | Prune::Heads | Prune::Channels | Prune::Layers | Prune::LowRank
                )
            {
                bail!("`--pattern` needs a method that prunes weight by weight: magnitude, wanda or sparsegpt");
            }
            if method.needs_calibration() && args.calibration.is_none() {
                bail!(
                    "`--prune {}` looks at what goes into the matrices: give a text with `--calibration`",
                    method.name()
                );
            }
        }
        let format = args.quantize.as_deref().map_or(Ok(Format::F32), format)?;
        if format == Format::Gptq && args.calibration.is_none() {
            bail!("`--quantize gptq` looks at what goes into the matrices: give a text with `--calibration`");
        }
        if matches!(prune, Some((Prune::LowRank, _))) && format != Format::F32 {
            bail!("`--prune low-rank` is stored as two matrices in a folder; leave `--quantize` out");
        }
        if args.recover > 0 && matches!(prune, Some((Prune::LowRank, _))) {
            bail!(
                "`--recover` learns single matrices, and `--prune low-rank` stores two for each; leave one of them out"
            );
        }
        let recover =
            (args.recover > 0).then_some(learn::Config { steps: args.recover, batch: 2, rate: args.recover_rate });
        if ![32, 64, 128].contains(&args.group) {
            bail!("`--group`: expected 32, 64 or 128 weights that share a scale, found {}", args.group);
        }
        let gptq = gptq::Config { group: args.group, ..gptq::Config::default() };
        Ok(Self { prune, pattern, format, gptq, recover })
    }

    /// In a few words.
    pub(crate) fn name(&self) -> String {
        let prune = self.prune.map(|(method, share)| match self.pattern {
            Some(layerwise::Pattern { kept, of }) => format!("{} {kept}:{of}", method.name()),
            None => format!("{} {share}", method.name()),
        });
        let format = (self.format != Format::F32).then(|| self.format.name().to_owned());
        let recover = self.recover.map(|learn| format!("{} steps of recovery", learn.steps));
        let parts: Vec<String> = prune.into_iter().chain(recover).chain(format).collect();
        if parts.is_empty() { "as it is".to_owned() } else { parts.join(" + ") }
    }

    /// What the lineage calls it.
    pub(crate) fn action(&self) -> &'static str {
        match (self.prune, self.format) {
            (Some((Prune::LowRank, _)), _) => "factored",
            (Some(_), Format::F32) => "pruned",
            (Some(_), _) => "pruned-quantized",
            (None, _) => "quantized",
        }
    }

    /// Weight-by-weight pruning as the library takes it.
    pub(crate) fn layerwise(&self) -> Option<layerwise::Config> {
        let (method, sparsity) = self.prune?;
        let method = match method {
            Prune::Magnitude => layerwise::Method::Magnitude,
            Prune::Wanda => layerwise::Method::Wanda,
            Prune::Sparsegpt => layerwise::Method::SparseGpt,
            _ => return None,
        };
        Some(layerwise::Config { method, sparsity, pattern: self.pattern, damping: obs::DAMPING })
    }

    /// Structured pruning as the library takes it.
    pub(crate) fn structured(&self) -> Option<structured::Config> {
        let (method, share) = self.prune?;
        let unit = match method {
            Prune::Heads => structured::Unit::Heads,
            Prune::Channels => structured::Unit::Channels,
            Prune::Layers => structured::Unit::Layers,
            _ => return None,
        };
        Some(structured::Config { unit, share })
    }
}

fn pattern(text: &str) -> anyhow::Result<layerwise::Pattern> {
    let parsed = text.split_once(':').and_then(|(kept, of)| Some((kept.parse().ok()?, of.parse().ok()?)));
    let (kept, of) = parsed.with_context(|| format!("`--pattern`: expected N:M such as 2:4, found `{text}`"))?;
    if kept == 0 || kept >= of {
        bail!("`--pattern`: expected N:M with N from 1 to M - 1, found `{text}`; 2:4 keeps two of four");
    }
    Ok(layerwise::Pattern { kept, of })
}

fn format(text: &str) -> anyhow::Result<Format> {
    let known = Format::ALL.map(|(_, name)| name).join("`, `");
    Format::from_name(&text.to_lowercase().replace('-', "_"))
        .with_context(|| format!("`--quantize`: expected one of `{known}`, found `{text}`"))
}
