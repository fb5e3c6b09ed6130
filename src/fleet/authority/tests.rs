//! The script on a real server against exact rational arithmetic. The test tells the script the time, and keeps the keys from
//! expiring; apart from that it is the script in use.

mod several;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero};
use redis::{Connection, Script};

use super::{Answer, Demand, Exchange, LONGEST_PAUSE_US, Receipt, Terms, answers, arguments};
use crate::{
    FleetError, Quota,
    fleet::tests::{random::Random, redis_server::RedisServer},
};

const SCRIPT: &str = include_str!("../script.lua");

/// About the present time.
const START_US: u64 = 1_790_000_000_123_456;

struct Server {
    _process: RedisServer,
    connection: Connection,
    script: Script,
}

impl Server {
    fn start() -> Option<Self> {
        let process = RedisServer::start()?;
        let connection = redis::Client::open(process.address()).unwrap().get_connection().unwrap();
        let clock = "redis.call('TIME')";
        let expiry = ", 'PX', string.format('%.0f', ttl)";
        assert_eq!((SCRIPT.matches(clock).count(), SCRIPT.matches(expiry).count()), (1, 1));
        let script = SCRIPT.replace(clock, "{ ARGV[#ARGV - 1], ARGV[#ARGV] }").replace(expiry, "");
        Some(Self { _process: process, connection, script: Script::new(&script) })
    }

    fn ask(&mut self, now_us: u64, keys: &[&str], demands: &[Demand], exchange: &Exchange) -> Vec<Answer> {
        let mut call = self.script.prepare_invoke();
        for key in keys {
            call.key(*key);
        }
        for number in arguments(exchange, demands) {
            call.arg(number);
        }
        call.arg(now_us / 1_000_000).arg(now_us % 1_000_000);
        answers(&call.invoke::<Vec<u64>>(&mut self.connection).unwrap()).unwrap()
    }

    fn ask_one(&mut self, now_us: u64, key: &str, terms: Terms, exchange: &Exchange) -> Answer {
        self.ask(now_us, &[key], &[terms.into()], exchange)[0]
    }
}

fn whole(n: u64) -> BigRational {
    BigRational::from_integer(BigInt::from(n))
}

fn integer(n: &BigRational) -> u64 {
    n.to_integer().to_u64().unwrap()
}

/// Exact GCRA in permits: how many are missing, at a time.
struct Model {
    /// Permits per microsecond.
    rate: BigRational,
    burst: u64,
    missing: BigRational,
    at_us: u64,
}

impl Model {
    fn new(quota: &Quota, burst: u64, at_us: u64) -> Self {
        let (permits, period_ns) = quota.rate();
        let rate = BigRational::new(BigInt::from(permits) * 1000, BigInt::from(period_ns));
        Self { rate, burst, missing: BigRational::zero(), at_us }
    }

    fn advance(&mut self, now_us: u64) {
        let passed = whole(now_us - self.at_us) * &self.rate;
        self.missing = (&self.missing - passed).max(BigRational::zero());
        self.at_us = now_us;
    }

    fn level(&self) -> BigRational {
        whole(self.burst) - &self.missing
    }

    /// Until the level is `least`, in whole microseconds.
    fn wait(&self, least: u64) -> u64 {
        let short = (whole(least) - self.level()).max(BigRational::zero());
        integer(&(short / &self.rate).ceil())
    }

    /// What is granted or booked.
    fn grant(&self, exchange: &Exchange, furthest_us: u64) -> u64 {
        let Exchange { most, least, horizon_us, patience_us, .. } = *exchange;
        let there = integer(&self.level().max(BigRational::zero()));
        if there >= most {
            return most;
        }
        let half = (whole(horizon_us) * &self.rate + self.level()) / whole(2);
        let half = integer(&half.max(BigRational::zero()));
        let size = if horizon_us > 0 { half.clamp(least, most) } else { least };
        let booked = -self.level() / &self.rate;
        let in_time = booked <= whole(furthest_us) && self.wait(least) <= patience_us;
        match there >= size {
            true => there,
            false if horizon_us > 0 && in_time => size,
            false => 0,
        }
    }
}

