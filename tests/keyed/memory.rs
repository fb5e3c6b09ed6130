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
