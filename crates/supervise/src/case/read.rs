//! From the wire to the case: every value checked where it is made.

use super::{models::Named, wire, *};
use evidence::{Kind, metric};
use policy::{
    System,
    expr::{Value, parse_duration},
    scenario::Answers,
};
use std::ops::Range;
use toml::{Spanned, value::Datetime};

/// Held while a file is read, so that every complaint can show its line.
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
}

pub(super) fn case(file: &Path, folder: PathBuf, text: String) -> Result<Case, CaseError> {
    let reader = Reader { file, text: &text };
    let wire: wire::File = toml::from_str(&text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        reader.complain(span, error.message().trim().to_owned(), "the keys and their units are listed in docs/case.md")
    })?;
    let is_existing = wire.model.as_ref().is_some_and(|model| model.path.is_some());
    if is_existing {
        reader.only_evaluated(&wire)?;
    }
    let (prune, quantize) = wire.compress.map_or(Ok((None, false)), |compress| reader.compress(compress))?;
    let (model, base, existing) = match wire.model.map(|model| reader.model(&folder, model)).transpose()? {
        Some(Named::Shape(shape)) => (Some(shape), None, None),
        Some(Named::Base(base)) => (None, Some(base), None),
        Some(Named::Existing(existing)) => (None, None, Some(existing)),
        None => (None, None, None),
    };
    let has_lambda = wire.train.as_ref().is_some_and(|train| train.lambda.is_some());
    let suites = reader.evaluations(&folder, wire.evaluate, is_existing, |suite| {
        if base.is_some() { reader.further_plan(suite, has_lambda) } else { reader.fold_plan(suite) }
    })?;
    let is_scratch = base.is_none();
    let rest = reader.rest(&wire.data, wire.train.as_ref());
    let scenario = wire.scenario.map_or(Ok(Answers::new()), |_| reader.scenario())?;
    let declarations = wire.declare.into_iter().map(|d| reader.declare(&folder, d)).collect::<Result<_, _>>()?;
    let case = Case {
        name: wire.system.name.clone(),
        system: reader.system(wire.system)?,
        country: wire.site.map(|site| reader.country(&site.country)).transpose()?,
        as_of: wire.policy.as_of.as_ref().map(|date| reader.date(date)).transpose()?,
        packs: wire.policy.packs.into_iter().map(pack).collect(),
        approvers: reader.keys("approver", &wire.policy.approvers)?,
        declarers: reader.keys("declarer", &wire.policy.declarers)?,
        data: wire.data.into_iter().map(|data| reader.data(&folder, data)).collect::<Result<_, _>>()?,
        model,
        base,
        existing,
        train: wire.train.map(|train| reader.train(train, is_scratch)).transpose()?,
        budget: wire.budget.map_or(Ok(Budget::default()), |budget| reader.budget(&budget))?,
        prune,
        quantize,
        perplexity: suites.perplexity,
        folds: suites.folds,
        tasks: suites.tasks,
        bank: suites.bank,
        declarations,
        scenario,
        folder,
        text: String::new(),
    };
    rest?;
    Ok(Case { text, ..case })
}

/// What `[[evaluate]]` asks for.
#[derive(Default)]
struct Suites {
    perplexity: bool,
    folds: Option<FoldPlan>,
    tasks: Option<TaskPlan>,
    bank: Option<BankPlan>,
}

/// Tokens of an answer where the case does not say, as `assize evaluate --bank` has them.
const ANSWER_TOKENS: usize = 128;

fn pack(pack: Spanned<wire::Pack>) -> PackChoice {
    let span = pack.span();
    let place = Place { start: span.start, end: span.end };
    match pack.into_inner() {
        wire::Pack::Name(name) => PackChoice { name, enforce: true, place },
        wire::Pack::Table(table) => {
            PackChoice { name: table.name, enforce: matches!(table.mode, wire::Mode::Enforce), place }
        }
    }
}

