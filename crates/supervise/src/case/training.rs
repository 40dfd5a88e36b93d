//! `[train]`: how weights are moved, what holds them back, and what is done when it goes wrong.

use super::{
    CaseError,
    read::Reader,
    selection::{Classifier, LambdaPlan},
    wire,
};
use toml::Spanned;

#[derive(Debug, Clone)]
pub struct TrainPlan {
    pub tokens: u64,
    pub batch: usize,
    pub seed: u64,
    /// Share of documents held out, in (0, 1).
    pub held_out: f64,
    pub held_out_by: HeldOutBy,
    pub optimizer: Optimizer,
    pub learning_rate: f64,
    pub schedule: Schedule,
    pub accumulate: usize,
    /// Into which a batch is cut, so that ranks may share it.
    pub parts: Option<usize>,
    pub clip_value: Option<f64>,
    pub clip_norm: Option<f64>,
    pub penalty: Penalty,
    pub dropout: f64,
    pub label_smoothing: f64,
    pub early_stop: Option<EarlyStop>,
    pub checkpoints: bool,
    /// Whether weights and activations are seen in bf16; masters are f32 either way.
    pub bf16: bool,
    /// How the weight of a penalty is chosen, where it is not given.
    pub lambda: Option<LambdaPlan>,
    pub classifier: Option<Classifier>,
    pub snapshot_every: u64,
    pub keep_snapshots: usize,
    pub on_trouble: OnTrouble,
    pub chat: Option<Chat>,
    /// Of a mixture; without it, and without weights, each document is taken once an epoch.
    pub temperature: Option<f64>,
    pub order: Order,
}

/// The order in which text is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Shuffled,
    /// As the sources and their files stand.
    AsGiven,
    /// Short documents before long ones.
    ShortFirst,
    /// The documents of the first `[[data]]` before those of the second, and so on; within each by seed.
    BySource,
}

/// Of what the held-out share is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOutBy {
    /// Of all documents together.
    Corpus,
    /// Of each source apart, so that each stands on both sides in its share.
    Source,
}

/// How a document is read as a conversation: what its turns begin with, at the beginning of a line. Answers alone are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    pub user: String,
    pub assistant: String,
    /// What is said before every conversation, in the template's own role.
    pub system: Option<String>,
}

/// One of [`OPTIMIZERS`], with the settings that were given.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    pub name: &'static str,
    pub settings: Vec<(&'static str, f64)>,
    pub nesterov: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    Constant,
    Linear { warmup: f64, floor: f64 },
    Cosine { warmup: f64, floor: f64 },
    StableDecay { warmup: f64, floor: f64, decay: f64 },
}

/// The λ of J = J_D + λJ_R for each penalty.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalty {
    pub l1: f64,
    pub l2: f64,
    pub heads: f64,
    pub channels: f64,
}

/// Every so many steps held-out text is scored; after so many looks without a new best the run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyStop {
    pub every: u64,
    pub patience: u64,
}

/// What is done when training goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnTrouble {
    pub not_finite: Answer,
    pub spike: Answer,
    pub divergence: Answer,
    pub loader: Answer,
    /// By how much `LowerRate` and `RollBack` shorten later steps, in hundredths.
    pub percent: u32,
    /// Batches that `RollBack` leaves out.
    pub skip: u64,
    /// Adjustments after which the run stops instead.
    pub at_most: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Continue,
    /// Stop, with a state from which a person may go on.
    Pause,
    LowerRate,
    RollBack,
    Stop,
}

impl Answer {
    const ALL: [Self; 5] = [Self::Continue, Self::Pause, Self::LowerRate, Self::RollBack, Self::Stop];

    /// As a case writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Pause => "pause",
            Self::LowerRate => "lower-rate",
            Self::RollBack => "roll-back",
            Self::Stop => "stop",
        }
    }
}