fn quotas() -> Vec<Quota> {
    use core::time::Duration;
    vec![
        Quota::per_second(1000),
        Quota::per_minute(7),
        Quota::per_second(3).with_burst(50),
        Quota::per_second(999_983).with_burst(1_000_000),
        Quota::per_hour(1).with_burst(2),
        Quota::per_day(86_399).with_burst(30_000),
        Quota::at_most(100, Duration::from_secs(1)).with_burst(10),
        Quota::new(1_000_003, Duration::from_nanos(1_000_000_007)).with_burst(900_000),
        Quota::new(5_000_000_000, Duration::from_secs(1)).with_burst(4_000_000_000),
        Quota::new(11, Duration::from_secs(86_400 * 365)).with_burst(140),
    ]
}

/// As large as the numbers of the script allow.
fn extreme(quota: Quota) -> Option<(Quota, u64)> {
    let Err(FleetError::NotExact { max_burst, .. }) = Terms::new(&quota, u64::MAX) else { return None };
    (max_burst > 0).then_some((quota, max_burst))
}

#[test]
fn each_answer_is_that_of_exact_arithmetic() {
    let Some(mut server) = Server::start() else { return };
    let mut random = Random(1);
    let usual = quotas().into_iter().map(|quota| (quota, quota.burst()));
    let extremes = quotas().into_iter().filter_map(extreme);
    let mut booked = 0;
    for (i, (quota, burst)) in usual.chain(extremes).enumerate() {
        let terms = Terms::new(&quota, burst).unwrap();
        let key = format!("exact {i}");
        let mut now_us = START_US;
        let mut model = Model::new(&quota, burst, now_us);
        let refill_us = integer(&(whole(burst) / &model.rate).ceil());
        for step in 0..300 {
            now_us += match random.below(4) {
                0 => 0,
                1 => random.below(1000),
                // Not beyond the year 2112.
                2 => random.below((refill_us / 16 + 2).min((1 << 51) / 300)),
                _ => integer(&model.rate.recip().ceil()) + random.below(2),
            };
            let most = match random.below(4) {
                0 => 0,
                1 => 1,
                2 => 1 + random.below(burst),
                _ => burst,
            };
            let least = 1 + random.below(most.max(1));
            let horizon_us = random.below(2) * (1 + random.below(refill_us.min(1_000_000)));
            let patience_us = match random.below(2) {
                0 => u64::MAX,
                _ => random.below(refill_us + 2),
            };
            let exchange = Exchange { least, horizon_us, patience_us, ..Exchange::take(most) };
            let answer = server.ask_one(now_us, &key, terms, &exchange);
            model.advance(now_us);
            let granted = model.grant(&exchange, terms.furthest_us);
            let context = format!("{quota} burst {burst}, step {step}: {exchange:?} {answer:?}");
            assert_eq!(answer.granted, granted, "{context}");
            booked += u64::from(granted > 0 && whole(granted) > model.level());
            let wait = match (granted, horizon_us) {
                (0, 0) => model.wait(least),
                (0, _) => {
                    let gate_us = model.wait(0).saturating_sub(terms.furthest_us);
                    gate_us.max(model.wait(least).saturating_sub(patience_us))
                }
                _ => model.wait(granted),
            };
            model.missing += whole(granted);
            assert_eq!(answer.level, integer(&model.level().max(BigRational::zero())), "{context}");
            assert_eq!(answer.wait.as_micros(), u128::from(wait), "{context}");
        }
    }
    assert!(booked > 100, "{booked}");
}

