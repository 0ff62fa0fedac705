//! CSV text as columns of numbers. It computes nothing from them.

use akita_plugin::TaskError;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::fault;

/// Wider tables are somebody's mistake, such as a file without line ends.
const MAX_COLUMNS: usize = 1000;

/// How files say that a value is not there, in lower case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "-"];

/// One column.
#[derive(Debug, PartialEq)]
pub struct Column {
    pub name: String,
    /// A value for each row, where there is one.
    pub values: Vec<Option<f64>>,
    /// Cells that are neither a number nor missing.
    pub texts: usize,
}

impl Column {
    /// All that is there is numbers.
    pub fn is_numeric(&self) -> bool {
        self.texts == 0 && self.values.iter().any(Option::is_some)
    }
}

/// Columns of the same length.
#[derive(Debug, PartialEq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: usize,
}

impl Table {
    /// Reads CSV with a header line, separated by commas, semicolons or tabs, whichever the header has most of.
    pub fn parse(text: &str) -> Result<Self, TaskError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut records = Records::new(text);
        let header = records.next()?.unwrap_or_default();
        let mut columns = named(&header)?;
        let mut rows = 0;
        while let Some(cells) = records.next()? {
            rows += 1;
            if cells.len() != columns.len() {
                let message = format!("row {rows} has {} cells, and the header has {}", cells.len(), columns.len());
                return Err(unreadable(&message));
            }
            for (column, cell) in columns.iter_mut().zip(cells) {
                let value = number(cell);
                column.texts += usize::from(value.is_none() && !is_missing(cell));
                column.values.push(value);
            }
        }
        if rows == 0 {
            return Err(fault::input("no-rows", "/csv", "the CSV has a header and no rows"));
        }
        Ok(Self { columns, rows })
    }

    /// The column of numbers with this name; `pointer` is where the name was given.
    pub fn numbers(&self, name: &str, pointer: &str) -> Result<&Column, TaskError> {
        let found = self.columns.iter().find(|column| column.name == name);
        let column = found.ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let message = format!("there is no column `{name}`; there are {}", names.join(", "));
            fault::input("no-such-column", pointer, message)
        })?;
        if column.is_numeric() {
            return Ok(column);
        }
        Err(fault::input("not-numeric", pointer, format!("column `{name}` is not a column of numbers")))
    }
}

fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    // The last of equals wins, so a comma where there is none of them.
    [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

/// Records of a text, one after the other. Blank lines are none.
struct Records<'a> {
    reader: Reader,
    rest: &'a [u8],
    /// The cells of the record at hand, without what separates them.
    cells: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter(text)).build(),
            rest: text.as_bytes(),
            // Unquoting only shortens, so that no record needs more than this.
            cells: vec![0; text.len()],
            ends: vec![0; MAX_COLUMNS + 1],
        }
    }

    fn next(&mut self) -> Result<Option<Vec<&str>>, TaskError> {
        let (mut written, mut ended) = (0, 0);
        loop {
            let (cells, ends) = (&mut self.cells[written..], &mut self.ends[ended..]);
            let (result, read, wrote, end_count) = self.reader.read_record(self.rest, cells, ends);
            self.rest = &self.rest[read..];
            written += wrote;
            ended += end_count;
            match result {
                // Asked again with nothing left, the reader gives what it holds.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    let message = format!("the CSV has more than {MAX_COLUMNS} columns, which is the limit");
                    return Err(fault::input("too-wide", "/csv", message));
                }
            }
        }
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let cell = |(start, end): (usize, &usize)| str::from_utf8(&self.cells[start..*end]).map(str::trim);
        let cells: Result<Vec<&str>, _> = starts.zip(&self.ends[..ended]).map(cell).collect();
        cells.map(Some).map_err(|error| unreadable(&error.to_string()))
    }
}

fn named(header: &[&str]) -> Result<Vec<Column>, TaskError> {
    if header.is_empty() {
        return Err(fault::input("empty", "/csv", "the CSV is empty"));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(header.len());
    for name in header.iter().copied() {
        if columns.iter().any(|column| column.name == name) {
            return Err(fault::input("twice", "/csv", format!("two columns are called `{name}`")));
        }
        columns.push(Column { name: name.to_owned(), values: Vec::new(), texts: 0 });
    }
    Ok(columns)
}

fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| value.is_finite())
}

fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

fn unreadable(reason: &str) -> TaskError {
    fault::input("bad-csv", "/csv", format!("the CSV cannot be read: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_missing_values_and_text_are_told_apart() {
        let table = Table::parse("\u{feff}a, b ,c\n1,,x\n2.5,NA,3\n-1e3,7,\n").unwrap();
        let [a, b, c] = &table.columns[..] else { panic!("three columns") };
        assert_eq!(a.values, [Some(1.0), Some(2.5), Some(-1000.0)]);
        assert_eq!((b.name.as_str(), b.values[1], b.is_numeric()), ("b", None, true));
        assert_eq!((c.texts, c.is_numeric()), (1, false));
    }

    #[test]
    fn semicolons_tabs_and_single_columns() {
        for text in ["a;b\n1;2\n", "a\tb\n1\t2\n", "a,b\n1,2\n"] {
            assert_eq!(Table::parse(text).unwrap().columns.len(), 2, "{text:?}");
        }
        assert_eq!(Table::parse("a\n1\n").unwrap().columns.len(), 1);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for (text, code) in [("", "empty"), ("a,b\n", "no-rows"), ("a,a\n1,2\n", "twice"), ("a,b\n1\n", "bad-csv")] {
            assert_eq!(fault::told(&Table::parse(text).unwrap_err()).0, Some(code), "{text:?}");
        }
        let widest = ["x"; MAX_COLUMNS].iter().enumerate().map(|(index, x)| format!("{x}{index}")).collect::<Vec<_>>();
        assert_eq!(fault::told(&Table::parse(&format!("{}\n", widest.join(","))).unwrap_err()).0, Some("no-rows"));
        assert_eq!(fault::told(&Table::parse(&format!("{}\n1\n", ",".repeat(2000))).unwrap_err()).0, Some("too-wide"));
    }

    #[test]
    fn cells_may_be_quoted_and_lines_blank() {
        let table = Table::parse("\"a\",\" b, \"\"c\"\"\"\r\n\r\n\"1\",\"x\ny\"\r\n2,3").unwrap();
        assert_eq!((table.rows, table.columns[1].name.as_str()), (2, "b, \"c\""));
        assert_eq!((&table.columns[0].values, table.columns[1].texts), (&vec![Some(1.0), Some(2.0)], 1));
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let fault = Table::parse("a,b\n1,x\n").unwrap().numbers("c", "/target").unwrap_err();
        assert!(fault.failure().unwrap().message.contains("a, b"));
        assert_eq!(
            fault::told(&Table::parse("a,b\n1,x\n").unwrap().numbers("b", "/target").unwrap_err()).0,
            Some("not-numeric")
        );
    }
}
