//! Sources in the output of a bufferevent: sent in order and once, or the stream ends in error.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use sluicegate_core_buf::testing::{Fault, Faults, Link, LinkOptions, MemorySource, Rig, Side};
use sluicegate_core_buf::{Callback, EventFlags};
use sluicegate_groups::Time;

fn body() -> Vec<u8> {
    (0..5_000).map(|i| (i % 251) as u8).collect()
}

/// A sends a head, a source and a tail, and closes; returns what B has received.
fn send(source: MemorySource, faults: Faults) -> (Vec<u8>, Rig) {
    let link = LinkOptions { capacity: 1_500, ..LinkOptions::default() };
    let mut rig = Rig::new(Link::new(link, faults));
    let sender = rig.stream(Side::A);
    let output = sender.buffers().1;
    output.add(b"head");
    output.add_source(Arc::new(source)).expect("within the limit");
    output.add(b"tail");
    sender.close(Time::ZERO + Duration::from_secs(30));
    let mut seen = Vec::new();
    rig.run(Time::MAX, &mut |_side, _now, stream, callback| {
        if let Callback::Read = callback {
            let input = stream.buffers().0;
            seen.extend(input.to_vec());
            input.clear();
        }
    });
    (seen, rig)
}

fn whole() -> Vec<u8> {
    [&b"head"[..], &body(), b"tail"].concat()
}

#[test]
fn source_arrives_between_what_was_added_around_it() {
    for step in [1, 700, 100_000] {
        let (seen, mut rig) = send(MemorySource::new(body()).in_steps(step), Faults::none());
        assert_eq!(seen, whole(), "step {step}");
        let sender = rig.stream(Side::A);
        assert!(sender.is_closed() && !sender.is_truncated(), "step {step}: {sender:?}");
    }
}

#[test]
fn a_fault_at_any_operation_changes_nothing() {
    let (_, mut rig) = send(MemorySource::new(body()), Faults::none());
    let operations = rig.link().operations();
    assert!(operations > 10, "the room of the link was reached, in {operations} operations");
    for operation in 0..operations {
        for fault in [Fault::Short, Fault::WouldBlock, Fault::Interrupted] {
            let source = MemorySource::new(body()).in_steps(400);
            let (seen, _) = send(source, Faults::once(operation, fault));
            assert_eq!(seen, whole(), "{fault:?} at operation {operation}");
        }
    }
}

#[test]
fn stream_of_a_source_that_fails_ends_truncated() {
    let kind = ErrorKind::PermissionDenied;
    let failing = MemorySource::new(body()).failing_at(3_000, kind);
    let short = MemorySource::new(&body()[..3_000]).claiming(5_000);
    for source in [failing, short] {
        let (seen, mut rig) = send(source, Faults::none());
        assert_eq!(seen, whole()[..3_004]);
        let sender = rig.stream(Side::A);
        assert!(sender.is_closed() && sender.is_truncated(), "{sender:?}");
    }
}

#[test]
fn failed_source_is_one_error_that_names_its_place() {
    let source = MemorySource::new(body()).failing_at(3_000, ErrorKind::PermissionDenied);
    let mut rig = Rig::new(Link::new(LinkOptions::default(), Faults::none()));
    rig.stream(Side::A).buffers().1.add_source(Arc::new(source)).expect("within the limit");
    let mut errors = Vec::new();
    rig.run(Time::MAX, &mut |side, now, stream, callback| {
        if let (Side::A, Callback::Event(event)) = (side, callback) {
            assert!(event.flags.contains(EventFlags::WRITING | EventFlags::ERROR));
            errors.extend(event.error);
            stream.close(now);
        }
    });
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().starts_with("reading a source at byte 3000 failed"), "{error}");
    assert!(rig.stream(Side::A).is_truncated());
}