#[test]
fn quotas_beyond_the_numbers_of_the_script_are_refused() {
    use core::time::Duration;
    for quota in quotas() {
        if let Some((quota, most)) = extreme(quota) {
            assert!(Terms::new(&quota, most).is_ok(), "{quota} burst {most}");
            assert!(Terms::new(&quota, most + 1).is_err(), "{quota} burst {most}");
        }
    }
    // Neither the rate nor any burst.
    let odd = Quota::new(9_007_199_254_740_881, Duration::from_nanos(1_000_000_007));
    assert!(matches!(Terms::new(&odd, 1), Err(FleetError::NotExact { max_burst: 0, .. })));
    // A refill of more than 35 years.
    let slow = Quota::new(1, Duration::from_secs(86_400 * 365));
    assert!(matches!(Terms::new(&slow, 36), Err(FleetError::NotExact { max_burst: 35, .. })));
}

/// A lease that has been granted.
struct Lease {
    /// When all of it is there, in parts.
    at: i128,
    permits: u64,
    used: u64,
    receipt: Receipt,
}

/// Without what came back, each bucket would still have been within its burst: what came back would not have overflowed, also
/// of leases that are booked ahead.
#[test]
fn what_comes_back_would_not_have_overflowed() {
    let Some(mut server) = Server::start() else { return };
    let mut random = Random(2);
    let (mut came_back, mut booked) = (0, 0);
    for (i, quota) in quotas().into_iter().take(8).cycle().take(96).enumerate() {
        let burst = quota.burst().min(1 + random.below(10));
        let terms = Terms::new(&quota, burst).unwrap();
        let key = format!("back {i}");
        let mut now_us = START_US;
        let mut leases: Vec<Lease> = Vec::new();
        let refill_us = (u128::from(burst) * u128::from(terms.cost) / u128::from(terms.parts)) as u64;
        for _ in 0..60 {
            now_us += random.below(2) * random.below(refill_us / 4 + 2);
            let back = (random.below(2) == 0 && !leases.is_empty()).then(|| {
                let which = random.below(leases.len() as u64) as usize;
                (which, 1 + random.below(leases[which].used.max(1)), leases[which].receipt)
            });
            let back = back.filter(|(which, permits, _)| *permits <= leases[*which].used);
            let before = server.ask_one(now_us, &key, terms, &Exchange::take(0)).receipt;
            let most = random.below(burst + 1);
            let exchange = Exchange {
                least: 1 + random.below(most.max(1)),
                horizon_us: random.below(2) * random.below(refill_us + 2),
                back: back.map(|(_, permits, receipt)| (permits, receipt)),
                ..Exchange::take(most)
            };
            let answer = server.ask_one(now_us, &key, terms, &exchange);
            let after = answer.receipt;
            let [cost, parts] = [terms.cost, terms.parts].map(i128::from);
            let moved = i128::from(after.end_us) - i128::from(before.end_us);
            let moved = moved * parts + i128::from(after.end_parts) - i128::from(before.end_parts);
            assert_eq!(moved % cost, 0);
            let returned = u64::try_from(i128::from(answer.granted) - moved / cost).unwrap();
            if let Some((which, permits, _)) = back {
                assert!(returned <= permits);
                leases[which].used -= returned;
                came_back += returned;
            } else {
                assert_eq!(returned, 0);
            }
            if answer.granted > 0 {
                let end = i128::from(after.end_us) * parts + i128::from(after.end_parts);
                let (there, now) = (end - i128::from(burst) * cost, i128::from(now_us) * parts);
                booked += u64::from(there > now);
                let permits = answer.granted;
                leases.push(Lease { at: there.max(now), permits, used: permits, receipt: after });
            }
        }
        leases.sort_by_key(|lease| lease.at);
        let [cost, full] = [terms.cost, terms.cost * burst].map(i128::from);
        let (mut missing, mut at) = (0, 0);
        for Lease { at: there, permits, used, .. } in leases {
            missing = (missing - (there - at)).max(0) + i128::from(used) * cost;
            at = there;
            assert!(missing <= full, "{quota} burst {burst}: a lease of {permits} at {there}");
        }
    }
    assert!(came_back > 100 && booked > 100, "{came_back} came back, {booked} were booked");
}

