//! What the connections of our servers do: echo, give, take.
//!
//! Owns three handlers, each a few lines, because a server that is measured should be one a user
//! would write. The source keeps between one and two pieces of shared data in its output.

use std::sync::Arc;

use sluicegate::{BevMut, Context, Handler};

use super::Prepare;

/// Sends back what arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo;

/// Discards what arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sink;

/// Sends the same data for ever.
#[derive(Clone, Debug)]
pub(super) struct Source {
    piece: Arc<[u8]>,
    /// The most of a single write, if not the default.
    write_bytes: Option<usize>,
}

impl Source {
    pub(super) fn new(piece_bytes: usize, write_bytes: Option<usize>) -> Self {
        Self { piece: vec![b's'; piece_bytes].into(), write_bytes }
    }
}

impl Handler for Echo {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }
}

impl Handler for Sink {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        let count = input.len();
        input.drain(count);
    }
}

impl Handler for Source {
    fn on_write(&mut self, cx: &mut Context<'_>) {
        let (_, mut output) = cx.buffers();
        output.add_shared(Arc::clone(&self.piece));
    }

    /// What is left has no end, so nothing is gained by writing it.
    fn on_drain(&mut self, cx: &mut Context<'_>) {
        cx.me().close_now();
    }
}

impl Prepare for Echo {
    fn prepare(&self, _: &mut BevMut<'_>) -> Self {
        *self
    }
}

impl Prepare for Sink {
    fn prepare(&self, _: &mut BevMut<'_>) -> Self {
        *self
    }
}

impl Prepare for Source {
    fn prepare(&self, connection: &mut BevMut<'_>) -> Self {
        connection.set_write_watermark(self.piece.len(), 0);
        if let Some(bytes) = self.write_bytes {
            connection.set_max_single_write(bytes);
        }
        for _ in 0..2 {
            connection.output().add_shared(Arc::clone(&self.piece));
        }
        self.clone()
    }
}
