//! Unix-domain sockets: listened on in every mode that can be, connected to, taken in and out of a
//! core; their files come and go with them, and what is at a path already is never touched unasked.

mod rig;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use rig::{ANY, BOUND, Echo, Server, eventually, pattern, receive};
use sluicegate::{
    AcceptMode, BevMut, Context, Dispatch, Error, Event, EventFlags, File, Handler, ListenOptions,
    Listener, Runtime, Shutdown, UnixAddress, UnixError,
};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    (folder, path)
}

fn listen(
    addr: impl Into<UnixAddress>,
    options: ListenOptions,
) -> Result<(Server, Listener<UnixAddress>), Error> {
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let listener = runtime.listen_unix(addr, options, |_| Echo)?;
    // Nobody connects to this address.
    Ok((Server::run(ANY.parse().expect("an address"), runtime), listener))
}

fn refused(addr: impl Into<UnixAddress>, options: ListenOptions) -> UnixError {
    match listen(addr, options) {
        Err(Error::Unix(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it can be listened on"),
    }
}

fn connect(path: &Path) -> UnixStream {
    let client = UnixStream::connect(path).expect("somebody listens");
    client.set_read_timeout(Some(BOUND)).expect("not zero");
    client
}

fn round_trip(client: &mut UnixStream, message: &[u8]) {
    client.write_all(message).expect("the server reads");
    let mut back = vec![0; message.len()];
    client.read_exact(&mut back).expect("the server answers");
    assert_eq!(back, message);
}

#[test]
fn connections_are_spread_by_the_core_that_accepts() {
    let least = AcceptMode::Single { acceptor: 0, by: Dispatch::LeastLoaded };
    let in_turn = AcceptMode::Single { acceptor: 1, by: Dispatch::RoundRobin };
    let nameless = AcceptMode::Single { acceptor: 1, by: Dispatch::HashPeer };
    let modes = [AcceptMode::default(), least, in_turn, nameless, AcceptMode::Fixed(1)];
    for (mode, expected) in modes.into_iter().zip([[5, 5], [5, 5], [5, 5], [5, 5], [0, 10]]) {
        let (_folder, path) = folder();
        let options = ListenOptions::new().accept(mode);
        let (server, listener) = listen(path.as_path(), options).expect("the path is free");
        assert_eq!(listener.local_addr(), UnixAddress::Path(path.clone()));
        let mut clients: Vec<_> = (0..10).map(|_| connect(&path)).collect();
        clients.iter_mut().for_each(|client| round_trip(client, b"hello"));
        eventually("the figures are out", || server.sum(|core| core.connections) == 10);
        let stats = server.handle.stats();
        assert_eq!([stats[0].connections, stats[1].connections], expected, "{mode}");
        drop(clients);
        server.wait_until_empty();
    }
}

#[test]
fn an_abstract_name_has_no_file() {
    let name = format!("@sluicegate-test-{}", std::process::id());
    let (server, _listener) = listen(&*name, ListenOptions::new()).expect("the name is free");
    let (answer, answers) = mpsc::channel();
    let to = name.clone();
    server.on_core(1, move |core| core.connect_unix(&*to, Asking(answer))).expect("it listens");
    assert_eq!(receive(&answers), Ok(pattern(100_000)));
    assert!(!Path::new(&name).exists());
    let error = refused(&*name, ListenOptions::new().replace_dead_socket());
    assert!(matches!(error, UnixError::InUse { .. }), "{error:?}");
}

/// Sends a pattern when connected, and reports what comes back, or why nothing does.
struct Asking(mpsc::Sender<Result<Vec<u8>, ErrorKind>>);

impl Handler for Asking {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        assert_eq!((me.peer_addr(), me.local_addr()), (None, None), "it has no such addresses");
        if me.input().len() == 100_000 {
            let mut bytes = vec![0; 100_000];
            me.input().remove(&mut bytes);
            self.0.send(Ok(bytes)).expect("the test waits");
            me.close();
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if event.flags == EventFlags::CONNECTED {
            cx.me().output().add(&pattern(100_000));
        } else {
            let error = event.error.map_or(ErrorKind::UnexpectedEof, |error| error.kind());
            self.0.send(Err(error)).expect("the test waits");
        }
    }
}

#[test]
fn a_core_connects_to_a_path_or_says_why_not() {
    let (_folder, path) = folder();
    let server = Server::idle(1);
    let error = |path: &Path| {
        let path = path.to_owned();
        match server.on_core(0, move |core| core.connect_unix(path, Echo)) {
            Err(Error::Unix(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(error(&path).contains("no socket is there"), "{}", error(&path));
    drop(UnixListener::bind(&path).expect("the path is free"));
    assert!(error(&path).contains("nobody listens there"), "{}", error(&path));
    assert!(error(Path::new("")).starts_with("an empty path"), "{}", error(Path::new("")));

    fs::remove_file(&path).expect("it is there");
    let plain = UnixListener::bind(&path).expect("the path is free");
    let to = path.clone();
    let id = server.on_core(0, move |core| {
        let id = core.unconnected(Echo);
        let mut bev = core.get(id).expect("just made");
        bev.connect_unix(to).map(|()| id)
    });
    let id = id.expect("it listens");
    let (mut peer, _) = plain.accept().expect("it has connected");
    peer.set_read_timeout(Some(BOUND)).expect("not zero");
    round_trip(&mut peer, &pattern(100_000));
    server.on_core(0, move |core| core.get(id).expect("it is open").close());
    assert_eq!(peer.read(&mut [0]).expect("an end in order"), 0);
}

#[test]
fn a_socket_goes_in_and_out_of_a_core_and_sends_files() {
    let (_folder, path) = folder();
    let (ours, mut theirs) = UnixStream::pair().expect("descriptors are free");
    theirs.set_read_timeout(Some(BOUND)).expect("not zero");
    let server = Server::idle(1);
    let id = server.on_core(0, |core| core.adopt(ours, Echo)).expect("it is connected");
    round_trip(&mut theirs, &pattern(100_000));
    fs::write(&path, pattern(100_000)).expect("the folder is there");
    let file = fs::File::open(&path).expect("it was just written");
    server.on_core(0, move |core| {
        let file = Arc::new(File::new(file).expect("it has a length"));
        let mut bev = core.get(id).expect("it is open");
        bev.output().add_source(file).expect("it is not too long");
    });
    let mut sent = vec![0; 100_000];
    theirs.read_exact(&mut sent).expect("the file comes");
    assert_eq!(sent, pattern(100_000));

    let taken = server.on_core(0, move |core| core.get(id).expect("it is open").into_socket());
    let taken = taken.expect("it has a socket");
    assert_eq!(taken.socket.peer_addr().expect_err("none").kind(), ErrorKind::Unsupported);
    let mut ours = taken.socket.into_unix().expect("it is of the Unix domain");
    ours.set_nonblocking(false).expect("it is open");
    ours.write_all(b"by hand").expect("the peer is there");
    let mut by_hand = [0; 7];
    theirs.read_exact(&mut by_hand).expect("it comes");
    assert_eq!(&by_hand, b"by hand");
}

#[test]
fn what_is_at_a_path_stays_unless_it_is_dead_and_its_replacement_was_asked_for() {
    let (_folder, path) = folder();
    let replacing = || ListenOptions::new().replace_dead_socket();
    let at = || path.as_path();

    fs::write(&path, "of somebody").expect("the folder is there");
    for options in [ListenOptions::new(), replacing()] {
        let error = refused(at(), options);
        assert!(matches!(error, UnixError::Exists { .. }), "{error:?}");
    }
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "of somebody");
    fs::remove_file(&path).expect("it is there");

    let live = UnixListener::bind(&path).expect("the path is free");
    for options in [ListenOptions::new(), replacing()] {
        let error = refused(at(), options);
        assert!(matches!(error, UnixError::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
    }
    drop(live);
    let error = refused(at(), ListenOptions::new());
    assert!(matches!(error, UnixError::LeftOver { .. }), "{error:?}");
    assert!(path.exists(), "it was not asked for");
    let (_server, _listener) = listen(at(), replacing()).expect("it is dead");
    round_trip(&mut connect(&path), b"replaced");
}

#[test]
fn an_address_that_is_none_is_an_error_that_shows_it() {
    let (folder, _) = folder();
    let long = folder.path().join("x".repeat(200));
    let error = refused(long.as_path(), ListenOptions::new());
    assert!(matches!(error, UnixError::TooLong { bytes, .. } if bytes > 200), "{error:?}");
    assert!(error.to_string().contains("xxx") && error.to_string().contains("at most 107"));
    assert!(matches!(refused("", ListenOptions::new()), UnixError::Empty));
    let nowhere = folder.path().join("no/such/folder");
    let error = refused(nowhere.as_path(), ListenOptions::new());
    assert!(error.to_string().ends_with("check the folder and its permissions"), "{error}");
    for asked in [AcceptMode::ReusePort, AcceptMode::Balanced { slack: Some(3) }] {
        let options = ListenOptions::new().accept(asked);
        let error = refused(folder.path().join("socket"), options);
        let is_said = matches!(error, UnixError::OneSocket { mode, .. } if mode == asked);
        assert!(is_said && error.to_string().contains("use `single:least`"), "{error:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0, "nothing was left");
}

#[test]
fn the_file_goes_when_the_listener_is_closed_or_its_core_ends() {
    let (_folder, path) = folder();
    let (server, listener) = listen(path.as_path(), ListenOptions::new()).expect("it is free");
    let mut client = connect(&path);
    round_trip(&mut client, b"before");
    listener.close();
    eventually("the file is gone", || !path.exists());
    round_trip(&mut client, b"after");
    drop(server);

    let (server, _listener) = listen(path.as_path(), ListenOptions::new()).expect("it is free");
    server.handle.shutdown(Shutdown::Drain);
    server.join();
    assert!(!path.exists());

    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    runtime.listen_unix(path.as_path(), ListenOptions::new(), |_| Echo).expect("it is free");
    assert!(path.exists());
    drop(runtime);
    assert!(!path.exists(), "a runtime that never starts leaves nothing");

    let server = Server::idle(2);
    let at = path.clone();
    let factory = |conn: &mut BevMut<'_>| assert_eq!(conn.core().index(), 1);
    let listening =
        move |core: &mut sluicegate::Core| core.listen_unix(at, ListenOptions::new(), factory);
    let listener = server.on_core(1, listening).expect("it is free");
    let _client = connect(&path);
    eventually("it is accepted there", || server.handle.stats()[1].connections == 1);
    listener.close();
    eventually("the file is gone", || !path.exists());
}
