//! Clients that lie: what they send never changes the address that counts for them.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// What a client may send: bytes, and pieces of what the headers are made of.
fn spoofed() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let pieces = select(
        &[
            ",",
            ", ",
            ";",
            "\"",
            "\\",
            "\\\"",
            "=",
            "for=",
            "For=\"",
            "by=",
            "[",
            "]",
            ":80",
            " ",
            "\t",
            "10.0.0.1",
            "10.0.0.2",
            "6.6.6.6",
            "::ffff:10.0.0.3",
            "[2001:db8:ffff::1]:80",
            "2001:db8:6::6",
            "unknown",
            "_x",
            "127.0.0.1",
            "::1",
        ][..],
    );
    let byte = prop_oneof![32..=126_u8, 128..=255_u8, Just(b'\t')];
    let line = prop_oneof![
        4 => vec(pieces, 0..12).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => vec(byte, 0..40),
    ];
    vec(line, 0..4)
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
    ]
}

fn is_proxy(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ipv4) => ipv4.octets()[0] == 10,
        IpAddr::V6(ipv6) => ipv6.segments()[..3] == [0x2001, 0xdb8, 0xffff],
    }
}

fn proxy() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(10, a, b, c).into()),
        any::<u16>().prop_map(|a| Ipv6Addr::new(0x2001, 0xdb8, 0xffff, a, 0, 0, 0, 1).into()),
        any::<u16>().prop_map(|a| Ipv4Addr::new(10, 0, 0, a as u8).to_ipv6_mapped().into()),
    ]
}

/// What counts for an address, by octets.
fn normal(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ipv6) => {
            let [a, b, c, d, ..] = ipv6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ipv4 @ IpAddr::V4(_) => ipv4,
    }
}

/// As proxies write the address that they were called from.
fn element(address: IpAddr, form: u8, forwarded: bool) -> String {
    let text = match (address, form % 3) {
        (IpAddr::V4(_), 0 | 1) => address.to_string(),
        (IpAddr::V4(_), _) => format!("{address}:{}", u16::from(form) * 256),
        (IpAddr::V6(_), 0) if !forwarded => address.to_string(),
        (IpAddr::V6(_), 0 | 1) => format!("[{address}]"),
        (IpAddr::V6(_), _) => format!("[{address}]:{form}"),
    };
    match (forwarded, form % 4) {
        (false, _) => text,
        (true, 0) => format!("for=\"{text}\";proto=https"),
        (true, 1) => format!("host=\"a,b\\\\\";For=\"{text}\""),
        (true, 2) => format!("by=\"[::1]:80\" ; for=\"{text}\"; ext=\"\\\",for=6.6.6.6\""),
        (true, _) => format!("for=\"{text}\""),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_untrusted_peer_counts_whatever_it_sends(peer in any_ip(), spoofed in spoofed(), forwarded: bool) {
        prop_assume!(!is_proxy(peer));
        let name = if forwarded { FORWARDED } else { x_forwarded_for() };
        let headers = lines(&name, &spoofed);
        for client in [ClientAddress::behind_proxies(["10.0.0.0/8", "2001:db8:ffff::/48"]).unwrap(), ClientAddress::of_peer()] {
            prop_assert_eq!(client.with_header(name.clone()).find(Some(peer), &headers), Some(normal(peer)));
        }
    }

    #[test]
    fn a_client_behind_proxies_counts_whatever_it_sends(
        client in any_ip(),
        mut sent in spoofed(),
        proxies in vec((proxy(), any::<u8>(), any::<bool>()), 1..5),
        forwarded: bool,
    ) {
        prop_assume!(!is_proxy(client));
        let name = if forwarded { FORWARDED } else { x_forwarded_for() };
        let mut caller = client;
        for (proxy, form, new_line) in proxies {
            let element = element(caller, form, forwarded);
            match sent.last_mut() {
                Some(line) if !new_line => line.extend([b", ", element.as_bytes()].concat()),
                _ => sent.push(element.into_bytes()),
            }
            caller = proxy;
        }
        let found = ClientAddress::behind_proxies(["10.0.0.0/8", "2001:db8:ffff::/48"]).unwrap().with_header(name.clone());
        prop_assert_eq!(found.find(Some(caller), &lines(&name, &sent)), Some(normal(client)));
    }

    #[test]
    fn whatever_is_sent_there_is_an_address(sent in spoofed(), forwarded: bool) {
        let name = if forwarded { FORWARDED } else { x_forwarded_for() };
        let client = ClientAddress::behind_proxies(["0.0.0.0/0", "::/0"]).unwrap().with_header(name.clone());
        prop_assert!(client.find(Some(ip("10.0.0.1")), &lines(&name, &sent)).is_some());
    }
}
