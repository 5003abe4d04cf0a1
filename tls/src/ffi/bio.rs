//! An SSL object whose ciphertext comes from and goes to buffers that each call lends it.
//!
//! Owns the object with its BIO, and the one method that all these BIOs share: a connection pays
//! for the BIO alone. Reading takes what has arrived and says "not now" behind it, never "the end":
//! how the stream below ended is the session's to judge. Writing always takes everything; what is
//! put out where nothing may follow is dropped.
//!
//! Rules, cited by the blocks below:
//!
//! 1. **Type.** Functions and callbacks are declared as `openssl/ssl.h` and `openssl/bio.h` declare
//!    them, 3.0 to 3.6, by `openssl-sys` where it has them.
//! 2. **Object.** A `Linked` owns a valid `SSL` that nobody else calls meanwhile, and its BIO is of
//!    the method below: `new` sets it, the safe interface of `SslRef` cannot exchange it, and
//!    `into_ssl` takes it away.
//! 3. **Data.** The data of such a BIO is null but while a call of this file runs that set it. It
//!    points then to the `Ends` that this call borrows alone and does not touch before it has set
//!    null again. OpenSSL calls the callbacks on this thread, one at a time, within such a call;
//!    outside of one they find null and do nothing.
//! 4. **Bytes.** OpenSSL gives a callback `length` bytes to be read, or room for as many, which it
//!    does not touch meanwhile and which lie in no buffer of `Ends`: a call borrows its plaintext
//!    apart from them. The room is only written, never read.
//! 5. **Method.** It is made once, filled before it is shared, never changed and never freed.
//! 6. **Panics.** Callbacks are `extern "C"`: one that panics aborts.

#![expect(unsafe_code, reason = "a BIO calls back, with pointers")]

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::LazyLock;

use core_buf::Buffer;
use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslRef};
use openssl_sys as sys;

use super::session::{clear_errors, take_bio};

/// The ciphertext on both sides of a call.
#[derive(Debug)]
pub(crate) struct Ends<'a> {
    pub(crate) incoming: &'a mut Buffer,
    pub(crate) outgoing: &'a mut Buffer,
    /// Nothing is put out any more.
    pub(crate) is_mute: bool,
}

/// Why a call ended without what it was to do.
#[derive(Debug)]
pub(crate) struct Stop {
    /// `WANT_READ` where all that has arrived is used up, `ZERO_RETURN` behind the peer's goodbye.
    pub(crate) code: ErrorCode,
    /// OpenSSL's errors, first to last.
    pub(crate) errors: ErrorStack,
}

/// An SSL object that reads and writes lent buffers.
pub(crate) struct Linked(Ssl);

impl Linked {
    /// Puts an object between buffers, whatever it stood between before.
    pub(crate) fn new(ssl: Ssl) -> Result<Self, ErrorStack> {
        clear_errors();
        let Some(method) = METHOD.as_ref() else { return Err(ErrorStack::get()) };
        // SAFETY: rules 1 and 5.
        let bio = unsafe { sys::BIO_new(method.0.as_ptr()) };
        if bio.is_null() {
            return Err(ErrorStack::get());
        }
        // SAFETY: rules 1 and 3: a new BIO is ready and has no data. The object takes the one
        // reference, for both directions.
        unsafe { sys::SSL_set_bio(ssl.as_ptr(), bio, bio) };
        Ok(Self(ssl))
    }

    pub(crate) fn ssl(&self) -> &SslRef {
        &self.0
    }

    /// The object without its BIO. What it has read and not given is still inside it.
    pub(crate) fn into_ssl(self) -> Ssl {
        // SAFETY: rule 2; nothing of this file knows the object any more.
        unsafe { take_bio(&self.0) };
        self.0
    }

    /// Goes on with a handshake.
    pub(crate) fn do_handshake(&mut self, ends: &mut Ends<'_>) -> Result<(), Stop> {
        // SAFETY: rules 1 and 2.
        self.call(ends, |ssl| unsafe { sys::SSL_do_handshake(ssl) })
    }

    /// Decrypts to `out`, which is not empty; says how many bytes.
    pub(crate) fn read(&mut self, ends: &mut Ends<'_>, out: &mut [u8]) -> Result<usize, Stop> {
        let mut count = 0;
        // SAFETY: rules 1 and 2; the pointer and the length are those of one exclusive slice.
        self.call(ends, |ssl| unsafe {
            sys::SSL_read_ex(ssl, out.as_mut_ptr().cast(), out.len(), &raw mut count)
        })?;
        Ok(count)
    }

    /// Encrypts from `bytes`, which are not empty; says how many.
    pub(crate) fn write(&mut self, ends: &mut Ends<'_>, bytes: &[u8]) -> Result<usize, Stop> {
        let mut count = 0;
        // SAFETY: rules 1 and 2; the pointer and the length are those of one slice.
        self.call(ends, |ssl| unsafe {
            sys::SSL_write_ex(ssl, bytes.as_ptr().cast(), bytes.len(), &raw mut count)
        })?;
        Ok(count)
    }

