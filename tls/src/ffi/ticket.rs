//! Ticket keys, sessions to resume, secrets to overwrite: what the `openssl` crate does not bind.
//!
//! Decides nothing. Needs OpenSSL 3.0: the callback with an `EVP_MAC_CTX` is not in older ones.
//!
//! Rules, cited by the blocks below:
//!
//! 1. **Type.** The functions declared here have the prototypes of `openssl/ssl.h`,
//!    `openssl/tls1.h` and `openssl/crypto.h`, 3.0 to 3.6.
//! 2. **The callback** is a plain function. OpenSSL calls it within a handshake, with an `SSL`, a
//!    cipher and a MAC context that are valid and not otherwise used while it runs, a name of 16
//!    bytes and an IV of `EVP_MAX_IV_LENGTH`, 16 (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
//!    Nothing is kept past the call. Being `extern "C"`, it aborts rather than unwinds into C.
//! 3. **The keys** it uses are in the context's ex data, which the context frees, so they live as
//!    long as any connection of it.
//! 4. **Parameters** are read during the call they are given to and never written: their bytes are
//!    borrowed for longer than that.
//! 5. **A session** is offered only on a connection of the context it was made with. The address
//!    of that context is compared; it names no other, because a session lies only in the cache
//!    that this context's own callback holds, and is given out and offered in one call.

#![expect(unsafe_code, reason = "binds four functions of OpenSSL, one of which calls back")]

