//! in-toto Statement v1, and our predicates.

use crate::{Digest, EvidenceError, Json, Subject};

/// SPEC: in-toto attestation, Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// SPEC: in-toto attestation, envelope layer.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What a statement of ours says; its type URI is `urn:assize:<name>:v0.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Predicate {
    /// The rule cards in force for a run, whole.
    Policy,
    /// What a run will do, its thresholds and its predicted cost; signed before it starts.
    Plan,
    /// Measurements and declarations about a corpus.
    DatasetAudit,
    /// Texts sampled from a model by a recipe: the file, its generator, what it took.
    Generation,
    /// A finished training run: measurements, loss curve, lineage of the weights.
    TrainingRun,
    /// One compression step: measurements, lineage of the new artefact.
    Compression,
    /// Scores of a model.
    Evaluation,
    /// Signed answers of named persons.
    Declarations,
    /// A rule left unmet on purpose. Signed by its author and two approvers, and carried by the policy of a run.
    Waiver,
    /// Verdicts and the effect at one stage.
    Decision,
    /// A stop: what was about to be crossed, and where work can be taken up again.
    Stop,
    /// Work taken up again: after a stop, a crash, or with a changed budget.
    Resume,
    /// Trouble during work, and what was done about it.
    Intervention,
    /// The manifest of a finished dossier.
    Seal,
}

impl Predicate {
    pub const ALL: [Self; 14] = [
        Self::Policy,
        Self::Plan,
        Self::DatasetAudit,
        Self::Generation,
        Self::TrainingRun,
        Self::Compression,
        Self::Evaluation,
        Self::Declarations,
        Self::Waiver,
        Self::Decision,
        Self::Stop,
        Self::Resume,
        Self::Intervention,
        Self::Seal,
    ];

    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Policy => "urn:assize:policy:v0.1",
            Self::Plan => "urn:assize:plan:v0.1",
            Self::DatasetAudit => "urn:assize:dataset-audit:v0.1",
            Self::Generation => "urn:assize:generation:v0.1",
            Self::TrainingRun => "urn:assize:training-run:v0.1",
            Self::Compression => "urn:assize:compression:v0.1",
            Self::Evaluation => "urn:assize:evaluation:v0.1",
            Self::Declarations => "urn:assize:declarations:v0.1",
            Self::Waiver => "urn:assize:waiver:v0.1",
            Self::Decision => "urn:assize:decision:v0.1",
            Self::Stop => "urn:assize:stop:v0.1",
            Self::Resume => "urn:assize:resume:v0.1",
            Self::Intervention => "urn:assize:intervention:v0.1",
            Self::Seal => "urn:assize:seal:v0.1",
        }
    }

    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|predicate| predicate.uri() == uri)
    }
}

/// SPEC: in-toto attestation, Statement v1. Subjects are matched by digest only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub subjects: Vec<Subject>,
    pub predicate_type: Predicate,
    pub predicate: Json,
}

impl Statement {
    /// The payload that is signed.
    #[must_use]
    pub fn canonical(&self) -> String {
        Json::map([
            ("_type", Some(STATEMENT_TYPE.into())),
            ("subject", Some(Json::List(self.subjects.iter().map(Subject::to_json).collect()))),
            ("predicateType", Some(self.predicate_type.uri().into())),
            ("predicate", Some(self.predicate.clone())),
        ])
        .canonical()
    }

    /// Reads a payload whose signature has been verified.
    ///
    /// # Errors
    /// `StatementError` naming what is absent, unknown or malformed.
    pub fn parse(payload: &str) -> Result<Self, StatementError> {
        let json = Json::parse(payload)?;
        let member = |key: &'static str| json.get(key).ok_or(StatementError::Member(key));
        if member("_type")?.as_text() != Some(STATEMENT_TYPE) {
            return Err(StatementError::Type(member("_type")?.canonical()));
        }
        let uri = member("predicateType")?.as_text().unwrap_or_default();
        Ok(Self {
            subjects: member("subject")?.items().iter().map(Subject::from_json).collect::<Result<_, _>>()?,
            predicate_type: Predicate::from_uri(uri).ok_or_else(|| StatementError::PredicateType(uri.to_owned()))?,
            predicate: member("predicate")?.clone(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("the payload is not JSON of the profile")]
    Json(#[from] crate::JsonError),
    #[error("the member `{0}` is absent")]
    Member(&'static str),
    #[error("expected an in-toto Statement v1, found `_type` {0}")]
    Type(String),
    #[error("unknown predicate type `{0}`")]
    PredicateType(String),
    #[error("a subject is malformed")]
    Subject(#[from] EvidenceError),
}

/// One edge of a lineage: this came from `parent` by `action`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedFrom {
    pub parent: Digest,
    /// `trained-on`, `tokenized-by`, `pruned`, `quantized`, `fine-tuned`, …
    pub action: String,
}

impl DerivedFrom {
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::map([("digest", Some(self.parent.into())), ("action", Some(self.action.as_str().into()))])
    }
}
