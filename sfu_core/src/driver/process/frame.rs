//! The frames of the control socket, in both directions: the length of the payload (4 bytes, big endian), the kind (1), nothing
//! (1), the worker (2), the payload. The payload of a request and of what a worker says is what crosses in process, too.

use std::io::{self, ErrorKind, Read, Write};

/// Bytes before the payload.
pub const HEADER: usize = 8;
/// Longest payload a controller may send: a negotiated session of 500 media sections has some 400 KiB, a message of a data
/// channel 256.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// Most bytes read in one go, so that the rest of the loop comes round.
pub const MAX_READ: usize = 64 << 10;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Controller: who it is and with what configuration the engine is to run; always first.
    Hello = 1,
    /// Controller: a request to a worker.
    Request = 2,
    /// Both: what is to be known about a room or a peer by whoever controls next.
    Note = 3,
    /// Controller: end.
    Stop = 4,
    /// The answer to [`Kind::Hello`].
    Welcome = 5,
    /// What a worker says.
    Outgoing = 6,
    /// What the rims of all workers count.
    Counters = 7,
    /// Something the controller sent was not accepted; nothing was done.
    Fault = 8,
    /// Another controller has taken over; the connection ends.
    Replaced = 9,
    /// The engine has stopped as asked, but for the workers named: they hang. The process ends.
    Stopped = 10,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Hello,
        Self::Request,
        Self::Note,
        Self::Stop,
        Self::Welcome,
        Self::Outgoing,
        Self::Counters,
        Self::Fault,
        Self::Replaced,
        Self::Stopped,
    ];

    /// The kind of that number.
    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Whose, where it concerns one worker.
    pub worker: u16,
    /// The rest.
    pub payload: &'a [u8],
}

/// A frame that is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_PAYLOAD`]. What follows is passed over as it comes, and never kept.
    #[error("a frame of {length} bytes is longer than the {MAX_PAYLOAD} that are accepted")]
    TooLong {
        /// What its header says.
        length: u32,
    },
    /// Nothing of this protocol.
    #[error("there is no kind {number} of frame")]
    UnknownKind {
        /// What its header says.
        number: u8,
    },
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Some bytes.
    Some,
    /// Nothing for now.
    Nothing,
    /// Nothing any more.
    End,
}

/// What came in and is not yet a whole frame: at most the longest frame and one read.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// What of it has been taken out.
    taken: usize,
    /// How much of what comes next belongs to a frame that is too long.
    skip: usize,
}

impl FrameReader {
    /// Reads once.
    ///
    /// # Errors
    /// Those of the stream. That there is nothing to read now is none.
    pub fn fill(&mut self, stream: &mut impl Read) -> io::Result<Filled> {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        let before = self.bytes.len();
        self.bytes.resize(before + MAX_READ, 0);
        let outcome = stream.read(&mut self.bytes[before..]);
        self.bytes.truncate(before + *outcome.as_ref().unwrap_or(&0));
        match outcome {
            Ok(0) => Ok(Filled::End),
            Ok(_) => {
                self.pass_over(before);
                Ok(Filled::Some)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Filled::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Takes out the next frame, if all of it is here.
    pub fn take(&mut self) -> Option<Result<Frame<'_>, FrameError>> {
        let rest = &self.bytes[self.taken..];
        let (&[a, b, c, d, number, _, high, low], rest) = rest.split_first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([a, b, c, d]);
        let size = length as usize;
        if size > MAX_PAYLOAD {
            self.taken += HEADER;
            self.skip = size;
            self.pass_over(self.taken);
            return Some(Err(FrameError::TooLong { length }));
        }
        if rest.len() < size {
            return None;
        }
        let begin = self.taken + HEADER;
        self.taken = begin + size;
        let Some(kind) = Kind::of(number) else { return Some(Err(FrameError::UnknownKind { number })) };
        let worker = u16::from_be_bytes([high, low]);
        Some(Ok(Frame { kind, worker, payload: &self.bytes[begin..self.taken] }))
    }

    /// Drops what from `begin` on belongs to a frame that is too long.
    fn pass_over(&mut self, begin: usize) {
        let length = self.skip.min(self.bytes.len() - begin);
        self.bytes.drain(begin..begin + length);
        self.skip -= length;
    }
}

/// What is to be sent and was not yet.
#[derive(Debug, Default)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    sent: usize,
}

impl FrameWriter {
    /// Adds a frame.
    pub fn push(&mut self, kind: Kind, worker: u16, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("what we say is far shorter than 4 GiB");
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend([kind as u8, 0]);
        self.bytes.extend(worker.to_be_bytes());
        self.bytes.extend(payload);
    }

    /// Sends what the stream takes.
    ///
    /// # Errors
    /// Those of the stream. That it takes nothing now is none.
    pub fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while self.waiting() > 0 {
            match stream.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.waiting() == 0 {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..std::mem::take(&mut self.sent));
        }
        Ok(())
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
