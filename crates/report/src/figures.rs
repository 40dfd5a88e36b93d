//! Single values as a person reads them: each verbatim from the entry, only spaced, linked or shortened with the whole
//! in its title.

use crate::{Record, html::Html, run, run::Run};
use evidence::{Decimal, Digest, Json};

/// Hexadecimal digits of a digest that are shown; the whole stands in the title.
const DIGEST_SHOWN: usize = 12;
/// Whole numbers of fewer digits are not spaced.
const GROUPED_FROM: usize = 5;
const GROUP: usize = 3;

/// A number spaced in groups of three by elements that hold no character, so that its text stays as it was signed.
pub(crate) fn figure(html: &mut Html, number: &str) {
    let body = number.strip_prefix('-').unwrap_or(number);
    let whole = body.split(['.', 'e', 'E']).next().unwrap_or(body);
    if whole.len() < GROUPED_FROM || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return html.leaf("span", &[("class", "figure")], number);
    }
    let first = match whole.len() % GROUP {
        0 => GROUP,
        rest => rest,
    };
    let sign = &number[..number.len() - body.len()];
    html.within("span", &[("class", "figure")], |html| {
        html.text(sign);
        html.text(&whole[..first]);
        let mut rest = &whole[first..];
        while !rest.is_empty() {
            let (group, after) = rest.split_at(GROUP.min(rest.len()));
            html.leaf("i", &[], group);
            rest = after;
        }
        html.text(&body[whole.len()..]);
    });
}

/// A scalar, a digest, or a short list of them, on one line.
pub(crate) fn value(html: &mut Html, json: &Json) {
    match json {
        Json::Bool(value) => html.text(if *value { "yes" } else { "no" }),
        Json::Int(value) => figure(html, &value.to_string()),
        Json::Decimal(value) => figure(html, &value.to_string()),
        Json::Text(text) => written(html, text),
        Json::List(items) => {
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    html.raw(", ");
                }
                value(html, item);
            }
        }
        Json::Map(members) => match run::digest(json).or_else(|| subject_digest(json)) {
            Some(sha256) => named_digest(html, run::text(json, &["name"]), sha256),
            None => {
                for (position, (key, item)) in members.iter().enumerate() {
                    if position > 0 {
                        html.raw(" · ");
                    }
                    html.text(key);
                    html.raw("\u{a0}");
                    value(html, item);
                }
            }
        },
    }
}

/// The digest of an in-toto `ResourceDescriptor` that has a name and a digest alone.
fn subject_digest(json: &Json) -> Option<Digest> {
    let is_subject = json.members()?.keys().all(|key| matches!(key.as_str(), "name" | "digest"));
    is_subject.then(|| run::digest(json.get("digest")?))?
}

/// Text by what it looks like: a number, a digest, a moment, an address, or itself.
fn written(html: &mut Html, text: &str) {
    if let Ok(sha256) = text.parse::<Digest>() {
        digest(html, sha256);
    } else if text.parse::<Decimal>().is_ok() {
        figure(html, text);
    } else if is_moment(text) {
        moment(html, text);
    } else if text.starts_with("https://") && !text.contains(char::is_whitespace) {
        html.leaf("a", &[("href", text), ("rel", "noreferrer noopener"), ("class", "outside")], text);
    } else {
        html.text(text);
    }
}

fn is_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.is_ascii()
        && bytes.len() >= 20
        && bytes[10] == b'T'
        && bytes[4] == b'-'
        && bytes[13] == b':'
        && text.ends_with('Z')
}

/// A moment to the second; as it was signed in the title.
pub(crate) fn moment(html: &mut Html, text: &str) {
    if !is_moment(text) {
        return html.text(text);
    }
    html.within("time", &[("datetime", text), ("title", text)], |html| {
        html.text(&text[..10]);
        html.raw(" ");
        html.text(&text[11..19]);
        html.raw("\u{a0}UTC");
    });
}

pub(crate) fn digest(html: &mut Html, digest: Digest) {
    let whole = digest.to_string();
    html.within("code", &[("class", "digest"), ("title", &format!("sha256:{whole}"))], |html| {
        html.text(&whole[..DIGEST_SHOWN]);
        html.raw("…");
    });
}

fn named_digest(html: &mut Html, name: Option<&str>, sha256: Digest) {
    if let Some(name) = name {
        html.leaf("span", &[("class", "name")], name);
        html.raw(" ");
    }
    digest(html, sha256);
}

/// `json.value` with `json.unit`; the unit of pure numbers is left out.
pub(crate) fn quantity(html: &mut Html, json: &Json) {
    if let Some(number) = json.get("value") {
        value(html, number);
        unit(html, json);
    }
}

