//! One day of one process.

use std::sync::Arc;

use foldhash::HashMap;

use super::{Day, Dimension, OTHER, Row, Tally};

/// What a process counted of the calls that began in one day.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) day: Day,
    /// Calls and attempts that have not ended.
    pub(super) open: u64,
    numbers: [HashMap<Arc<str>, u32>; Dimension::ALL.len()],
    cells: Vec<Cell>,
    /// Cells that changed since they were taken, each once.
    dirty: Vec<u32>,
}

/// One name that changed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The number of its cell.
    pub(super) cell: u32,
    pub(crate) dimension: Dimension,
    pub(crate) name: Arc<str>,
    /// All that was counted so far, not what was added.
    pub(crate) tally: Tally,
}

#[derive(Debug)]
struct Cell {
    dimension: Dimension,
    name: Arc<str>,
    tally: Tally,
    dirty: bool,
}

impl Book {
    pub(super) fn new(day: Day) -> Self {
        Self {
            day,
            open: 0,
            numbers: Default::default(),
            cells: Vec::new(),
            dirty: Vec::new(),
        }
    }

    /// The cell of a name, made when missing.
    pub(super) fn cell(&mut self, dimension: Dimension, name: &str) -> u32 {
        let numbers = &mut self.numbers[dimension as usize];
        let mut name = dimension.bounded(name);
        if let Some(number) = numbers.get(name) {
            return *number;
        }
        if numbers.len() >= dimension.most_names() {
            name = OTHER;
            if let Some(number) = numbers.get(name) {
                return *number;
            }
        }
        let number = u32::try_from(self.cells.len()).expect("names are bounded");
        let name: Arc<str> = name.into();
        numbers.insert(Arc::clone(&name), number);
        self.cells.push(Cell {
            dimension,
            name,
            tally: Tally::default(),
            dirty: false,
        });
        number
    }

    /// Changes the numbers of a cell.
    pub(super) fn change(&mut self, cell: u32, change: impl FnOnce(&mut Tally)) {
        if let Some(known) = self.cells.get_mut(cell as usize) {
            change(&mut known.tally);
            self.mark(cell);
        }
    }

    /// Has a cell taken again.
    pub(super) fn mark(&mut self, cell: u32) {
        if let Some(known) = self.cells.get_mut(cell as usize)
            && !known.dirty
        {
            known.dirty = true;
            self.dirty.push(cell);
        }
    }

    pub(super) fn mark_all(&mut self) {
        for cell in 0..u32::try_from(self.cells.len()).unwrap_or(u32::MAX) {
            self.mark(cell);
        }
    }

    /// How many cells changed since they were taken.
    pub(super) const fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Takes at most so many cells that changed.
    pub(super) fn take_changes(&mut self, most: usize) -> Vec<Change> {
        let start = self.dirty.len().saturating_sub(most);
        let taken = self.dirty.drain(start..);
        taken
            .filter_map(|number| {
                let cell = self.cells.get_mut(number as usize)?;
                cell.dirty = false;
                Some(Change {
                    cell: number,
                    dimension: cell.dimension,
                    name: Arc::clone(&cell.name),
                    tally: cell.tally,
                })
            })
            .collect()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        self.cells.iter().map(|cell| Row {
            day: self.day,
            dimension: cell.dimension,
            name: Arc::clone(&cell.name),
            tally: cell.tally,
        })
    }
}
