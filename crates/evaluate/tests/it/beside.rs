//! What stands beside scores, on a model that is made up and known: two models, other forms, memory, planted secrets.

use crate::tasks::{Bytes, Folder, MadeUp, log_prob};
use evaluate::{
    memorisation::{self, Canary, ExtractConfig, MemoryError, Space},
    statistics::Bootstrap,
    tasks::{
        self, Catalog, Config, Report, bias,
        compare::{CompareError, compare},
        prompts::{PromptConfig, Request},
        robust::{self, Change},
    },
};
use evidence::Control;

const LETTERS: &str = "task: letters\ndataset_path: sets/letters\noutput_type: multiple_choice\ntest_split: test\nvalidation_split: dev\nfewshot_split: dev\n\
    fewshot_config: {sampler: first_n}\n\
    doc_to_text: \"Question: {{q}}\\nA. {{choices[0]}}\\nB. {{choices[1]}}\\nC. {{choices[2]}}\\nAnswer:\"\ndoc_to_choice: [\"A\", \"B\", \"C\"]\ndoc_to_target: answer\n\
    metric_list:\n  - {metric: acc, aggregation: mean}\n";

fn letters() -> Folder {
    let row = |at: usize| {
        format!(
            "{{\"q\": \"which word is number {at}\", \"choices\": [\"one\", \"two\", \"three\"], \"answer\": {}, \"kind\": \"k{}\"}}\n",
            at % 3,
            at % 2
        )
    };
    let rows: String = (0..24).map(row).collect();
    let dev: String = (100..103).map(row).collect();
    Folder::new(&[("letters.yaml", LETTERS), ("sets/letters/test.jsonl", &rows), ("sets/letters/dev.jsonl", &dev)])
}

fn prepared(folder: &Folder, config: &PromptConfig) -> tasks::Prepared {
    let selection = Catalog::open(&[folder.path().to_owned()]).unwrap().select(&["letters".to_owned()]).unwrap();
    tasks::prepare(&selection.tasks[0], Some(folder.path()), config).unwrap()
}

fn run(prepared: tasks::Prepared) -> Report {
    tasks::run(prepared, &MadeUp::default(), &Bytes, &Config::default(), &mut |_| Control::Continue).unwrap()
}

