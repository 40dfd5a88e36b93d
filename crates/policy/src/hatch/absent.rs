//! No Rego in this build: a card with a Rego file is refused when it is loaded.

use super::Check;

pub(crate) const IS_SUPPORTED: bool = false;

pub(crate) fn problem(_: &Check) -> Option<String> {
    Some("this build evaluates no Rego; build with the feature `rego` of assize-policy".to_owned())
}

pub(crate) fn judge(_: &Check, _: &str) -> Result<String, String> {
    Err("this build evaluates no Rego".to_owned())
}
