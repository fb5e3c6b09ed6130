//! Random timelines: the limiter answers every call as the exact model does.

use proptest::prelude::*;

use super::{
    limiter::Limiter,
    model::Model,
    timeline::{N, Subject},
};

/// Permits and a period in nanoseconds: from one a day to two a nanosecond.
const RATES: [(u64, u64); 10] = [
    (1, 86_400_000_000_000),
    (1, 1_500_000_000),
    (3, 1_000_000_000),
    (7, 60_000_000_000),
    (10, 13_000_000_000),
    (999, 1_000_000_000),
    (100_000, 1_000_000_000),
    (7, 10),
    (3, 2),
    (2_000_000_000, 1_000_000_000),
];

#[derive(Clone, Debug)]
enum Call {
    /// Lets so many thousandths of the time of one permit pass, and so many nanoseconds.
    Pass(u64, u64),
    TryAcquire(N),
    Repeat(N, u64),
    TakeUpTo(u64),
    Charge(N),
    Refund(N),
    Reset,
    Acquire(N),
    /// A waiter leaves.
    Leave(prop::sample::Index),
}

/// Whole amounts, beyond the burst at times, and fractions.
fn amount() -> impl Strategy<Value = N> {
    prop_oneof![
        3 => (0_u64..4).prop_map(N::Whole),
        1 => (0_u64..25).prop_map(N::Whole),
        1 => (0_u32..30).prop_map(|tenths| N::Float(f64::from(tenths) / 10.0)),
        1 => Just(N::Float(0.000_001)),
        1 => Just(N::Negative(-1)),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0_u64..4_000, 0_u64..3).prop_map(|(part, ns)| Call::Pass(part, ns)),
        1 => (0_u64..50_000, Just(0)).prop_map(|(part, ns)| Call::Pass(part, ns)),
        3 => amount().prop_map(Call::TryAcquire),
        1 => (amount(), 0_u64..20).prop_map(|(n, count)| Call::Repeat(n, count)),
        1 => (0_u64..10).prop_map(Call::TakeUpTo),
        1 => (0_u64..12).prop_map(|n| Call::Charge(N::Whole(n))),
        1 => (0_u64..6).prop_map(|n| Call::Refund(N::Whole(n))),
        1 => Just(Call::Reset),
        4 => amount().prop_map(Call::Acquire),
        2 => any::<prop::sample::Index>().prop_map(Call::Leave),
    ]
}

/// A subject, its clock, and the names of the callers that may wait.
struct Played<S> {
    subject: S,
    now_ns: u64,
    waiting: Vec<String>,
}

impl<S: Subject> Played<S> {
    /// Makes one call; all that can be seen of what it came to.
    fn make(&mut self, call: &Call, number: usize, (permits, period_ns): (u64, u64)) -> String {
        let answer = match *call {
            Call::Pass(part, ns) => {
                let by = u128::from(part) * u128::from(period_ns) / (1_000 * u128::from(permits));
                self.now_ns += by as u64 + ns;
                self.subject.move_to(self.now_ns);
                String::new()
            }
            Call::TryAcquire(n) => format!("{:?}", self.subject.try_acquire(n)),
            Call::Repeat(n, count) => format!("{:?}", self.subject.try_acquire_repeat(n, count)),
            Call::TakeUpTo(n) => format!("{:?}", self.subject.take_up_to(n)),
            Call::Charge(n) => format!("{:?}", self.subject.force_take(n)),
            Call::Refund(n) => format!("{:?}", self.subject.refund(n)),
            Call::Reset => {
                self.subject.reset();
                String::new()
            }
            Call::Acquire(n) => {
                let id = number.to_string();
                let acquired = self.subject.acquire(&id, n, None);
                self.waiting.push(id);
                format!("{acquired:?}")
            }
            Call::Leave(_) if self.waiting.is_empty() => String::new(),
            Call::Leave(which) => {
                let id = self.waiting.swap_remove(which.index(self.waiting.len()));
                format!("{id} waited: {}", self.subject.cancel(&id))
            }
        };
        let grants = self.subject.grants();
        let (level, full) = (self.subject.available(), self.subject.time_to_full());
        let waits = [N::Whole(1), N::Whole(3), N::Float(0.5)].map(|n| self.subject.wait_needed(n));
        format!("{answer}, granted {grants:?}, {level} there, full in {full}, waits {waits:?}")
    }
}

fn new<S: Subject>((permits, period_ns): (u64, u64), burst: u64, now_ns: u64) -> Played<S> {
    let subject = S::create(permits, period_ns, burst, now_ns).expect("a quota");
    Played { subject, now_ns, waiting: Vec::new() }
}

proptest! {
    #[test]
    fn the_limiter_agrees_with_the_model_whatever_is_called(
        rate in prop::sample::select(&RATES[..]),
        burst in 1_u64..20,
        created_ns in prop_oneof![Just(0), 0_u64..1 << 62],
        calls in prop::collection::vec(call(), 1..60),
    ) {
        let (mut limiter, mut model) = (
            new::<Limiter<false>>(rate, burst, created_ns),
            new::<Model>(rate, burst, created_ns),
        );
        for (number, call) in calls.iter().enumerate() {
            let (found, right) = (limiter.make(call, number, rate), model.make(call, number, rate));
            prop_assert_eq!(found, right, "call {} of {:?}", number, calls);
        }
    }
}
