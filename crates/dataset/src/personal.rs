//! Identifiers of persons that have a form: those with a check are checked, of those without one the context must speak for them.
//!
//! Names and addresses of persons have no form, and nothing here looks for them.

use crate::words::narrow;
use std::ops::Range;

/// What was found, in the order in which a place in the text is taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    Email,
    /// ISO 13616: length of the country and mod 97.
    Iban,
    /// Resident identity number of China. SPEC: GB 11643-1999.
    ResidentId,
    /// Issuer, length and Luhn.
    Card,
    /// Of the United States: groups of 3, 2 and 4 that can have been issued.
    SocialSecurity,
    /// Of version 4, of the public internet.
    IpAddress,
    /// With `+`, in groups of a plan of numbers, or behind a word such as *telephone*.
    Phone,
}

impl Identifier {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "e-mail",
            Self::Iban => "iban",
            Self::ResidentId => "resident-id",
            Self::Card => "card",
            Self::SocialSecurity => "social-security",
            Self::IpAddress => "ip-address",
            Self::Phone => "phone",
        }
    }
}

/// One identifier; its text is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub kind: Identifier,
    /// Where it begins, in characters from 1.
    pub character: usize,
}

/// Every identifier of a text, by place. Where two lie over each other, the one of the earlier kind.
#[must_use]
pub fn identifiers(text: &str) -> Vec<Found> {
    let letters: Vec<char> = text.chars().map(narrow).collect();
    let groups = groups(&letters);
    let mut taken: Vec<(Range<usize>, Identifier)> = Vec::new();
    let mut take = |kind: Identifier, places: Vec<Range<usize>>| {
        for place in places {
            if taken.iter().all(|(other, _)| place.end <= other.start || other.end <= place.start) {
                taken.push((place, kind));
            }
        }
    };
    take(Identifier::Email, emails(&letters));
    take(Identifier::Iban, ibans(&letters));
    take(Identifier::ResidentId, resident_ids(&letters, &groups));
    take(Identifier::Card, cards(&letters, &groups));
    take(Identifier::SocialSecurity, social_security(&letters, &groups));
    take(Identifier::IpAddress, ip_addresses(&letters, &groups));
    take(Identifier::Phone, phones(&letters, &groups));
    taken.sort_by_key(|(place, _)| place.start);
    taken.into_iter().map(|(place, kind)| Found { kind, character: place.start + 1 }).collect()
}

