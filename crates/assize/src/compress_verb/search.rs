//! `--target size=50% --keep "perplexity<=+5%"`: settings tried, the front drawn, the best that the rules allow taken.

use super::{
    CompressArgs, Prepared, governed, identity, out_of,
    spec::{Prune, Spec},
    suites,
    work::{self, Compressed},
};
use crate::{Ended, screen};
use anyhow::{Context as _, bail};
use compress::{formats::Format, gptq, layerwise::Pattern};
use evaluate::{passages, statistics::pooled};
use evidence::{Control, DIGITS_MEASURED, Decimal, Json, Round};
use ledger::durable;
use model::ModelParts;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// One setting, tried.
#[derive(Debug, Clone)]
struct Tried {
    spec: Spec,
    /// Bytes of the files as a share of those before.
    size: f64,
    /// Perplexity as a share of that before.
    perplexity: f64,
    is_on_front: bool,
}

/// What the search adds to a dossier.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) json: Json,
    svg: String,
}

impl Found {
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        durable::write_atomic(&folder.join("search.svg"), self.svg.as_bytes())?;
        Ok(durable::write_atomic(&folder.join("search.json"), self.json.document().as_bytes())?)
    }
}

/// A share such as `50%`.
fn percent(text: &str) -> Option<f64> {
    let value: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    value.is_finite().then_some(value / 100.0)
}

/// The largest share of the size, and of the perplexity.
fn wanted(args: &CompressArgs) -> anyhow::Result<(f64, f64)> {
    let target = args.target.as_deref().unwrap_or_default();
    let size = target.strip_prefix("size=").and_then(percent).filter(|share| *share > 0.0 && *share < 1.0);
    let size = size.with_context(|| format!("`--target`: expected size=N% with N from 1 to 99, found `{target}`"))?;
    let keep = args.keep.as_deref().unwrap_or("perplexity<=+5%");
    let rise = keep.strip_prefix("perplexity<=+").and_then(percent).filter(|share| *share >= 0.0);
    let rise = rise.with_context(|| format!("`--keep`: expected perplexity<=+N%, found `{keep}`"))?;
    Ok((size, 1.0 + rise))
}

/// What is tried, from the mildest to the boldest.
fn candidates(has_calibration: bool) -> Vec<Spec> {
    let spec = |prune: Option<(Prune, f64)>, pattern, format| Spec {
        prune,
        pattern,
        format,
        gptq: gptq::Config::default(),
        recover: None,
    };
    let mut all: Vec<Spec> =
        [Format::Int8, Format::Q8_0, Format::Q6K, Format::Q5_0, Format::Q4K, Format::Q4_1, Format::Q4_0]
            .into_iter()
            .map(|format| spec(None, None, format))
            .collect();
    if has_calibration {
        all.push(spec(None, None, Format::Gptq));
        for (method, share) in
            [(Prune::Channels, 0.1), (Prune::Channels, 0.25), (Prune::Heads, 0.34), (Prune::Layers, 0.1)]
        {
            all.push(spec(Some((method, share)), None, Format::F32));
            all.push(spec(Some((method, share)), None, Format::Q8_0));
        }
        all.push(spec(Some((Prune::LowRank, 0.5)), None, Format::F32));
        all.push(spec(Some((Prune::Sparsegpt, 0.5)), None, Format::Q8_0));
        all.push(spec(Some((Prune::Sparsegpt, 0.5)), Some(Pattern { kept: 2, of: 4 }), Format::Q8_0));
    }
    all
}

