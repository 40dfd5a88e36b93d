//! `assize model`: what a model is made of, what it costs to run, and what its files say of themselves.

use crate::{Ended, args::ModelArgs, hub, screen, screen::Screen};
use anyhow::Context as _;
use evidence::{Decimal, Digest, Json, Round};
use meter::flop::{Block, Blocks};
use model::{
    Model, card,
    profile::{PRECISIONS, Parameters, Ranked, ranks},
};
use std::{collections::BTreeMap, fs, path::Path};

/// Digits of shares and ranks.
const DIGITS: u32 = 6;
/// Contexts that are counted when none is named, up to the model's own.
const CONTEXTS: [usize; 4] = [1, 128, 2048, 8192];
const BATCHES: [u64; 3] = [1, 8, 32];
const README_BYTES_MAX: u64 = 1 << 22;

pub(crate) fn model(args: &ModelArgs) -> anyhow::Result<Ended> {
    let options = args.tokens.options();
    if let Some(name) = &args.hub {
        hub::fetch(name, &args.model, &Screen::new(args.json))?;
    }
    if let Some(folder) = &args.write {
        let files = model::write_folder(&args.model, folder, &options)?;
        files.iter().for_each(|file| screen::line(&file.display().to_string()));
        return Ok(Ended::Well);
    }
    let opened = model::open_digested(&args.model, &options)?;
    let contexts = contexts(&args.contexts, opened.decoder.context())?;
    let screen = Screen::new(args.json);
    let bar = screen.bar("matrices", opened.decoder.matrices().len() as u64);
    let ranked = ranks(&opened.decoder, args.ranks.depth(), &|| bar.inc(1))?;
    bar.finish_and_clear();
    let document = document(&opened, &contexts, &ranked)?;
    if args.json {
        screen::json(&document);
    } else {
        show(&opened, &contexts, &ranked, &document);
    }
    Ok(Ended::Well)
}

fn contexts(named: &[usize], context: usize) -> anyhow::Result<Vec<usize>> {
    if named.is_empty() {
        let mut usual: Vec<usize> = CONTEXTS.into_iter().filter(|usual| *usual < context).collect();
        usual.push(context);
        return Ok(usual);
    }
    match named.iter().find(|named| **named == 0 || **named > context) {
        None => Ok(named.to_vec()),
        Some(found) => anyhow::bail!("expected a context from 1 to the model's {context}, found {found}"),
    }
}

fn document(opened: &Model, contexts: &[usize], ranked: &[Ranked]) -> anyhow::Result<Json> {
    let decoder = &opened.decoder;
    let members = card_of(opened)?;
    let manifest = opened.manifest()?;
    let file = |(name, bytes, digest): &(String, u64, Digest)| {
        Json::map([
            ("name", Some(name.as_str().into())),
            ("bytes", Some((*bytes).into())),
            ("sha256", Some(digest.to_string().into())),
        ])
    };
    let id = |id: Option<u32>| id.map(Json::from);
    let tokenizer = Json::map([
        ("tokens", Some(opened.tokenizer.vocab_size().into())),
        ("bos", id(opened.tokenizer.bos())),
        ("eos", Some(Json::list(opened.tokenizer.eos().iter().copied()))),
        ("addsBos", Some(opened.tokenizer.adds_bos().into())),
        ("hasChatTemplate", Some(opened.tokenizer.chat_template().is_some().into())),
    ]);
    let card = Json::Map(
        members.iter().map(|(key, values)| (key.clone(), Json::list(values.iter().map(String::as_str)))).collect(),
    );
    let flop = Json::map([
        ("convention", Some(format!("{}; {}", meter::flop::CONVENTION, meter::flop::BLOCKS_CONVENTION).into())),
        ("byContext", Some(Json::List(contexts.iter().map(|&context| flop_at(opened, context)).collect()))),
    ]);
    Ok(Json::map([
        ("path", Some(opened.path.display().to_string().into())),
        ("family", Some(opened.family.to_string().into())),
        ("licence", licence(&members).map(Json::from)),
        ("card", Some(card)),
        ("digest", Some(digest(manifest).into())),
        ("files", Some(Json::List(manifest.iter().map(file).collect()))),
        ("context", Some(decoder.context().into())),
        ("width", Some(decoder.width().into())),
        ("vocabulary", Some(decoder.vocab().into())),
        ("tokenizer", Some(tokenizer)),
        ("parameters", Some(parameters(&decoder.parameters(), decoder.is_tied()))),
        ("layers", Some(layers(opened))),
        ("flop", Some(flop)),
        ("memory", Some(memory(opened, contexts))),
        ("zeros", Some(zeros(ranked))),
        ("matrices", Some(Json::List(ranked.iter().map(matrix).collect::<anyhow::Result<_>>()?))),
    ]))
}

