//! What `ring` takes from the engine.

pub(crate) use sfu_core::engine::event;
