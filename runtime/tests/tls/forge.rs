//! Records that OpenSSL would never write, encrypted with the keys of a connection it made.
//!
//! Owns the client's key and how often it was used; knows AES-128-GCM with SHA-256 only, which
//! [`keys_told`] makes a context choose. Source: RFC 5246 §6.2.3.3 and §8.1, RFC 8446 §5.2 and §7.

use std::sync::{Arc, Mutex};

use sluicegate::TlsOptions;
use sluicegate::openssl::hash::MessageDigest;
use sluicegate::openssl::pkey::PKey;
use sluicegate::openssl::sign::Signer;
use sluicegate::openssl::ssl::{SslContextBuilder, SslRef, SslVersion};
use sluicegate::openssl::symm::{Cipher, encrypt_aead};

use crate::rig::context_with;
use crate::wired::Wired;

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// What each way holds besides, for a peer that does not read.
const PIPE_BYTES: usize = 16 << 10;

const KEY_BYTES: usize = 16;
const TAG_BYTES: usize = 16;

/// The lines of a key log.
type Told = Arc<Mutex<Vec<String>>>;

/// Writes the records of a client.
pub(crate) struct Forger {
    version: SslVersion,
    /// Of TLS 1.3, from which the keys are made.
    secret: Vec<u8>,
    key: Vec<u8>,
    iv: Vec<u8>,
    sequence: u64,
}

/// An open session and who writes for its peer, which must not write by itself.
pub(crate) fn forged(version: SslVersion) -> (Wired, Forger) {
    let told = Told::default();
    let context = context_with(version, |builder| keys_told(builder, &told));
    let wired =
        Wired::by(&context, TlsOptions::new(), |sim| sim.set_buffer_bytes(PIPE_BYTES)).opened();
    let told = told.lock().expect("no panic while held");
    let forger = Forger::new(version, wired.tls.ssl(), &told);
    (wired, forger)
}

fn keys_told(builder: &mut SslContextBuilder, told: &Told) {
    builder.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256").expect("it is there");
    builder.set_ciphersuites("TLS_AES_128_GCM_SHA256").expect("it is there");
    let told = told.clone();
    builder.set_keylog_callback(move |_, line| {
        told.lock().expect("no panic while held").push(line.to_owned());
    });
}

impl Forger {
    fn new(version: SslVersion, ssl: &SslRef, told: &[String]) -> Self {
        let label = match version {
            SslVersion::TLS1_3 => "CLIENT_TRAFFIC_SECRET_0 ",
            _ => "CLIENT_RANDOM ",
        };
        let line = told.iter().find(|line| line.starts_with(label)).expect("it was told");
        let secret = from_hex(line.rsplit(' ').next().expect("a line ends with the secret"));
        if version == SslVersion::TLS1_3 {
            let mut forger = Self { version, secret, key: Vec::new(), iv: Vec::new(), sequence: 0 };
            forger.take_keys();
            return forger;
        }
        let (mut client, mut server) = ([0; 32], [0; 32]);
        assert_eq!((ssl.client_random(&mut client), ssl.server_random(&mut server)), (32, 32));
        // A key for each side and then 4 bytes for each.
        let block = prf(&secret, &[b"key expansion".as_slice(), &server, &client].concat(), 40);
        let (key, iv) = (block[..KEY_BYTES].to_vec(), block[32..36].to_vec());
        // Finished was the first record with this key.
        Self { version, secret, key, iv, sequence: 1 }
    }

    /// A record, as the next of the client.
    pub(crate) fn record(&mut self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let sequence = self.sequence.to_be_bytes();
        self.sequence += 1;
        if self.version == SslVersion::TLS1_3 {
            let header = header(DATA, bytes.len() + 1 + TAG_BYTES);
            let mut nonce = self.iv.clone();
            nonce[4..].iter_mut().zip(sequence).for_each(|(byte, by)| *byte ^= by);
            let sealed = self.seal(&nonce, &header, &[bytes, &[kind]].concat());
            return [header, sealed].concat();
        }
        let nonce = [self.iv.as_slice(), &sequence].concat();
        let about = [sequence.to_vec(), header(kind, bytes.len())].concat();
        let sealed = self.seal(&nonce, &about, bytes);
        [header(kind, sequence.len() + sealed.len()), sequence.to_vec(), sealed].concat()
    }

    /// A key update, which asks for the server's or does not; what follows is in the new key.
    pub(crate) fn key_update(&mut self, asks: bool) -> Vec<u8> {
        let record = self.record(HANDSHAKE, &[24, 0, 0, 1, u8::from(asks)]);
        self.renew_keys();
        record
    }

    /// What follows is in the new key.
    pub(crate) fn renew_keys(&mut self) {
        self.secret = expand(&self.secret, "traffic upd", 32);
        self.take_keys();
    }

    fn take_keys(&mut self) {
        self.key = expand(&self.secret, "key", KEY_BYTES);
        self.iv = expand(&self.secret, "iv", 12);
        self.sequence = 0;
    }

    fn seal(&self, nonce: &[u8], about: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut tag = [0; TAG_BYTES];
        let cipher = Cipher::aes_128_gcm();
        let sealed = encrypt_aead(cipher, &self.key, Some(nonce), about, bytes, &mut tag);
        [sealed.expect("the key fits").as_slice(), &tag].concat()
    }
}

fn header(kind: u8, len: usize) -> Vec<u8> {
    let len = u16::try_from(len).expect("a record is shorter");
    [&[kind, 3, 3], len.to_be_bytes().as_slice()].concat()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn hmac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).expect("any bytes are a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("SHA-256 is there");
    signer.sign_oneshot_to_vec(bytes).expect("a code")
}

/// P_SHA256 of TLS 1.2.
fn prf(secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let (mut a, mut out) = (seed.to_vec(), Vec::new());
    while out.len() < len {
        a = hmac(secret, &a);
        out.extend(hmac(secret, &[a.as_slice(), seed].concat()));
    }
    out
}

/// HKDF-Expand-Label of TLS 1.3 for no more than one hash, without context.
fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let lens = [0, len as u8, label.len() as u8];
    let mut out = hmac(secret, &[&lens, label.as_bytes(), &[0, 1]].concat());
    out.truncate(len);
    out
}
