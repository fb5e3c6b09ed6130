//! Clients behind proxies, in the forms in which proxies write addresses.

mod spoofed;

use http::HeaderValue;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn x_forwarded_for() -> HeaderName {
    HeaderName::from_static("x-forwarded-for")
}

fn lines<V: AsRef<[u8]>>(name: &HeaderName, lines: &[V]) -> HeaderMap {
    let lines = lines.iter().map(|line| HeaderValue::from_bytes(line.as_ref()).unwrap());
    lines.map(|line| (name.clone(), line)).collect()
}

/// Behind proxies in `10.0.0.0/8`, `192.0.2.7` and `2001:db8:ffff::/48`, the last of which was `10.0.0.1`.
fn found_in(name: &HeaderName, values: &[&str]) -> String {
    let client = ClientAddress::behind_proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8:ffff::/48"]).unwrap();
    let client = client.with_header(name.clone());
    client.find(Some(ip("10.0.0.1")), &lines(name, values)).unwrap().to_string()
}

#[test]
fn the_first_untrusted_address_from_the_right_is_the_client() {
    for (values, client) in [
        (&["203.0.113.9"][..], "203.0.113.9"),
        (&["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (&["6.6.6.6,10.0.0.7,203.0.113.9"], "203.0.113.9"),
        // Chains of proxies.
        (&["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (
            &["203.0.113.9 ,\t10.9.8.7:80 , 192.0.2.7,2001:db8:ffff::1, [2001:db8:ffff:1::]:443"],
            "203.0.113.9",
        ),
        // Lines are one list, in their order.
        (&["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        (&["6.6.6.6, 203.0.113.9", "10.0.0.2", "10.0.0.3, 10.0.0.4"], "203.0.113.9"),
        (&["203.0.113.9", "10.0.0.2, 198.51.100.4, 10.0.0.3"], "198.51.100.4"),
        // Next to a trusted network, and inside it.
        (&["192.0.2.8, 10.255.255.255"], "192.0.2.8"),
        (&["6.6.6.6, 11.0.0.0"], "11.0.0.0"),
        (&["6.6.6.6, 9.255.255.255"], "9.255.255.255"),
        (&["6.6.6.6, 2001:db8:fffe:ffff::1"], "2001:db8:fffe:ffff::"),
        // All are trusted: the leftmost.
        (&["10.0.0.9"], "10.0.0.9"),
        (&["2001:db8:ffff::1:2", "10.0.0.2"], "2001:db8:ffff::"),
        (&[], "10.0.0.1"),
    ] {
        assert_eq!(found_in(&x_forwarded_for(), values), client, "{values:?}");
        assert_eq!(found_in(&HeaderName::from_static("x-real-ip"), values), client, "{values:?}");
    }
}

#[test]
fn elements_have_ports_and_brackets() {
    for (value, client) in [
        ("203.0.113.9:80", "203.0.113.9"),
        ("203.0.113.9:65535", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::"),
        ("2001:db8::9:80", "2001:db8::"),
        ("[2001:db8::9]", "2001:db8::"),
        ("[2001:db8::9]:80", "2001:db8::"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        // Mapped, and then trusted.
        ("203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
        ("203.0.113.9, [::ffff:c000:207]:1", "203.0.113.9"),
    ] {
        assert_eq!(found_in(&x_forwarded_for(), &[value]), client, "{value}");
    }
}

/// Elements that are no addresses.
const MALFORMED: [&str; 23] = [
    "",
    " ",
    "unknown",
    "unix:",
    "localhost",
    "203.0.113.9:",
    "203.0.113.9:65536",
    "203.0.113.9:+80",
    "203.0.113.9:_",
    "203.0.113.9:8 0",
    "203.0.113.9 203.0.113.9",
    "203.0.113",
    "203.0.113.09",
    "203.0.113.256",
    "203.0.113.0/24",
    "[203.0.113.9]",
    "[2001:db8::9",
    "[2001:db8::9]80",
    "2001:db8::9]:80",
    "[[2001:db8::9]]",
    "2001:db8::g",
    "\"203.0.113.9\"",
    "203.0.113.9;203.0.113.9",
];

#[test]
fn after_a_malformed_element_the_last_hop_counts() {
    for element in MALFORMED {
        let name = x_forwarded_for();
        assert_eq!(found_in(&name, &[element]), "10.0.0.1", "{element}");
        assert_eq!(found_in(&name, &[&format!("6.6.6.6, {element}")]), "10.0.0.1", "{element}");
        let (values, hop) = ([&format!("6.6.6.6, {element}"), "10.0.0.3", "10.0.0.2"], "10.0.0.3");
        assert_eq!(found_in(&name, &values), hop, "{element}");
        // What the client wrote on the left of its own address does not matter.
        assert_eq!(
            found_in(&name, &[&format!("{element}, 203.0.113.9, 10.0.0.2")]),
            "203.0.113.9",
            "{element}"
        );
    }
    let client = ClientAddress::behind_proxies(["10.0.0.1"]).unwrap();
    let headers = lines(&x_forwarded_for(), &[b"203.0.113.9 \xff"]);
    assert_eq!(client.find(Some(ip("10.0.0.1")), &headers), Some(ip("10.0.0.1")));
    let headers = lines(&x_forwarded_for(), &[b"\xff, 203.0.113.9"]);
    assert_eq!(client.find(Some(ip("10.0.0.1")), &headers), Some(ip("203.0.113.9")));
}

#[test]
fn malformed_elements_are_counted_where_reading_stops() {
    let client = ClientAddress::behind_proxies(["10.0.0.0/8"]).unwrap();
    // A clone, and one with other choices, count together.
    let other = client.clone().with_ipv6_prefix(48);
    let find = |client: &ClientAddress, peer: &str, value: &str| {
        let _ = client.find(Some(ip(peer)), &lines(&x_forwarded_for(), &[value]));
        client.malformed()
    };
    for (i, element) in (1..).zip(MALFORMED) {
        let which = if i % 2 == 0 { &client } else { &other };
        assert_eq!(find(which, "10.0.0.1", &format!("6.6.6.6, {element}, 10.0.0.2")), i, "{element}");
        // Not read: left of the client, or from a peer that is not trusted.
        assert_eq!(find(which, "10.0.0.1", &format!("{element}, 203.0.113.9")), i, "{element}");
        assert_eq!(find(which, "203.0.113.9", element), i, "{element}");
    }
    // No header, and nothing but proxies, are not malformed.
    let before = client.malformed();
    let _ = client.find(Some(ip("10.0.0.1")), &HeaderMap::new());
    assert_eq!(find(&client, "10.0.0.1", "10.0.0.3, 10.0.0.2"), before);
    assert_eq!(ClientAddress::of_peer().malformed(), 0);
}

#[test]
fn forwarded_is_read_by_its_for_parameters() {
    for (values, client) in [
        (&["for=203.0.113.9"][..], "203.0.113.9"),
        (&["For=203.0.113.9;proto=http;by=10.0.0.1"], "203.0.113.9"),
        (&["proto=http; FOR=\"203.0.113.9:80\" ;host=\"a,b;for=6.6.6.6\""], "203.0.113.9"),
        (&["by=10.0.0.1;for=\"[2001:db8::9]\""], "2001:db8::"),
        (&["for=\"[2001:db8::9]:4711\";;"], "2001:db8::"),
        (&["for=\"203.0.113.9:_port.a-B_7\""], "203.0.113.9"),
        (&["for=6.6.6.6, for=203.0.113.9;ext=\"x\\\"y,\\\\\", for=10.0.0.2"], "203.0.113.9"),
        (&["for=6.6.6.6", "for=203.0.113.9,for=\"[::ffff:10.0.0.2]:1\""], "203.0.113.9"),
        (&["for=203.0.113.9, for=192.0.2.7;proto=https"], "203.0.113.9"),
        // The client left a quote open.
        (&["for=6.6.6.6;x=\", for=203.0.113.9"], "203.0.113.9"),
        (&["for=\"6.6.6.6, for=\"[2001:db8::9]\";host=\"a,b\""], "2001:db8::"),
        (&["x=\"\\, for=\"203.0.113.9\", for=\"10.0.0.2\""], "203.0.113.9"),
        (&["for=\"6.6.6.6", "for=203.0.113.9"], "203.0.113.9"),
        // Malformed, or hidden.
        (&["for=6.6.6.6, 203.0.113.9"], "10.0.0.1"),
        (&["for=6.6.6.6, proto=http"], "10.0.0.1"),
        (&["for=6.6.6.6, "], "10.0.0.1"),
        (&["for=6.6.6.6, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        (&["for=6.6.6.6, for=_hidden, for=10.0.0.3,for=10.0.0.2"], "10.0.0.3"),
        (&["for=6.6.6.6;for=203.0.113.9"], "10.0.0.1"),
        (&["for=203.0.113.9 proto=http"], "10.0.0.1"),
        (&["for=\"203.0.113.9\"proto=http"], "10.0.0.1"),
        (&["for=\"203.0.113.9"], "10.0.0.1"),
        (&["for=203.0.113.9\""], "10.0.0.1"),
        (&["for =203.0.113.9"], "10.0.0.1"),
        (&["for= 203.0.113.9"], "10.0.0.1"),
        (&["for=203.0.113.9;proto"], "10.0.0.1"),
        (&["for=\"203.0.113.9:_p!\""], "10.0.0.1"),
    ] {
        assert_eq!(found_in(&FORWARDED, values), client, "{values:?}");
    }
    // Another header is not read.
    let client = ClientAddress::behind_proxies(["10.0.0.1"]).unwrap().with_header(FORWARDED);
    let headers = lines(&x_forwarded_for(), &["203.0.113.9"]);
    assert_eq!(client.find(Some(ip("10.0.0.1")), &headers), Some(ip("10.0.0.1")));
}

#[test]
fn addresses_are_normalised() {
    let found = |client: &ClientAddress, peer: &str| client.find(Some(ip(peer)), &HeaderMap::new()).unwrap();
    let client = ClientAddress::of_peer();
    for (peer, expected) in [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
        ("::1", "::"),
    ] {
        assert_eq!(found(&client, peer), ip(expected));
    }
    for (bits, expected) in [
        (1, "8000::"),
        (63, "ffff:ffff:ffff:fffe::"),
        (64, "ffff:ffff:ffff:ffff::"),
        (127, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
        (128, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ] {
        let client = client.clone().with_ipv6_prefix(bits);
        assert_eq!(found(&client, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ip(expected));
        assert_eq!(found(&client, "::ffff:203.0.113.9"), ip("203.0.113.9"));
    }
    // The full address is compared with the networks, not the masked one.
    let client = ClientAddress::behind_proxies(["2001:db8::1"]).unwrap();
    let headers = lines(&x_forwarded_for(), &["2001:db8::2, 2001:db8::1"]);
    assert_eq!(client.find(Some(ip("2001:db8::1")), &headers), Some(ip("2001:db8::")));
    assert_eq!(
        client.find(Some(ip("2001:db8::1")), &lines(&x_forwarded_for(), &["6.6.6.6"])),
        Some(ip("6.6.6.6"))
    );
    assert_eq!(
        client.find(Some(ip("2001:db8::2")), &lines(&x_forwarded_for(), &["6.6.6.6"])),
        Some(ip("2001:db8::"))
    );
    assert_eq!(client.find(None, &headers), None);
}

#[test]
fn prefixes_beyond_an_address_panic() {
    for bits in [0, 129, 255] {
        let panic = std::panic::catch_unwind(|| ClientAddress::of_peer().with_ipv6_prefix(bits)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert_eq!(*message, format!("an IPv6 prefix of {bits} bits: write 1 to 128"));
    }
}

#[test]
fn networks_are_parsed_and_compared() {
    for (network, inside, outside) in [
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        (" 192.0.2.7/32\n", "::ffff:192.0.2.7", "::192.0.2.7"),
        ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
        ("128.0.0.0/1", "255.1.2.3", "127.255.255.255"),
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ("::/0", "2001:db8::1", "203.0.113.9"),
        ("::/80", "::1", "203.0.113.9"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("2001:db8::1/128", "2001:db8::1", "2001:db8::"),
        // Mapped networks are those of IPv4.
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("::ffff:10.0.0.0/104", "::ffff:10.255.0.1", "11.0.0.0"),
        ("::ffff:0:0/96", "203.0.113.9", "::ffff:0:1:1"),
    ] {
        let client = ClientAddress::behind_proxies([network]).unwrap();
        let headers = lines(&x_forwarded_for(), &["6.6.6.6"]);
        assert_eq!(client.find(Some(ip(inside)), &headers), Some(ip("6.6.6.6")), "{network}");
        assert_ne!(client.find(Some(ip(outside)), &headers), Some(ip("6.6.6.6")), "{network}");
    }
    let client = ClientAddress::behind_proxies(["::ffff:10.0.0.0/104", "2001:db8::/32"]).unwrap();
    assert!(format!("{client:?}").contains("[10.0.0.0/8, 2001:db8::/32]"), "{client:?}");
    let client = ClientAddress::behind_proxies([]).unwrap();
    assert_eq!(
        client.find(Some(ip("10.0.0.1")), &lines(&x_forwarded_for(), &["6.6.6.6"])),
        Some(ip("10.0.0.1"))
    );
}

#[test]
fn errors_name_the_text_and_what_to_write() {
    for (network, remedy) in [
        ("", "write an IP address"),
        ("10.0.0.1:80", "write an IP address"),
        ("[::1]", "write an IP address"),
        ("10.0.0.0/33", "write 0 to 32"),
        ("10.0.0.0/", "write 0 to 32"),
        ("10.0.0.0/+8", "write 0 to 32"),
        ("10.0.0.0/255.0.0.0", "write 0 to 32"),
        ("10.0.0.0/8/8", "write 0 to 32"),
        ("::/129", "write 0 to 128"),
        ("::/256", "write 0 to 128"),
        ("10.1.2.3/8", "write \"10.0.0.0/8\" for the network, or \"10.1.2.3\""),
        ("0.0.0.1/0", "write \"0.0.0.0/0\" for the network, or \"0.0.0.1\""),
        ("::ffff:10.1.2.3/104", "write \"10.0.0.0/8\" for the network, or \"10.1.2.3\""),
        ("2001:db8::1/32", "write \"2001:db8::/32\" for the network, or \"2001:db8::1\""),
    ] {
        let error = ClientAddress::behind_proxies(["10.0.0.0/8", network]).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&format!("{network:?} ")) && message.contains(remedy), "{message}");
    }
}
