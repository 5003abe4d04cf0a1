//! The name of a peer: checked once, then compared in one spelling.
//!
//! Owns what counts as a host name. DNS names are ASCII, in lower case and without a final dot;
//! an international name has to come in its `xn--` form. Never looks a name up.

use std::net::IpAddr;
use std::sync::Arc;

use super::error::TlsConfigError;

/// A DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// In lower case, without a final dot.
    Dns(String),
    /// Never sent as a server name (RFC 6066 §3); checked against the certificate's addresses.
    Ip(IpAddr),
}

impl Host {
    /// Reads the name of a host to connect to.
    pub(crate) fn parse(name: &str) -> Result<Self, TlsConfigError> {
        if let Ok(address) = name.parse() {
            return Ok(Self::Ip(address));
        }
        let spelled = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        match fault(&spelled) {
            None => Ok(Self::Dns(spelled)),
            Some(reason) => Err(TlsConfigError::BadHostName { name: name.to_owned(), reason }),
        }
    }

    /// What the sessions with this host are kept under.
    pub(crate) fn key(&self) -> Arc<str> {
        match self {
            Self::Dns(name) => name.as_str().into(),
            Self::Ip(address) => address.to_string().into(),
        }
    }

    /// Reads a name that may begin with `*.`, as certificates have them.
    pub(crate) fn parse_pattern(name: &str) -> Result<Self, TlsConfigError> {
        let Some(rest) = name.strip_prefix("*.") else { return Self::parse(name) };
        match Self::parse(rest) {
            Ok(Self::Dns(rest)) => Ok(Self::Dns(format!("*.{rest}"))),
            Ok(Self::Ip(_)) => {
                let reason = "an address has no names below it";
                Err(TlsConfigError::BadHostName { name: name.to_owned(), reason })
            }
            Err(error) => Err(error),
        }
    }
}

/// What keeps `name` from being a DNS name.
fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if !name.is_ascii() {
        return Some("it is not ASCII, use its `xn--` form");
    }
    if name.len() > MAX_NAME_BYTES {
        return Some("it is longer than 253 bytes");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    for label in name.split('.') {
        match label.len() {
            0 => return Some("a label is empty"),
            1..=MAX_LABEL_BYTES if label.bytes().all(allowed) => {}
            1..=MAX_LABEL_BYTES => return Some("only letters, digits, `-`, `_` and `.` may occur"),
            _ => return Some("a label is longer than 63 bytes"),
        }
    }
    None
}

/// The longest name, without its final dot: RFC 1035 §2.3.4.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_one_way() {
        let cases = [
            ("Example.COM", Host::Dns("example.com".to_owned())),
            ("example.com.", Host::Dns("example.com".to_owned())),
            ("_srv.xn--bcher-kva.example", Host::Dns("_srv.xn--bcher-kva.example".to_owned())),
            ("127.0.0.1", Host::Ip([127, 0, 0, 1].into())),
            ("::1", Host::Ip(std::net::Ipv6Addr::LOCALHOST.into())),
        ];
        for (name, host) in cases {
            assert_eq!(Host::parse(name).expect(name), host);
        }
        let pattern = Host::parse_pattern("*.B.example").expect("a pattern");
        assert_eq!(pattern, Host::Dns("*.b.example".to_owned()));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        for name in [&label, &longest] {
            assert!(Host::parse(name).is_ok(), "{name}");
        }
        let cases = [
            ("", "empty"),
            (".", "empty"),
            ("a..b", "a label is empty"),
            ("a b", "may occur"),
            ("host:443", "may occur"),
            ("[::1]", "may occur"),
            ("nul\0", "may occur"),
            ("*.example", "may occur"),
            ("bücher.example", "`xn--`"),
            (&format!("{label}a.example"), "63 bytes"),
            (&format!("{longest}a"), "253 bytes"),
        ];
        for (name, reason) in cases {
            let text = Host::parse(name).expect_err(name).to_string();
            assert!(text.contains(reason), "{name:?}: {text}");
        }
        for name in ["*.", "*.*.example", "a.*.example", "*.10.0.0.1"] {
            assert!(Host::parse_pattern(name).is_err(), "{name}");
        }
    }
}
