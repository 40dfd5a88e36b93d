//! The page: whole, safe, reachable, readable.

use crate::{
    fixture::{self, Log},
    markup::{Piece, assert_balanced, attribute, pieces},
};
use evidence::{Digest, Json, Predicate, Statement, Subject};
use report::{Record, index_html};
use std::collections::BTreeSet;

fn opened<'a>(pieces: &'a [Piece], name: &'a str) -> impl Iterator<Item = &'a Piece> {
    pieces.iter().filter(move |piece| matches!(piece, Piece::Open { tag, .. } if tag == name))
}

/// The text of the page, without style and script.
fn text(page: &str) -> String {
    let mut is_silent = false;
    let mut out = String::new();
    for piece in pieces(page) {
        match piece {
            Piece::Open { tag, .. } => is_silent |= tag == "style" || tag == "script",
            Piece::Close(tag) => is_silent &= tag != "style" && tag != "script",
            Piece::Text(text) if !is_silent => out.push_str(&text),
            Piece::Text(_) => {}
        }
    }
    out.replace('\u{a0}', " ")
}

#[test]
fn the_same_entries_give_the_same_bytes_in_whatever_order_they_come() {
    let mut records = fixture::allowed();
    let page = index_html(&records);
    assert_eq!(index_html(&records), page);
    records.reverse();
    assert_eq!(index_html(&records), page);
}

#[test]
fn sixty_verdicts_stay_below_400_kb() {
    let records = fixture::under_many_rules();
    let page = index_html(&records);
    assert_eq!(pieces(&page).iter().filter(|piece| is_verdict(piece)).count(), 63);
    assert!(page.len() < 400_000, "{} bytes", page.len());
}

fn is_verdict(piece: &Piece) -> bool {
    matches!(piece, Piece::Open { tag, attributes } if tag == "details" && attributes.get("class").is_some_and(|class| class.starts_with("verdict ")))
}

#[test]
fn markup_is_balanced_ids_are_unique_and_fragments_lead_somewhere() {
    for records in [fixture::allowed(), fixture::denied(), Vec::new()] {
        let page = index_html(&records);
        let pieces = pieces(&page);
        assert_balanced(&pieces);
        let ids: Vec<&str> = attribute(&pieces, "id").map(|(_, id)| id).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len());
        for (tag, href) in attribute(&pieces, "href") {
            if let Some(fragment) = href.strip_prefix('#') {
                assert!(unique.contains(fragment), "<{tag} href=\"{href}\"> leads nowhere");
            }
        }
    }
}

