//! Which resolved addresses may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where this process runs, which decides what its upstreams may be.
///
/// The policy looks at the address that is connected to, not at the name that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// One process on a machine: loopback and private networks are fine.
    Standalone,
    /// A cluster that several parties share: loopback never, private networks only for a Provider's
    /// `service` or where the administrator allows them.
    Cluster {
        /// The chart's `upstreams.allowPrivate`.
        allow_private: bool,
    },
}

/// What an address is, as far as the policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Reachable from anywhere.
    Public,
    /// RFC 1918, unique local, shared (RFC 6598) and benchmark networks.
    Private,
    /// This machine.
    Loopback,
    /// Link-local, where clouds keep their metadata services.
    LinkLocal,
    /// A cloud's metadata service at an address that is not link-local.
    Metadata,
    /// "This network", which connects to this machine.
    Unspecified,
    /// Multicast and broadcast.
    Multicast,
    /// Reserved for nobody.
    Reserved,
}

impl AddressKind {
    /// What to call it in a message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        }
    }

    /// Classifies an address. An IPv6 address that stands for an IPv4 one is classified as that one.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(v4) => Self::of_v4(v4),
                None => Self::of_v6(v6),
            },
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Self {
        let [a, b, ..] = v4.octets();
        match a {
            0 => Self::Unspecified,
            // Alibaba Cloud's metadata service lives in the shared range.
            100 if v4 == Ipv4Addr::new(100, 100, 100, 200) => Self::Metadata,
            100 if (64..128).contains(&b) => Self::Private,
            127 => Self::Loopback,
            169 if b == 254 => Self::LinkLocal,
            198 if b == 18 || b == 19 => Self::Private,
            224..=239 | 255 => Self::Multicast,
            240..=254 => Self::Reserved,
            _ if v4.is_private() => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(v6: Ipv6Addr) -> Self {
        let [first, ..] = v6.segments();
        // Amazon's metadata service over IPv6.
        let metadata = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
        match first {
            _ if v6.is_unspecified() => Self::Unspecified,
            _ if v6.is_loopback() => Self::Loopback,
            _ if v6 == metadata => Self::Metadata,
            0xfe80..=0xfebf => Self::LinkLocal,
            0xfec0..=0xfeff | 0xfc00..=0xfdff => Self::Private,
            0xff00..=0xffff => Self::Multicast,
            _ => Self::Public,
        }
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let bytes = v6.octets();
    let at = |start: usize| Ipv4Addr::from(std::array::from_fn(|n| bytes[start + n]));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(12)),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

impl AddressPolicy {
    /// Whether an upstream at this address may be connected to. `service` says that its Provider names an
    /// in-cluster Service.
    pub fn allows(self, address: IpAddr, service: bool) -> bool {
        match AddressKind::of(address) {
            AddressKind::Public => true,
            AddressKind::Private => match self {
                Self::Standalone => true,
                Self::Cluster { allow_private } => service || allow_private,
            },
            AddressKind::Loopback => self == Self::Standalone,
            AddressKind::LinkLocal
            | AddressKind::Metadata
            | AddressKind::Unspecified
            | AddressKind::Multicast
            | AddressKind::Reserved => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_for_what_they_are() {
        use AddressKind::{LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Unspecified};
        let table = [
            ("8.8.8.8", Public),
            ("172.15.0.1", Public),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("10.0.0.1", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("100.128.0.1", Public),
            ("198.18.0.1", Private),
            ("100.100.100.200", Metadata),
            ("127.0.0.1", Loopback),
            ("127.255.0.1", Loopback),
            ("169.254.169.254", LinkLocal),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("224.0.0.1", Multicast),
            ("255.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("2606:4700::1", Public),
            ("::", Unspecified),
            ("::1", Loopback),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fd12:3456::1", Private),
            ("fec0::1", Private),
            ("fd00:ec2::254", Metadata),
            ("ff02::1", Multicast),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::ffff:8.8.8.8", Public),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::169.254.169.254", LinkLocal),
            ("64:ff9b::10.0.0.1", Private),
            ("2002:a9fe:a9fe::1", LinkLocal),
            ("2002:7f00:1::1", Loopback),
        ];
        for (text, kind) in table {
            assert_eq!(AddressKind::of(text.parse().unwrap()), kind, "{text}");
        }
    }

    #[test]
    fn the_policy_follows_the_place() {
        let (closed, open) = (false, true);
        // address, through a service, standalone, cluster, cluster that allows private
        let table = [
            ("8.8.8.8", false, open, open, open),
            ("10.1.2.3", false, open, closed, open),
            ("10.1.2.3", true, open, open, open),
            ("127.0.0.1", false, open, closed, closed),
            ("127.0.0.1", true, open, closed, closed),
            ("::ffff:127.0.0.1", true, open, closed, closed),
            ("169.254.169.254", true, closed, closed, closed),
            ("::ffff:169.254.169.254", true, closed, closed, closed),
            ("0.0.0.0", true, closed, closed, closed),
            ("::", true, closed, closed, closed),
            ("224.0.0.1", true, closed, closed, closed),
        ];
        for (text, service, standalone, cluster, allowing) in table {
            let address = text.parse().unwrap();
            let verdicts = [
                AddressPolicy::Standalone,
                AddressPolicy::Cluster { allow_private: false },
                AddressPolicy::Cluster { allow_private: true },
            ]
            .map(|policy| policy.allows(address, service));
            assert_eq!(
                verdicts,
                [standalone, cluster, allowing],
                "{text}, service {service}"
            );
        }
    }
}
