//! Base64 as the formats here use it.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT},
};

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// RFC 4648 section 4, padded, no stray bits: one text for one value.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// SPEC: DSSE v1.0.2: either standard or URL-safe.
pub(crate) fn from_either_base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) { &URL_SAFE_PAD_INDIFFERENT } else { &STANDARD_PAD_INDIFFERENT }.decode(text).ok()
}

/// A decimal without sign and leading zeros.
pub(crate) fn to_count(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