/// The digest of a single file; of a folder, that of the lines `SHA256  NAME` in the order of the names.
pub(crate) fn digest(manifest: &[(String, u64, Digest)]) -> Digest {
    match manifest {
        [(_, _, digest)] => *digest,
        files => {
            let lines: String = files.iter().map(|(name, _, digest)| format!("{digest}  {name}\n")).collect();
            Digest::of(lines.as_bytes())
        }
    }
}

fn parameters(counts: &Parameters, is_tied: bool) -> Json {
    Json::map([
        ("total", Some(counts.total().into())),
        ("active", Some(counts.active().into())),
        ("embedding", Some(counts.embedding.into())),
        ("positions", Some(counts.positions.into())),
        ("attention", Some(counts.attention.into())),
        ("mlp", Some(counts.mlp.into())),
        ("norms", Some(counts.norms.into())),
        ("head", Some(counts.head.into())),
        ("tied", Some(is_tied.into())),
    ])
}

/// Runs of layers that are alike.
fn layers(opened: &Model) -> Json {
    let mut runs: Vec<(usize, model::profile::LayerShape)> = Vec::new();
    for shape in opened.decoder.layer_shapes() {
        match runs.last_mut() {
            Some((n, last)) if *last == shape => *n += 1,
            _ => runs.push((1, shape)),
        }
    }
    let run = |(n, shape): &(usize, model::profile::LayerShape)| {
        Json::map([
            ("layers", Some((*n).into())),
            ("heads", Some(shape.heads.into())),
            ("kvHeads", Some(shape.kv_heads.into())),
            ("headWidth", Some(shape.head_width.into())),
            ("window", shape.window.map(Json::from)),
            ("matrices", Some(shape.matrices.into())),
            ("hidden", Some(shape.hidden.into())),
            ("experts", shape.experts.map(|(n, _)| n.into())),
            ("activeExperts", shape.experts.map(|(_, n)| n.into())),
        ])
    };
    Json::List(runs.iter().map(run).collect())
}

/// The decoder as the meter counts it.
fn blocks(opened: &Model) -> Blocks {
    let block = |shape: model::profile::LayerShape| Block {
        heads: shape.heads as u64,
        kv_heads: shape.kv_heads as u64,
        head_width: shape.head_width as u64,
        window: shape.window.map(|window| window as u64),
        matrices: shape.matrices as u64,
        hidden: shape.hidden as u64,
        active: shape.experts.map_or(1, |(_, active)| active as u64),
        routed: shape.experts.map_or(0, |(n, _)| n as u64),
    };
    let decoder = &opened.decoder;
    Blocks {
        width: decoder.width() as u64,
        vocabulary: decoder.vocab() as u64,
        blocks: decoder.layer_shapes().into_iter().map(block).collect(),
    }
}

/// FLOP a token, of a sequence of this length.
fn flop_at(opened: &Model, context: usize) -> Json {
    let (blocks, n) = (blocks(opened), context as u64);
    let count = |flop: u128| Json::from(Decimal::from_u128(flop, Round::Up));
    Json::map([
        ("context", Some(context.into())),
        ("prefillPerToken", Some(count(blocks.forward(1, n) / u128::from(n)))),
        ("decodePerToken", Some(count(blocks.decode(1, n - 1)))),
        ("trainingPerToken", Some(count(blocks.training(1, n) / u128::from(n)))),
    ])
}

/// Bytes of all weights in one format, at that many bytes a number.
fn weight_bytes(opened: &Model, each: f64) -> u64 {
    (opened.decoder.parameters().total() as f64 * each).ceil() as u64
}

/// Bytes of weights and cache of a batch; a cache is kept in two bytes a number, or four beside weights of four.
fn batch_bytes(opened: &Model, each: f64, batch: u64, context: usize) -> u64 {
    let cache = opened.decoder.cache_numbers(context) as u64 * batch;
    weight_bytes(opened, each) + cache * if each > 2.0 { 4 } else { 2 }
}