use std::ffi::{c_char, c_int, c_long, c_uchar, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::cipher_ctx::CipherCtxRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::rand::rand_bytes;
use openssl::ssl::{SslContext, SslContextBuilder, SslRef, SslSession, SslSessionRef, SslVersion};
use openssl_sys::{EVP_CIPHER_CTX, EVP_MAC_CTX, OSSL_PARAM, SSL, SSL_CTX, SSL_SESSION};

use crate::ticket::{CoreKeys, KEY_BYTES, NAME_BYTES};

type TicketCallback = extern "C" fn(
    *mut SSL,
    *mut c_uchar,
    *mut c_uchar,
    *mut EVP_CIPHER_CTX,
    *mut EVP_MAC_CTX,
    c_int,
) -> c_int;

unsafe extern "C" {
    fn SSL_CTX_set_tlsext_ticket_key_evp_cb(
        context: *mut SSL_CTX,
        callback: Option<TicketCallback>,
    ) -> c_int;
    fn SSL_CTX_set_timeout(context: *mut SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_SESSION_is_resumable(session: *const SSL_SESSION) -> c_int;
    fn OPENSSL_cleanse(bytes: *mut c_void, len: libc::size_t);
}

/// Overwrites bytes with zeroes, which the compiler may not leave out.
pub(crate) fn cleanse(bytes: &mut [u8]) {
    // SAFETY: rule 1; the pointer and the length are those of one exclusive slice.
    unsafe { OPENSSL_cleanse(bytes.as_mut_ptr().cast(), bytes.len()) };
}

/// Makes a context that is being built seal and open its tickets with `keys`.
pub(crate) fn use_ticket_keys(
    context: &mut SslContextBuilder,
    lifetime: Duration,
    keys: &Arc<CoreKeys>,
) -> Result<(), ErrorStack> {
    context.set_ex_data(keys_index()?, Arc::clone(keys));
    let seconds = c_long::try_from(lifetime.as_secs()).unwrap_or(c_long::MAX);
    // SAFETY: rule 1; the context is this builder's alone.
    unsafe { SSL_CTX_set_timeout(context.as_ptr(), seconds) };
    // SAFETY: rule 1 for the call, rules 2 and 3 for the callback.
    let set = unsafe { SSL_CTX_set_tlsext_ticket_key_evp_cb(context.as_ptr(), Some(on_ticket)) };
    if set == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// A session, and which context it was made with.
#[derive(Clone)]
pub(crate) struct Resumable {
    session: SslSession,
    /// An address to compare, never followed.
    context: usize,
}

impl Resumable {
    /// Takes over a session that was made on the connection `ssl`.
    pub(crate) fn new(ssl: &SslRef, session: SslSession) -> Self {
        Self { session, context: ssl.ssl_context().as_ptr().addr() }
    }

    /// Whether this is the same object.
    pub(crate) fn is(&self, session: &SslSessionRef) -> bool {
        ptr::eq(self.session.as_ptr(), session.as_ptr())
    }

    /// False once a connection of this session broke off without a shutdown.
    pub(crate) fn is_resumable(&self) -> bool {
        // SAFETY: rule 1; the session is counted by `self`.
        (unsafe { SSL_SESSION_is_resumable(self.session.as_ptr()) }) == 1
    }

    /// Offers the session on a connection whose handshake has not begun; not on another context's.
    pub(crate) fn offer(&self, ssl: &SslRef) -> Result<(), ErrorStack> {
        if ssl.ssl_context().as_ptr().addr() != self.context {
            return Ok(());
        }
        // SAFETY: rule 1; rule 5, checked above. It counts a reference of its own.
        let set = unsafe { openssl_sys::SSL_set_session(ssl.as_ptr(), self.session.as_ptr()) };
        if set == 1 { Ok(()) } else { Err(ErrorStack::get()) }
    }
}

/// Takes back what a connection offers whose handshake has not begun.
pub(crate) fn offer_none(ssl: &SslRef) {
    // SAFETY: rule 1; null stands for no session, which cannot fail.
    unsafe { openssl_sys::SSL_set_session(ssl.as_ptr(), ptr::null_mut()) };
}

/// Where a context keeps its keys.
fn keys_index() -> Result<Index<SslContext, Arc<CoreKeys>>, ErrorStack> {
    static INDEX: OnceLock<Index<SslContext, Arc<CoreKeys>>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        // Two threads that come here at once waste an index, once.
        None => SslContext::new_ex_index().map(|index| *INDEX.get_or_init(|| index)),
    }
}

/// Readies the contexts for a ticket: a new one if `sealing`, else the one that has `name`.
extern "C" fn on_ticket(
    ssl: *mut SSL,
    name: *mut c_uchar,
    iv: *mut c_uchar,
    cipher: *mut EVP_CIPHER_CTX,
    mac: *mut EVP_MAC_CTX,
    sealing: c_int,
) -> c_int {
    // SAFETY: rule 2.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    // SAFETY: rule 2.
    let name = unsafe { &mut *name.cast::<[u8; NAME_BYTES]>() };
    // SAFETY: rule 2.
    let iv = unsafe { &mut *iv.cast::<[u8; IV_BYTES]>() };
    // SAFETY: rule 2.
    let cipher = unsafe { CipherCtxRef::from_ptr_mut(cipher) };
    let keys = keys_index().ok().and_then(|index| ssl.ssl_context().ex_data(index));
    let Some(keys) = keys else { return if sealing == 1 { FAILED } else { UNKNOWN } };
    if sealing == 1 {
        let sealed = keys.seal(|kind, key| {
            *name = key.name;
            rand_bytes(iv)
                .and_then(|()| cipher.encrypt_init(Some(kind), Some(&key.cipher), Some(iv)))
                .is_ok()
                && key_mac(mac, &key.mac)
        });
        return if sealed == Some(true) { READY } else { FAILED };
    }
    let opened = keys.open(name, |kind, key, newest| {
        let ready = cipher.decrypt_init(Some(kind), Some(&key.cipher), Some(iv)).is_ok()
            && key_mac(mac, &key.mac);
        match ready {
            true if newest && ssl.version2() != Some(SslVersion::TLS1_3) => READY,
            true => RENEW,
            false => UNKNOWN,
        }
    });
    opened.unwrap_or(UNKNOWN)
}

/// Keys a MAC context with HMAC-SHA-256.
///
/// SHA-256 is looked up by name for each ticket: the interface takes no digest that was fetched
/// before, and copies no keyed context into the one it gives. It is one look-up of some eighty that
/// OpenSSL makes for its side of a handshake.
fn key_mac(mac: *mut EVP_MAC_CTX, key: &[u8; KEY_BYTES]) -> bool {
    let digest = c"SHA256";
    let param = |name: *const c_char, data_type, data: *const c_void, data_size| OSSL_PARAM {
        key: name,
        data_type,
        data: data.cast_mut(),
        data_size,
        return_size: OSSL_PARAM_UNMODIFIED,
    };
    let params = [
        param(c"key".as_ptr(), OSSL_PARAM_OCTET_STRING, key.as_ptr().cast(), key.len()),
        param(
            c"digest".as_ptr(),
            OSSL_PARAM_UTF8_STRING,
            digest.as_ptr().cast(),
            digest.count_bytes(),
        ),
        param(ptr::null(), 0, ptr::null(), 0),
    ];
    // SAFETY: rule 2 for the context, rule 4 for the parameters, which end in one without a name.
    (unsafe { openssl_sys::EVP_MAC_CTX_set_params(mac, params.as_ptr()) }) == 1
}

/// What the callback may answer.
const FAILED: c_int = -1;
const UNKNOWN: c_int = 0;
const READY: c_int = 1;
const RENEW: c_int = 2;

const IV_BYTES: usize = 16;

/// From `openssl/core.h` and `openssl/params.h`.
const OSSL_PARAM_UTF8_STRING: u32 = 4;
const OSSL_PARAM_OCTET_STRING: u32 = 5;
const OSSL_PARAM_UNMODIFIED: usize = usize::MAX;
