//! Unix-domain sockets that listen, and their files.
//!
//! Owns the binding and, as long as the socket is open, the file: it is removed with the socket,
//! unless another has taken its place meanwhile. What is at a path already is never touched, but
//! for a socket that nobody listens on where its replacement was asked for. Two programs that ask
//! for that at the same moment may both find it dead; whoever binds last stays.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::options::ListenOptions;
use crate::socket::{UnixAddress, UnixError};

/// A Unix-domain socket that listens.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(crate) listener: UnixListener,
    /// `None` for an abstract name.
    pub(crate) file: Option<SocketFile>,
}

/// The file of a socket; removed when dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: another file may come to stand under the path.
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        // The program may change its folder before the socket ends.
        let path = std::path::absolute(path)?;
        Ok(Self { identity: identity(&path)?, path })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a socket's file is left behind");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Listens on `address`, which nobody else may listen on.
pub(crate) fn bind_unix(
    address: &UnixAddress,
    options: &ListenOptions,
) -> Result<UnixSocket, UnixError> {
    let name = sock_addr(address)?;
    let refused = |source| UnixError::Listen { address: address.clone(), source };
    let socket = stream_socket().map_err(refused)?;
    if let Err(error) = socket.bind(&name) {
        clear(address, &name, options, error)?;
        socket.bind(&name).map_err(refused)?;
    }
    // From here on the file is ours: whatever fails takes it away.
    let file = match address {
        UnixAddress::Path(path) => Some(SocketFile::new(path).map_err(refused)?),
        UnixAddress::Abstract(_) => None,
    };
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes).map_err(refused)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes).map_err(refused)?;
    }
    socket.listen(options.backlog_of_system()).map_err(refused)?;
    Ok(UnixSocket { listener: UnixListener::from(OwnedFd::from(socket)), file })
}

/// Removes what keeps an address from being bound, if that may be, or says what it is.
fn clear(
    address: &UnixAddress,
    name: &SockAddr,
    options: &ListenOptions,
    source: io::Error,
) -> Result<(), UnixError> {
    let address = || address.clone();
    if source.kind() != io::ErrorKind::AddrInUse {
        return Err(UnixError::Listen { address: address(), source });
    }
    let UnixAddress::Path(path) = address() else {
        return Err(UnixError::InUse { address: address() });
    };
    let found = fs::symlink_metadata(&path);
    if !found.is_ok_and(|found| found.file_type().is_socket()) {
        return Err(UnixError::Exists { address: address() });
    }
    let refused = |source| UnixError::Listen { address: address(), source };
    match stream_socket().map_err(refused)?.connect(name) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return Err(UnixError::InUse { address: address() }),
    }
    if !options.replace_dead_socket {
        return Err(UnixError::LeftOver { address: address() });
    }
    fs::remove_file(&path).map_err(refused)
}

fn stream_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Asking whether somebody listens must not wait where many do already.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn sock_addr(address: &UnixAddress) -> Result<SockAddr, UnixError> {
    address.check()?;
    let path = match address {
        UnixAddress::Path(path) => path.clone(),
        UnixAddress::Abstract(name) => OsString::from_vec([b"\0", &name[..]].concat()).into(),
    };
    SockAddr::unix(path).map_err(|source| UnixError::Listen { address: address.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_with_its_socket_unless_another_has_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let bound =
            || bind_unix(&path.as_path().into(), &ListenOptions::new()).expect("it is free");
        let socket = bound();
        assert!(path.exists());
        drop(socket);
        assert!(!path.exists());

        let socket = bound();
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, "another's").expect("the folder is there");
        drop(socket);
        assert!(path.exists(), "that is not ours");
    }
}
