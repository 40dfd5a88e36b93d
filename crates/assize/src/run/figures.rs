//! Readings into measurements.

use super::{INSTRUMENT, now};
use anyhow::Context as _;
use evidence::{DIGITS_MEASURED, Decimal, Digest, Interval, Json, Measurement, Provenance, Round, Subject, metric};
use meter::{Account, Cost, Joules, KINDS};

/// A measurement with the fields that most have; the rest is set by the caller.
pub(crate) fn measure(id: &str, subject: &Subject, value: Decimal, method: &str) -> anyhow::Result<Measurement> {
    Ok(Measurement {
        metric: metric::find(id).with_context(|| format!("no metric `{id}` in the catalogue"))?,
        subject: subject.clone(),
        value,
        interval: None,
        n: None,
        k: None,
        method: method.to_owned(),
        convention: None,
        inputs: Vec::new(),
        instrument: INSTRUMENT.to_owned(),
        provenance: Provenance::Measured,
        at: now(),
    })
}

/// An exact count of operations, rounded outward only beyond 15 digits.
pub(crate) fn flop(id: &str, subject: &Subject, count: u128, inputs: Vec<Digest>) -> anyhow::Result<Measurement> {
    let method = "counted step by step from the architecture";
    let bounds = (Decimal::from_u128(count, Round::Down), Decimal::from_u128(count, Round::Up));
    Ok(Measurement {
        interval: Some(Interval { lower: bounds.0, upper: bounds.1, level: None, method: "outward".to_owned() }),
        convention: Some(meter::flop::CONVENTION.to_owned()),
        inputs,
        ..measure(id, subject, Decimal::from_u128(count, Round::Nearest), method)?
    })
}

/// Exact bounds that enclose a figure: lower, central, upper.
pub(crate) fn enclosed(id: &str, subject: &Subject, bounds: [Decimal; 3], method: &str) -> anyhow::Result<Measurement> {
    let [lower, value, upper] = bounds;
    let interval = Interval { lower, upper, level: None, method: "outward".to_owned() };
    Ok(Measurement { interval: Some(interval), ..measure(id, subject, value, method)? })
}

/// A reading with bounds.
pub(crate) fn bounded(id: &str, subject: &Subject, bounds: Joules, method: &str) -> anyhow::Result<Measurement> {
    let decimal = |number, round| Decimal::from_f64(number, DIGITS_MEASURED, round);
    let interval = Interval {
        lower: decimal(bounds.lower, Round::Down)?,
        upper: decimal(bounds.upper, Round::Up)?,
        level: None,
        method: "outward".to_owned(),
    };
    let value = decimal(bounds.value, Round::Nearest)?;
    Ok(Measurement { interval: Some(interval), ..measure(id, subject, value, method)? })
}

/// Caps and spending of an account, for the record.
pub(crate) fn budget(account: &Account) -> Json {
    let (spent, caps) = (account.spent(), account.caps());
    let row = |(kind, (name, unit, _)): (usize, &(&str, evidence::Unit, u128))| {
        Json::map([
            ("name", Some((*name).into())),
            ("unit", Some(unit.symbol().into())),
            ("cap", caps.in_unit(kind).map(Json::from)),
            ("used", Some(spent.in_unit(kind, Round::Up).into())),
        ])
    };
    Json::List(KINDS.iter().enumerate().map(row).collect())
}

/// Spending in the journal's own integers, as text: what the next stage subtracts.
pub(crate) fn spent_json(spent: Cost) -> Json {
    Json::list(spent.0.map(|n| n.to_string()))
}

pub(crate) fn spent_of(json: &Json) -> Option<Cost> {
    let numbers = json.items().iter().map(|n| n.as_text()?.parse().ok()).collect::<Option<Vec<u128>>>()?;
    numbers.try_into().ok().map(Cost)
}
