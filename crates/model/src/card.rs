//! The front matter of a model's `README.md`: licence, languages, what it was made from.

use std::collections::BTreeMap;

/// Members are kept of this much of the file; longer front matter is not read to its end.
const BYTES_MAX: usize = 1 << 20;

/// Members of the front matter at its outermost level, each with its values in their order.
///
/// The part of YAML that cards use: `key: value`, lists in dashes or brackets, quotes. What is nested deeper is passed over.
/// Nothing where the file does not begin with `---`.
#[must_use]
pub fn front_matter(readme: &str) -> BTreeMap<String, Vec<String>> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut end = readme.len().min(BYTES_MAX);
    while !readme.is_char_boundary(end) {
        end -= 1;
    }
    let mut lines = readme[..end].trim_start_matches('\u{feff}').lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return members;
    }
    let mut key: Option<String> = None;
    for line in lines.take_while(|line| line.trim_end() != "---") {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some(value) = trimmed.strip_prefix("- ").filter(|_| key.is_some()) {
            let is_deep = line.len() - line.trim_start().len() > 2 || value.contains(": ") || value.ends_with(':');
            if let Some(key) = key.as_ref().filter(|_| !is_deep) {
                members.entry(key.clone()).or_default().push(unquoted(value));
            }
            continue;
        }
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, value)) = trimmed.split_once(':') else { continue };
        let values = values(value.trim());
        key = Some(name.trim().to_owned());
        members.entry(name.trim().to_owned()).or_default().extend(values);
    }
    members.retain(|_, values| !values.is_empty());
    members
}

fn values(text: &str) -> Vec<String> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(list) => list.split(',').map(|value| unquoted(value.trim())).filter(|value| !value.is_empty()).collect(),
        None if text.is_empty() || text == "|" || text == ">" => Vec::new(),
        None => vec![unquoted(text)],
    }
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::front_matter;

    #[test]
    fn members_are_read_and_what_is_nested_is_passed_over() {
        let readme = "---\nlicense: apache-2.0\nlanguage:\n- en\n- \"de\"\ntags: [chat, 'small']\nbase_model: org/base # not a comment here\n\
                      model-index:\n- name: one\n  results:\n  - task: text\nempty:\n---\nlicense: mit\n";
        let members = front_matter(readme);
        let of = |key: &str| members.get(key).map(|values| values.join("|"));
        assert_eq!(of("license").as_deref(), Some("apache-2.0"));
        assert_eq!(of("language").as_deref(), Some("en|de"));
        assert_eq!(of("tags").as_deref(), Some("chat|small"));
        assert_eq!(of("model-index"), None);
        assert_eq!(of("empty"), None);
        assert!(front_matter("# A model\nlicense: mit\n").is_empty());
        assert!(front_matter("").is_empty());
    }
}
