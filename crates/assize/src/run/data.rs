//! The corpus: read, audited, split, and made into tokens.

use super::{
    INSTRUMENT, Session,
    made::{self, Made},
    now, screened,
};
use anyhow::Context as _;
use dataset::{Corpus, Source, Split, Unit};
use evidence::{Digest, Json, Predicate, Subject};
use model::Tokenizer;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use supervise::{
    Record,
    case::{Case, DataSource, Generated, HeldOutBy, Order},
};

/// A corpus and its split.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) corpus: Corpus,
    pub(crate) split: Split,
    pub(crate) labels: Option<Labels>,
    /// Sources that models made.
    pub(crate) made: Vec<Made>,
}

/// The class of each document.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    /// Sorted.
    pub(crate) names: Vec<String>,
    /// Of each document, the place of its name.
    pub(crate) of: Vec<u32>,
}

/// The tokenizer and every document under it.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) tokenizer: Words,
    /// The model that is trained further, with its digest.
    pub(crate) base: Option<(Box<model::Trainable>, Digest)>,
    /// How much each token of each document is learned, where not all are alike.
    pub(crate) weights: Option<Vec<Vec<f32>>>,
    pub(crate) labels: Option<Labels>,
    pub(crate) digest: Digest,
    /// In the order of the corpus.
    pub(crate) documents: Vec<Vec<u32>>,
    pub(crate) train: Vec<usize>,
    pub(crate) held_out: Vec<usize>,
    /// Sources that models made.
    pub(crate) made: Vec<Made>,
}

/// A tokenizer of our own, or that of a model that stands.
#[derive(Debug)]
pub(crate) enum Words {
    Own(Box<Tokenizer>),
    Base,
}

impl Tokens {
    /// Documents as training reads them: one stream, or packed without a look from one to another.
    pub(crate) fn corpus(&self, indices: &[usize], context: usize) -> anyhow::Result<train::Corpus> {
        if let Some(labelled) = self.labelled(indices, context) {
            return labelled;
        }
        let Some(weights) = &self.weights else {
            return Ok(train::Corpus::new(&self.of(indices), model::END_OF_TEXT_ID));
        };
        let example =
            |&index: &usize| train::Example { tokens: self.documents[index].clone(), weights: weights[index].clone() };
        Ok(train::Corpus::packed(&indices.iter().map(example).collect::<Vec<_>>(), context)?)
    }