pub(crate) fn search(args: &CompressArgs) -> anyhow::Result<Ended> {
    let (size, perplexity) = wanted(args)?;
    if args.held.suites.evaluate.is_none() {
        bail!("`--target` compares perplexity: give a text with `--evaluate`");
    }
    let prepared = Prepared::new(args, &[])?;
    let out = out_of(&args.run)?;
    let mut tried = try_all(&prepared, out, candidates(prepared.calibration.is_some()))?;
    mark_front(&mut tried);
    if !args.run.json {
        show(&tried);
    }
    let found = Found { json: to_json(&tried, size, perplexity)?, svg: svg(&tried, size, perplexity) };
    let mut fit: Vec<&Tried> = tried.iter().filter(|one| one.size <= size && one.perplexity <= perplexity).collect();
    fit.sort_by(|a, b| a.perplexity.total_cmp(&b.perplexity).then(a.size.total_cmp(&b.size)));
    if fit.is_empty() {
        let nearest = tried.iter().filter(|one| one.size <= size).min_by(|a, b| a.perplexity.total_cmp(&b.perplexity));
        let nearest = nearest.map_or_else(
            || "no setting is small enough".to_owned(),
            |one| format!("the best that is small enough is {}, perplexity x {:.4}", one.spec.name(), one.perplexity),
        );
        bail!("none of {} settings fits: {nearest}; nothing was written", tried.len());
    }
    let identity = |spec: &Spec| identity(args, &format!("search: {}", spec.name()), &prepared);
    // The best first; one that the rules refuse makes way for the next, and its refusal stands beside.
    let mut refused = Vec::new();
    let (last, others) = fit.split_last().context("nothing fits")?;
    for one in others.iter().chain(std::iter::once(last)) {
        let held = governed::held(&args.held.rules, &args.run)?;
        let step = governed::Step::begin(&args.run, held, &identity(&one.spec))?;
        let again = Prepared::new(args, &[])?;
        let ended = again.carry_out(step, &one.spec, Some(&found))?;
        if ended == Ended::Well {
            return Ok(ended);
        }
        refused.push(one.spec.name());
        if refused.len() == fit.len() {
            return Ok(ended);
        }
        set_aside(args, refused.len())?;
    }
    Ok(Ended::Denied)
}

/// A refused dossier keeps its record under another name.
fn set_aside(args: &CompressArgs, number: usize) -> anyhow::Result<()> {
    let out = out_of(&args.run)?;
    let name = format!("{}.refused-{number}", out.file_name().unwrap_or_default().to_string_lossy());
    let aside = out.with_file_name(name);
    if aside.exists() {
        bail!("{} stands already; the refused dossier stays in {}", aside.display(), out.display());
    }
    fs::rename(out, &aside).with_context(|| format!("{} cannot be renamed", out.display()))
}

/// A folder beside the result in which settings are written, to be weighed as files; gone with this.
struct Room(PathBuf);

impl Room {
    fn new(out: &Path) -> anyhow::Result<Self> {
        let name = out.file_name().context("`--out`: expected the name of a folder")?.to_string_lossy();
        let room = out.with_file_name(format!(".{name}.{}.tried", std::process::id()));
        fs::create_dir_all(&room).with_context(|| format!("`--out`: {} cannot be made", room.display()))?;
        Ok(Self(room))
    }

