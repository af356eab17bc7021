//! Where upstream connections may not go: link-local networks and cloud metadata services always, because they hand the
//! machine's own credentials to whoever asks, and the networks that an operator names.

// Addresses as plain values, from `core`: this floor has no sockets.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services outside the link-local ranges.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const METADATA_NAMES: [&str; 3] = ["metadata", "metadata.google.internal", "instance-data"];

/// A link-local, unspecified or metadata address: never an upstream, whatever is configured.
pub fn is_metadata(address: IpAddr) -> bool {
    match inner(address) {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6 == METADATA_V6,
    }
}

/// An address that anybody on the Internet may reach: none that is private, of this machine or link, of a provider's own
/// network, for many, reserved, or another form of such a one.
pub fn is_public(address: IpAddr) -> bool {
    if is_metadata(address) {
        return false;
    }
    match inner(address) {
        IpAddr::V4(v4) => {
            let reserved = match v4.octets() {
                [0 | 240..=255, ..] | [198, 18 | 19, ..] | [192, 0, 0, _] => true,
                // Shared by the customers of a provider.
                [100, second, ..] => (64..128).contains(&second),
                _ => false,
            };
            !(reserved || v4.is_loopback() || v4.is_private() || v4.is_multicast() || v4.is_documentation())
        }
        IpAddr::V6(v6) => match v6.segments() {
            // Unspecified, loopback, and what once stood for IPv4.
            [0, 0, 0, 0, 0, 0, ..] => false,
            // Tunnels and translations whose end is somewhere else; documentation.
            [0x64, 0xff9b, ..] | [0x2001, 0 | 0xdb8, ..] | [0x2002, ..] => false,
            // Only these are given out.
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

/// Whether a host in a URL names something that is not public, as far as the host alone tells: an address, or a name for
/// this machine or a metadata service. A number in place of an address is read in too many ways to be let through.
pub fn is_inside(host: &str) -> bool {
    if let Ok(address) = host.parse() {
        return !is_public(address);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    is_number || last == "localhost" || is_metadata_name(&name)
}

/// As [`is_metadata`], for a name that nobody has resolved yet.
pub fn is_metadata_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    METADATA_NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
}

/// All addresses that begin with the same bits: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Network {
    /// `None` also when bits are set after the prefix: `10.0.0.1/8` is more likely a mistake than a network.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|c| c.is_ascii_digit()) => (address, Some(prefix)),
            Some(_) => return None,
            None => (text, None),
        };
        let base: IpAddr = address.parse().ok()?;
        let width = width(base);
        let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok())?;
        let network = Self { base, prefix };
        (prefix <= width && bits(base) & !network.mask() == 0).then_some(network)
    }

    /// An IPv4 address is looked for as itself also when it is written as an IPv6 one.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.has(address) || self.has(inner(address))
    }

    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && bits(address) & self.mask() == bits(self.base)
    }

    /// The bits that decide, at the low end for both families.
    fn mask(&self) -> u128 {
        let width = width(self.base);
        let all = u128::MAX >> (u128::BITS - width);
        let free = width.saturating_sub(self.prefix);
        all.checked_shr(free).unwrap_or(0).checked_shl(free).unwrap_or(0)
    }
}

const fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped (`::ffff:0:0/96`) or translated (NAT64, `64:ff9b::/96`).
fn inner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into()),
            _ => address,
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_link_local_addresses_are_known_in_every_form() {
        for bad in [
            "169.254.169.254",
            "169.254.1.1",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.0",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_metadata(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "::1", "fd12::1", "64:ff9b::808:808", "::ffff:10.0.0.1"] {
            assert!(!is_metadata(good.parse().unwrap()), "{good}");
        }
        for name in ["metadata", "METADATA.google.internal.", "instance-data"] {
            assert!(is_metadata_name(name), "{name}");
        }
        assert!(!is_metadata_name("metadata.example.com"));
    }

    #[test]
    fn only_public_addresses_are_public() {
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "100::1",
        ] {
            assert!(!is_public(bad.parse().unwrap()), "{bad}");
            assert!(is_inside(bad), "{bad}");
        }
        for good in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.254",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(good.parse().unwrap()), "{good}");
        }
        for bad in
            ["localhost", "LOCALHOST.", "x.localhost", "metadata", "2130706433", "0x7f000001", "127.1", "1.2.3.4.", ""]
        {
            assert!(is_inside(bad), "{bad}");
        }
        for good in ["example.com", "localhost.example.com", "1.example", "0x7f.example"] {
            assert!(!is_inside(good), "{good}");
        }
    }

    #[test]
    fn a_network_holds_what_begins_with_its_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("10.0.0.0/8", "64:ff9b::a01:203", "64:ff9b::b01:203"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("::/0", "::ffff:10.0.0.1", "10.0.0.1"),
            ("::1", "::1", "::2"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{outside} not in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "/",
            "/8",
            "10/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.1/8",
            "10.0.0.1/0",
            "::1/64",
            "fd00::/129",
            "[::1]",
            "localhost",
            " 10.0.0.0/8",
            "fe80::1%eth0",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
