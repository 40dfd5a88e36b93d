//! A card begun for any fact compiles, passes its tests, and leaves the lint and the mutants nothing to say.

use evidence::metric;
use jiff::civil::date;
use policy::{Pack, draft, mutate};

#[test]
fn a_card_begun_for_any_fact_is_whole() {
    for metric in metric::CATALOGUE {
        let text = draft("house.first", metric, date(2026, 11, 26)).unwrap();
        let compiled = Pack::compile("house", &[("house.first.toml".to_owned(), text.clone())]);
        let pack = compiled.unwrap_or_else(|errors| panic!("{}\n{}", metric.id, errors[0]));
        let (n_tests, failures) = policy::test(&pack);
        assert!(n_tests >= 8 && failures.is_empty(), "{}: {:?}", metric.id, failures);
        let lints: Vec<String> = policy::lint(&pack).iter().map(ToString::to_string).collect();
        assert_eq!(lints, Vec::<String>::new(), "{}", metric.id);
        let mutated = mutate(&pack.cards()[0], false);
        assert!(mutated.killed > 5, "{}", metric.id);
        assert_eq!(mutated.survived, [], "{}", metric.id);
    }
}

#[test]
fn an_id_that_no_card_may_have_is_refused() {
    let refuse = |id: &str| draft(id, &metric::CATALOGUE[0], date(2026, 11, 26)).unwrap_err().to_string();
    assert_eq!(
        refuse("House"),
        "expected an id of at most 100 of the letters a-z, digits, `.`, `-`, `_`, found `House`"
    );
    assert_eq!(
        refuse("../x/y"),
        "expected an id of at most 100 of the letters a-z, digits, `.`, `-`, `_`, found `../x/y`"
    );
    assert_eq!(refuse(""), "expected an id of at most 100 of the letters a-z, digits, `.`, `-`, `_`, found ``");
}