/// Runs of digits.
fn groups(letters: &[char]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in (0..letters.len()).filter(|at| letters[*at].is_ascii_digit()) {
        match found.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

fn digits(letters: &[char], groups: &[Range<usize>]) -> Vec<u32> {
    groups.iter().cloned().flatten().filter_map(|at| letters[at].to_digit(10)).collect()
}

/// What stands between two groups.
fn between(letters: &[char], pair: &[Range<usize>]) -> String {
    letters[pair[0].end..pair[1].start].iter().take(4).collect()
}

/// No letter or digit touches it.
fn stands_alone(letters: &[char], place: &Range<usize>) -> bool {
    let touches = |letter: Option<&char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    !touches(place.start.checked_sub(1).and_then(|at| letters.get(at))) && !touches(letters.get(place.end))
}

fn sizes(groups: &[Range<usize>]) -> Vec<usize> {
    groups.iter().map(ExactSizeIterator::len).collect()
}

fn value(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |value, digit| value.wrapping_mul(10).wrapping_add(*digit))
}

/// Domains that stand for no one. SPEC: RFC 2606.
const NO_ONES: [&str; 7] = ["example.com", "example.org", "example.net", ".example", ".test", ".invalid", ".localhost"];

fn emails(letters: &[char]) -> Vec<Range<usize>> {
    let is_local = |letter: &char| letter.is_ascii_alphanumeric() || "._%+-".contains(*letter);
    let is_domain = |letter: &char| letter.is_ascii_alphanumeric() || ".-".contains(*letter);
    let mut found = Vec::new();
    for at in (0..letters.len()).filter(|at| letters[*at] == '@') {
        let start = at - letters[..at].iter().rev().take(64).take_while(|letter| is_local(letter)).count();
        let mut end = at + 1 + letters[at + 1..].iter().take(255).take_while(|letter| is_domain(letter)).count();
        while end > at + 1 && ".-".contains(letters[end - 1]) {
            end -= 1;
        }
        let domain: String = letters[at + 1..end].iter().map(char::to_ascii_lowercase).collect();
        let Some((host, top)) = domain.rsplit_once('.') else { continue };
        let is_top = (2..=24).contains(&top.len()) && top.chars().all(|letter| letter.is_ascii_alphabetic());
        let is_no_ones = NO_ONES.iter().any(|end| domain.ends_with(end));
        if start < at && is_top && !host.split('.').any(str::is_empty) && !is_no_ones {
            found.push(start..end);
        }
    }
    found
}

/// SPEC: ISO 13616, the register's countries and lengths.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 \
     GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IS26 IT27 JO30 KW30 KZ20 LB28 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 \
     NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24 TR26 UA29 VA22 XK20";

fn ibans(letters: &[char]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for start in 0..letters.len().saturating_sub(14) {
        let [a, b] = [letters[start], letters[start + 1]].map(|letter| letter.to_ascii_uppercase());
        if !a.is_ascii_uppercase() || !b.is_ascii_uppercase() || !letters[start + 2].is_ascii_digit() {
            continue;
        }
        let of_country = IBAN_LENGTHS.split_whitespace().find(|row| row.starts_with(&format!("{a}{b}")));
        let Some(length) = of_country.and_then(|row| row[2..].parse().ok()) else { continue };
        let (mut signs, mut end) = (Vec::<u32>::new(), start);
        while signs.len() < length && end < letters.len() {
            match letters[end].to_digit(36) {
                Some(value) => signs.push(value),
                None if letters[end] == ' ' && letters[end - 1] != ' ' => {}
                None => break,
            }
            end += 1;
        }
        if signs.len() == length && stands_alone(letters, &(start..end)) && is_iban(&signs) {
            found.push(start..end);
        }
    }
    found
}

/// The first four signs behind the others, letters as 10 to 35: 1 modulo 97.
fn is_iban(signs: &[u32]) -> bool {
    let push = |rest: u32, sign: &u32| (rest * if *sign > 9 { 100 } else { 10 } + sign) % 97;
    signs[2] < 10 && signs[3] < 10 && signs[4..].iter().chain(&signs[..4]).fold(0, push) == 1
}

fn resident_ids(letters: &[char], groups: &[Range<usize>]) -> Vec<Range<usize>> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
    let is_one = |place: &Range<usize>| {
        let all = digits(letters, std::slice::from_ref(&(place.start..place.start + 17)));
        if all.len() < 17 || !stands_alone(letters, place) {
            return false;
        }
        let is_region =
            matches!(value(&all[..2]), 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83);
        let date = [6..10, 10..12, 12..14].map(|part| value(&all[part]));
        let sum: u32 = all.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
        is_region && is_day(date) && letters[place.end - 1].to_ascii_uppercase() == CHECKS[(sum % 11) as usize]
    };
    let whole = groups.iter().filter_map(|group| match group.len() {
        18 => Some(group.clone()),
        17 => letters.get(group.end).is_some_and(|letter| "xX".contains(*letter)).then(|| group.start..group.end + 1),
        _ => None,
    });
    whole.filter(is_one).collect()
}

/// Whether a year from 1900 has this month and day.
fn is_day([year, month, day]: [u32; 3]) -> bool {
    let of = || {
        let (year, month, day) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        jiff::civil::Date::new(year, month, day).ok()
    };
    of().is_some_and(|date| date.year() >= 1900)
}

/// Numbers that makers of payment systems publish for tests.
const TEST_CARDS: [&str; 8] = [
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "5555555555554444",
    "5105105105105100",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
];

fn cards(letters: &[char], groups: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for first in 0..groups.len() {
        for last in first..groups.len().min(first + 6) {
            let of = &groups[first..=last];
            let place = of[0].start..groups[last].end;
            let is_grouped = of.len() == 1
                || (of[0].len() == 4
                    && of.iter().all(|group| (2..=7).contains(&group.len()))
                    && of.windows(2).all(|pair| [" ", "-"].contains(&between(letters, pair).as_str())));
            if !is_grouped {
                break;
            }
            if is_card(&digits(letters, of)) && stands_alone(letters, &place) {
                found.push(place);
                break;
            }
        }
    }
    found
}

