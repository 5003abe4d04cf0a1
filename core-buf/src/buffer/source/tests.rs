//! Tests of sources: what is seen of them and when, what fails how, and who lets go of them.

use std::io::{BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::testing::MemorySource;

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

fn good(count: usize) -> Arc<MemorySource> {
    Arc::new(MemorySource::new(bytes(count)))
}

/// Of 100,000 bytes as claimed only 70,000 come.
fn failing(fault: Option<ErrorKind>) -> Buffer {
    let source = MemorySource::new(bytes(70_000)).claiming(100_000).in_steps(30_000);
    let source = match fault {
        Some(kind) => source.failing_at(70_000, kind),
        None => source,
    };
    let mut buffer = Buffer::from(b"head");
    buffer.add_source(Arc::new(source)).expect("within the limit");
    buffer.add(b"tail");
    buffer
}

#[test]
fn source_counts_and_moves_but_is_not_seen() -> Result<(), SourceError> {
    let (mut from, mut to) = (Buffer::from(b"head"), Buffer::new());
    from.add_source(good(100_000))?;
    from.add(b"tail");
    assert_eq!((from.len(), from.loaded(), from.segment_count()), (100_008, 4, 3));
    assert_eq!((from.to_vec(), from.search(b"tail")), (b"head".to_vec(), None));
    assert_eq!(from.pull_up(5), None);
    assert_eq!(from.pull_up(4), Some(&b"head"[..]));
    assert_eq!(from.remove(&mut [0; 10]), 4);
    assert_eq!((from.first(), from.slices().count()), (&[][..], 0));
    from.move_to(&mut to, 10);
    to.prepend(b"x");
    to.load(11)?;
    assert_eq!(to.to_vec(), [b"x", &bytes(10)[..]].concat());
    from.drain(99_989);
    from.load(usize::MAX)?;
    assert_eq!(from.to_vec(), [&bytes(100_000)[99_999..], b"tail"].concat());
    Ok(())
}

#[test]
fn load_reads_no_more_than_is_asked_and_no_more_at_once_than_a_block() -> Result<(), SourceError> {
    let mut buffer = Buffer::from(b"head");
    buffer.add_source(good(200_000))?;
    for (count, loaded) in [(4, 4), (5, 5), (1_000, 1_000), (70_000, 70_000), (1, 70_000)] {
        buffer.load(count)?;
        assert_eq!((buffer.loaded(), buffer.len()), (loaded, 200_004));
    }
    buffer.load(200_004)?;
    assert_eq!(buffer.to_vec(), [b"head", &bytes(200_000)[..]].concat());
    assert!(buffer.slices().all(|slice| slice.len() <= PIECE_BYTES));
    Ok(())
}

#[test]
fn source_that_fails_loses_nothing() {
    let mut buffer = failing(Some(ErrorKind::PermissionDenied));
    for _ in 0..2 {
        match buffer.load(90_000) {
            Err(SourceError::Read { at: 70_000, error }) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((buffer.loaded(), buffer.len()), (70_004, 100_008));
    }
    assert_eq!(buffer.to_vec()[4..], bytes(70_000));
    buffer.load(70_004).expect("that much is there");
}

#[test]
fn source_shorter_than_it_claims_is_an_error_that_says_by_how_much() {
    let mut buffer = failing(None);
    let Err(error) = buffer.load(100_000) else { panic!("30,000 bytes do not exist") };
    assert!(matches!(error, SourceError::Ended { at: 70_000, missing: 30_000 }), "{error}");
    assert_eq!(io::Error::from(error).kind(), ErrorKind::UnexpectedEof);
    assert_eq!((buffer.loaded(), buffer.len()), (70_004, 100_008));
}

#[test]
fn source_that_claims_to_have_overfilled_the_room_is_refused() {
    struct Boaster;
    impl Source for Boaster {
        fn len(&self) -> u64 {
            10
        }
        fn read_at(&self, _: u64, out: &mut [u8]) -> io::Result<usize> {
            Ok(out.len() + 1)
        }
    }
    let mut buffer = Buffer::new();
    buffer.add_source(Arc::new(Boaster)).expect("within the limit");
    let error = buffer.load(10).expect_err("an 11th byte");
    assert_eq!(error.to_string(), "reading a source at byte 0 failed: 11 bytes read into 10");
    assert_eq!((buffer.len(), buffer.loaded()), (10, 0));
}

#[test]
fn source_that_panics_has_failed_and_loses_nothing() {
    struct Fragile;
    impl Source for Fragile {
        fn len(&self) -> u64 {
            10
        }
        fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
            assert!(offset < 4, "asked to");
            out[0] = 7;
            Ok(1)
        }
    }
    let mut buffer = Buffer::from(b"head");
    buffer.add_source(Arc::new(Fragile)).expect("within the limit");
    for _ in 0..2 {
        let error = buffer.load(usize::MAX).expect_err("the fifth byte");
        assert_eq!(error.to_string(), "reading a source at byte 4 failed: the source panicked");
        assert_eq!(
            (buffer.len(), buffer.loaded(), buffer.to_vec()),
            (14, 8, b"head\x07\x07\x07\x07".to_vec())
        );
    }
}

#[test]
fn interrupted_read_is_tried_again() -> Result<(), SourceError> {
    struct Interrupted(AtomicBool);
    impl Source for Interrupted {
        fn len(&self) -> u64 {
            2
        }
        fn read_at(&self, _: u64, out: &mut [u8]) -> io::Result<usize> {
            if self.0.fetch_not(Ordering::Relaxed) {
                return Err(ErrorKind::Interrupted.into());
            }
            out[0] = 7;
            Ok(1)
        }
    }
    let mut buffer = Buffer::new();
    buffer.add_source(Arc::new(Interrupted(AtomicBool::new(true))))?;
    buffer.load(2)?;
    assert_eq!(buffer, [7, 7]);
    Ok(())
}

#[test]
fn range_is_checked_and_relative_to_the_source() -> Result<(), SourceError> {
    let source = good(100);
    for (start, end) in [(0, 101), (101, 101), (51, 50), (0, u64::MAX)] {
        let error = Buffer::new().add_source_range(source.clone(), start..end);
        let error = error.expect_err("not inside");
        assert!(matches!(error, SourceError::OutOfRange { len: 100, .. }), "{error}");
    }
    let mut buffer = Buffer::new();
    buffer.add_source_range(source.clone(), 100..100)?;
    assert_eq!(buffer.segment_count(), 0);
    buffer.add_source_range(source, 10..20)?;
    buffer.load(10)?;
    assert_eq!(buffer, bytes(100)[10..20]);
    Ok(())
}

#[test]
fn length_is_limited_as_it_is_only_claimed() -> Result<(), SourceError> {
    let claim = |claimed| Arc::new(MemorySource::new([]).claiming(claimed));
    let most = Buffer::MAX_LEN as u64;
    let mut buffer = Buffer::new();
    for claimed in [most + 1, u64::MAX] {
        let error = buffer.add_source(claim(claimed)).expect_err("too long");
        assert!(error.to_string().contains("at most 281474976710656"), "{error}");
    }
    buffer.add_source(claim(most))?;
    let error = buffer.add_source(claim(1)).expect_err("full");
    assert!(matches!(error, SourceError::TooLong { added: 1, .. }), "{error}");
    buffer.drain(1);
    buffer.add_source(claim(1))?;
    assert_eq!(buffer.len(), Buffer::MAX_LEN);
    Ok(())
}

#[test]
fn front_source_is_what_is_left_of_it() -> Result<(), SourceError> {
    let mut buffer = Buffer::from(b"head");
    buffer.add_source_range(good(100), 10..100)?;
    assert!(buffer.front_source().is_none());
    buffer.drain(4 + 5);
    let mut out = [0; 200];
    let front = buffer.front_source().expect("nothing before it");
    assert_eq!((front.len(), front.read(&mut out)?, front.read(&mut [])?), (85, 85, 0));
    assert_eq!(out[..85], bytes(100)[15..]);
    assert!(front.file().is_none(), "no file behind it");
    Ok(())
}

#[test]
fn unloaded_bytes_equal_nothing() -> Result<(), SourceError> {
    let mut one = Buffer::from(b"head");
    one.add_source(good(10))?;
    let mut two = Buffer::from(b"head");
    two.add(&bytes(10));
    for (left, right) in [(&one, &two), (&two, &one), (&one, &one)] {
        assert_ne!(left, right);
    }
    assert_ne!(one, two.to_vec()[..]);
    one.load(14)?;
    assert_eq!((&one, &two), (&two, &one));
    Ok(())
}

#[test]
fn standard_readers_read_through() -> io::Result<()> {
    let source = Arc::new(MemorySource::new(bytes(50_000)).in_steps(7_000));
    let expected = [b"head", &bytes(50_000)[..], b"tail"].concat();
    let filled = || -> io::Result<Buffer> {
        let mut buffer = Buffer::from(b"head");
        buffer.add_source(source.clone())?;
        buffer.add(b"tail");
        Ok(buffer)
    };
    let mut seen = Vec::new();
    filled()?.read_to_end(&mut seen)?;
    assert_eq!(seen, expected);
    seen.clear();
    let mut buffer = filled()?;
    while !buffer.fill_buf()?.is_empty() {
        seen.extend(buffer.fill_buf()?);
        let count = buffer.first().len();
        buffer.consume(count);
    }
    assert_eq!(seen, expected);
    assert!(failing(None).read_to_end(&mut seen).is_err());
    Ok(())
}

#[test]
fn source_is_let_go_once_its_last_byte_is_gone() -> Result<(), SourceError> {
    let source = good(100);
    let (mut one, mut two) = (Buffer::new(), Buffer::new());
    one.add_source(source.clone())?;
    two.append_shared(&mut one);
    one.move_to(&mut two, 40);
    assert_eq!(Arc::strong_count(&source), 4);
    two.load(usize::MAX)?;
    assert_eq!(Arc::strong_count(&source), 2);
    one.drain(60);
    assert_eq!(Arc::strong_count(&source), 1);
    Ok(())
}
