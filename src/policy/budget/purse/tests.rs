use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

fn hourly(usd: f64) -> BudgetLimits {
    BudgetLimits { usd_per_hour: Some(usd), ..BudgetLimits::default() }
}

#[test]
fn what_is_reserved_counts_as_spent() {
    let mut purse = Purse::new(&hourly(1.0), UnixMs(0));
    let (most, small) = (Amount::of_usd(0.6), Amount::of_usd(0.4));
    assert_eq!(purse.denial(most), None);
    purse.reserve(most);
    let denied = purse.denial(most).unwrap();
    assert_eq!((denied.period, denied.limit_usd, denied.left_usd), (Period::Hour, 1.0, 0.4));
    assert_eq!(denied.resets_at, UnixMs(HOUR));
    assert_eq!(purse.denial(small), None, "the limit itself may be reached");
    purse.settle(most, Amount::of_usd(0.1));
    assert_eq!((purse.room(), purse.reserved_usd()), (Some(Amount::of_usd(0.9)), 0.0));
}

#[test]
fn a_new_period_is_full_again_but_for_what_is_reserved() {
    let limits = BudgetLimits { usd_per_day: Some(3.0), ..hourly(1.0) };
    let mut purse = Purse::new(&limits, UnixMs(0));
    purse.spend(Amount::of_usd(0.7), None);
    purse.reserve(Amount::of_usd(0.2));
    assert!(!purse.turn(UnixMs(HOUR - 1)) && purse.turn(UnixMs(HOUR)));
    let states: Vec<PeriodState> = purse.periods().collect();
    assert_eq!((states[0].spent_usd, states[0].left_usd), (0.0, 0.8));
    assert_eq!((states[1].spent_usd, states[1].left_usd), (0.7, 2.1));
    let denied = purse.denial(Amount::of_usd(2.5)).unwrap();
    assert_eq!(
        (denied.period, denied.resets_at),
        (Period::Day, UnixMs(24 * HOUR)),
        "the longer wait is told"
    );
}

#[test]
fn spend_of_an_earlier_period_does_not_count_and_a_late_report_corrects() {
    let limits = BudgetLimits { usd_per_day: Some(3.0), ..hourly(1.0) };
    let mut purse = Purse::new(&limits, UnixMs(5 * HOUR));
    purse.spend(Amount::of_usd(0.5), Some(UnixMs(4 * HOUR)));
    purse.spend(Amount::of_usd(0.25), Some(UnixMs(5 * HOUR + 1)));
    purse.refund(Amount::of_usd(0.125), UnixMs(4 * HOUR));
    let spent: Vec<f64> = purse.periods().map(|p| p.spent_usd).collect();
    assert_eq!(spent, [0.25, 0.625]);
}

#[test]
fn what_is_left_is_shared_by_the_requests_that_are_to_come() {
    let mut purse = Purse::new(&hourly(3.6), UnixMs(0));
    let first = purse.per_request_usd(UnixMs(0)).unwrap();
    assert!(
        (3.6 / 210.0..3.6 / 100.0).contains(&first),
        "{first}: about a hundred are presumed, twice to be safe"
    );
    // One per second for half an hour, each at its share.
    for i in 1..=1800 {
        purse.count(UnixMs(i * 1000));
        purse.spend(Amount::of_usd(0.001), None);
    }
    let half = purse.per_request_usd(UnixMs(1800 * 1000)).unwrap();
    assert!((0.00090..=0.00105).contains(&half), "{half}");
    let last = purse.per_request_usd(UnixMs(HOUR - 1)).unwrap();
    assert!((last / 1.8 - 1.0).abs() < 0.01, "{last}: at the end the last request may have the rest");
}

