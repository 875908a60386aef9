//! Frames that are cut anywhere, too long, or none.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// A stream that gives and takes a few bytes at a time.
struct Trickle<'a>(Cursor<&'a [u8]>, usize);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.1.max(1));
        self.0.read(&mut into[..most])
    }
}

fn raw(length: u32, kind: u8, worker: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = worker.to_be_bytes();
    [length.to_be_bytes().as_slice(), &[kind, 0, high, low], payload].concat()
}

type Seen = Result<(Kind, u16, Vec<u8>), FrameError>;

/// Everything that can be read of these bytes, and the most that was kept of them.
fn read_all(bytes: &[u8], step: usize) -> (Vec<Seen>, usize) {
    let (mut reader, mut stream) = (FrameReader::default(), Trickle(Cursor::new(bytes), step));
    let (mut seen, mut most) = (Vec::new(), 0);
    while reader.fill(&mut stream).expect("memory does not fail") != Filled::End {
        most = most.max(reader.bytes.len());
        while let Some(frame) = reader.take() {
            seen.push(frame.map(|frame| (frame.kind, frame.worker, frame.payload.to_vec())));
        }
    }
    (seen, most)
}

#[test]
fn a_frame_that_is_too_long_is_passed_over_and_the_next_one_is_read() {
    let long = MAX_PAYLOAD + 1;
    let mut bytes = raw(long as u32, 2, 0, &vec![7; long]);
    bytes.extend(raw(2, 2, 3, b"hi"));
    for step in [1_000, 65_536, usize::MAX] {
        let (seen, most) = read_all(&bytes, step);
        let expected = vec![Err(FrameError::TooLong { length: long as u32 }), Ok((Kind::Request, 3, b"hi".to_vec()))];
        assert_eq!(seen, expected);
        assert!(most <= MAX_READ, "nothing of it is kept: {most}");
    }
}

#[test]
fn at_most_the_longest_frame_and_one_read_are_kept() {
    let bytes = raw(MAX_PAYLOAD as u32, 2, 0, &vec![7; MAX_PAYLOAD]).repeat(3);
    for step in [1_000, 65_536, usize::MAX] {
        let (seen, most) = read_all(&bytes, step);
        assert!(seen.len() == 3 && seen.iter().all(Result::is_ok));
        assert!(most > MAX_PAYLOAD, "a frame is kept until all of it is here: {most}");
        assert!(most <= HEADER + MAX_PAYLOAD + MAX_READ, "{most}");
    }
}

#[test]
fn a_kind_that_there_is_not_is_passed_over() {
    let bytes = [raw(3, 77, 0, b"abc"), raw(0, 4, 0, b"")].concat();
    let expected = vec![Err(FrameError::UnknownKind { number: 77 }), Ok((Kind::Stop, 0, Vec::new()))];
    assert_eq!(read_all(&bytes, 5).0, expected);
}

#[test]
fn every_kind_has_a_number_of_its_own() {
    let kinds: Vec<Kind> = (0..=u8::MAX).filter_map(Kind::of).collect();
    assert_eq!(kinds.len(), 10);
    assert!(kinds.iter().all(|kind| Kind::of(*kind as u8) == Some(*kind)));
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        frames in prop::collection::vec((1_u8..=10, any::<u16>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        step in 1_usize..400,
    ) {
        let mut writer = FrameWriter::default();
        for (kind, worker, payload) in &frames {
            writer.push(Kind::of(*kind).expect("one of them"), *worker, payload);
        }
        let mut bytes = Vec::new();
        writer.flush(&mut bytes).expect("memory takes everything");
        prop_assert_eq!(writer.waiting(), 0);
        let (seen, _) = read_all(&bytes, step);
        let expected: Vec<Seen> =
            frames.into_iter().map(|(kind, worker, payload)| Ok((Kind::of(kind).expect("one"), worker, payload))).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn whatever_the_bytes_are_the_same_is_read_of_them_however_they_are_cut(
        // Mostly zeros, so that there are short lengths and kinds that there are not.
        bytes in prop::collection::vec(prop_oneof![4 => Just(0), 1 => any::<u8>()], 0..4_000),
        step in 1_usize..4_000,
    ) {
        prop_assert_eq!(read_all(&bytes, step).0, read_all(&bytes, usize::MAX).0);
    }
}