pub(crate) fn unit(html: &mut Html, json: &Json) {
    if let Some(unit) = run::text(json, &["unit"]).filter(|unit| *unit != "1") {
        html.raw("\u{a0}");
        html.leaf("span", &[("class", "unit")], unit);
    }
}

/// The interval of `json`, from `lower` and `upper` or those of a proportion; nothing when it has none.
pub(crate) fn interval(html: &mut Html, json: &Json) {
    let bound = |keys: [&str; 2]| keys.iter().find_map(|key| json.get(key));
    if let (Some(lower), Some(upper)) = (bound(["lower", "lower95"]), bound(["upper", "upper95"])) {
        html.within("span", &[("class", "interval")], |html| {
            let number = json.get("value").and_then(Json::as_decimal);
            if number.is_some() && lower.as_decimal() == number && upper.as_decimal() == number {
                return html.raw("exact");
            }
            value(html, lower);
            html.raw(" to ");
            value(html, upper);
        });
    }
}

/// `k of n`, or `n` alone.
pub(crate) fn sample(html: &mut Html, json: &Json) {
    if let Some(n) = json.get("n") {
        if let Some(k) = json.get("k") {
            value(html, k);
            html.raw(" of ");
        }
        value(html, n);
    }
}

/// How far a number can be trusted: sign and word, never colour alone.
pub(crate) fn provenance(html: &mut Html, name: &str) {
    let (class, symbol) = match name {
        "measured" => ("badge measured", "measured"),
        "independent" => ("badge measured", "independent"),
        "inferred" => ("badge inferred", "inferred"),
        "declared" => ("badge declared", "declared"),
        _ => ("badge", "none"),
    };
    html.within("span", &[("class", class)], |html| {
        html.symbol(symbol);
        html.text(name);
    });
}

/// A link to the entry in the table of the log.
pub(crate) fn entry(html: &mut Html, record: &Record) {
    let index = record.index.to_string();
    html.leaf("a", &[("class", "entry"), ("href", &format!("#entry-{index}"))], &format!("entry {index}"));
}

/// The entry that a digest names, when it belongs to the run; else the digest.
pub(crate) fn source(html: &mut Html, run: &Run<'_>, sha256: Digest) {
    match run.entry(sha256) {
        Some(record) => entry(html, record),
        None => digest(html, sha256),
    }
}

/// Anything that was signed, as nested lists of names and values.
pub(crate) fn tree(html: &mut Html, json: &Json) {
    match json {
        Json::Map(members) if run::digest(json).is_none() => html.within("dl", &[("class", "tree")], |html| {
            for (key, item) in members {
                html.leaf("dt", &[], &spaced(key));
                html.within("dd", &[], |html| tree(html, item));
            }
        }),
        Json::List(items) if items.iter().any(|item| matches!(item, Json::Map(_) | Json::List(_))) => {
            html.within("ul", &[("class", "tree")], |html| {
                for item in items {
                    html.within("li", &[], |html| value(html, item));
                }
            });
        }
        scalar => value(html, scalar),
    }
}

/// `nDocuments` and `weight_decay` as words: `n documents`, `weight decay`.
pub(crate) fn spaced(key: &str) -> String {
    let mut words = String::new();
    for character in key.chars() {
        match character {
            '_' => words.push(' '),
            upper if upper.is_ascii_uppercase() => {
                if words.ends_with(|last: char| last.is_ascii_lowercase()) {
                    words.push(' ');
                }
                words.push(upper.to_ascii_lowercase());
            }
            other => words.push(other),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: &str) -> String {
        let mut html = Html::default();
        figure(&mut html, number);
        html.finish()
    }

    #[test]
    fn figures_are_spaced_and_keep_their_characters() {
        assert_eq!(shown("1620000"), "<span class=\"figure\">1<i>620</i><i>000</i></span>");
        assert_eq!(shown("-12345.678"), "<span class=\"figure\">-12<i>345</i>.678</span>");
        assert_eq!(shown("1234"), "<span class=\"figure\">1234</span>");
        assert_eq!(shown("0.000012"), "<span class=\"figure\">0.000012</span>");
    }

    #[test]
    fn keys_become_words() {
        assert_eq!(spaced("nDocuments"), "n documents");
        assert_eq!(spaced("weight_decay"), "weight decay");
    }

    #[test]
    fn only_https_addresses_become_links() {
        let mut html = Html::default();
        value(&mut html, &"javascript:alert(1)".into());
        value(&mut html, &"https://a.example/\"x".into());
        assert_eq!(
            html.finish(),
            "javascript:alert(1)<a href=\"https://a.example/&quot;x\" rel=\"noreferrer noopener\" class=\"outside\">https://a.example/&quot;x</a>"
        );
    }
}