    /// Puts out a goodbye, if none was yet.
    pub(crate) fn shutdown(&mut self, ends: &mut Ends<'_>) -> Result<(), Stop> {
        // Nought says that the peer's goodbye is not there yet, which is no failure.
        // SAFETY: rules 1 and 2.
        self.call(ends, |ssl| match unsafe { sys::SSL_shutdown(ssl) } {
            0 => 1,
            other => other,
        })
    }

    /// Lends both ends for a call, and says why it did not succeed: its result is not above nought.
    fn call(
        &mut self,
        ends: &mut Ends<'_>,
        call: impl FnOnce(*mut sys::SSL) -> c_int,
    ) -> Result<(), Stop> {
        clear_errors();
        let ssl = self.0.as_ptr();
        // SAFETY: rules 1 and 2.
        let bio = unsafe { sys::SSL_get_rbio(ssl) };
        // SAFETY: rules 2 and 3.
        unsafe { sys::BIO_set_data(bio, ptr::from_mut(ends).cast()) };
        let result = call(ssl);
        // SAFETY: rules 2 and 3.
        unsafe { sys::BIO_set_data(bio, ptr::null_mut()) };
        if result > 0 {
            return Ok(());
        }
        // SAFETY: rules 1 and 2; nothing was asked of this thread's OpenSSL since the call.
        let code = ErrorCode::from_raw(unsafe { sys::SSL_get_error(ssl, result) });
        Err(Stop { code, errors: ErrorStack::get() })
    }
}

/// A method of BIOs, complete.
struct Method(NonNull<sys::BIO_METHOD>);

// SAFETY: rule 5.
unsafe impl Send for Method {}
// SAFETY: rule 5.
unsafe impl Sync for Method {}

/// The method of all BIOs of this file; none where OpenSSL has no memory for it.
static METHOD: LazyLock<Option<Method>> = LazyLock::new(|| {
    // SAFETY: rules 1 and 5; the name is copied.
    let method = unsafe { sys::BIO_meth_new(sys::BIO_TYPE_NONE, c"lent buffers".as_ptr()) };
    let method = NonNull::new(method)?;
    let made = method.as_ptr();
    // SAFETY: rules 1, 5 and 6; these calls only store what they are given.
    unsafe { sys::BIO_meth_set_write__fixed_rust(made, Some(put_out)) };
    // SAFETY: as above.
    unsafe { sys::BIO_meth_set_read__fixed_rust(made, Some(take_in)) };
    // SAFETY: as above.
    unsafe { sys::BIO_meth_set_ctrl__fixed_rust(made, Some(control)) };
    Some(Method(method))
});

/// Whatever is lent to a BIO now.
///
/// # Safety
/// `bio` is one of this file's, and OpenSSL has called back with it; what is returned is not used
/// beyond that callback.
unsafe fn lent<'a>(bio: *mut sys::BIO) -> Option<&'a mut Ends<'a>> {
    // SAFETY: rules 1 and 2.
    let data = unsafe { sys::BIO_get_data(bio) };
    // SAFETY: rule 3.
    unsafe { data.cast::<Ends<'a>>().as_mut() }
}

unsafe extern "C" fn put_out(bio: *mut sys::BIO, bytes: *const c_char, length: c_int) -> c_int {
    // SAFETY: rules 3 and 4.
    let Some(ends) = (unsafe { lent(bio) }) else { return -1 };
    let count = usize::try_from(length).unwrap_or(0);
    if count > 0 && !ends.is_mute {
        // SAFETY: rule 4.
        ends.outgoing.add(unsafe { slice::from_raw_parts(bytes.cast(), count) });
    }
    length
}

unsafe extern "C" fn take_in(bio: *mut sys::BIO, room: *mut c_char, length: c_int) -> c_int {
    // SAFETY: rule 1.
    unsafe { sys::BIO_clear_retry_flags(bio) };
    let mut taken = 0;
    let room_len = usize::try_from(length).unwrap_or(0);
    // SAFETY: rule 3.
    if let Some(ends) = unsafe { lent(bio) } {
        while taken < room_len {
            let first = ends.incoming.first();
            let count = first.len().min(room_len - taken);
            if count == 0 {
                break;
            }
            let to = room.cast::<u8>().wrapping_add(taken);
            // SAFETY: rule 4; `taken + count` is at most the length of the room.
            unsafe { ptr::copy_nonoverlapping(first.as_ptr(), to, count) };
            ends.incoming.drain(count);
            taken += count;
        }
    }
    if taken == 0 {
        // SAFETY: rule 1.
        unsafe { sys::BIO_set_retry_read(bio) };
        return -1;
    }
    c_int::try_from(taken).unwrap_or(length)
}

unsafe extern "C" fn control(
    _: *mut sys::BIO,
    command: c_int,
    _: c_long,
    _: *mut c_void,
) -> c_long {
    // What is put out is where it belongs at once; of everything else it knows nothing.
    c_long::from(command == sys::BIO_CTRL_FLUSH)
}
