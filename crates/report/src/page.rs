//! The dossier page: its frame, its head, and the order of its parts.

use crate::{
    Record, calendar, figures,
    html::Html,
    matrix,
    run::{self, Run},
    sections, stages, tables,
    verdict::Verdict,
};
use evidence::{Digest, Json, Predicate};
use std::collections::BTreeSet;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const SYMBOLS: &str = include_str!("symbols.svg");

type Part = (&'static str, &'static str, fn(&mut Html, &Run<'_>));

/// Fragment, heading and content, in reading order.
const PARTS: &[Part] = &[
    ("gates", "Gates", stages::timeline),
    ("verdicts", "Verdicts", verdicts),
    ("calendar", "Calendar", calendar::calendar),
    ("rules", "Rule by rule", rules),
    ("plan", "Plan", sections::plan),
    ("training", "Training", sections::training),
    ("compression", "Compression", sections::compression),
    ("evaluation", "Evaluation", sections::evaluation),
    ("data", "Data", sections::data),
    ("lineage", "Lineage", sections::lineage),
    ("evidence", "Evidence", evidence_part),
    ("log", "Log", log),
    ("verify", "How to verify", verify),
    ("limits", "What is not covered", limits),
];

/// `index.html`: the latest run on one page that needs nothing beside it.
///
/// The same records give the same bytes. Members that a predicate lacks leave their place empty.
#[must_use]
pub fn index_html(records: &[Record]) -> String {
    let run = Run::latest(records);
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n");
    html.within("html", &[("lang", "en")], |html| {
        head(html, &run);
        html.within("body", &[], |html| {
            html.raw(SYMBOLS);
            html.raw("<a class=\"skip\" href=\"#verdicts\">To the verdicts</a>\n");
            html.within("header", &[], |html| banner(html, &run));
            html.within("nav", &[("aria-label", "Parts of this page")], |html| {
                html.within("ul", &[], |html| {
                    for (id, heading, _) in PARTS {
                        html.within("li", &[], |html| html.leaf("a", &[("href", &format!("#{id}"))], heading));
                    }
                });
            });
            html.within("main", &[], |html| {
                for (id, heading, content) in PARTS {
                    let heading_id = format!("h-{id}");
                    html.within("section", &[("id", id), ("aria-labelledby", &heading_id)], |html| {
                        html.leaf("h2", &[("id", &heading_id)], heading);
                        content(html, &run);
                    });
                }
            });
            html.within("footer", &[], |html| footer(html, records, &run));
            html.within("script", &[], |html| html.raw(SCRIPT));
        });
    });
    html.finish()
}

fn head(html: &mut Html, run: &Run<'_>) {
    // Only our own style and script run, whatever else might get into the page; nothing is fetched.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        base64(Digest::of(STYLE.as_bytes()).as_bytes()),
        base64(Digest::of(SCRIPT.as_bytes()).as_bytes())
    );
    html.within("head", &[], |html| {
        html.raw("<meta charset=\"utf-8\">\n");
        html.open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
        html.raw("\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.raw(
            "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n",
        );
        html.raw("<link rel=\"icon\" href=\"data:,\">\n");
        html.within("title", &[], |html| {
            html.text(name(run));
            html.raw(": ");
            html.raw(outcome(run).2);
        });
        html.within("style", &[], |html| html.raw(STYLE));
    });
}

/// SPEC: RFC 4648, section 4, for the 32 bytes of a digest.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for block in bytes.chunks(3) {
        let byte = |position: usize| u32::from(block.get(position).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let sextet = (bits >> (18 - 6 * position)) & 63;
            out.push(if position <= block.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

fn name<'a>(run: &Run<'a>) -> &'a str {
    run.system().and_then(|system| run::text(system, &["name"])).unwrap_or("A system without a name")
}

/// How the run ended, as class, sign and words.
fn outcome(run: &Run<'_>) -> (&'static str, &'static str, &'static str) {
    let at = |predicate| run.last(predicate).map(|record| record.index);
    let (stop, decision) = (at(Predicate::Stop), at(Predicate::Decision));
    if stop > decision && stop > at(Predicate::Resume) {
        return ("deny", "stop", "stopped before the end");
    }
    let Some(decision) = run.decision() else { return ("open", "none", "not decided yet") };
    let is_release = matches!(run::stage(decision), None | Some("release"));
    match (is_release, stages::effect(decision).0) {
        (true, "allow") => ("allow", "pass", "release allowed"),
        (true, _) => ("deny", "fail", "release denied"),
        (false, "allow") => ("open", "none", "release not decided yet"),
        (false, _) => ("deny", "fail", "denied before release"),
    }
}

fn banner(html: &mut Html, run: &Run<'_>) {
    html.leaf("p", &[("class", "kind")], "Assize dossier");
    html.leaf("h1", &[], name(run));
    if let Some(purpose) = run.system().and_then(|system| run::text(system, &["purpose"])) {
        html.leaf("p", &[("class", "purpose")], purpose);
    }
    let (class, symbol, words) = outcome(run);
    html.within("div", &[("class", &format!("outcome {class}"))], |html| {
        html.symbol(symbol);
        html.within("div", &[], |html| {
            html.leaf("p", &[("class", "effect")], words);
            if let Some(decision) = run.decision() {
                stages::denied_by(html, decision, "by ");
            }
        });
    });
    html.within("dl", &[("class", "facts")], |html| identity(html, run));
    html.leaf(
        "p",
        &[("class", "caveat")],
        "A pass says that the signed evidence met the rule card as it was written, on the day named here. It does not say \
         that the system is lawful or safe, that a declaration is true, or that rules outside these packs were looked at.",
    );
    if let Some(system) = run.system() {
        html.within("details", &[("class", "more")], |html| {
            html.leaf("summary", &[], "The system as its provider describes it");
            figures::tree(html, system);
        });
    }
}

fn identity(html: &mut Html, run: &Run<'_>) {
    let decision = run.decision().map(|record| &record.statement.predicate);
    let as_of = decision.and_then(|predicate| run::text(predicate, &["asOf", "as_of"]));
    let jurisdictions = run.system().and_then(|system| system.get("jurisdictions"));
    let text = |text: Option<&str>| text.map(Json::from);
    for (label, json) in [
        ("As of", text(as_of)),
        ("Decided", text(decision.and_then(|predicate| run::text(predicate, &["at"])))),
        ("Jurisdictions", jurisdictions.cloned()),
        ("Run", text(run.id())),
        ("Key", text(run.latest_text(&["keyId", "keyid", "key"]))),
    ] {
        if let Some(json) = json {
            html.within("div", &[], |html| {
                html.leaf("dt", &[], label);
                html.within("dd", &[], |html| match (label, json.as_text()) {
                    ("Run" | "Key", Some(name)) => html.text(name),
                    _ => figures::value(html, &json),
                });
            });
        }
    }
}

fn verdicts(html: &mut Html, run: &Run<'_>) {
    let Some(decision) = run.decision() else {
        return html.leaf("p", &[], "No decision stands in this run.");
    };
    let main = Verdict::all(decision);
    html.within("p", &[("class", "lead")], |html| {
        html.raw("As decided in ");
        figures::entry(html, decision);
        if let Some(stage) = run::stage(decision) {
            html.raw(", at the gate ");
            html.leaf("strong", &[], stage);
        }
        html.raw(".");
    });
    matrix::matrix(html, run, decision, &main);
    idle_waivers(html, decision);
}

fn rules(html: &mut Html, run: &Run<'_>) {
    let Some(decision) = run.decision() else {
        return html.leaf("p", &[], "No decision stands in this run.");
    };
    let main = Verdict::all(decision);
    html.raw("<p class=\"controls screen-only\" hidden><button type=\"button\" data-open=\"\">Open all</button> <button type=\"button\" data-close=\"\">Close all</button></p>\n");
    for pack in matrix::packs(run, &main) {
        matrix::pack_section(html, run, pack, &main, true);
    }
    let earlier = only_earlier(run, decision, &main);
    if !earlier.is_empty() {
        html.leaf("h3", &[("class", "apart")], "Decided at earlier gates only");
        for pack in matrix::packs(run, &earlier) {
            matrix::pack_section(html, run, pack, &earlier, false);
        }
    }
}

/// Waivers that let nothing through: each is a finding.
fn idle_waivers(html: &mut Html, decision: &Record) {
    let idle = run::list(&decision.statement.predicate, &["idleWaivers"]);
    if idle.is_empty() {
        return;
    }
    html.leaf("h3", &[], "Waivers that do nothing");
    html.within("ul", &[("class", "events")], |html| {
        for item in idle {
            html.within("li", &[], |html| {
                html.symbol("waived");
                html.within("p", &[], |html| {
                    html.leaf(
                        "code",
                        &[],
                        item.get("waiver").and_then(|waiver| run::text(waiver, &["rule"])).unwrap_or_default(),
                    );
                    html.raw(": ");
                    html.text(run::text(item, &["finding"]).unwrap_or("no reason given"));
                });
            });
        }
    });
}

/// The last verdict on each rule that the main decision does not hold.
fn only_earlier<'a>(run: &Run<'a>, decision: &Record, main: &[Verdict<'a>]) -> Vec<Verdict<'a>> {
    let mut seen: BTreeSet<(&str, &str)> = main.iter().map(|verdict| (verdict.pack, verdict.rule)).collect();
    let others = run.of(Predicate::Decision).rev().filter(|record| record.index != decision.index);
    let mut earlier: Vec<_> =
        others.flat_map(Verdict::all).filter(|verdict| seen.insert((verdict.pack, verdict.rule))).collect();
    earlier.sort_by_key(|verdict| (verdict.pack, verdict.rule));
    earlier
}

fn evidence_part(html: &mut Html, run: &Run<'_>) {
    html.within("p", &[("class", "legend")], |html| {
        for (name, words) in [
            ("measured", " read from an instrument or counted. "),
            ("inferred", " from a model of the thing, with the interval that the model gives. "),
            ("declared", " said by a person, not checked by an instrument."),
        ] {
            figures::provenance(html, name);
            html.raw(words);
        }
    });
    html.leaf("h3", &[], "Measurements");
    tables::measurements(html, run);
    html.leaf("h3", &[], "Declarations");
    tables::declarations(html, run);
}

fn log(html: &mut Html, run: &Run<'_>) {
    html.leaf(
        "p",
        &[("class", "lead")],
        "Each entry is a signed statement in an envelope file named by its digest. The log only grows; its signed head stands in log/checkpoint.",
    );
    tables::log(html, run);
    let Some(seal) = run.last(Predicate::Seal) else { return };
    let files = run::list(&seal.statement.predicate, &["files"]);
    if !files.is_empty() {
        html.within("details", &[("class", "more")], |html| {
            html.leaf("summary", &[], "Files that the seal covers");
            let columns = &[("File", &["path"][..]), ("Bytes", &["bytes"]), ("Digest", &["digest"])];
            tables::items(html, "Sealed files", files, columns);
        });
    }
}

fn verify(html: &mut Html, _: &Run<'_>) {
    html.raw(
        "<div class=\"box\"><p>With the folder that holds this page:</p>\n<pre><code>assize verify DIR</code></pre>\n\
         <p>It needs no network, no rule packs and no case file. It checks every signature, every digest and the log as a \
         tree, takes every decision again from the evidence in this folder, and compares. \
         <code>assize verify --uncovered</code> lists what it does not look at.</p>\n\
         <p>Without this software: the log is laid out as C2SP tlog-tiles, each entry names an envelope file by its \
         SHA-256, each envelope is DSSE over an in-toto Statement, and the public keys stand in <code>keys/</code>. The \
         same evidence is in <a href=\"evidence.json\">evidence.json</a>, the same decisions in \
         <a href=\"decisions.json\">decisions.json</a>. Where this page and a signed entry differ, the entry is right.</p></div>\n",
    );
}

fn limits(html: &mut Html, run: &Run<'_>) {
    html.raw(
        "<ul class=\"limits\">\n\
         <li>Rules outside the packs above. A pack says which clauses it implements; this page does not speak of the rest.</li>\n\
         <li>The truth of declarations, of licences and of sources: they are what their owner says.</li>\n\
         <li>What an inferred figure leaves out: it is as good as the model named in its method.</li>\n\
         <li>Behaviour that no suite here asks about, and use outside the stated purpose.</li>\n\
         <li>Time: moments are those of the machine that ran, without an outside witness.</li>\n\
         <li>The holder of the key: who holds it could have begun another log. Compare the head with one kept elsewhere.</li>\n\
         </ul>\n",
    );
    let Some(decision) = run.decision() else { return };
    let all = Verdict::all(decision);
    let is_confirmed = |verdict: &&Verdict<'_>| {
        let cites = verdict.cites();
        let own = run::text(verdict.json, &["confirmed"]);
        cites.iter().all(|cite| run::text(cite, &["confirmed"]).or(own) == Some("yes"))
    };
    let unconfirmed: Vec<_> = all.iter().filter(|verdict| !is_confirmed(verdict)).collect();
    if unconfirmed.is_empty() {
        return;
    }
    html.within("details", &[("class", "more")], |html| {
        html.leaf("summary", &[], "Rules whose citation is not confirmed in full");
        html.within("ul", &[("class", "inline")], |html| {
            for verdict in unconfirmed {
                html.within("li", &[], |html| {
                    html.leaf("a", &[("href", &format!("#{}", verdict.id()))], verdict.rule);
                });
            }
        });
    });
}

fn footer(html: &mut Html, records: &[Record], run: &Run<'_>) {
    html.raw("<p>Every figure on this page stands in a signed entry as it is printed; the page adds none.");
    if records.len() > run.records().len() {
        html.raw(" The log also holds entries of earlier runs, which are not shown.");
    }
    html.raw("</p>\n");
}

#[cfg(test)]
mod tests {
    /// Vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
