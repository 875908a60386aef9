//! The end of the span, where whoever started this program says when that is: by closing standard input.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the end has been told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending(Arc<AtomicBool>);

impl Ending {
    /// Listens for it, in a thread that lasts as long as the program does.
    pub(crate) fn listen() -> Self {
        let ending = Self::default();
        let told = Arc::clone(&ending.0);
        std::thread::spawn(move || {
            // A pipe that fails says as much as one that is closed.
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            told.store(true, Ordering::Relaxed);
        });
        ending
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
