//! One end that moves: its socket to another bufferevent, or all of it to another core.
//!
//! Owns nothing; on its way between cores an end is left alone, as nobody has it.

use sluicegate::{BevMut, Core};

use super::layer::Layer;
use super::side::Side;

impl Side {
    /// Takes the socket out, where there is one, and gives it and what it had to write to another
    /// bufferevent.
    pub(super) fn migrate(&mut self, core: &mut Core) {
        self.take(core, usize::MAX);
        let bev = self.top().and_then(|top| core.get(top));
        let Some(Ok(mut taken)) = bev.map(BevMut::into_socket) else { return };
        match core.adopt(taken.socket, self.hand()) {
            Ok(id) => {
                self.layers = vec![Layer::new(id, None)];
                self.told.end = 0;
                if let Some(mut bev) = core.get(id) {
                    bev.output().append_buffer(&mut taken.output);
                }
            }
            // The peer has reset it, which is told here.
            Err(_) => self.told.errors += 1,
        }
    }

    /// Sends all its layers to the other core, if there is one and they can go.
    pub(super) fn hand_over(&mut self, core: &mut Core) {
        let Some(Ok(detached)) = self.top().map(|top| core.detach(top)) else { return };
        let me = self.me.clone();
        let make = move |top: &mut BevMut<'_>| {
            let me = me.upgrade().expect("the run owns it");
            let mut side = me.lock().expect("no panic while held");
            side.land(top);
            side.hand()
        };
        self.is_away = true;
        self.core = 1 - core.index();
        drop(core.handle().attach(self.core, detached, make).expect("the core runs"));
    }

    /// It has reached the other core, where its layers have other names.
    fn land(&mut self, top: &mut BevMut<'_>) {
        self.is_away = false;
        let mut next = Some(top.id());
        for layer in self.layers.iter_mut().rev() {
            let Some(id) = next else { break };
            layer.id = id;
            next = top.core().get(id).and_then(|bev| bev.underlying());
        }
        let misses = next.is_some() || self.layers[0].id.core() != self.core;
        self.blame(misses, || "it has arrived with other layers".to_owned());
    }
}
