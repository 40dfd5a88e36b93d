//! What was typed.

use crate::{declare::DeclareArgs, export::CheckExports, waive::WaiveArgs};
use clap::{CommandFactory as _, Parser, Subcommand};
use jiff::civil::Date;
use std::path::PathBuf;

/// Holds a large model to policy: measures, decides, enforces, records, and leaves evidence that a stranger can check.
#[derive(Debug, Parser)]
#[command(name = "assize", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The command line. Verbs that take what `run` takes, and a model where that takes a case, say so. An argument that is changed
/// moves behind the others, so that places are numbered.
pub(crate) fn command() -> clap::Command {
    const A_MODEL: &str = "a folder as the hub lays it out, a .gguf file, or a dossier";
    [
        ("merge", "MODEL", "The first model; its tokenizer and configuration are kept: "),
        ("distill", "TEACHER", "The model that teaches: "),
        ("generate", "MODEL", "The model that writes: "),
        ("compress", "CASE|MODEL", "A case, a folder with an assize.toml or the file; or a model, "),
    ]
    .into_iter()
    .fold(Args::command(), |command, (verb, name, what)| {
        command.mut_subcommand(verb, |verb| {
            verb.mut_arg("case", |case| case.index(1).value_name(name).help(format!("{what}{A_MODEL}")))
                .mut_arg("out", |out| out.help("Where the dossier goes; of a case [default: CASE/dossier]"))
        })
    })
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one a process")]
pub(crate) enum Verb {
    /// Write a commented assize.toml for what stands in a folder
    Init { folder: PathBuf },
    /// Predict compute, time, memory, energy and carbon, and the thresholds a run would cross
    Plan {
        /// A folder with an assize.toml, or the file
        case: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// The whole case: data, plan, train, evaluate, compress, decide, seal
    Run(RunArgs),
    /// The case as far as the trained weights
    Train(TrainArgs),
    /// The case as far as the evaluation; or with --tasks a model on tasks of lm-evaluation-harness
    Evaluate(EvaluateArgs),
    /// The case as far as the compressed weights; or with --prune, --quantize or --target a model, under rules
    Compress(Box<crate::compress_verb::CompressArgs>),
    /// Sample texts from a model by a recipe, each marked with where it comes from
    Generate(Box<crate::generate::GenerateArgs>),
    /// Make one model of two of the same shape, or of a model and adapters trained beside it
    Merge(Box<crate::compress_verb::merge::MergeArgs>),
    /// Teach a model another's distributions
    Distill(Box<crate::compress_verb::distill::DistillArgs>),
    /// Two models or dossiers side by side: size, speed, quality, verdicts gained and lost
    Compare(crate::compress_verb::compare::CompareArgs),
    /// Decide on the evidence there is; exit 0 allowed, 1 denied, 2 could not decide
    Check {
        /// A case, a dossier, or a model: a folder as the hub lays it out, or a .gguf file
        path: PathBuf,
        #[arg(long, value_name = "DATE")]
        as_of: Option<Date>,
        /// Decide under these packs instead (repeatable)
        #[arg(long = "pack", value_name = "PACK")]
        packs: Vec<String>,
        /// Decide under every pack there is, as a matrix, with what is nearest to changing each rule that does not hold
        #[arg(long, conflicts_with_all = ["packs", "sarif", "policyreport", "junit", "oscal", "evidence"])]
        all_regimes: bool,
        /// Figures that `evaluate --out` wrote, signed by this key or by one that the case lists under `declarers` (repeatable)
        #[arg(long, value_name = "FILE")]
        evidence: Vec<PathBuf>,
        #[command(flatten)]
        tokens: TokenArgs,
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        exports: CheckExports,
    },
    /// Sign an answer that no instrument can measure, as a file beside the case
    Declare(DeclareArgs),
    /// Leave a rule unmet on purpose, for at most a year, with two others' approval
    Waive(WaiveArgs),
    /// Print the public half of a signing key, made when absent
    Key {
        /// The key file [default: as for `run`]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// The name of a key that is made [default: assize]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Show how a rule came to its verdict, and what would change it
    Explain {
        rule: String,
        /// A case or a dossier; without one, the rule alone
        path: Option<PathBuf>,
        #[arg(long, value_name = "DATE")]
        as_of: Option<Date>,
        #[arg(long)]
        json: bool,
    },
    /// Check a dossier offline: signatures, log, digests, and every decision taken again
    Verify {
        dossier: Option<PathBuf>,
        /// The signer's public key, when it is known from elsewhere: a file with a signed-note verifier key
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// List what in a dossier is not covered, and why
        #[arg(long)]
        uncovered: bool,
        #[arg(long)]
        json: bool,
    },
    /// Write the documents of a dossier anew into another folder
    Report {
        dossier: PathBuf,
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Classify a use under each regime, with the path that led there and the questions still open; exit 1 where a case claims otherwise
    Scenario {
        /// A file with a `[use]` table, or a case
        path: PathBuf,
        /// Answer a question; over what the file says (repeatable)
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        #[arg(long, value_name = "DATE")]
        as_of: Option<Date>,
        #[arg(long)]
        json: bool,
    },
    /// What a model is: parameters, compute, memory, zeros, ranks, licence, digests
    Model(ModelArgs),
    /// For rule authors
    Policy {
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Print shell completions
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A folder with an assize.toml, or the file
    pub(crate) case: PathBuf,
    /// Where the dossier goes [default: CASE/dossier]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The day as of which rules are decided [default: the case's, else today]
    #[arg(long, value_name = "DATE")]
    pub(crate) as_of: Option<Date>,
    /// The signing key [default: $ASSIZE_KEY, else a file in the user's configuration folder, made when absent]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// One JSON object a line for each event, the outcome last
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is said of a model's first and last token.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TokenArgs {
    /// The token that begins a text, where the files of the model disagree
    #[arg(long, value_name = "TOKEN")]
    pub(crate) bos: Option<String>,
    /// The token that ends one, where the files of the model disagree
    #[arg(long, value_name = "TOKEN")]
    pub(crate) eos: Option<String>,
}

impl TokenArgs {
    pub(crate) fn options(&self) -> model::OpenOptions {
        model::OpenOptions { bos: self.bos.clone(), eos: self.eos.clone() }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Go on with a training that stands in the dossier; without one there, refuse to begin
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EvaluateArgs {
    /// A case; or with one of the options below a model, a folder or a .gguf file; with --folds none for a table
    pub(crate) path: Option<PathBuf>,
    /// Where the dossier goes; of a model, the file that the figures go into as signed evidence
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// The day as of which rules are decided [default: the case's, else today]
    #[arg(long, value_name = "DATE")]
    pub(crate) as_of: Option<Date>,
    /// The signing key [default: as for `run`]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
    /// Tasks, groups, tags, or patterns with `*`; the path is then a model
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// A folder with more task files, which win over the shipped ones (repeatable)
    #[arg(long, value_name = "DIR")]
    pub(crate) task_dir: Vec<PathBuf>,
    /// Where the rows of the tasks lie; with --folds a file of rows (repeatable)
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Vec<PathBuf>,
    /// Score the first N items of each task
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// Examples before each item [default: the task's]
    #[arg(long, value_name = "N")]
    pub(crate) fewshot: Option<usize>,
    /// Write what was asked and answered, one JSON object a line for each item
    #[arg(long, value_name = "FILE")]
    pub(crate) samples: Option<PathBuf>,
    /// Keep each answer of the model in this file as it comes; after a kill the same command goes on where it was
    #[arg(long, value_name = "FILE", conflicts_with = "folds")]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
    #[command(flatten)]
    pub(crate) scores: crate::evaluate_scores::ScoreArgs,
    #[command(flatten)]
    pub(crate) texts: crate::evaluate_texts::TextArgs,
    #[command(flatten)]
    pub(crate) folds: crate::evaluate_folds::FoldArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected a number from 1, found 0".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

impl EvaluateArgs {
    /// The path, where something must have been named.
    pub(crate) fn path(&self) -> anyhow::Result<&std::path::Path> {
        self.path.as_deref().ok_or_else(|| anyhow::anyhow!("name a case, or the folder or file of a model"))
    }

    /// What the verb means for a case.
    pub(crate) fn run(&self) -> anyhow::Result<RunArgs> {
        let (out, key) = (self.out.clone(), self.key.clone());
        Ok(RunArgs { case: self.path()?.to_owned(), out, as_of: self.as_of, key, json: self.json })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// A folder as the hub lays it out, or a .gguf file
    pub(crate) model: PathBuf,
    /// Fetch this model of the hub into the folder first; what is there already is kept, and a broken fetch goes on
    #[arg(long, value_name = "ORG/NAME")]
    pub(crate) hub: Option<String>,
    /// Write it as a hub folder instead: weights in f32, configuration, tokenizer
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
    /// Tokens of context at which compute is counted (repeatable) [default: 1, 128, 2048, 8192 and the model's own]
    #[arg(long = "context", value_name = "N")]
    pub(crate) contexts: Vec<usize>,
    /// How many directions each matrix uses: not, by Gram matrix, or by all singular values
    #[arg(long, value_enum, default_value_t = Ranks::Gram)]
    pub(crate) ranks: Ranks,
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ranks {
    None,
    Gram,
    Full,
}

impl Ranks {
    pub(crate) const fn depth(self) -> model::profile::Depth {
        match self {
            Self::None => model::profile::Depth::Zeros,
            Self::Gram => model::profile::Depth::Ranks,
            Self::Full => model::profile::Depth::Full,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// List packs, or the rules of one
    List {
        pack: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Run the tests that cards carry
    Test {
        /// Pack names or folders [default: all shipped]
        packs: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Find what compiles and is still wrong
    Lint {
        packs: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// How many rules a pack measures and declares, and what of its law it does not implement
    Coverage {
        /// Pack names or folders [default: all shipped]
        packs: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Change each card in one place at a time and see whether its tests notice; exit 1 when more than 2 in 100 do not
    Mutate {
        /// Pack names or folders [default: all shipped]
        packs: Vec<String>,
        /// Look for a test that would notice each change that survives
        #[arg(long)]
        suggest: bool,
        #[arg(long)]
        json: bool,
    },
    /// Begin a card: it compiles, with tests
    New {
        /// The rule's id, and the name of its file
        id: String,
        /// The fact it is about, of docs/metrics.md
        #[arg(long, value_name = "FACT")]
        fact: String,
        /// The pack's folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        pack: PathBuf,
    },
    /// Print the JSON Schema of a card, for an editor
    Schema,
    /// Write packs in the formats of others
    Export(crate::export::PackExports),
    /// What the calendar changes between two days
    Diff {
        #[arg(long, value_name = "DATE")]
        from: Date,
        #[arg(long, value_name = "DATE")]
        to: Date,
        /// A case or a dossier, whose evidence is decided on both days
        path: Option<PathBuf>,
        #[arg(long)]
        json: bool,
    },
}
