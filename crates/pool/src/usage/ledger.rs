//! What one process counted.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use snapshot::{ClientName, CredentialName, ProviderName, Timestamp};

use super::{
    Change, Day, Dimension, Report,
    book::Book,
    counts::{believed, believed_usage},
};
use crate::TokenCounts;

/// Counts the usage of a process, by the day in which calls begin.
///
/// All is behind one lock, which is held for a fraction of a microsecond by a call, and for a bounded number
/// of names by who shares the numbers.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
}

/// What a call is counted by.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who calls.
    pub client: &'a ClientName,
    /// By which route.
    pub route: &'a str,
}

/// What an attempt of a call is counted by.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where it goes.
    pub provider: &'a ProviderName,
    /// With which credential.
    pub credential: &'a CredentialName,
    /// The upstream's name of the model.
    pub model: &'a str,
}

/// A call or an attempt that is counted and has not ended.
///
/// [`Open::end`] ends it. Dropping it means that it was cancelled and that nobody knows what it used: it stays
/// counted as a request, and nothing of it is open any more.
pub struct Open {
    ledger: Arc<Ledger>,
    day: Day,
    cells: [Option<u32>; NAMES],
    reserved: u64,
}

/// Changes of one day, as many as were asked for at most.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) day: Day,
    pub(crate) cells: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    /// By day.
    books: Vec<Book>,
    /// Where calls of a day that is no longer here are counted: an old book must not begin again from zero.
    first: Option<Day>,
}

/// Names that an attempt has.
const NAMES: usize = 3;

/// Days that stay in memory, whether or not anybody could be told of them.
const DAYS: usize = 35;

impl Ledger {
    /// Counts a call that is likely to use `reserve` tokens.
    pub fn begin_call(self: &Arc<Self>, now: Timestamp, call: Call<'_>, reserve: u64) -> Open {
        let names = [
            (Dimension::Client, call.client.as_str()),
            (Dimension::Route, call.route),
        ];
        self.begin(now, &names, reserve)
    }

    /// Counts an attempt that is likely to use `reserve` tokens.
    pub fn begin_attempt(self: &Arc<Self>, now: Timestamp, attempt: Attempt<'_>, reserve: u64) -> Open {
        let names = [
            (Dimension::Provider, attempt.provider.as_str()),
            (Dimension::Credential, attempt.credential.as_str()),
            (Dimension::Model, attempt.model),
        ];
        self.begin(now, &names, reserve)
    }

    /// What is in memory of these days: all since the start (of the last 35 days) while nothing is shared,
    /// today and what could not be shared yet otherwise.
    pub fn usage(&self, days: &RangeInclusive<Day>, dimension: Option<Dimension>) -> Report {
        let state = self.state();
        let books = state.books.iter().filter(|book| days.contains(&book.day));
        let rows = books.flat_map(Book::rows);
        let rows = rows
            .filter(|row| dimension.is_none_or(|dimension| row.dimension == dimension))
            .collect();
        drop(state);
        Report::new(rows)
    }

    /// Takes at most so many names that changed since they were taken, of the first day that has any.
    pub(crate) fn take_changes(&self, most: usize) -> Option<Changes> {
        let mut state = self.state();
        let book = state.books.iter_mut().find(|book| book.dirty() > 0)?;
        Some(Changes {
            day: book.day,
            cells: book.take_changes(most),
        })
    }

    /// Has changes taken again, because they did not arrive.
    pub(crate) fn untake(&self, changes: &Changes) {
        if let Some(book) = self.state().book(changes.day) {
            changes.cells.iter().for_each(|change| book.mark(change.cell));
        }
    }

    /// Has everything taken again.
    pub(crate) fn untake_all(&self) {
        self.state().books.iter_mut().for_each(Book::mark_all);
    }

    /// How many names there are to take.
    pub(crate) fn changed(&self) -> usize {
        self.state().books.iter().map(Book::dirty).sum()
    }

    /// The days in memory.
    pub(crate) fn days(&self) -> Vec<Day> {
        self.state().books.iter().map(|book| book.day).collect()
    }

    /// Forgets days before `today` of which nothing is open and nothing has to be taken.
    pub(crate) fn forget_before(&self, today: Day) {
        let mut state = self.state();
        let mut forgotten = None;
        state.books.retain(|book| {
            let keep = book.day >= today || book.open > 0 || book.dirty() > 0;
            if !keep {
                forgotten = forgotten.max(Some(book.day.plus(1)));
            }
            keep
        });
        state.first = state.first.max(forgotten);
    }

    fn begin(self: &Arc<Self>, now: Timestamp, names: &[(Dimension, &str)], reserve: u64) -> Open {
        let reserved = believed(reserve);
        let mut cells = [None; NAMES];
        let mut state = self.state();
        let book = state.open_book(Day::of(now));
        let day = book.day;
        book.open += 1;
        for (slot, (dimension, name)) in cells.iter_mut().zip(names) {
            let cell = book.cell(*dimension, name);
            book.change(cell, |tally| tally.begin(reserved));
            *slot = Some(cell);
        }
        drop(state);
        Open {
            ledger: Arc::clone(self),
            day,
            cells,
            reserved,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each step is whole before anything of it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Ends it with what it used; `None` when nobody knows. `estimated` says that the use is a guess.
    pub fn end(mut self, usage: Option<TokenCounts>, estimated: bool) {
        self.close(usage.as_ref(), estimated);
    }

    fn close(&mut self, usage: Option<&TokenCounts>, estimated: bool) {
        let cells = std::mem::take(&mut self.cells);
        if cells[0].is_none() {
            return;
        }
        let usage = usage.map(believed_usage);
        let mut state = self.ledger.state();
        if let Some(book) = state.book(self.day) {
            book.open -= 1;
            for cell in cells.into_iter().flatten() {
                book.change(cell, |tally| tally.end(self.reserved, usage.as_ref(), estimated));
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close(None, false);
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("day", &self.day)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

impl State {
    fn book(&mut self, day: Day) -> Option<&mut Book> {
        // Nearly always the last one.
        self.books.iter_mut().rev().find(|book| book.day == day)
    }

    /// The book to count calls in that begin in `day`.
    fn open_book(&mut self, day: Day) -> &mut Book {
        let day = self.first.map_or(day, |first| day.max(first));
        let mut place = self.books.partition_point(|book| book.day < day);
        if self.books.get(place).is_none_or(|book| book.day != day) {
            self.books.insert(place, Book::new(day));
            place -= usize::from(self.bound(place));
        }
        &mut self.books[place]
    }

    /// Forgets a day before the one at `place` if there are too many. Days with open calls stay: calls are not
    /// that long.
    fn bound(&mut self, place: usize) -> bool {
        let idle = self.books[..place].iter().position(|book| book.open == 0);
        let Some(oldest) = idle.filter(|_| self.books.len() > DAYS) else {
            return false;
        };
        let book = self.books.remove(oldest);
        self.first = self.first.max(Some(book.day.plus(1)));
        true
    }
}

#[cfg(test)]
mod tests;
