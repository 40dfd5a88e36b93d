//! A model whose answers are written down as they come, so that work that was killed goes on where it was.
//!
//! An answer stands under the digest of every token read and of what was asked after them: it can answer nothing else, whatever
//! the tasks, their order or their number. The file belongs to one model, one convention and one version of the program, and to
//! one process at a time. What is remembered is not computed; where something new comes after it, its tokens are read first.

use super::{
    prefix_tree::Target,
    scoring::{Decoder, Row, Scored},
    tokens::SeamError,
};
use evidence::Digest;
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    rc::Rc,
};

/// Whose answers a file holds.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Name and version.
    pub program: &'a str,
    /// Of all files of the model, its tokenizer among them.
    pub model: Digest,
    pub convention: &'a str,
}

/// Why a file of answers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    #[error("{} cannot be read or written", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is in use by another process", .path.display())]
    Held { path: PathBuf },
    #[error("{} holds something else than answers and is left as it is; name a file that is not there yet", .path.display())]
    Foreign { path: PathBuf },
    #[error("{} holds the answers of another {what}, `{found}`, and this one is `{expected}`; name another file, or remove it", .path.display())]
    Other { path: PathBuf, what: &'static str, expected: String, found: String },
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Scored(Vec<Scored>),
    Next(u32),
}

/// A file of answers, open for more.
#[derive(Debug)]
pub struct Answers {
    file: File,
    held: RefCell<BTreeMap<Digest, Answer>>,
    n_damaged: usize,
    n_recalled: Cell<usize>,
}

/// Members of the first line, in their order.
const OWNER: [&str; 3] = ["program", "model", "convention"];

impl Answers {
    /// Opens a file, or begins one. A last line that was torn by a crash is taken off; a damaged one is passed over.
    ///
    /// # Errors
    /// `AnswersError`; the file is then as it was.
    pub fn open(path: &Path, owner: &Owner<'_>) -> Result<Self, AnswersError> {
        let failed = |source| AnswersError::File { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => AnswersError::Held { path: path.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let said = [owner.program.to_owned(), owner.model.to_string(), owner.convention.to_owned()];
        let members = OWNER.iter().zip(&said).map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
        let first = format!("{}\n", serde_json::Value::Object(members.collect()));
        let n_whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if n_whole == 0 {
            // Nothing, or the beginning of the first line: the process ended while it was written.
            if !first.as_bytes().starts_with(&bytes) {
                return Err(AnswersError::Foreign { path: path.to_owned() });
            }
            file.set_len(0).and_then(|()| file.write_all(first.as_bytes())).map_err(failed)?;
            bytes.clear();
        } else {
            check_owner(path, &bytes, &said)?;
            if n_whole < bytes.len() {
                file.set_len(n_whole as u64).map_err(failed)?;
                bytes.truncate(n_whole);
            }
        }
        let (mut held, mut n_damaged) = (BTreeMap::new(), 0);
        for line in bytes.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()) {
            match std::str::from_utf8(line).ok().and_then(parsed) {
                Some((key, answer)) => _ = held.insert(key, answer),
                None => n_damaged += 1,
            }
        }
        Ok(Self { file, held: RefCell::new(held), n_damaged, n_recalled: Cell::new(0) })
    }

    /// Answers that stand in the file.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.held.borrow().len()
    }

    /// Lines whose check did not hold; what they answered is asked again.
    #[must_use]
    pub const fn n_damaged(&self) -> usize {
        self.n_damaged
    }

    /// Questions that the file has answered since it was opened.
    #[must_use]
    pub fn n_recalled(&self) -> usize {
        self.n_recalled.get()
    }

    fn find(&self, key: &Digest) -> Option<Answer> {
        self.held.borrow().get(key).cloned()
    }

    /// Written at once, so that a killed process leaves whole lines and at most one torn one.
    fn add(&self, answers: Vec<(Digest, Answer)>) -> io::Result<()> {
        let lines: String = answers.iter().map(|(key, answer)| line(key, answer)).collect();
        (&self.file).write_all(lines.as_bytes())?;
        self.held.borrow_mut().extend(answers);
        Ok(())
    }
}

fn check_owner(path: &Path, bytes: &[u8], said: &[String; 3]) -> Result<(), AnswersError> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let read: Option<BTreeMap<String, String>> = serde_json::from_slice(line).ok();
    for (name, expected) in OWNER.into_iter().zip(said) {
        let Some(found) = read.as_ref().and_then(|members| members.get(name)) else {
            return Err(AnswersError::Foreign { path: path.to_owned() });
        };
        if found != expected {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(AnswersError::Other { path: path.to_owned(), what: name, expected, found });
        }
    }
    Ok(())
}

