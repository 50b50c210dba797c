//! Arguments of scripts, written one after another into one buffer.

use redis::{RedisWrite, ToRedisArgs};

/// A list of arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    data: Vec<u8>,
    ends: Vec<usize>,
}

/// One argument that is written in pieces.
pub(super) struct Pieces<'a>(&'a mut Vec<u8>);

impl Args {
    /// An empty list with room for this many arguments of this many bytes together.
    pub(super) fn with_capacity(args: usize, bytes: usize) -> Self {
        Self {
            data: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(args),
        }
    }

    /// Adds a text.
    #[must_use]
    pub(super) fn text(mut self, text: &str) -> Self {
        self.data.extend_from_slice(text.as_bytes());
        self.ends.push(self.data.len());
        self
    }

    /// Adds a number.
    #[must_use]
    pub(super) fn number(mut self, number: u64) -> Self {
        self.data
            .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.ends.push(self.data.len());
        self
    }

    /// Adds a number, or nothing in its place.
    #[must_use]
    pub(super) fn optional(self, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.number(number),
            None => self.text(""),
        }
    }

    /// Adds a text in pieces: what `write` adds.
    #[must_use]
    pub(super) fn pieces(mut self, write: impl FnOnce(&mut Pieces<'_>)) -> Self {
        write(&mut Pieces(&mut self.data));
        self.ends.push(self.data.len());
        self
    }

    /// Adds all of another list.
    #[must_use]
    pub(super) fn all(mut self, other: &Self) -> Self {
        let start = self.data.len();
        self.data.extend_from_slice(&other.data);
        self.ends.extend(other.ends.iter().map(|end| start + end));
        self
    }

    /// Makes the last one empty.
    pub(super) fn clear_last(&mut self) {
        if self.ends.pop().is_some() {
            let start = self.ends.last().copied().unwrap_or(0);
            self.data.truncate(start);
            self.ends.push(start);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl Pieces<'_> {
    /// Adds a text.
    pub(super) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Adds a number, and a bar behind it.
    pub(super) fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
        self.text("|");
    }
}

impl ToRedisArgs for Args {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut start = 0;
        for end in &self.ends {
            out.write_arg(self.data.get(start..*end).unwrap_or_default());
            start = *end;
        }
    }

    fn num_of_args(&self) -> usize {
        self.len()
    }
}
