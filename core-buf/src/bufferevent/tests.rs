//! Unit tests of the bufferevent, one for each rule of its state machine.

use super::*;

#[test]
fn a_short_read_clears_the_readable_bit() {
    let mut landing = Landing::new();
    let mut stream = Bufferevent::connected(Time::ZERO);
    let asked = stream.poll_read().expect("a new stream may read");
    landing.space(asked);
    stream.handle_read(Time::ZERO, ReadOutcome::Bytes(3), asked, &mut landing);
    assert_eq!(stream.poll_read(), None);
    assert!(matches!(stream.poll_callback(), Some(Callback::Read)));
}