const ROLES: [&str; 5] = ["provider", "deployer", "modifier", "importer", "distributor"];
const AUDIENCES: [&str; 3] = ["public", "business", "internal"];
const RISK_CLASSES: [&str; 4] = ["prohibited", "high", "limited", "minimal"];
const RISK_ROUTES: [&str; 2] = ["annex-i", "annex-iii"];
const MODALITIES: [&str; 5] = ["text", "image", "audio", "video", "code"];
const CHAPTERS: [&str; 3] = ["transparency", "copyright", "safety"];
const JURISDICTIONS: [&str; 12] =
    ["EU", "CN", "KR", "JP", "UK", "SG", "US", "US-CA", "US-NY", "US-IL", "US-CO", "US-TX"];

impl Reader<'_> {
    pub(super) fn complain(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> CaseError {
        CaseError::at(self.file, self.text, span, message.into(), hint.into())
    }

    fn system(&self, system: wire::System) -> Result<System, CaseError> {
        let mut values = System::new();
        let mut put = |name: &str, value: Option<Value>| match value.map(|value| values.set(name, value)) {
            Some(Err(error)) => Err(self.complain(0..0, error.to_string(), "")),
            _ => Ok(()),
        };
        put("name", Some(Value::Text(system.name)))?;
        put("purpose", system.purpose.map(Value::Text))?;
        put("role", self.one_of("role", system.role, &ROLES)?)?;
        put("audience", self.one_of("audience", system.audience, &AUDIENCES)?)?;
        put("risk_class", self.one_of("risk class", system.risk_class, &RISK_CLASSES)?)?;
        put("risk_route", self.one_of("risk route", system.risk_route, &RISK_ROUTES)?)?;
        put("jurisdictions", self.list_of("jurisdiction", system.jurisdictions, &JURISDICTIONS)?)?;
        put("modalities", self.list_of("modality", system.modalities, &MODALITIES)?)?;
        put("on_market", system.on_market.map(|date| self.midnight(&date)).transpose()?.map(Value::Timestamp))?;
        put("revenue_usd", system.revenue_usd.map(|n| self.positive(&n)).transpose()?.map(Value::Decimal))?;
        put("code_of_practice", self.list_of("chapter", system.code_of_practice, &CHAPTERS)?)?;
        for (name, flag) in [
            ("general_purpose", system.general_purpose),
            ("systemic_risk", system.systemic_risk),
            ("open_source", system.open_source),
            ("interacts", system.interacts),
            ("opinion_attributes", system.opinion_attributes),
            ("modifies_existing", system.modifies_existing),
            ("redesigned", system.redesigned),
            ("public_authority", system.public_authority),
            ("law_enforcement", system.law_enforcement),
            ("biometric_identification", system.biometric_identification),
        ] {
            put(name, flag.map(Value::Bool))?;
        }
        Ok(values)
    }

    /// The answers of `[use]`; the first problem becomes the case's.
    fn scenario(&self) -> Result<Answers, CaseError> {
        Answers::in_toml("", self.text).map_err(|errors| {
            let error = &errors[0];
            // The place is given as line and column in characters; a span is in bytes.
            let line: usize = self.text.split_inclusive('\n').take(error.line - 1).map(str::len).sum();
            let bytes =
                |from: usize, n: usize| error.source.chars().skip(from).take(n).map(char::len_utf8).sum::<usize>();
            let start = line + bytes(0, error.column - 1);
            let span = start..start + bytes(error.column - 1, error.width);
            self.complain(span, error.message.clone(), error.hint.clone().unwrap_or_default())
        })
    }

    pub(super) fn known(&self, what: &str, text: &Spanned<String>, allowed: &[&str]) -> Result<String, CaseError> {
        let value = text.get_ref();
        if allowed.contains(&value.as_str()) {
            return Ok(value.clone());
        }
        let message = format!("expected a {what}, one of `{}`, found `{value}`", allowed.join("`, `"));
        Err(self.complain(text.span(), message, ""))
    }

    fn one_of(&self, what: &str, text: Option<Spanned<String>>, allowed: &[&str]) -> Result<Option<Value>, CaseError> {
        text.map(|text| self.known(what, &text, allowed).map(Value::Text)).transpose()
    }

    fn list_of(
        &self,
        what: &str,
        list: Option<Vec<Spanned<String>>>,
        allowed: &[&str],
    ) -> Result<Option<Value>, CaseError> {
        let read = |items: Vec<Spanned<String>>| {
            let texts = items.iter().map(|item| self.known(what, item, allowed).map(Value::Text));
            texts.collect::<Result<Vec<_>, _>>().map(Value::List)
        };
        list.map(read).transpose()
    }

    /// Public keys as `name+hash+base64`, no two of one name and no key under two names.
    fn keys(&self, what: &str, lines: &[Spanned<String>]) -> Result<Vec<VerifyingKey>, CaseError> {
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for line in lines {
            let hint = "`assize key` prints the line of a key";
            let key = VerifyingKey::parse(line.get_ref())
                .map_err(|error| self.complain(line.span(), error.to_string(), hint))?;
            if let Some(held) = keys.iter().find(|held| held.bytes() == key.bytes()) {
                let message = format!("the key of the {what} `{}` is already that of `{}`", key.name(), held.name());
                return Err(self.complain(line.span(), message, "two names do not make two people of one key"));
            }
            if keys.iter().any(|held| held.name() == key.name()) {
                let message = format!("two keys have the name `{}`", key.name());
                return Err(self.complain(
                    line.span(),
                    message,
                    "make a key of another name with `assize key --name NAME --key FILE`",
                ));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn country(&self, code: &Spanned<String>) -> Result<String, CaseError> {
        let text = code.get_ref();
        let is_alpha3 = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let message = format!("expected a country as three capital letters (ISO 3166-1 alpha-3), found `{text}`");
        if is_alpha3 { Ok(text.clone()) } else { Err(self.complain(code.span(), message, "for example `FRA`")) }
    }

    fn date(&self, date: &Spanned<Datetime>) -> Result<Date, CaseError> {
        let text = date.get_ref().to_string();
        text.parse().map_err(|_| {
            let message = format!("expected a date such as `2026-11-24`, found `{text}`");
            self.complain(date.span(), message, "leave out the quotes and the time of day")
        })
    }

    /// The first instant of that day in UTC.
    fn midnight(&self, date: &Spanned<Datetime>) -> Result<Timestamp, CaseError> {
        let day = self.date(date)?;
        let instant = jiff::tz::TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0));
        instant.map_err(|_| self.complain(date.span(), "the date lies outside the calendar", ""))
    }

    /// The exact decimal as written; TOML's own float would have rounded it.
    pub(super) fn positive(&self, number: &Spanned<wire::Number>) -> Result<Decimal, CaseError> {
        let written = self.text.get(number.span()).unwrap_or_default().replace('_', "");
        let value: Decimal = written.parse().map_err(|error| self.complain(number.span(), format!("{error}"), ""))?;
        if value > Decimal::ZERO {
            return Ok(value);
        }
        Err(self.complain(number.span(), format!("expected a number above zero, found `{written}`"), ""))
    }

    pub(super) fn within(&self, what: &str, number: &Spanned<f64>, low: f64, high: f64) -> Result<f64, CaseError> {
        let value = *number.get_ref();
        if value > low && value < high {
            return Ok(value);
        }
        let message = format!("expected {what} between {low} and {high}, both excluded, found `{value}`");
        Err(self.complain(number.span(), message, ""))
    }

    pub(super) fn existing(&self, folder: &Path, path: &Spanned<String>, what: &str) -> Result<PathBuf, CaseError> {
        let found = folder.join(path.get_ref());
        if found.exists() {
            return Ok(found);
        }
        let message = format!("the {what} `{}` does not exist", path.get_ref());
        Err(self.complain(path.span(), message, "paths are relative to the folder of assize.toml"))
    }

    fn budget(&self, budget: &wire::Budget) -> Result<Budget, CaseError> {
        let cap = |number: &Option<Spanned<wire::Number>>| number.as_ref().map(|n| self.positive(n)).transpose();
        Ok(Budget {
            compute_flop: cap(&budget.compute_flop)?,
            time_s: cap(&budget.time_s)?,
            energy_kwh: cap(&budget.energy_kwh)?,
            carbon_gco2e: cap(&budget.carbon_gco2e)?,
        })
    }

    fn compress(&self, compress: wire::Compress) -> Result<(Option<f64>, bool), CaseError> {
        let prune = |prune: wire::Prune| {
            self.known("pruning method", &prune.method, &["magnitude"])?;
            self.within("a sparsity", &prune.sparsity, 0.0, 1.0)
        };
        if let Some(quantize) = &compress.quantize {
            self.known("quantisation format", &quantize.format, &["q8_0"])?;
        }
        Ok((compress.prune.map(prune).transpose()?, compress.quantize.is_some()))
    }

    fn evaluations(
        &self,
        folder: &Path,
        suites: Vec<wire::Evaluate>,
        is_existing: bool,
        fold_plan: impl Fn(wire::Evaluate) -> Result<FoldPlan, CaseError>,
    ) -> Result<Suites, CaseError> {
        let mut found = Suites::default();
        for suite in suites {
            let name = self.known("suite", &suite.suite, &["perplexity", "k-fold", "tasks", "bank"])?;
            let is_of_training = ["perplexity", "k-fold"].contains(&name.as_str());
            if is_existing && is_of_training {
                let message = format!("the suite `{name}` is of a model that is trained here, and this one stands");
                return Err(self.complain(suite.suite.span(), message, "ask `tasks`, of which `wikitext` is one"));
            }
            match name.as_str() {
                "perplexity" => found.perplexity = true,
                "tasks" => found.tasks = Some(self.task_plan(folder, suite)?),
                "bank" if is_existing => found.bank = Some(self.bank_plan(folder, suite)?),
                "bank" => {
                    let hint = "name the model that is asked with `path` under `[model]`";
                    return Err(self.complain(suite.suite.span(), "the suite `bank` asks a model that stands", hint));
                }
                _ => found.folds = Some(fold_plan(suite)?),
            }
        }
        Ok(found)
    }

    fn bank_plan(&self, folder: &Path, suite: wire::Evaluate) -> Result<BankPlan, CaseError> {
        let banks = suite.banks.unwrap_or_default();
        if banks.is_empty() {
            let hint = "for example `banks = [\"bank.jsonl\"]`";
            return Err(self.complain(suite.suite.span(), "the suite `bank` needs `banks`", hint));
        }
        if let Some(n) = suite.answer_tokens.as_ref().filter(|n| *n.get_ref() == 0) {
            return Err(self.complain(n.span(), "expected at least 1 token of an answer, found `0`", ""));
        }
        Ok(BankPlan {
            banks: banks.iter().map(|bank| self.existing(folder, bank, "bank")).collect::<Result<_, _>>()?,
            refusals: suite.refusals,
            answer_tokens: suite.answer_tokens.map_or(ANSWER_TOKENS, Spanned::into_inner),
            system: suite.system,
            bare: suite.bare,
            limit: suite.limit,
        })
    }

    fn task_plan(&self, folder: &Path, suite: wire::Evaluate) -> Result<TaskPlan, CaseError> {
        let tasks = suite.tasks.unwrap_or_default();
        if tasks.is_empty() {
            let hint = "for example `tasks = [\"arc_easy\"]`";
            return Err(self.complain(suite.suite.span(), "the suite `tasks` needs `tasks`", hint));
        }
        let path =
            |path: Option<Spanned<String>>, what| path.map(|path| self.existing(folder, &path, what)).transpose();
        let threshold = |(name, least): (String, Spanned<f64>)| {
            let (task, metric) = match name.split_once(':') {
                Some((task, metric)) => (task.to_owned(), Some(metric.to_owned())),
                None => (name, None),
            };
            if !least.get_ref().is_finite() {
                let message = format!("expected a finite threshold, found `{}`", least.get_ref());
                return Err(self.complain(least.span(), message, ""));
            }
            Ok(TaskThreshold { task, metric, least: least.into_inner() })
        };
        Ok(TaskPlan {
            tasks,
            task_dir: path(suite.task_dir, "folder of task files")?,
            data: path(suite.data, "folder of data")?,
            limit: suite.limit,
            fewshot: suite.fewshot,
            slice: suite.slice,
            robust: suite.robust,
            thresholds: suite.thresholds.into_iter().map(threshold).collect::<Result<_, _>>()?,
        })
    }

    /// Folds of a small decoder that is trained from scratch.
    fn fold_plan(&self, suite: wire::Evaluate) -> Result<FoldPlan, CaseError> {
        let folds = self.n_folds(&suite)?;
        let size = |said: Option<Spanned<usize>>, absent| said.map_or(absent, Spanned::into_inner);
        let small = Small { layers: size(suite.layers, 2), width: size(suite.width, 64), heads: size(suite.heads, 4) };
        Ok(FoldPlan { folds, small: Some(small), tokens: Some(suite.tokens.map_or(50_000, Spanned::into_inner)) })
    }

    /// Folds of what `[train]` trains: the base is trained further once a fold.
    fn further_plan(&self, suite: wire::Evaluate, has_lambda: bool) -> Result<FoldPlan, CaseError> {
        let folds = self.n_folds(&suite)?;
        let sizes = [("layers", &suite.layers), ("width", &suite.width), ("heads", &suite.heads)];
        if let Some((name, said)) = sizes.into_iter().find_map(|(name, said)| Some((name, said.as_ref()?))) {
            let message =
                format!("`{name}` is said of a model that stands already: each fold trains what `[train]` trains");
            return Err(self.complain(said.span(), message, "leave it out"));
        }
        if has_lambda {
            let hint = "leave the suite out: `lambda.loss` is of its outer folds, each with a weight that was chosen without it";
            let message = "a weight that `lambda` chose on all training documents has seen every fold";
            return Err(self.complain(suite.suite.span(), message, hint));
        }
        if let Some(tokens) = suite.tokens.as_ref().filter(|tokens| *tokens.get_ref() == 0) {
            return Err(self.complain(tokens.span(), "expected at least 1 token a fold, found `0`", ""));
        }
        Ok(FoldPlan { folds, small: None, tokens: suite.tokens.map(Spanned::into_inner) })
    }

    fn n_folds(&self, suite: &wire::Evaluate) -> Result<usize, CaseError> {
        let Some(folds) = &suite.folds else {
            let place = suite.suite.span();
            return Err(self.complain(place, "the suite `k-fold` needs `folds`", "for example `folds = 3`"));
        };
        if *folds.get_ref() < 2 {
            let message = format!("expected at least 2 folds, found `{}`", folds.get_ref());
            return Err(self.complain(folds.span(), message, ""));
        }
        Ok(*folds.get_ref())
    }

    fn declare(&self, folder: &Path, declare: wire::Declare) -> Result<Declare, CaseError> {
        let id = declare.fact.get_ref();
        let Some(metric) = metric::find(id) else {
            let message = format!("no fact `{id}` in the catalogue");
            return Err(self.complain(declare.fact.span(), message, "docs/metrics.md lists the facts"));
        };
        let (made, expires) = (self.date(&declare.made)?, self.date(&declare.expires)?);
        if expires <= made {
            let message = format!("the declaration expires on {expires}, not after it was made on {made}");
            return Err(self.complain(declare.expires.span(), message, "give the first day on which it is void"));
        }
        let value = match (&declare.document, &declare.value) {
            (Some(path), None) => DeclareValue::Document(self.existing(folder, path, "document")?),
            (None, Some(value)) => DeclareValue::Plain(self.declared(metric, value)?),
            _ => {
                let message = format!("`{id}` needs either `value` or `document`, and not both");
                return Err(self.complain(declare.fact.span(), message, ""));
            }
        };
        Ok(Declare { metric, value, owner: declare.owner, made: self.midnight(&declare.made)?, expires })
    }

    fn declared(&self, metric: &Metric, value: &Spanned<toml::Value>) -> Result<Declared, CaseError> {
        let texts =
            |items: &[toml::Value]| items.iter().map(|i| i.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let declared = match (metric.kind, value.get_ref()) {
            (Kind::Flag, toml::Value::Boolean(flag)) => Some(Declared::Flag(*flag)),
            // That there is a document is shown by the document; that there is none can only be said.
            (Kind::Document, toml::Value::Boolean(false)) => Some(Declared::Flag(false)),
            (Kind::Count, toml::Value::Integer(count)) => Some(Declared::Count(*count)),
            (Kind::Text, toml::Value::String(text)) => Some(Declared::Text(text.clone())),
            (Kind::Span, toml::Value::String(text)) => {
                let is_span = parse_duration(text).is_some_and(|nanos| nanos >= 0);
                is_span.then(|| Declared::Text(text.clone()))
            }
            (Kind::List, toml::Value::Array(items)) => texts(items).map(Declared::List),
            (Kind::Quantity | Kind::Proportion, toml::Value::Integer(_) | toml::Value::Float(_)) => {
                let written = self.text.get(value.span()).unwrap_or_default().replace('_', "");
                written.parse().ok().map(Declared::Quantity)
            }
            (Kind::Moment, toml::Value::Datetime(date)) => {
                Some(Declared::Moment(self.midnight(&Spanned::new(value.span(), *date))?))
            }
            _ => None,
        };
        declared.ok_or_else(|| {
            let message =
                format!("expected a {} for `{}`, found {}", metric.kind.name(), metric.id, value.get_ref().type_str());
            self.complain(value.span(), message, "docs/metrics.md says what each fact holds")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(system: &str, rest: &str) -> Result<Case, CaseError> {
        let text = format!("[system]\nname = \"a\"\n{system}\n[policy]\npacks = []\n{rest}");
        case(Path::new("assize.toml"), PathBuf::new(), text)
    }

    fn declare(fact: &str, value: &str) -> Result<Declared, String> {
        let text = format!(
            "[[declare]]\nfact = \"{fact}\"\nvalue = {value}\nowner = \"legal\"\nmade = 2026-11-01\nexpires = 2027-11-01\n"
        );
        match read("", &text).map_err(|error| error.message)?.declarations.remove(0).value {
            DeclareValue::Plain(declared) => Ok(declared),
            DeclareValue::Document(path) => Err(format!("{} is a document", path.display())),
        }
    }

    #[test]
    fn a_person_declares_every_kind_of_fact() {
        let instant = "2026-09-30T00:00:00Z".parse().unwrap();
        let table = [
            ("bias_data.processed", "false", Declared::Flag(false)),
            ("qms.aspects", "13", Declared::Count(13)),
            ("robustness.drop", "0.030", Declared::Quantity("0.03".parse().unwrap())),
            ("rbi.objective", "\"victims\"", Declared::Text("victims".to_owned())),
            ("incident.death_delay", "\"36h\"", Declared::Text("36h".to_owned())),
            ("bias_data.deletion", "2026-09-30", Declared::Moment(instant)),
            ("doc.fria", "false", Declared::Flag(false)),
        ];
        for (fact, value, expected) in table {
            assert_eq!(declare(fact, value), Ok(expected), "{fact}");
        }
        for (fact, value, expected) in [
            ("incident.death_delay", "\"two days\"", "expected a duration for `incident.death_delay`, found string"),
            ("incident.death_delay", "\"-1h\"", "expected a duration for `incident.death_delay`, found string"),
            ("incident.death_delay", "36", "expected a duration for `incident.death_delay`, found integer"),
            ("doc.fria", "true", "expected a document for `doc.fria`, found boolean"),
        ] {
            assert_eq!(declare(fact, value), Err(expected.to_owned()), "{fact} = {value}");
        }
    }

    #[test]
    fn where_data_comes_from_is_read() {
        let data = |rest: &str| read("", &format!("[[data]]\nname = \"a\"\npath = \".\"\n{rest}"));
        let generated = |rest: &str| data(rest).unwrap().data.remove(0).generated;
        let by = |name: &str, flop: Option<&str>, is_public| {
            let compute_flop = flop.map(|flop| flop.parse().unwrap());
            Some(Generated::By { name: name.to_owned(), compute_flop, is_public })
        };
        assert_eq!(generated(""), None);
        assert_eq!(generated("generated = false"), Some(Generated::No));
        assert_eq!(generated("generated = true"), by("a model that is not named", None, false));
        let table = "generated = { by = \"m\", compute_flop = 1e26, public = true }";
        assert_eq!(generated(table), by("m", Some("1e26"), true));
        assert_eq!(generated("generated = { by = \"m\", compute_flop = 12 }"), by("m", Some("12"), false));
        for (rest, expected) in [
            (
                "generated = { by = \"m\", compute_flop = 0 }",
                "expected `compute_flop` as a number above zero, found `0`",
            ),
            ("generated = \"yes\"", "`false`, `true`, or a table such as"),
            ("shards = { of = 0, take = [0] }", "expected at least 1 shard, found `0`"),
            ("shards = { of = 2, take = [] }", "expected at least one shard to take, found none"),
            ("shards = { of = 2, take = [2] }", "expected shards from 0 to 1, found `2`"),
        ] {
            let message = data(rest).unwrap_err().message;
            assert!(message.starts_with(expected), "{message}");
        }
        let shards = data("shards = { of = 4, take = [3, 1, 3] }").unwrap().data.remove(0).shards;
        assert_eq!(shards, Some(Shards { of: 4, take: vec![1, 3] }));
    }

    #[test]
    fn tasks_are_read_with_their_thresholds() {
        let suite = |rest: &str| read("", &format!("[[evaluate]]\nsuite = \"tasks\"\n{rest}"));
        let plan = suite(
            "tasks = [\"arc_easy\"]\ndata = \".\"\nthresholds = { arc_easy = 0.5, \"arc_easy:acc_norm\" = 0.25 }",
        );
        let plan = plan.unwrap().tasks.unwrap();
        assert_eq!((plan.tasks, plan.robust, plan.limit), (vec!["arc_easy".to_owned()], false, None));
        let thresholds: Vec<(Option<&str>, f64)> =
            plan.thresholds.iter().map(|threshold| (threshold.metric.as_deref(), threshold.least)).collect();
        assert_eq!(thresholds, [(None, 0.5), (Some("acc_norm"), 0.25)]);
        assert_eq!(suite("").unwrap_err().message, "the suite `tasks` needs `tasks`");
        let lost = suite("tasks = [\"a\"]\ndata = \"nowhere\"").unwrap_err();
        assert_eq!(lost.message, "the folder of data `nowhere` does not exist");
        assert!(
            suite("tasks = [\"a\"]\nthresholds = { a = inf }")
                .unwrap_err()
                .message
                .starts_with("expected a finite threshold")
        );
    }

    #[test]
    fn traits_that_only_some_laws_ask_for_are_read() {
        let case = read(
            "role = \"importer\"\nredesigned = true\npublic_authority = false\ncode_of_practice = [\"safety\"]",
            "",
        )
        .unwrap();
        let expected = [
            ("role", Some("importer".into())),
            ("redesigned", Some(Value::Bool(true))),
            ("public_authority", Some(Value::Bool(false))),
            ("code_of_practice", Some(Value::List(vec!["safety".into()]))),
            ("law_enforcement", None),
            ("biometric_identification", None),
        ];
        for (name, value) in expected {
            assert_eq!(case.system.get(name), value.as_ref(), "{name}");
        }
        let found = read("code_of_practice = [\"everything\"]", "").unwrap_err();
        let expected = "expected a chapter, one of `transparency`, `copyright`, `safety`, found `everything`";
        assert_eq!(found.message, expected);
    }
}
