//! A run as the loop records it: seventeen entries of a small model, with figures of the size that such a run has.
//!
//! The figures are made up, and consistent with one another where a reader would notice; no test depends on their truth.

use evidence::{Digest, Json, Predicate, Statement, Subject};
use report::Record;

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
        self.push(Statement { subjects, predicate_type: kind, predicate })
    }

    pub(crate) fn push(&mut self, statement: Statement) -> Digest {
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

/// One rule of the fixture.
struct Rule {
    pack: &'static str,
    id: &'static str,
    title: &'static str,
    cite: [&'static str; 5],
    verdict: &'static str,
    reason: &'static str,
    mode: &'static str,
    expression: &'static str,
    evidence: &'static [(&'static str, &'static str, &'static str)],
    remedy: &'static str,
}

/// What the gates decide on, in entry order of the facts: name, field as signed, provenance.
type Envelopes = Vec<(&'static str, Digest)>;

fn rules() -> Vec<Rule> {
    const EU: &str = "Regulation (EU) 2024/1689, consolidated 2026-07-27";
    const CN: &str = "TC260-003 (2024-02-29); GB/T 45654-2025";
    const SB53: &str = "California SB 53, Business and Professions Code 22757.10";
    const HOUSE: &str = "House rules of the speech desk, edition 3";
    let rule = |pack, id, title, cite, verdict, reason, mode, expression, evidence, remedy| Rule {
        pack, id, title, cite, verdict, reason, mode, expression, evidence, remedy,
    };
    vec![
        rule("house/rules", "house.data.licensed", "Every training file has a declared licence",
            [HOUSE, "rule 1", "no file without a licence enters training", "yes", ""], "pass",
            "holds: data.licence_declared.k = 62 meets == 62", "enforce", "data.licence_declared.k == data.licence_declared.n",
            &[("data.licence_declared", r#"{"k": 62, "n": 62}"#, "measured")], "Declare a licence for each file, or leave the file out."),
        rule("house/rules", "house.data.no-leak", "Held-out documents are not in the training part",
            [HOUSE, "rule 2", "nothing is tested on what it was trained on", "yes", ""], "pass",
            "holds: data.held_out_leak.value = 0 meets <= 0", "enforce", "data.held_out_leak.value <= 0.0",
            &[("data.held_out_leak", r#"{"value": "0"}"#, "measured")], "Split again by document."),
        rule("house/rules", "house.plan.budget", "The predicted cost stands within the budget",
            [HOUSE, "rule 3", "no run starts that the plan says cannot be paid for", "yes", ""], "pass",
            "holds: plan.energy.upper = 0.00291 meets <= 0.05", "enforce", "plan.energy.upper <= 0.05",
            &[("plan.energy", r#"{"upper": "0.00291"}"#, "inferred")], "Plan fewer tokens or a narrower model."),
        rule("house/rules", "house.compress.quality", "Compression costs at most 0.05 nat a token",
            [HOUSE, "rule 5", "a smaller file is not worth a worse model", "yes", ""], "pass",
            "holds: quantize.loss_change.upper = 0.00074 meets <= 0.05", "enforce", "quantize.loss_change.upper <= 0.05",
            &[("quantize.loss_change", r#"{"upper": "0.00074"}"#, "measured")], "Keep the larger file, or quantise fewer tensors."),
        rule("house/rules", "house.compress.prune", "Pruning costs at most 0.05 nat a token",
            [HOUSE, "rule 5", "a smaller file is not worth a worse model", "yes", ""], "insufficient-evidence",
            "between-bounds: prune.loss_change.upper = 0.0612 misses <= 0.05, and prune.loss_change.lower = 0.0313 misses > 0.05", "report",
            "prune.loss_change.upper <= 0.05", &[("prune.loss_change", r#"{"lower": "0.0313", "upper": "0.0612"}"#, "measured")],
            "Prune less, or hold out more documents to narrow the interval."),
        rule("house/rules", "house.evaluate.folds", "The result does not hang on one split",
            [HOUSE, "rule 6", "folds agree to within a tenth of a nat", "yes", ""], "pass",
            "holds: kfold.loss_spread.value = 0.0764 meets <= 0.1", "enforce", "kfold.loss_spread.value <= 0.1",
            &[("kfold.loss_spread", r#"{"value": "0.0764"}"#, "measured"), ("kfold.folds", r#"{"value": 3}"#, "measured")],
            "Use more documents a fold."),
        rule("eu-ai-act", "eu.gpai.is-gpai", "Below the indicative compute of a general-purpose model",
            ["Guidelines on GPAI obligations, C(2025) 5045", "para 17; Art. 3(63)", "indicative criterion: training compute above 1e23 FLOP and generates language", "yes", "up to 3 % of turnover or EUR 15 000 000, Art. 101"],
            "pass", "holds: train.compute.upper = 1621872345088 meets <= 100000000000000000000000", "enforce", "train.compute.upper <= 1e23",
            &[("train.compute", r#"{"upper": "1621872345088"}"#, "measured")], "Keep the documentation of Annex XI and XII."),
        rule("eu-ai-act", "eu.gpai.sysrisk", "Below the presumption of systemic risk",
            [EU, "Art. 51(2)", "high-impact capabilities are presumed above 1e25 FLOP of cumulative training compute", "yes", "up to 3 % of turnover or EUR 15 000 000, Art. 101"],
            "pass", "holds: lineage.compute.upper = 1621872345088 meets <= 10000000000000000000000000", "enforce", "lineage.compute.upper <= 1e25",
            &[("lineage.compute", r#"{"upper": "1621872345088"}"#, "measured")], "Notify the Commission within two weeks, Art. 52(1)."),
        rule("eu-ai-act", "eu.gpai.53a.techdoc", "Technical documentation of the model is kept",
            [EU, "Art. 53(1)(a), Annex XI Section 1", "documentation, kept current, given to the AI Office on request", "yes", ""], "not-applicable",
            "does-not-apply: system.general_purpose is false", "enforce", "system.general_purpose", &[], "Fill the items of Annex XI."),
        rule("eu-ai-act", "eu.gpai.53c.copyright", "A policy to comply with copyright law exists",
            [EU, "Art. 53(1)(c)", "identify and respect reservations of rights by state-of-the-art technologies", "yes", ""], "not-applicable",
            "does-not-apply: system.general_purpose is false", "enforce", "system.general_purpose", &[], "Write and publish the policy."),
        rule("eu-ai-act", "eu.art50.1.interaction", "People are told that they talk to a machine",
            [EU, "Art. 50(1)", "informed at the latest at the first interaction, clearly", "yes", "up to 3 % of turnover or EUR 15 000 000, Art. 99(4)"],
            "awaiting-person", "no-answer: nobody has answered for doc_interaction_notice", "report", "", &[],
            "The product owner answers, with the notice attached."),
        rule("eu-ai-act", "eu.art50.2.marking", "Generated text is marked in a machine-readable way",
            [EU, "Art. 50(2), 111(4)", "synthetic text marked, detectable, as far as technically feasible", "yes", "up to 3 % of turnover or EUR 15 000 000, Art. 99(4)"],
            "insufficient-evidence", "evidence-missing: no measurement of marking_rate", "report", "", &[],
            "Run `assize evaluate` with the suite for marks."),
        rule("eu-ai-act", "eu.art9.8.thresholds", "Tests are held against metrics defined before",
            [EU, "Art. 9(8)", "testing against prior defined metrics and probabilistic thresholds", "yes", ""], "not-in-force",
            "not-yet: in force from 2027-12-02 for systems of Annex III", "enforce", "",
            &[("heldout.loss", r#"{"upper": "4.31902517"}"#, "measured")], "Sign the plan before the run."),
        rule("eu-ai-act", "eu.art10.2.governance", "Origin and preparation of the data are recorded",
            [EU, "Art. 10(2)(a) to (h)", "design choices, origin, preparation, assumptions, suitability, bias, gaps", "yes", ""], "not-in-force",
            "not-yet: in force from 2027-12-02 for systems of Annex III", "enforce", "",
            &[("data.source_declared", r#"{"k": 62, "n": 62}"#, "measured")], "Declare the source of each file."),
        rule("eu-ai-act", "eu.art12.1.logs", "Events are recorded by themselves over the lifetime",
            [EU, "Art. 12(1)", "automatic recording of events", "yes", ""], "not-in-force",
            "not-yet: in force from 2027-12-02 for systems of Annex III", "enforce", "",
            &[("record.gaps", r#"{"value": 1}"#, "measured")], "Run under supervision."),
        rule("cn-genai", "cn.eval.refuse95", "Questions that must be refused are refused",
            [CN, "8.4; refusal rate on the bank", "a bank of at least 500 over 17 risks, at least 20 each; at least 95 in 100 refused", "part", "suspension of the service, Interim Measures Art. 21"],
            "insufficient-evidence", "evidence-missing: no measurement of refusal_bank for this model", "report", "",
            &[], "Train on the failing categories, then ask the whole bank again."),
        rule("cn-genai", "cn.corpus.manual", "A manual sample of the corpus is clean",
            [CN, "8.2", "at least 4000 items at random, at least 96 in 100 acceptable", "part", ""],
            "insufficient-evidence", "evidence-missing: no measurement of corpus_sample.manual", "report", "", &[],
            "Have at least 4000 items read by people."),
        rule("cn-genai", "cn.label.visible", "Generated text carries a visible label",
            ["Labelling Measures 2025; GB 45438-2025", "Art. 4", "a label at the start, the end or a proper place", "yes", ""],
            "fail", "answered-no: the operator of 2026-11-20 answers that no label is shown", "report", "visible_label.value == true",
            &[("doc_label", r#"{"value": false}"#, "declared")], "Turn the label template on."),
        rule("us-frontier", "us.ca.sb53.frontier", "Below the compute of a frontier model",
            [SB53, "22757.11(i)", "a foundation model trained with more than 1e26 operations", "yes", "civil penalty of up to USD 1 000 000"],
            "pass", "holds: lineage.compute.upper = 1621872345088 meets <= 100000000000000000000000000", "report", "lineage.compute.upper <= 1e26",
            &[("lineage.compute", r#"{"upper": "1621872345088"}"#, "measured")], "Publish a frontier AI framework."),
        rule("us-frontier", "us.ny.raise.frontier", "Below the compute of the New York act",
            ["New York RAISE Act, chapter 96 of 2026", "section 1420(6)", "more than 1e26 operations", "part", ""], "not-in-force",
            "not-yet: in force from 2027-01-01", "report", "", &[("lineage.compute", r#"{"upper": "1621872345088"}"#, "measured")],
            "Publish a safety protocol."),
        rule("kr-ai-basic", "kr.art32.compute", "Below the compute of lifecycle risk duties",
            ["AI Basic Act", "Art. 32; Decree Art. 24", "cumulative training compute of 1e26 FLOP or more", "no", ""], "not-applicable",
            "does-not-apply: \"KR\" in system.jurisdictions is false", "report", "\"KR\" in system.jurisdictions", &[],
            "Report to the ministry."),
    ]
}

fn text(text: &str) -> String {
    Json::from(text).canonical()
}

fn verdict(rule: &Rule, envelopes: &Envelopes) -> String {
    let [instrument, locator, says, confirmed, sanction] = rule.cite.map(text);
    let source = |fact: &str| envelopes.iter().rev().find(|(name, _)| *name == fact).map_or(of("none"), |(_, at)| *at);
    let evidence: Vec<String> = rule.evidence.iter().map(|(fact, values, provenance)| {
        format!(r#"{{"fact": "{fact}", "source": {{"sha256": "{}"}}, "provenance": "{provenance}", "values": {values}}}"#, source(fact))
    }).collect();
    let mut members = vec![
        format!(r#""rule": "{}", "pack": "{}", "version": "1.0.0", "title": {}"#, rule.id, rule.pack, text(rule.title)),
        format!(r#""card": {{"sha256": "{}"}}, "severity": "high", "owner": "release", "confirmed": {confirmed}"#, of(rule.id)),
        format!(r#""verdict": "{}", "reason": {}, "mode": "{}", "remedy": {}"#, rule.verdict, text(rule.reason), rule.mode, text(rule.remedy)),
        format!(r#""evidence": [{}]"#, evidence.join(", ")),
    ];
    let sanction = if rule.cite[4].is_empty() { String::new() } else { format!(r#", "sanction": {sanction}"#) };
    let house = if rule.id == "cn.eval.refuse95" { r#", "house": "we ask the bound of the rate, not the rate of the sample""# } else { "" };
    members.push(format!(r#""cite": [{{"instrument": {instrument}, "locator": {locator}, "says": {says}, "confirmed": {confirmed}{sanction}{house}}}]"#));
    if !rule.expression.is_empty() {
        let value = matches!(rule.verdict, "pass");
        members.push(format!(r#""decidedBy": {{"condition": "pass_when", "expression": {}, "value": "{value}"}}"#, text(rule.expression)));
    }
    if rule.verdict == "not-in-force" {
        members.push(r#""wouldBe": {"verdict": "pass", "reason": "holds: the conditions are met on this evidence"}"#.into());
    }
    if rule.reason.starts_with("evidence-missing") {
        members.push(r#""unmet": [{"fact": "refusal_bank", "code": "evidence-missing", "sentence": "a measurement of at least 500 questions, at most 31 days old, is needed"}]"#.into());
    }
    if rule.cite[3] != "yes" {
        members.push(r#""modeReason": "unconfirmed""#.into());
    }
    format!("{{{}}}", members.join(", "))
}

fn decision(rules: &[&Rule], effect: &str, policy: Digest, envelopes: &Envelopes) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for rule in rules {
        *counts.entry(rule.verdict).or_insert(0_u32) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(name, n)| format!(r#""{name}": {n}"#)).collect();
    let verdicts: Vec<String> = rules.iter().map(|rule| verdict(rule, envelopes)).collect();
    let sources: Vec<String> = envelopes.iter().map(|(_, at)| format!(r#"{{"sha256": "{at}"}}"#)).collect();
    format!(
        r#", "as_of": "2026-11-23", "effect": "{effect}", "counts": {{{}}}, "policy": {{"sha256": "{policy}"}}, "evidence": [{}], "system": {SYSTEM}, "verdicts": [{}]"#,
        counts.join(", "), sources.join(", "), verdicts.join(", ")
    )
}

const SYSTEM: &str = r#"{"name": "speech-writer", "role": "provider", "jurisdictions": ["EU", "CN", "US-CA"],
    "purpose": "continues speeches in the manner of inaugural addresses", "audience": "public", "on_market": "2027-01-15",
    "general_purpose": false, "modalities": ["text"]}"#;

/// A measurement as JSON text: metric, unit, value, then further members.
pub(crate) fn measurement(metric: &str, unit: &str, value: &str, provenance: &str, subject: &str, more: &str) -> String {
    format!(
        r#"{{"metric": "{metric}", "unit": "{unit}", "value": "{value}", "provenance": "{provenance}", "subject": {{"name": "{subject}", "digest": {{"sha256": "{}"}}}},
        "method": "as the catalogue says", "instrument": "assize 0.1.0", "inputs": [{{"sha256": "{}"}}], "at": "2026-11-23T09:14:07Z"{more}}}"#,
        of(subject), of("corpus")
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
        measurement("heldout.perplexity", "1", perplexity[0], "measured", subject, &bootstrap(perplexity[1], perplexity[2], 7)),
        measurement("heldout.accuracy", "1", accuracy[0], "measured", subject, &format!(r#"{}, "k": {k}"#, bootstrap(accuracy[1], accuracy[2], 20931))),
    ]
    .join(", ")
}

fn derived(pairs: &[(&str, &str)]) -> String {
    let edges: Vec<String> =
        pairs.iter().map(|(action, parent)| format!(r#"{{"action": "{action}", "digest": {{"sha256": "{}"}}}}"#, of(parent))).collect();
    format!(r#", "derivedFrom": [{}]"#, edges.join(", "))
}

fn share(metric: &str, k: u32, n: u32, value: &str) -> String {
    measurement(metric, "1", value, "measured", "corpus", &format!(r#", "k": {k}, "n": {n}"#))
}

/// The points of the curve: a loss that falls quickly, then slowly, with the unevenness of small batches.
fn curve() -> String {
    let points: Vec<String> = (0..=100_u64)
        .map(|point| {
            let step = point * 4;
            let unevenness = ((point * 7919) % 97) as f64 / 97.0 - 0.5;
            let loss = 3.92 + 4.39 * (-(step as f64) / 70.0).exp() + 0.16 * unevenness * f64::from(u8::from(point > 0));
            let flop = step * 4_054_680_862 + u64::from(step == 400) * 288;
            format!(r#"{{"step": {step}, "loss": "{loss:.6}", "learningRate": "0.000{}", "computeFlop": "{flop}"}}"#, 300 - point)
        })
        .collect();
    points.join(", ")
}

fn files() -> String {
    let speeches = ["1789-Washington", "1801-Jefferson", "1861-Lincoln", "1865-Lincoln", "1933-Roosevelt", "1961-Kennedy", "1981-Reagan", "2009-Obama"];
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
    run(&rules(), "allow")
}

/// The same run, denied: the questions of the refusal bank are enforced.
pub(crate) fn denied() -> Vec<Record> {
    let mut rules = rules();
    for rule in &mut rules {
        if rule.id == "cn.label.visible" || rule.id == "house.compress.prune" {
            rule.mode = "enforce";
        }
    }
    run(&rules, "deny")
}

/// The same run under three times as many rules.
pub(crate) fn under_many_rules() -> Vec<Record> {
    let ids: Vec<String> = (0..3).flat_map(|round| rules().into_iter().map(move |rule| format!("{}.v{round}", rule.id))).collect();
    let many: Vec<Rule> = (0..3)
        .flat_map(|_| rules())
        .zip(ids)
        .map(|(rule, id)| Rule { id: Box::leak(id.into_boxed_str()), ..rule })
        .collect();
    run(&many, "allow")
}

fn run(rules: &[Rule], effect: &str) -> Vec<Record> {
    let mut log = Log::default();
    let mut known: Envelopes = Vec::new();
    let packs: Vec<String> = [("house/rules", "enforce"), ("eu-ai-act", "enforce"), ("cn-genai", "enforce"), ("us-frontier", "report"), ("kr-ai-basic", "report")]
        .iter()
        .map(|(name, mode)| format!(r#"{{"name": "{name}", "mode": "{mode}", "digest": {{"sha256": "{}"}}, "cards": [{{"path": "a.toml", "text": "schema = 1"}}]}}"#, of(name)))
        .collect();
    let policy = log.add(Predicate::Policy, "policy", "2026-11-23T09:00:00Z", &["packs"], &format!(r#", "packs": [{}]"#, packs.join(", ")));
    let gate = |log: &mut Log, known: &Envelopes, stage: &str, at: &str, ids: &[&str], effect: &str| {
        let some: Vec<&Rule> = rules.iter().filter(|rule| ids.is_empty() || ids.contains(&rule.id)).collect();
        log.add(Predicate::Decision, stage, at, &["corpus"], &decision(&some, effect, policy, known))
    };

    let declarations = format!(
        r#", "declarations": [{{"fact": "doc_label", "subject": {{"name": "speech-writer", "digest": {{"sha256": "{}"}}}}, "value": false, "unit": "1", "owner": "product owner", "provenance": "declared", "at": "2026-11-20T08:00:00Z", "expires": "2027-11-20"}}]"#,
        of("speech-writer"));
    known.push(("doc_label", log.add(Predicate::Declarations, "data", "2026-11-23T09:00:02Z", &["speech-writer"], &declarations)));

    let facts = [
        measurement("data.bytes", "byte", "823914", "measured", "corpus", ""),
        measurement("data.documents", "1", "62", "measured", "corpus", ""),
        measurement("data.tokens", "1", "190211", "measured", "corpus", ""),
        share("data.licence_declared", 62, 62, "1"), share("data.source_declared", 62, 62, "1"),
        share("data.exact_duplicates", 0, 62, "0"), share("data.held_out_leak", 0, 7, "0"),
    ];
    let data = format!(
        r#", "files": [{}], "split": {{"seed": 7, "trainDocuments": 55, "heldOutDocuments": 7}}, "measurements": [{}]"#,
        files(), facts.join(", "));
    let data = log.add(Predicate::DatasetAudit, "data", "2026-11-23T09:00:05Z", &["corpus"], &data);
    known.extend(["data.licence_declared", "data.source_declared", "data.held_out_leak"].map(|fact| (fact, data)));
    gate(&mut log, &known, "data", "2026-11-23T09:00:06Z", &["house.data.licensed", "house.data.no-leak"], "allow");
    plan(&mut log, &mut known);
    gate(&mut log, &known, "plan", "2026-11-23T09:00:08Z", &["house.plan.budget", "eu.gpai.sysrisk"], "allow");
    training(&mut log, &mut known);
    gate(&mut log, &known, "train", "2026-11-23T09:05:12Z", &["eu.gpai.sysrisk"], "allow");
    evaluations(&mut log, &mut known);
    gate(&mut log, &known, "compress", "2026-11-23T09:12:09Z", &["house.compress.quality", "house.compress.prune"], "allow");
    gate(&mut log, &known, "evaluate", "2026-11-23T09:13:00Z", &["house.evaluate.folds"], "allow");
    gate(&mut log, &known, "release", "2026-11-23T09:14:08.204519Z", &[], effect);
    let sealed = format!(
        r#", "keyId": "assize+7c1f2e90", "files": [{{"path": "weights/model.safetensors", "bytes": 14685184, "digest": {{"sha256": "{}"}}}}, {{"path": "weights/model.q8_0.gguf", "bytes": 3964928, "digest": {{"sha256": "{}"}}}}]"#,
        of("model.safetensors"), of("model.q8_0.gguf"));
    log.add(Predicate::Seal, "release", "2026-11-23T09:14:09Z", &["model.safetensors", "model.pruned.safetensors", "model.q8_0.gguf", "tokenizer.json"], &sealed);
    log.records
}

fn plan(log: &mut Log, known: &mut Envelopes) {
    let quantity = |name: &str, unit: &str, value: &str, lower: &str, upper: &str|
        format!(r#"{{"name": "{name}", "unit": "{unit}", "value": "{value}", "lower": "{lower}", "upper": "{upper}"}}"#);
    let quantities = [
        quantity("plan.compute", "FLOP", "1621872345088", "1621872345088", "1621872345088"),
        quantity("plan.time", "s", "151.2", "98.3", "242"),
        quantity("plan.memory", "byte", "612000000", "490000000", "734000000"),
        quantity("plan.energy", "kWh", "0.00182", "0.00098", "0.00291"),
        quantity("plan.carbon", "gCO2e", "0.693", "0.31", "1.28"),
    ];
    let threshold = |rule: &str, pack: &str, fact: &str, value: &str, crossed: &str|
        format!(r#"{{"rule": "{rule}", "pack": "{pack}", "fact": "{fact}", "field": "upper", "operator": "<=", "value": "{value}", "unit": "FLOP", "crossed": "{crossed}"}}"#);
    let thresholds = [
        threshold("eu.gpai.is-gpai", "eu-ai-act", "train.compute", "100000000000000000000000", "no"),
        threshold("eu.gpai.sysrisk", "eu-ai-act", "lineage.compute", "10000000000000000000000000", "no"),
        threshold("us.ca.sb53.frontier", "us-frontier", "lineage.compute", "100000000000000000000000000", "no"),
        r#"{"rule": "house.plan.budget", "pack": "house/rules", "fact": "train.time", "field": "value", "operator": "<=", "value": "240", "unit": "s", "crossed": "possible"}"#.to_owned(),
    ];
    let facts = [
        measurement("plan.compute", "FLOP", "1621872345088", "inferred", "assize.toml", &interval("1621872345088", "1621872345088", "exact-count")),
        measurement("plan.energy", "kWh", "0.00182", "inferred", "assize.toml", &interval("0.00098", "0.00291", "power-model")),
    ];
    let members = format!(
        r#", "system": {SYSTEM}, "seed": 7, "case": "[system]\nname = \"speech-writer\"", "config": {{"architecture": "llama", "layers": 4, "width": 256, "heads": 8, "kvHeads": 4, "optimizer": {{"name": "adamw", "learningRate": "0.0003", "weightDecay": "0.1"}}}}, "quantities": [{}], "thresholds": [{}], "measurements": [{}], "dataDigests": [{{"sha256": "{}"}}]"#,
        quantities.join(", "), thresholds.join(", "), facts.join(", "), of("corpus"));
    let plan = log.add(Predicate::Plan, "plan", "2026-11-23T09:00:07Z", &["assize.toml"], &members);
    known.extend(["plan.compute", "plan.energy"].map(|fact| (fact, plan)));
}

fn budgets(energy_cap: &str, used: [&str; 4]) -> String {
    let budget = |name: &str, unit: &str, cap: &str, used: &str| format!(r#"{{"name": "{name}", "unit": "{unit}", "cap": "{cap}", "used": "{used}"}}"#);
    [budget("compute", "FLOP", "2000000000000", used[0]), budget("time", "s", "240", used[1]), budget("energy", "kWh", energy_cap, used[2]), budget("carbon", "gCO2e", "2", used[3])].join(", ")
}

fn training(log: &mut Log, known: &mut Envelopes) {
    let spent = budgets("0.0015", ["1297497875840", "101.8", "0.001499", "0.571"]);
    log.add(Predicate::Stop, "train", "2026-11-23T09:01:50Z", &["assize.toml"], &format!(
        r#", "reason": "the next step would cross the energy budget of 0.0015 kWh", "budget": [{spent}], "snapshot": {{"step": 320, "digest": {{"sha256": "{}"}}}}"#, of("snapshot-320")));
    log.add(Predicate::Resume, "train", "2026-11-23T09:03:31Z", &["assize.toml"], &format!(
        r#", "reason": "budget-raised", "budgetBefore": [{spent}], "budgetAfter": [{}]"#, budgets("0.003", ["1297497875840", "101.8", "0.001499", "0.571"])));
    let model = "model.safetensors";
    let facts = [
        measurement("train.compute", "FLOP", "1621872345088", "measured", model, &format!(r#"{}, "convention": "one multiply-add is two FLOP; backward is twice forward""#, interval("1621872345088", "1621872345088", "exact-count"))),
        measurement("train.tokens", "1", "409600", "measured", model, ""), measurement("train.steps", "1", "400", "measured", model, ""),
        measurement("train.loss", "nat/token", "3.93110274", "measured", model, ""), measurement("train.time", "s", "128.41", "measured", model, ""),
        measurement("train.memory_peak", "byte", "598122496", "measured", model, ""),
        measurement("train.energy", "kWh", "0.00187", "inferred", model, &interval("0.00112", "0.00263", "power-model")),
        measurement("train.carbon", "gCO2e", "0.712", "inferred", model, &interval("0.427", "1.01", "power-model")),
        measurement("lineage.compute", "FLOP", "1621872345088", "measured", model, &interval("1621872345088", "1621872345088", "exact-count")),
        measurement("model.parameters", "1", "3671296", "measured", model, ""),
        measurement("budget.share_used", "1", "0.810936172544", "measured", model, ""),
        measurement("record.gaps", "1", "1", "measured", model, ""),
    ];
    let members = format!(
        r#", "curve": [{}], "budget": [{}], "weights": {{"sha256": "{}"}}, "config": {{"steps": 400, "batch": 8, "context": 128, "clip": "1"}}, "measurements": [{}]{}"#,
        curve(), budgets("0.003", ["1621872345088", "128.41", "0.00263", "1.01"]), of(model), facts.join(", "),
        derived(&[("trained-on", "corpus"), ("tokenized-by", "tokenizer.json")]));
    let entry = log.add(Predicate::TrainingRun, "train", "2026-11-23T09:05:11Z", &[model, "tokenizer.json"], &members);
    known.extend(["train.compute", "lineage.compute", "record.gaps"].map(|fact| (fact, entry)));
}

fn evaluations(log: &mut Log, known: &mut Envelopes) {
    let suite = |log: &mut Log, at: &str, subject: &str, facts: String| {
        log.add(Predicate::Evaluation, "evaluate", at, &[subject], &format!(r#", "suite": "held-out", "measurements": [{facts}]"#))
    };
    let side = |loss: &str, bytes: u32, zeros: &str| format!(r#"{{"heldOutLoss": {{"value": "{loss}", "unit": "nat/token"}}, "fileSize": {{"value": {bytes}, "unit": "byte"}}, "sparsity": "{zeros}"}}"#);
    let base = held_out("model.safetensors", ["4.2183927", "4.11803381", "4.31902517"], ["67.924175", "61.4384961", "75.1153404"], ["0.247", "0.231", "0.264"], 5170);
    let held = suite(log, "2026-11-23T09:06:40Z", "model.safetensors", base);
    known.push(("heldout.loss", held));
    let prune = format!(
        r#", "operation": "prune", "parameters": {{"method": "magnitude", "sparsity": "0.3"}}, "before": {}, "after": {}, "measurements": [{}, {}]{}"#,
        side("4.2183927", 14685184, "0"), side("4.2646102", 14685184, "0.3"),
        measurement("prune.loss_change", "nat/token", "0.0462175", "measured", "model.pruned.safetensors", &bootstrap("0.0313", "0.0612", 7)),
        measurement("prune.sparsity", "1", "0.3", "measured", "model.pruned.safetensors", r#", "k": 943718, "n": 3145728"#), derived(&[("pruned", "model.safetensors")]));
    let prune = log.add(Predicate::Compression, "compress", "2026-11-23T09:08:02Z", &["model.pruned.safetensors"], &prune);
    let pruned = held_out("model.pruned.safetensors", ["4.2646102", "4.16194", "4.36728"], ["71.1373", "64.1959", "78.8291"], ["0.243", "0.227", "0.26"], 5086);
    suite(log, "2026-11-23T09:09:15Z", "model.pruned.safetensors", pruned);
    let quantize = format!(
        r#", "operation": "quantize", "parameters": {{"format": "q8_0"}}, "before": {}, "after": {}, "measurements": [{}, {}]{}"#,
        side("4.2646102", 14685184, "0.3"), side("4.2650127", 3964928, "0.3"),
        measurement("quantize.loss_change", "nat/token", "0.0004025", "measured", "model.q8_0.gguf", &bootstrap("0.00011", "0.00074", 7)),
        measurement("quantize.bytes_ratio", "1", "0.27", "measured", "model.q8_0.gguf", ""), derived(&[("quantized", "model.pruned.safetensors")]));
    let quantize = log.add(Predicate::Compression, "compress", "2026-11-23T09:10:20Z", &["model.q8_0.gguf"], &quantize);
    let quantized = held_out("model.q8_0.gguf", ["4.2650127", "4.16231", "4.36771"], ["71.1659", "64.2197", "78.863"], ["0.243", "0.227", "0.26"], 5085);
    suite(log, "2026-11-23T09:11:30Z", "model.q8_0.gguf", quantized);
    let folds = r#"{"fold": 0, "nDocuments": 21, "nTokens": 63718, "loss": "5.0911"}, {"fold": 1, "nDocuments": 21, "nTokens": 62204, "loss": "4.9386"}, {"fold": 2, "nDocuments": 20, "nTokens": 64289, "loss": "5.0203"}"#;
    let facts = [
        measurement("kfold.folds", "1", "3", "measured", "corpus", ""),
        measurement("kfold.loss", "nat/token", "5.01666667", "measured", "corpus", &format!(r#"{}, "n": 62"#, interval("4.9386", "5.0911", "range-of-folds"))),
        measurement("kfold.loss_spread", "nat/token", "0.0764", "measured", "corpus", ""),
        measurement("kfold.compute", "FLOP", "811204511232", "measured", "corpus", ""),
    ];
    let kfold = log.add(Predicate::Evaluation, "evaluate", "2026-11-23T09:12:50Z", &["corpus"], &format!(r#", "suite": "k-fold", "folds": [{folds}], "measurements": [{}]"#, facts.join(", ")));
    known.extend([("prune.loss_change", prune), ("quantize.loss_change", quantize), ("kfold.loss_spread", kfold), ("kfold.folds", kfold)]);
}
