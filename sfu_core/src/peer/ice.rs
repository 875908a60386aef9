//! Finding and keeping the way to the remote: full ICE in the controlled role (RFC 8445), consent (RFC 7675), restart
//! (RFC 8839 §4.4.1). The agent of the `is` crate answers and checks; *where media goes* is decided here: to the newest
//! nominated source, as soon as it has answered a check of ours that was sent after the nomination.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use is::stun::{StunMessage, StunPacket, TransId};
use is::{IceCreds, Protocol};

use self::addresses::{Addresses, is_checkable};
use self::agent::{Agent, Former, TIE_BREAKER};
use self::transactions::{Check, Checks, Credentials, Requests, Seen};
use crate::session::RemoteTransport;

mod addresses;
mod agent;
mod transactions;

pub use self::addresses::{MAX_NEW_ADDRESSES, NEW_ADDRESS_SPAN};
pub use self::transactions::AwsHmac;

/// Most remote candidates taken from one description (`reliability.md` F5).
pub const MAX_REMOTE_CANDIDATES: usize = 32;
/// Most announced addresses; two families, inside and outside, and as many again.
pub const MAX_LOCAL_CANDIDATES: usize = 8;
/// Without an answer to our checks for this long nothing more is sent (RFC 7675 §5.1).
pub const CONSENT_LIFETIME: Duration = Duration::from_secs(30);
/// Without an answer for this long the remote counts as disconnected: three checks of the agent.
pub const QUIET_AFTER: Duration = Duration::from_secs(10);
/// How long the credentials before a restart keep answering once the remote has used the new ones; as long as a consent that
/// they gave. Until then they stay: the restart may have been given up half-way, or its answer lost.
const RESTART_OVERLAP: Duration = CONSENT_LIFETIME;
/// Most things to tell that have happened in one call; a call can lose every address of the remote and find one.
const MAX_EVENTS: usize = 64;
/// Most STUN messages waiting to be sent; a tick makes one or two.
const MAX_TRANSMITS: usize = 32;
/// After this many remote candidates, which the agent never forgets, it is made anew: the named ones and as many found.
const MAX_AGENT_REMOTES: usize = 2 * MAX_REMOTE_CANDIDATES;
/// Long enough for a Binding request with two fragments of 256 characters (RFC 8839 §5.4).
const MAX_CHECK_LEN: usize = 640;
/// Priority of a peer-reflexive candidate of the first component (RFC 8445 §5.1.2.1), which a check must carry.
const CHECK_PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;

/// What happened on the way to the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceEvent {
    /// The remote sent its first authenticated request from here.
    Heard(SocketAddr),
    /// The remote answered our check here.
    Proved(SocketAddr),
    /// Nothing more is expected from here.
    Lost(SocketAddr),
    /// A request came that repeats one from another address: it changes nothing.
    Replayed,
    /// Media has somewhere to go, for the first time or again after it had nowhere.
    Found,
    /// Media goes to another address than before.
    Moved,
    /// No answer for [`QUIET_AFTER`].
    Quiet,
    /// An answer came after that.
    Back,
    /// No answer for [`CONSENT_LIFETIME`]: media goes nowhere now.
    Expired,
}

/// A nomination that waits for our own check to be answered.
#[derive(Debug, Clone, Copy)]
struct PendingNomination {
    address: SocketAddr,
    since: Instant,
}

/// Where media goes, and when the remote last agreed to that.
#[derive(Debug, Clone, Copy)]
struct Consent {
    address: SocketAddr,
    answered: Instant,
    quiet: bool,
}

/// The way to one remote.
pub struct Ice {
    current: Agent,
    /// The agent before a restart, until the new credentials have proved an address.
    former: Option<Former>,
    candidates: ArrayVec<SocketAddr, MAX_LOCAL_CANDIDATES>,
    check_signalled: bool,
    addresses: Addresses,
    requests: Requests,
    checks: Checks,
    wanted: Option<PendingNomination>,
    consent: Option<Consent>,
    /// Where media went before consent expired: back there, a request is as good as a nomination.
    expired: Option<SocketAddr>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<IceEvent>,
    due: Option<Instant>,
    round_trip: Option<Duration>,
}

