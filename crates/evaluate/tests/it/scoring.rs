use crate::{finished, fixture, tiny};
use evaluate::{Config, Outcome, Pass, Progress, first_choice, nll_nats, passes, score};
use evidence::Control;
use model::Llama;
use serde_json::Value;

fn referee() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("scores.json")).unwrap()).unwrap()
}

fn documents(referee: &Value) -> Vec<Vec<u32>> {
    let tokens = |document: &Value| document.as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as u32).collect();
    referee["documents"].as_array().unwrap().iter().map(tokens).collect()
}

/// Expected: `tests/fixtures/referee.py`, which scores in f64, token by token. Tolerance: 2e-6 of a document's nll, for
/// logits of magnitude 10 in f32 have errors of about 1e-6 and those of a document partly cancel.
#[test]
fn scores_are_those_of_an_independent_decoder() {
    let referee = referee();
    let documents = documents(&referee);
    for context in [12, 7, 1] {
        let scores = finished(&tiny(), &documents, &Config { context, batch: 3, separator: 0 });
        let expected = referee["scores"][context.to_string()].as_array().unwrap();
        assert_eq!(scores.len(), expected.len());
        for (score, expected) in scores.iter().zip(expected) {
            assert_eq!(score.n_tokens, expected["n_tokens"].as_u64().unwrap());
            assert_eq!(score.n_correct, expected["n_correct"].as_u64().unwrap());
            let nll = expected["nll_nats"].as_f64().unwrap();
            assert!((score.nll_nats - nll).abs() <= 2e-6 * nll, "context {context}: expected {nll}, found {score:?}");
        }
    }
}

/// Expected: NumPy on the same f32 logits, by the same program. Tolerance: sums of 50 terms in f64 in another order.
#[test]
fn log_softmax_is_that_of_numpy() {
    for row in referee()["rows"].as_array().unwrap() {
        let bits = row["logits_bits"].as_array().unwrap();
        let logits: Vec<f32> = bits.iter().map(|bits| f32::from_bits(bits.as_u64().unwrap() as u32)).collect();
        let expected = row["nll_nats"].as_f64().unwrap();
        let found = nll_nats(&logits, row["token"].as_u64().unwrap() as usize);
        assert!((found - expected).abs() <= 1e-14 * (1.0 + expected), "expected {expected}, found {found}");
        assert_eq!(first_choice(&logits) as u64, row["first"].as_u64().unwrap());
    }
}

/// By hand, for context 4 and batch 2: of 9, 2 and 4 tokens, 3 + 0 + 1 windows are full and 1 is short.
#[test]
fn passes_are_foretold_and_told() {
    let documents = [vec![1; 9], vec![2; 2], vec![3; 4]];
    let config = Config { context: 4, batch: 2, separator: 0 };
    let foretold = passes(&[9, 2, 4], &config);
    let pass = |batch, positions| Pass { batch, positions };
    assert_eq!(foretold, [pass(2, 4), pass(2, 4), pass(1, 2)]);

    let mut told = Vec::new();
    let outcome = score(&tiny(), &documents, &config, &mut |progress| {
        told.push(progress.clone());
        Control::Warn("go on".into())
    });
    let Outcome::Finished { scores, passes } = outcome.unwrap() else { panic!("nothing stopped it") };
    assert_eq!(scores.iter().map(|score| score.n_tokens).collect::<Vec<_>>(), [9, 2, 4]);
    assert_eq!(passes, foretold);
    let expected = |(n_done, &next): (usize, &Pass)| Progress { n_done, n_passes: 3, next };
    assert_eq!(told, foretold.iter().enumerate().map(expected).collect::<Vec<_>>());
}

#[test]
fn a_stop_comes_before_the_pass_it_was_asked_about() {
    let config = Config { context: 4, batch: 1, separator: 0 };
    let outcome = score(&tiny(), &[vec![1; 20]], &config, &mut |progress| match progress.n_done {
        2 => Control::Stop("the budget ends here".into()),
        _ => Control::Continue,
    });
    let passes = vec![Pass { batch: 1, positions: 4 }; 2];
    assert_eq!(outcome.unwrap(), Outcome::Stopped { reason: "the budget ends here".into(), passes });
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let config = Config { context: 12, batch: 1, separator: 0 };
    for (documents, config, message) in [
        (vec![], config.clone(), "expected at least one document to score, found none"),
        (vec![vec![1], vec![]], config.clone(), "expected document 1 to hold tokens, found none"),
        (vec![vec![1, 23]], config.clone(), "expected tokens below 23, found 23 in document 0 at position 1"),
        (vec![vec![1]], Config { context: 0, ..config }, "expected a context from 1 to the model's 12, found 0"),
        (vec![vec![1]], Config { context: 13, ..config }, "expected a context from 1 to the model's 12, found 13"),
        (vec![vec![1]], Config { batch: 0, ..config }, "expected a batch of at least 1, found 0"),
        (vec![vec![1]], Config { separator: 99, ..config }, "expected a separator below 23, found 99"),
    ] {
        let error = score(&tiny(), &documents, &config, &mut |_| panic!("no pass is made")).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

/// A weight that is not a number shows in the first prediction that depends on it.
#[test]
fn weights_that_are_not_numbers_are_found() {
    let (config, mut tensors) = (tiny().config().clone(), tiny().tensors());
    let gain = tensors["model.norm.weight"].affine(f64::NAN, 0.0).unwrap();
    tensors.insert("model.norm.weight".into(), gain);
    let model = Llama::from_tensors(config, tensors).unwrap();
    let config = Config { context: 12, batch: 1, separator: 0 };
    let error = score(&model, &[vec![1, 2]], &config, &mut |_| Control::Continue).unwrap_err();
    assert_eq!(error.to_string(), "expected finite logits, found NaN in document 0 at position 0");
}
