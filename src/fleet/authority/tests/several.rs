//! Several limits in a call, each with an amount of its own.

use super::{
    Demand, Exchange, LONGEST_PAUSE_US, Model, Receipt, START_US, Server, Terms, extreme, integer, quotas,
    whole,
};
use crate::{Quota, fleet::tests::random::Random};

/// A call for one permit, which is an amount of each limit.
const ONE: Exchange = Exchange::take(1);

/// Permits that come back of no lease: the amount of each limit.
const BACK: Exchange = Exchange { back: Some((1, Receipt::NONE)), ..Exchange::take(0) };

/// Limits of one key, and the exact model of each.
struct Case {
    keys: Vec<String>,
    quotas: Vec<Quota>,
    terms: Vec<Terms>,
    models: Vec<Model>,
}

impl Case {
    fn new(name: &str, quotas: &[(Quota, u64)]) -> Self {
        let all = quotas.iter();
        Self {
            keys: (0..quotas.len()).map(|i| format!("{i}:{{{name}}}")).collect(),
            quotas: all.clone().map(|(quota, _)| *quota).collect(),
            terms: all.clone().map(|(quota, burst)| Terms::new(quota, *burst).unwrap()).collect(),
            models: all.map(|(quota, burst)| Model::new(quota, *burst, START_US)).collect(),
        }
    }

    /// A time that matters to one of the limits.
    fn step_us(&self, random: &mut Random) -> u64 {
        let model = &self.models[random.below(self.models.len() as u64) as usize];
        let refill_us = integer(&(whole(model.burst) / &model.rate).ceil());
        match random.below(4) {
            0 => 0,
            1 => random.below(1000),
            // Not beyond the year 2112.
            2 => random.below((refill_us / 4 + 2).min((1 << 51) / 300)),
            _ => integer(&model.rate.recip().ceil()) + random.below(2),
        }
    }

    fn amount(&self, limit: usize, random: &mut Random) -> u64 {
        let burst = self.terms[limit].burst;
        match random.below(6) {
            0 => 0,
            1 | 2 => 1,
            3 => burst,
            _ => 1 + random.below(burst),
        }
    }
}

/// Whether a call was granted.
fn check(server: &mut Server, case: &mut Case, now_us: u64, amounts: &[u64], exchange: &Exchange) -> bool {
    let demands: Vec<Demand> =
        case.terms.iter().zip(amounts).map(|(&terms, &amount)| Demand { terms, amount }).collect();
    let keys: Vec<&str> = case.keys.iter().map(String::as_str).collect();
    let answers = server.ask(now_us, &keys, &demands, exchange);
    let context = format!("{:?} at {now_us}: {amounts:?} {exchange:?} {answers:?}", case.quotas);
    for model in &mut case.models {
        model.advance(now_us);
    }
    let is_call = exchange.most == 1;
    let is_granted = is_call && case.models.iter().zip(amounts).all(|(model, &n)| model.level() >= whole(n));
    for ((model, &amount), answer) in case.models.iter_mut().zip(amounts).zip(&answers) {
        assert_eq!(answer.granted, u64::from(is_granted), "{context}");
        if is_call {
            // Nobody waits for what was granted. Without that: until this limit would grant it.
            let wait = if is_granted { 0 } else { model.wait(amount) };
            assert_eq!(answer.wait.as_micros(), u128::from(wait), "{context}");
        } else {
            model.missing = (&model.missing - whole(amount)).max(whole(0));
        }
        if is_granted {
            model.missing += whole(amount);
        }
        assert_eq!(answer.level, integer(&model.level().max(whole(0))), "{context}");
    }
    is_granted
}