impl Ice {
    /// Answers for `local` at the announced `candidates`. With `check_signalled`, the addresses in the remote's description
    /// are checked too; else nothing is ever sent to an address that the remote merely names.
    pub fn new(local: IceCreds, candidates: &[SocketAddr], check_signalled: bool, seed: u64, now: Instant) -> Self {
        let candidates: ArrayVec<_, MAX_LOCAL_CANDIDATES> =
            candidates.iter().copied().take(MAX_LOCAL_CANDIDATES).collect();
        let mut ice = Self {
            current: Agent::new(local, &candidates, now),
            former: None,
            candidates,
            check_signalled,
            addresses: Addresses::default(),
            requests: Requests::default(),
            checks: Checks::new(seed),
            wanted: None,
            consent: None,
            expired: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            due: None,
            round_trip: None,
        };
        ice.drain(now);
        ice
    }

    /// Learns the credentials of the remote, and of its addresses at most [`MAX_REMOTE_CANDIDATES`].
    pub fn set_remote(&mut self, remote: &RemoteTransport, now: Instant) {
        let credentials = IceCreds { ufrag: remote.ufrag.clone(), pass: remote.pwd.clone() };
        self.current.agent.set_remote_credentials(credentials);
        if self.check_signalled {
            let usable = remote.candidates.iter().filter(|address| is_checkable(address));
            for address in usable.take(MAX_REMOTE_CANDIDATES) {
                self.current.add_remote(*address);
            }
        }
        self.current.agent.handle_timeout(now);
        self.drain(now);
    }

    /// Starts over with new credentials. Media goes on to where it goes until the new ones have proved an address; all goes on
    /// as before when the remote never uses them.
    pub fn restart(&mut self, local: IceCreds, now: Instant) {
        let fresh = Agent::new(local, &self.candidates, now);
        let replaced = std::mem::replace(&mut self.current, fresh);
        // Credentials that the remote has never used are nothing to go back to.
        if self.former.as_ref().is_none_or(|former| former.until.is_some()) {
            self.former = Some(Former { agent: replaced, until: None });
        }
        self.wanted = None;
        self.drain(now);
    }

    /// Takes in a STUN message that came from `source` to `destination`, one of our own addresses.
    pub fn on_stun(&mut self, source: SocketAddr, destination: IpAddr, datagram: &[u8], now: Instant) {
        let Ok(message) = StunMessage::parse(datagram) else { return };
        if message.is_binding_request() {
            self.on_request(source, destination, &message, now);
        } else if message.is_successful_binding_response() {
            self.on_answer(source, destination, &message, now);
        }
        // An error is not read: 487 would make us controlling, and no other would change anything.
    }

    /// Whether the STUN message `answer` answers a check under way.
    pub fn asked(&self, answer: &[u8]) -> bool {
        StunMessage::parse(answer).is_ok_and(|message| self.checks.find(message.trans_id()).is_some())
    }

    fn on_request(&mut self, source: SocketAddr, destination: IpAddr, message: &StunMessage<'_>, now: Instant) {
        let Some(announced) = self.announced(source, destination) else { return };
        let seen = self.requests.look_up(message.trans_id(), source);
        let known = self.addresses.contains(source);
        if seen == Seen::Elsewhere {
            return self.events.push_back(IceEvent::Replayed);
        }
        if !(known || self.addresses.may_add(now)) {
            return;
        }
        if !known {
            self.renew_agents(now);
        }
        let nominates = message.use_candidate();
        let transaction = message.trans_id();
        let Some(credentials) = self.feed(source, announced, message, now) else { return };
        self.requests.note(transaction, source);
        self.note_heard(source, destination, now);
        if seen == Seen::New && (nominates || self.may_return_to(source)) {
            self.nominate(source, now);
        }
        self.drain(now);
        self.prove_nominated(source, credentials, now);
    }

