//! One HTTP request, as far as it matters here: which page is asked for, and how.
//!
//! Owns what is understood of a request head, which is little, and what is answered to the rest.
//! The head is parsed by httparse; here its outcome is judged. Pure: bytes in, a decision out.
//!
//! Never looks at more than [`HEAD_MAX`] bytes: whoever sends a longer head is told so.

/// Most bytes of a request up to the end of its head.
pub(super) const HEAD_MAX: usize = 8 << 10;

/// Most header fields of a request.
const FIELDS_MAX: usize = 64;

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The live page, its script and its style.
    Live,
    Script,
    Style,
    Metrics,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    NotFound,
    MethodNotAllowed,
    TooLong,
}

impl Refusal {
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::TooLong => "431 Request Header Fields Too Large",
        }
    }
}

/// A request that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) page: Page,
    /// The head of the answer only.
    pub(super) head_only: bool,
    /// The client knows a body that comes in pieces, each with its length.
    pub(super) takes_chunks: bool,
}

/// Judges what has come of a request; `None` if its head is not whole yet.
pub(super) fn judge(bytes: &[u8]) -> Option<Result<Request, Refusal>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Refusal::TooLong));
        }
        Err(_) => return Some(Err(Refusal::Malformed)),
    }
    let head_only = match head.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Some(Err(Refusal::MethodNotAllowed)),
    };
    let path = head.path.and_then(|path| path.split('?').next());
    let page = match path {
        Some("/") => Page::Live,
        Some("/page.js") => Page::Script,
        Some("/page.css") => Page::Style,
        Some("/metrics") => Page::Metrics,
        _ => return Some(Err(Refusal::NotFound)),
    };
    Some(Ok(Request { page, head_only, takes_chunks: head.version == Some(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(page: Page) -> Option<Result<Request, Refusal>> {
        Some(Ok(Request { page, head_only: false, takes_chunks: true }))
    }

    #[test]
    fn a_page_is_found_by_its_path_whatever_the_query() {
        for (path, page) in [
            ("/", Page::Live),
            ("/?seconds=2", Page::Live),
            ("/page.js", Page::Script),
            ("/page.css", Page::Style),
            ("/metrics", Page::Metrics),
            ("/metrics?name[]=a", Page::Metrics),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(judge(request.as_bytes()), get(page), "{path}");
        }
        for path in ["/metrics/", "/Metrics", "//", "http://a/metrics", "*"] {
            let request = format!("GET {path} HTTP/1.1\r\n\r\n");
            assert_eq!(judge(request.as_bytes()), Some(Err(Refusal::NotFound)), "{path}");
        }
    }

    #[test]
    fn a_head_is_waited_for_to_its_last_byte() {
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(judge(&request[..end]), None, "{end} bytes");
        }
        assert_eq!(judge(request), get(Page::Metrics));
    }

    #[test]
    fn an_old_client_gets_no_pieces_and_a_head_asks_for_no_body() {
        let request = |head_only, takes_chunks| {
            Some(Ok(Request { page: Page::Metrics, head_only, takes_chunks }))
        };
        assert_eq!(judge(b"GET /metrics HTTP/1.0\r\n\r\n"), request(false, false));
        assert_eq!(judge(b"HEAD /metrics HTTP/1.1\r\n\r\n"), request(true, true));
    }

    #[test]
    fn other_methods_and_garbage_are_refused() {
        for method in ["POST", "PUT", "OPTIONS", "get", "PRI"] {
            let request = format!("{method} /metrics HTTP/1.1\r\n\r\n");
            assert_eq!(judge(request.as_bytes()), Some(Err(Refusal::MethodNotAllowed)), "{method}");
        }
        for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/2.0\r\n\r\n", b"\0\0\0"] {
            assert_eq!(judge(garbage), Some(Err(Refusal::Malformed)), "{garbage:?}");
        }
    }

    #[test]
    fn a_head_has_a_longest_length_and_a_most_of_fields() {
        let long = |bytes: usize| {
            let mut request = b"GET / HTTP/1.1\r\nA: ".to_vec();
            request.resize(bytes, b'a');
            request
        };
        assert_eq!(judge(&long(HEAD_MAX - 1)), None);
        assert_eq!(judge(&long(HEAD_MAX)), Some(Err(Refusal::TooLong)));
        let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(judge(fields(FIELDS_MAX).as_bytes()), get(Page::Live));
        assert_eq!(judge(fields(FIELDS_MAX + 1).as_bytes()), Some(Err(Refusal::TooLong)));
    }
}
