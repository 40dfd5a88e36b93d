//! What is found in a corpus that one may not want to train on.

use crate::Unit;
use crate::metric::{About::*, Kind::*, Metric, row};

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
pub(super) const SCREENED: &[Metric] = &[
    row("data.contaminated", Proportion, Unit::One, Dataset, [
        "Share of documents that share words with the tests the model will be given.",
        "Runs of 13 words, of a test's text of 8 to 12 words the whole, in small letters and without signs; letters of Chinese, Japanese and Thai count as words. Source: Brown et al. 2020, appendix C.",
        "Says nothing of tests that nobody named, of texts under 8 words, of paraphrases and translations; a quotation that test and document both have counts.",
        "2 of 220.",
    ]),
    row("data.listed_terms", Proportion, Unit::One, Dataset, [
        "Share of documents with a term of a published list of words of ill repute.",
        "LDNOOBW's lists, whole words: the English one, and that of the document's language where it is told; documents of another language are not counted.",
        "A term is a candidate and no verdict: medicine and law use them, and hatred does without.",
        "3 of 220.",
    ]),
    row("data.personal_identifiers", Proportion, Unit::One, Dataset, [
        "Share of documents with an identifier of a person that has a form.",
        "E-mail, IBAN, China's resident number, payment card, US social security number, public IPv4 address, telephone: by form, by check where there is one, by the words before it where there is none.",
        "Names, addresses and the identifiers of other countries have other forms or none and are not looked for: 0 does not mean that no person is in the data.",
        "1 of 220.",
    ]),
    row("data.tests_touched", Proportion, Unit::One, Dataset, [
        "Share of the items of the named tests that are found in the data.",
        "Items of which a text of at least 8 words is looked for, as `data.contaminated` does; one that a document shares words with is touched.",
        "As `data.contaminated`.",
        "1 of 1,319.",
    ]),
];
