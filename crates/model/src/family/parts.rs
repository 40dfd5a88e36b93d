//! What the families share: shapes, tensors by name, rotary tables by configuration.

use super::BuildError;
use crate::{
    ConfigError, Decoder, HubConfig, TensorError,
    decoder::{Act, Attention, HeadNorm, Layer, Linear, Mlp, Norm, Panels, Rotary, Scaling},
    hub::Tensors,
};
use candle_core::Tensor;
use serde_json::Value;

pub(super) const VOCAB_MAX: usize = 1 << 21;
pub(super) const LAYERS_MAX: usize = 1 << 10;
pub(super) const WIDTH_MAX: usize = 1 << 16;
pub(super) const HIDDEN_MAX: usize = 1 << 19;
pub(super) const HEADS_MAX: usize = 1 << 12;
pub(super) const CONTEXT_MAX: usize = 1 << 24;

/// What most families name alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) vocab: usize,
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
    pub(super) hidden: usize,
    pub(super) context: usize,
    pub(super) eps: f32,
    pub(super) act: Act,
}

/// A configuration, its tensors, and the rotary tables made so far.
pub(super) struct Parts<'a> {
    pub(super) config: &'a HubConfig,
    pub(super) tensors: &'a mut Tensors,
    rotaries: Vec<Rotary>,
}

/// Names of the parts of one layer's attention.
#[derive(Debug)]
pub(super) struct AttentionNames {
    pub(super) prefix: String,
    pub(super) output: &'static str,
    pub(super) is_biased: bool,
    pub(super) is_output_biased: bool,
}

impl AttentionNames {
    /// Under `prefix`, as Llama names them.
    pub(super) fn usual(prefix: &str, is_biased: bool) -> Self {
        Self { prefix: format!("{prefix}.self_attn"), output: "o_proj", is_biased, is_output_biased: is_biased }
    }
}

impl<'a> Parts<'a> {
    pub(super) const fn new(config: &'a HubConfig, tensors: &'a mut Tensors) -> Self {
        Self { config, tensors, rotaries: Vec::new() }
    }

    pub(super) fn shape(&self) -> Result<Shape, ConfigError> {
        let config = self.config;
        let heads = config.count("num_attention_heads", HEADS_MAX)?;
        let width = config.count("hidden_size", WIDTH_MAX)?;
        let kv_heads = config.count_or("num_key_value_heads", HEADS_MAX, heads)?;
        divides("num_key_value_heads", kv_heads, "num_attention_heads", heads)?;
        let head_width = match config.get("head_dim") {
            Some(_) => config.count("head_dim", WIDTH_MAX)?,
            None => {
                divides("num_attention_heads", heads, "hidden_size", width)?;
                width / heads
            }
        };
        Ok(Shape {
            vocab: config.count("vocab_size", VOCAB_MAX)?,
            width,
            layers: config.count("num_hidden_layers", LAYERS_MAX)?,
            heads,
            kv_heads,
            head_width,
            hidden: config.count("intermediate_size", HIDDEN_MAX)?,
            context: config.count("max_position_embeddings", CONTEXT_MAX)?,
            eps: config.positive_or("rms_norm_eps", 1e-6)? as f32,
            act: self.act("hidden_act", "silu")?,
        })
    }

    pub(super) fn act(&self, member: &'static str, absent: &str) -> Result<Act, ConfigError> {
        let name = if self.config.get(member).is_some() { self.config.text(member)? } else { absent };
        Ok(match name {
            "silu" | "swish" => Act::Silu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Act::GeluTanh,
            "gelu" => Act::GeluErf,
            "relu" => Act::Relu,
            _ => {
                return Err(self
                    .config
                    .unexpected(member, "`silu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh` or `relu`"));
            }
        })
    }

    /// Member by member, what this family must be for its arithmetic to be ours.
    pub(super) fn require(&self, member: &'static str, expected: &Value) -> Result<(), ConfigError> {
        match self.config.get(member) {
            None => Ok(()),
            Some(found) if found == expected => Ok(()),
            Some(_) => Err(self.config.unexpected(member, &format!("`{expected}`"))),
        }
    }

    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, TensorError> {
        self.tensors.take(name, shape)
    }

    pub(super) fn vector(&mut self, name: &str, n: usize) -> Result<Vec<f32>, TensorError> {
        Ok(self.tensors.take(name, &[n])?.to_vec1()?)
    }

