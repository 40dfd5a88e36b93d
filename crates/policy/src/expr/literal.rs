//! Literals of time and text: what CEL would refuse only at run time is refused here at load.

use jiff::Timestamp;
use std::fmt::Write as _;

const NANOS: i64 = 1_000_000_000;

/// First instant of CEL's timestamps, 0001-01-01T00:00:00Z, in nanoseconds since 1970.
pub(crate) const INSTANT_MIN: i128 = -62_135_596_800 * NANOS as i128;
/// Last instant of CEL's timestamps, 9999-12-31T23:59:59.999999999Z, in nanoseconds since 1970.
pub(crate) const INSTANT_MAX: i128 = 253_402_300_800 * NANOS as i128 - 1;

/// `2026-08-02T00:00:00Z`, with an optional fraction and `Z` or `±hh:mm`; `None` for anything else.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !bytes.is_ascii() {
        return None;
    }
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    let is_form = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits)
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].into_iter().all(|(at, mark)| bytes[at] == mark);
    let rest = &text[19..];
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            let n_digits = fraction.len() - zone.len();
            (1..=9).contains(&n_digits).then_some(zone)?
        }
        None => rest,
    };
    let is_zone = zone == "Z" || {
        let zone = zone.as_bytes();
        zone.len() == 6
            && matches!(zone[0], b'+' | b'-')
            && zone[3] == b':'
            && [1, 2, 4, 5].into_iter().all(|at| zone[at].is_ascii_digit())
    };
    if !is_form || !is_zone || &bytes[17..19] == b"60" {
        return None;
    }
    let time: Timestamp = text.parse().ok()?;
    (INSTANT_MIN..=INSTANT_MAX).contains(&time.as_nanosecond()).then_some(time)
}

/// `1h30m`, `360h`, `0.41s`, `-2m`: hours, minutes, seconds in this order, seconds with up to nine decimals; in nanoseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    for (mark, seconds) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(mark) else { continue };
        total = total.checked_add(scaled(number, seconds)?)?;
        rest = after;
    }
    rest.is_empty().then_some(sign * total)
}

/// A plain number of a unit of so many seconds, in nanoseconds.
fn scaled(number: &str, seconds: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.len() <= 19 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 || (seconds != 1 && number.contains('.')) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(NANOS)?.checked_add(nanos)
}

/// A duration as `parse_duration` reads it: hours, minutes and seconds, whole parts left out when zero.
#[must_use]
pub fn duration_text(nanos: i64) -> String {
    let (sign, size) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (seconds, fraction) = (size / NANOS as u64, size % NANOS as u64);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = sign.to_owned();
    if hours > 0 {
        let _ = write!(out, "{hours}h");
    }
    if minutes > 0 {
        let _ = write!(out, "{minutes}m");
    }
    if fraction > 0 {
        let _ = write!(out, "{seconds}.{}s", format!("{fraction:09}").trim_end_matches('0'));
    } else if seconds > 0 || size < NANOS as u64 {
        let _ = write!(out, "{seconds}s");
    }
    out
}

/// Text as a literal of the subset.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_alike() {
        for (text, nanos) in [
            ("0s", 0),
            ("1s", NANOS),
            ("0.41s", 410_000_000),
            ("360h", 1_296_000 * NANOS),
            ("1h30m", 5400 * NANOS),
            ("-2m", -120 * NANOS),
            ("1h0.000000001s", 3600 * NANOS + 1),
        ] {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
            assert_eq!(duration_text(nanos), text);
        }
    }

    #[test]
    fn days_words_and_wrong_order_are_no_durations() {
        for text in [
            "",
            "-",
            "1",
            "1d",
            "15 days",
            "1m1h",
            "1.5h",
            "s",
            "1.s",
            ".5s",
            "+1s",
            "1s1s",
            "2562048h",
            "0.1234567890s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn only_whole_rfc_3339_times_are_timestamps() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00.5+01:00", 500_000_000),
            ("0001-01-01T00:00:00Z", INSTANT_MIN),
        ] {
            assert_eq!(parse_timestamp(text).map(Timestamp::as_nanosecond), Some(nanos), "{text}");
        }
        for text in [
            "2026-08-02",
            "2026-08-02T00:00:00",
            "2026-08-02 00:00:00Z",
            "2026-08-02T00:00Z",
            "2026-13-02T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-08-02T00:00:60Z",
            "2026-08-02T00:00:00+0100",
            "2026-08-02T00:00:00z",
            "0000-01-01T00:00:00Z",
            "２026-08-02T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