    /// Bytes of all files that a setting comes to.
    fn written_bytes(&self, compressed: &Compressed, parts: &ModelParts) -> anyhow::Result<u64> {
        let folder = self.0.join("weights");
        compressed.write(&folder, parts)?;
        let files: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|file| Ok(file?.path())).collect::<std::io::Result<_>>()?;
        let bytes = suites::file_bytes(&files)?;
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        Ok(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Nothing is lost with it, and an error on the way here is the one to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn try_all(prepared: &Prepared, out: &Path, specs: Vec<Spec>) -> anyhow::Result<Vec<Tried>> {
    let parts = &prepared.input.parts;
    let score = |decoder: &model::Decoder| -> anyhow::Result<f64> {
        let scores = passages::score(decoder, &prepared.suites.passages, 1, &mut |_, _| Control::Continue)?;
        Ok(pooled(&scores)?.perplexity)
    };
    let whole = score(&prepared.input.decoder)?;
    let n_bytes = suites::file_bytes(&parts.files)?;
    let room = Room::new(out)?;
    let mut tried = Vec::new();
    for spec in specs {
        // A setting that the family or its widths do not take is left out, and said.
        match work::compress(&spec, parts, prepared.rows(), &mut |_, _| Control::Continue) {
            Ok(compressed) => {
                let decoder = parts.decoder_of(&compressed.config, &compressed.tensors)?;
                let size = room.written_bytes(&compressed, parts)? as f64 / n_bytes as f64;
                let perplexity = score(&decoder)? / whole;
                tried.push(Tried { spec, size, perplexity, is_on_front: false });
            }
            Err(error) => screen::remark(&format!("not tried: {}: {error:#}", spec.name())),
        }
    }
    Ok(tried)
}

/// On the front is what no other setting beats in one respect without losing in the other.
fn mark_front(tried: &mut [Tried]) {
    let points: Vec<(f64, f64)> = tried.iter().map(|one| (one.size, one.perplexity)).collect();
    for (at, one) in tried.iter_mut().enumerate() {
        let beats = |(other, point): (usize, &(f64, f64))| {
            other != at
                && point.0 <= points[at].0
                && point.1 <= points[at].1
                && (point.0 < points[at].0 || point.1 < points[at].1 || other < at)
        };
        one.is_on_front = !points.iter().enumerate().any(beats);
    }
}

fn show(tried: &[Tried]) {
    screen::line(&format!("{:28} {:>8} {:>12}", "setting", "size", "perplexity"));
    for one in tried {
        let mark = if one.is_on_front { "front" } else { "" };
        screen::line(&format!("{:28} {:>7.1}% {:>11.4}x {mark}", one.spec.name(), 100.0 * one.size, one.perplexity));
    }
}

fn to_json(tried: &[Tried], size: f64, perplexity: f64) -> anyhow::Result<Json> {
    let decimal = |value: f64| Decimal::from_f64(value, DIGITS_MEASURED, Round::Nearest).map(Json::from);
    let one = |one: &Tried| -> anyhow::Result<Json> {
        Ok(Json::map([
            ("setting", Some(one.spec.name().into())),
            ("size", Some(decimal(one.size)?)),
            ("perplexity", Some(decimal(one.perplexity)?)),
            ("front", Some(one.is_on_front.into())),
        ]))
    };
    Ok(Json::map([
        ("sizeAtMost", Some(decimal(size)?)),
        ("perplexityAtMost", Some(decimal(perplexity)?)),
        ("tried", Some(Json::List(tried.iter().map(one).collect::<anyhow::Result<_>>()?))),
    ]))
}

/// Size along, perplexity up (logarithmic), what is wanted shaded.
fn svg(tried: &[Tried], size: f64, perplexity: f64) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 420.0;
    const MARGIN: f64 = 60.0;
    let most = tried.iter().map(|one| one.perplexity).fold(perplexity, f64::max).min(100.0).ln().max(0.01) * 1.1;
    let least = tried.iter().map(|one| one.perplexity.ln()).fold(0.0, f64::min) - 0.05 * most;
    let across = tried.iter().map(|one| one.size).fold(size, f64::max) * 1.1;
    let x = |share: f64| MARGIN + share / across * (WIDTH - 2.0 * MARGIN);
    let y = |ratio: f64| HEIGHT - MARGIN - (ratio.ln().min(most) - least) / (most - least) * (HEIGHT - 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>Size and perplexity of the settings tried</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let (right, top, floor) = (x(size), y(perplexity), HEIGHT - MARGIN);
    let _ = writeln!(
        out,
        "<rect x=\"{MARGIN}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#e8f3ec\"/>",
        right - MARGIN,
        floor - top
    );
    let _ = writeln!(
        out,
        "<path d=\"M{MARGIN} {MARGIN}V{floor}H{}\" fill=\"none\" stroke=\"#333\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">size, % of the files it is made from</text>\n\
         <text x=\"{MARGIN}\" y=\"{}\">perplexity, times the dense model's (logarithmic)</text>",
        WIDTH - MARGIN,
        WIDTH / 2.0,
        HEIGHT - 15.0,
        MARGIN - 15.0
    );
    let mut front: Vec<&Tried> = tried.iter().filter(|one| one.is_on_front).collect();
    front.sort_by(|a, b| a.size.total_cmp(&b.size));
    let line: Vec<String> = front.iter().map(|one| format!("{:.1},{:.1}", x(one.size), y(one.perplexity))).collect();
    let _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6f43\"/>", line.join(" "));
    for one in tried {
        let (cx, cy) = (x(one.size), y(one.perplexity));
        let (fill, name) = (if one.is_on_front { "#1f6f43" } else { "#999" }, one.spec.name());
        let _ = writeln!(
            out,
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{fill}\"><title>{name}: size {:.1} %, perplexity x {:.4}</title></circle>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333\">{name}</text>",
            100.0 * one.size,
            one.perplexity,
            cx + 6.0,
            cy - 4.0
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(size: f64, perplexity: f64) -> Tried {
        let spec =
            Spec { prune: None, pattern: None, format: Format::Q8_0, gptq: gptq::Config::default(), recover: None };
        Tried { spec, size, perplexity, is_on_front: false }
    }

    #[test]
    fn what_nothing_beats_is_on_the_front() {
        let mut all = [tried(0.5, 1.1), tried(0.3, 1.2), tried(0.4, 1.3), tried(0.5, 1.1), tried(0.2, 2.0)];
        mark_front(&mut all);
        assert_eq!(all.map(|one| one.is_on_front), [true, true, false, false, true]);
    }

    #[test]
    fn shares_are_read_and_anything_else_is_not() {
        assert_eq!(
            (percent("50%"), percent(" 12.5 %"), percent("50"), percent("x%")),
            (Some(0.5), Some(0.125), None, None)
        );
    }
}
