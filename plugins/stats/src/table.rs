//! CSV text as columns of numbers. It computes nothing from them.

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::fault::{self, Fault};

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
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = ReaderBuilder::new().delimiter(delimiter(text)).trim(Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| unreadable(&error))?;
        let mut columns = named(header)?;
        let mut rows = 0;
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| unreadable(&error))? {
            rows += 1;
            for (column, cell) in columns.iter_mut().zip(&record) {
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
    pub fn numbers(&self, name: &str, pointer: &str) -> Result<&Column, Fault> {
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

fn named(header: &StringRecord) -> Result<Vec<Column>, Fault> {
    if header.is_empty() {
        return Err(fault::input("empty", "/csv", "the CSV is empty"));
    }
    if header.len() > MAX_COLUMNS {
        let message = format!("the CSV has {} columns, and {MAX_COLUMNS} is the limit", header.len());
        return Err(fault::input("too-wide", "/csv", message));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(header.len());
    for name in header {
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

fn unreadable(error: &csv::Error) -> Fault {
    fault::input("bad-csv", "/csv", format!("the CSV cannot be read: {error}"))
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
            assert_eq!(Table::parse(text).unwrap_err().code, code, "{text:?}");
        }
        assert_eq!(Table::parse(&format!("{}\n1\n", ",".repeat(2000))).unwrap_err().code, "too-wide");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let fault = Table::parse("a,b\n1,x\n").unwrap().numbers("c", "/target").unwrap_err();
        assert!(fault.message.contains("a, b"));
        assert_eq!(Table::parse("a,b\n1,x\n").unwrap().numbers("b", "/target").unwrap_err().code, "not-numeric");
    }
}
