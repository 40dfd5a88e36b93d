//! What a run is held to: the packs with their modes, the system as declared, and the day.

use crate::signed::{self, EnvelopeFile, FileError};
use evidence::{Digest, Json, Statement};
use jiff::civil::Date;
use ledger::VerifyingKey;
use policy::{CardError, Mode, Pack, Rules, System};

/// A pack as text, so that its cards can be carried whole by the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackText {
    pub name: String,
    pub mode: Mode,
    /// Path inside the pack and text, sorted by path.
    pub cards: Vec<(String, String)>,
}

/// Rules, system and day: everything a decision takes besides evidence.
#[derive(Debug, Clone)]
pub struct Terms {
    pub packs: Vec<PackText>,
    pub rules: Rules,
    /// The waivers of `rules` as they were signed, so that they can be carried whole.
    pub waivers: Vec<EnvelopeFile>,
    /// Whose approvals count.
    pub approvers: Vec<VerifyingKey>,
    pub system: System,
    pub as_of: Date,
}

impl Terms {
    /// Compiles the packs.
    ///
    /// # Errors
    /// Every problem of every card.
    pub fn new(packs: Vec<PackText>, system: System, as_of: Date) -> Result<Self, Vec<CardError>> {
        let rules = compile(&packs)?;
        Ok(Self { packs, rules, waivers: Vec::new(), approvers: Vec::new(), system, as_of })
    }

    /// The same terms with waivers laid over them.
    ///
    /// # Errors
    /// `FileError` for a waiver that was changed or that the wrong people signed.
    pub fn with_waivers(mut self, waivers: Vec<EnvelopeFile>, approvers: Vec<VerifyingKey>) -> Result<Self, FileError> {
        self.rules.waivers = waivers.iter().map(|file| signed::waiver(file, &approvers)).collect::<Result<_, _>>()?;
        (self.waivers, self.approvers) = (waivers, approvers);
        Ok(self)
    }
}

fn compile(packs: &[PackText]) -> Result<Rules, Vec<CardError>> {
    let (mut compiled, mut errors) = (Vec::new(), Vec::new());
    for pack in packs {
        match Pack::compile(&pack.name, &pack.cards) {
            Ok(rules) => compiled.push((rules, pack.mode)),
            Err(problems) => errors.extend(problems),
        }
    }
    errors.extend(policy::clashes(compiled.iter().map(|(pack, _)| pack)));
    if errors.is_empty() { Ok(Rules::new(compiled)) } else { Err(errors) }
}

/// The `packs` member of a policy statement: every card whole, so that a decision can be taken again from it.
pub(crate) fn packs_to_json(packs: &[PackText], rules: &Rules) -> Json {
    let card = |(path, text): &(String, String)| {
        Json::map([("path", Some(path.as_str().into())), ("text", Some(text.as_str().into()))])
    };
    let pack = |(text, (compiled, mode)): (&PackText, &(Pack, Mode))| {
        Json::map([
            ("name", Some(text.name.as_str().into())),
            ("digest", Some(compiled.digest().into())),
            ("mode", Some(mode.name().into())),
            ("cards", Some(Json::List(text.cards.iter().map(card).collect()))),
        ])
    };
    Json::List(packs.iter().zip(&rules.packs).map(pack).collect())
}

/// The members of a policy statement that hold the waivers: each envelope whole, and whose approvals count. None where there is no waiver.
pub(crate) fn waivers_to_json(terms: &Terms) -> [(&'static str, Option<Json>); 2] {
    let waiver = |file: &EnvelopeFile| {
        Json::map([("path", Some(file.path.as_str().into())), ("envelope", Some(file.text.as_str().into()))])
    };
    let some = |list: Json| (!terms.waivers.is_empty()).then_some(list);
    [
        ("waivers", some(Json::List(terms.waivers.iter().map(waiver).collect()))),
        ("approvers", some(Json::list(terms.approvers.iter().map(ToString::to_string)))),
    ]
}

/// The waivers that a policy statement carries, as files, and whose approvals count. They are not yet checked.
///
/// # Errors
/// `PolicyError` for a malformed member.
pub fn waivers_of(statement: &Statement) -> Result<(Vec<EnvelopeFile>, Vec<VerifyingKey>), PolicyError> {
    let list = |member: &str| statement.predicate.get(member).map_or(&[][..], Json::items);
    let file = |json: &Json| {
        let text = |member: &str| json.get(member).and_then(Json::as_text).map(str::to_owned);
        Some(EnvelopeFile { path: text("path")?, text: text("envelope")? })
    };
    let approver = |line: &Json| VerifyingKey::parse(line.as_text()?).ok();
    let waivers = list("waivers").iter().map(file).collect::<Option<_>>().ok_or(PolicyError::Waivers)?;
    let approvers = list("approvers").iter().map(approver).collect::<Option<_>>().ok_or(PolicyError::Waivers)?;
    Ok((waivers, approvers))
}

/// Why a policy statement could not be made into rules again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy statement's pack {0} is malformed")]
    Malformed(usize),
    #[error("a card of the policy statement does not compile:\n{0}")]
    Card(Box<CardError>),
    #[error("the policy statement's waivers are malformed")]
    Waivers,
    #[error("a waiver of the policy statement does not hold: {0}")]
    Waiver(Box<FileError>),
    #[error("the pack `{name}` has the digest {found}, the statement says {expected}")]
    Digest { name: String, expected: String, found: Digest },
}

/// The packs that a policy statement carries.
///
/// # Errors
/// `PolicyError` for a malformed pack.
pub fn packs_of(statement: &Statement) -> Result<Vec<PackText>, PolicyError> {
    let items = statement.predicate.get("packs").map_or(&[][..], Json::items);
    items.iter().enumerate().map(|(position, pack)| pack_of(pack).ok_or(PolicyError::Malformed(position))).collect()
}

fn pack_of(pack: &Json) -> Option<PackText> {
    let card = |card: &Json| Some((card.get("path")?.as_text()?.to_owned(), card.get("text")?.as_text()?.to_owned()));
    Some(PackText {
        name: pack.get("name")?.as_text()?.to_owned(),
        mode: Mode::from_name(pack.get("mode")?.as_text()?)?,
        cards: pack.get("cards")?.items().iter().map(card).collect::<Option<_>>()?,
    })
}

/// The rules that a policy statement carries: compiled again, their digests compared, the signatures of the waivers checked.
///
/// # Errors
/// `PolicyError` naming the pack or card.
pub fn rules_of(statement: &Statement) -> Result<Rules, PolicyError> {
    let packs = packs_of(statement)?;
    let mut rules = compile(&packs).map_err(|mut errors| PolicyError::Card(Box::new(errors.swap_remove(0))))?;
    let (waivers, approvers) = waivers_of(statement)?;
    let waivers = waivers.iter().map(|file| signed::waiver(file, &approvers));
    rules.waivers = waivers.collect::<Result<_, _>>().map_err(|error| PolicyError::Waiver(Box::new(error)))?;
    let stated = statement.predicate.get("packs").map_or(&[][..], Json::items);
    for ((pack, _), stated) in rules.packs.iter().zip(stated) {
        let expected = stated.get("digest").and_then(|set| set.get("sha256")).and_then(Json::as_text).unwrap_or("nothing");
        if expected != pack.digest().to_string() {
            let (name, expected) = (pack.name().to_owned(), expected.to_owned());
            return Err(PolicyError::Digest { name, expected, found: pack.digest() });
        }
    }
    Ok(rules)
}
