//! Data channels against a remote that sends too much, too large or nonsense.

use proptest::prelude::*;

use super::*;

/// So that damaged packets get past the checksum.
fn sealed(datagram: Vec<u8>) -> Vec<u8> {
    if datagram.len() >= 12 { abandoned::with_checksum(datagram) } else { datagram }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), is_client: bool) {
        let mut end = DataTransport::new(is_client, media(), start());
        end.on_datagram(&sealed(bytes), start());
        while end.poll_transmit().is_some() {}
    }

    #[test]
    fn damaged_datagrams_with_a_right_checksum_do_not_panic(at in 0_usize..400, value: u8, cut in 0_usize..1_200,
                                                             nth in 0_usize..12) {
        let mut pair = Pair::new(0, 0);
        pair.ends[1].open("chat", false, Reliability::MaxRetransmits(1)).expect("room");
        for round in 0..8 {
            pair.gather();
            for (number, (_, (end, mut datagram))) in std::mem::take(&mut pair.flying).into_iter().enumerate() {
                if round + number == nth {
                    let place = at % datagram.len();
                    datagram[place] = value;
                    datagram.truncate(cut.max(4));
                    datagram = sealed(datagram);
                }
                pair.ends[end].on_datagram(&datagram, pair.now);
            }
            let _ = pair.ends[1].say("chat", &[7; 1_500], true);
            pair.now += Duration::from_millis(700);
            pair.ends.iter_mut().for_each(|end| end.handle_timeout(pair.now));
        }
    }
}

#[test]
fn a_channel_too_many_is_reset_and_the_others_go_on() {
    let mut pair = Pair::connected(0, 0);
    for n in 1..MAX_CHANNELS {
        pair.ends[1].open(&format!("{n}"), true, Reliability::Reliable).expect("room");
    }
    assert_eq!(pair.ends[1].open("more", true, Reliability::Reliable), Err(DataError::TooManyChannels));
    pair.run(Duration::from_secs(5));
    let more = Message::Open(Channel::wanted("more", true, Reliability::Reliable).opening()).to_bytes();
    assert!(pair.ends[1].link.open(&more, true, Reliability::Reliable).is_some());
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.ends[0].refusals, 1);
    pair.ends[1].say("1", b"still here", false).expect("open");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.payloads(0), [b"still here"]);
}

#[test]
fn a_remote_that_is_refused_too_often_is_cut_off() {
    let mut pair = Pair::connected(0, 0);
    pair.ends[0].refusals = MAX_REFUSALS;
    assert!(pair.ends[1].link.open(b"nonsense", true, Reliability::Reliable).is_some());
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.events[0].last(), Some(&closed("chat")));
    assert_eq!(pair.ends[0].open("new", true, Reliability::Reliable), Err(DataError::Lost));
}

#[test]
fn a_label_twice_is_refused() {
    let mut pair = Pair::connected(0, 0);
    let twice = Message::Open(Channel::wanted("chat", true, Reliability::Reliable).opening()).to_bytes();
    assert!(pair.ends[1].link.open(&twice, true, Reliability::Reliable).is_some());
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[0].refusals, 1);
    assert_eq!(pair.events[0], [opened("chat", true, Reliability::Reliable)]);
}

#[test]
fn what_is_too_large_or_too_much_is_refused_and_nothing_is_lost() {
    let mut pair = Pair::connected(0, 0);
    assert_eq!(pair.ends[0].say("chat", &vec![0; MAX_MESSAGE_BYTES + 1], true), Err(DataError::TooLarge));
    let mut sent = 0;
    while pair.ends[0].say("chat", &vec![0; MAX_MESSAGE_BYTES], true).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, MAX_BUFFERED_BYTES / MAX_MESSAGE_BYTES - 1, "each takes a little more than its payload");
    assert_eq!(pair.ends[0].say("chat", &vec![0; MAX_MESSAGE_BYTES], true), Err(DataError::BufferFull));
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.payloads(1).len(), sent);
}

#[test]
fn unread_events_stop_at_the_cap_and_nothing_is_lost() {
    let mut pair = Pair::connected(0, 0);
    for n in 0..1_000_u32 {
        pair.ends[1].say("chat", &n.to_be_bytes(), true).expect("open");
    }
    for _ in 0..200 {
        while let Some(datagram) = pair.ends[1].poll_transmit() {
            pair.ends[0].on_datagram(&datagram, pair.now);
        }
        pair.now += Duration::from_millis(250);
        let now = pair.now;
        pair.ends.iter_mut().for_each(|end| end.handle_timeout(now));
        while let Some(datagram) = pair.ends[0].poll_transmit() {
            pair.ends[1].on_datagram(&datagram, pair.now);
        }
        assert!(pair.ends[0].events.len() <= MAX_EVENTS);
    }
    pair.run(Duration::from_secs(5));
    let expected: Vec<Vec<u8>> = (0..1_000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(pair.payloads(0), expected);
}

#[test]
fn many_tiny_messages_do_not_make_a_datagram_too_large() {
    let mut pair = Pair::connected(0, 0);
    for _ in 0..3_000 {
        pair.ends[0].say("chat", b"x", true).expect("open");
    }
    let mut largest = 0;
    for _ in 0..100 {
        while let Some(datagram) = pair.ends[0].poll_transmit() {
            largest = largest.max(datagram.len());
            pair.ends[1].on_datagram(&datagram, pair.now);
        }
        while pair.ends[1].poll_event().is_some() {}
        pair.now += Duration::from_millis(250);
        let now = pair.now;
        pair.ends.iter_mut().for_each(|end| end.handle_timeout(now));
        while let Some(datagram) = pair.ends[1].poll_transmit() {
            pair.ends[0].on_datagram(&datagram, pair.now);
        }
    }
    assert!((1_000..=MAX_DATAGRAM_SENT_BYTES).contains(&largest), "{largest}");
}
