//! What is kept of a frame that is too long to be held: its two ends.

/// Enough for the name of the event and its type.
const HEAD: usize = 512;

/// Enough for the usage, which stands near the end of every format's last frame.
const TAIL: usize = 8192;

/// The ends of a frame that passes by in pieces.
#[derive(Debug, Default)]
pub(super) struct Oversize {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Oversize {
    pub(super) fn observe(&mut self, bytes: &[u8]) {
        let missing = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let last = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(last);
    }

    pub(super) fn ends(&self) -> (&[u8], &[u8]) {
        (&self.head, &self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ends_are_kept() {
        let text: Vec<u8> = (0..60_000u32).map(|number| number.to_le_bytes()[0]).collect();
        for size in [1, 700, 9_000, 60_000] {
            let mut oversize = Oversize::default();
            text.chunks(size).for_each(|piece| oversize.observe(piece));
            assert_eq!(
                oversize.ends(),
                (&text[..HEAD], &text[text.len() - TAIL..]),
                "pieces of {size}"
            );
        }
    }
}