#[test]
fn nothing_comes_back_twice_or_to_another_bucket() {
    let Some(mut server) = Server::start() else { return };
    let terms = Terms::new(&Quota::per_hour(10), 10).unwrap();
    let lease = server.ask_one(START_US, "a", terms, &Exchange::take(6));
    assert_eq!((lease.granted, lease.level), (6, 4));
    let back = Exchange { back: Some((6, lease.receipt)), ..Exchange::take(0) };
    assert_eq!(server.ask_one(START_US, "a", terms, &back).level, 10);
    // A second time there is nothing missing. With another lease there is, but not of this one.
    assert_eq!(server.ask_one(START_US, "a", terms, &Exchange::take(8)).level, 2);
    assert_eq!(server.ask_one(START_US, "a", terms, &back).level, 2);
    // The server has lost the bucket. The next one is another.
    redis::cmd("FLUSHALL").exec(&mut server.connection).unwrap();
    assert_eq!(server.ask_one(START_US + 1, "a", terms, &Exchange::take(9)).level, 1);
    assert_eq!(server.ask_one(START_US + 1, "a", terms, &back).level, 1);
}

#[test]
fn a_slower_clock_denies_for_one_refill_at_most() {
    let Some(mut server) = Server::start() else { return };
    let quota = Quota::per_second(10).with_burst(5);
    let terms = Terms::new(&quota, 5).unwrap();
    let pause = Exchange { pause_us: 3_000_000, ..Exchange::take(0) };
    assert_eq!(server.ask_one(START_US, "a", terms, &Exchange::take(5)).granted, 5);
    let hour_us = 3_600_000_000;
    // The new primary's clock is an hour behind: as if the bucket were empty now.
    let answer = server.ask_one(START_US - hour_us, "a", terms, &Exchange::take(1));
    assert_eq!((answer.granted, answer.wait.as_micros()), (0, 100_000));
    let answer = server.ask_one(START_US - hour_us + 500_000, "a", terms, &Exchange::take(5));
    assert_eq!(answer.granted, 5);
    // A pause lasts as long as it did before.
    assert_eq!(server.ask_one(START_US, "b", terms, &pause).paused.as_micros(), 3_000_000);
    let answer = server.ask_one(START_US - hour_us, "b", terms, &Exchange::take(1));
    assert_eq!((answer.granted, answer.paused.as_micros()), (0, 3_000_000));
    assert_eq!(server.ask_one(START_US - hour_us + 2_999_999, "b", terms, &Exchange::take(1)).granted, 0);
    assert_eq!(server.ask_one(START_US - hour_us + 3_000_000, "b", terms, &Exchange::take(9)).granted, 5);
}

#[test]
fn the_later_pause_wins_and_nothing_accrues_in_it() {
    let Some(mut server) = Server::start() else { return };
    let terms = Terms::new(&Quota::per_second(10).with_burst(5), 5).unwrap();
    let pause = |seconds: u64| Exchange { pause_us: seconds * 1_000_000, ..Exchange::take(0) };
    assert_eq!(server.ask_one(START_US, "a", terms, &Exchange::take(3)).level, 2);
    assert_eq!(server.ask_one(START_US, "a", terms, &pause(10)).paused.as_micros(), 10_000_000);
    let later = server.ask_one(START_US + 4_000_000, "a", terms, &pause(2));
    assert_eq!((later.paused.as_micros(), later.level), (6_000_000, 2));
    let later = server.ask_one(START_US + 4_000_000, "a", terms, &pause(10));
    assert_eq!((later.paused.as_micros(), later.level), (10_000_000, 2));
    let early = server.ask_one(START_US + 13_999_999, "a", terms, &Exchange::take(1));
    assert_eq!((early.granted, early.wait.as_micros()), (0, 1));
    let end = server.ask_one(START_US + 14_000_000, "a", terms, &Exchange::take(5));
    assert_eq!((end.granted, end.wait.as_micros()), (2, 0));
    // The longest pause, and no refill later than it.
    let longest = Exchange { pause_us: LONGEST_PAUSE_US, ..Exchange::take(0) };
    let answer = server.ask_one(START_US + 14_000_000, "a", terms, &longest);
    assert_eq!(answer.paused.as_micros(), u128::from(LONGEST_PAUSE_US));
    assert_eq!(
        server.ask_one(START_US + 14_000_000 + LONGEST_PAUSE_US, "a", terms, &Exchange::take(5)).granted,
        0
    );
    assert_eq!(
        server.ask_one(START_US + 14_500_000 + LONGEST_PAUSE_US, "a", terms, &Exchange::take(9)).granted,
        5
    );
}