fn is_card(digits: &[u32]) -> bool {
    let n = digits.len();
    if !(12..=19).contains(&n) {
        return false;
    }
    let [two, three, four] = [2, 3, 4].map(|n| value(&digits[..n]));
    let is_issued = (digits[0] == 4 && [13, 16, 19].contains(&n))
        || ((matches!(two, 51..=55) || matches!(four, 2221..=2720)) && n == 16)
        || (matches!(two, 34 | 37) && n == 15)
        || ((four == 6011 || matches!(three, 644..=649) || two == 65) && n >= 16)
        || ((matches!(three, 300..=305) || matches!(two, 36 | 38 | 39)) && n >= 14)
        || (matches!(four, 3528..=3589) && n >= 16)
        || (matches!(four, 1800 | 2131) && n == 15)
        || (two == 62 && n >= 16)
        || matches!(two, 50 | 56..=58 | 63 | 67);
    let luhn = |(place, digit): (usize, &u32)| match place % 2 {
        1 if *digit > 4 => 2 * digit - 9,
        1 => 2 * digit,
        _ => *digit,
    };
    let is_checked = digits.iter().rev().enumerate().map(luhn).sum::<u32>().is_multiple_of(10);
    let text: String = digits.iter().filter_map(|digit| char::from_digit(*digit, 10)).collect();
    is_issued && is_checked && !TEST_CARDS.contains(&text.as_str())
}

fn social_security(letters: &[char], groups: &[Range<usize>]) -> Vec<Range<usize>> {
    let is_one = |of: &&[Range<usize>]| {
        let place = of[0].start..of[2].end;
        let is_free = |at: Option<usize>| at.and_then(|at| letters.get(at)).is_none_or(|letter| *letter != '-');
        let parts: Vec<u32> = of.iter().map(|group| value(&digits(letters, std::slice::from_ref(group)))).collect();
        sizes(of) == [3, 2, 4]
            && of.windows(2).all(|pair| between(letters, pair) == "-")
            && stands_alone(letters, &place)
            && is_free(place.start.checked_sub(1))
            && is_free(Some(place.end))
            && !(matches!(parts[0], 0 | 666 | 900..) || parts[1] == 0 || parts[2] == 0)
            && ![[78, 5, 1120], [457, 55, 5462], [219, 9, 9999]].iter().any(|void| parts == void)
    };
    groups.windows(3).filter(is_one).map(|of| of[0].start..of[2].end).collect()
}

fn ip_addresses(letters: &[char], groups: &[Range<usize>]) -> Vec<Range<usize>> {
    let is_one = |of: &&[Range<usize>]| {
        let place = of[0].start..of[3].end;
        let octets: Vec<u32> = of.iter().map(|group| value(&digits(letters, std::slice::from_ref(group)))).collect();
        let is_octet = |(group, octet): (&Range<usize>, &u32)| {
            group.len() <= 3 && *octet < 256 && (group.len() == 1 || letters[group.start] != '0')
        };
        let before = place.start.checked_sub(1).and_then(|at| letters.get(at));
        let goes_on =
            letters.get(place.end) == Some(&'.') && letters.get(place.end + 1).is_some_and(char::is_ascii_digit);
        // A number behind a slash, a point or a hyphen is mostly that of a version.
        let is_version = goes_on || before.is_some_and(|letter| "./-".contains(*letter));
        let is_public = !matches!(
            octets[..],
            [0 | 10 | 127 | 224.., ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..]
        ) && !matches!(
            octets[..],
            [192, 0, 0 | 2, _] | [192, 168, ..] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _]
        );
        of.windows(2).all(|pair| between(letters, pair) == ".")
            && of.iter().zip(&octets).all(is_octet)
            && stands_alone(letters, &place)
            && !is_version
            && is_public
    };
    groups.windows(4).filter(is_one).map(|of| of[0].start..of[3].end).collect()
}

/// Words behind which a run of digits is a telephone's.
const PHONE_WORDS: [&str; 17] = [
    "phone",
    "telephone",
    "tel",
    "call",
    "mobile",
    "cell",
    "cellphone",
    "fax",
    "whatsapp",
    "sms",
    "telefon",
    "téléphone",
    "teléfono",
    "handy",
    "电话",
    "手机",
    "传真",
];
/// Characters before it in which such a word is looked for.
const PHONE_CONTEXT: usize = 30;