#[test]
fn the_tightest_limit_decides() {
    let limits = BudgetLimits { usd_per_request: Some(0.001), usd_per_month: Some(1e6), ..hourly(1e6) };
    let purse = Purse::new(&limits, UnixMs(0));
    assert_eq!(purse.per_request_usd(UnixMs(0)), Some(0.001));
    let free = Purse::new(&BudgetLimits::default(), UnixMs(0));
    assert_eq!(
        (free.per_request_usd(UnixMs(0)), free.room(), free.denial(Amount::of_usd(9.0))),
        (None, None, None)
    );
}

#[test]
fn what_a_request_has_set_aside_is_left_for_it_and_for_nobody_else() {
    let mut purse = Purse::new(&hourly(1.0), UnixMs(0));
    let before = purse.per_request_usd(UnixMs(0)).unwrap();
    let own = Amount::of_usd(0.5);
    purse.reserve(own);
    assert_eq!(purse.allotted_usd(UnixMs(0), own), Some(before));
    assert!(purse.per_request_usd(UnixMs(0)).unwrap() < 0.6 * before);
}

#[test]
fn amounts_round_up_and_refuse_nonsense() {
    assert_eq!(Amount::of_usd(0.07).usd(), 0.07);
    assert_eq!(Amount::of_usd(1e-10).usd(), 1e-9);
    assert_eq!((Amount::of_usd(-1.0), Amount::of_usd(f64::NAN)), (Amount::default(), Amount::default()));
    assert_eq!(Amount::of_usd(f64::INFINITY).plus(Amount::of_usd(1.0)), Amount(u64::MAX));
}

proptest! {
    /// Whatever is reserved and settled in whatever order, as long as no call costs more than it reserved.
    #[test]
    fn no_sum_passes_a_limit(steps in proptest::collection::vec((0.0..0.4f64, 0.0..1.0f64, 0..4usize, 0..HOUR / 3), 1..200)) {
        let mut purse = Purse::new(&BudgetLimits { usd_per_day: Some(2.0), ..hourly(1.0) }, UnixMs(0));
        let (mut open, mut now, mut hour, mut day) = (Vec::new(), 0, 0.0, 0.0);
        for (usd, share, which, wait) in steps {
            now += wait;
            if now / HOUR != (now - wait) / HOUR { hour = 0.0; }
            if now / (24 * HOUR) != (now - wait) / (24 * HOUR) { day = 0.0; }
            purse.turn(UnixMs(now));
            let amount = Amount::of_usd(usd);
            if purse.denial(amount).is_none() {
                purse.reserve(amount);
                open.push((amount, usd * share));
            }
            if which < open.len() {
                let (reserved, actual) = open.swap_remove(which);
                purse.settle(reserved, Amount::of_usd(actual));
                hour += actual;
                day += actual;
            }
            prop_assert!(hour <= 1.0 && day <= 2.0, "{hour} in the hour, {day} in the day");
        }
    }
}

#[test]
fn x4_a_clock_that_is_set_back_gives_no_money_twice_and_takes_none_for_a_year() {
    let year = 365 * 24 * HOUR;
    let mut purse = Purse::new(&hourly(1.0), UnixMs(10 * HOUR));
    purse.spend(Amount::of_usd(0.9), None);
    assert!(!purse.turn(UnixMs(9 * HOUR)), "an hour back: the same hour runs on");
    assert!(!purse.turn(UnixMs(10 * HOUR)) && purse.periods().all(|p| p.spent_usd == 0.9));
    assert!(purse.turn(UnixMs(10 * HOUR + year)), "a year ahead: a new hour");
    purse.spend(Amount::of_usd(0.8), None);
    purse.count(UnixMs(10 * HOUR + year));
    assert!(!purse.turn(UnixMs(10 * HOUR)), "and back: nothing anew");
    assert!(purse.periods().all(|p| p.spent_usd == 0.8 && p.resets_at == UnixMs(11 * HOUR)));
    assert!(purse.turn(UnixMs(11 * HOUR)) && purse.periods().all(|p| p.spent_usd == 0.0));
    purse.count(UnixMs(11 * HOUR));
    assert!(purse.per_request_usd(UnixMs(11 * HOUR)).unwrap().is_finite());
}