    /// `NAME.weight` (out, in) and, where there is one, `NAME.bias`.
    pub(super) fn linear(
        &mut self,
        name: &str,
        out: usize,
        inputs: usize,
        is_biased: bool,
    ) -> Result<Linear, TensorError> {
        let weight = self.matrix(&format!("{name}.weight"), out, inputs)?;
        let bias = is_biased.then(|| self.vector(&format!("{name}.bias"), out)).transpose()?;
        Ok(Linear { weight, bias })
    }

    /// (out, in); as codes where the file has codes.
    pub(super) fn matrix(&mut self, name: &str, out: usize, inputs: usize) -> Result<Panels, TensorError> {
        self.tensors.take_panels(name, out, inputs)
    }

    pub(super) fn rms(&mut self, name: &str, n: usize, eps: f32) -> Result<Norm, TensorError> {
        Ok(Norm::Rms { gain: self.vector(&format!("{name}.weight"), n)?, eps })
    }

    pub(super) fn layer_norm(&mut self, name: &str, n: usize, eps: f32) -> Result<Norm, TensorError> {
        let gain = self.vector(&format!("{name}.weight"), n)?;
        Ok(Norm::Layer { gain, bias: self.vector(&format!("{name}.bias"), n)?, eps })
    }

    /// Attention with four projections, scores scaled by 1/√D, positions turned by `rotary`.
    pub(super) fn attention(
        &mut self,
        shape: &Shape,
        names: &AttentionNames,
        rotary: usize,
    ) -> Result<Attention, TensorError> {
        let Shape { width, heads, kv_heads, head_width, .. } = *shape;
        let part = |part: &str| format!("{}.{part}", names.prefix);
        Ok(Attention {
            query: self.linear(&part("q_proj"), heads * head_width, width, names.is_biased)?,
            key: self.linear(&part("k_proj"), kv_heads * head_width, width, names.is_biased)?,
            value: self.linear(&part("v_proj"), kv_heads * head_width, width, names.is_biased)?,
            output: self.linear(&part(names.output), width, heads * head_width, names.is_output_biased)?,
            head_norms: None,
            heads,
            kv_heads,
            head_width,
            scale: (head_width as f64).sqrt().recip() as f32,
            window: None,
            rotary: Some(rotary),
            cap: None,
        })
    }

    /// Norms of each head's queries and keys.
    pub(super) fn head_norms(&mut self, prefix: &str, n: [usize; 2], eps: f32) -> Result<[Norm; 2], TensorError> {
        Ok([self.rms(&format!("{prefix}.q_norm"), n[0], eps)?, self.rms(&format!("{prefix}.k_norm"), n[1], eps)?])
    }

    pub(super) fn gated(&mut self, prefix: &str, shape: &Shape, is_biased: bool) -> Result<Mlp, TensorError> {
        let Shape { width, hidden, act, .. } = *shape;
        Ok(Mlp::Gated {
            gate: self.linear(&format!("{prefix}.gate_proj"), hidden, width, is_biased)?,
            up: self.linear(&format!("{prefix}.up_proj"), hidden, width, is_biased)?,
            down: self.linear(&format!("{prefix}.down_proj"), width, hidden, is_biased)?,
            act,
        })
    }

    /// A layer with a norm before each of its two parts, as Llama has them.
    pub(super) fn normed_before(
        &mut self,
        prefix: &str,
        shape: &Shape,
        attention: Attention,
        mlp: Mlp,
    ) -> Result<Layer, TensorError> {
        let mut norm = |part: &str| self.rms(&format!("{prefix}.{part}_layernorm"), shape.width, shape.eps);
        let (before_attention, before_mlp) = (norm("input")?, norm("post_attention")?);
        Ok(Layer {
            attention,
            attention_norms: (Some(before_attention), None),
            mlp,
            mlp_norms: (Some(before_mlp), None),
            is_parallel: false,
        })
    }

    /// The layers between an embedding and a norm, and a head that may be the embedding.
    pub(super) fn decoder(
        &mut self,
        shape: &Shape,
        layers: Vec<Layer>,
        norm: Norm,
        is_tied: bool,
    ) -> Result<Decoder, BuildError> {
        let embedding = self.matrix("model.embed_tokens.weight", shape.vocab, shape.width)?;
        let (head, is_tied) = self.head("lm_head.weight", &embedding, is_tied)?;
        Ok(self.finish(embedding, layers, norm, head, is_tied, shape.context))
    }

