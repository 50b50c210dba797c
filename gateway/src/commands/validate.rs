//! `roundhouse-gateway validate`: what an API server and a gateway would say to some files.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::source::{self, Entry, Report, SourceError};

/// What the check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every object can be used.
    Good,
    /// At least one cannot, or there is none.
    Bad,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::Bad => Self::FAILURE,
        }
    }
}

/// Why nothing was checked. Bad usage: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A path cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Write(#[from] io::Error),
}

/// Checks files and folders and writes every object's conditions, one a line.
pub fn run(paths: &[PathBuf], out: &mut dyn Write) -> Result<Outcome, ValidateError> {
    let report = source::validate(paths)?;
    write(&report, out)?;
    Ok(if report.is_good() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; 7]> = report.entries.iter().flat_map(rows).collect();
    let head = [
        "KIND",
        "NAME",
        "CONDITION",
        "STATUS",
        "REASON",
        "WHERE",
        "MESSAGE",
    ];
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut line = |cells: [&str; 7]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(
                ' ',
                width + 2 - cell.chars().count().min(width),
            ));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(head)?;
    for row in &rows {
        line(std::array::from_fn(|column| row[column].as_str()))?;
    }
    let bad = report.entries.iter().filter(|entry| !entry.is_good()).count();
    let objects = match report.entries.len() {
        0 => return writeln!(out, "\nno objects found"),
        1 => "1 object".to_owned(),
        many => format!("{many} objects"),
    };
    match bad {
        0 => writeln!(out, "\n{objects}, all good"),
        bad => writeln!(out, "\n{objects}, {bad} not usable"),
    }
}

fn rows(entry: &Entry) -> Vec<[String; 7]> {
    let (kind, name) = match &entry.identity {
        Some(identity) => (identity.kind.to_string(), identity.name.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let row = |condition: &resources::Condition| {
        [
            kind.clone(),
            name.clone(),
            condition.kind.to_string(),
            if condition.status { "True" } else { "False" }.to_owned(),
            condition.reason.to_string(),
            entry.origin.to_string(),
            condition.message.clone(),
        ]
    };
    entry.conditions.iter().map(row).collect()
}

#[cfg(test)]
mod tests;
