//! Rankings of made-up figures: what is told, what is chosen, what stays open.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Rounds around a figure, each disturbed by as much for all candidates and a little apart.
fn rounds(figure: f64, count: usize, own: u64) -> Vec<f64> {
    let disturbed = |round: usize| {
        let common = 1.0 + (round % 4) as f64 / 4.0;
        let apart = (round as u64 * 7 + own * 3) % 5;
        figure * common * (1.0 + apart as f64 / 1000.0)
    };
    (0..count).map(disturbed).collect()
}

fn sample(figures: &[f64]) -> Sample {
    let figures = figures.iter().copied().map(Some).collect();
    Sample { figures, kept_up: true, client_bound: false }
}

fn terms(aim: Aim, noise: f64) -> Terms {
    Terms { aim, noise, client_hides: false }
}

/// With all of them fit.
fn ranked(figures: &[Vec<f64>], aim: Aim, noise: f64) -> Ranking {
    let samples: Vec<Sample> = figures.iter().map(|figures| sample(figures)).collect();
    rank(&samples, terms(aim, noise))
}

fn standings(ranking: &Ranking) -> Vec<(usize, Standing)> {
    ranking.rows.iter().map(|row| (row.candidate, row.standing)).collect()
}

#[test]
fn a_clear_winner_is_told_through_common_disturbance() {
    let figures = [rounds(11.0, 12, 0), rounds(10.0, 12, 1), rounds(12.0, 12, 2)];
    let ranking = ranked(&figures, Aim::Least, 0.02);
    assert_eq!(ranking.verdict, Verdict::Winner);
    assert_eq!(ranking.choice, Some(1));
    use Standing::{Best, Worse};
    assert_eq!(standings(&ranking), [(1, Best), (0, Worse), (2, Worse)]);
    let (least, most) = ranking.rows[1].interval.unwrap();
    assert!(least > 1.09 && least <= ranking.rows[1].ratio && most < 1.11);
}

#[test]
fn the_most_wins_where_more_is_better() {
    let figures = [rounds(11.0, 12, 0), rounds(10.0, 12, 1)];
    let ranking = ranked(&figures, Aim::Most, 0.02);
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::Winner, Some(0)));
    assert!(ranking.rows[1].ratio < 0.92);
}

#[test]
fn without_a_difference_there_is_none_and_the_first_is_chosen() {
    let figures = [rounds(10.01, 12, 0), rounds(10.02, 12, 1), rounds(10.0, 12, 2)];
    let ranking = ranked(&figures, Aim::Least, 0.02);
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::NoDifference, Some(0)));
    assert!(ranking.rows[1..].iter().all(|row| row.standing == Standing::Same), "{ranking:?}");
}

#[test]
fn a_difference_below_the_threshold_does_not_matter() {
    let figures = [rounds(10.15, 12, 0), rounds(10.0, 12, 0)];
    let same = ranked(&figures, Aim::Least, 0.02);
    assert_eq!((same.verdict, same.choice), (Verdict::NoDifference, Some(0)));
    let told = ranked(&figures, Aim::Least, 0.01);
    assert_eq!((told.verdict, told.choice), (Verdict::Winner, Some(1)));
}

#[test]
fn a_wide_spread_leaves_it_open() {
    let wild = |sign: f64| -> Vec<f64> {
        (0..12).map(|n| 10.0 * (1.0 + sign * if n % 2 == 0 { 0.2 } else { -0.19 })).collect()
    };
    let ranking = ranked(&[wild(1.0), wild(-1.0)], Aim::Least, 0.02);
    assert_eq!(ranking.rows[1].standing, Standing::Open);
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::Inconclusive, Some(0)));
    assert!(ranking.more_rounds.unwrap() > 100, "{ranking:?}");
}

#[test]
fn some_may_tie_for_the_first_place() {
    let figures = [rounds(12.0, 12, 0), rounds(10.0, 12, 1), rounds(10.01, 12, 2)];
    let ranking = ranked(&figures, Aim::Least, 0.02);
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::Tied, Some(1)));
}

#[test]
fn the_best_is_best_in_the_rounds_and_not_in_the_middle_of_all() {
    // The second is better by a twentieth in ten rounds of twelve; in the two rounds whose
    // figures are the middle ones of all it is worse, so its own median is worse.
    let first: Vec<f64> = (1..=12).map(f64::from).collect();
    let apart = |figure: &f64| figure * if (6.0..=7.0).contains(figure) { 1.3 } else { 0.95 };
    let second: Vec<f64> = first.iter().map(apart).collect();
    assert!(median(second.clone()) > median(first.clone()));
    let ranking = ranked(&[first, second], Aim::Least, 0.02);
    use Standing::{Best, Worse};
    assert_eq!(standings(&ranking), [(1, Best), (0, Worse)]);
}

