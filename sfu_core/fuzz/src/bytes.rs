//! Cutting the fuzzer's bytes into choices. Any bytes are some choices, and few bytes are few choices.

/// The choices not yet taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl<'a> Choices<'a> {
    /// Whether there is anything left to choose from.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; zero at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Two bytes.
    pub(crate) fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Two bytes say how many; as many as there are, and not more than `at_most`.
    pub(crate) fn chunk(&mut self, at_most: usize) -> &'a [u8] {
        let len = usize::from(self.word()).min(at_most).min(self.0.len());
        let (chunk, rest) = self.0.split_at(len);
        self.0 = rest;
        chunk
    }
}

/// What [`Choices::chunk`] reads.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// Whether `part` lies inside `whole`, as memory; an empty one lies anywhere.
pub(crate) fn is_inside(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    part.is_empty() || (whole.start <= part.start && part.end <= whole.end)
}
