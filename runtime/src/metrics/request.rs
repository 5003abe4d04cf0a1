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

/// A request, and what there is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) page: Result<Page, Refusal>,
    /// The head of the answer only, also of one that refuses.
    pub(super) head_only: bool,
    /// The client knows a body that comes in pieces, each with its length.
    pub(super) takes_chunks: bool,
}

/// Judges what has come of a request; `None` if its head is not whole yet.
pub(super) fn judge(bytes: &[u8]) -> Option<Request> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let page = match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => find(head.method, head.path.unwrap_or_default()),
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Err(Refusal::TooLong)
        }
        Err(_) => Err(Refusal::Malformed),
    };
    // Both are known as far as the head was understood.
    let head_only = head.method == Some("HEAD");
    Some(Request { page, head_only, takes_chunks: head.version == Some(1) })
}

fn find(method: Option<&str>, target: &str) -> Result<Page, Refusal> {
    if !matches!(method, Some("GET" | "HEAD")) {
        return Err(Refusal::MethodNotAllowed);
    }
    match path_of(target) {
        "/" => Ok(Page::Live),
        "/page.js" => Ok(Page::Script),
        "/page.css" => Ok(Page::Style),
        "/metrics" => Ok(Page::Metrics),
        _ => Err(Refusal::NotFound),
    }
}

/// The path of a request target, which may also name the scheme and the host; any host is this one.
///
/// Source: RFC 9112, 3.2.1 and 3.2.2.
fn path_of(target: &str) -> &str {
    const SCHEME: &str = "http://";
    let is_absolute =
        target.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
    let path = if is_absolute {
        let rest = &target[SCHEME.len()..];
        rest.find(['/', '?']).map_or("", |end| &rest[end..])
    } else {
        target
    };
    let path = path.split('?').next().unwrap_or_default();
    if is_absolute && path.is_empty() { "/" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(page: Page) -> Option<Request> {
        Some(Request { page: Ok(page), head_only: false, takes_chunks: true })
    }

    fn refusal(bytes: &[u8]) -> Option<Refusal> {
        judge(bytes)?.page.err()
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
            ("http://a:9100/metrics?b", Page::Metrics),
            ("HTTP://a/page.js", Page::Script),
            ("http://a", Page::Live),
            ("http://a?seconds=2", Page::Live),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(judge(request.as_bytes()), get(page), "{path}");
        }
        for path in ["/metrics/", "/Metrics", "//", "http://a/b", "ftp://a/metrics", "a", "*", "?"]
        {
            let request = format!("GET {path} HTTP/1.1\r\n\r\n");
            assert_eq!(refusal(request.as_bytes()), Some(Refusal::NotFound), "{path}");
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
            Some(Request { page: Ok(Page::Metrics), head_only, takes_chunks })
        };
        assert_eq!(judge(b"GET /metrics HTTP/1.0\r\n\r\n"), request(false, false));
        assert_eq!(judge(b"HEAD /metrics HTTP/1.1\r\n\r\n"), request(true, true));
    }

    #[test]
    fn other_methods_and_garbage_are_refused() {
        for method in ["POST", "PUT", "OPTIONS", "get", "PRI"] {
            let request = format!("{method} /metrics HTTP/1.1\r\n\r\n");
            let refusal = refusal(request.as_bytes());
            assert_eq!(refusal, Some(Refusal::MethodNotAllowed), "{method}");
        }
        for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/2.0\r\n\r\n", b"\0\0\0"] {
            assert_eq!(refusal(garbage), Some(Refusal::Malformed), "{garbage:?}");
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
        assert_eq!(refusal(&long(HEAD_MAX)), Some(Refusal::TooLong));
        let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(judge(fields(FIELDS_MAX).as_bytes()), get(Page::Live));
        assert_eq!(refusal(fields(FIELDS_MAX + 1).as_bytes()), Some(Refusal::TooLong));
    }
}
