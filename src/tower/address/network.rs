//! The networks of trusted proxies.

use core::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// The bits in front of an IPv4 address that is written as an IPv4-mapped IPv6 address.
const MAPPED_BITS: u8 = 96;

/// The addresses that share their first bits with this one. IPv4 is kept in its IPv4-mapped form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Network {
    first: u128,
    bits: u8,
}

impl Network {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = |problem| InvalidNetwork { text: text.to_owned(), problem };
        let trimmed = text.trim();
        let (address, prefix) = trimmed.split_once('/').map_or((trimmed, None), |(a, bits)| (a, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| invalid(Problem::Address))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            None => most,
            Some(prefix) => number::<u8>(prefix)
                .filter(|bits| *bits <= most)
                .ok_or_else(|| invalid(Problem::Prefix { most }))?,
        };
        let bits = if address.is_ipv4() { MAPPED_BITS + bits } else { bits };
        let network = Self { first: to_bits(address) & mask(bits), bits };
        if network.first == to_bits(address) {
            Ok(network)
        } else {
            Err(invalid(Problem::Inside { network, address: address.to_canonical() }))
        }
    }

    /// The caller makes sure that `address` is not IPv4-mapped. An IPv6 network around all mapped addresses, such as
    /// `::/0`, has no IPv4 address.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        (address.is_ipv6() || self.bits >= MAPPED_BITS) && to_bits(address) & mask(self.bits) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first).to_canonical();
        let bits = if first.is_ipv4() { self.bits.saturating_sub(MAPPED_BITS) } else { self.bits };
        write!(f, "{first}/{bits}")
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ipv4) => ipv4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ipv6) => ipv6.to_bits(),
    }
}

/// The first `bits` of 128 bits.
pub(super) fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// A number of digits only: `parse` alone takes a sign.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A text that names no network, and what to write.
///
/// # Examples
/// ```
/// use tidegate::tower::ClientAddress;
///
/// let message = |network| ClientAddress::behind_proxies([network]).unwrap_err().to_string();
/// assert_eq!(
///     message("10.1.2.3/8"),
///     "\"10.1.2.3/8\" is an address inside a network: write \"10.0.0.0/8\" for the network, or \"10.1.2.3\" for \
///      the one address"
/// );
/// assert_eq!(
///     message("proxy.internal"),
///     "\"proxy.internal\" is not a network: write an IP address such as \"192.0.2.7\", or a network such as \
///      \"10.0.0.0/8\" or \"2001:db8::/32\""
/// );
/// assert_eq!(message("10.0.0.0/33"), "\"10.0.0.0/33\" has no valid prefix: write 0 to 32 after the slash");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidNetwork {
    text: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Address,
    Prefix { most: u8 },
    Inside { network: Network, address: IpAddr },
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.text)?;
        match &self.problem {
            Problem::Address => f.write_str(
                "is not a network: write an IP address such as \"192.0.2.7\", or a network such as \"10.0.0.0/8\" or \
                 \"2001:db8::/32\"",
            ),
            Problem::Prefix { most } => {
                write!(f, "has no valid prefix: write 0 to {most} after the slash")
            }
            Problem::Inside { network, address } => write!(
                f,
                "is an address inside a network: write \"{network}\" for the network, or \"{address}\" for the one \
                 address"
            ),
        }
    }
}

impl Error for InvalidNetwork {}
