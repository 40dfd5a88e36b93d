//! `[model]`: a decoder of given sizes, one that stands and is trained further, or one that stands and is only evaluated.

use super::{CaseError, ModelShape, Parent, read::Reader, wire};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A model that is trained further.
#[derive(Debug, Clone)]
pub struct Base {
    /// As written: relative to the folder of the case. A hub folder or a GGUF file.
    pub path: PathBuf,
    /// Without them all weights are trained.
    pub adapters: Option<Adapters>,
    /// Positions of a window.
    pub context: usize,
    pub parents: Vec<Parent>,
}

/// A model that is evaluated as it stands.
#[derive(Debug, Clone)]
pub struct Existing {
    /// A hub folder, a GGUF file, or the dossier of a step before.
    pub path: PathBuf,
    pub parents: Vec<Parent>,
}

/// What `[model]` names: one of the three.
#[derive(Debug)]
pub(super) enum Named {
    Shape(ModelShape),
    Base(Base),
    Existing(Existing),
}

/// Low-rank adapters.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters {
    pub rank: usize,
    pub alpha: f64,
    pub targets: Vec<String>,
}

const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl Reader<'_> {
    pub(super) fn model(&self, folder: &Path, model: wire::Model) -> Result<Named, CaseError> {
        let parent = |parent: wire::Parent| {
            let digest = parent.digest.get_ref().parse();
            let digest = digest.map_err(|error| self.complain(parent.digest.span(), format!("{error}"), ""))?;
            let compute_flop = parent.compute_flop.map(|number| self.positive(&number)).transpose()?;
            Ok(Parent { digest, action: parent.action, compute_flop, systemic_risk: parent.systemic_risk })
        };
        let parents = model.parents.into_iter().map(parent).collect::<Result<_, _>>()?;
        let sizes = [
            ("layers", &model.layers),
            ("width", &model.width),
            ("heads", &model.heads),
            ("vocabulary", &model.vocabulary),
            ("context", &model.context),
        ];
        if let Some(path) = model.path {
            let others = [("architecture", &model.architecture), ("base", &model.base)];
            let other = others.into_iter().find_map(|(name, said)| Some((name, said.as_ref()?.span())));
            let size = || sizes.into_iter().find_map(|(name, said)| Some((name, said.as_ref()?.span())));
            let adapters = || model.adapters.as_ref().map(|adapters| ("adapters", adapters.rank.span()));
            if let Some((name, span)) = other.or_else(size).or_else(adapters) {
                let hint = "a model at `path` is evaluated as it stands; `base` names one that is trained further";
                return Err(self.complain(span, format!("`{name}` is said of a model that stands already"), hint));
            }
            self.existing(folder, &path, "model")?;
            return Ok(Named::Existing(Existing { path: PathBuf::from(path.into_inner()), parents }));
        }
        let Some(base) = model.base else {
            if let Some(adapters) = &model.adapters {
                let hint = "name the model that is held with `base`";
                return Err(self.complain(adapters.rank.span(), "`adapters` stand beside a model that is held", hint));
            }
            let Some(architecture) = &model.architecture else {
                let span = sizes.into_iter().find_map(|(_, size)| Some(size.as_ref()?.span())).unwrap_or(0..0);
                return Err(self.complain(span, "`[model]` needs `architecture` and sizes, `base`, or `path`", ""));
            };
            self.known("architecture", architecture, &["llama"])?;
            let mut found = [0; 5];
            for (at, (name, size)) in sizes.into_iter().enumerate() {
                let missing = || self.complain(architecture.span(), format!("missing field `{name}`"), "");
                found[at] = *size.as_ref().ok_or_else(missing)?.get_ref();
            }
            let [layers, width, heads, vocabulary, context] = found;
            let shape = ModelShape {
                layers,
                width,
                heads,
                kv_heads: model.kv_heads.unwrap_or(heads),
                hidden: model.hidden.unwrap_or_else(|| (width * 8 / 3).next_multiple_of(32)),
                context,
                vocabulary,
                rope_theta: model.rope_theta.unwrap_or(10_000.0),
                norm_eps: model.norm_eps.unwrap_or(1e-5),
                parents,
            };
            return Ok(Named::Shape(shape));
        };
        let said = sizes.iter().filter(|(name, _)| *name != "context");
        if let Some((name, size)) = said.into_iter().find_map(|(name, size)| Some((*name, size.as_ref()?))) {
            let hint = "`base` has sizes of its own; leave this out";
            return Err(self.complain(size.span(), format!("`{name}` is said of a model that stands already"), hint));
        }
        let Some(context) = &model.context else {
            return Err(self.complain(base.span(), "missing field `context`", "the positions of a window"));
        };
        if *context.get_ref() == 0 {
            return Err(self.complain(context.span(), "expected a context of at least 1, found `0`", ""));
        }
        let context = *context.get_ref();
        self.existing(folder, &base, "model")?;
        let adapters = model.adapters.map(|adapters| self.adapters(adapters)).transpose()?;
        Ok(Named::Base(Base { path: PathBuf::from(base.into_inner()), adapters, context, parents }))
    }

    /// A model that stands is neither trained nor changed here, and reads no corpus.
    pub(super) fn only_evaluated(&self, file: &wire::File) -> Result<(), CaseError> {
        let train = file.train.as_ref().map(|train| ("`[train]`", train.tokens.span()));
        let data = file.data.first().map(|data| ("`[[data]]`", data.path.span()));
        let compress = file.compress.as_ref().and_then(|compress| {
            let prune = compress.prune.as_ref().map(|prune| prune.method.span());
            let span = prune.or_else(|| compress.quantize.as_ref().map(|quantize| quantize.format.span()))?;
            Some(("`[compress]`", span))
        });
        let Some((table, span)) = train.or(data).or(compress) else { return Ok(()) };
        let message = format!("{table} stands beside a model at `path`, which is only evaluated");
        let hint = "name it with `base` to train it further; `assize compress MODEL --rules CASE` compresses it";
        Err(self.complain(span, message, hint))
    }

    fn adapters(&self, adapters: wire::Adapters) -> Result<Adapters, CaseError> {
        let rank = *adapters.rank.get_ref();
        if rank == 0 {
            return Err(self.complain(adapters.rank.span(), "expected a rank of at least 1, found `0`", ""));
        }
        let alpha = adapters.alpha.map(|alpha| self.within("`alpha`", &alpha, 0.0, f64::INFINITY)).transpose()?;
        let known = |target: Spanned<String>| self.known("projection", &target, &PROJECTIONS);
        let targets = adapters.targets.map(|targets| targets.into_iter().map(known).collect::<Result<Vec<_>, _>>());
        let targets = targets.transpose()?.unwrap_or_else(|| vec!["q_proj".to_owned(), "v_proj".to_owned()]);
        if targets.is_empty() {
            return Err(self.complain(adapters.rank.span(), "expected at least one projection in `targets`", ""));
        }
        Ok(Adapters { rank, alpha: alpha.unwrap_or(2.0 * rank as f64), targets })
    }
}