#[test]
fn the_same_is_within_the_noise_at_both_ends() {
    let of = |least, most| Loss::new(1.0, (least, most), Aim::Least).standing(0.02);
    assert_eq!(of(0.99, 1.01), Standing::Same);
    assert_eq!(of(0.99, 1.03), Standing::Open);
    assert_eq!(of(0.90, 1.01), Standing::Open, "it may be the better one");
}

#[test]
fn one_that_is_open_is_no_sign_of_no_difference() {
    let even = rounds(10.0, 12, 0);
    let wild = |(n, figure): (usize, &f64)| figure * if n % 2 == 0 { 1.1 } else { 0.9 };
    let wild = even.iter().enumerate().map(wild).collect();
    let figures = [even.clone(), even, wild];
    let ranking = ranked(&figures, Aim::Least, 0.02);
    assert_eq!(ranking.verdict, Verdict::Inconclusive);
    assert!(ranking.more_rounds.is_some());
    assert_eq!(ranked(&figures[..2], Aim::Least, 0.02).more_rounds, None);
}

#[test]
fn the_rounds_that_are_missing_follow_from_the_width() {
    let more = |ratio: f64, width: f64| {
        let loss = Loss { ratio, least: ratio / width, most: ratio * width };
        loss.more_rounds(0.02, 12)
    };
    // To halve an interval takes four times the rounds.
    assert_eq!(more(1.0, 1.02f64.powi(2) - 1e-9), 36);
    assert_eq!(more(1.1, 1.1f64.powi(2) - 1e-9), 36);
    assert_eq!(more(1.1, 1.05), 1, "it would be told already if the interval were even");
    assert_eq!(more(1.02, 1.05), usize::MAX, "on the threshold nothing is told");
}

#[test]
fn of_two_the_second_is_worse_better_or_the_same() {
    let stands = |first: f64, second: f64, count: usize, aim| {
        let (first, second) = (rounds(first, count, 0), rounds(second, count, 1));
        compare(&sample(&first), &sample(&second), terms(aim, 0.02)).standing
    };
    assert_eq!(stands(10.0, 11.0, 12, Aim::Least), Standing::Worse);
    assert_eq!(stands(10.0, 11.0, 12, Aim::Most), Standing::Best);
    assert_eq!(stands(11.0, 10.0, 12, Aim::Least), Standing::Best);
    assert_eq!(stands(10.0, 10.0, 12, Aim::Least), Standing::Same);
    assert_eq!(stands(10.0, 11.0, 5, Aim::Least), Standing::Open);
}

#[test]
fn what_did_not_keep_up_is_neither_best_nor_chosen() {
    let mut samples = [11.0, 5.0, 12.0].map(|figure| sample(&rounds(figure, 12, 0)));
    let mut after = |unfit: usize| {
        samples[unfit].kept_up = false;
        rank(&samples, terms(Aim::Least, 0.02))
    };
    use Standing::{Best, Unfit, Worse};
    let ranking = after(1);
    assert_eq!(standings(&ranking), [(0, Best), (2, Worse), (1, Unfit)]);
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::Winner, Some(0)));
    // The last one left has won over nobody.
    let alone = after(2);
    assert_eq!((alone.verdict, alone.choice), (Verdict::Alone, Some(0)));
    let none = after(0);
    assert_eq!((none.verdict, none.choice), (Verdict::NoneFit, None));
}

#[test]
fn what_the_client_was_the_limit_of_is_not_the_same() {
    let told = |figures: [f64; 2], bound: usize, client_hides| {
        let mut samples = figures.map(|figure| sample(&rounds(figure, 12, 0)));
        samples[bound].client_bound = true;
        let terms = Terms { client_hides, ..terms(Aim::Most, 0.02) };
        let compared = compare(&samples[0], &samples[1], terms);
        let ranking = rank(&samples, terms);
        (ranking.verdict, compared.standing, compared.doubt, ranking.more_rounds)
    };
    for bound in [0, 1] {
        let open = (Verdict::Inconclusive, Standing::Open, Some(Doubt::Client), None);
        assert_eq!(told([10.0, 10.0], bound, true), open);
        let same = (Verdict::NoDifference, Standing::Same, None, None);
        assert_eq!(told([10.0, 10.0], bound, false), same);
        // What differs even then differs.
        let worse = (Verdict::Winner, Standing::Worse, None, None);
        assert_eq!(told([10.0, 9.0], bound, true), worse);
    }
}

