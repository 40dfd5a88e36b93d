//! A reader of the page's own markup, strict enough to notice what is not ours.

use std::collections::BTreeMap;

/// A piece of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Open { tag: String, attributes: BTreeMap<String, String> },
    Close(String),
    Text(String),
}

/// The pieces in order. Panics on markup that the page never writes: comments, unquoted attributes, stray brackets.
pub(crate) fn pieces(page: &str) -> Vec<Piece> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a document type");
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("</") {
            let (tag, after) = after.split_once('>').expect("an end tag that ends");
            assert!(is_name(tag), "not a tag: `{tag}`");
            pieces.push(Piece::Close(tag.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('<') {
            let (inside, after) = after.split_once('>').expect("a start tag that ends");
            let opened = start(inside.strip_suffix('/').unwrap_or(inside));
            if let (Piece::Open { tag, .. }, true) = (&opened, inside.ends_with('/')) {
                let close = Piece::Close(tag.clone());
                pieces.extend([opened, close]);
            } else {
                pieces.push(opened);
            }
            rest = after;
            let raw = matches!(pieces.last(), Some(Piece::Open { tag, .. }) if tag == "style" || tag == "script");
            if raw {
                let end = rest.find("</").expect("an end of style or script");
                pieces.push(Piece::Text(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            assert!(!rest[..end].contains('>'), "a stray bracket in `{}`", &rest[..end]);
            pieces.push(Piece::Text(unescaped(&rest[..end])));
            rest = &rest[end..];
        }
    }
    pieces
}

fn start(inside: &str) -> Piece {
    let (tag, mut rest) = inside.split_once([' ', '\n']).unwrap_or((inside, ""));
    assert!(is_name(tag), "not a tag: `{tag}`");
    let mut attributes = BTreeMap::new();
    while !rest.trim().is_empty() {
        if rest.trim() == "hidden" {
            break;
        }
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("not an attribute: `{rest}`"));
        let (value, after) = after.split_once('"').expect("a closed attribute");
        let name = name.trim();
        assert!(is_name(name), "not an attribute's name: `{name}`");
        assert!(attributes.insert(name.to_owned(), unescaped(value)).is_none(), "`{name}` stands twice");
        rest = after;
    }
    Piece::Open { tag: tag.to_owned(), attributes }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

/// Elements that have no end tag.
const VOID: [&str; 2] = ["meta", "link"];
/// Panics unless every start tag has its end tag in the right order.
pub(crate) fn assert_balanced(pieces: &[Piece]) {
    let mut open: Vec<&str> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Open { tag, .. } if VOID.contains(&tag.as_str()) => {}
            Piece::Open { tag, .. } => open.push(tag),
            Piece::Close(tag) => assert_eq!(open.pop(), Some(tag.as_str()), "closed out of order, inside {open:?}"),
            Piece::Text(_) => {}
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "left open");
}

/// Every value of that attribute, with the tag that has it.
pub(crate) fn attribute<'a>(pieces: &'a [Piece], name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    pieces.iter().filter_map(move |piece| match piece {
        Piece::Open { tag, attributes } => Some((tag.as_str(), attributes.get(name)?.as_str())),
        _ => None,
    })
}
