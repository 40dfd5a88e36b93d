//! What a person sees: progress on stderr where it is a terminal, results on stdout, and with `--json` one object a line.

use evidence::Json;
use indicatif::{ProgressBar, ProgressStyle};
use ledger::Entry;
use std::{
    env,
    io::{IsTerminal as _, Write as _, stderr, stdout},
};

/// Prints the chain of an error, once.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut chain: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        // A transparent wrapper says what its cause says.
        if chain.last().is_none_or(|last| !last.contains(&cause)) {
            chain.push(cause);
        }
    }
    let _ = writeln!(stderr(), "error: {}", chain.join(": "));
}

/// A sentence beside the results.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

pub(crate) fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

/// A document as it is, without a newline of ours.
pub(crate) fn text(document: &str) {
    let _ = write!(stdout(), "{document}");
}

pub(crate) fn json(value: &Json) {
    let _ = write!(stdout(), "{}", value.document());
}

/// Whether colour is welcome on stdout: a terminal, and NO_COLOR unset.
fn is_coloured() -> bool {
    stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A verdict in its colour; the word says it all without.
pub(crate) fn coloured(verdict: &str) -> String {
    let code = match verdict {
        "pass" => "32",
        "fail" | "error" => "31",
        "insufficient-evidence" | "awaiting-person" => "33",
        _ => "2",
    };
    if is_coloured() { format!("\u{1b}[{code}m{verdict}\u{1b}[0m") } else { verdict.to_owned() }
}

/// The screen of one run.
#[derive(Debug)]
pub(crate) struct Screen {
    is_json: bool,
}

impl Screen {
    pub(crate) const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// A sentence about what goes on.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(stderr(), "{text}");
    }

    /// An acknowledged entry: with `--json` a line of its own, so that a caller knows what is durable.
    pub(crate) fn recorded(&self, entry: &Entry) {
        let stage = entry.statement.predicate.get("stage").and_then(Json::as_text).unwrap_or_default();
        if self.is_json {
            let event = Json::map([
                ("event", Some("recorded".into())),
                ("index", Some(entry.index.into())),
                ("envelope", Some(entry.envelope.to_string().into())),
                ("predicateType", Some(entry.statement.predicate_type.uri().into())),
                ("stage", Some(stage.into())),
            ]);
            self.event(&event);
        }
    }

    /// One object on one line of stdout, flushed.
    pub(crate) fn event(&self, event: &Json) {
        let mut out = stdout();
        let _ = writeln!(out, "{}", event.line());
        let _ = out.flush();
    }

    /// A bar over `n` units; hidden where stderr is not a terminal.
    #[expect(clippy::unused_self, reason = "bars belong to a screen")]
    pub(crate) fn bar(&self, what: &'static str, n: u64) -> ProgressBar {
        let template = "{prefix:12} {bar:30} {pos}/{len} {msg} {eta}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(n).with_style(style).with_prefix(what)
    }
}