/// The context that memory is reckoned at, however the contexts were ordered.
fn longest(contexts: &[usize]) -> usize {
    contexts.iter().max().copied().unwrap_or(1)
}

/// Bytes of weights and cache; what a runtime needs beside them is not counted.
fn memory(opened: &Model, contexts: &[usize]) -> Json {
    let decoder = &opened.decoder;
    let longest = longest(contexts);
    let row = |&(precision, each): &(&str, f64)| {
        let batch = |&batch: &u64| {
            Json::map([
                ("batch", Some(batch.into())),
                ("context", Some(longest.into())),
                ("bytes", Some(batch_bytes(opened, each, batch, longest).into())),
            ])
        };
        Json::map([
            ("precision", Some(precision.into())),
            ("weights", Some(weight_bytes(opened, each).into())),
            ("batches", Some(Json::List(BATCHES.iter().map(batch).collect()))),
        ])
    };
    let per_token = decoder.cache_numbers_per_token() as u64;
    Json::map([
        ("cachePerTokenF32", Some((per_token * 4).into())),
        ("cachePerTokenF16", Some((per_token * 2).into())),
        // Weights, gradients and two moments, four bytes each.
        ("trainingStateAdamF32", Some(weight_bytes(opened, 16.0).into())),
        ("byPrecision", Some(Json::List(PRECISIONS.iter().map(row).collect()))),
    ])
}

/// Weights alone, and with the cache of each batch at the longest context.
fn show_memory(opened: &Model, contexts: &[usize]) {
    let longest = longest(contexts);
    let batches: String = BATCHES.iter().map(|batch| format!(" {:>12}", format!("batch {batch}"))).collect();
    screen::line(&format!("{:20} {:>12}{batches}", "memory, MB", "weights"));
    for (precision, each) in PRECISIONS {
        let with = BATCHES.iter().map(|&batch| batch_bytes(opened, each, batch, longest));
        let row: String = std::iter::once(weight_bytes(opened, each))
            .chain(with)
            .map(|bytes| format!(" {:>12.1}", bytes as f64 / 1e6))
            .collect();
        screen::line(&format!("  {precision:18}{row}"));
    }
    screen::line(&format!("  a batch with its cache at context {longest}; all weights at the bits of the format"));
}

fn zeros(ranked: &[Ranked]) -> Json {
    let (zeros, numbers) = zero_counts(ranked);
    Json::map([
        ("zeros", Some(zeros.into())),
        ("numbers", Some(numbers.into())),
        ("share", Decimal::from_f64(zeros as f64 / numbers.max(1) as f64, DIGITS, Round::Nearest).ok().map(Json::from)),
    ])
}

pub(crate) fn zero_counts(ranked: &[Ranked]) -> (u64, u64) {
    let numbers = |one: &Ranked| one.shape.iter().map(|size| *size as u64).product::<u64>();
    (ranked.iter().map(|one| one.n_zeros).sum(), ranked.iter().map(numbers).sum())
}

fn matrix(one: &Ranked) -> anyhow::Result<Json> {
    let decimal = |value: f64| Decimal::from_f64(value, DIGITS, Round::Nearest).map(Json::from);
    let spectrum = one.spectrum.as_ref();
    Ok(Json::map([
        ("name", Some(one.name.as_str().into())),
        ("shape", Some(Json::list(one.shape.iter().copied()))),
        ("zeros", Some(one.n_zeros.into())),
        ("stableRank", spectrum.map(|spectrum| decimal(spectrum.stable_rank)).transpose()?),
        ("participation", spectrum.map(|spectrum| decimal(spectrum.participation)).transpose()?),
        ("entropyRank", spectrum.and_then(|spectrum| spectrum.entropy_rank).map(decimal).transpose()?),
    ]))
}

/// The front matter of the read-me, and what a GGUF file says of itself.
fn card_of(opened: &Model) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut members: BTreeMap<String, Vec<String>> =
        opened.card.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect();
    let readme = opened.files().iter().find(|file| file.file_name() == Some("README.md".as_ref()));
    if let Some(readme) = readme {
        members.extend(card::front_matter(&read_card(readme)?));
    }
    Ok(members)
}

fn read_card(path: &Path) -> anyhow::Result<String> {
    let context = || format!("cannot read `{}`", path.display());
    let bytes = fs::metadata(path).with_context(context)?.len();
    anyhow::ensure!(
        bytes <= README_BYTES_MAX,
        "`{}`: expected at most {README_BYTES_MAX} bytes, found {bytes}",
        path.display()
    );
    Ok(String::from_utf8_lossy(&fs::read(path).with_context(context)?).into_owned())
}

