//! Datagrams over loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use super::receive::{BUFFERS, ReceiveArena};
use super::send::SendArena;
use super::*;
use crate::engine::transmit::{Group, TransmitBatch};

const OPTIONS: UdpOptions = UdpOptions { receive_buffer: 200_000, send_buffer: 200_000, offload: true };

fn port(ip: impl Into<IpAddr>, offload: bool) -> UdpPort {
    let options = UdpOptions { offload, ..OPTIONS };
    UdpPort::bind(SocketAddr::new(ip.into(), 0), options, &mut Vec::new()).expect("loopback can be bound")
}

fn batch(groups: &[(SocketAddr, usize, usize)]) -> TransmitBatch {
    let mut batch = TransmitBatch::default();
    for &(destination, segment_size, length) in groups {
        let start = batch.bytes.len();
        batch.bytes.extend((0..length).map(|at| (at / segment_size) as u8));
        batch.groups.push(Group { destination, source: None, segment_size, range: start..start + length });
    }
    batch
}

/// Reads until nothing comes: over loopback what was sent is there.
fn read_all(port: &mut UdpPort) -> Vec<(SocketAddr, IpAddr, Vec<u8>)> {
    let mut arena = ReceiveArena::default();
    let mut all = Vec::new();
    loop {
        let received = arena.receive(port, |batch| {
            all.extend(batch.iter().map(|datagram| (datagram.source, datagram.destination, datagram.bytes.to_vec())));
        });
        if received.expect("the socket works").datagrams == 0 {
            return all;
        }
    }
}

fn sizes(received: &[(SocketAddr, IpAddr, Vec<u8>)]) -> Vec<usize> {
    received.iter().map(|(_, _, bytes)| bytes.len()).collect()
}

#[test]
fn a_group_leaves_in_one_call_and_arrives_cut() {
    let (mut ours, mut theirs) = (port(Ipv4Addr::LOCALHOST, true), port(Ipv4Addr::LOCALHOST, true));
    let batch = batch(&[(theirs.local(), 1_000, 4_500), (theirs.local(), 200, 200)]);
    let sent = SendArena::default().send(&mut ours, &batch, 0..2);
    assert_eq!((sent.groups, sent.datagrams, sent.bytes, sent.full), (2, 6, 4_700, false));
    assert!(ours.segmentation, "every kernel since 4.18 cuts over loopback");
    assert_eq!(sent.calls, 1);
    let received = read_all(&mut theirs);
    assert_eq!(sizes(&received), [1_000, 1_000, 1_000, 1_000, 500, 200]);
    assert!(received[4].2.iter().all(|&byte| byte == 4), "the last is the end of the group");
    assert!(received.iter().all(|(source, destination, _)| *source == ours.local() && destination.is_loopback()));
}

#[test]
fn without_offload_every_datagram_leaves_by_itself() {
    let (mut ours, mut theirs) = (port(Ipv4Addr::LOCALHOST, false), port(Ipv4Addr::LOCALHOST, false));
    let batch = batch(&[(theirs.local(), 1_000, 4_500)]);
    let sent = SendArena::default().send(&mut ours, &batch, 0..1);
    assert_eq!((sent.groups, sent.datagrams, sent.calls), (1, 5, 1));
    assert_eq!(sizes(&read_all(&mut theirs)), [1_000, 1_000, 1_000, 1_000, 500]);
}

