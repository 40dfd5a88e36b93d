use super::*;
use proptest::prelude::*;

fn flop(n: u128) -> Cost {
    Cost([n, 0, 0, 0])
}

#[test]
fn a_refusal_says_what_would_be_crossed() {
    let dir = tempfile::tempdir().unwrap();
    let caps = Caps::new([None, None, Some("0.05".parse().unwrap()), None]);
    let mut account = Account::open(&dir.path().join("journal"), caps).unwrap();
    let refusal = account.reserve(Cost::new(1, 1.0, 200_000.0, 0.0), 1).unwrap().unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the energy budget of 0.05 kWh would be crossed: 0 kWh are spent and the next unit of work may take 0.0555555555556 kWh"
    );
}

#[test]
fn a_crash_books_the_open_hold_in_full_and_a_raise_lets_work_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (path, caps) = (dir.path().join("journal"), Caps([Some(100), None, None, None]));
    let mut account = Account::open(&path, caps).unwrap();
    account.reserve(flop(10), 3).unwrap().unwrap();
    account.settle(flop(10), flop(9));
    drop(account);
    // Spent 9 of the hold of 30 before the crash; the hold was made when nothing was spent, so 30 count.
    let mut account = Account::open(&path, caps).unwrap();
    assert_eq!(account.spent(), flop(30));
    assert_eq!(account.reserve(flop(71), 1).unwrap().unwrap_err().spent, 30);
    drop(account);
    let mut account = Account::open(&path, Caps([Some(101), None, None, None])).unwrap();
    account.reserve(flop(71), 5).unwrap().unwrap();
    account.settle(flop(71), flop(71));
    account.close().unwrap();
    drop(account);
    assert_eq!(Account::open(&path, caps).unwrap().spent(), flop(101));
}

/// A second line cut at every byte, opened, written behind and opened again: the first line's spending stands, to the digit.
#[test]
fn a_last_line_torn_anywhere_is_cut_off_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (whole, torn) = (line(flop(7), flop(0)), line(flop(7), flop(90)));
    for cut in 0..torn.len() {
        fs::write(&path, format!("{whole}{}", &torn[..cut])).unwrap();
        let mut account = Account::open(&path, Caps::default()).unwrap();
        assert_eq!(account.spent(), flop(7), "cut at {cut}");
        account.reserve(flop(2), 1).unwrap().unwrap();
        drop(account);
        assert_eq!(Account::open(&path, Caps::default()).unwrap().spent(), flop(9), "cut at {cut}");
    }
}

#[test]
fn a_last_line_of_blocks_that_never_arrived_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    fs::write(&path, format!("{}spent=\0\0\0\n", line(flop(7), flop(1)))).unwrap();
    assert_eq!(Account::open(&path, Caps::default()).unwrap().spent(), flop(8));
}

#[test]
fn a_foreign_line_is_refused_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (whole, changed) = (line(flop(70), flop(0)), line(flop(70), flop(0)).replace("spent=7", "spent=1"));
    for (text, n) in [
        (format!("{changed}{whole}"), 1),
        (format!("{whole}{changed}"), 2),
        (format!("{whole}\n"), 2),
        ("a poem\n".to_owned(), 1),
    ] {
        fs::write(&path, &text).unwrap();
        let expected = format!(
            "line {n} of the budget journal {} is not one of ours; the spending so far is unknown, so nothing is started: remove the \
             folder it is in to begin anew",
            path.display()
        );
        assert_eq!(Account::open(&path, Caps::default()).unwrap_err().to_string(), expected);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "left as it was");
    }
}

#[test]
fn a_journal_has_one_account_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let first = Account::open(&path, Caps::default()).unwrap();
    let second = Account::open(&path, Caps::default()).unwrap_err();
    assert_eq!(second.to_string(), format!("the budget journal {} is in use by another run", path.display()));
    drop(first);
    assert!(Account::open(&path, Caps::default()).is_ok());
}

#[test]
fn a_unit_that_took_more_than_was_reserved_is_booked_durably_and_ends_the_block() {
    let dir = tempfile::tempdir().unwrap();
    let (path, caps) = (dir.path().join("journal"), Caps([Some(100), None, None, None]));
    let mut account = Account::open(&path, caps).unwrap();
    account.reserve(flop(10), 10).unwrap().unwrap();
    account.settle(flop(10), flop(95));
    assert_eq!(
        account.reserve(flop(10), 10).unwrap().unwrap_err(),
        Refusal { kind: 0, cap: 100, spent: 95, asked: 10 }
    );
    drop(account);
    // 95 and the rest of the block, 90, which a crash books in full.
    assert_eq!(Account::open(&path, caps).unwrap().spent(), flop(185));
}