    /// Hands the request to the agent whose credentials it names; `None` when it is not authenticated.
    fn feed(
        &mut self,
        source: SocketAddr,
        announced: SocketAddr,
        message: &StunMessage<'_>,
        now: Instant,
    ) -> Option<Credentials> {
        let (ours, _) = message.split_username()?;
        let (agent, credentials) = match &mut self.former {
            Some(former) if former.agent.local.ufrag == ours => (&mut former.agent, Credentials::Former),
            _ => (&mut self.current, Credentials::Current),
        };
        let packet = StunPacket { proto: Protocol::Udp, source, destination: announced, message: *message };
        let accepted = agent.agent.handle_packet(now, packet);
        // At once, so that our own check leaves together with the answer.
        agent.agent.handle_timeout(now);
        if accepted
            && credentials == Credentials::Current
            && let Some(former) = &mut self.former
        {
            former.until.get_or_insert(now + RESTART_OVERLAP);
        }
        accepted.then_some(credentials)
    }

    fn note_heard(&mut self, source: SocketAddr, destination: IpAddr, now: Instant) {
        let media = self.media().map(|(address, _)| address);
        let noted = self.addresses.heard(source, destination, media, now);
        if noted.new {
            for agent in self.agents() {
                agent.remotes += 1;
            }
            self.events.push_back(IceEvent::Heard(source));
        }
        if let Some(evicted) = noted.evicted {
            self.events.push_back(IceEvent::Lost(evicted));
        }
    }

    fn may_return_to(&self, source: SocketAddr) -> bool {
        self.consent.is_none() && self.expired == Some(source)
    }

    fn nominate(&mut self, address: SocketAddr, now: Instant) {
        let settled = self.consent.is_some_and(|consent| consent.address == address) && self.former.is_none();
        self.wanted = if settled { None } else { Some(PendingNomination { address, since: now }) };
    }

    /// Sends a check of our own to an address just nominated, unless the agent has: it only hurries to new ones.
    fn prove_nominated(&mut self, source: SocketAddr, credentials: Credentials, now: Instant) {
        let waiting = self.wanted.is_some_and(|wanted| wanted.address == source && wanted.since == now);
        if waiting && !self.checks.any_sent(source, now) {
            self.send_check(source, credentials, now);
        }
    }

    fn send_check(&mut self, to: SocketAddr, credentials: Credentials, now: Instant) {
        let id = self.checks.draw_id();
        let Some(transaction) = transaction_of(id) else { return };
        let Some(agent) = self.agent_of(credentials) else { return };
        let Some(remote) = agent.agent.remote_credentials() else { return };
        let username = format!("{}:{}", remote.ufrag, agent.local.ufrag);
        let check = StunMessage::binding_request(&username, transaction, false, TIE_BREAKER, CHECK_PRIORITY, false);
        let mut bytes = vec![0; MAX_CHECK_LEN];
        let Ok(len) = check.to_bytes(Some(remote.pass.as_bytes()), &mut bytes, AwsHmac::sign) else { return };
        bytes.truncate(len);
        self.checks.push(Check { transaction, to, sent: now, own: Some(credentials) });
        self.queue(to, bytes);
    }

    fn on_answer(&mut self, source: SocketAddr, destination: IpAddr, message: &StunMessage<'_>, now: Instant) {
        let Some(announced) = self.announced(source, destination) else { return };
        // RFC 8445 §7.2.5.2.1: an answer from elsewhere than the check went is none.
        let Some(check) = self.checks.find(message.trans_id()).filter(|check| check.to == source) else { return };
        let Some(credentials) = self.accept_answer(&check, source, announced, message, now) else { return };
        self.checks.remove(check.transaction);
        if self.addresses.proved(source, now) {
            self.events.push_back(IceEvent::Proved(source));
        }
        self.renew_consent(source, now);
        self.settle(&check, credentials, now);
        if self.consent.is_some_and(|consent| consent.address == source) {
            // The agent draws a transaction for every try, so that it is clear which one was answered.
            self.round_trip = Some(now.saturating_duration_since(check.sent));
        }
        self.drain(now);
    }