    pub(super) fn finish(
        &mut self,
        embedding: Panels,
        layers: Vec<Layer>,
        norm: Norm,
        head: Linear,
        is_tied: bool,
        context: usize,
    ) -> Decoder {
        let rotaries = std::mem::take(&mut self.rotaries);
        // Only a base that grows with the row reaches beyond the context of the configuration.
        let stretch = rotaries.iter().map(Rotary::stretch).fold(1.0, f64::max);
        let context = (context as f64 * stretch).min(CONTEXT_MAX as f64) as usize;
        Decoder {
            embedding,
            embedding_scale: None,
            positions: None,
            rotaries,
            layers,
            norm,
            head,
            is_tied,
            logit_cap: None,
            context,
        }
    }

    /// The head by its name, or the embedding where the two are tied. Tied files may carry the head along, if it is the
    /// same numbers.
    pub(super) fn head(&mut self, name: &str, embedding: &Panels, absent: bool) -> Result<(Linear, bool), BuildError> {
        let is_tied = self.config.flag_or("tie_word_embeddings", absent)?;
        if !is_tied {
            return Ok((Linear::plain(self.matrix(name, embedding.outputs(), embedding.depth())?), false));
        }
        if self.tensors.has(name) {
            let head = self.matrix(name, embedding.outputs(), embedding.depth())?;
            if head.numbers() != embedding.numbers() {
                let (path, name) = (self.tensors.path().to_owned(), name.to_owned());
                return Err(TensorError::NotTied { path, name }.into());
            }
        }
        Ok((Linear::plain(embedding.clone()), true))
    }

    /// Positions a layer's queries see: by `layer_types` where the file has them, else by the family's own rule.
    pub(super) fn window(&self, layer: usize, rule: impl Fn(usize) -> bool) -> Result<Option<usize>, ConfigError> {
        let Some(window) = self.config.get("sliding_window") else { return Ok(None) };
        if window.as_u64().is_none() {
            return Err(self.config.unexpected("sliding_window", "a whole number or null"));
        }
        let window = self.config.count("sliding_window", CONTEXT_MAX)?;
        let is_sliding = match self.layer_type(layer)? {
            Some(kind) => kind == "sliding_attention",
            None => rule(layer),
        };
        Ok(is_sliding.then_some(window))
    }

    pub(super) fn layer_type(&self, layer: usize) -> Result<Option<&str>, ConfigError> {
        let Some(types) = self.config.get("layer_types") else { return Ok(None) };
        let kind = types.get(layer).and_then(Value::as_str);
        match kind {
            Some(kind @ ("sliding_attention" | "full_attention")) => Ok(Some(kind)),
            _ => Err(self.config.unexpected("layer_types", "`full_attention` or `sliding_attention` for each layer")),
        }
    }

    /// The number of a table, made when it is new.
    pub(super) fn rotary(&mut self, rotary: Rotary) -> usize {
        match self.rotaries.iter().position(|known| *known == rotary) {
            Some(at) => at,
            None => {
                self.rotaries.push(rotary);
                self.rotaries.len() - 1
            }
        }
    }

    /// The table that the configuration describes, for all layers, or for those of one type.
    pub(super) fn rotary_of(&mut self, shape: &Shape, kind: Option<&str>, theta: f64) -> Result<usize, ConfigError> {
        let config = self.config;
        let all = config.get("rope_parameters").or_else(|| config.get("rope_scaling"));
        let given = match kind {
            Some(kind) => all.map(|all| all.get(kind).unwrap_or(all)),
            None => all,
        };
        let given = HubConfig::of(given.cloned().unwrap_or_default());
        let theta = match given.get("rope_theta") {
            Some(_) => given.positive("rope_theta")?,
            None => config.positive_or("rope_theta", theta)?,
        };
        let share = match given.get("partial_rotary_factor") {
            Some(_) => given.positive("partial_rotary_factor")?,
            None => config.positive_or("partial_rotary_factor", 1.0)?,
        };
        let width = (shape.head_width as f64 * share) as usize;
        self.table(shape, &given, theta, width)
    }

    pub(super) fn table(
        &mut self,
        shape: &Shape,
        given: &HubConfig,
        theta: f64,
        width: usize,
    ) -> Result<usize, ConfigError> {
        if width < 2 || width > shape.head_width || !width.is_multiple_of(2) {
            return Err(ConfigError::OddHead(width));
        }
        let scaling = scaling(self.config, given, shape.context, width)?;
        Ok(self.rotary(Rotary { width, theta, scaling }))
    }
}

pub(super) fn divides(
    part: &'static str,
    part_value: usize,
    whole: &'static str,
    whole_value: usize,
) -> Result<(), ConfigError> {
    let error = ConfigError::Divides { part, part_value, whole, whole_value };
    whole_value.is_multiple_of(part_value).then_some(()).ok_or(error)
}