#[test]
fn an_unknown_cost_is_never_zero() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = Cost::new(1, 1.0, 1.0, f64::NAN);
    let capped = Caps::new([None, None, None, Some("5".parse().unwrap())]);
    let mut account = Account::open(&dir.path().join("capped"), capped).unwrap();
    assert_eq!(
        account.reserve(unknown, 1).unwrap().unwrap_err().to_string(),
        "the carbon budget of 5 gCO2e cannot be held: what the next unit of work may take is unknown"
    );
    let mut free = Account::open(&dir.path().join("free"), Caps::default()).unwrap();
    assert_eq!(free.reserve(unknown, 3).unwrap(), Ok(()));
    assert_eq!(
        (capped.check(true), capped.check(false), Caps::default().check(false)),
        (Ok(()), Err(UnknownCarbon), Ok(()))
    );
    assert_eq!(
        UnknownCarbon.to_string(),
        "a carbon budget is set, but emissions cannot be known without a country of the intensity table: name the country, or take the \
         carbon budget out"
    );
}

/// A handle that cannot be written stands for a full disk.
#[test]
fn after_a_failed_write_nothing_more_is_granted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut account = Account::open(&path, Caps::default()).unwrap();
    account.reserve(flop(5), 1).unwrap().unwrap();
    account.settle(flop(5), flop(5));
    account.journal = File::open(&path).unwrap();
    let expected = format!("the budget journal {} cannot be written", path.display());
    assert_eq!(account.reserve(flop(5), 1).unwrap_err().to_string(), expected);
    account.journal = File::options().append(true).open(&path).unwrap();
    assert_eq!(account.reserve(flop(5), 1).unwrap_err().to_string(), expected);
    assert_eq!(account.close().unwrap_err().to_string(), expected);
}

#[test]
fn threads_that_share_an_account_never_pass_its_cap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let caps = Caps([Some(1_000), None, None, None]);
    let account = std::sync::Mutex::new(Account::open(&path, caps).unwrap());
    let work = |n: u128| {
        let mut done = 0;
        while account.lock().unwrap().reserve(flop(7 + n), 3).unwrap().is_ok() {
            std::thread::yield_now();
            account.lock().unwrap().settle(flop(7 + n), flop(5 + n));
            done += 5 + n;
        }
        done
    };
    let done: u128 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let mut account = account.into_inner().unwrap();
    assert_eq!(account.spent(), flop(done));
    // Each thread stopped when its unit, of at most 10, and the units of three others, did not fit.
    assert!((1_000 - 40..=1_000).contains(&done), "{done}");
    account.close().unwrap();
    drop(account);
    assert_eq!(Account::open(&path, caps).unwrap().spent(), flop(done));
}

#[test]
fn caps_are_exact() {
    assert_eq!(
        Caps::new([Some("1e14".parse().unwrap()), Some("0.5".parse().unwrap()), None, None]).0,
        [Some(100_000_000_000_000), Some(500_000), None, None]
    );
}

proptest! {
    /// Under random unit costs, block sizes and crashes, each with a random part of a next line torn: what was really spent never
    /// passes the cap, and what is booked is never less.
    #[test]
    fn the_budget_is_never_crossed(
        cap in 1_u128..2000,
        work in proptest::collection::vec((1_u128..60, 0_u128..60, 1_u64..6, 0_u8..10, 0_usize..60), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let caps = Caps([Some(cap), None, None, None]);
        let mut account = Account::open(&path, caps).unwrap();
        let mut really = 0;
        for (upper, actual, block, fate, torn) in work {
            if account.reserve(flop(upper), block).unwrap().is_err() {
                continue;
            }
            really += actual.min(upper);
            prop_assert!(really <= cap);
            if fate == 0 {
                drop(account);
                let next = line(flop(1), flop(0));
                let rest = &next[..torn.min(next.len() - 1)];
                File::options().append(true).open(&path).unwrap().write_all(rest.as_bytes()).unwrap();
                account = Account::open(&path, caps).unwrap();
            } else {
                account.settle(flop(upper), flop(actual.min(upper)));
            }
            prop_assert!(account.spent().0[0] >= really);
            prop_assert!(account.spent().0[0] <= cap);
        }
    }

    /// In all four kinds, over any number of clean ends and beginnings.
    #[test]
    fn restarts_add_up_to_the_digit(work in proptest::collection::vec((0_u128..u128::from(u64::MAX), 0_u128..1_000_000, 1_u64..6, 0_u8..5), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut account = Account::open(&path, Caps::default()).unwrap();
        let mut sum = Cost::default();
        for (large, small, block, fate) in work {
            let cost = Cost([large, small, large, small]);
            account.reserve(cost, block).unwrap().unwrap();
            account.settle(cost, cost);
            sum = sum.plus(cost);
            if fate == 0 {
                account.close().unwrap();
                drop(account);
                account = Account::open(&path, Caps::default()).unwrap();
            }
            prop_assert_eq!(account.spent(), sum);
        }
    }
}
