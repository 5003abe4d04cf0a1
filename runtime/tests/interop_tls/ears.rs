//! What our end of a connection is told, as the test hears it from another thread.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};

use sluicegate::openssl::nid::Nid;
use sluicegate::openssl::ssl::SslRef;
use sluicegate::{BevId, BevMut, Context, Event, EventFlags, Handler, TlsError};

use crate::rig::{Server, receive};

/// What a session turned out to be.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: BevId,
    pub(crate) version: &'static str,
    pub(crate) resumed: bool,
    pub(crate) alpn: Option<String>,
    /// The common name in the certificate of the peer.
    pub(crate) peer: Option<String>,
}

impl Facts {
    fn new(id: BevId, ssl: &SslRef) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let peer = ssl.peer_certificate().and_then(|certificate| {
            let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next()?;
            Some(text(entry.data().as_slice()))
        });
        let alpn = ssl.selected_alpn_protocol().map(text);
        Self { id, version: ssl.version_str(), resumed: ssl.session_reused(), alpn, peer }
    }

    /// Runs something on the bufferevent, on its core.
    pub(crate) fn on<T: Send + 'static>(
        &self,
        server: &Server,
        task: impl FnOnce(&mut BevMut<'_>) -> T + Send + 'static,
    ) -> T {
        let id = self.id;
        server.on_core(id.core(), move |core| task(&mut core.get(id).expect("the session is open")))
    }
}

#[derive(Debug)]
enum Told {
    Connected(Facts),
    Read(Vec<u8>),
    Ended(EventFlags, Option<io::Error>),
}

/// Tells the test what it is told.
pub(crate) struct Talk {
    told: Sender<Told>,
    /// It sends back what comes in.
    echoes: bool,
}

impl Talk {
    pub(crate) fn new(echoes: bool) -> (Self, Ears) {
        let (told, ears) = mpsc::channel();
        (Self { told, echoes }, Ears(ears))
    }

    /// Another that tells the same test.
    pub(crate) fn another(&self) -> Self {
        Self { told: self.told.clone(), echoes: self.echoes }
    }

    fn tell(&self, told: Told) {
        // A test that has seen enough hears no more.
        let _over = self.told.send(told);
    }
}

impl Handler for Talk {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        let mut bytes = vec![0; input.len()];
        input.remove(&mut bytes);
        if self.echoes {
            output.add(&bytes);
        }
        self.tell(Told::Read(bytes));
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let mut me = cx.me();
        if event.flags.contains(EventFlags::CONNECTED) {
            let facts = Facts::new(me.id(), me.ssl().expect("it is TLS"));
            return self.tell(Told::Connected(facts));
        }
        me.close();
        self.tell(Told::Ended(event.flags, event.error));
    }
}

/// Hears what handlers tell, in order.
pub(crate) struct Ears(Receiver<Told>);

impl Ears {
    /// The next is that a handshake is done, or new keys are there.
    pub(crate) fn connected(&self) -> Facts {
        match receive(&self.0) {
            Told::Connected(facts) => facts,
            other => panic!("not CONNECTED but {other:?}"),
        }
    }

    /// The next that comes in is exactly this, in pieces or not.
    pub(crate) fn reads(&self, text: &str) {
        let mut got = Vec::new();
        while got.len() < text.len() {
            match receive(&self.0) {
                Told::Read(bytes) => got.extend(bytes),
                other => panic!("not {text:?} but {other:?}"),
            }
        }
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// All that comes in until the end, and how that is.
    pub(crate) fn rest(&self) -> (String, EventFlags, Option<io::Error>) {
        let mut got = Vec::new();
        loop {
            match receive(&self.0) {
                Told::Read(bytes) => got.extend(bytes),
                Told::Ended(flags, error) => {
                    return (String::from_utf8_lossy(&got).into_owned(), flags, error);
                }
                Told::Connected(facts) => panic!("CONNECTED again: {facts:?}"),
            }
        }
    }

    /// The next is the end, and a good one.
    pub(crate) fn ends_well(&self) {
        let (rest, flags, error) = self.rest();
        assert_eq!(
            (rest.as_str(), flags),
            ("", EventFlags::READING | EventFlags::EOF),
            "{error:?}"
        );
    }

    /// The next is the end by an error.
    pub(crate) fn fails(&self) -> io::Error {
        let (rest, flags, error) = self.rest();
        assert_eq!(rest, "");
        assert!(flags.contains(EventFlags::ERROR) && !flags.contains(EventFlags::EOF), "{flags:?}");
        error.expect("an ERROR says why")
    }

    /// The next is the end by an error of TLS; CONNECTED may come before where `late`.
    pub(crate) fn fails_by_tls(&self, late: bool) -> TlsError {
        let error = match receive(&self.0) {
            Told::Connected(_) if late => self.fails(),
            Told::Ended(flags, Some(error)) if flags.contains(EventFlags::ERROR) => error,
            other => panic!("not an error but {other:?}"),
        };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        inner.unwrap_or_else(|| panic!("not of TLS: {error:?}")).clone()
    }
}