/// `KEY ANSWER CHECK`, where the check is the beginning of the digest of the rest.
fn line(key: &Digest, answer: &Answer) -> String {
    let answer = match answer {
        Answer::Next(token) => format!("n{token}"),
        Answer::Scored(scored) => scored.iter().fold("s".to_owned(), |text, scored| {
            text + &format!("{:016x}{}", scored.log_prob.to_bits(), if scored.is_first { '+' } else { '-' })
        }),
    };
    let body = format!("{key} {answer}");
    format!("{body} {}\n", check(&body))
}

fn check(body: &str) -> String {
    Digest::of(body.as_bytes()).to_string()[..8].to_owned()
}

fn parsed(line: &str) -> Option<(Digest, Answer)> {
    const DIGITS: usize = 16;
    let (body, found) = line.rsplit_once(' ')?;
    let (key, answer) = body.split_once(' ')?;
    if found != check(body) {
        return None;
    }
    let scored = |part: &[u8]| {
        let (digits, first) = part.split_at_checked(DIGITS)?;
        let log_prob = f64::from_bits(u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        let is_first = match first {
            b"+" => true,
            b"-" => false,
            _ => return None,
        };
        log_prob.is_finite().then_some(Scored { log_prob, is_first })
    };
    let answer = match answer.split_at_checked(1)? {
        ("n", token) => Answer::Next(token.parse().ok()?),
        ("s", all) => Answer::Scored(all.as_bytes().chunks(DIGITS + 1).map(scored).collect::<Option<_>>()?),
        _ => return None,
    };
    Some((key.parse().ok()?, answer))
}

/// A model that asks a file before it computes.
#[derive(Debug)]
pub struct Recalling<'a, D: Decoder> {
    pub decoder: &'a D,
    pub answers: &'a Answers,
}

/// What was read: its tokens, and the model's own cache once something new had to be read behind them.
#[derive(Debug)]
pub struct Recalled<C>(Rc<Beginning<C>>);

impl<C> Clone for Recalled<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// Has a cache, or something before it.
#[derive(Debug)]
struct Beginning<C> {
    /// From the first on.
    tokens: Vec<u32>,
    before: RefCell<Option<Rc<Beginning<C>>>>,
    cache: OnceCell<C>,
}

impl<C> Recalled<C> {
    fn read(tokens: Vec<u32>, cache: C) -> Self {
        Self(Rc::new(Beginning { tokens, before: RefCell::new(None), cache: OnceCell::from(cache) }))
    }

    /// Not read, but known to stand behind this one.
    fn grown(self, tokens: Vec<u32>) -> Self {
        // One that nobody else holds and that was not read is passed over, so that a long answer makes no long chain.
        let before = match Rc::try_unwrap(self.0) {
            Ok(own) if own.cache.get().is_none() => own.before.into_inner(),
            Ok(own) => Some(Rc::new(own)),
            Err(shared) => Some(shared),
        };
        Self(Rc::new(Beginning { tokens, before: RefCell::new(before), cache: OnceCell::new() }))
    }
}

#[derive(Debug, thiserror::Error)]
enum RecallError {
    #[error("expected {expected} answers, found {found}")]
    Count { expected: usize, found: usize },
    #[error("an answer of another kind than was asked for")]
    Kind,
    #[error("what was read has neither cache nor beginning")]
    Lost,
    #[error("the answers cannot be written down")]
    Write(#[source] io::Error),
}

fn failed(error: RecallError) -> SeamError {
    SeamError(Box::new(error))
}

/// All tokens from the first, and what is asked by its place among them; `None` for the choice after the last.
fn key(tokens: &[u32], n_before: usize, targets: Option<&[Target]>) -> Digest {
    let mut bytes: Vec<u8> = (tokens.len() as u64).to_le_bytes().to_vec();
    bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    match targets {
        None => bytes.push(b'n'),
        Some(targets) => {
            bytes.push(b's');
            for target in targets {
                bytes.extend(((n_before + target.position) as u64).to_le_bytes());
                bytes.extend(target.token.to_le_bytes());
            }
        }
    }
    Digest::of(&bytes)
}

/// A row that the file does not answer.
struct New<'a, C> {
    at: usize,
    key: Digest,
    all_tokens: Vec<u32>,
    tokens: &'a [u32],
    targets: &'a [Target],
    cache: C,
}

impl<C> New<'_, C> {
    fn row(&mut self) -> Row<'_, C> {
        Row { tokens: self.tokens, cache: &mut self.cache, targets: self.targets }
    }
}