#[test]
fn what_is_not_there_is_booked_in_the_order_of_calls() {
    let Some(mut server) = Server::start() else { return };
    let terms = Terms::new(&Quota::per_second(10).with_burst(5), 5).unwrap();
    let book = |most, least| Exchange { least, horizon_us: 1_000_000, ..Exchange::take(most) };
    let mut ask = |ms: u64, exchange: &Exchange| {
        let answer = server.ask_one(START_US + ms * 1000, "a", terms, exchange);
        (answer.granted, answer.wait.as_millis())
    };
    // All are there.
    assert_eq!(ask(0, &book(4, 1)), (4, 0));
    // One is there. Half of the horizon and of that one are 5.5 permits, but four are enough.
    assert_eq!(ask(0, &book(4, 1)), (4, 300));
    // 0.7 s are left of the horizon, then 0.4 s.
    assert_eq!(ask(0, &book(4, 1)), (3, 600));
    assert_eq!(ask(0, &book(4, 1)), (2, 800));
    // A large one takes its turn.
    assert_eq!(ask(0, &book(5, 5)), (5, 1300));
    // Nobody gets anything in advance meanwhile.
    assert_eq!(ask(900, &Exchange::take(1)), (0, 500));
    // Eight refills may be booked. Then it is worth asking again when so much is left.
    for i in 1..=6 {
        assert_eq!(ask(300, &book(5, 5)), (5, 1000 + 500 * i));
    }
    assert_eq!(ask(300, &book(1, 1)), (1, 4100));
    assert_eq!(ask(300, &book(1, 1)), (0, 100));
    assert_eq!(ask(400, &book(1, 1)), (1, 4100));
}

#[test]
fn another_quota_keeps_the_missing_permits() {
    let Some(mut server) = Server::start() else { return };
    let [slow, fast, small] = [(1, 10), (10, 10), (10, 3)]
        .map(|(rate, burst)| Terms::new(&Quota::per_second(rate).with_burst(burst), burst).unwrap());
    let lease = server.ask_one(START_US, "a", slow, &Exchange::take(6));
    let answer = server.ask_one(
        START_US,
        "a",
        fast,
        &Exchange { back: Some((6, lease.receipt)), ..Exchange::take(0) },
    );
    assert_eq!((answer.level, answer.wait.as_micros()), (4, 0));
    let answer = server.ask_one(START_US, "a", fast, &Exchange::take(9));
    assert_eq!((answer.granted, answer.wait.as_micros()), (4, 0));
    // Ten are missing of three: seven go first.
    let answer = server.ask_one(START_US, "a", small, &Exchange::take(1));
    assert_eq!((answer.granted, answer.wait.as_micros()), (0, 800_000));
    assert_eq!(server.ask_one(START_US + 1_000_000, "a", small, &Exchange::take(9)).granted, 3);
}

#[test]
fn a_member_with_a_smaller_quota_does_not_forgive_the_debt_of_others() {
    let Some(mut server) = Server::start() else { return };
    let [large, small] = [(1_000, 100_000), (10, 10)]
        .map(|(rate, burst)| Terms::new(&Quota::per_second(rate).with_burst(burst), burst).unwrap());
    let mut granted = 0;
    for step in 0..100 {
        let now_us = START_US + step * 10_000;
        granted += server.ask_one(now_us, "a", large, &Exchange::take(100_000)).granted;
        server.ask_one(now_us, "a", small, &Exchange::take(1));
    }
    // The burst, and what comes in a second.
    assert!(granted <= 101_000, "{granted}");
}
