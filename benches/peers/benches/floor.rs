//! tidegate, governor, and the floor under both, in one criterion run.
//!
//! Criterion measures one after the other. For ratios, on a machine with other work, the runner `ratios`
//! alternates between them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate_peers::{
    calls::{Admit, AdmitWeight, Call, ClockRead, Floor, GovernorAdmit, GovernorRefuse, Refuse},
    shares::{Adaptive, ByHand, Decrement, Slots},
};

fn bench<T: Call + Default>(c: &mut Criterion) {
    let party = T::default();
    let mut own = party.own();
    let mut group = c.benchmark_group("alone");
    group.throughput(Throughput::Elements(1));
    group.bench_function(party.name(), |b| b.iter(|| black_box(&party).call(&mut own)));
    group.finish();
}

criterion_group!(
    benches,
    bench::<ClockRead>,
    bench::<Floor>,
    bench::<Admit>,
    bench::<AdmitWeight>,
    bench::<GovernorAdmit>,
    bench::<Refuse>,
    bench::<GovernorRefuse>,
    bench::<Adaptive>,
    bench::<Slots>,
    bench::<ByHand>,
    bench::<Decrement>
);
criterion_main!(benches);
