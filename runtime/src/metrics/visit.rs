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

    fn answer(&mut self, cx: &mut Context<'_>, request: Result<Request, Refusal>) {
        cx.me().disable(Direction::Read);
        let request = match request {
            Ok(request) => request,
            Err(refusal) => return self.refuse(cx, refusal),
        };
        let (kind, body) = match request.page {
            Page::Live => ("text/html; charset=utf-8", include_str!("page/page.html")),
            Page::Script => ("text/javascript; charset=utf-8", include_str!("page/page.js")),
            Page::Style => ("text/css; charset=utf-8", include_str!("page/page.css")),
            Page::Metrics => return self.begin(cx, request),
        };
        put_head(cx, "200 OK", kind, &format!("Content-Length: {}\r\n", body.len()));
        if !request.head_only {
            cx.buffers().1.add(body.as_bytes());
        }
        self.finish(cx);
    }

    fn refuse(&mut self, cx: &mut Context<'_>, refusal: Refusal) {
        let body = format!("{}\n", refusal.status());
        let mut fields = format!("Content-Length: {}\r\n", body.len());
        if refusal == Refusal::MethodNotAllowed {
            fields.push_str("Allow: GET, HEAD\r\n");
        }
        put_head(cx, refusal.status(), "text/plain; charset=utf-8", &fields);
        cx.buffers().1.add(body.as_bytes());
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
        cx.me().shutdown_write();
        match self.is_last {
            true => self.leave(cx),
            false => cx.me().enable(Direction::Read),
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
            State::Asked | State::Answered => {}
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
