//! The loop of one worker: what takes rights away, then what came in, then commands, then what is due, then out with it.

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bots::Bots;
use super::coalescing::Coalescing;
use super::counters::Counters;
use super::lanes::{Commands, QueuedRequest};
use super::overtaking::Overtaking;
use super::priority::sleep_precisely;
use super::relays::{Relays, Wait};
use super::ring::{Class, EventSender};
use super::udp::UdpPort;
use super::udp::receive::ReceiveArena;
use super::udp::send::SendArena;
use super::wake::Wake;
use super::warning::Warning;
use super::wire::Outgoing;
use crate::engine::Engine;
use crate::engine::command::{Command, Refusal, Reply, Request};
use crate::engine::event::Event;
use crate::engine::transmit::{Datagram, Frame, RelayEnd, RelayNotice, Sink, TransmitBatch};
use crate::ids::{PeerId, RelayId};

/// Receive calls per port and turn: a flood must not keep commands and timers waiting.
const MAX_RECEIVE_CALLS: usize = 4;
/// Ordinary commands per turn; one costs some microseconds, so that a turn stays below a millisecond.
const MAX_COMMANDS_PER_TURN: usize = 32;
/// Longest sleep, so that the figures stay fresh.
const MAX_SLEEP: Duration = Duration::from_millis(500);

/// What a worker drives: the engine, or a stand-in for it in tests.
pub(super) trait Drive: Send + 'static {
    fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant);
    fn ingest_bot(&mut self, bot: PeerId, packet: &[u8], now: Instant);
    fn tick(&mut self, now: Instant) -> Instant;
    fn flush(&mut self, sink: &mut dyn Sink, now: Instant);
    fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal>;
    fn drain_events(&mut self, into: &mut Vec<Event>);
    fn ingest_relay(&mut self, _relay: RelayId, _frame: Frame<'_>, _now: Instant) {}
    fn cut_relay(&mut self, _relay: RelayId) {}
    fn close_relay(&mut self, _relay: RelayId, _end: RelayEnd) {}
    fn drain_relay_notices(&mut self, _into: &mut Vec<RelayNotice>) {}
}

impl Drive for Engine {
    fn ingest(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        self.ingest(batch, now);
    }
    fn ingest_bot(&mut self, bot: PeerId, packet: &[u8], now: Instant) {
        self.ingest_bot(bot, packet, now);
    }
    fn tick(&mut self, now: Instant) -> Instant {
        self.tick(now)
    }
    fn flush(&mut self, sink: &mut dyn Sink, now: Instant) {
        self.flush(sink, now);
    }
    fn command(&mut self, command: Command, now: Instant) -> Result<Reply, Refusal> {
        self.command(command, now)
    }
    fn drain_events(&mut self, into: &mut Vec<Event>) {
        self.drain_events(into);
    }
    fn ingest_relay(&mut self, relay: RelayId, frame: Frame<'_>, now: Instant) {
        self.ingest_relay(relay, frame, now);
    }
    fn cut_relay(&mut self, relay: RelayId) {
        self.cut_relay(relay);
    }
    fn close_relay(&mut self, relay: RelayId, end: RelayEnd) {
        self.close_relay(relay, end);
    }
    fn drain_relay_notices(&mut self, into: &mut Vec<RelayNotice>) {
        self.drain_relay_notices(into);
    }
}

/// What a worker is made of.
pub(super) struct Parts<E> {
    pub(super) engine: E,
    pub(super) ports: Vec<UdpPort>,
    pub(super) commands: Commands,
    pub(super) sender: EventSender,
    pub(super) bots: Bots,
    pub(super) relays: Relays,
    pub(super) wake: Arc<Wake>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<AtomicBool>,
}

/// Where a flush goes: the ports, the bots and the other workers.
struct Rim {
    ports: Vec<UdpPort>,
    arena: SendArena,
    bots: Bots,
    relays: Relays,
    counters: Arc<Counters>,
    /// When this turn began, if it took datagrams in.
    taken_in: Option<Instant>,
}

pub(super) struct Worker<E> {
    engine: E,
    rim: Rim,
    arena: ReceiveArena,
    commands: Commands,
    overtaking: Overtaking,
    sender: EventSender,
    wake: Arc<Wake>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    events: Vec<Event>,
    /// Answers to revocations that are true once other workers have done their part.
    held: Vec<(Vec<Wait>, Outgoing)>,
    /// The bell, then the ports.
    watched: Vec<libc::pollfd>,
}