#[test]
fn rounds_that_do_not_count_leave_one_candidate_open() {
    let mut samples = [10.0, 9.0, 11.0].map(|figure| sample(&rounds(figure, 12, 0)));
    let void = |sample: &mut Sample, count| sample.figures[..count].fill(None);
    // Three of them are told apart by seven rounds or more.
    void(&mut samples[1], 5);
    let ranking = rank(&samples, terms(Aim::Least, 0.02));
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::Winner, Some(1)));
    void(&mut samples[1], 6);
    let ranking = rank(&samples, terms(Aim::Least, 0.02));
    use Standing::{Best, Open, Worse};
    assert_eq!(standings(&ranking), [(0, Best), (1, Open), (2, Worse)]);
    assert_eq!((ranking.verdict, ranking.choice), (Verdict::Tied, Some(0)));
    assert_eq!(ranking.rows[1].doubt, Some(Doubt::Few));
    assert_eq!(ranking.more_rounds, None);
    void(&mut samples[1], 12);
    let ranking = rank(&samples, terms(Aim::Least, 0.02));
    let last = ranking.rows.last().unwrap();
    assert_eq!((last.candidate, last.median, last.interval), (1, None, None));
    assert_eq!((ranking.choice, ranking.counted), (Some(0), 12));
    // Nearest to the defaults, but nothing is known of it.
    samples.swap(0, 1);
    assert_eq!(rank(&samples, terms(Aim::Least, 0.02)).choice, Some(1));
}

#[test]
fn a_choice_that_may_be_far_behind_is_said_to_be() {
    // The first is behind by a tenth in seven rounds of twelve and ahead in five.
    let apart = |n: usize| if n < 7 { 1.1 } else { 0.9 };
    let behind = |ways: &[f64]| ranked(&[ways.to_vec(), vec![1.0; 12]], Aim::Least, 0.02).behind;
    let ways: Vec<f64> = (0..12).map(apart).collect();
    assert!((behind(&ways).unwrap() - 0.1).abs() < 1e-9);
    assert_eq!(behind(&[1.01; 12]), None);
}

#[test]
fn what_differs_by_little_is_another_doubt_than_what_may_not_differ() {
    let doubt = |ratios: [f64; 2]| {
        let second: Vec<f64> = (0..12).map(|n| ratios[n % 2]).collect();
        compare(&sample(&[1.0; 12]), &sample(&second), terms(Aim::Least, 0.02)).doubt
    };
    assert!(matches!(doubt([1.01, 1.025]), Some(Doubt::Little { .. })));
    assert!(matches!(doubt([0.99, 1.03]), Some(Doubt::Wide { .. })));
    assert!(matches!(doubt([0.975, 0.99]), Some(Doubt::Little { .. })));
}

#[test]
fn too_few_rounds_tell_nothing_however_clear_they_look() {
    let figures = [rounds(20.0, 5, 0), rounds(10.0, 5, 1)];
    let ranking = ranked(&figures, Aim::Least, 0.02);
    assert_eq!(ranking.verdict, Verdict::TooFewRounds { needed: 6 });
    assert_eq!(ranking.rows[1].interval, None);
    assert_eq!(ranking.choice, Some(0));
}

#[test]
fn equal_candidates_are_seldom_told_apart() {
    let mut told = 0;
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut candidate =
            || -> Vec<f64> { (0..12).map(|_| 1.0 + 0.3 * random.random::<f64>()).collect() };
        let figures: Vec<Vec<f64>> = (0..6).map(|_| candidate()).collect();
        let verdict = ranked(&figures, Aim::Least, 0.02).verdict;
        told += usize::from(matches!(verdict, Verdict::Winner | Verdict::Tied));
    }
    assert!(told <= 10, "{told} of 200 seeds, from 0, found a difference that is not there");
}

#[test]
fn a_single_candidate_is_compared_to_nobody() {
    let ranking = ranked(&[rounds(1.0, 6, 0)], Aim::Least, 0.02);
    assert_eq!((ranking.rows.len(), ranking.choice), (1, Some(0)));
    assert_eq!(ranking.rows[0].standing, Standing::Best);
}
