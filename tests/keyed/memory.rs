//! What a key costs.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use tidegate::{Keyed, Quota};

/// Bytes for each of `n` keys.
fn cost<K: Hash + Eq + Clone>(n: u64, key: impl Fn(u64) -> K) -> f64 {
    let mut table = None;
    let made = allocation_counter::measure(|| {
        let keyed = Keyed::builder(Quota::per_hour(10)).max_keys(2_000_000).build().unwrap();
        (0..n).for_each(|i| keyed.try_acquire(&key(i)).unwrap());
        table = Some(keyed);
    });
    assert_eq!(table.unwrap().len() as u64, n);
    made.bytes_current as f64 / n as f64
}

#[test]
fn a_key_costs_some_40_bytes_or_80_with_an_address() {
    for n in [100_000, 160_000, 250_000, 400_000] {
        let number = cost(n, |i| i);
        assert!(number <= 40.0, "{number} bytes for each of {n} numbers");
        let address = cost(n, |i| IpAddr::from(Ipv6Addr::from(u128::from(i) << 64)));
        assert!(address <= 80.0, "{address} bytes for each of {n} addresses");
        println!("{n} keys: {number:.1} bytes a number, {address:.1} bytes an address");
    }
}

/// An attacker with a million addresses fills the table, and no more: neither in keys nor in memory.
#[test]
fn memory_is_flat_at_the_most_keys() {
    let addresses: Keyed<IpAddr> = Keyed::builder(Quota::per_hour(10)).max_keys(10_000).build().unwrap();
    let address = |i: u32| IpAddr::from(i.to_be_bytes());
    // One address is refused, and stays so: emptier buckets are kept.
    addresses.try_acquire_n(&address(7), 10).unwrap();
    let send = |from: u32, to: u32| {
        let made = allocation_counter::measure(|| {
            (from..to).for_each(|i| addresses.try_acquire(&address(i)).unwrap());
        });
        made.bytes_current
    };
    let filled = send(1_000, 31_000);
    assert!((9_000..=10_000).contains(&addresses.len()), "{}", addresses.len());
    let later = send(31_000, 1_001_000);
    assert!((9_000..=10_000).contains(&addresses.len()), "{}", addresses.len());
    // A part of the table may still have grown by the keys that came to it.
    assert!(later.abs() <= filled / 20, "{later} bytes more than {filled}");
    assert!(addresses.evicted_live() >= 990_000);
    assert!(addresses.try_acquire(&address(7)).is_err());
}