    /// The documents that are trained on, each once.
    pub(crate) fn distinct(&self) -> Vec<usize> {
        self.train.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// `distinct` in groups of equal documents, which folds must not part; in the order of their first.
    pub(crate) fn groups(&self) -> Vec<Vec<usize>> {
        groups_of_equals(&self.documents, &self.distinct())
    }

    /// The tokenizer that was trained here.
    pub(crate) fn own(&self) -> anyhow::Result<&Tokenizer> {
        match &self.tokenizer {
            Words::Own(tokenizer) => Ok(tokenizer),
            Words::Base => anyhow::bail!("the tokenizer is that of another model"),
        }
    }

    /// Rows of the embedding.
    pub(crate) fn vocab(&self) -> usize {
        match (&self.tokenizer, &self.base) {
            (Words::Own(tokenizer), _) => tokenizer.vocab_size(),
            (Words::Base, Some((base, _))) => base.model.config().vocab,
            (Words::Base, None) => 0,
        }
    }

    pub(crate) fn of(&self, indices: &[usize]) -> Vec<Vec<u32>> {
        indices.iter().map(|&index| self.documents[index].clone()).collect()
    }
}

/// Reads what `[[data]]` names. The seed of the split is that of the case.
pub(crate) fn read(case: &Case) -> anyhow::Result<Data> {
    let train = case.train.as_ref().context("the case has no `[train]`; there is nothing to run")?;
    let sources = case.data.iter().map(|data| Source {
        name: data.name.clone(),
        path: data.path.clone(),
        licence: data.licence.clone(),
        source: data.source.clone(),
        generated: data.generated.as_ref().map(|said| *said != Generated::No),
        split: if data.by_section { Unit::BlankLineSection } else { Unit::File },
    });
    let config = dataset::Config {
        root: case.folder.clone(),
        sources: sources.collect(),
        held_out: train.held_out,
        seed: train.seed,
    };
    super::labelled::check(case)?;
    let mut corpus = dataset::read(&config)?;
    for (set, source) in case.data.iter().enumerate() {
        take_shards(set, source, &mut corpus)?;
    }
    let (corpus, labels) = super::labelled::cut(case, corpus)?;
    let split = match train.held_out_by {
        HeldOutBy::Corpus => dataset::split(&corpus, train.held_out, train.seed)?,
        HeldOutBy::Source => dataset::split_by(&corpus, &sets_of(&corpus), train.held_out, train.seed)?,
    };
    // Folds that cannot be dealt are told of before anything is trained.
    let of_classes = train.classifier.and_then(|classifier| classifier.folds);
    for folds in case.folds.as_ref().map(|plan| plan.folds).into_iter().chain(of_classes) {
        dataset::folds(&corpus, &split.train, folds, train.seed)?;
    }
    let made = made::of(case, &corpus)?;
    Ok(Data { corpus, split, labels, made })
}

/// Leaves out the documents of shards that the case does not take.
fn take_shards(set: usize, source: &DataSource, corpus: &mut Corpus) -> anyhow::Result<()> {
    let Some(shards) = &source.shards else { return Ok(()) };
    let Corpus { files, documents, .. } = corpus;
    let is_of = |document: &dataset::Document| files[document.file].set == set;
    documents.retain(|document| {
        !is_of(document) || shards.take.contains(&train::mixture::shard(&document.digest, shards.of))
    });
    anyhow::ensure!(
        documents.iter().any(is_of),
        "the source `{}` has no document in the shards {:?} of {}; take others, or deal into fewer",
        source.name,
        shards.take,
        shards.of
    );
    Ok(())
}

/// Of each document the source it is of, by its place in the case.
fn sets_of(corpus: &Corpus) -> Vec<usize> {
    corpus.documents.iter().map(|document| corpus.files[document.file].set).collect()
}

/// The training documents as a mixture draws them, or short before long, where the case says so: some may stand there more than
/// once. What is held out is never drawn from.
fn arranged(case: &Case, data: &Data, tokens: Tokens) -> anyhow::Result<Tokens> {
    let plan = case.train.as_ref().context("the case has no `[train]`; there is nothing to run")?;
    let mut tokens = tokens;
    if plan.temperature.is_some() || case.data.iter().any(|source| source.weight.is_some()) {
        let part = |(set, source): (usize, &DataSource)| train::mixture::Part {
            weight: source.weight.unwrap_or(1.0),
            documents: documents_of(set, data, &tokens).collect(),
        };
        let parts: Vec<train::mixture::Part> = case.data.iter().enumerate().map(part).collect();
        let n_tokens = usize::try_from(plan.tokens).unwrap_or(usize::MAX);
        tokens.train = train::mixture::draw(&parts, plan.temperature.unwrap_or(1.0), n_tokens, plan.seed)
            .context("the sources cannot be mixed")?;
    }
    match plan.order {
        Order::ShortFirst => {
            let lengths: Vec<usize> = tokens.documents.iter().map(Vec::len).collect();
            tokens.train.sort_by_key(|&document| lengths[document]);
        }
        Order::BySource => {
            let sets = sets_of(&data.corpus);
            tokens.train = train::mixture::shuffled(&tokens.train, plan.seed);
            tokens.train.sort_by_key(|&document| sets[document]);
        }
        Order::Shuffled | Order::AsGiven => {}
    }
    Ok(tokens)
}

/// Training documents of one source with their tokens, a separator counted with each.
fn documents_of<'a>(set: usize, data: &'a Data, tokens: &'a Tokens) -> impl Iterator<Item = (usize, usize)> + 'a {
    let of_set = move |document: &&usize| data.corpus.files[data.corpus.documents[**document].file].set == set;
    data.split.train.iter().filter(of_set).map(|&document| (document, tokens.documents[document].len() + 1))
}

impl Session<'_> {
    /// Trains the tokenizer, and records the audit unless it stands.
    pub(crate) fn audit(&mut self, data: &Data) -> anyhow::Result<Tokens> {
        let tokens = tokenize(self.case, data, &self.weights("tokenizer.json"))?;
        let digest = data.corpus.digest();
        if self.run.done(Predicate::DatasetAudit, "corpus", &digest.to_string()).is_some() {
            return Ok(tokens);
        }
        let (subject, at) = (Subject::new("corpus", digest), now());
        let findings = dataset::audit(&data.corpus);
        let leak = dataset::leak(&data.corpus, &data.split);
        let n_tokens = tokens.documents.iter().map(|document| document.len() as u64).sum();
        let mut record = Record::new(Predicate::DatasetAudit, "data");
        record.measurements = findings.measurements(&subject, INSTRUMENT, at)?;
        record.measurements.push(leak.measurement(&subject, INSTRUMENT, at)?);
        record.measurements.push(dataset::tokens_measurement(n_tokens, tokens.digest, &subject, INSTRUMENT, at)?);
        let origins = dataset::origins(&data.corpus);
        let synthetic = tokens.documents.iter().zip(&data.corpus.documents);
        let synthetic = synthetic.filter(|(_, document)| data.corpus.is_synthetic(document));
        let n_synthetic = synthetic.map(|(tokens, _)| tokens.len() as u64).sum();
        record.measurements.extend(origins.measurements(Some((n_synthetic, n_tokens)), &subject, INSTRUMENT, at)?);
        record.subjects = vec![subject.clone(), Subject::new("weights/tokenizer.json", tokens.digest)];
        let names = |indices: &[usize]| Json::list(indices.iter().map(|&i| data.corpus.documents[i].id.as_str()));
        let duplicates = findings.exact_duplicates.iter().map(|pair| {
            Json::map([("original", Some(pair.original.as_str().into())), ("copy", Some(pair.copy.as_str().into()))])
        });
        record.members = vec![
            ("corpus", digest.to_string().into()),
            ("files", Json::List(data.corpus.files.iter().map(file).collect())),
            (
                "split",
                Json::map([("train", Some(names(&data.split.train))), ("heldOut", Some(names(&data.split.held_out)))]),
            ),
            ("exactDuplicates", Json::List(duplicates.collect())),
            ("passedOver", Json::list(data.corpus.passed_over.iter().map(String::as_str))),
        ];
        if origins.n_synthetic > 0 {
            record.members.push(("origins", origins.to_json()));
            record.members.push(("generated", made::to_json(&data.made)));
        }
        let tests = self.case.tasks.as_ref().map(screened::tests_of).transpose()?.unwrap_or_default();
        screened::screen(&data.corpus, &tests, &subject, &mut record)?;
        self.record(record)?;
        Ok(tokens)
    }
}