/// The release decision leaves out one rule of a pack that it otherwise holds, and one entry measures a fact twice.
#[test]
fn a_rule_decided_only_earlier_is_shown_and_ids_stay_unique() {
    let mut log = Log::default();
    let decision = |rules: &[&str]| {
        let verdicts: Vec<String> = rules
            .iter()
            .map(|rule| format!(r#"{{"rule": "{rule}", "pack": "p", "verdict": "pass", "mode": "enforce"}}"#))
            .collect();
        format!(r#", "effect": "allow", "verdicts": [{}]"#, verdicts.join(", "))
    };
    let fact = |value| fixture::measurement("heldout.loss", "nat/token", value, "measured", "m", "");
    let twice = format!(r#", "measurements": [{}, {}]"#, fact("4.5"), fact("4.6"));
    log.add(Predicate::Evaluation, "evaluate", "2026-11-23T09:00:00Z", &["m"], &twice);
    log.add(Predicate::Decision, "data", "2026-11-23T09:00:01Z", &["m"], &decision(&["p.data", "p.always"]));
    log.add(Predicate::Decision, "release", "2026-11-23T09:00:02Z", &["m"], &decision(&["p.always"]));
    let page = index_html(&log.records);
    let ids: Vec<String> = attribute(&pieces(&page), "id").map(|(_, id)| id.to_owned()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let earlier = page.find("Decided at earlier gates only").unwrap();
    assert!(page.find("id=\"rule-p-p.data\"").unwrap() > earlier);
    assert!(page.find("id=\"rule-p-p.always\"").unwrap() < earlier);
}

/// Each mark leads to the rule's verdict where the page has one, says what today's evidence comes to, and is dashed while nobody knows
/// whether the rule applies.
#[test]
fn the_calendar_says_what_is_ahead() {
    let page = index_html(&fixture::allowed());
    let pieces = pieces(&page);
    let start = page.find("<section id=\"calendar\"").unwrap();
    let part = &page[start..start + page[start..].find("</section>").unwrap()];
    for expected in [
        "href=\"#rule-cn-genai-cn.label.visible\"",
        "Output &lt;b&gt;carries&lt;/b&gt; a label (cn.label.visible): comes into force; on today&#39;s evidence: Fails",
        "class=\"dot unsure unknown\"",
        ">if it applies<",
        "class=\"dot apart\"",
        "asked per request",
        "<time datetime=\"2029-11-23\">2029-11-23</time>",
        "left without an answer",
        "Asia/Shanghai",
    ] {
        assert!(part.contains(expected), "{expected} in\n{part}");
    }
    assert!(!part.contains("#rule-eu-ai-act-eu.nowhere"), "there is no such verdict on the page");
    assert_eq!(opened(&pieces, "ol").filter(|piece| class_of(piece) == Some("calendar")).count(), 1);
    // A record from before there were calendars.
    let mut log = Log::default();
    log.add(
        Predicate::Decision,
        "release",
        "2026-11-23T09:00:00Z",
        &["case"],
        r#", "effect": "allow", "verdicts": []"#,
    );
    assert!(index_html(&log.records).contains("The decision on this page holds no calendar."));
}

fn class_of(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Open { attributes, .. } => attributes.get("class").map(String::as_str),
        _ => None,
    }
}

#[test]
fn nothing_is_fetched() {
    let page = index_html(&fixture::allowed());
    let pieces = pieces(&page);
    for name in ["src", "srcset", "action", "background", "style", "onclick", "onload"] {
        assert_eq!(attribute(&pieces, name).collect::<Vec<_>>(), [], "{name}");
    }
    assert_eq!(attribute(&pieces, "href").filter(|(tag, _)| *tag == "link").collect::<Vec<_>>(), [("link", "data:,")]);
    for piece in &pieces {
        if let Piece::Text(text) = piece {
            assert!(!text.contains("@import") && !text.contains("url("), "{text}");
        }
    }
    let policy =
        attribute(&pieces, "content").map(|(_, content)| content).find(|content| content.contains("-src")).unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
}

/// Appends `payload` to every text below, but leaves digests, numbers and, when asked, the words that steer the page.
fn spoil(json: &Json, payload: &str, spare_words: bool) -> Json {
    const WORDS: [&str; 9] =
        ["runId", "stage", "effect", "verdict", "mode", "provenance", "crossed", "operation", "suite"];
    match json {
        Json::Text(text) if text.parse::<Digest>().is_ok() || text.parse::<evidence::Decimal>().is_ok() => json.clone(),
        Json::Text(text) => Json::Text(format!("{text}{payload}")),
        Json::List(items) => Json::List(items.iter().map(|item| spoil(item, payload, spare_words)).collect()),
        Json::Map(members) => Json::Map(
            members
                .iter()
                .map(|(key, item)| match (spare_words && WORDS.contains(&key.as_str()), item) {
                    (true, Json::Text(_)) => (key.clone(), item.clone()),
                    _ => (key.clone(), spoil(item, payload, spare_words)),
                })
                .chain(members.contains_key("layers").then(|| (format!("key{payload}"), Json::Int(1))))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[test]
fn hostile_names_stay_text() {
    let payload = "\"'><svg/onload=alert(1)></script></style></title><!--\u{202e}\u{0}";
    let safe: BTreeSet<(String, Vec<String>)> = shapes(&index_html(&fixture::denied()));
    for spare_words in [true, false] {
        let mut records = fixture::denied();
        for record in &mut records {
            record.statement.predicate = spoil(&record.statement.predicate, payload, spare_words);
            for subject in &mut record.statement.subjects {
                subject.name.push_str(payload);
            }
        }
        let page = index_html(&records);
        let pieces = pieces(&page);
        assert_balanced(&pieces);
        let strange: Vec<_> = shapes(&page)
            .into_iter()
            .filter(|(tag, names)| !safe.iter().any(|(t, n)| t == tag && names.iter().all(|name| n.contains(name))))
            .collect();
        // Words that steer the page and are spoilt are shown by other signs, of the same elements and attributes.
        assert_eq!(strange, []);
        assert_eq!(opened(&pieces, "script").count(), 1);
        assert!(!page.contains('\u{202e}') && !page.contains('\u{0}'));
        for (_, href) in attribute(&pieces, "href") {
            let is_ours = ["#", "https://", "envelopes/", "evidence.json", "decisions.json", "data:,"];
            assert!(is_ours.iter().any(|start| href.starts_with(start)), "{href}");
        }
        assert!(text(&page).contains("speech-writer\"'><svg/onload=alert(1)></script>"));
    }
}

/// Every element with the names of its attributes.
fn shapes(page: &str) -> BTreeSet<(String, Vec<String>)> {
    let shape = |piece: Piece| match piece {
        Piece::Open { tag, attributes } => Some((tag, attributes.into_keys().collect())),
        _ => None,
    };
    pieces(page).into_iter().filter_map(shape).collect()
}

#[test]
fn the_head_says_how_it_ended() {
    let (allowed, denied) = (fixture::allowed(), fixture::denied());
    let until = |kind: Predicate| {
        let end = allowed.iter().position(|record| record.statement.predicate_type == kind).unwrap();
        allowed[..=end].to_vec()
    };
    for (records, title, class) in [
        (allowed.clone(), "speech-writer: release allowed", "outcome allow"),
        (denied, "speech-writer: release denied", "outcome deny"),
        (until(Predicate::Stop), "speech-writer: stopped before the end", "outcome deny"),
        (until(Predicate::Resume), "speech-writer: release not decided yet", "outcome open"),
        (until(Predicate::Policy), "A system without a name: not decided yet", "outcome open"),
    ] {
        let page = index_html(&records);
        assert!(page.contains(&format!("<title>{title}</title>")), "{title}");
        assert!(page.contains(&format!("<div class=\"{class}\">")), "{title}: {class}");
    }
}

#[test]
fn a_denial_names_the_enforced_rules_that_denied_and_no_other() {
    let page = index_html(&fixture::denied());
    let expected = "<span class=\"denied-by\">by <a href=\"#rule-house-rules-house.compress.prune\">house.compress.prune</a>, \
                    <a href=\"#rule-cn-genai-cn.label.visible\">cn.label.visible</a></span>";
    assert!(page.contains(expected));
    assert!(!index_html(&fixture::allowed()).contains("class=\"denied-by\""));
}

#[test]
fn a_verdict_opens_to_clause_reason_evidence_and_remedy() {
    let page = index_html(&fixture::allowed());
    let start = page.find("id=\"rule-eu-ai-act-eu.gpai.sysrisk\"").unwrap();
    let verdict = &page[start..start + page[start..].find("</details>").unwrap()];
    for part in [
        "Below the presumption of systemic risk",
        "<strong class=\"word\">Holds</strong>",
        "lineage.compute.upper = 1621872345088 meets &lt;= 10000000000000000000000000",
        "<code>lineage.compute.upper &lt;= 1e25</code>",
        "<strong>Art. 51(2)</strong>",
        "Regulation (EU) 2024/1689, consolidated 2026-07-27",
        "text confirmed",
        "up to 3 % of turnover or EUR 15 000 000, Art. 101",
        "href=\"#fact-8-lineage.compute\"",
        "<span class=\"figure\">1<i>621</i><i>872</i><i>345</i><i>088</i></span>",
        "Notify the Commission within two weeks, Art. 52(1).",
        "card version 1.0.0",
        "href=\"#entry-18\"",
    ] {
        assert!(verdict.contains(part), "{part} is not in {verdict}");
    }
}

#[test]
fn a_verdict_of_an_unknown_name_is_an_error_and_denies() {
    let mut log = Log::default();
    let verdicts =
        r#", "effect": "deny", "verdicts": [{"rule": "r", "pack": "p", "verdict": "fine", "mode": "enforce"}]"#;
    log.add(Predicate::Decision, "release", "2026-11-23T09:14:08Z", &["m"], verdicts);
    let page = index_html(&log.records);
    assert!(page.contains("<span class=\"denied-by\">by <a href=\"#rule-p-r\">r</a></span>"));
    assert!(page.contains("<strong class=\"word\">Error</strong> <span class=\"quiet\">fine</span>"));
}

#[test]
fn measured_inferred_and_declared_are_told_apart_by_word() {
    let page = index_html(&fixture::allowed());
    for (fact, class) in
        [("fact-8-train.compute", "measured"), ("fact-8-train.energy", "inferred"), ("fact-1-doc_label", "declared")]
    {
        let start = page.find(&format!("id=\"{fact}\"")).unwrap();
        let row = &page[start..start + page[start..].find("</tr>").unwrap()];
        assert!(
            row.contains(&format!("<span class=\"badge {class}\">")) && row.contains(&format!("</svg>{class}</span>")),
            "{row}"
        );
    }
}

#[test]
fn the_parts_of_the_run_are_all_there() {
    let page = text(&index_html(&fixture::allowed()));
    for words in [
        "the next step would cross the energy budget of 0.0015 kWh",
        "Resumed: with a raised budget",
        "possibly",
        "within the interval",
        "training only; the plan is for the whole case",
        "Highest 8.20861436 at step 2",
        "the dashed line is the budget, 2000000000000",
        "model.q8_0.gguf 2ae69570fc69…  quantized model.pruned.safetensors",
        "data/udhr/cmn_hans.txt",
        "assize verify DIR",
        "kfold.loss_spread 0.0764 nat/token",
    ] {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed(&page).contains(&squeezed(words)), "{words}");
    }
}

#[test]
fn predicates_without_members_leave_places_empty() {
    for kind in Predicate::ALL {
        let statement = Statement { subjects: vec![], predicate_type: kind, predicate: Json::map([]) };
        let record = Record { index: 0, envelope: fixture::of("e"), statement };
        assert_balanced(&pieces(&index_html(&[record])));
    }
}

#[test]
fn members_of_the_wrong_form_do_no_harm() {
    for kind in Predicate::ALL {
        for wrong in
            [Json::Int(7), Json::list(["x"]), Json::list([Json::list(["y"])]), Json::map([("z", Some(true.into()))])]
        {
            let keys = [
                "verdicts",
                "curve",
                "budget",
                "quantities",
                "folds",
                "before",
                "after",
                "files",
                "measurements",
                "declarations",
                "derivedFrom",
                "system",
                "counts",
                "cite",
                "packs",
            ];
            let predicate = Json::Map(keys.iter().map(|key| ((*key).to_owned(), wrong.clone())).collect());
            let statement =
                Statement { subjects: vec![Subject::new("s", fixture::of("s"))], predicate_type: kind, predicate };
            assert_balanced(&pieces(&index_html(&[Record { index: 0, envelope: fixture::of("e"), statement }])));
        }
    }
}

#[test]
fn the_page_has_landmarks_headers_and_names_for_its_drawings() {
    let page = index_html(&fixture::allowed());
    let pieces = pieces(&page);
    for landmark in ["header", "nav", "main", "footer", "h1", "title"] {
        let expected = if landmark == "title" { 2..usize::MAX } else { 1..2 };
        assert!(expected.contains(&opened(&pieces, landmark).count()), "{landmark}");
    }
    assert!(matches!(&pieces[0], Piece::Open { tag, attributes } if tag == "html" && attributes["lang"] == "en"));
    for header in opened(&pieces, "th") {
        assert!(matches!(header, Piece::Open { attributes, .. } if attributes.contains_key("scope")));
    }
    for (position, piece) in pieces.iter().enumerate() {
        let Piece::Open { tag, attributes } = piece else { continue };
        if tag == "svg" {
            let is_hidden = attributes.get("aria-hidden").map(String::as_str) == Some("true");
            let is_named = attributes.get("role").map(String::as_str) == Some("img")
                && matches!(&pieces[position + 1], Piece::Open { tag, .. } if tag == "title");
            assert!(is_hidden || is_named, "{attributes:?}");
        }
    }
}

/// WCAG 2.2, success criterion 1.4.3: 4.5 to 1 for text. Formula of relative luminance: the same document, "relative
/// luminance".
#[test]
fn every_colour_of_text_has_contrast_on_every_ground_it_stands_on() {
    let style = include_str!("../../src/style.css");
    let (light, rest) = style.split_once("@media screen and (prefers-color-scheme: dark)").unwrap();
    let dark = &rest[..rest.find("* {").unwrap()];
    for theme in [light, dark] {
        let colour = |name: &str| {
            let value = theme.split(&format!("--{name}: #")).nth(1).unwrap_or_else(|| panic!("no {name}"));
            luminance(&value[..6])
        };
        let mut pairs = vec![("measured", "pass", "pass-wash"), ("gates", "on", "pass"), ("gates", "on", "fail")];
        for ink in ["ink", "soft", "pass", "fail", "unknown", "error", "awaiting", "waived", "dormant", "apart", "link"]
        {
            pairs.push(("text", ink, "paper"));
        }
        for ground in ["pass-wash", "fail-wash", "flat-wash", "faint", "raised", "unknown-wash"] {
            pairs.push(("text", "ink", ground));
        }
        for sign in ["unknown", "awaiting", "dormant", "apart", "error", "waived"] {
            pairs.push(("filled mark", "on", sign));
        }
        pairs.extend([
            ("quiet text in a box", "soft", "faint"),
            ("link in a banner", "link", "fail-wash"),
            ("row", "link", "unknown-wash"),
        ]);
        for (what, ink, ground) in pairs {
            let (a, b) = (colour(ink), colour(ground));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{what}: {ink} on {ground} is {contrast:.2} to 1");
        }
    }
}

fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let share = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}
