//! Where a system may be offered: names that a misspelling would turn into a rule that never applies.

use crate::expr::{Expr, Node, Source, Value};
use std::ops::Range;

/// SPEC: ISO 3166-1 alpha-2, the 249 codes assigned officially, with the reserved `UK` in the place of `GB`, as cases write it.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW \
    BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA \
    GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY \
    MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH \
    SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UK UM US UY UZ VA VC VE VG VI \
    VN VU WF WS YE YT ZA ZM ZW";

/// SPEC: ISO 3166-2:US, the states and the federal district.
const STATES: &str = "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH \
    OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY";

/// The European Union, a country of ISO 3166-1, or a part of one such as `US-CA`.
#[must_use]
pub fn is_jurisdiction(name: &str) -> bool {
    let is_among = |codes: &str, code: &str| codes.split_whitespace().any(|known| known == code);
    match name.split_once('-') {
        None => name == "EU" || is_among(COUNTRIES, name),
        Some(("US", part)) => is_among(STATES, part),
        Some((country, part)) => {
            let is_part =
                (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            is_part && is_among(COUNTRIES, country)
        }
    }
}

/// What a misspelt one is likely to mean.
pub(crate) fn hint(name: &str) -> String {
    let upper = name.to_ascii_uppercase().replace('_', "-");
    let usual = [("GB", "UK"), ("UE", "EU"), ("USA", "US"), ("PRC", "CN"), ("ROK", "KR"), ("CA-US", "US-CA")];
    let meant = usual.into_iter().find(|(odd, _)| *odd == upper).map(|(_, code)| code.to_owned());
    match meant.or_else(|| is_jurisdiction(&upper).then_some(upper)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "write `EU`, a country of ISO 3166-1 such as `KR`, or a part of one such as `US-CA`".to_owned(),
    }
}

/// The first text of an expression that is held against `system.jurisdictions` and is none.
pub(crate) fn first_unknown(expr: &Expr) -> Option<(String, Range<usize>)> {
    let is_list = |id: &usize| match expr.node(*id) {
        Node::Leaf(leaf) => expr.leaves()[*leaf].source == Source::System("jurisdictions"),
        _ => false,
    };
    let unknown = |id: usize| match expr.node(id) {
        Node::Literal(Value::Text(name)) if !is_jurisdiction(name) => Some((name.clone(), expr.span(id))),
        _ => None,
    };
    expr.nodes().iter().find_map(|node| match node {
        Node::In(item, list) if is_list(list) => unknown(*item),
        Node::Each(_, list, body) if is_list(list) => {
            let inside = |id: &usize| {
                expr.span(*body).start <= expr.span(*id).start && expr.span(*id).end <= expr.span(*body).end
            };
            let compared = |id: usize| match expr.node(id) {
                Node::Compare(_, a, b) => [*a, *b].into_iter().find_map(unknown),
                Node::In(_, listed) => listed_unknown(expr, *listed),
                _ => None,
            };
            (0..expr.nodes().len()).filter(inside).find_map(compared)
        }
        _ => None,
    })
}

fn listed_unknown(expr: &Expr, id: usize) -> Option<(String, Range<usize>)> {
    let Node::Literal(Value::List(items)) = expr.node(id) else { return None };
    items.iter().find_map(|item| match item {
        Value::Text(name) if !is_jurisdiction(name) => Some((name.clone(), expr.span(id))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_and_slips_are_not() {
        for good in ["EU", "CN", "KR", "UK", "US", "US-CA", "US-DC", "CA-ON", "DE-BY", "JP"] {
            assert!(is_jurisdiction(good), "{good}");
        }
        for (bad, expected) in [
            ("GB", "did you mean `UK`?"),
            ("eu", "did you mean `EU`?"),
            ("US_CA", "did you mean `US-CA`?"),
            ("US-XX", "write `EU`, a country of ISO 3166-1 such as `KR`, or a part of one such as `US-CA`"),
            ("", "write `EU`, a country of ISO 3166-1 such as `KR`, or a part of one such as `US-CA`"),
        ] {
            assert!(!is_jurisdiction(bad), "{bad}");
            assert_eq!(hint(bad), expected);
        }
        assert_eq!(COUNTRIES.split_whitespace().count(), 249);
        assert_eq!(STATES.split_whitespace().count(), 51);
    }
}
