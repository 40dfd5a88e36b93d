//! Work that was killed goes on where it was: the same bits, and nothing asked twice.

use crate::task_invariance::{decoder, sequences};
use evaluate::tasks::{
    recall::{Answers, Owner, Recalling},
    scoring::{self, Decoder, Packing, Row, Scored, SequenceScore},
    tokens::SeamError,
};
use evidence::{Control, Digest};
use std::{cell::Cell, fs, io::Write as _, path::Path};

fn owner(model: &[u8]) -> Owner<'static> {
    Owner { program: "test 1", model: Digest::of(model), convention: "as the tests" }
}

/// Counts what a model is really asked.
struct Counting<'a> {
    decoder: &'a model::Decoder,
    n_targets: Cell<usize>,
    n_next: Cell<usize>,
}

impl<'a> Counting<'a> {
    fn new(decoder: &'a model::Decoder) -> Self {
        Self { decoder, n_targets: Cell::new(0), n_next: Cell::new(0) }
    }
}

impl Decoder for Counting<'_> {
    type Cache = model::Cache;

    fn vocab(&self) -> usize {
        self.decoder.vocab()
    }

    fn context(&self) -> usize {
        self.decoder.context()
    }

    fn cache(&self) -> model::Cache {
        self.decoder.cache()
    }

    fn log_probs(&self, rows: &mut [Row<'_, model::Cache>]) -> Result<Vec<Vec<Scored>>, SeamError> {
        self.n_targets.set(self.n_targets.get() + rows.iter().map(|row| row.targets.len()).sum::<usize>());
        Decoder::log_probs(self.decoder, rows)
    }

    fn next_tokens(&self, rows: &mut [Row<'_, model::Cache>]) -> Result<Vec<u32>, SeamError> {
        self.n_next.set(self.n_next.get() + rows.len());
        self.decoder.next_tokens(rows)
    }
}

fn bits(scores: &[SequenceScore]) -> Vec<(u64, bool)> {
    scores.iter().map(|score| (score.log_likelihood.to_bits(), score.is_greedy)).collect()
}

/// Scores under a file until the model has been called so often; the scores when it was not stopped, and the targets computed.
fn scored(decoder: &model::Decoder, path: &Path, n_calls: usize) -> (Option<Vec<(u64, bool)>>, usize) {
    let answers = Answers::open(path, &owner(b"one")).unwrap();
    let counting = Counting::new(decoder);
    let recalling = Recalling { decoder: &counting, answers: &answers };
    let mut n = 0;
    let found = scoring::score(&recalling, &sequences(), Packing { positions: 40, shares_prefixes: true }, &mut |_| {
        n += 1;
        if n > n_calls { Control::Stop("killed".to_owned()) } else { Control::Continue }
    });
    (found.ok().map(|(scores, _)| bits(&scores)), counting.n_targets.get())
}

#[test]
fn scores_that_were_stopped_go_on_to_the_same_bits() {
    let decoder = decoder();
    let packing = Packing { positions: 40, shares_prefixes: true };
    let (whole, work) = scoring::score(&decoder, &sequences(), packing, &mut |_| Control::Continue).unwrap();
    let (whole, folder) = (bits(&whole), tempfile::tempdir().unwrap());
    let never = scored(&decoder, &folder.path().join("never"), usize::MAX);
    assert_eq!(never.0.as_ref(), Some(&whole));
    assert!(work.n_calls > 6, "{}", work.n_calls);
    for n_calls in 1..work.n_calls {
        let path = folder.path().join(format!("after {n_calls}"));
        let (none, before) = scored(&decoder, &path, n_calls);
        assert_eq!(none, None);
        // A line that was torn: half of it lies at the end.
        let text = fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap();
        let torn = &last[..last.len() / 2];
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
        let (found, after) = scored(&decoder, &path, usize::MAX);
        assert!(found.as_ref() == Some(&whole), "after {n_calls} calls");
        assert_eq!(before + after, never.1, "after {n_calls} calls nothing is asked twice");
        let (found, again) = scored(&decoder, &path, usize::MAX);
        assert_eq!((found.as_ref(), again), (Some(&whole), 0));
    }
}

#[test]
fn answers_that_were_stopped_go_on_to_the_same_tokens() {
    let (decoder, folder) = (decoder(), tempfile::tempdir().unwrap());
    let text: String = ('a'..='z').collect();
    let words = model::Tokenizer::train(&[&text, &text], 300).unwrap();
    let prompt: Vec<u32> = (1..40).map(|at| (at * 7) % 290).collect();
    let path = folder.path().join("answers");
    let written = |n_calls: usize| {
        let answers = Answers::open(&path, &owner(b"one")).unwrap();
        let counting = Counting::new(&decoder);
        let recalling = Recalling { decoder: &counting, answers: &answers };
        let mut n = 0;
        let found = scoring::generate(&recalling, &words, &prompt, &[], 24, &mut |_| {
            n += 1;
            if n > n_calls { Control::Stop("killed".to_owned()) } else { Control::Continue }
        });
        (found.ok(), counting.n_next.get())
    };
    let plain = scoring::generate(&decoder, &words, &prompt, &[], 24, &mut |_| Control::Continue);
    let Ok(plain) = plain else { panic!("the tokens of this model are no text: choose another prompt") };
    assert_eq!(written(9), (None, 9));
    let (found, n) = written(usize::MAX);
    assert_eq!(found, Some(plain.clone()));
    let (again, none) = written(usize::MAX);
    assert_eq!((again, none), (Some(plain), 0));
    assert!(n <= 15, "{n}");
}

#[test]
fn a_file_belongs_to_one_model_and_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers");
    let open = |owner: &Owner<'_>| Answers::open(&path, owner);
    let one = open(&owner(b"one")).unwrap();
    assert_eq!(
        open(&owner(b"one")).unwrap_err().to_string(),
        format!("{} is in use by another process", path.display())
    );
    drop(one);
    let before = fs::read(&path).unwrap();
    let other = open(&owner(b"two")).unwrap_err().to_string();
    assert_eq!(
        other,
        format!(
            "{} holds the answers of another model, `{}`, and this one is `{}`; name another file, or remove it",
            path.display(),
            Digest::of(b"one"),
            Digest::of(b"two")
        )
    );
    let later = Owner { program: "test 2", ..owner(b"one") };
    assert!(open(&later).unwrap_err().to_string().contains("of another program, `test 1`"));
    assert_eq!(fs::read(&path).unwrap(), before);
    // The first line cut short is begun anew; what was never ours is left alone.
    fs::write(&path, &before[..20]).unwrap();
    assert_eq!(open(&owner(b"one")).unwrap().n_held(), 0);
    for foreign in ["weights", "weights\nand more\n", "{}\n"] {
        fs::write(&path, foreign).unwrap();
        assert!(open(&owner(b"one")).unwrap_err().to_string().contains("holds something else than answers"));
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
}

#[test]
fn a_damaged_line_is_asked_again() {
    let (decoder, folder) = (decoder(), tempfile::tempdir().unwrap());
    let path = folder.path().join("answers");
    let (whole, n) = scored(&decoder, &path, usize::MAX);
    let text = fs::read_to_string(&path).unwrap();
    let at = text.rfind(" s").unwrap() + 5;
    let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    fs::write(&path, format!("{}{digit}{}", &text[..at], &text[at + 1..])).unwrap();
    assert_eq!(Answers::open(&path, &owner(b"one")).unwrap().n_damaged(), 1);
    let (found, again) = scored(&decoder, &path, usize::MAX);
    assert!(found == whole && again > 0 && again < n, "{again} of {n}");
}
