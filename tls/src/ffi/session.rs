//! What a session asks of OpenSSL that the `openssl` crate has no call for.
//!
//! Rules, cited by the blocks below:
//!
//! 1. **Type.** Functions are declared as `openssl/ssl.h` and `openssl/err.h` declare them, 3.0
//!    to 3.6.
//! 2. **Pointer.** An `SslRef` is a valid `SSL` for as long as it is borrowed; these calls keep no
//!    pointer to it. Whoever calls has the only reference that is used meanwhile, as `SSL` objects
//!    are not for two threads at once.
//! 3. **Count.** `SSL_up_ref` adds the one reference that the new `Ssl` gives back when dropped.
//! 4. **Bio.** `SSL_set_bio` with nulls frees the object's BIO and leaves it without; whatever
//!    knew that BIO, an `SslStream` or a `Linked`, is gone before anything else is asked of either.

#![expect(unsafe_code, reason = "calls functions of OpenSSL that have no safe binding")]

use std::ffi::{c_int, c_long, c_ulong};
use std::io::{Read, Write};
use std::ptr;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{ShutdownState, Ssl, SslMode, SslOptions, SslRef, SslStream};
use openssl_sys as sys;

// Declared per rule 1.
unsafe extern "C" {
    fn ERR_peek_error() -> c_ulong;
    fn SSL_up_ref(ssl: *mut sys::SSL) -> c_int;
    fn SSL_get_options(ssl: *const sys::SSL) -> u64;
    fn SSL_renegotiate(ssl: *mut sys::SSL) -> c_int;
    fn SSL_renegotiate_pending(ssl: *const sys::SSL) -> c_int;
    fn SSL_key_update(ssl: *mut sys::SSL, update: c_int) -> c_int;
    fn SSL_in_before(ssl: *const sys::SSL) -> c_int;
    fn SSL_in_init(ssl: *const sys::SSL) -> c_int;
    fn SSL_clear(ssl: *mut sys::SSL) -> c_int;
    fn SSL_set_read_ahead(ssl: *mut sys::SSL, yes: c_int);
    fn SSL_has_pending(ssl: *const sys::SSL) -> c_int;
    fn SSL_get_ssl_method(ssl: *const sys::SSL) -> *const sys::SSL_METHOD;
}

const SSL_CTRL_MODE: c_int = 33;
const SSL_CTRL_GET_RI_SUPPORT: c_int = 76;
const SSL_KEY_UPDATE_REQUESTED: c_int = 1;

/// Empties the error queue of this thread, so that no error of the past is taken for a new one.
pub(crate) fn clear_errors() {
    // Nearly always it is empty, which is seen more cheaply than all its places are cleared.
    // SAFETY: rule 1; it touches the state of this thread only.
    if (unsafe { ERR_peek_error() }) != 0 {
        // SAFETY: as above.
        unsafe { sys::ERR_clear_error() };
    }
}

/// Another reference to the same object.
pub(crate) fn share(ssl: &SslRef) -> Ssl {
    // SAFETY: rules 1 and 2. It fails only if the count has overflowed.
    let counted = unsafe { SSL_up_ref(ssl.as_ptr()) };
    assert_eq!(counted, 1, "an SSL object has fewer than 2^31 owners");
    // SAFETY: rule 3.
    unsafe { Ssl::from_ptr(ssl.as_ptr()) }
}

/// The object of a stream, which is dropped with what it read from and wrote to.
pub(crate) fn into_ssl<S: Read + Write>(stream: SslStream<S>) -> Ssl {
    let ssl = share(stream.ssl());
    // SAFETY: rule 4; the stream goes at once.
    unsafe { take_bio(&ssl) };
    drop(stream);
    ssl
}

/// Frees the BIO of an object.
///
/// # Safety
/// Rule 4: whoever knew that BIO asks nothing more of it.
pub(super) unsafe fn take_bio(ssl: &SslRef) {
    // SAFETY: rules 1, 2 and 4.
    unsafe { sys::SSL_set_bio(ssl.as_ptr(), ptr::null_mut(), ptr::null_mut()) };
}

