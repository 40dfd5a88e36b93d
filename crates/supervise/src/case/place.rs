//! Where in the case file something stands, for findings that point at it.

use super::{Case, Place};
use toml::de::{DeTable, DeValue};

/// Lines and columns from 1; columns count characters, and the end is the first one after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl Case {
    /// The key `name` of `[system]` with its value.
    #[must_use]
    pub fn system_place(&self, name: &str) -> Option<Place> {
        self.key_of("system", name)
    }

    /// The `[[declare]]` that answers `fact`: its key `fact` with the value.
    #[must_use]
    pub fn declare_place(&self, fact: &str) -> Option<Place> {
        let file = DeTable::parse(&self.text).ok()?;
        let (_, declares) = file.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == "declare")?;
        let DeValue::Array(declares) = declares.get_ref() else { return None };
        declares.iter().find_map(|declare| {
            let DeValue::Table(table) = declare.get_ref() else { return None };
            let (_, said) = table.iter().find(|(key, _)| key.get_ref().as_ref() == "fact")?;
            matches!(said.get_ref(), DeValue::String(said) if said.as_ref() == fact)
                .then(|| key_place(table, "fact"))?
        })
    }

    /// The key `name` of `[policy]` with its value.
    #[must_use]
    pub fn policy_place(&self, name: &str) -> Option<Place> {
        self.key_of("policy", name)
    }

    fn key_of(&self, table: &str, name: &str) -> Option<Place> {
        let file = DeTable::parse(&self.text).ok()?;
        let (_, found) = file.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == table)?;
        let DeValue::Table(found) = found.get_ref() else { return None };
        key_place(found, name)
    }

    /// The lines and columns of a place.
    #[must_use]
    pub fn position(&self, place: Place) -> Position {
        let (line, column) = line_and_column(&self.text, place.start);
        let (end_line, end_column) = line_and_column(&self.text, place.end);
        Position { line, column, end_line, end_column }
    }
}

/// From the first letter of a key to the last of its value.
fn key_place(table: &DeTable<'_>, name: &str) -> Option<Place> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name)?;
    Some(Place { start: key.span().start, end: value.span().end })
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[system]\nname = \"é\"\nrole = \"provider\"\njurisdictions = [\"EU\",\n  \"CN\"]\n\n[policy]\npacks = []\n\n\
                        [[declare]]\nfact = \"doc.annex_iv\"\nvalue = true\nowner = \"o\"\nmade = 2026-01-01\nexpires = 2027-01-01\n\n\
                        [[declare]]\nvalue = false\nfact = \"doc.annex_xi\"\nowner = \"o\"\nmade = 2026-01-01\nexpires = 2027-01-01\n";

    #[test]
    fn places_are_those_of_the_file() {
        let case = Case { text: TEXT.to_owned(), ..case() };
        let at = |place: Option<Place>| {
            let Position { line, column, end_line, end_column } = case.position(place?);
            Some((line, column, end_line, end_column))
        };
        assert_eq!(at(case.system_place("name")), Some((2, 1, 2, 11)));
        assert_eq!(at(case.system_place("jurisdictions")), Some((4, 1, 5, 8)));
        assert_eq!(at(case.system_place("audience")), None);
        assert_eq!(at(case.policy_place("packs")), Some((8, 1, 8, 11)));
        assert_eq!(at(case.declare_place("doc.annex_iv")), Some((11, 1, 11, 22)));
        assert_eq!(at(case.declare_place("doc.annex_xi")), Some((19, 1, 19, 22)));
        assert_eq!(at(case.declare_place("doc.annex_xii")), None);
    }

    fn case() -> Case {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("assize.toml"), "[system]\nname = \"a\"\n[policy]\npacks = []\n").unwrap();
        Case::read(folder.path()).unwrap()
    }
}
