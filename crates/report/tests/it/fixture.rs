//! A run as the loop records it: twenty entries of a small model, with figures of the size that such a run has.
//!
//! The figures are made up, and consistent with one another where a reader would notice; no test depends on their truth.

use evidence::{Decimal, Digest, Json, Predicate, Round, Statement, Subject};
use report::Record;
use std::collections::BTreeMap;

const RUN: &str = "2026-11-23-speech-writer-01";

/// Entries in the making; each gets its index and the digest of a stand-in for its envelope file.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) records: Vec<Record>,
}

impl Log {
    pub(crate) fn add(&mut self, kind: Predicate, stage: &str, at: &str, subjects: &[&str], members: &str) -> Digest {
        let predicate = format!(r#"{{"runId": "{RUN}", "stage": "{stage}", "at": "{at}"{members}}}"#);
        let predicate = Json::parse(&predicate).unwrap_or_else(|error| panic!("{kind:?}: {error}\n{predicate}"));
        let subjects = subjects.iter().map(|name| Subject::new(*name, of(name))).collect();
        self.push(&Statement { subjects, predicate_type: kind, predicate })
    }

    pub(crate) fn push(&mut self, statement: &Statement) -> Digest {
        // Read back as a verifier would, so that decimals are the text that was signed.
        let statement = Statement::parse(&statement.canonical()).unwrap();
        let envelope = Digest::of(format!("envelope of {}", statement.canonical()).as_bytes());
        self.records.push(Record { index: self.records.len() as u64, envelope, statement });
        envelope
    }
}

/// The digest of an artefact that is known by name here.
pub(crate) fn of(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Which envelope each fact was signed in.
type Envelopes = Vec<(&'static str, Digest)>;

/// The verdicts of the release, but for where their evidence stands.
fn verdicts() -> Vec<Json> {
    Json::parse(include_str!("verdicts.json")).unwrap().items().to_vec()
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json.get(key).and_then(Json::as_text).unwrap()
}

/// The same map with these members in place of its own.
fn with<const N: usize>(json: &Json, members: [(&str, Json); N]) -> Json {
    let mut map = json.members().unwrap().clone();
    map.extend(members.map(|(key, value)| (key.to_owned(), value)));
    Json::Map(map)
}

/// A verdict with its card's digest and the envelopes of its evidence.
fn grounded(verdict: &Json, known: &Envelopes) -> Json {
    let source = |fact: &str| known.iter().rev().find(|(name, _)| *name == fact).map_or(of("none"), |(_, at)| *at);
    let evidence = verdict.get("evidence").unwrap().items().iter();
    let evidence = evidence.map(|used| with(used, [("source", source(text(used, "fact")).into())])).collect();
    with(
        verdict,
        [
            ("card", of(text(verdict, "rule")).into()),
            ("version", "1.0.0".into()),
            ("severity", "high".into()),
            ("owner", "release".into()),
            ("evidence", Json::List(evidence)),
        ],
    )
}

fn decision(verdicts: &[&Json], effect: &str, policy: Digest, known: &Envelopes) -> String {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(text(verdict, "verdict").to_owned()).or_insert(0_u32) += 1;
    }
    let counts = Json::Map(counts.into_iter().map(|(name, n)| (name, n.into())).collect());
    let sources = Json::list(known.iter().map(|(_, at)| *at));
    let verdicts = Json::List(verdicts.iter().map(|verdict| grounded(verdict, known)).collect());
    format!(
        r#", "as_of": "2026-11-23", "effect": "{effect}", "counts": {}, "policy": {{"sha256": "{policy}"}},
        "evidence": {}, "system": {SYSTEM}, "verdicts": {}"#,
        counts.canonical(),
        sources.canonical(),
        verdicts.canonical()
    )
}

/// What the release decision says is ahead: a rule on the page, one that may apply, and one that is asked per request.
const CALENDAR: &str = r#"{"from": "2026-11-23", "until": "2029-11-23", "days": [
    {"day": "2026-12-02", "counts": {"begins": 2, "ends": 1}, "changes": [
        {"change": "begins", "pack": "cn-genai", "rule": "cn.label.visible", "title": "Output <b>carries</b> a label", "tz": "Asia/Shanghai", "source": "Art. 1", "applies": "yes", "verdict": "fail"},
        {"change": "begins", "pack": "eu-ai-act", "rule": "eu.nowhere", "title": "Not decided here", "source": "Art. 2", "applies": "unknown", "verdict": "insufficient-evidence"},
        {"change": "ends", "pack": "serving", "rule": "label.generated-text", "title": "Asked of each answer", "source": "Art. 3", "applies": "yes"}]},
    {"day": "2027-12-02", "counts": {"answer-ends": 1}, "changes": [
        {"change": "answer-ends", "pack": "eu-ai-act", "rule": "eu.gpai.sysrisk", "title": "Compute", "source": "doc.policy", "applies": "yes", "verdict": "pass"}]}]}"#;

