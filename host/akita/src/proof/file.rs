//! Rows in files: JSON lines, or CSV (RFC 4180). A proof is the first line of the former, and a file of its own beside
//! the latter. Both are written and read a row at a time.

use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use super::{ExactRow, Fault, RangeProof};

/// The columns of the CSV form. `details` is a JSON array of `[key, value]`.
const COLUMNS: [&str; 7] = ["index", "time", "event_type", "node_id", "task_id", "details", "leaf_hash"];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a heading
    Csv,
}

/// Why rows are not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What is in it is no row.
    #[error("{0}")]
    Form(Fault),
}

/// Where the proof of a file without room for one lies.
pub fn proof_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".proof.json");
    PathBuf::from(name)
}

/// Writes rows.
pub enum Writer<W: Write> {
    /// As JSON lines.
    Jsonl(W),
    /// As CSV.
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Writer<W> {
    /// Begins a file. A proof is written only where it has a place.
    pub fn new(form: Form, mut out: W, proof: Option<&RangeProof>) -> io::Result<Writer<W>> {
        match form {
            Form::Jsonl => {
                if let Some(proof) = proof {
                    line(&mut out, proof)?;
                }
                Ok(Writer::Jsonl(out))
            }
            Form::Csv => {
                let mut table = csv::Writer::from_writer(out);
                table.write_record(COLUMNS).map_err(io::Error::from)?;
                Ok(Writer::Csv(Box::new(table)))
            }
        }
    }

    /// The next row.
    pub fn row(&mut self, row: &ExactRow) -> io::Result<()> {
        match self {
            Writer::Jsonl(out) => line(out, row),
            Writer::Csv(table) => {
                let details = serde_json::to_string(&row.details)?;
                let index = row.index.to_string();
                let task = row.task_id.as_deref().unwrap_or_default();
                let fields = [&index, &row.time, &row.event_type, &row.node_id, task, &details, &row.leaf_hash];
                Ok(table.write_record(fields)?)
            }
        }
    }

    /// Writes out what is left.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Writer::Jsonl(mut out) => out.flush(),
            Writer::Csv(mut table) => table.flush(),
        }
    }
}

fn line(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

type Rows<'a> = Box<dyn Iterator<Item = Result<ExactRow, Unreadable>> + 'a>;

/// Reads rows.
pub struct Reader<'a> {
    /// The proof, where the file holds it.
    pub proof: Option<RangeProof>,
    /// The form that the file turned out to have.
    pub form: Form,
    rows: Rows<'a>,
}

impl<'a> Reader<'a> {
    /// Looks at the beginning.
    pub fn new(mut input: impl BufRead + 'a) -> Result<Reader<'a>, Unreadable> {
        if input.fill_buf()?.first() != Some(&b'{') {
            return Self::csv(input);
        }
        let mut lines = input.lines().enumerate().peekable();
        let is_proof = |text: &String| text.contains(RangeProof::FORMAT) && text.starts_with("{\"format\"");
        let first = lines.next_if(|(_, line)| line.as_ref().is_ok_and(is_proof));
        let proof = match first {
            Some((_, line)) => Some(parse(&line?, 1)?),
            None => None,
        };
        let rows = lines.map(|(at, line)| parse(&line?, at as u64 + 1));
        Ok(Reader { proof, form: Form::Jsonl, rows: Box::new(rows) })
    }

    fn csv(input: impl BufRead + 'a) -> Result<Reader<'a>, Unreadable> {
        let mut table = csv::Reader::from_reader(input);
        let heading = table.headers().map_err(bad_csv)?;
        if heading.iter().ne(COLUMNS) {
            let text = format!("it begins neither with a JSON object nor with the columns {}", COLUMNS.join(","));
            return Err(Unreadable::Form(Fault(text)));
        }
        let rows = table.into_records().map(|record| row_of(&record.map_err(bad_csv)?));
        Ok(Reader { proof: None, form: Form::Csv, rows: Box::new(rows) })
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<ExactRow, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

fn parse<T: serde::de::DeserializeOwned>(line: &str, at: u64) -> Result<T, Unreadable> {
    serde_json::from_str(line).map_err(|error| Unreadable::Form(Fault(format!("line {at} is no row: {error}"))))
}

fn row_of(record: &csv::StringRecord) -> Result<ExactRow, Unreadable> {
    let at = record.position().map_or(0, csv::Position::line);
    let field = |column: usize| record.get(column).unwrap_or_default();
    let bad = |what: &str| Unreadable::Form(Fault(format!("line {at} is no row: its {what} cannot be read")));
    Ok(ExactRow {
        index: field(0).parse().map_err(|_| bad("index"))?,
        time: field(1).to_owned(),
        event_type: field(2).to_owned(),
        node_id: field(3).to_owned(),
        task_id: Some(field(4)).filter(|task| !task.is_empty()).map(str::to_owned),
        details: serde_json::from_str(field(5)).map_err(|_| bad("details"))?,
        leaf_hash: field(6).to_owned(),
    })
}

fn bad_csv(error: csv::Error) -> Unreadable {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Unreadable::Io(error),
        csv::ErrorKind::UnequalLengths { pos, len, .. } => {
            let at = pos.map_or(0, |pos| pos.line());
            Unreadable::Form(Fault(format!("line {at} is no row: it has {len} fields and not {}", COLUMNS.len())))
        }
        other => Unreadable::Form(Fault(format!("it is no CSV: {other:?}"))),
    }
}