#[test]
fn amounts_of_several_limits_are_those_of_exact_arithmetic() {
    let Some(mut server) = Server::start() else { return };
    let mut random = Random(3);
    let usual: Vec<_> = quotas().into_iter().map(|quota| (quota, quota.burst())).collect();
    let extremes: Vec<_> = quotas().into_iter().filter_map(extreme).collect();
    let (mut granted, mut refused, mut came_back) = (0, 0, 0);
    for i in 0..40 {
        let pool = if i % 4 == 3 { &extremes } else { &usual };
        let chosen: Vec<_> = (0..2 + i % 2).map(|_| pool[random.below(pool.len() as u64) as usize]).collect();
        let mut case = Case::new(&format!("case {i}"), &chosen);
        let mut now_us = START_US;
        for _ in 0..100 {
            now_us += case.step_us(&mut random);
            let amounts: Vec<u64> = (0..chosen.len()).map(|limit| case.amount(limit, &mut random)).collect();
            if random.below(5) == 0 {
                came_back += 1;
                check(&mut server, &mut case, now_us, &amounts, &BACK);
            } else if check(&mut server, &mut case, now_us, &amounts, &ONE) {
                granted += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(granted > 500 && refused > 500 && came_back > 500, "{granted} {refused} {came_back}");
}

#[test]
fn several_limits_grant_all_or_nothing() {
    let Some(mut server) = Server::start() else { return };
    let limits = [
        Terms::new(&Quota::per_minute(6), 6).unwrap().into(),
        Terms::new(&Quota::per_second(2).with_burst(4), 4).unwrap().into(),
    ];
    let keys = ["{org}:all", "{org}:user"];
    let both = server.ask(START_US, &keys, &limits, &Exchange::take(9));
    assert_eq!(
        both.iter().map(|answer| (answer.granted, answer.level)).collect::<Vec<_>>(),
        [(4, 2), (4, 0)]
    );
    // The second limit has one permit, but three are the least: nothing is taken of the first.
    let least = Exchange { least: 3, ..Exchange::take(9) };
    let none = server.ask(START_US + 500_000, &keys, &limits, &least);
    assert_eq!(
        none.iter().map(|answer| (answer.granted, answer.level)).collect::<Vec<_>>(),
        [(0, 2), (0, 1)]
    );
    // The first limit has 2.05 permits: the third comes after 9.5 s. The second has one, and takes a second for two more.
    assert_eq!(none.iter().map(|answer| answer.wait.as_micros()).collect::<Vec<_>>(), [9_500_000, 1_000_000]);
    let two = server.ask(START_US + 2_500_000, &keys, &limits, &Exchange::take(9));
    assert_eq!(two[0].granted, 2);
}

#[test]
fn a_limit_with_the_amount_zero_refuses_nothing_and_makes_no_key() {
    let Some(mut server) = Server::start() else { return };
    let terms = Terms::new(&Quota::per_minute(6), 6).unwrap();
    let [none, all] = [0, 6].map(|amount| Demand { terms, amount });
    let keys = ["a:{org}", "b:{org}"];
    let count = |server: &mut Server| redis::cmd("DBSIZE").query::<u64>(&mut server.connection).unwrap();
    let levels = |server: &mut Server, demands: [Demand; 2], exchange: &Exchange| {
        let answers = server.ask(START_US, &keys, &demands, exchange);
        (answers[0].granted, answers.iter().map(|answer| answer.level).collect::<Vec<_>>())
    };
    assert_eq!(levels(&mut server, [none, none], &ONE), (1, vec![6, 6]));
    assert_eq!(levels(&mut server, [all, all], &BACK), (0, vec![6, 6]));
    assert_eq!(count(&mut server), 0);
    assert_eq!(levels(&mut server, [none, all], &ONE), (1, vec![6, 0]));
    assert_eq!(count(&mut server), 1);
    // Neither the empty limit nor its pause refuses what takes nothing of it.
    assert_eq!(levels(&mut server, [all, none], &ONE), (1, vec![0, 0]));
    let pause = Exchange { pause_us: LONGEST_PAUSE_US, ..Exchange::take(0) };
    server.ask_one(START_US, keys[0], terms, &pause);
    assert_eq!(levels(&mut server, [none, all], &BACK), (0, vec![0, 6]));
    assert_eq!(levels(&mut server, [none, all], &ONE), (1, vec![0, 0]));
    let answers = server.ask(START_US, &keys, &[all, all], &ONE);
    assert_eq!(answers[0].granted, 0);
    assert!(answers[0].wait.as_micros() > u128::from(LONGEST_PAUSE_US));
    assert_eq!(answers[1].wait.as_micros(), 60_000_000);
}

#[test]
fn what_comes_back_of_no_lease_counts_against_leases() {
    let Some(mut server) = Server::start() else { return };
    let terms = Terms::new(&Quota::per_hour(10), 10).unwrap();
    let lease = server.ask_one(START_US, "a", terms, &Exchange::take(6));
    let four = Demand { terms, amount: 4 };
    assert_eq!(server.ask(START_US, &["a"], &[four], &BACK)[0].level, 8);
    assert_eq!(server.ask_one(START_US, "a", terms, &Exchange::take(8)).level, 0);
    // Of the six, four have come back in other ways.
    let back = Exchange { back: Some((6, lease.receipt)), ..Exchange::take(0) };
    assert_eq!(server.ask_one(START_US, "a", terms, &back).level, 2);
}

#[test]
fn a_part_of_a_permit_comes_back_too() {
    let Some(mut server) = Server::start() else { return };
    let terms = Terms::new(&Quota::per_minute(5), 5).unwrap();
    assert_eq!(server.ask_one(START_US, "a", terms, &ONE).level, 4);
    // A twelfth of a permit has come in that second.
    let answer = server.ask_one(START_US + 1_000_000, "a", terms, &BACK);
    assert_eq!(answer.level, 5);
    assert_eq!(server.ask_one(START_US + 1_000_000, "a", terms, &Exchange::take(5)).wait.as_micros(), 0);
}