fn phones(letters: &[char], groups: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut first = 0;
    while first < groups.len() {
        let mut last = first;
        while last + 1 < groups.len() && last < first + 6 && is_joint(&between(letters, &groups[last..last + 2])) {
            last += 1;
        }
        // The longest that is a number; what stands behind it may be another.
        let Some(last) = (first..=last).rev().find(|last| is_phone(letters, &groups[first..=*last])) else {
            first += 1;
            continue;
        };
        found.push(groups[first].start..groups[last].end);
        first = last + 1;
    }
    found
}

fn is_joint(between: &str) -> bool {
    (1..=3).contains(&between.chars().count()) && between.chars().all(|letter| " -.()/".contains(letter))
}

fn is_phone(letters: &[char], of: &[Range<usize>]) -> bool {
    let (digits, sizes) = (digits(letters, of), sizes(of));
    let place = of[0].start..of[of.len() - 1].end;
    if !stands_alone(letters, &place) {
        return false;
    }
    let before: String = letters[..place.start].iter().rev().take(2).collect();
    let joints: Vec<String> = of.windows(2).map(|pair| between(letters, pair)).collect();
    let is_national = || (8..=15).contains(&digits.len()) && digits[0] != 0;
    if before.starts_with('+') || before == "(+" {
        return is_national();
    }
    // Of North America; numbers with 555-01 are those of fiction.
    let is_american = |digits: &[u32], sizes: &[usize]| {
        sizes == [3, 3, 4] && digits[0] > 1 && digits[3] > 1 && value(&digits[3..8]) != 55501
    };
    let is_marked = joints.iter().all(|joint| joint != " ");
    let is_chinese = digits.len() == 11 && digits[0] == 1 && digits[1] > 2;
    (is_marked && is_american(&digits, &sizes))
        || (is_marked && digits[0] == 1 && sizes[0] == 1 && is_american(&digits[1..], &sizes[1..]))
        || (is_chinese && sizes == [3, 4, 4])
        || ((7..=15).contains(&digits.len()) && !is_date(&sizes) && is_spoken_of(letters, place.start))
}

fn is_date(sizes: &[usize]) -> bool {
    matches!(sizes, [4, 1..=2, 1..=2, ..] | [1..=2, 1..=2, 4, ..])
}

fn is_spoken_of(letters: &[char], start: usize) -> bool {
    let context: String = letters[start.saturating_sub(PHONE_CONTEXT)..start].iter().collect::<String>().to_lowercase();
    let mut words = context.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| PHONE_WORDS.iter().any(|known| word == *known || (!known.is_ascii() && word.ends_with(known))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with checks are those of the public rules' own examples.
    #[test]
    fn identifiers_are_found_where_their_checks_hold() {
        use Identifier::*;
        for (text, expected) in [
            ("Write to Anna.K+x@mail.post-haus.de.", &[(Email, 10)][..]),
            ("user@example.com, a@b, @home, x@y..z", &[]),
            ("GB82 WEST 1234 5698 7654 32 is mine", &[(Iban, 1)]),
            ("GB82WEST12345698765433", &[]),
            ("身份证11010519491231002X，", &[(ResidentId, 4)]),
            ("110105194912310021 and 110105194902310026", &[]),
            ("card 4012 8888 8888 1899", &[(Card, 6)]),
            ("4012-8888-8888-1898, 4111 1111 1111 1111", &[]),
            ("SSN: 460-89-9847", &[(SocialSecurity, 6)]),
            ("078-05-1120, 666-12-1234, 1-460-89-9847", &[]),
            ("from 86.121.97.248 at", &[(IpAddress, 6)]),
            ("192.168.1.1, v1.2.3.4, Chrome/124.0.6367.91, 300.1.1.1", &[]),
            ("+46 (0)8 928 571 38", &[(Phone, 2)]),
            ("905-674-3793 or (541) 714-1388", &[(Phone, 1), (Phone, 18)]),
            ("电话：１３８００１３８０００", &[(Phone, 4)]),
            ("Tel. 03.93.92.16.85", &[(Phone, 6)]),
            ("In 1990 1991 1992 it made 3793 of 905 674 for 13800138000 yen", &[]),
            ("212-555-0142, 2024-05-06 12:30:45", &[]),
        ] {
            let found: Vec<(Identifier, usize)> =
                identifiers(text).iter().map(|one| (one.kind, one.character)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
