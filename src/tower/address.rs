//! The address of a client: that of its connection, or the one that trusted proxies report.

mod network;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, atomic::Ordering};

use http::{HeaderMap, HeaderName, header::FORWARDED};

pub use self::network::InvalidNetwork;

use self::network::{Network, mask, number};
use crate::sync::plain::AtomicU64;

/// The blanks around the elements of a list.
const BLANKS: [char; 2] = [' ', '\t'];

/// How to find the IP address of a client, as the key of its limit.
///
/// A server that clients connect to uses [`of_peer`](Self::of_peer). A server behind proxies sees the address of a
/// proxy there, so all clients would share one limit. It uses [`behind_proxies`](Self::behind_proxies).
///
/// # What is believed
/// Any client can send any header. So a header is read only if the connection comes from a trusted proxy, and only as
/// far as trusted proxies wrote it:
/// - The elements are read from right to left, since each proxy appends the address that it was called from. The lines
///   of the header count as one list.
/// - Addresses of trusted proxies are skipped. The first other address is the client. What is left of it came from the
///   client, and is not read.
/// - If an element is not an address, reading stops. The address to its right counts, or the peer if there is none.
///   [`malformed`](Self::malformed) counts these.
/// - If all addresses are those of trusted proxies, the leftmost counts.
///
/// A machine in a trusted network can choose the address that counts for it. So name the proxies and no other machines:
/// not a whole private network in which there are clients too.
///
/// # What is returned
/// An IPv4-mapped IPv6 address such as `::ffff:192.0.2.7` is the same as its IPv4 address, which is returned. Of an
/// IPv6 address the first 64 bits are returned, and the others are zero. One customer commonly has all the 2^64
/// addresses behind them. [`with_ipv6_prefix`](Self::with_ipv6_prefix) sets another number.
///
/// # Examples
/// ```
/// use std::net::IpAddr;
/// use http::HeaderMap;
/// use tidegate::tower::ClientAddress;
///
/// let ip = |text: &str| text.parse::<IpAddr>().unwrap();
/// let mut headers = HeaderMap::new();
/// // The client wrote 6.6.6.6 itself. The first proxy appended the rest.
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2".parse().unwrap());
///
/// let client = ClientAddress::behind_proxies(["10.0.0.0/29"]).unwrap();
/// assert_eq!(client.find(Some(ip("10.0.0.1")), &headers), Some(ip("203.0.113.9")));
/// // This peer is not a proxy: its headers are not read.
/// assert_eq!(client.find(Some(ip("198.51.100.1")), &headers), Some(ip("198.51.100.1")));
///
/// let client = ClientAddress::of_peer();
/// assert_eq!(client.find(Some(ip("2001:db8::1:2:3:4")), &headers), Some(ip("2001:db8::")));
/// ```
#[derive(Clone, Debug)]
pub struct ClientAddress {
    trusted: Arc<[Network]>,
    header: HeaderName,
    ipv6_prefix: u8,
    malformed: Arc<AtomicU64>,
}

impl ClientAddress {
    /// The address of the connection. No header is believed. See the example of [`ClientAddress`].
    #[must_use]
    pub fn of_peer() -> Self {
        Self::trusting(Arc::new([]))
    }

    /// The address that these proxies report in `X-Forwarded-For`, by the [rules](Self#what-is-believed) above. Each proxy has to
    /// append the address that it was called from: in nginx,
    /// `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`. If it passes the header on as it came, the client has
    /// written it.
    ///
    /// Each text is a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address such as `192.0.2.7`. `::/0` is all
    /// of IPv6 and nothing of IPv4. With no texts this is [`of_peer`](Self::of_peer).
    ///
    /// # Errors
    /// If a text is not a network, or is an address inside a network such as `10.1.2.3/8`. See the example of
    /// [`InvalidNetwork`].
    ///
    /// ```
    /// # use tidegate::tower::ClientAddress;
    /// // As from an environment variable. Blanks around a network do no harm.
    /// let proxies = "10.0.0.0/29, 2001:db8:0:1::/64, 192.0.2.7";
    /// assert!(ClientAddress::behind_proxies(proxies.split(',')).is_ok());
    /// ```
    pub fn behind_proxies<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidNetwork> {
        networks.into_iter().map(Network::parse).collect::<Result<_, _>>().map(Self::trusting)
    }

    fn trusting(trusted: Arc<[Network]>) -> Self {
        let (header, malformed) = (HeaderName::from_static("x-forwarded-for"), Arc::default());
        Self { trusted, header, ipv6_prefix: 64, malformed }
    }

    /// Reads this header in place of `X-Forwarded-For`. Each trusted proxy must set it or append to it on every
    /// request: if a proxy passes it on as it came, the client has written it.
    ///
    /// `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)) is read by its `for=` parameters. Any other
    /// header is a list of addresses, or a single address as in `X-Real-IP`. [`of_peer`](Self::of_peer) reads no
    /// header, whatever is set here.
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use http::{HeaderMap, header::FORWARDED};
    /// use tidegate::tower::ClientAddress;
    ///
    /// let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    /// let client = ClientAddress::behind_proxies(["10.0.0.1"]).unwrap().with_header(FORWARDED);
    /// let mut headers = HeaderMap::new();
    /// headers.insert(FORWARDED, r#"for="[2001:db8::9]:4711";proto=https"#.parse().unwrap());
    /// assert_eq!(client.find(Some(ip("10.0.0.1")), &headers), Some(ip("2001:db8::")));
    /// ```
    #[must_use]
    pub fn with_header(self, name: HeaderName) -> Self {
        Self { header: name, ..self }
    }

