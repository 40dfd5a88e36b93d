//! JUnit XML: one suite a pack, one case a rule. It is red exactly when the decision denies.

use super::{Checked, Row, idle_waivers, waived_by};
use std::fmt::Write as _;

/// What a rule comes to for a reader that knows four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Passed,
    Failure,
    Error,
    Skipped,
}

/// The decision as JUnit XML.
#[must_use]
pub fn junit(checked: &Checked<'_>) -> String {
    let rows = Row::all(checked);
    let mut packs: Vec<&str> = Vec::new();
    for row in &rows {
        if !packs.contains(&row.pack) {
            packs.push(row.pack);
        }
    }
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&Row<'_>> = rows.iter().collect();
    let name = format!(
        "assize {} as of {}",
        checked.system,
        super::run::text(checked.decision, &["as_of"]).unwrap_or_default()
    );
    let _ = writeln!(xml, "<testsuites name=\"{}\"{}>", escaped(&name), counts(&all));
    for pack in packs {
        let of_pack: Vec<&Row<'_>> = rows.iter().filter(|row| row.pack == pack).collect();
        let _ = writeln!(xml, "  <testsuite name=\"{}\"{}>", escaped(pack), counts(&of_pack));
        of_pack.iter().for_each(|row| case(&mut xml, row));
        let _ = writeln!(xml, "  </testsuite>");
    }
    let idle = idle_waivers(checked.decision);
    if !idle.is_empty() {
        let n = idle.len();
        let _ =
            writeln!(xml, "  <testsuite name=\"waivers\" tests=\"{n}\" failures=\"0\" errors=\"0\" skipped=\"{n}\">");
        for (rule, sentence) in idle {
            let (rule, sentence) = (escaped(rule), escaped(&sentence));
            let _ = writeln!(
                xml,
                "    <testcase classname=\"waivers\" name=\"{rule}\"><skipped message=\"{sentence}\"/></testcase>"
            );
        }
        let _ = writeln!(xml, "  </testsuite>");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// A rule that is only reported cannot fail a build: what it came to stands in the message of a skipped case.
fn outcome(row: &Row<'_>) -> Case {
    match row.outcome {
        "pass" => Case::Passed,
        "not-applicable" | "not-in-force" => Case::Skipped,
        _ if row.waiver.is_some() || !row.is_enforced() => Case::Skipped,
        "fail" => Case::Failure,
        _ => Case::Error,
    }
}

fn counts(rows: &[&Row<'_>]) -> String {
    let n = |wanted: Case| rows.iter().filter(|row| outcome(row) == wanted).count();
    let (failures, errors, skipped) = (n(Case::Failure), n(Case::Error), n(Case::Skipped));
    format!(" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"", rows.len())
}

fn case(xml: &mut String, row: &Row<'_>) {
    let (pack, rule) = (escaped(row.pack), escaped(row.rule));
    let _ = write!(xml, "    <testcase classname=\"{pack}\" name=\"{rule}\">");
    let message = escaped(&format!("{}: {}", row.verdict(), row.sentence));
    let _ = match outcome(row) {
        Case::Passed => Ok(()),
        Case::Skipped => write!(xml, "<skipped message=\"{message}{}\"/>", escaped(&aside(row))),
        Case::Failure => write!(
            xml,
            "<failure type=\"{}\" message=\"{message}\">{}</failure>",
            escaped(row.code),
            content(&body(row))
        ),
        Case::Error => {
            write!(xml, "<error type=\"{}\" message=\"{message}\">{}</error>", escaped(row.code), content(&body(row)))
        }
    };
    xml.push_str("</testcase>\n");
}

/// Why what is not met does not count.
fn aside(row: &Row<'_>) -> String {
    match row.waiver {
        Some(waiver) => format!(" ({})", waived_by(waiver)),
        None if row.lets_through() || row.is_enforced() => String::new(),
        None if row.text("modeReason") == "unconfirmed" => {
            " (reported only: its clause is not confirmed in full)".to_owned()
        }
        None => " (reported only)".to_owned(),
    }
}

fn body(row: &Row<'_>) -> String {
    let (title, clauses, says) = (row.text("title"), row.clauses(), row.says());
    format!(
        "{title}\nClause: {clauses}\nSays: {says}\nConfirmation: {}\nRemedy: {}",
        row.confirmation(),
        row.text("remedy")
    )
}

/// Text between tags, where a newline stays one.
fn content(text: &str) -> String {
    escaped(text).replace("&#10;", "\n")
}

/// SPEC: XML 1.0, 2.2 and 2.4. A character that XML cannot hold becomes U+FFFD; a newline in an attribute is written as a
/// reference, since a reader would turn it into a space.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup_and_xml_can_hold_it() {
        assert_eq!(
            escaped("a<b>&\"c\"\n\u{0}\u{1b}\u{ffff}é"),
            "a&lt;b&gt;&amp;&quot;c&quot;&#10;\u{fffd}\u{fffd}\u{fffd}é"
        );
    }
}