fn context(prepared: &tasks::Prepared, doc: usize) -> &str {
    match &prepared.docs[doc].requests[0] {
        Request::LogLikelihood { context, .. } => context,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_does_not_differ_from_itself_and_is_compared_on_the_same_items_only() {
    let folder = letters();
    let report = run(prepared(&folder, &PromptConfig::default()));
    for found in compare(&report, &report, &Bootstrap::new(1)).unwrap() {
        assert_eq!(
            (found.difference.mean, found.difference.bounds.lower, found.difference.bounds.upper),
            (0.0, 0.0, 0.0)
        );
        if let Some(test) = found.mcnemar {
            assert_eq!((test.only_first, test.only_second, test.p_exact), (0, 0, 1.0));
        }
    }
    let fewer = run(prepared(&folder, &PromptConfig { limit: Some(20), ..PromptConfig::default() }));
    let error = compare(&report, &fewer, &Bootstrap::new(1)).unwrap_err();
    assert_eq!(error, CompareError::Requests { task: "letters".to_owned() });
}

#[test]
fn forms_change_the_question_and_nothing_else() {
    let (folder, config) = (letters(), PromptConfig { num_fewshot: Some(2), ..PromptConfig::default() });
    let clean = prepared(&folder, &config);
    let forms = robust::forms(&clean, Some(folder.path()), &config, 5).unwrap();
    let names: Vec<String> = forms.iter().map(|form| form.change.name()).collect();
    assert_eq!(
        names,
        ["typos", "upper-case", "spaces", "order-1", "order-2", "paraphrase-1", "paraphrase-2", "paraphrase-3"],
        "nothing is in upper case, so lower case changes nothing but `Question`, which is form"
    );
    let (head, _) = context(&clean, 4).split_at(clean.docs[4].head);
    let of = |change: Change| &forms.iter().find(|form| form.change == change).unwrap().prepared;
    assert_eq!(
        context(of(Change::UpperCase), 4),
        format!("{head}Question: WHICH WORD IS NUMBER 4\nA. ONE\nB. TWO\nC. THREE\nAnswer:")
    );
    let turned = of(Change::Order(1));
    assert_eq!(
        context(turned, 4),
        format!("{head}Question: which word is number 4\nA. two\nB. three\nC. one\nAnswer:")
    );
    assert_eq!(turned.docs[4].gold, evaluate::tasks::prompts::Gold::Choices(vec![0]));
    assert!(context(of(Change::Paraphrase(1)), 4).ends_with("Q: which word is number 4\nA. one\nB. two\nC. three\nA:"));
    // The continuations are the same in every form.
    for form in &forms {
        for (new, old) in form.prepared.docs.iter().zip(&clean.docs) {
            let endings = |doc: &tasks::prompts::Doc| -> Vec<String> {
                let ending = |request: &Request| match request {
                    Request::LogLikelihood { continuation, .. } => continuation.clone(),
                    other => panic!("{other:?}"),
                };
                doc.requests.iter().map(ending).collect()
            };
            assert_eq!(endings(new), endings(old), "{}", form.change.name());
        }
    }
    let again = robust::forms(&clean, Some(folder.path()), &config, 5).unwrap();
    assert!(
        forms.iter().zip(&again).all(|(one, other)| one.prepared.docs[3].requests == other.prepared.docs[3].requests)
    );
}

#[test]
fn drops_and_consistency_are_those_found_by_hand() {
    let (folder, config) = (letters(), PromptConfig::default());
    let clean = prepared(&folder, &config);
    let report = run(clean.clone());
    let changed: Vec<(Change, usize, Report)> = robust::forms(&clean, Some(folder.path()), &config, 5)
        .unwrap()
        .into_iter()
        .map(|form| (form.change, form.n_changed, run(form.prepared)))
        .collect();
    let found = robust::robustness(&report, &changed, &Bootstrap::new(1)).unwrap().unwrap();
    let right = |report: &Report| -> Vec<bool> {
        let gold = |sample: &tasks::Sample| match &sample.doc.gold {
            tasks::prompts::Gold::Choices(gold) => gold[0],
            other => panic!("{other:?}"),
        };
        report.samples.iter().map(|sample| tasks::run::choice(sample) == Some(gold(sample))).collect()
    };
    let share = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as f64 / flags.len() as f64;
    let mut worst = right(&report);
    for ((change, n_changed, report), outcome) in changed.iter().zip(&found.outcomes) {
        let own = right(report);
        assert_eq!((outcome.form.as_str(), outcome.n_changed), (change.name().as_str(), *n_changed));
        assert!((outcome.changed - share(&own)).abs() < 1e-15);
        assert!((outcome.drop.mean - (share(&right(&run(clean.clone()))) - share(&own))).abs() < 1e-12);
        worst.iter_mut().zip(own).for_each(|(worst, own)| *worst &= own);
        let by = if let Change::Order(by) = change { *by } else { 0 };
        let alike: Vec<bool> = report
            .samples
            .iter()
            .zip(&found_choices(&clean))
            .map(|(sample, old)| (tasks::run::choice(sample).unwrap() + by) % 3 == *old)
            .collect();
        assert_eq!(outcome.consistency, Some(share(&alike)), "{}", outcome.form);
    }
    assert_eq!(found.worst_case, share(&worst));
}

fn found_choices(clean: &tasks::Prepared) -> Vec<usize> {
    run(clean.clone()).samples.iter().map(|sample| tasks::run::choice(sample).unwrap()).collect()
}

/// The model spells the alphabet from wherever a text ends, one token a byte.
#[test]
fn passages_that_the_model_writes_are_found() {
    let texts = ["abcdefghijklmnopqr", "abcdefghXjklmnopqr", "zzzzzzzzzzzzzzzzzz", "abc"].map(str::to_owned);
    let config = ExtractConfig { prompt_tokens: 4, continuation_tokens: 10, ..ExtractConfig::default() };
    let ask = |config: &ExtractConfig| {
        memorisation::extract(&MadeUp::default(), &Bytes, &texts, config, &mut |_| Control::Continue)
    };
    let found = ask(&config).unwrap();
    assert_eq!((found.passages.len(), found.n_short, found.n_exact, found.n_near), (3, 1, 1, 2));
    assert_eq!(found.passages[1].continuation.prefix_tokens, 4);
    // One token in ten differs: an edit similarity of 0.9.
    assert!((found.passages[1].continuation.similarity - 0.9).abs() < 1e-12);
    let tokens: Vec<u32> = texts[0].bytes().map(u32::from).collect();
    let by_hand: f64 = (4..14).map(|at| log_prob(&tokens[..at], tokens[at]).log_prob).sum();
    assert!((found.passages[0].log_likelihood - by_hand).abs() < 1e-9);
    let slow = ask(&ExtractConfig { positions: 1, ..config }).unwrap();
    assert_eq!(slow, found);
    let many = ask(&ExtractConfig { prompt_tokens: 2, continuation_tokens: 3, passages: 3, ..config }).unwrap();
    assert_eq!(
        many.passages.iter().filter(|passage| passage.text == 0).map(|passage| passage.start).collect::<Vec<_>>(),
        [0, 6, 13]
    );
    let error = ask(&ExtractConfig { prompt_tokens: 30, ..config }).unwrap_err();
    assert!(matches!(error, MemoryError::TooShort { texts: 4, needed: 40 }), "{error}");
    assert!(matches!(ask(&ExtractConfig { prompt_tokens: 60, ..config }), Err(MemoryError::Lengths { max: 64, .. })));
}

/// Exposure from ranks counted without the machinery.
#[test]
fn a_secret_is_as_exposed_as_its_rank() {
    let canary = Canary { format: "my code is {}.".to_owned(), secret: "37".to_owned(), space: Space::Digits(2) };
    let found = memorisation::exposure(&MadeUp::default(), &Bytes, std::slice::from_ref(&canary), 1000, 1, &mut |_| {
        Control::Continue
    })
    .unwrap();
    let score = |secret: &str| -> f64 {
        let mut tokens = vec![299];
        tokens.extend(format!("my code is {secret}.").bytes().map(u32::from));
        (1..tokens.len()).map(|at| log_prob(&tokens[..at], tokens[at]).log_prob).sum()
    };
    let own = score("37");
    let before = (0..100).filter(|number| *number != 37 && score(&format!("{number:02}")) >= own).count();
    assert_eq!((found[0].rank, found[0].n_compared, found[0].n_space), (before as u64 + 1, 100, 100));
    assert!((found[0].bits - (100.0 / (before as f64 + 1.0)).log2()).abs() < 1e-12);
}

/// Six sentences of two templates, in two or three forms each; the model's choices counted by hand.
#[test]
fn winogender_is_agreement_and_gap() {
    let ids = |template: &str| {
        ["male", "female", "neutral"]
            .map(|pronoun| format!("{template}.{}.{pronoun}.txt", u8::from(template.starts_with('n'))))
    };
    let mut rows = "sentid\tsentence\n".to_owned();
    for (at, id) in
        ["nurse.patient", "driver.guest", "clerk.buyer"].iter().flat_map(|template| ids(template)).enumerate()
    {
        let pronoun = ["he", "she", "they"][at % 3];
        rows.push_str(&format!("{id}\tOne told the other that {pronoun} could go.\n"));
    }
    let folder = Folder::new(&[("winogender/all_sentences.tsv", &rows)]);
    let report = folder.run("winogender_all", &Config::default()).unwrap();
    let choices: Vec<usize> = report.samples.iter().map(|sample| tasks::run::choice(sample).unwrap()).collect();
    let alike = choices.chunks(3).filter(|forms| forms.iter().all(|choice| *choice == forms[0])).count();
    let golds = [1, 0, 0];
    let gap: f64 = choices
        .chunks(3)
        .zip(golds)
        .map(|(forms, gold)| f64::from(u8::from(forms[0] == gold)) - f64::from(u8::from(forms[1] == gold)))
        .sum::<f64>()
        / 3.0;
    let found = bias::findings(&[report]).unwrap();
    let value = |name: &str| found.iter().find(|(known, _)| known == name).unwrap().1.value;
    assert!((value("winogender.agreement") - alike as f64 / 3.0).abs() < 1e-12);
    assert!((value("winogender.gap") - gap).abs() < 1e-12);
}
