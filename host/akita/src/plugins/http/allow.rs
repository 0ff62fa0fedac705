//! Where a plugin's requests may go: the hosts that the operator named, and of their addresses only public ones unless
//! the address itself was named. Pure: it resolves nothing and connects to nobody.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Longest entry: the longest name that DNS has, and a port.
const MAX_ENTRY_BYTES: usize = 260;

/// What stands before the port.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// `*`: every name and every public address.
    Any,
    /// `*.example.org`: every name below it; without the star, with the dot.
    Below(String),
    /// `example.org`.
    Name(String),
    /// `192.168.1.5`, `[fd00::5]`.
    Address(IpAddr),
}

/// One host, or several by a star, with a port or the usual one of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    host: Host,
    port: Option<u16>,
}

impl HostEntry {
    /// Reads an entry of `hosts`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<HostEntry, String> {
        let wrong = |why: &str| {
            Err(format!(
                "`{}` is no host: {why}; write api.example.org, *.example.org or 192.168.1.5:8080",
                text.chars().take(64).collect::<String>()
            ))
        };
        if text.contains("://") || text.contains('/') || text.contains('@') {
            return wrong("only a name or an address, and a port, stands here");
        }
        let Some((host, port)) = split_port(text) else { return wrong("the port is a number from 1 to 65535") };
        let host = host.to_ascii_lowercase();
        if text.len() > MAX_ENTRY_BYTES {
            return wrong("it is too long");
        }
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => Host::Any,
            Some(rest) if is_name(rest) => Host::Below(format!(".{rest}")),
            Some(_) => return wrong("behind `*.` stands a name"),
            None => match address(&host) {
                Some(address) => Host::Address(address),
                None if is_name(&host) => Host::Name(host),
                None => return wrong("it is neither a name nor an address"),
            },
        };
        Ok(HostEntry { host, port })
    }

    fn port_fits(&self, port: u16, usual: u16) -> bool {
        self.port.unwrap_or(usual) == port
    }
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Below(suffix) => write!(f, "*{suffix}")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The one that goes without saying for the scheme.
    pub usual: u16,
}

impl Target {
    /// Whether one of the entries names it.
    pub fn is_named(&self, entries: &[HostEntry]) -> bool {
        let literal = address(&self.host);
        entries.iter().filter(|entry| entry.port_fits(self.port, self.usual)).any(|entry| match &entry.host {
            Host::Any => true,
            Host::Below(suffix) => literal.is_none() && self.host.len() > suffix.len() && self.host.ends_with(suffix),
            Host::Name(name) => *name == self.host,
            Host::Address(address) => literal == Some(*address),
        })
    }

    /// Whether a request may go to this address of it: to a public one, or to one that is named itself. `localhost`
    /// by its name means this machine.
    pub fn may_reach(&self, address: IpAddr, entries: &[HostEntry]) -> bool {
        let address = address.to_canonical();
        if is_public(address) {
            return true;
        }
        entries.iter().filter(|entry| entry.port_fits(self.port, self.usual)).any(|entry| match &entry.host {
            Host::Address(named) => named.to_canonical() == address,
            Host::Name(name) => name == "localhost" && self.host == "localhost" && address.is_loopback(),
            Host::Any | Host::Below(_) => false,
        })
    }
}

/// A host and its port; nothing where the port is none.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let port = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|port| *port > 0 && plain)
    };
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        return match text[end..].strip_prefix(':') {
            Some(digits) => Some((&text[..end], Some(port(digits)?))),
            None if end == text.len() => Some((text, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        // More than one colon: an address of the sixth version without brackets.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, digits)) => Some((host, Some(port(digits)?))),
        None => Some((text, None)),
    }
}

/// An address, with or without brackets.
pub fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// A name of the DNS: labels of letters, digits, `-` and `_`. The last one is no number, since such names are read as
/// addresses in some old form (`127.1`, `0x7f000001`).
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(label) && !numeric
}