impl<E: Drive> Worker<E> {
    pub(super) fn new(parts: Parts<E>) -> Self {
        let Parts { engine, ports, commands, sender, bots, relays, wake, counters, stop } = parts;
        let (arena, events, held) = (ReceiveArena::default(), Vec::new(), Vec::new());
        let overtaking = Overtaking::default();
        // Ready until told otherwise, so that the first turn looks everywhere.
        let watch = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: libc::POLLIN };
        let fds = std::iter::once(wake.as_raw_fd()).chain(ports.iter().map(AsRawFd::as_raw_fd));
        let watched = fds.map(watch).collect();
        let counted = Arc::clone(&counters);
        let rim = Rim { ports, arena: SendArena::default(), bots, relays, counters: counted, taken_in: None };
        Self { engine, rim, arena, commands, overtaking, sender, wake, counters, stop, events, held, watched }
    }

    /// Runs until told to stop. After a panic the engine is never touched again; commands are refused.
    pub(super) fn run(&mut self, pin: Option<usize>) {
        sleep_precisely();
        if let Some(processor) = pin.filter(|processor| !pin_to(*processor)) {
            self.sender.warn(Warning::NotPinned { processor: processor as u64 });
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work())) {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            self.counters.failed.set(1);
            self.sender.fail(text.unwrap_or("no message").to_owned());
            self.rim.relays.fail();
            // The ports would be ready for ever.
            self.watched.truncate(1);
            while !self.stopped() {
                self.answer_held();
                self.refuse_all();
                self.sleep(MAX_SLEEP);
            }
        }
        for (_, outgoing) in self.held.drain(..) {
            self.sender.reply(Class::Revocation, outgoing);
        }
        self.refuse_all();
    }

    #[allow(clippy::disallowed_methods)]
    fn work(&mut self) {
        let begun = Instant::now();
        let mut woken = begun;
        let mut coalescing = Coalescing::new(begun);
        while !self.stopped() {
            let before = self.counters.datagrams_in.load();
            let deadline = self.turn(woken);
            let next_turn = coalescing.next_turn(woken, self.counters.datagrams_in.load() - before);
            let rested = Instant::now();
            self.counters.turns.add(1);
            self.counters.busy_us.add(rested.duration_since(woken).as_micros() as u64);
            self.counters.elapsed_us.set(rested.duration_since(begun).as_micros() as u64);
            match deadline {
                None => self.sleep(Duration::ZERO),
                Some(_) if next_turn > rested => self.rest(next_turn.duration_since(rested)),
                Some(at) => self.sleep(at.saturating_duration_since(rested).min(MAX_SLEEP)),
            }
            woken = Instant::now();
            if let Some(late) = deadline.and_then(|at| woken.checked_duration_since(at)) {
                self.counters.worst_lag_us.raise_to(late.as_micros() as u64);
            }
        }
    }

    /// One turn. Returns when the next is due; `None`: at once, because something was left undone.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Instant> {
        if self.rim.relays.heed(&mut self.engine) {
            self.rim.bots.drop_held_back();
        }
        self.answer_held();
        self.revoke(now);
        let before = self.counters.datagrams_in.load();
        let mut again = self.receive(now);
        self.rim.taken_in = (self.counters.datagrams_in.load() > before).then_some(now);
        for _ in 0..MAX_COMMANDS_PER_TURN {
            let Some(QueuedRequest { order, request }) = self.commands.next_command() else {
                self.overtaking.clear();
                break;
            };
            // Revocations asked before this command come before it; those asked after it may take it back.
            self.revoke(now);
            if self.overtaking.is_overtaken(&request.command, order) {
                self.sender.reply(Class::Command, Outgoing::Reply { id: request.id, reply: Reply::Done });
            } else {
                self.carry_out(Class::Command, request, now);
            }
        }
        let engine = &mut self.engine;
        self.rim.bots.receive(|bot, packet| engine.ingest_bot(bot, packet, now));
        self.rim.relays.receive(engine, now);
        let deadline = self.engine.tick(now);
        self.engine.flush(&mut self.rim, now);
        again |= self.rim.bots.publish();
        self.counters.bot_drops.add(self.rim.bots.take_dropped());
        self.rim.relays.tell(&mut self.engine); // a room may have failed
        self.rim.relays.publish();
        self.counters.relay_drops.add(self.rim.relays.take_dropped());
        self.tell();
        again |= !self.commands.is_empty();
        (!again).then_some(deadline)
    }

    /// Carries out all that takes a right away. One atomic load when there is nothing.
    fn revoke(&mut self, now: Instant) {
        while let Some(QueuedRequest { order, request }) = self.commands.next_revocation() {
            self.counters.revocations.add(1);
            self.overtaking.revoked(&request.command, order);
            self.carry_out(Class::Revocation, request, now);
        }
    }

    fn receive(&mut self, now: Instant) -> bool {
        let mut again = false;
        for (index, port) in self.rim.ports.iter_mut().enumerate() {
            if self.watched[index + 1].revents == 0 {
                continue;
            }
            for call in 0..MAX_RECEIVE_CALLS {
                let engine = &mut self.engine;
                let received = match self.arena.receive(port, |batch| engine.ingest(batch, now)) {
                    Ok(received) => received,
                    Err(error) => {
                        if self.counters.receive_errors.load() == 0 {
                            let errno = error.raw_os_error().unwrap_or_default();
                            self.sender.warn(Warning::ReceiveFailed { errno });
                        }
                        self.counters.receive_errors.add(1);
                        break;
                    }
                };
                self.counters.datagrams_in.add(received.datagrams);
                self.counters.bytes_in.add(received.bytes);
                self.counters.truncated.add(received.truncated);
                self.counters.receive_calls.add(u64::from(received.datagrams > 0));
                again |= received.full && call + 1 == MAX_RECEIVE_CALLS;
                if !received.full {
                    break;
                }
            }
        }
        let drops = self.rim.ports.iter().map(|port| u64::from(port.kernel_drops)).sum();
        self.counters.kernel_drops.set(drops);
        let segmentation = self.rim.ports.iter().all(|port| port.segmentation);
        self.counters.segmentation.set(u64::from(segmentation));
        again
    }

    fn carry_out(&mut self, class: Class, request: Request, now: Instant) {
        let Request { id, command } = request;
        let bot_room = if let Command::CreateBot { room, .. } = &command { Some(*room) } else { None };
        let gone_peer = if let Command::RemovePeer { peer } = &command { Some(*peer) } else { None };
        let gone_room = if let Command::RemoveRoom { room } = &command { Some(*room) } else { None };
        let relay_end = match &command {
            Command::RelayOut { relay, .. } => Some((*relay, RelayEnd::Near)),
            Command::RelayIn { relay, .. } => Some((*relay, RelayEnd::Far)),
            _ => None,
        };
        let is_free = relay_end.is_none_or(|(relay, end)| self.rim.relays.open(relay, end));
        let mut result = if is_free { self.engine.command(command, now) } else { Err(Refusal::RelayInUse) };
        self.counters.commands.add(1);
        if let Some((relay, end)) = relay_end.filter(|_| is_free && result.is_err()) {
            self.rim.relays.retract(relay, end);
        }
        let waits = self.rim.relays.tell(&mut self.engine);
        if let (Ok(Reply::Bot { peer }), Some(room)) = (&result, bot_room) {
            let peer = *peer;
            if self.rim.bots.insert(peer, room).is_err() {
                let _room_failed = self.engine.command(Command::RemovePeer { peer }, now).is_err();
                result = Err(Refusal::Unavailable);
            }
        }
        // Gone is gone, whether this command or an earlier one did it.
        if let Some(peer) = gone_peer {
            self.rim.bots.remove(peer);
        }
        if let Some(room) = gone_room {
            self.rim.bots.remove_room(room);
        }
        if class == Class::Revocation {
            self.rim.bots.drop_held_back();
        }
        let outgoing = match result {
            Ok(reply) => Outgoing::Reply { id, reply },
            Err(refusal) => Outgoing::Refused { id, refusal },
        };
        if class == Class::Revocation && !waits.is_empty() {
            return self.held.push((waits, outgoing));
        }
        self.sender.reply(class, outgoing);
    }

    /// Answers the revocations whose part in other workers is done.
    fn answer_held(&mut self) {
        let (relays, sender) = (&self.rim.relays, &mut self.sender);
        self.held.retain_mut(|(waits, outgoing)| {
            waits.retain(|wait| !relays.is_over(*wait));
            if waits.is_empty() {
                let nothing = Outgoing::Reply { id: 0, reply: Reply::Done };
                sender.reply(Class::Revocation, std::mem::replace(outgoing, nothing));
            }
            !waits.is_empty()
        });
    }

    fn tell(&mut self) {
        self.engine.drain_events(&mut self.events);
        for event in self.events.drain(..) {
            if let Event::RoomFailed { room } = &event {
                self.rim.bots.remove_room(*room);
            }
            self.sender.event(event);
        }
        self.sender.publish();
    }

    fn refuse_all(&mut self) {
        while let Some(QueuedRequest { request, .. }) = self.commands.next_revocation() {
            self.sender.reply(Class::Revocation, Outgoing::Refused { id: request.id, refusal: Refusal::Unavailable });
        }
        while let Some(QueuedRequest { request, .. }) = self.commands.next_command() {
            self.sender.reply(Class::Command, Outgoing::Refused { id: request.id, refusal: Refusal::Unavailable });
        }
        self.sender.publish();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Rests until the time is up or the bell rings; the ports may have something by then.
    fn rest(&mut self, time: Duration) {
        self.wait(1, time);
        self.watched[1..].iter_mut().for_each(|port| port.revents = libc::POLLIN);
    }

    /// Sleeps until a port has something, the bell rings or the time is up. `ppoll` rather than `epoll`: three descriptors
    /// that never change, and nanoseconds on every kernel.
    fn sleep(&mut self, sleep: Duration) {
        self.wait(self.watched.len(), sleep);
    }

    /// Waits for the first `count` descriptors.
    fn wait(&mut self, count: usize, sleep: Duration) {
        let time = libc::timespec { tv_sec: sleep.as_secs() as _, tv_nsec: sleep.subsec_nanos().into() };
        let count = self.watched[..count].len() as libc::nfds_t;
        // SAFETY: the array is at least as long as said, the time lives through the call, and no signal mask is given.
        let ready = unsafe { libc::ppoll(self.watched.as_mut_ptr(), count, &raw const time, std::ptr::null()) };
        if ready < 0 {
            // A signal; what the entries say is from the time before.
            self.watched.iter_mut().for_each(|fd| fd.revents = 0);
        }
        if self.watched[0].revents != 0 {
            self.wake.lower();
        }
    }
}