#[test]
fn a_socket_that_cannot_cut_falls_back_for_good_and_loses_nothing() {
    let (mut ours, mut theirs) = (port(Ipv4Addr::LOCALHOST, true), port(Ipv4Addr::LOCALHOST, true));
    assert!(ours.segmentation, "every kernel since 4.18 cuts over loopback");
    // Without checksums the kernel answers EIO to UDP_SEGMENT, as it does for devices that cannot compute them.
    set(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("allowed to all");
    let batch = batch(&[(theirs.local(), 1_000, 2_500), (theirs.local(), 1_000, 2_000)]);
    let sent = SendArena::default().send(&mut ours, &batch, 0..2);
    assert_eq!((sent.groups, sent.datagrams, sent.unreachable), (2, 5, 0));
    assert!(!ours.segmentation);
    assert_eq!(sizes(&read_all(&mut theirs)), [1_000, 1_000, 500, 1_000, 1_000]);
}

#[test]
fn a_group_longer_than_the_kernel_cuts_at_once_leaves_in_parts() {
    let (mut ours, mut theirs) = (port(Ipv4Addr::LOCALHOST, true), port(Ipv4Addr::LOCALHOST, true));
    let batch = batch(&[(theirs.local(), 100, 100 * 150)]);
    let sent = SendArena::default().send(&mut ours, &batch, 0..1);
    assert_eq!((sent.groups, sent.datagrams), (1, 150));
    assert_eq!(read_all(&mut theirs).len(), 150);
}

#[test]
fn datagrams_that_came_together_are_read_in_one_piece_and_handed_over_singly() {
    let (mut ours, mut theirs) = (port(Ipv4Addr::LOCALHOST, true), port(Ipv4Addr::LOCALHOST, true));
    let batch = batch(&[(theirs.local(), 100, 100 * 150)]);
    SendArena::default().send(&mut ours, &batch, 0..1);
    let mut lengths = Vec::new();
    let received = ReceiveArena::default()
        .receive(&mut theirs, |batch| lengths.extend(batch.iter().map(|datagram| datagram.bytes.len())))
        .expect("the socket works");
    assert_eq!((received.datagrams, received.full), (150, false), "more than a call has buffers: {BUFFERS}");
    assert_eq!(lengths, [100; 150]);
    const { assert!(BUFFERS < 150) };
}

#[test]
fn one_bad_destination_does_not_stop_the_others_or_turn_cutting_off() {
    let (mut ours, mut theirs) = (port(Ipv4Addr::LOCALHOST, true), port(Ipv4Addr::LOCALHOST, true));
    let before = ours.segmentation;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let batch = batch(&[(nowhere, 1_000, 3_000), (theirs.local(), 1_000, 3_000)]);
    let sent = SendArena::default().send(&mut ours, &batch, 0..2);
    assert_eq!((sent.groups, sent.datagrams, sent.unreachable), (2, 3, 3));
    assert_eq!(ours.segmentation, before);
    assert_eq!(read_all(&mut theirs).len(), 3);
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    let mut ours = port(Ipv4Addr::UNSPECIFIED, true);
    let mut theirs = port(Ipv4Addr::LOCALHOST, true);
    let second = SocketAddr::from(([127, 0, 0, 2], ours.local().port()));
    let question = batch(&[(second, 100, 100)]);
    assert_eq!(SendArena::default().send(&mut theirs, &question, 0..1).groups, 1);
    let (source, destination, _) = read_all(&mut ours).pop().expect("it came");
    assert_eq!(destination, second.ip());
    let mut reply = batch(&[(source, 100, 300)]);
    reply.groups[0].source = Some(destination);
    assert_eq!(SendArena::default().send(&mut ours, &reply, 0..1).groups, 1);
    let received = read_all(&mut theirs);
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|(source, _, _)| *source == second));
}

#[test]
fn a_buffer_that_was_not_granted_is_told() {
    let options = UdpOptions { receive_buffer: i32::MAX as usize, ..OPTIONS };
    let mut warnings = Vec::new();
    let bound = UdpPort::bind(SocketAddr::from(([127, 0, 0, 1], 0)), options, &mut warnings);
    assert!(bound.is_ok());
    let granted = read(bound.expect("bound").as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF).expect("readable");
    let capped = (granted as usize / 2) < i32::MAX as usize;
    let told = Warning::ReceiveBufferCapped { granted: granted as u64 / 2, wanted: i32::MAX as u64 };
    assert_eq!(warnings.contains(&told), capped);
}