impl<D: Decoder> Recalling<'_, D> {
    /// Reads what was not read yet, once for all that hold it.
    fn reach(&self, wanted: &Recalled<D::Cache>) -> Result<(), SeamError> {
        let (mut unread, mut at) = (Vec::new(), Rc::clone(&wanted.0));
        while at.cache.get().is_none() {
            let before = at.before.borrow().clone().ok_or_else(|| failed(RecallError::Lost))?;
            unread.push(std::mem::replace(&mut at, before));
        }
        for next in unread.into_iter().rev() {
            let mut cache = at.cache.get().cloned().ok_or_else(|| failed(RecallError::Lost))?;
            let tokens = &next.tokens[at.tokens.len()..];
            self.decoder.log_probs(&mut [Row { tokens, cache: &mut cache, targets: &[] }])?;
            next.cache.get_or_init(|| cache);
            next.before.take();
            at = next;
        }
        Ok(())
    }

    /// Answers each row from the file, or by `call` on those that are new, and writes these down.
    fn ask(
        &self,
        rows: &mut [Row<'_, Recalled<D::Cache>>],
        is_next: bool,
        call: impl FnOnce(&mut [Row<'_, D::Cache>]) -> Result<Vec<Answer>, SeamError>,
    ) -> Result<Vec<Answer>, SeamError> {
        let (mut answers, mut new) = (vec![None; rows.len()], Vec::new());
        for (at, row) in rows.iter_mut().enumerate() {
            let (n_before, targets) = (row.cache.0.tokens.len(), row.targets);
            let all_tokens = [row.cache.0.tokens.as_slice(), row.tokens].concat();
            let key = key(&all_tokens, n_before, (!is_next).then_some(targets));
            let fits = |answer: &Answer| match answer {
                Answer::Next(_) => is_next,
                Answer::Scored(scored) => !is_next && scored.len() == targets.len(),
            };
            answers[at] = self.answers.find(&key).filter(fits);
            if answers[at].is_some() {
                self.answers.n_recalled.set(self.answers.n_recalled.get() + 1);
                *row.cache = std::mem::replace(row.cache, self.cache()).grown(all_tokens);
                continue;
            }
            self.reach(row.cache)?;
            let cache = match Rc::try_unwrap(std::mem::replace(row.cache, self.cache()).0) {
                Ok(own) => own.cache.into_inner(),
                Err(shared) => shared.cache.get().cloned(),
            };
            let cache = cache.ok_or_else(|| failed(RecallError::Lost))?;
            new.push(New { at, key, all_tokens, tokens: row.tokens, targets, cache });
        }
        if new.is_empty() {
            return whole(answers);
        }
        let found = call(&mut new.iter_mut().map(New::row).collect::<Vec<_>>())?;
        if found.len() != new.len() {
            return Err(failed(RecallError::Count { expected: new.len(), found: found.len() }));
        }
        let written = new.iter().map(|new| new.key).zip(found.iter().cloned()).collect();
        self.answers.add(written).map_err(|source| failed(RecallError::Write(source)))?;
        for (new, found) in new.into_iter().zip(found) {
            *rows[new.at].cache = Recalled::read(new.all_tokens, new.cache);
            answers[new.at] = Some(found);
        }
        whole(answers)
    }
}

fn whole(answers: Vec<Option<Answer>>) -> Result<Vec<Answer>, SeamError> {
    answers.into_iter().collect::<Option<_>>().ok_or_else(|| failed(RecallError::Lost))
}

impl<D: Decoder> Decoder for Recalling<'_, D> {
    type Cache = Recalled<D::Cache>;

    fn vocab(&self) -> usize {
        self.decoder.vocab()
    }

    fn context(&self) -> usize {
        self.decoder.context()
    }

    fn cache(&self) -> Self::Cache {
        Recalled::read(Vec::new(), self.decoder.cache())
    }

    fn log_probs(&self, rows: &mut [Row<'_, Self::Cache>]) -> Result<Vec<Vec<Scored>>, SeamError> {
        let answers =
            self.ask(rows, false, |rows| Ok(self.decoder.log_probs(rows)?.into_iter().map(Answer::Scored).collect()))?;
        let scored = |answer| match answer {
            Answer::Scored(scored) => Ok(scored),
            Answer::Next(_) => Err(failed(RecallError::Kind)),
        };
        answers.into_iter().map(scored).collect()
    }

    fn next_tokens(&self, rows: &mut [Row<'_, Self::Cache>]) -> Result<Vec<u32>, SeamError> {
        let answers =
            self.ask(rows, true, |rows| Ok(self.decoder.next_tokens(rows)?.into_iter().map(Answer::Next).collect()))?;
        let next = |answer| match answer {
            Answer::Next(token) => Ok(token),
            Answer::Scored(_) => Err(failed(RecallError::Kind)),
        };
        answers.into_iter().map(next).collect()
    }
}