fn licence(members: &BTreeMap<String, Vec<String>>) -> Option<&str> {
    let of = |key: &str| members.get(key).and_then(|values| values.first()).map(String::as_str);
    // The hub writes `other` where a licence has a name of its own.
    of("license").filter(|licence| *licence != "other").or_else(|| of("license_name")).or_else(|| of("license"))
}

fn show(opened: &Model, contexts: &[usize], ranked: &[Ranked], document: &Json) {
    let decoder = &opened.decoder;
    let counts = decoder.parameters();
    let line = |name: &str, value: String| screen::line(&format!("{name:20} {value}"));
    let text = |key: &str| document.get(key).and_then(Json::as_text).unwrap_or("not stated").to_owned();
    line("model", format!("{} ({})", opened.path.display(), opened.family));
    let digest =
        document.get("digest").and_then(|digest| digest.get("sha256")).and_then(Json::as_text).unwrap_or_default();
    line("digest", format!("sha256:{digest}"));
    line("licence", text("licence"));
    let shape = (decoder.layers(), decoder.width(), decoder.vocab(), decoder.context());
    line("shape", format!("{} layers, width {}, vocabulary {}, context {}", shape.0, shape.1, shape.2, shape.3));
    line("parameters", format!("{} ({} a token passes)", counts.total(), counts.active()));
    for (name, n) in [
        ("  embedding", counts.embedding),
        ("  positions", counts.positions),
        ("  attention", counts.attention),
        ("  feed-forward", counts.mlp),
        ("  norms", counts.norms),
        ("  head", counts.head),
    ] {
        let share = 100.0 * n as f64 / counts.total().max(1) as f64;
        let tied = if name == "  head" && decoder.is_tied() { ", tied to the embedding" } else { "" };
        line(name, format!("{n} ({share:.1} %{tied})"));
    }
    let blocks = blocks(opened);
    screen::line("FLOP a token              prefill       decode     training");
    for &context in contexts {
        let n = context as u64;
        let each =
            [blocks.forward(1, n) / u128::from(n), blocks.decode(1, n - 1), blocks.training(1, n) / u128::from(n)];
        let each: Vec<String> = each.iter().map(|flop| format!("{:>12.4e}", *flop as f64)).collect();
        line(&format!("  context {context}"), each.join(" "));
    }
    let cache = decoder.cache_numbers_per_token() as u64;
    line("cache a token", format!("{} bytes in f16, {} in f32", cache * 2, cache * 4));
    show_memory(opened, contexts);
    let (zeros, numbers) = zero_counts(ranked);
    line("zeros", format!("{zeros} of {numbers} ({:.4} %)", 100.0 * zeros as f64 / numbers.max(1) as f64));
    show_ranks(ranked);
}

/// Three ranks of one matrix, each as a share of its smaller side.
type Shares = (f64, f64, Option<f64>);

/// By part of the layers: the mean over layers of each rank, as a share of the smaller side.
fn show_ranks(ranked: &[Ranked]) {
    let mut parts: BTreeMap<&str, Vec<Shares>> = BTreeMap::new();
    for one in ranked {
        let Some(spectrum) = one.spectrum else { continue };
        let part = one
            .name
            .split_once('.')
            .filter(|(layer, _)| layer.parse::<usize>().is_ok())
            .map_or(one.name.as_str(), |(_, part)| part);
        let side = one.shape.iter().min().copied().unwrap_or(1).max(1) as f64;
        let shares =
            (spectrum.stable_rank / side, spectrum.participation / side, spectrum.entropy_rank.map(|rank| rank / side));
        parts.entry(part).or_default().push(shares);
    }
    if !parts.is_empty() {
        screen::line("rank, share of side     stable  participation  entropy");
    }
    for (part, shares) in parts {
        let n = shares.len() as f64;
        let mean = |of: fn(&(f64, f64, Option<f64>)) -> f64| shares.iter().map(of).sum::<f64>() / n;
        let entropy = if shares.iter().all(|share| share.2.is_some()) {
            format!("{:.3}", mean(|share| share.2.unwrap_or(0.0)))
        } else {
            "-".to_owned()
        };
        screen::line(&format!("  {part:20} {:8.3} {:14.3} {entropy:>8}", mean(|share| share.0), mean(|share| share.1)));
    }
}
