//! Application protocols by preference: offered by a client, chosen by a server.
//!
//! Owns the list in the form of RFC 7301: one byte of length before each name. Invariant: no name
//! is empty or longer than 255 bytes, and the list fits its two bytes of length.

use openssl::ssl::AlpnError;

use super::error::TlsConfigError;

/// Protocol names, the preferred one first. Empty: ALPN is not used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alpn {
    wire: Vec<u8>,
}

impl Alpn {
    pub(crate) fn new<N: AsRef<[u8]>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, TlsConfigError> {
        let mut wire = Vec::new();
        for name in names {
            let name = name.as_ref();
            let bad = |reason| {
                let name = String::from_utf8_lossy(name).into_owned();
                TlsConfigError::BadAlpn { name, reason }
            };
            match u8::try_from(name.len()) {
                Ok(0) => return Err(bad("it is empty; a name has 1 to 255 bytes")),
                Ok(len) => wire.push(len),
                Err(_) => return Err(bad("it is too long; a name has 1 to 255 bytes")),
            }
            wire.extend_from_slice(name);
            if wire.len() > MAX_LIST_BYTES {
                return Err(bad("the list has room for 65,533 bytes, lengths included"));
            }
        }
        Ok(Self { wire })
    }

    /// The list as a client sends it.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// Chooses the first of these names that `offered` has too; none is a fatal alert.
    pub(crate) fn choose<'a>(&self, offered: &'a [u8]) -> Result<&'a [u8], AlpnError> {
        let wanted = names(&self.wire);
        wanted
            .filter_map(|want| names(offered).find(|name| *name == want))
            .next()
            .ok_or(AlpnError::ALERT_FATAL)
    }
}

/// Splits a list into its names; stops at the first that is cut short.
fn names(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = wire.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        wire = rest;
        Some(name)
    })
}

/// What fits an extension of 65,535 bytes after the list's own two bytes of length.
const MAX_LIST_BYTES: usize = 65_533;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_order_decides() {
        let server = Alpn::new(["h2", "http/1.1"]).expect("valid");
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (b"\x08http/1.1\x02h2", Some(b"h2")),
            (b"\x08http/1.1", Some(b"http/1.1")),
            (b"\x03ftp", None),
            (b"\x03h2x", None),
            (b"", None),
            (b"\x00\x02h2", Some(b"h2")),
            (b"\x09h2", None),
        ];
        for (offered, chosen) in cases {
            assert_eq!(server.choose(offered).ok(), chosen, "{offered:?}");
        }
    }

    #[test]
    fn names_have_1_to_255_bytes_and_fit_one_extension() {
        let fill = |count, last: usize| {
            let names = std::iter::repeat_n(vec![b'x'; 255], count);
            Alpn::new(names.chain([vec![b'x'; last]]))
        };
        assert_eq!(fill(0, 255).expect("the longest name").wire().len(), 256);
        assert!(matches!(fill(0, 0), Err(TlsConfigError::BadAlpn { .. })));
        assert!(matches!(fill(0, 256), Err(TlsConfigError::BadAlpn { .. })));
        assert_eq!(fill(255, 252).expect("the longest list").wire().len(), 65_533);
        assert!(matches!(fill(255, 253), Err(TlsConfigError::BadAlpn { .. })));
    }
}
