//! One visit: a request, its answer, and an end that lets the answer arrive.
//!
//! Owns how far the visit is. A page is written at once; figures are collected a slice in each turn
//! and then written a piece at a time, the next when the last has left. After the answer the
//! sending side is closed, and what the visitor still sends is read and dropped until it closes
//! too: a socket closed with unread bytes resets, and the answer would be lost with it.
//!
//! One request a connection: an answer says so, and a visitor comes once in seconds.

use std::fmt::Write as _;
use std::sync::Arc;

use core_buf::{Event, EventFlags, Trigger};
use groups::Direction;

use super::exposition::{self, Exposition};
use super::request::{self, Page, Refusal, Request};
use super::snapshot::Collection;
use crate::context::Context;
use crate::handle::Shared;
use crate::handler::Handler;
use crate::reactor::{Core, TimerId};

/// Bytes of a piece of the figures, or a sample more.
const PIECE_BYTES: usize = 32 << 10;

/// Nothing from anywhere else, and nothing inline: what a group is called cannot become a program.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

enum State {
    /// The request is still to come.
    Asked,
    Collecting(Box<Collection>),
    Writing(Box<Exposition>),
    Answered,
}

/// The handler of a visit.
pub(super) struct Visit {
    shared: Arc<Shared>,
    state: State,
    /// The body goes in pieces, each with its length.
    chunks: bool,
    /// The visitor sends no more, or the core drains: closes with the answer.
    is_last: bool,
    deadline: TimerId,
}

impl Visit {
    pub(super) fn new(shared: Arc<Shared>, deadline: TimerId) -> Self {
        Self { shared, state: State::Asked, chunks: false, is_last: false, deadline }
    }

    fn answer(&mut self, cx: &mut Context<'_>, request: Request) {
        cx.me().disable(Direction::Read);
        let why;
        let (kind, body) = match request.page {
            Ok(Page::Metrics) => return self.begin(cx, request),
            Ok(Page::Live) => ("text/html", include_str!("page/page.html")),
            Ok(Page::Script) => ("text/javascript", include_str!("page/page.js")),
            Ok(Page::Style) => ("text/css", include_str!("page/page.css")),
            Err(refusal) => {
                why = format!("{}\n", refusal.status());
                ("text/plain", &*why)
            }
        };
        put(cx, request, kind, body);
        self.finish(cx);
    }

    /// Begins to answer with figures; they follow in the write callbacks.
    fn begin(&mut self, cx: &mut Context<'_>, request: Request) {
        self.chunks = request.takes_chunks;
        let fields = if self.chunks { "Transfer-Encoding: chunked\r\n" } else { "" };
        put_head(cx, "200 OK", exposition::CONTENT_TYPE, fields);
        if request.head_only {
            return self.finish(cx);
        }
        // What this core has done up to here is shown too, this visit included.
        cx.core().publish();
        self.state = State::Collecting(Box::new(Collection::begin(self.shared.clone())));
    }

    /// Takes one more slice of the snapshot, and the next in the next turn.
    fn collect(&mut self, cx: &mut Context<'_>) {
        let State::Collecting(collection) = &mut self.state else { return };
        if let Some(snapshot) = collection.step() {
            self.state = State::Writing(Box::new(Exposition::new(snapshot)));
            return self.write(cx);
        }
        let (id, core) = (cx.id(), cx.core());
        let next = core.submit_to(core.index(), move |core: &mut Core| {
            if let Some(mut visit) = core.get(id) {
                visit.trigger(Direction::Write, Trigger::Always).expect("no filter stands over it");
            }
        });
        next.expect("this core has its own number");
    }

    /// Writes one more piece.
    fn write(&mut self, cx: &mut Context<'_>) {
        let State::Writing(exposition) = &mut self.state else { return };
        let mut piece = String::with_capacity(PIECE_BYTES + 1024);
        let more = exposition.write(&mut piece, PIECE_BYTES);
        let mut output = cx.buffers().1;
        if self.chunks && !piece.is_empty() {
            output.add(format!("{:x}\r\n", piece.len()).as_bytes());
            piece.push_str("\r\n");
        }
        output.add_owner(piece);
        if !more {
            if self.chunks {
                output.add(b"0\r\n\r\n");
            }
            self.finish(cx);
        }
    }

    /// The answer is whole: no more is sent, and the visitor closes when it has it.
    fn finish(&mut self, cx: &mut Context<'_>) {
        self.state = State::Answered;
        // Input at its mark would keep the end of the stream from being read.
        cx.buffers().0.drain(usize::MAX);
        match self.is_last {
            true => self.leave(cx),
            false => self.await_end(cx),
        }
    }

    /// Ends the sending side and reads on, once the answer has left: until then a visitor is not
    /// silent but busy reading, at the pace that the timeout of the writes allows.
    fn await_end(&mut self, cx: &mut Context<'_>) {
        if cx.buffers().1.is_empty() {
            cx.me().shutdown_write();
            cx.me().enable(Direction::Read);
        }
    }

    /// Closes, after what is left to write.
    fn leave(&mut self, cx: &mut Context<'_>) {
        cx.core().cancel(self.deadline);
        cx.me().close_within(super::PATIENCE);
    }
}

impl Handler for Visit {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut input = cx.buffers().0;
        match self.state {
            State::Asked => {
                let count = input.len();
                let head = input.pull_up(count).unwrap_or_default();
                if let Some(request) = request::judge(head) {
                    self.answer(cx, request);
                }
            }
            State::Answered => {
                input.drain(usize::MAX);
            }
            State::Collecting(_) | State::Writing(_) => {}
        }
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Collecting(_) => self.collect(cx),
            State::Writing(_) => self.write(cx),
            State::Answered => self.await_end(cx),
            State::Asked => {}
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if event.flags.intersects(EventFlags::ERROR | EventFlags::TIMEOUT) {
            cx.core().cancel(self.deadline);
            cx.me().close_now();
        } else if event.flags.contains(EventFlags::EOF) {
            self.on_drain(cx);
        }
    }

    fn on_drain(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Asked | State::Answered => self.leave(cx),
            State::Collecting(_) | State::Writing(_) => self.is_last = true,
        }
    }
}

/// Puts a whole answer, or its head if that is all that was asked for.
fn put(cx: &mut Context<'_>, request: Request, kind: &str, body: &str) {
    let mut fields = format!("Content-Length: {}\r\n", body.len());
    if request.page == Err(Refusal::MethodNotAllowed) {
        fields.push_str("Allow: GET, HEAD\r\n");
    }
    let status = request.page.map_or_else(Refusal::status, |_| "200 OK");
    put_head(cx, status, &format!("{kind}; charset=utf-8"), &fields);
    if !request.head_only {
        cx.buffers().1.add(body.as_bytes());
    }
}

fn put_head(cx: &mut Context<'_>, status: &str, kind: &str, fields: &str) {
    let mut head = String::with_capacity(512);
    write!(
        head,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{fields}Cache-Control: no-store\r\n\
         Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    )
    .expect("a string can be written to");
    cx.buffers().1.add(head.as_bytes());
}