/// SPEC: `modeling_rope_utils` of the hub's library; members of `rope_scaling`, since version 5 of `rope_parameters`.
fn scaling(config: &HubConfig, given: &HubConfig, context: usize, width: usize) -> Result<Scaling, ConfigError> {
    let kind = match (given.get("rope_type"), given.get("type")) {
        (Some(_), _) => given.text("rope_type")?,
        (None, Some(_)) => given.text("type")?,
        (None, None) => "default",
    };
    let trained = |absent: usize| match given.get("original_max_position_embeddings") {
        Some(_) => given.count("original_max_position_embeddings", CONTEXT_MAX),
        None => config.count_or("original_max_position_embeddings", CONTEXT_MAX, absent),
    };
    Ok(match kind {
        "default" => Scaling::None,
        "linear" => Scaling::Linear { factor: given.positive("factor")? },
        "dynamic" => Scaling::Dynamic { factor: given.positive("factor")?, original: context },
        "llama3" => Scaling::Llama3 {
            factor: given.positive("factor")?,
            low: given.positive("low_freq_factor")?,
            high: given.positive("high_freq_factor")?,
            original: trained(context)?,
        },
        "yarn" => {
            let original = trained(context)?;
            let factor = given.positive_or("factor", context as f64 / original as f64)?;
            Scaling::Yarn {
                factor,
                original,
                fast: given.positive_or("beta_fast", 32.0)?,
                slow: given.positive_or("beta_slow", 1.0)?,
                is_whole: given.flag_or("truncate", true)?,
                attention: yarn_attention(given, factor)?,
            }
        }
        "longrope" | "su" => {
            let original = trained(context)?;
            let factor = context as f64 / original as f64;
            let usual = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() };
            Scaling::Long {
                short: divisors(given, "short_factor", width / 2)?,
                long: divisors(given, "long_factor", width / 2)?,
                original,
                attention: given.positive_or("attention_factor", usual)?,
            }
        }
        _ => {
            // The older name, where the file has only that.
            let member = if given.get("rope_type").is_some() { "rope_type" } else { "type" };
            return Err(given.unexpected(member, "`default`, `linear`, `dynamic`, `yarn`, `llama3` or `longrope`"));
        }
    })
}

fn yarn_attention(given: &HubConfig, factor: f64) -> Result<f64, ConfigError> {
    let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    let usual = match (given.get("mscale"), given.get("mscale_all_dim")) {
        (Some(_), Some(_)) => scale(given.positive("mscale")?) / scale(given.positive("mscale_all_dim")?),
        _ => scale(1.0),
    };
    given.positive_or("attention_factor", usual)
}

fn divisors(given: &HubConfig, member: &'static str, n: usize) -> Result<Vec<f64>, ConfigError> {
    let numbers: Option<Vec<f64>> =
        given.get(member).and_then(Value::as_array).map(|all| all.iter().filter_map(Value::as_f64).collect());
    match numbers {
        Some(numbers) if numbers.len() == n && numbers.iter().all(|x| x.is_finite() && *x > 0.0) => Ok(numbers),
        _ => Err(given.unexpected(member, &format!("{n} numbers above 0"))),
    }
}

/// Rows of a fused projection, cut into its parts. Shapes: `weight` (sum of `sizes`, in), `bias` likewise.
pub(super) fn split<const N: usize>(
    weight: &Tensor,
    bias: Option<&[f32]>,
    sizes: [usize; N],
) -> candle_core::Result<[Linear; N]> {
    let (_, inputs) = weight.dims2()?;
    let numbers: Vec<f32> = weight.flatten_all()?.to_vec1()?;
    let mut start = 0;
    Ok(sizes.map(|n| {
        let rows = start..start + n;
        start += n;
        let weight = Panels::of_numbers(n, inputs, &numbers[rows.start * inputs..rows.end * inputs]);
        Linear { weight, bias: bias.map(|bias| bias[rows].to_vec()) }
    }))
}

pub(super) fn each_head(norms: [Norm; 2]) -> Option<(HeadNorm, HeadNorm)> {
    let [query, key] = norms;
    Some((HeadNorm::Each(query), HeadNorm::Each(key)))
}

pub(super) fn whole_row(norms: [Norm; 2]) -> Option<(HeadNorm, HeadNorm)> {
    let [query, key] = norms;
    Some((HeadNorm::Whole(query), HeadNorm::Whole(key)))
}
