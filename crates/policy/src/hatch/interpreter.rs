//! The regorus interpreter, with a limit on its steps in place of a clock.

use super::Check;
use regorus::utils::limits::{ExecutionTimerConfig, TimeSource, set_time_source};
use regorus::{Engine, Value};
use std::{cell::Cell, num::NonZeroU32, time::Duration};

pub(crate) const IS_SUPPORTED: bool = true;

/// Steps of the interpreter that one evaluation may take.
const STEPS_MAX: u64 = 1_000_000;

thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// One nanosecond a step: regorus takes it for a clock, and the same rule on the same input stops at the same step anywhere.
struct StepCounter;

impl TimeSource for StepCounter {
    fn now(&self) -> Option<Duration> {
        STEPS.with(|steps| {
            steps.set(steps.get().wrapping_add(1));
            Some(Duration::from_nanos(steps.get()))
        })
    }
}

fn engine(check: &Check) -> Result<Engine, String> {
    // Set once a process; whoever set it before did so here.
    let _ = set_time_source(&StepCounter);
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    let config = ExecutionTimerConfig { limit: Duration::from_nanos(STEPS_MAX), check_interval: NonZeroU32::MIN };
    engine.set_execution_timer_config(config);
    engine.add_policy(check.file.clone(), check.text.clone()).map_err(|error| error.to_string())?;
    Ok(engine)
}

/// What is wrong with the file, as far as it shows before there is an input.
pub(crate) fn problem(check: &Check) -> Option<String> {
    engine(check).err().map(|error| format!("the Rego cannot be read: {}", first_line(&error)))
}

/// The verdict the file gives for an input.
///
/// # Errors
/// Why there is none: undefined, not a text, an error of the evaluation, or the limit.
pub(crate) fn judge(check: &Check, input: &str) -> Result<String, String> {
    let mut engine = engine(check)?;
    engine.set_input(Value::from_json_str(input).map_err(|error| error.to_string())?);
    match engine.eval_rule(check.rule.clone()) {
        Ok(Value::String(text)) => Ok(text.to_string()),
        Ok(Value::Undefined) => Err("`verdict` is undefined".to_owned()),
        Ok(_) => Err("`verdict` is not a text".to_owned()),
        Err(error) if error.to_string().contains("exceeded time limit") => {
            Err(format!("it takes more than {STEPS_MAX} steps"))
        }
        Err(error) => Err(first_line(&error.to_string())),
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("an error without words")
        .chars()
        .take(200)
        .collect()
}
