//! Addresses of Unix-domain sockets, and what is wrong with them.
//!
//! Owns the two kinds, a path and an abstract name, their text, and the checks that the kernel
//! would answer less clearly. Binding is `listen/unix.rs`'s, connecting a driver's.

use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::balance::AcceptMode;

/// Bytes that a path or an abstract name may have.
const MAX_BYTES: usize = 107;

/// Where a Unix-domain socket is found.
///
/// # Examples
/// ```
/// use std::path::PathBuf;
///
/// use sluicegate::UnixAddress;
///
/// let path = PathBuf::from("/run/app.sock");
/// assert_eq!(UnixAddress::from("/run/app.sock"), UnixAddress::Path(path));
/// assert_eq!(UnixAddress::from("@app"), UnixAddress::Abstract(b"app".to_vec()));
/// assert_eq!(UnixAddress::from("@app").to_string(), "@app");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddress {
    /// A file, of at most 107 bytes with all its folders.
    Path(PathBuf),
    /// A name of at most 107 bytes that the kernel keeps and that goes with its last socket. As a
    /// text it begins with `@`; a path that does is written `./@`.
    Abstract(Vec<u8>),
}

/// Why a Unix-domain socket cannot be listened on or connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnixError {
    /// There is no path, or no name behind the `@`: give one.
    #[error("an empty path or name is no address: give one")]
    Empty,
    /// The path or name does not fit the kernel's address: shorten it, or use a folder nearer to
    /// the root.
    #[error("{address} has {bytes} bytes, a socket's address at most {MAX_BYTES}: shorten it")]
    TooLong {
        /// The address as given.
        address: UnixAddress,
        /// Its length.
        bytes: usize,
    },
    /// A path contains a zero byte: leave it out.
    #[error("{address} contains a zero byte, which ends a path: leave it out")]
    ZeroByte {
        /// The address as given.
        address: UnixAddress,
    },
    /// Somebody listens there: stop it, or choose another address.
    #[error("cannot listen on {address}: somebody does already; stop it or choose another address")]
    InUse {
        /// The address as given.
        address: UnixAddress,
    },
    /// A socket is there that nobody listens on: remove it, or ask for its replacement.
    #[error(
        "cannot listen on {address}: a socket is left there, of a program that has ended; remove \
         it, or ask for `replace_dead_socket`"
    )]
    LeftOver {
        /// The address as given.
        address: UnixAddress,
    },
    /// Something is there that is no socket: choose another path.
    #[error("cannot listen on {address}: a file is there that is no socket; choose another path")]
    Exists {
        /// The address as given.
        address: UnixAddress,
    },
    /// Such an address has one socket: let one core accept.
    #[error(
        "cannot listen on {address} by `{mode}`: a path or name has one socket, from which one \
         core accepts; use `single:least` or leave the mode out"
    )]
    OneSocket {
        /// The address as given.
        address: UnixAddress,
        /// The mode as asked for.
        mode: AcceptMode,
    },
    /// The system refuses to listen: its message says why.
    #[error("cannot listen on {address}: {source}; check the folder and its permissions")]
    Listen {
        /// The address as given.
        address: UnixAddress,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses to connect: its message says why.
    #[error("cannot connect to {address}: {source}; {}", connect_remedy(.source))]
    Connect {
        /// The address as given.
        address: UnixAddress,
        /// What the system said.
        source: io::Error,
    },
}

impl UnixAddress {
    /// The address as the kernel takes it.
    pub(crate) fn to_std(&self) -> Result<SocketAddr, UnixError> {
        self.check()?;
        let address = match self {
            Self::Path(path) => SocketAddr::from_pathname(path),
            Self::Abstract(name) => SocketAddr::from_abstract_name(name),
        };
        address.map_err(|source| UnixError::Connect { address: self.clone(), source })
    }

    /// Checks what the kernel would refuse without saying why, or cut off.
    pub(crate) fn check(&self) -> Result<(), UnixError> {
        let (bytes, address) = (self.as_bytes(), || self.clone());
        match self {
            _ if bytes.is_empty() => Err(UnixError::Empty),
            _ if bytes.len() > MAX_BYTES => {
                Err(UnixError::TooLong { address: address(), bytes: bytes.len() })
            }
            Self::Path(_) if bytes.contains(&0) => Err(UnixError::ZeroByte { address: address() }),
            _ => Ok(()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Path(path) => path.as_os_str().as_bytes(),
            Self::Abstract(name) => name,
        }
    }
}

impl From<&str> for UnixAddress {
    fn from(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some(name) => Self::Abstract(name.as_bytes().to_vec()),
            None => Self::Path(PathBuf::from(text)),
        }
    }
}

impl From<&Path> for UnixAddress {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) if path.as_os_str().as_bytes().starts_with(b"@") => {
                write!(f, "./{}", path.display())
            }
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

fn connect_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "no socket is there: start who is to listen, or check the path",
        io::ErrorKind::ConnectionRefused => "nobody listens there: start who is to",
        io::ErrorKind::WouldBlock => "as many wait there as may: try again later",
        _ => "see the system's message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_text_and_a_length() {
        for text in ["/run/app.sock", "@app", "./@odd", "relative"] {
            let address = UnixAddress::from(text);
            assert_eq!(address.to_string(), text);
            address.to_std().expect("it is an address");
        }
        for text in ["", "@"] {
            assert!(matches!(UnixAddress::from(text).to_std(), Err(UnixError::Empty)), "{text:?}");
        }
        for start in ["/", "@"] {
            let fits = format!("{start}{}", "x".repeat(MAX_BYTES - usize::from(start == "/")));
            UnixAddress::from(&*fits).to_std().expect("it just fits");
            let long = UnixAddress::from(&*format!("{fits}x"));
            let error = long.to_std().expect_err("too long");
            assert!(matches!(error, UnixError::TooLong { bytes: 108, .. }), "{error:?}");
            assert!(error.to_string().contains("has 108 bytes"), "{error}");
        }
        let zero = UnixAddress::from("/run/a\0b").to_std().expect_err("a zero byte");
        assert!(matches!(zero, UnixError::ZeroByte { .. }), "{zero:?}");
        UnixAddress::from("@a\0b").to_std().expect("a name is only bytes");
    }
}