/// Who has taken leave.
pub(crate) fn said(ssl: &SslRef) -> ShutdownState {
    // SAFETY: rules 1 and 2.
    ShutdownState::from_bits_truncate(unsafe { sys::SSL_get_shutdown(ssl.as_ptr()) })
}

/// Takes an object back to before its handshake, with all its settings; `false` with an error in
/// the queue if that cannot be. A client then offers the session it had, if a goodbye ended it.
pub(crate) fn reset(ssl: &SslRef) -> bool {
    let is_server = ssl.is_server();
    // SAFETY: rules 1 and 2.
    let cleared = (unsafe { SSL_clear(ssl.as_ptr()) }) == 1;
    if is_server {
        // SAFETY: rules 1 and 2.
        unsafe { sys::SSL_set_accept_state(ssl.as_ptr()) };
    } else {
        // SAFETY: rules 1 and 2.
        unsafe { sys::SSL_set_connect_state(ssl.as_ptr()) };
    }
    cleared
}

/// Has an object read one record at a time, so that what it has not opened stays where it is seen.
pub(crate) fn read_by_record(ssl: &SslRef) {
    // SAFETY: rules 1 and 2.
    unsafe { SSL_set_read_ahead(ssl.as_ptr(), 0) };
}

/// Whether bytes are inside an object, be they opened or not.
pub(crate) fn holds_bytes(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    (unsafe { SSL_has_pending(ssl.as_ptr()) }) != 0
}

/// Adds modes to those of an object.
pub(crate) fn add_mode(ssl: &SslRef, mode: SslMode) {
    let mode = mode.bits() as c_long;
    // SAFETY: rules 1 and 2; this control takes no pointer.
    unsafe { sys::SSL_ctrl(ssl.as_ptr(), SSL_CTRL_MODE, mode, ptr::null_mut()) };
}

/// Whether no handshake of the object has begun.
pub(crate) fn is_fresh(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    (unsafe { SSL_in_before(ssl.as_ptr()) }) != 0
}

/// Whether the context of the object was made to accept only.
pub(crate) fn accepts_only(ssl: &SslRef) -> bool {
    // SAFETY: rule 1; it returns the address of a static.
    let accepting = unsafe { sys::TLS_server_method() };
    ptr::eq(method(ssl), accepting)
}

/// Whether the context of the object was made to connect only.
pub(crate) fn connects_only(ssl: &SslRef) -> bool {
    // SAFETY: rule 1; it returns the address of a static.
    let connecting = unsafe { sys::TLS_client_method() };
    ptr::eq(method(ssl), connecting)
}

/// The method of an object, to compare.
fn method(ssl: &SslRef) -> *const sys::SSL_METHOD {
    // SAFETY: rules 1 and 2; what it returns is a static.
    unsafe { SSL_get_ssl_method(ssl.as_ptr()) }
}

/// Whether a handshake is under way, or has failed.
pub(crate) fn is_shaking_hands(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    (unsafe { SSL_in_init(ssl.as_ptr()) }) != 0
}

/// Whether the peer can renegotiate safely.
pub(crate) fn may_renegotiate(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2; this control takes no pointer.
    (unsafe { sys::SSL_ctrl(ssl.as_ptr(), SSL_CTRL_GET_RI_SUPPORT, 0, ptr::null_mut()) }) != 0
}

/// Whether the settings of the object rule renegotiations out.
pub(crate) fn forbids_renegotiation(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    let options = unsafe { SSL_get_options(ssl.as_ptr()) };
    options & SslOptions::NO_RENEGOTIATION.bits() != 0
}

/// Asks for a renegotiation, which the next call begins; `false` with an error in the queue if that
/// cannot be.
pub(crate) fn renegotiate(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    (unsafe { SSL_renegotiate(ssl.as_ptr()) }) == 1
}

/// Whether a renegotiation was asked for and is not over.
pub(crate) fn is_renegotiating(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    (unsafe { SSL_renegotiate_pending(ssl.as_ptr()) }) != 0
}

/// Asks for new keys both ways, of TLS 1.3; `false` with an error in the queue if that cannot be.
pub(crate) fn update_keys(ssl: &SslRef) -> bool {
    // SAFETY: rules 1 and 2.
    (unsafe { SSL_key_update(ssl.as_ptr(), SSL_KEY_UPDATE_REQUESTED) }) == 1
}
