//! One connection to the control socket: frames in, frames out, and how far it has been told the notes.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::frame::{Filled, Frame, FrameError, FrameReader, FrameWriter, Kind};
use super::notes::{Note, Notes, Subject};
use crate::driver::wire::encode;

/// Most reads in one turn, so that what is to be told comes round: a MiB.
const MAX_READS: usize = 16;

/// How far the notes have been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    All,
    Until(Option<(u16, Subject)>),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    reader: FrameReader,
    writer: FrameWriter,
    notes: Told,
}

impl Connection {
    /// A connection that was just made; `None` where the kernel refuses to have it not block.
    pub fn new(stream: UnixStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Self { stream, reader: FrameReader::default(), writer: FrameWriter::default(), notes: Told::All })
    }

    /// What to wait for.
    pub fn watched(&self) -> libc::pollfd {
        let writes = if self.writer.waiting() > 0 || self.notes != Told::All { libc::POLLOUT } else { 0 };
        libc::pollfd { fd: self.stream.as_raw_fd(), events: libc::POLLIN | writes, revents: 0 }
    }

    /// Hands over up to `most` frames that came in; false when the other end is gone.
    pub fn hear(&mut self, most: usize, mut take: impl FnMut(Result<Frame<'_>, FrameError>)) -> bool {
        let mut taken = 0;
        for reads in 0..=MAX_READS {
            while taken < most
                && let Some(frame) = self.reader.take()
            {
                taken += 1;
                take(frame);
            }
            if taken >= most || reads == MAX_READS {
                break;
            }
            match self.reader.fill(&mut self.stream) {
                Ok(Filled::Some) => {}
                Ok(Filled::Nothing) => break,
                Ok(Filled::End) | Err(_) => return false,
            }
        }
        true
    }

    /// Whether there is something to be heard, if only that the other end is gone.
    pub fn has_more(&self) -> bool {
        let mut fd = libc::pollfd { fd: self.stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry, no waiting.
        unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
    }

    /// Adds a frame to what is to be sent.
    pub fn push(&mut self, kind: Kind, worker: u16, payload: &[u8]) {
        self.writer.push(kind, worker, payload);
    }

    /// Sends what can be; false when the other end is gone.
    pub fn flush(&mut self) -> bool {
        let flushed: io::Result<()> = self.writer.flush(&mut self.stream);
        flushed.is_ok()
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Has all notes told, from here on.
    pub fn tell_notes_from_the_first(&mut self) {
        self.notes = Told::Until(None);
    }

    /// Tells notes while fewer than `enough` bytes wait.
    pub fn tell_notes(&mut self, notes: &Notes, enough: usize) {
        while let Told::Until(last) = self.notes
            && self.writer.waiting() < enough
        {
            let Some((key, bytes)) = notes.after(last) else {
                self.notes = Told::All;
                return;
            };
            let (worker, subject) = key;
            let note = Note { subject, note: Some(bytes.to_vec()) };
            self.writer.push(Kind::Note, worker, &encode(&note));
            self.notes = Told::Until(Some(key));
        }
    }
}
