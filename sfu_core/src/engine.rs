//! The engine: everything between a received datagram and the datagrams it causes, without a socket, clock or thread.

pub mod command;
pub mod event;
pub mod transmit;