/// Trains the tokenizer on the training part, saves it, and encodes every document alone.
pub(crate) fn tokenize(case: &Case, data: &Data, path: &Path) -> anyhow::Result<Tokens> {
    if let Some(base) = &case.base {
        return arranged(case, data, super::finetune::tokenize(case, base, data, path)?);
    }
    let model = case.model.as_ref().context("the case has no `[model]`; there is nothing to train")?;
    let texts: Vec<&str> = data.split.train.iter().map(|&i| data.corpus.documents[i].text.as_str()).collect();
    let tokenizer = Tokenizer::train(&texts, model.vocabulary)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let digest = tokenizer.save(path)?;
    let documents = data.corpus.documents.iter().map(|document| tokenizer.encode(&document.text)).collect();
    let (train, held_out) = (data.split.train.clone(), data.split.held_out.clone());
    let tokenizer = Words::Own(Box::new(tokenizer));
    let (labels, made) = (data.labels.clone(), data.made.clone());
    let (base, weights) = (None, None);
    arranged(case, data, Tokens { tokenizer, base, weights, labels, digest, documents, train, held_out, made })
}

fn groups_of_equals(documents: &[Vec<u32>], chosen: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
    for &document in chosen {
        groups.entry(&documents[document]).or_default().push(document);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_unstable();
    groups
}

fn file(file: &dataset::File) -> Json {
    Json::map([
        ("path", Some(file.path.as_str().into())),
        ("bytes", Some(file.bytes.into())),
        ("digest", Some(file.digest.into())),
        ("licence", file.licence.as_deref().map(Json::from)),
        ("source", file.source.as_deref().map(Json::from)),
    ])
}

#[cfg(test)]
mod tests {
    use super::groups_of_equals;

    #[test]
    fn equal_documents_are_one_group() {
        let documents = [vec![7], vec![3, 4], vec![7], vec![1], vec![3, 4]];
        assert_eq!(groups_of_equals(&documents, &[0, 1, 2, 4]), [vec![0, 2], vec![1, 4]]);
        assert_eq!(groups_of_equals(&documents, &[1, 3]), [vec![1], vec![3]]);
    }
}