    /// IPv6 addresses count by their first `bits` bits, 64 unless set. IPv4 addresses count in full.
    ///
    /// # Panics
    /// If `bits` is 0 or more than 128.
    ///
    /// ```
    /// # use std::net::IpAddr;
    /// # use http::HeaderMap;
    /// # use tidegate::tower::ClientAddress;
    /// let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    /// let client = ClientAddress::of_peer().with_ipv6_prefix(48);
    /// assert_eq!(client.find(Some(ip("2001:db8:1:2::3")), &HeaderMap::new()), Some(ip("2001:db8:1::")));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_ipv6_prefix(self, bits: u8) -> Self {
        assert!((1..=128).contains(&bits), "an IPv6 prefix of {bits} bits: write 1 to 128");
        Self { ipv6_prefix: bits, ..self }
    }

    /// The address of the client that sent these headers over a connection from `peer`. See the example of
    /// [`ClientAddress`].
    ///
    /// `None` if there is no peer address, as with a Unix socket.
    #[must_use]
    pub fn find(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer?.to_canonical();
        let forwarded = self.header == FORWARDED;
        let lines = headers.get_all(&self.header).iter().rev();
        let mut elements =
            lines.flat_map(|line| FromTheRight { left: Some(line.as_bytes()), quotes: forwarded });
        while self.trusts(client) {
            let Some(element) = elements.next() else { break };
            let Some(address) = address_in(element, forwarded) else {
                // Relaxed: a number for reports.
                self.malformed.fetch_add(1, Ordering::Relaxed);
                break;
            };
            client = address;
        }
        Some(match client {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & mask(self.ipv6_prefix)).into(),
            ipv4 @ IpAddr::V4(_) => ipv4,
        })
    }

    /// How often [`find`](Self::find), of this value and its clones, has stopped at an element that is not an address, such as
    /// `unknown`. What a client writes is seldom read, so a number that grows points to a proxy: one that passes on the header
    /// as it came, or writes another form. Requests for which it happens count by the address of a proxy, and so share its limit.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use tidegate::tower::ClientAddress;
    /// let client = ClientAddress::behind_proxies(["10.0.0.1"]).unwrap();
    /// // One clone in the function for the key, and one to watch.
    /// let watched = client.clone();
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-forwarded-for", "203.0.113.9, unknown".parse().unwrap());
    /// let proxy = Some("10.0.0.1".parse().unwrap());
    /// assert_eq!(client.find(proxy, &headers), proxy);
    /// assert_eq!(watched.malformed(), 1);
    /// ```
    #[must_use]
    pub fn malformed(&self) -> u64 {
        // Relaxed: as above.
        self.malformed.load(Ordering::Relaxed)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

/// The elements of one line of a list, from right to left.
///
/// What stands on the left may come from the client, so it must not change how the right is read. An open quote from
/// the client would swallow what the proxies appended if the line was read from the left.
struct FromTheRight<'a> {
    left: Option<&'a [u8]>,
    /// Whether commas inside quotes belong to an element.
    quotes: bool,
}

impl<'a> Iterator for FromTheRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.left?;
        let mut inside = false;
        let comma = (0..line.len()).rev().find(|&at| {
            inside ^= self.quotes && line[at] == b'"' && !is_escaped(&line[..at]);
            line[at] == b',' && !inside
        });
        self.left = comma.map(|at| &line[..at]);
        Some(comma.map_or(line, |at| &line[at + 1..]))
    }
}

/// Whether the byte after these, in a quoted string, is escaped.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn address_in(element: &[u8], forwarded: bool) -> Option<IpAddr> {
    let element = core::str::from_utf8(element).ok()?.trim_matches(BLANKS);
    address_and_port(if forwarded { for_parameter(element)? } else { element })
}

/// The value of the one `for` of an element of `Forwarded`. `None` if there is none, or any pair is malformed.
fn for_parameter(element: &str) -> Option<&str> {
    let (mut found, mut rest) = (None, element);
    loop {
        // The grammar allows pairs to be left out.
        rest = rest.trim_start_matches([';', ' ', '\t']);
        if rest.is_empty() {
            return found;
        }
        let (name, value) = rest.split_once('=')?;
        let (value, after) = if let Some(value) = value.strip_prefix('"') {
            let mut quotes = value.match_indices('"').map(|(at, _)| at);
            let end = quotes.find(|&at| !is_escaped(&value.as_bytes()[..at]))?;
            (&value[..end], &value[end + 1..])
        } else {
            value.split_at(value.find([';', ' ', '\t']).unwrap_or(value.len()))
        };
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        rest = after.trim_start_matches(BLANKS);
        if !(rest.is_empty() || rest.starts_with(';')) {
            return None;
        }
    }
}

/// An address with or without a port: `192.0.2.7:80`, `2001:db8::7` or `[2001:db8::7]:80`.
fn address_and_port(text: &str) -> Option<IpAddr> {
    let (address, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        (IpAddr::V6(address.parse().ok()?), port)
    } else if let Ok(address) = text.parse() {
        (address, "")
    } else {
        let (address, port) = text.split_at(text.find(':')?);
        (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
    };
    let valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    valid.then(|| address.to_canonical())
}

/// A port, or a name for one, such as `_port`, which `Forwarded` allows.
fn is_port(text: &str) -> bool {
    let named = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    text.strip_prefix('_').map_or_else(|| number::<u16>(text).is_some(), named)
}
