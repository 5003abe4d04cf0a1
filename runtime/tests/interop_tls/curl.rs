//! Our server with curl: HTTPS, trusted and not.

use std::io::Write;

use sluicegate::{Context, Handler, TlsOptions};

use crate::material::Material;
use crate::program::{Program, is_there};
use crate::rig::{Server, pattern};

const BODY_BYTES: usize = 1 << 20;

/// Answers each request for a page with the same, and closes.
struct Page;

impl Handler for Page {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        if me.input().search(b"\r\n\r\n").is_none() {
            return;
        }
        let mut answer = Vec::from(&b"HTTP/1.1 200 OK\r\nConnection: close\r\n"[..]);
        write!(answer, "Content-Length: {BODY_BYTES}\r\n\r\n").expect("a vector takes bytes");
        answer.extend(pattern(BODY_BYTES));
        me.output().add(&answer);
        me.close();
    }
}

#[test]
fn curl_gets_a_page_under_each_version() {
    if !is_there("curl") {
        return;
    }
    let material = Material::new();
    let config = material.accepting().alpn(["http/1.1"]).build().expect("a server");
    let server = Server::start(2, move |conn| {
        conn.tls_accept(&config, TlsOptions::new()).expect("it has just been accepted");
        Page
    });
    let (root, page) = (material.path("server.pem"), material.path("page"));
    let url = format!("https://localhost:{}/", server.addr.port());
    let resolve = format!("localhost:{}:127.0.0.1", server.addr.port());
    for max in ["1.2", "1.3"] {
        let fixed = ["-q", "-sS", "--fail", "--noproxy", "*", "--resolve", &resolve, "-o", &page];
        let tls = ["--tlsv1.2", "--tls-max", max, "--cacert", &root, &url];
        Program::start("curl", &[&fixed[..], &tls].concat()).assert_success();
        assert!(std::fs::read(&page).expect("it was written") == pattern(BODY_BYTES), "{max}");
    }
    server.wait_until_empty();
    assert_eq!(server.sum(|core| core.handshakes), 2);
}