    /// Checks the integrity of an answer, and says with whose credentials was asked.
    fn accept_answer(
        &mut self,
        check: &Check,
        source: SocketAddr,
        announced: SocketAddr,
        message: &StunMessage<'_>,
        now: Instant,
    ) -> Option<Credentials> {
        if let Some(credentials) = check.own {
            let remote = self.agent_of(credentials)?.agent.remote_credentials()?;
            return message.verify(remote.pass.as_bytes(), AwsHmac::sign).then_some(credentials);
        }
        let mapped = message.mapped_address()?;
        let former = self.former.as_mut().map(|former| (&mut former.agent, Credentials::Former));
        for (agent, credentials) in former.into_iter().chain([(&mut self.current, Credentials::Current)]) {
            if agent.mapped.is_full() && !agent.mapped.contains(&mapped) {
                continue;
            }
            let packet = StunPacket { proto: Protocol::Udp, source, destination: announced, message: *message };
            if agent.agent.handle_packet(now, packet) {
                if !agent.mapped.contains(&mapped) {
                    agent.mapped.push(mapped);
                }
                return Some(credentials);
            }
        }
        None
    }

    fn renew_consent(&mut self, source: SocketAddr, now: Instant) {
        let Some(consent) = self.consent.as_mut().filter(|consent| consent.address == source) else { return };
        consent.answered = now;
        if std::mem::take(&mut consent.quiet) {
            self.events.push_back(IceEvent::Back);
        }
    }

    /// Moves media to the nominated address when `check`, sent after the nomination, was answered there.
    fn settle(&mut self, check: &Check, credentials: Credentials, now: Instant) {
        let proves = |wanted: &mut PendingNomination| wanted.address == check.to && check.sent >= wanted.since;
        if self.wanted.take_if(proves).is_none() {
            return;
        }
        if credentials == Credentials::Current {
            self.former = None;
        }
        let before = self.consent.replace(Consent { address: check.to, answered: now, quiet: false });
        self.expired = None;
        match before {
            None => self.events.push_back(IceEvent::Found),
            Some(before) => {
                if before.quiet {
                    self.events.push_back(IceEvent::Back);
                }
                if before.address != check.to {
                    self.events.push_back(IceEvent::Moved);
                }
            }
        }
    }

    /// Which announced address a datagram to `destination` stands for: that very one, else one of the same family, as
    /// behind address translation ours is another than the announced one.
    fn announced(&self, source: SocketAddr, destination: IpAddr) -> Option<SocketAddr> {
        let same = self.candidates.iter().find(|candidate| candidate.ip() == destination);
        same.or_else(|| self.candidates.iter().find(|candidate| candidate.is_ipv4() == source.is_ipv4())).copied()
    }

    /// Makes those agents anew, which cannot forget a remote candidate, that have seen too many; the address in use is checked
    /// again at once.
    fn renew_agents(&mut self, now: Instant) {
        let former = self.former.as_mut().map(|former| &mut former.agent);
        for agent in former.into_iter().chain([&mut self.current]).filter(|agent| agent.remotes >= MAX_AGENT_REMOTES) {
            let remote = agent.agent.remote_credentials().cloned();
            *agent = Agent::new(agent.local.clone(), &self.candidates, now);
            if let Some(remote) = remote {
                agent.agent.set_remote_credentials(remote);
            }
            if let Some(consent) = self.consent {
                agent.add_remote(consent.address);
            }
        }
    }

    fn agents(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.former.as_mut().map(|former| &mut former.agent).into_iter().chain([&mut self.current])
    }

    fn agent_of(&self, credentials: Credentials) -> Option<&Agent> {
        match credentials {
            Credentials::Current => Some(&self.current),
            Credentials::Former => self.former.as_ref().map(|former| &former.agent),
        }
    }