/// Whether an address belongs to the internet at large: not to this machine, its network, or a special use.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // An address of the fourth version behind a translator (NAT64), or within 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarks and other special uses; examples.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(all: &[&str]) -> Vec<HostEntry> {
        all.iter().map(|text| HostEntry::parse(text).unwrap_or_else(|error| panic!("{error}"))).collect()
    }

    fn https(host: &str, port: u16) -> Target {
        Target { host: host.into(), port, usual: 443 }
    }

    #[test]
    fn a_request_goes_only_where_an_entry_says() {
        let some = entries(&["api.example.org", "*.example.net", "Example.COM:8443", "192.0.2.1:80", "[2001:db8::1]"]);
        for (host, port) in
            [("api.example.org", 443), ("a.example.net", 443), ("a.b.example.net", 443), ("example.com", 8443)]
        {
            assert!(https(host, port).is_named(&some), "{host}:{port}");
        }
        assert!(https("192.0.2.1", 80).is_named(&some) && https("2001:db8::1", 443).is_named(&some));
        for (host, port) in [
            ("api.example.org", 80),
            ("example.org", 443),
            ("xapi.example.org", 443),
            ("api.example.org.evil.net", 443),
            ("example.net", 443),
            ("notexample.net", 443),
            ("example.com", 443),
            ("192.0.2.1", 443),
            ("192.0.2.2", 80),
        ] {
            assert!(!https(host, port).is_named(&some), "{host}:{port}");
        }
        assert!(!https("anything.org", 443).is_named(&[]));
        let any = entries(&["*"]);
        assert!(https("anything.org", 443).is_named(&any) && !https("anything.org", 8443).is_named(&any));
        assert!(https("anything.org", 8443).is_named(&entries(&["*:8443"])));
    }

    #[test]
    fn an_address_that_is_not_public_has_to_be_named_itself() {
        let reach = |target: &Target, address: &str, named: &[&str]| {
            target.may_reach(address.parse().expect("an address"), &entries(named))
        };
        let name = https("api.example.org", 443);
        assert!(reach(&name, "93.184.215.14", &["api.example.org"]));
        for inside in ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fd00::1", "0.0.0.0"] {
            assert!(!reach(&name, inside, &["api.example.org"]) && !reach(&name, inside, &["*"]), "{inside}");
        }
        assert!(reach(&name, "10.0.0.1", &["api.example.org", "10.0.0.1"]) && reach(&name, "fd00::1", &["fd00::1"]));
        assert!(!reach(&name, "10.0.0.1", &["api.example.org", "10.0.0.1:80"]), "another port");
        assert!(reach(&name, "::ffff:10.0.0.1", &["10.0.0.1"]), "the same address in another form");
        let local = Target { host: "localhost".into(), port: 9_000, usual: 80 };
        assert!(reach(&local, "127.0.0.1", &["localhost:9000"]) && reach(&local, "::1", &["localhost:9000"]));
        assert!(!reach(&local, "192.168.0.1", &["localhost:9000"]), "a name that lies about itself");
        assert!(!reach(&local, "127.0.0.1", &["localhost"]), "another port: the node's own API may be there");
        assert!(!reach(&local, "127.0.0.1", &["*:9000"]) && reach(&local, "127.0.0.1", &["127.0.0.1:9000"]));
    }

    #[test]
    fn what_belongs_to_nobody_in_particular_is_public() {
        for text in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"] {
            assert!(is_public(text.parse().expect("an address")), "{text}");
        }
        for text in [
            "172.16.0.1",
            "100.64.0.1",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.7",
            "::",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "::7f00:1",
            "2001::1",
            "4000::1",
        ] {
            assert!(!is_public(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn an_entry_is_a_host_and_a_port_and_nothing_else() {
        let shown = |text: &str| HostEntry::parse(text).map(|entry| entry.to_string());
        assert_eq!(shown("EXAMPLE.org:8080").as_deref(), Ok("example.org:8080"));
        assert_eq!(shown("*.example.org").as_deref(), Ok("*.example.org"));
        assert_eq!(shown("fd00::5").as_deref(), Ok("[fd00::5]"));
        assert_eq!(shown("[fd00::5]:80").as_deref(), Ok("[fd00::5]:80"));
        for wrong in [
            "",
            "https://a.org",
            "a.org/path",
            "user@a.org",
            "a.org:0",
            "a.org:70000",
            "a.org:",
            "a..org",
            "*org",
            "a.*.org",
            "*.",
            "-a.org",
            "127.1",
            "0x7f000001",
            "2130706433",
            "[::1",
            "[::1]x",
            "[::1]:",
            "a b",
            "*.1",
        ] {
            assert!(HostEntry::parse(wrong).is_err(), "{wrong}");
        }
    }
}
