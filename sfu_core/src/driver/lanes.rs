//! The ways into a worker: ordinary commands queue up; those that take a right away have a lane of their own, which the
//! worker empties first, so that no queue can keep anyone in a room.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rtrb::{Consumer, Producer, RingBuffer};

use super::ring::Class;
use super::wake::Wake;
use crate::engine::command::Request;

/// Most ordinary commands without an answer read: a full worker setting up 200 participants at once, 20 each.
pub const MAX_COMMANDS: usize = 4_096;
/// Most revocations without an answer read: everyone leaves a full worker at once, each edge revoked by itself.
pub const MAX_REVOCATIONS: usize = 28_672;
/// Most replies that can wait.
pub const MAX_OUTSTANDING: usize = MAX_COMMANDS + MAX_REVOCATIONS;

/// Too many requests are without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait for an answer")]
pub struct Busy;

/// Counts requests from when they are taken until their answer was read.
#[derive(Debug, Default)]
struct Outstanding(AtomicUsize);

impl Outstanding {
    fn take(&self, most: usize) -> Result<(), Busy> {
        let more = |now: usize| (now < most).then_some(now + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map(drop).map_err(|_| Busy)
    }
}

/// A request in a lane.
#[derive(Debug)]
pub struct QueuedRequest {
    /// How many requests of both lanes there were before: who came first.
    pub order: u64,
    /// The request.
    pub request: Request,
}

#[derive(Debug)]
struct Lane {
    queue: Mutex<Producer<QueuedRequest>>,
    outstanding: Outstanding,
    most: usize,
}

/// The end where commands go in; many threads may hold it.
#[derive(Debug)]
pub struct Submit {
    commands: Lane,
    revocations: Lane,
    order: AtomicU64,
    worker: Arc<Wake>,
}

/// The worker's end.
#[derive(Debug)]
pub struct Commands {
    commands: Consumer<QueuedRequest>,
    revocations: Consumer<QueuedRequest>,
}

/// Both ends of both lanes; `worker` rings for each command.
pub fn lanes(worker: Arc<Wake>) -> (Submit, Commands) {
    let (command_in, commands) = RingBuffer::new(MAX_COMMANDS);
    let (revocation_in, revocations) = RingBuffer::new(MAX_REVOCATIONS);
    let lane = |queue, most| Lane { queue: Mutex::new(queue), outstanding: Outstanding::default(), most };
    let submit = Submit {
        commands: lane(command_in, MAX_COMMANDS),
        revocations: lane(revocation_in, MAX_REVOCATIONS),
        order: AtomicU64::new(1),
        worker,
    };
    (submit, Commands { commands, revocations })
}

impl Submit {
    /// Hands a request to the worker. It is answered once, unless this says otherwise.
    ///
    /// # Errors
    /// [`Busy`], when too many answers of its lane have not been read.
    pub fn submit(&self, request: Request) -> Result<(), Busy> {
        let lane = if request.command.is_revocation() { &self.revocations } else { &self.commands };
        lane.outstanding.take(lane.most)?;
        let mut queue = lane.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Drawn under the lock, so that a lane is in order.
        let order = self.order.fetch_add(1, Ordering::AcqRel);
        let fits = queue.push(QueuedRequest { order, request }).is_ok();
        drop(queue);
        debug_assert!(fits, "a lane holds as many as may be outstanding");
        self.worker.raise();
        Ok(())
    }

    /// Notes that an entry of that class was read.
    pub fn answered(&self, class: Class) {
        let lane = match class {
            Class::Command => &self.commands,
            Class::Revocation => &self.revocations,
            Class::Event | Class::Failure | Class::Warning => return,
        };
        lane.outstanding.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Commands {
    /// The next that takes a right away. One atomic load when there is none.
    pub fn next_revocation(&mut self) -> Option<QueuedRequest> {
        self.revocations.pop().ok()
    }

    /// The next ordinary one.
    pub fn next_command(&mut self) -> Option<QueuedRequest> {
        self.commands.pop().ok()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.revocations.is_empty()
    }
}
