//! Lists that commands print: a table for people, CSV or JSON lines for programs.
//!
//! Columns are named once and are the same in all three; only JSON tells more where it has more to
//! say. Numbers are the shortest text that reads back as the same value. Words go to stderr.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::marker::PhantomData;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

use super::{Failure, lines};

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns to read.
    #[default]
    Table,
    /// A header and one line for each row.
    Csv,
    /// One JSON object for each row.
    Json,
}

/// A row of a list; as JSON it is what it serialises to.
pub trait Row: Serialize {
    /// Names of the columns, as the header of CSV has them.
    const COLUMNS: &'static [&'static str];

    /// The text of each column; empty where there is nothing to say.
    fn cells(&self) -> Vec<String>;
}

/// Prints the rows on stdout. A table without rows is left out; CSV has its header in any case.
///
/// # Errors
/// Those of stdout.
pub fn print<R: Row>(format: Format, rows: impl IntoIterator<Item = R>) -> Result<(), Failure> {
    let mut out = Printer::new(format)?;
    rows.into_iter().try_for_each(|row| out.row(row))?;
    out.finish()
}

/// Prints rows that come one after the other. Only a table keeps them, to know how wide it is.
pub struct Printer<R, W: Write = io::StdoutLock<'static>> {
    out: Out<W>,
    rows: PhantomData<fn(R)>,
}

enum Out<W: Write> {
    Table(Table, W),
    Csv(csv::Writer<W>),
    Json(BufWriter<W>),
}

impl<R: Row> Printer<R> {
    /// Prints on stdout.
    ///
    /// # Errors
    /// Those of stdout.
    pub fn new(format: Format) -> Result<Printer<R>, Failure> {
        Printer::onto(io::stdout().lock(), format, terminal_width())
    }
}

impl<R: Row, W: Write> Printer<R, W> {
    fn onto(out: W, format: Format, width: Option<u16>) -> Result<Printer<R, W>, Failure> {
        let out = match format {
            Format::Table => {
                let mut table = table(width);
                table.set_header(R::COLUMNS.iter().map(|column| column.replace('_', " ")));
                Out::Table(table, out)
            }
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(R::COLUMNS).map_err(io::Error::from)?;
                Out::Csv(csv)
            }
            Format::Json => Out::Json(BufWriter::new(out)),
        };
        Ok(Printer { out, rows: PhantomData })
    }

    /// Prints a row.
    ///
    /// # Errors
    /// Those of the output.
    pub fn row(&mut self, row: R) -> Result<(), Failure> {
        match &mut self.out {
            Out::Table(table, _) => {
                let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
                table.add_row(row.cells().into_iter().map(dash));
            }
            Out::Csv(csv) => csv.write_record(row.cells()).map_err(io::Error::from)?,
            Out::Json(out) => lines::write(out, &row)?,
        }
        Ok(())
    }

    /// Prints what is still held.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(self) -> Result<(), Failure> {
        match self.out {
            Out::Table(table, mut out) => {
                if !table.is_empty() {
                    writeln!(out, "{}", table.trim_fmt())?;
                }
                out.flush()?;
            }
            Out::Csv(mut csv) => csv.flush()?,
            Out::Json(mut out) => out.flush()?,
        }
        Ok(())
    }
}

/// One line, under the header: rows are short and many.
const UNDER_THE_HEADER: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// An empty table as wide as `width`, or as its contents.
pub fn table(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(UNDER_THE_HEADER);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// The width of the terminal that stdout is, if it is one.
pub fn terminal_width() -> Option<u16> {
    let is_terminal = io::stdout().is_terminal();
    is_terminal.then(crossterm::terminal::size)?.ok().map(|(columns, _)| columns)
}

/// Says words on stderr; a closed stderr leaves nobody to tell.
pub fn say(words: impl Display) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// `1 symbol`, `2 symbols`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with("s") => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair {
        name: &'static str,
        best_price: Option<f64>,
    }

    impl Row for Pair {
        const COLUMNS: &'static [&'static str] = &["name", "best_price"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.best_price.map_or_else(String::new, |price| price.to_string())]
        }
    }

    fn text(format: Format, rows: Vec<Pair>) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::onto(&mut out, format, None).unwrap();
        rows.into_iter().for_each(|row| printer.row(row).unwrap());
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_says_the_same_in_every_format() {
        let rows = || vec![Pair { name: "a,b", best_price: Some(0.1) }, Pair { name: "c", best_price: None }];
        assert_eq!(text(Format::Csv, rows()), "name,best_price\n\"a,b\",0.1\nc,\n");
        assert_eq!(
            text(Format::Json, rows()),
            "{\"name\":\"a,b\",\"best_price\":0.1}\n{\"name\":\"c\",\"best_price\":null}\n"
        );
        let table = text(Format::Table, rows());
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines = table.lines().map(words).collect::<Vec<_>>();
        assert!(lines.contains(&vec!["name".to_owned(), "best".to_owned(), "price".to_owned()]), "{table}");
        assert!(lines.contains(&vec!["c".to_owned(), "-".to_owned()]), "{table}");
    }

    #[test]
    fn an_empty_list_is_no_table_but_has_a_header_in_csv() {
        assert_eq!(text(Format::Table, vec![]), "");
        assert_eq!(text(Format::Csv, vec![]), "name,best_price\n");
        assert_eq!(text(Format::Json, vec![]), "");
    }

    #[test]
    fn nouns_are_counted() {
        assert_eq!([count(0, "gap"), count(1, "gap"), count(2, "series")], ["0 gaps", "1 gap", "2 series"]);
        assert_eq!([count(1, "stretch"), count(2, "stretch")], ["1 stretch", "2 stretches"]);
    }
}
