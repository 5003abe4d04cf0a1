//! The start of the seed's TLS, and its echo server.

use std::io::{Read, Write};
use std::sync::mpsc;

use sluicegate::openssl::ssl::SslStream;
use sluicegate::tls::Certificate;
use sluicegate::{
    BuildError, Context, Handler, InitError, ListenOptions, Runtime, Threading, Time, TlsConfig,
    TlsOptions, openssl, tls,
};

use crate::outer::tls::{HOST, VERSIONS};
use crate::outer::{Server, connect, receive};

/// `RAND_poll`, the start of the library: `tls::init()`, a typed error without entropy; what a
/// library does that has none is shown in tls's `tests/stand_in.rs`.
#[test]
fn rand_poll() {
    let threading = tls::init().expect("this machine has entropy");
    assert_eq!(tls::init(), Ok(threading), "once for all");
    let error = InitError::NoEntropy { reason: "PRNG not seeded".to_owned() };
    let told = BuildError::from(error).to_string();
    assert!(told.contains("PRNG not seeded") && told.contains("getrandom"), "{told}");
}

/// `init_ssl_locking`, locking and id callbacks: by `tls::init()` in `RuntimeBuilder::build`, of
/// which the runtime says what was found. Old libraries are in tls's `tests/stand_in.rs`.
#[test]
fn init_ssl_locking() {
    let runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let version = openssl::version::version();
    let found = Threading::LibraryLocksItself { version };
    assert_eq!((runtime.tls_threading(), tls::init()), (&found, Ok(found)));
    let line = runtime.report().to_string();
    assert!(line.contains("locks by itself"), "{line}");
}

/// Prints the count and the bytes, as the seed's does, to the test; and echoes them.
struct Echo(mpsc::Sender<(usize, Vec<u8>)>);

impl Handler for Echo {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        let bytes = input.peek(0..input.len()).flatten().copied().collect();
        self.0.send((input.len(), bytes)).expect("the test listens");
        output.append(&mut input);
    }
}

/// The simple SSL echo server: certificate and key from the files `cert` and `pkey`, a backlog of
/// 1024; the program `tls_echo` with its port and its advice is run in `examples/tests/tls.rs`.
#[test]
fn a_simple_ssl_echo_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, pkey) = (folder.path().join("cert"), folder.path().join("pkey"));
    Certificate::from_files(&cert, &pkey).expect_err("there are no files");
    let made = Certificate::self_signed(&[HOST], 1).expect("a certificate");
    std::fs::write(&cert, made.chain_pem().expect("it can be written")).expect("there is room");
    std::fs::write(&pkey, made.key_pem().expect("it can be written")).expect("there is room");

    for version in VERSIONS {
        let read = Certificate::from_files(&cert, &pkey).expect("both are there");
        let config = TlsConfig::server().certificate(read).build().expect("a server");
        let (print, printed) = mpsc::channel();
        let options = ListenOptions::new().backlog(1024);
        let server = Server::start_with(1, options, move |conn| {
            conn.tls_accept(&config, TlsOptions::new()).expect("it has just been accepted");
            Echo(print.clone())
        });
        let roots = made.chain_pem().expect("it can be written");
        let client = TlsConfig::client().roots_pem(roots).versions(version..=version);
        let ssl = client.build().expect("a client").connect(0, Time::ZERO, HOST);
        let mut stream = SslStream::new(ssl.expect("an object"), connect(server.addr));
        let stream = stream.as_mut().expect("a stream");
        stream.do_handshake().expect("the handshake is made");
        stream.write_all(b"hello\n").expect("the server reads");
        let mut back = [0; 6];
        stream.read_exact(&mut back).expect("it answers");
        assert_eq!(&back, b"hello\n");
        assert_eq!(receive(&printed), (6, b"hello\n".to_vec()), "{version:?}");
        stream.shutdown().expect("the goodbye is sent");
        assert_eq!(stream.read(&mut back).expect("a clean end"), 0, "{version:?}");
        server.wait_until_empty();
    }
}
