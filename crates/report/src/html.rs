//! A writer of HTML in which text from an entry cannot become markup.

/// INVARIANT: tag and attribute names and `raw` markup are literals of this crate; everything else is escaped.
#[derive(Debug, Default)]
pub(crate) struct Html {
    out: String,
}

/// Names and values of attributes.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Html {
    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// Markup of our own.
    pub(crate) fn raw(&mut self, markup: &'static str) {
        self.out.push_str(markup);
    }

    pub(crate) fn text(&mut self, text: &str) {
        escape(text, &mut self.out);
    }

    /// An element with whatever `content` writes.
    pub(crate) fn within(&mut self, tag: &'static str, attributes: Attributes<'_>, content: impl FnOnce(&mut Self)) {
        self.open(tag, attributes);
        content(self);
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        if BLOCKS.contains(&tag) {
            self.out.push('\n');
        }
    }

    /// An element that holds text alone.
    pub(crate) fn leaf(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.within(tag, attributes, |html| html.text(text));
    }

    /// A start tag; by itself only for elements without content.
    pub(crate) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
        }
        self.out.push('>');
    }

    /// A verdict's or a state's sign, drawn; its meaning stands beside it as text.
    pub(crate) fn symbol(&mut self, name: &'static str) {
        self.raw("<svg class=\"symbol\" aria-hidden=\"true\"><use href=\"#s-");
        self.raw(name);
        self.raw("\"/></svg>");
    }
}

/// Elements after which the source is broken, so that a person can read it and a diff is short.
const BLOCKS: &[&str] = &[
    "article", "dd", "details", "div", "dl", "figure", "h2", "h3", "li", "p", "section", "summary", "table", "thead",
    "tr", "ul",
];

/// Text as it may stand between tags and in quoted attributes. Control characters, and those that reorder the text
/// around them, become U+FFFD, so that a name cannot pretend to be another.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => {
                out.push('\u{fffd}');
            }
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
}

/// A fragment identifier: letters, digits, `.`, `_`, `-` kept, all else `-`.
pub(crate) fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_cannot_become_markup() {
        let mut html = Html::default();
        html.leaf("p", &[("title", "\"><script>x</script>")], "</p><b onclick='y'>&\u{0}\u{202e}");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;x&lt;/script&gt;\">&lt;/p&gt;&lt;b onclick=&#39;y&#39;&gt;&amp;\u{fffd}\u{fffd}</p>\n"
        );
    }

    #[test]
    fn slugs_hold_no_quote_or_space() {
        assert_eq!(slug("house/rules \"x\"_1.2"), "house-rules--x-_1.2");
    }
}