/// The optimisers and the settings each of them has.
const OPTIMIZERS: [(&str, &[&str]); 7] = [
    ("adamw", &["beta1", "beta2", "eps", "weight_decay"]),
    ("adam", &["beta1", "beta2", "eps"]),
    ("sgd", &["momentum", "nesterov"]),
    ("gradient-descent", &[]),
    ("lion", &["beta1", "beta2", "weight_decay"]),
    ("adafactor", &["beta2_decay", "eps", "scale_floor", "update_clip", "weight_decay"]),
    ("muon", &["momentum", "beta1", "beta2", "eps", "weight_decay"]),
];

impl Reader<'_> {
    pub(super) fn train(&self, train: wire::Train, is_scratch: bool) -> Result<TrainPlan, CaseError> {
        if *train.tokens.get_ref() == 0 {
            return Err(self.complain(train.tokens.span(), "expected at least one token to train on, found `0`", ""));
        }
        let share = |what, number: Option<Spanned<f64>>| {
            number.map_or(Ok(0.0), |number| self.at_least_zero(what, &number, 1.0))
        };
        let norm = |what, number: Option<Spanned<f64>>| {
            number.map(|number| self.within(what, &number, 0.0, f64::INFINITY)).transpose()
        };
        let schedule = Schedule::Cosine { warmup: 0.05, floor: 0.1 };
        Ok(TrainPlan {
            tokens: train.tokens.into_inner(),
            batch: self.at_least_one("a batch", train.batch.as_ref(), 16)?,
            seed: train.seed.unwrap_or(0),
            held_out: train.held_out.map_or(Ok(0.1), |share| self.within("a share", &share, 0.0, 1.0))?,
            held_out_by: match train.held_out_by {
                None => HeldOutBy::Corpus,
                Some(by) => match self.known("unit", &by, &["corpus", "source"])?.as_str() {
                    "source" => HeldOutBy::Source,
                    _ => HeldOutBy::Corpus,
                },
            },
            learning_rate: self.within("a learning rate", &train.optimizer.learning_rate, 0.0, 100.0)?,
            optimizer: self.optimizer(&train.optimizer)?,
            schedule: train.schedule.map_or(Ok(schedule), |schedule| self.schedule(&schedule))?,
            accumulate: self.at_least_one("a count of batches", train.accumulate.as_ref(), 1)?,
            parts: train.parts.map(|parts| self.at_least_one("a count of parts", Some(&parts), 1)).transpose()?,
            clip_value: norm("a limit", train.clip_value)?,
            clip_norm: norm("a norm", train.clip_norm)?,
            penalty: train.penalty.map_or(Ok(Penalty::default()), |penalty| self.penalty(&penalty))?,
            dropout: share("a dropout rate", train.dropout)?,
            label_smoothing: share("a share of label smoothing", train.label_smoothing)?,
            early_stop: train.early_stop.map(|stop| self.early_stop(&stop)).transpose()?,
            checkpoints: train.checkpoints,
            bf16: match train.precision {
                None => false,
                Some(precision) => self.known("precision", &precision, &["f32", "bf16"])? == "bf16",
            },
            lambda: train.lambda.map(|lambda| self.lambda(lambda)).transpose()?,
            classifier: train.classifier.map(|classifier| self.classifier(classifier)).transpose()?,
            snapshot_every: train.snapshot_every.unwrap_or(100).max(1),
            keep_snapshots: self.at_least_one("snapshots to keep", train.keep_snapshots.as_ref(), 2)?,
            on_trouble: self.on_trouble(train.on_trouble)?,
            temperature: train
                .temperature
                .map(|temperature| self.within("a temperature", &temperature, 0.0, f64::INFINITY))
                .transpose()?,
            order: match train.order {
                None => Order::Shuffled,
                Some(order) => {
                    let names = ["shuffled", "as-given", "short-first", "by-source"];
                    match self.known("order", &order, &names)?.as_str() {
                        "shuffled" => Order::Shuffled,
                        "as-given" => Order::AsGiven,
                        "short-first" => Order::ShortFirst,
                        _ => Order::BySource,
                    }
                }
            },
            chat: train.chat.map(|chat| self.chat(chat, is_scratch)).transpose()?,
        })
    }

    pub(super) fn at_least_one(
        &self,
        what: &str,
        number: Option<&Spanned<usize>>,
        absent: usize,
    ) -> Result<usize, CaseError> {
        match number {
            None => Ok(absent),
            Some(number) if *number.get_ref() == 0 => {
                Err(self.complain(number.span(), format!("expected {what} of at least 1, found `0`"), ""))
            }
            Some(number) => Ok(*number.get_ref()),
        }
    }

    /// From 0, which is allowed, to `high`, which is not.
    pub(super) fn at_least_zero(&self, what: &str, number: &Spanned<f64>, high: f64) -> Result<f64, CaseError> {
        let value = *number.get_ref();
        if (0.0..high).contains(&value) {
            return Ok(value);
        }
        let high = if high.is_finite() { format!("and below {high}") } else { "and finite".to_owned() };
        Err(self.complain(number.span(), format!("expected {what} of at least 0 {high}, found `{value}`"), ""))
    }

    fn optimizer(&self, given: &wire::Optimizer) -> Result<Optimizer, CaseError> {
        let names = OPTIMIZERS.map(|(name, _)| name);
        let said = self.known("optimizer", &given.name, &names)?;
        let (name, known) = OPTIMIZERS.into_iter().find(|(name, _)| *name == said).unwrap_or(OPTIMIZERS[0]);
        let foreign = |key: &str, span| {
            let has = if known.is_empty() { "none".to_owned() } else { format!("`{}`", known.join("`, `")) };
            self.complain(
                span,
                format!("`{key}` is no setting of `{name}`"),
                format!("beside the learning rate it has {has}"),
            )
        };
        let mut settings = Vec::new();
        for (key, number) in [
            ("momentum", &given.momentum),
            ("beta1", &given.beta1),
            ("beta2", &given.beta2),
            ("beta2_decay", &given.beta2_decay),
            ("eps", &given.eps),
            ("scale_floor", &given.scale_floor),
            ("update_clip", &given.update_clip),
            ("weight_decay", &given.weight_decay),
        ] {
            let Some(number) = number else { continue };
            if !known.contains(&key) {
                return Err(foreign(key, number.span()));
            }
            let what = format!("`{key}`");
            let value = match key {
                "momentum" | "beta1" | "beta2" | "beta2_decay" => self.at_least_zero(&what, number, 1.0)?,
                "weight_decay" => self.at_least_zero(&what, number, f64::INFINITY)?,
                _ => self.within(&what, number, 0.0, f64::INFINITY)?,
            };
            settings.push((key, value));
        }
        let nesterov = given.nesterov.as_ref();
        if let Some(flag) = nesterov.filter(|_| !known.contains(&"nesterov")) {
            return Err(foreign("nesterov", flag.span()));
        }
        Ok(Optimizer { name, settings, nesterov: nesterov.is_some_and(|flag| *flag.get_ref()) })
    }

    fn schedule(&self, schedule: &wire::Schedule) -> Result<Schedule, CaseError> {
        let names = ["constant", "linear", "cosine", "warmup-stable-decay"];
        let name = self.known("schedule", &schedule.name, &names)?;
        let (warmup, floor) = (schedule.warmup.unwrap_or(0.0), schedule.floor.unwrap_or(0.0));
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if !is_share(warmup) || !is_share(floor) {
            let message = format!("expected `warmup` and `floor` as shares from 0 to 1, found {warmup} and {floor}");
            return Err(self.complain(schedule.name.span(), message, ""));
        }
        if let Some(decay) = schedule.decay.as_ref().filter(|_| name != "warmup-stable-decay") {
            let message = format!("`decay` is no setting of the schedule `{name}`");
            return Err(self.complain(
                decay.span(),
                message,
                "it is the share of the steps over which `warmup-stable-decay` falls",
            ));
        }
        Ok(match name.as_str() {
            "constant" => Schedule::Constant,
            "linear" => Schedule::Linear { warmup, floor },
            "cosine" => Schedule::Cosine { warmup, floor },
            _ => {
                let decay = schedule.decay.as_ref().map_or(Ok(0.2), |share| self.within("a share", share, 0.0, 1.0))?;
                Schedule::StableDecay { warmup, floor, decay }
            }
        })
    }

    fn penalty(&self, penalty: &wire::Penalty) -> Result<Penalty, CaseError> {
        let weight = |number: &Option<Spanned<f64>>| {
            number.as_ref().map_or(Ok(0.0), |number| self.at_least_zero("a weight", number, f64::INFINITY))
        };
        Ok(Penalty {
            l1: weight(&penalty.l1)?,
            l2: weight(&penalty.l2)?,
            heads: weight(&penalty.heads)?,
            channels: weight(&penalty.channels)?,
        })
    }

    fn chat(&self, chat: Spanned<wire::Chat>, is_scratch: bool) -> Result<Chat, CaseError> {
        let span = chat.span();
        let wire::Chat { user, assistant, system } = chat.into_inner();
        if is_scratch {
            let hint = "name the model with `base` under `[model]`, or leave `chat` out";
            return Err(self.complain(span, "`chat` needs a model that has a chat template", hint));
        }
        let (user, assistant) = (user.unwrap_or_else(|| "Q:".to_owned()), assistant.unwrap_or_else(|| "A:".to_owned()));
        if user.trim().is_empty() || assistant.trim().is_empty() || user == assistant {
            let message = format!("expected two different beginnings of a turn, found `{user}` and `{assistant}`");
            return Err(self.complain(span, message, ""));
        }
        Ok(Chat { user, assistant, system })
    }

    fn early_stop(&self, stop: &wire::EarlyStop) -> Result<EarlyStop, CaseError> {
        for (key, count) in [("every", &stop.every), ("patience", &stop.patience)] {
            if *count.get_ref() == 0 {
                return Err(self.complain(count.span(), format!("expected `{key}` of at least 1, found `0`"), ""));
            }
        }
        Ok(EarlyStop { every: *stop.every.get_ref(), patience: *stop.patience.get_ref() })
    }

    fn on_trouble(&self, given: Option<wire::OnTrouble>) -> Result<OnTrouble, CaseError> {
        let mut on = OnTrouble {
            not_finite: Answer::Stop,
            spike: Answer::Continue,
            divergence: Answer::Continue,
            loader: Answer::Stop,
            percent: 50,
            skip: 0,
            at_most: 3,
        };
        let Some(given) = given else { return Ok(on) };
        let names = Answer::ALL.map(Answer::name);
        let read = |answer: &mut Answer, said: &Option<Spanned<String>>, allowed: &[&str]| {
            let Some(said) = said else { return Ok(()) };
            let name = self.known("reaction", said, allowed)?;
            *answer = Answer::ALL.into_iter().find(|known| known.name() == name).unwrap_or(*answer);
            Ok(())
        };
        read(&mut on.not_finite, &given.not_finite, &["pause", "roll-back", "stop"])?;
        read(&mut on.spike, &given.spike, &names)?;
        read(&mut on.divergence, &given.divergence, &names)?;
        // A batch that does not come is asked for again, or not.
        read(&mut on.loader, &given.loader, &["continue", "pause", "stop"])?;
        if let Some(percent) = &given.percent {
            if !(1..=100).contains(percent.get_ref()) {
                let message = format!("expected `percent` from 1 to 100, found `{}`", percent.get_ref());
                return Err(self.complain(percent.span(), message, ""));
            }
            on.percent = *percent.get_ref();
        }
        on.skip = given.skip.unwrap_or(on.skip);
        on.at_most = given.at_most.unwrap_or(on.at_most);
        Ok(on)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Case, CaseError};

    fn read(train: &str) -> Result<Case, CaseError> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[system]\nname = \"a\"\n[policy]\npacks = []\n[train]\ntokens = 10\n{train}\n");
        std::fs::write(folder.path().join("assize.toml"), text).unwrap();
        Case::read(folder.path())
    }

    #[test]
    fn every_optimizer_is_read_with_its_own_settings() {
        for (written, name, settings) in [
            ("name = \"adamw\", weight_decay = 0.1", "adamw", &[("weight_decay", 0.1)][..]),
            ("name = \"adam\", beta2 = 0.99", "adam", &[("beta2", 0.99)]),
            ("name = \"sgd\", momentum = 0.9, nesterov = true", "sgd", &[("momentum", 0.9)]),
            ("name = \"gradient-descent\"", "gradient-descent", &[]),
            ("name = \"lion\", beta1 = 0.95", "lion", &[("beta1", 0.95)]),
            (
                "name = \"adafactor\", beta2_decay = 0.7, update_clip = 2.0",
                "adafactor",
                &[("beta2_decay", 0.7), ("update_clip", 2.0)],
            ),
            ("name = \"muon\", momentum = 0.9", "muon", &[("momentum", 0.9)]),
        ] {
            let case = read(&format!("optimizer = {{ learning_rate = 1e-3, {written} }}")).unwrap();
            let optimizer = case.train.unwrap().optimizer;
            assert_eq!((optimizer.name, optimizer.settings.as_slice()), (name, settings));
            assert_eq!(optimizer.nesterov, name == "sgd");
        }
    }

    #[test]
    fn bad_values_are_told_with_their_place_and_a_way_out() {
        let adamw = "optimizer = { name = \"adamw\", learning_rate = 1e-3 }\n";
        for (train, place, message, hint) in [
            (
                "optimizer = { name = \"lion\", learning_rate = 1e-3, eps = 1e-8 }".to_owned(),
                (7, 58),
                "`eps` is no setting of `lion`",
                "beside the learning rate it has `beta1`, `beta2`, `weight_decay`",
            ),
            (
                "optimizer = { name = \"gradient-descent\", learning_rate = 1e-3, nesterov = true }".to_owned(),
                (7, 75),
                "`nesterov` is no setting of `gradient-descent`",
                "beside the learning rate it has none",
            ),
            (
                "optimizer = { name = \"sgd\", learning_rate = 1e-3, momentum = 1.0 }".to_owned(),
                (7, 62),
                "expected `momentum` of at least 0 and below 1, found `1`",
                "",
            ),
            (
                format!("{adamw}dropout = 1.0"),
                (8, 11),
                "expected a dropout rate of at least 0 and below 1, found `1`",
                "",
            ),
            (format!("{adamw}accumulate = 0"), (8, 14), "expected a count of batches of at least 1, found `0`", ""),
            (
                format!("{adamw}penalty = {{ heads = -1.0 }}"),
                (8, 21),
                "expected a weight of at least 0 and finite, found `-1`",
                "",
            ),
            (
                format!("{adamw}early_stop = {{ every = 5, patience = 0 }}"),
                (8, 38),
                "expected `patience` of at least 1, found `0`",
                "",
            ),
            (
                format!("{adamw}schedule = {{ name = \"cosine\", decay = 0.2 }}"),
                (8, 39),
                "`decay` is no setting of the schedule `cosine`",
                "it is the share of the steps over which `warmup-stable-decay` falls",
            ),
            (
                format!("{adamw}on_trouble = {{ not-finite = \"continue\" }}"),
                (8, 29),
                "expected a reaction, one of `pause`, `roll-back`, `stop`, found `continue`",
                "",
            ),
            (
                format!("{adamw}on_trouble = {{ percent = 0 }}"),
                (8, 26),
                "expected `percent` from 1 to 100, found `0`",
                "",
            ),
            (
                format!("{adamw}chat = {{ }}"),
                (8, 8),
                "`chat` needs a model that has a chat template",
                "name the model with `base` under `[model]`, or leave `chat` out",
            ),
        ] {
            let error = read(&train).unwrap_err();
            assert_eq!((error.line, error.column), place, "{train}: {error}");
            assert_eq!((error.message.as_str(), error.hint.as_str()), (message, hint), "{train}");
        }
    }
}
