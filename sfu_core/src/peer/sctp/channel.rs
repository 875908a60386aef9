//! One data channel and how far it has come (RFC 8832 §6).

use super::dcep::Open;
use super::{DataEvent, Reliability};

/// Relative weight of every channel we open; what browsers send (RFC 8831 §6.4, "normal").
const NORMAL_PRIORITY: u16 = 256;

/// ```text
/// ours:     Wanted → AwaitAck → Open → Closing
/// theirs:   AwaitOpen         → Open → Closing
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be opened when the association stands.
    Wanted,
    /// Our OPEN is on its way.
    AwaitAck,
    /// The remote sent on a new stream; its OPEN has not been read.
    AwaitOpen,
    Open,
    /// Our direction is reset, the remote's not yet.
    Closing,
    /// The same, for a channel of which nothing more is to be said.
    Refused,
}

#[derive(Debug)]
pub(super) struct Channel {
    /// The SCTP stream of both directions; none yet while `Wanted`.
    pub(super) id: Option<u16>,
    pub(super) label: String,
    pub(super) ordered: bool,
    pub(super) reliability: Reliability,
    pub(super) state: State,
}

impl Channel {
    pub(super) fn wanted(label: &str, ordered: bool, reliability: Reliability) -> Self {
        Self { id: None, label: label.to_owned(), ordered, reliability, state: State::Wanted }
    }

    pub(super) fn discovered(id: u16) -> Self {
        Self {
            id: Some(id),
            label: String::new(),
            ordered: true,
            reliability: Reliability::Reliable,
            state: State::AwaitOpen,
        }
    }

    /// Whether this is the channel that goes by `label`: not one without a name yet, nor one that is being closed.
    pub(super) fn is_called(&self, label: &str) -> bool {
        !matches!(self.state, State::AwaitOpen | State::Closing | State::Refused) && self.label == label
    }

    pub(super) fn opening(&self) -> Open {
        Open {
            ordered: self.ordered,
            reliability: self.reliability,
            priority: NORMAL_PRIORITY,
            label: self.label.clone(),
            protocol: String::new(),
        }
    }

    /// Our direction was reset.
    pub(super) fn begin_closing(&mut self) {
        self.state = match self.state {
            State::AwaitOpen | State::Refused => State::Refused,
            State::Wanted | State::AwaitAck | State::Open | State::Closing => State::Closing,
        };
    }

    /// Takes over what the remote asked for.
    pub(super) fn agree(&mut self, open: Open) {
        self.label = open.label;
        self.ordered = open.ordered;
        self.reliability = open.reliability;
        self.state = State::Open;
    }

    pub(super) fn opened_event(&self) -> DataEvent {
        DataEvent::Opened { label: self.label.clone(), ordered: self.ordered, reliability: self.reliability }
    }

    /// What to say at the end; nothing when the channel never had a name.
    pub(super) fn closed_event(self) -> Option<DataEvent> {
        let known = !matches!(self.state, State::AwaitOpen | State::Refused);
        known.then_some(DataEvent::Closed { label: self.label })
    }
}