    /// Where media goes, and from which of our addresses.
    pub fn media(&self) -> Option<(SocketAddr, Option<IpAddr>)> {
        let consent = self.consent?;
        Some((consent.address, self.addresses.local_of(consent.address)))
    }

    /// Round-trip time of our last answered check where media goes.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Where DTLS goes: with media, and before there is a nomination to whom we heard last.
    pub fn handshake_address(&self) -> Option<(SocketAddr, Option<IpAddr>)> {
        self.media().or_else(|| self.addresses.heard_last())
    }

    /// Whether DTLS from `source` may be looked at: it has answered our check, or nobody has been chosen yet and it has
    /// sent an authenticated request.
    pub fn may_send_dtls(&self, source: SocketAddr) -> bool {
        self.addresses.is_proved(source) || (self.consent.is_none() && self.addresses.contains(source))
    }

    /// The next STUN message to send: to whom, from which of our addresses, and what.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Option<IpAddr>, Vec<u8>)> {
        let (to, bytes) = self.transmits.pop_front()?;
        Some((to, self.addresses.local_of(to), bytes))
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<IceEvent> {
        self.events.pop_front()
    }

    /// When to call [`Ice::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let consent =
            self.consent.map(|consent| consent.answered + if consent.quiet { CONSENT_LIFETIME } else { QUIET_AFTER });
        self.due.into_iter().chain(consent).min()
    }

    /// Sends the checks that are due, and gives up what was not answered in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            for agent in self.agents() {
                agent.agent.handle_timeout(now);
            }
        }
        self.former.take_if(|former| former.until.is_some_and(|until| until <= now));
        self.watch_consent(now);
        let media = self.consent.map(|consent| consent.address);
        for stale in self.addresses.prune(media, now) {
            self.events.push_back(IceEvent::Lost(stale));
        }
        self.drain(now);
    }

    fn watch_consent(&mut self, now: Instant) {
        let Some(consent) = &mut self.consent else { return };
        let silence = now.saturating_duration_since(consent.answered);
        if silence >= QUIET_AFTER && !std::mem::replace(&mut consent.quiet, true) {
            self.events.push_back(IceEvent::Quiet);
        }
        if silence >= CONSENT_LIFETIME {
            let address = consent.address;
            self.consent = None;
            self.expired = Some(address);
            self.addresses.remove(address);
            self.events.extend([IceEvent::Lost(address), IceEvent::Expired]);
        }
    }

    /// Takes what the agents have to send, and notes which checks are under way.
    fn drain(&mut self, now: Instant) {
        self.events.truncate(MAX_EVENTS);
        self.due = None;
        let mut made = ArrayVec::<_, MAX_TRANSMITS>::new();
        let former = self.former.as_mut().map(|former| &mut former.agent);
        for agent in former.into_iter().chain([&mut self.current]) {
            while agent.agent.poll_event().is_some() {}
            while let Some(transmit) = agent.agent.poll_transmit() {
                // What does not fit is lost, as it may be on the way.
                let _ = made.try_push((transmit.destination, transmit.contents.to_vec()));
            }
            self.due = self.due.into_iter().chain(agent.agent.poll_timeout()).min();
        }
        for (to, bytes) in made {
            if let Ok(check) = StunMessage::parse(&bytes).map(|message| message.trans_id())
                && bytes.starts_with(&[0, 1])
            {
                self.checks.push(Check { transaction: check, to, sent: now, own: None });
            }
            self.queue(to, bytes);
        }
    }

    fn queue(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.transmits.len() >= MAX_TRANSMITS {
            self.transmits.pop_front();
        }
        self.transmits.push_back((to, bytes));
    }
}

/// A transaction id of our own choice: that of the agent's crate can only be drawn or read.
fn transaction_of(id: [u8; 12]) -> Option<TransId> {
    let mut indication = [0; 20];
    indication[..8].copy_from_slice(&[0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    indication[8..].copy_from_slice(&id);
    StunMessage::parse(&indication).ok().map(|message| message.trans_id())
}