const SYSTEM: &str = r#"{"name": "speech-writer", "role": "provider", "jurisdictions": ["EU", "CN", "US-CA"],
    "purpose": "continues speeches in the manner of inaugural addresses", "audience": "public", "on_market": "2027-01-15",
    "general_purpose": false, "modalities": ["text"]}"#;

/// A measurement as JSON text: metric, unit, value, then further members.
pub(crate) fn measurement(
    metric: &str,
    unit: &str,
    value: &str,
    provenance: &str,
    subject: &str,
    more: &str,
) -> String {
    format!(
        r#"{{"metric": "{metric}", "unit": "{unit}", "value": "{value}", "provenance": "{provenance}", "subject": {{"name": "{subject}", "digest": {{"sha256": "{}"}}}},
        "method": "as the catalogue says", "instrument": "assize 0.1.0", "inputs": [{{"sha256": "{}"}}], "at": "2026-11-23T09:14:07Z"{more}}}"#,
        of(subject),
        of("corpus")
    )
}

fn interval(lower: &str, upper: &str, method: &str) -> String {
    format!(r#", "lower": "{lower}", "upper": "{upper}", "intervalMethod": "{method}""#)
}

fn bootstrap(lower: &str, upper: &str, n: u32) -> String {
    format!(r#"{}, "level": "0.95", "n": {n}"#, interval(lower, upper, "bootstrap-documents"))
}

fn held_out(subject: &str, loss: [&str; 3], perplexity: [&str; 3], accuracy: [&str; 3], k: u32) -> String {
    [
        measurement("heldout.loss", "nat/token", loss[0], "measured", subject, &bootstrap(loss[1], loss[2], 7)),
        measurement(
            "heldout.perplexity",
            "1",
            perplexity[0],
            "measured",
            subject,
            &bootstrap(perplexity[1], perplexity[2], 7),
        ),
        measurement(
            "heldout.accuracy",
            "1",
            accuracy[0],
            "measured",
            subject,
            &format!(r#"{}, "k": {k}"#, bootstrap(accuracy[1], accuracy[2], 20931)),
        ),
    ]
    .join(", ")
}

fn derived(pairs: &[(&str, &str)]) -> String {
    let edges: Vec<String> = pairs
        .iter()
        .map(|(action, parent)| format!(r#"{{"action": "{action}", "digest": {{"sha256": "{}"}}}}"#, of(parent)))
        .collect();
    format!(r#", "derivedFrom": [{}]"#, edges.join(", "))
}

fn share(metric: &str, k: u32, n: u32, value: &str) -> String {
    measurement(metric, "1", value, "measured", "corpus", &format!(r#", "k": {k}, "n": {n}"#))
}

/// The points of the curve: a loss that falls quickly, then slowly, with the unevenness of small batches.
fn curve() -> String {
    let points: Vec<String> = (1..=200_u64)
        .map(|point| {
            let step = point * 2;
            let unevenness = ((point * 7919) % 97) as f64 / 97.0 - 0.5;
            let loss = 3.92 + 4.39 * (-(step as f64) / 70.0).exp() + 0.16 * unevenness;
            let loss = Decimal::from_f64(loss, 9, Round::Nearest).unwrap();
            let flop = step * 4_054_680_862 + u64::from(step == 400) * 288;
            format!(
                r#"{{"step": {step}, "loss": "{loss}", "learningRate": "0.000{}", "computeFlop": "{flop}"}}"#,
                301 - point
            )
        })
        .collect();
    points.join(", ")
}

fn files() -> String {
    let speeches = [
        "1789-Washington",
        "1801-Jefferson",
        "1861-Lincoln",
        "1865-Lincoln",
        "1933-Roosevelt",
        "1961-Kennedy",
        "1981-Reagan",
        "2009-Obama",
    ];
    let rows: Vec<String> = speeches
        .iter()
        .enumerate()
        .map(|(i, name)| (format!("data/inaugural/{name}.txt"), 8619 + 1733 * i, "public-domain", "https://www.nltk.org/nltk_data/"))
        .chain(["eng", "cmn_hans", "fra"].iter().enumerate().map(|(i, name)| (format!("data/udhr/{name}.txt"), 12333 + 977 * i, "public-domain", "https://www.ohchr.org/en/human-rights/universal-declaration")))
        .map(|(path, bytes, licence, source)| format!(
            r#"{{"path": "{path}", "bytes": {bytes}, "licence": "{licence}", "source": "{source}", "digest": {{"sha256": "{}"}}}}"#, of(&path)))
        .collect();
    rows.join(", ")
}

/// A run that ended with the release allowed, after one stop at the energy budget.
pub(crate) fn allowed() -> Vec<Record> {
    run(&verdicts(), "allow")
}

/// The same run, denied: a rule that fails and a rule that is undecided are enforced.
pub(crate) fn denied() -> Vec<Record> {
    let is_enforced = |verdict: &Json| matches!(text(verdict, "rule"), "cn.label.visible" | "house.compress.prune");
    let enforced = |verdict: &Json| match is_enforced(verdict) {
        true => with(verdict, [("mode", "enforce".into())]),
        false => verdict.clone(),
    };
    run(&verdicts().iter().map(enforced).collect::<Vec<_>>(), "deny")
}

/// The same run under three times as many rules.
pub(crate) fn under_many_rules() -> Vec<Record> {
    let renamed = |(round, verdict): (usize, Json)| {
        let name = format!("{}.v{round}", text(&verdict, "rule"));
        with(&verdict, [("rule", name.into())])
    };
    let many: Vec<Json> = (0..3).flat_map(|round| verdicts().into_iter().map(move |v| renamed((round, v)))).collect();
    run(&many, "allow")
}

const PACKS: [(&str, &str); 5] = [
    ("house/rules", "enforce"),
    ("eu-ai-act", "enforce"),
    ("cn-genai", "enforce"),
    ("us-frontier", "report"),
    ("kr-ai-basic", "report"),
];

/// Stages but the release, with their moment and the rules that are asked there.
const GATES: [(&str, &str, &[&str]); 5] = [
    ("data", "2026-11-23T09:00:06Z", &["house.data.licensed", "house.data.no-leak"]),
    ("plan", "2026-11-23T09:00:08Z", &["house.plan.budget", "eu.gpai.sysrisk"]),
    ("train", "2026-11-23T09:05:12Z", &["eu.gpai.sysrisk"]),
    ("compress", "2026-11-23T09:12:09Z", &["house.compress.quality", "house.compress.prune"]),
    ("evaluate", "2026-11-23T09:13:00Z", &["house.evaluate.folds"]),
];

fn run(verdicts: &[Json], effect: &str) -> Vec<Record> {
    let mut log = Log::default();
    let mut known: Envelopes = Vec::new();
    let pack = |(name, mode): (&str, &str)| {
        let card = r#"{"path": "a.toml", "text": "schema = 1"}"#;
        let digest = of(name);
        format!(r#"{{"name": "{name}", "mode": "{mode}", "digest": {{"sha256": "{digest}"}}, "cards": [{card}]}}"#)
    };
    let packs = format!(r#", "packs": [{}]"#, PACKS.map(pack).join(", "));
    let policy = log.add(Predicate::Policy, "policy", "2026-11-23T09:00:00Z", &["packs"], &packs);
    let gate = |log: &mut Log, known: &Envelopes, stage: &str| {
        let (_, at, rules) = GATES.iter().find(|(name, ..)| *name == stage).unwrap();
        let some: Vec<&Json> = verdicts.iter().filter(|verdict| rules.contains(&text(verdict, "rule"))).collect();
        log.add(Predicate::Decision, stage, at, &["corpus"], &decision(&some, "allow", policy, known));
    };
    data(&mut log, &mut known);
    gate(&mut log, &known, "data");
    plan(&mut log, &mut known);
    gate(&mut log, &known, "plan");
    training(&mut log, &mut known);
    gate(&mut log, &known, "train");
    held_out_and_compressed(&mut log, &mut known);
    folds(&mut log, &mut known);
    gate(&mut log, &known, "compress");
    gate(&mut log, &known, "evaluate");
    let all: Vec<&Json> = verdicts.iter().collect();
    let release = format!("{}, \"calendar\": {CALENDAR}", decision(&all, effect, policy, &known));
    log.add(Predicate::Decision, "release", "2026-11-23T09:14:08.204519Z", &["corpus"], &release);
    seal(&mut log);
    log.records
}

fn data(log: &mut Log, known: &mut Envelopes) {
    let declarations = format!(
        r#", "declarations": [{{"fact": "doc_label", "subject": {{"name": "speech-writer", "digest": {{"sha256": "{}"}}}},
        "value": false, "unit": "1", "owner": "product owner", "provenance": "declared", "at": "2026-11-20T08:00:00Z",
        "expires": "2027-11-20"}}]"#,
        of("speech-writer")
    );
    let at = "2026-11-23T09:00:02Z";
    known.push(("doc_label", log.add(Predicate::Declarations, "data", at, &["speech-writer"], &declarations)));
    let facts = [
        measurement("data.bytes", "byte", "823914", "measured", "corpus", ""),
        measurement("data.documents", "1", "62", "measured", "corpus", ""),
        measurement("data.tokens", "1", "190211", "measured", "corpus", ""),
        share("data.licence_declared", 62, 62, "1"),
        share("data.source_declared", 62, 62, "1"),
        share("data.exact_duplicates", 0, 62, "0"),
        share("data.held_out_leak", 0, 7, "0"),
    ];
    let members = format!(
        r#", "files": [{}], "split": {{"seed": 7, "trainDocuments": 55, "heldOutDocuments": 7}}, "measurements": [{}]"#,
        files(),
        facts.join(", ")
    );
    let data = log.add(Predicate::DatasetAudit, "data", "2026-11-23T09:00:05Z", &["corpus"], &members);
    known.extend(["data.licence_declared", "data.source_declared", "data.held_out_leak"].map(|fact| (fact, data)));
}

fn seal(log: &mut Log) {
    let file = |(path, bytes): (&str, u32)| {
        format!(r#"{{"path": "weights/{path}", "bytes": {bytes}, "digest": {{"sha256": "{}"}}}}"#, of(path))
    };
    let files = [("model.safetensors", 14_685_184), ("model.q8_0.gguf", 3_964_928)].map(file).join(", ");
    let members = format!(r#", "keyId": "assize+7c1f2e90", "files": [{files}]"#);
    let subjects = ["model.safetensors", "model.pruned.safetensors", "model.q8_0.gguf", "tokenizer.json"];
    log.add(Predicate::Seal, "release", "2026-11-23T09:14:09Z", &subjects, &members);
}

fn plan(log: &mut Log, known: &mut Envelopes) {
    let quantity = |name: &str, unit: &str, value: &str, lower: &str, upper: &str| {
        format!(r#"{{"name": "{name}", "unit": "{unit}", "value": "{value}", "lower": "{lower}", "upper": "{upper}"}}"#)
    };
    let quantities = [
        quantity("plan.compute", "FLOP", "1621872345088", "1621872345088", "1621872345088"),
        quantity("plan.time", "s", "151.2", "98.3", "242"),
        quantity("plan.memory", "byte", "612000000", "490000000", "734000000"),
        quantity("plan.energy", "kWh", "0.00182", "0.00098", "0.00291"),
        quantity("plan.carbon", "gCO2e", "0.693", "0.31", "1.28"),
    ];
    let threshold = |rule: &str, pack: &str, fact: &str, value: &str, crossed: &str| {
        format!(
            r#"{{"rule": "{rule}", "pack": "{pack}", "fact": "{fact}", "field": "upper", "operator": "<=", "value": "{value}", "unit": "FLOP", "crossed": "{crossed}"}}"#
        )
    };
    let thresholds = [
        threshold("eu.gpai.is-gpai", "eu-ai-act", "train.compute", "100000000000000000000000", "no"),
        threshold("eu.gpai.sysrisk", "eu-ai-act", "lineage.compute", "10000000000000000000000000", "no"),
        threshold("us.ca.sb53.frontier", "us-frontier", "lineage.compute", "100000000000000000000000000", "no"),
        r#"{"rule": "house.plan.budget", "pack": "house/rules", "fact": "train.time", "field": "value", "operator": "<=", "value": "240", "unit": "s", "crossed": "possible"}"#.to_owned(),
    ];
    let facts = [
        measurement(
            "plan.compute",
            "FLOP",
            "1621872345088",
            "inferred",
            "assize.toml",
            &interval("1621872345088", "1621872345088", "exact-count"),
        ),
        measurement(
            "plan.energy",
            "kWh",
            "0.00182",
            "inferred",
            "assize.toml",
            &interval("0.00098", "0.00291", "power-model"),
        ),
    ];
    let members = format!(
        r#", "system": {SYSTEM}, "seed": 7, "case": "[system]\nname = \"speech-writer\"", "config": {{"architecture": "llama", "layers": 4, "width": 256, "heads": 8, "kvHeads": 4, "optimizer": {{"name": "adamw", "learningRate": "0.0003", "weightDecay": "0.1"}}}}, "quantities": [{}], "thresholds": [{}], "measurements": [{}], "dataDigests": [{{"sha256": "{}"}}]"#,
        quantities.join(", "),
        thresholds.join(", "),
        facts.join(", "),
        of("corpus")
    );
    let plan = log.add(Predicate::Plan, "plan", "2026-11-23T09:00:07Z", &["assize.toml"], &members);
    known.extend(["plan.compute", "plan.energy"].map(|fact| (fact, plan)));
}

fn budgets(energy_cap: &str, used: [&str; 4]) -> String {
    let budget = |name: &str, unit: &str, cap: &str, used: &str| {
        format!(r#"{{"name": "{name}", "unit": "{unit}", "cap": "{cap}", "used": "{used}"}}"#)
    };
    [
        budget("compute", "FLOP", "2000000000000", used[0]),
        budget("time", "s", "240", used[1]),
        budget("energy", "kWh", energy_cap, used[2]),
        budget("carbon", "gCO2e", "2", used[3]),
    ]
    .join(", ")
}

fn training(log: &mut Log, known: &mut Envelopes) {
    let spent = budgets("0.0015", ["1297497875840", "101.8", "0.001499", "0.571"]);
    log.add(Predicate::Stop, "train", "2026-11-23T09:01:50Z", &["assize.toml"], &format!(
        r#", "reason": "the next step would cross the energy budget of 0.0015 kWh", "budget": [{spent}], "snapshot": {{"step": 320, "digest": {{"sha256": "{}"}}}}"#, of("snapshot-320")));
    log.add(
        Predicate::Resume,
        "train",
        "2026-11-23T09:03:31Z",
        &["assize.toml"],
        &format!(
            r#", "reason": "budget-raised", "budgetBefore": [{spent}], "budgetAfter": [{}]"#,
            budgets("0.003", ["1297497875840", "101.8", "0.001499", "0.571"])
        ),
    );
    let model = "model.safetensors";
    let facts = [
        measurement(
            "train.compute",
            "FLOP",
            "1621872345088",
            "measured",
            model,
            &format!(
                r#"{}, "convention": "one multiply-add is two FLOP; backward is twice forward""#,
                interval("1621872345088", "1621872345088", "exact-count")
            ),
        ),
        measurement("train.tokens", "1", "409600", "measured", model, ""),
        measurement("train.steps", "1", "400", "measured", model, ""),
        measurement("train.loss", "nat/token", "3.93110274", "measured", model, ""),
        measurement("train.time", "s", "128.41", "measured", model, ""),
        measurement("train.memory_peak", "byte", "598122496", "measured", model, ""),
        measurement(
            "train.energy",
            "kWh",
            "0.00187",
            "inferred",
            model,
            &interval("0.00112", "0.00263", "power-model"),
        ),
        measurement("train.carbon", "gCO2e", "0.712", "inferred", model, &interval("0.427", "1.01", "power-model")),
        measurement(
            "lineage.compute",
            "FLOP",
            "1621872345088",
            "measured",
            model,
            &interval("1621872345088", "1621872345088", "exact-count"),
        ),
        measurement("model.parameters", "1", "3671296", "measured", model, ""),
        measurement("budget.share_used", "1", "0.810936172544", "measured", model, ""),
        measurement("record.gaps", "1", "1", "measured", model, ""),
    ];
    let members = format!(
        r#", "curve": [{}], "budget": [{}], "weights": {{"sha256": "{}"}}, "config": {{"steps": 400, "batch": 8, "context": 128, "clip": "1"}}, "measurements": [{}]{}"#,
        curve(),
        budgets("0.003", ["1621872345088", "128.41", "0.00263", "1.01"]),
        of(model),
        facts.join(", "),
        derived(&[("trained-on", "corpus"), ("tokenized-by", "tokenizer.json")])
    );
    let entry = log.add(Predicate::TrainingRun, "train", "2026-11-23T09:05:11Z", &[model, "tokenizer.json"], &members);
    known.extend(["train.compute", "lineage.compute", "record.gaps"].map(|fact| (fact, entry)));
}

/// Before or after of a compression.
fn side(loss: &str, bytes: u32, zeros: &str) -> String {
    format!(
        r#"{{"heldOutLoss": {{"value": "{loss}", "unit": "nat/token"}}, "fileSize": {{"value": {bytes}, "unit": "byte"}}, "sparsity": "{zeros}"}}"#
    )
}

fn held_out_and_compressed(log: &mut Log, known: &mut Envelopes) {
    let suite = |log: &mut Log, at: &str, subject: &str, facts: String| {
        log.add(
            Predicate::Evaluation,
            "evaluate",
            at,
            &[subject],
            &format!(r#", "suite": "held-out", "measurements": [{facts}]"#),
        )
    };
    let base = held_out(
        "model.safetensors",
        ["4.2183927", "4.11803381", "4.31902517"],
        ["67.924175", "61.4384961", "75.1153404"],
        ["0.247", "0.231", "0.264"],
        5170,
    );
    let held = suite(log, "2026-11-23T09:06:40Z", "model.safetensors", base);
    known.push(("heldout.loss", held));
    let prune = format!(
        r#", "operation": "prune", "parameters": {{"method": "magnitude", "sparsity": "0.3"}}, "before": {}, "after": {}, "measurements": [{}, {}]{}"#,
        side("4.2183927", 14685184, "0"),
        side("4.2646102", 14685184, "0.3"),
        measurement(
            "prune.loss_change",
            "nat/token",
            "0.0462175",
            "measured",
            "model.pruned.safetensors",
            &bootstrap("0.0313", "0.0612", 7)
        ),
        measurement(
            "prune.sparsity",
            "1",
            "0.3",
            "measured",
            "model.pruned.safetensors",
            r#", "k": 943718, "n": 3145728"#
        ),
        derived(&[("pruned", "model.safetensors")])
    );
    let prune =
        log.add(Predicate::Compression, "compress", "2026-11-23T09:08:02Z", &["model.pruned.safetensors"], &prune);
    let pruned = held_out(
        "model.pruned.safetensors",
        ["4.2646102", "4.16194", "4.36728"],
        ["71.1373", "64.1959", "78.8291"],
        ["0.243", "0.227", "0.26"],
        5086,
    );
    suite(log, "2026-11-23T09:09:15Z", "model.pruned.safetensors", pruned);
    let quantize = format!(
        r#", "operation": "quantize", "parameters": {{"format": "q8_0"}}, "before": {}, "after": {}, "measurements": [{}, {}]{}"#,
        side("4.2646102", 14685184, "0.3"),
        side("4.2650127", 3964928, "0.3"),
        measurement(
            "quantize.loss_change",
            "nat/token",
            "0.0004025",
            "measured",
            "model.q8_0.gguf",
            &bootstrap("0.00011", "0.00074", 7)
        ),
        measurement("quantize.bytes_ratio", "1", "0.27", "measured", "model.q8_0.gguf", ""),
        derived(&[("quantized", "model.pruned.safetensors")])
    );
    let quantize = log.add(Predicate::Compression, "compress", "2026-11-23T09:10:20Z", &["model.q8_0.gguf"], &quantize);
    let quantized = held_out(
        "model.q8_0.gguf",
        ["4.2650127", "4.16231", "4.36771"],
        ["71.1659", "64.2197", "78.863"],
        ["0.243", "0.227", "0.26"],
        5085,
    );
    suite(log, "2026-11-23T09:11:30Z", "model.q8_0.gguf", quantized);
    known.extend([("prune.loss_change", prune), ("quantize.loss_change", quantize)]);
}

fn folds(log: &mut Log, known: &mut Envelopes) {
    let folds = r#"{"fold": 0, "nDocuments": 21, "nTokens": 63718, "loss": "5.0911"}, {"fold": 1, "nDocuments": 21, "nTokens": 62204, "loss": "4.9386"}, {"fold": 2, "nDocuments": 20, "nTokens": 64289, "loss": "5.0203"}"#;
    let facts = [
        measurement("kfold.folds", "1", "3", "measured", "corpus", ""),
        measurement(
            "kfold.loss",
            "nat/token",
            "5.01666667",
            "measured",
            "corpus",
            &format!(r#"{}, "level": "0.95", "n": 3"#, interval("4.71691956", "5.31641377", "corrected-resampled-t")),
        ),
        measurement("kfold.loss_spread", "nat/token", "0.0764", "measured", "corpus", ""),
        measurement("kfold.compute", "FLOP", "811204511232", "measured", "corpus", ""),
    ];
    let kfold = log.add(
        Predicate::Evaluation,
        "evaluate",
        "2026-11-23T09:12:50Z",
        &["corpus"],
        &format!(r#", "suite": "k-fold", "folds": [{folds}], "measurements": [{}]"#, facts.join(", ")),
    );
    known.extend([("kfold.loss_spread", kfold), ("kfold.folds", kfold)]);
}
