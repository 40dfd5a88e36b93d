//! `[model]`: a decoder of given sizes, or one that stands and is trained further.

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

/// Low-rank adapters.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters {
    pub rank: usize,
    pub alpha: f64,
    pub targets: Vec<String>,
}

const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl Reader<'_> {
    pub(super) fn model(
        &self,
        folder: &Path,
        model: wire::Model,
    ) -> Result<(Option<ModelShape>, Option<Base>), CaseError> {
        let parent = |parent: wire::Parent| {
            let digest = parent.digest.get_ref().parse();
            let digest = digest.map_err(|error| self.complain(parent.digest.span(), format!("{error}"), ""))?;
            let compute_flop = parent.compute_flop.map(|number| self.positive(&number)).transpose()?;
            Ok(Parent { digest, action: parent.action, compute_flop, systemic_risk: parent.systemic_risk })
        };
        let parents = model.parents.into_iter().map(parent).collect::<Result<_, _>>()?;
        let context = *model.context.get_ref();
        let sizes = [
            ("layers", &model.layers),
            ("width", &model.width),
            ("heads", &model.heads),
            ("vocabulary", &model.vocabulary),
        ];
        let Some(base) = model.base else {
            if let Some(adapters) = &model.adapters {
                let hint = "name the model that is held with `base`";
                return Err(self.complain(adapters.rank.span(), "`adapters` stand beside a model that is held", hint));
            }
            let Some(architecture) = &model.architecture else {
                return Err(self.complain(
                    model.context.span(),
                    "`[model]` needs `architecture` and sizes, or `base`",
                    "",
                ));
            };
            self.known("architecture", architecture, &["llama"])?;
            let mut found = [0; 4];
            for (at, (name, size)) in sizes.into_iter().enumerate() {
                let missing = || self.complain(architecture.span(), format!("missing field `{name}`"), "");
                found[at] = *size.as_ref().ok_or_else(missing)?.get_ref();
            }
            let [layers, width, heads, vocabulary] = found;
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
            return Ok((Some(shape), None));
        };
        if let Some((name, size)) = sizes.iter().find_map(|(name, size)| Some((*name, size.as_ref()?))) {
            let hint = "`base` has sizes of its own; leave this out";
            return Err(self.complain(size.span(), format!("`{name}` is said of a model that stands already"), hint));
        }
        if context == 0 {
            return Err(self.complain(model.context.span(), "expected a context of at least 1, found `0`", ""));
        }
        self.existing(folder, &base, "model")?;
        let adapters = model.adapters.map(|adapters| self.adapters(adapters)).transpose()?;
        Ok((None, Some(Base { path: PathBuf::from(base.into_inner()), adapters, context, parents })))
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
