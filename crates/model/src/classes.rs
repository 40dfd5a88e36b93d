//! A head that tells classes, in the layout of the hub's `LlamaForSequenceClassification`: logits = x · Wᵀ, where x is the normed
//! stream at the last token of a text and W, `score.weight`, is (classes, C) without bias.
//!
//! Source: Radford et al. 2018 (GPT), section 3.2.

use crate::{
    END_OF_TEXT_ID, Llama, LlamaError,
    pass::{SCORE, Windows},
    random::Normal,
};
use candle_core::{Device, Tensor, Var};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Standard deviation of a fresh head. Source: `initializer_range` of the hub.
const STD: f64 = 0.02;
/// Its stream of random numbers: above those of weights and adapters.
const STREAM: u64 = 1 << 33;

/// What becomes of the model below a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// The head alone is trained.
    Held,
    /// All that was trained before is trained with the head: every weight, or the adapters.
    Trained,
}

impl Llama {
    /// How many classes the head tells, where there is one.
    #[must_use]
    pub fn n_classes(&self) -> Option<usize> {
        self.parameters().get(SCORE).map(|score| score.dims()[0])
    }

    /// A copy of the model with a fresh head. Deterministic in `seed`.
    ///
    /// # Errors
    /// Those of the tensor engine.
    pub fn with_classes(&self, n_classes: usize, below: Below, seed: u64) -> Result<Self, LlamaError> {
        let width = self.config().width;
        let mut normal = Normal::new(seed, STREAM);
        let values: Vec<f32> = (0..n_classes * width).map(|_| (STD * normal.sample()) as f32).collect();
        let score = Tensor::from_vec(values, (n_classes, width), &Device::Cpu)?;
        self.with_score(&score, below)
    }

    fn with_score(&self, score: &Tensor, below: Below) -> Result<Self, LlamaError> {
        let mut frozen = self.frozen().clone();
        let mut parameters = BTreeMap::from([(SCORE.to_owned(), Var::from_tensor(&score.contiguous()?)?)]);
        if below == Below::Trained {
            for (name, tensor) in self.tensors() {
                parameters.insert(name, Var::from_tensor(&tensor)?);
            }
            return Ok(self.with_parts(parameters, frozen, self.adapters().cloned()));
        }
        let whole = self.merged()?;
        frozen.extend(whole.tensors());
        frozen.remove(SCORE);
        Ok(self.with_parts(parameters, frozen, None))
    }

    /// The head of `other` on this model.
    pub(crate) fn with_score_of(self, other: &Self) -> Result<Self, LlamaError> {
        match other.parameters().get(SCORE) {
            Some(score) => self.with_score(&score.as_detached_tensor(), Below::Trained),
            None => Ok(self),
        }
    }

    /// Logits of the classes, (n, classes), one behind another, at the rows whose weight is not 0.
    ///
    /// # Errors
    /// Those of `features`; `Missing` without a head.
    pub fn class_logits(&self, windows: &Windows<'_>) -> Result<Vec<f32>, LlamaError> {
        let missing = || LlamaError::Missing { name: SCORE.to_owned(), expected: vec![0, self.config().width] };
        let score = self.parameters().get(SCORE).ok_or_else(missing)?.as_detached_tensor();
        let (features, width) = (self.features(windows)?, self.config().width);
        let counted = features.chunks(width).zip(windows.weights).filter(|(_, weight)| **weight != 0.0);
        let rows: Vec<f32> = counted.flat_map(|(row, _)| row).copied().collect();
        let rows = Tensor::from_vec(rows.clone(), (rows.len() / width, width), &Device::Cpu)?;
        Ok(rows.matmul(&score.t()?)?.flatten_all()?.to_vec1()?)
    }

    /// Every weight of a model with a head, trained or held, adapters merged: what `LlamaForSequenceClassification` reads.
    ///
    /// # Errors
    /// Those of the tensor engine.
    pub fn whole_tensors(&self) -> Result<BTreeMap<String, Tensor>, LlamaError> {
        let whole = if self.adapters().is_some() { self.merged()? } else { self.restored(self.tensors())? };
        let held = whole.frozen().clone().into_iter();
        Ok(whole.tensors().into_iter().chain(held).collect())
    }

    /// A model with its head, from every weight of it.
    ///
    /// # Errors
    /// Those of `from_tensors`; `Missing` without a head, `Shape` for one of another width.
    pub fn with_classes_from(config: crate::Config, mut tensors: BTreeMap<String, Tensor>) -> Result<Self, LlamaError> {
        let expected = vec![2, config.width];
        let Some(score) = tensors.remove(SCORE) else {
            return Err(LlamaError::Missing { name: SCORE.to_owned(), expected });
        };
        if score.dims().len() != 2 || score.dims()[1] != config.width {
            return Err(LlamaError::Shape { name: SCORE.to_owned(), expected, found: score.dims().to_vec() });
        }
        Self::from_tensors(config, tensors)?.with_score(&score, Below::Trained)
    }

    /// The hub's `config.json` of a `LlamaForSequenceClassification` with these names of classes.
    #[must_use]
    pub fn classes_json(&self, names: &[String], end_id: Option<u32>) -> String {
        let mut document: Map<String, Value> = serde_json::from_str(&self.config().to_json()).unwrap_or_default();
        let end_id = end_id.unwrap_or(END_OF_TEXT_ID);
        let of = |pairs: Vec<(String, Value)>| Value::Object(pairs.into_iter().collect());
        let numbered = || names.iter().enumerate();
        for (member, value) in [
            ("architectures", json!(["LlamaForSequenceClassification"])),
            ("bos_token_id", json!(end_id)),
            ("eos_token_id", json!(end_id)),
            ("id2label", of(numbered().map(|(at, name)| (at.to_string(), json!(name))).collect())),
            ("label2id", of(numbered().map(|(at, name)| (name.clone(), json!(at))).collect())),
            ("num_labels", json!(names.len())),
            // Texts of a batch are filled up with it; the last token before is the one that counts.
            ("pad_token_id", json!(end_id)),
            ("problem_type", json!("single_label_classification")),
        ] {
            document.insert(member.to_owned(), value);
        }
        format!("{:#}\n", Value::Object(document))
    }
}