impl Rim {
    /// The kernel has so many datagrams now. The clock is read once for all of them.
    #[allow(clippy::disallowed_methods)]
    fn note_handed_over(&self, datagrams: u64) {
        if let Some(since) = self.taken_in.filter(|_| datagrams > 0) {
            self.counters.forward.observe(Instant::now().saturating_duration_since(since), datagrams);
        }
    }
}

impl Sink for Rim {
    fn transmit(&mut self, batch: &TransmitBatch) -> usize {
        let mut done = 0;
        while let Some(group) = batch.groups.get(done) {
            let serves = |port: &UdpPort, index: usize| {
                batch.groups.get(index).is_some_and(|group| port.serves(group.destination, group.source))
            };
            let Some(port) = self.ports.iter_mut().find(|port| port.serves(group.destination, group.source)) else {
                // A family we have no socket of.
                self.counters.unreachable.add(group.range.len().div_ceil(group.segment_size.max(1)) as u64);
                done += 1;
                continue;
            };
            let end = (done..batch.groups.len()).find(|&index| !serves(port, index)).unwrap_or(batch.groups.len());
            let sent = self.arena.send(port, batch, done..end);
            self.note_handed_over(sent.datagrams);
            self.counters.datagrams_out.add(sent.datagrams);
            self.counters.bytes_out.add(sent.bytes);
            self.counters.send_calls.add(sent.calls);
            self.counters.unreachable.add(sent.unreachable);
            self.counters.socket_full.add(u64::from(sent.full));
            done += sent.groups;
            if sent.full {
                break;
            }
        }
        done
    }

    fn deliver(&mut self, bot: PeerId, packet: &[u8]) {
        self.bots.deliver(bot, packet);
    }

    fn relay(&mut self, relay: RelayId, frame: Frame<'_>) {
        self.relays.send(relay, frame);
    }
}

/// Keeps this thread on one processor, where that is allowed.
fn pin_to(processor: usize) -> bool {
    if processor >= libc::CPU_SETSIZE as usize {
        return false;
    }
    // SAFETY: `cpu_set_t` is an array of numbers; the macros write within it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}
