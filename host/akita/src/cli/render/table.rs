//! Aligned columns. A table library would bring borders and wrapping that are not wanted here.

use owo_colors::OwoColorize as _;

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading; columns are as wide as they must be.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table with these headings.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns. Cells may carry colours.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The text, without the columns that are empty in every row.
    pub fn render(&self) -> String {
        let used: Vec<usize> =
            (0..self.columns.len()).filter(|&c| self.rows.iter().any(|r| !r[c].is_empty())).collect();
        let wide = |c: usize| self.rows.iter().map(|row| width(&row[c])).chain([self.columns[c].0.len()]).max();
        let widths: Vec<usize> = used.iter().map(|&c| wide(c).unwrap_or_default()).collect();
        let line = |cell: &dyn Fn(usize) -> String| {
            let cells = used.iter().zip(&widths).map(|(&c, &width)| pad(&cell(c), width, self.columns[c].1));
            format!("{}\n", cells.collect::<Vec<_>>().join(GAP).trim_end())
        };
        let mut text = line(&|c| self.columns[c].0.bold().to_string());
        for row in &self.rows {
            text.push_str(&line(&|c| row[c].clone()));
        }
        text
    }
}

/// Labels and values, one a line, the values aligned. Pairs without a value are left out.
pub fn facts(pairs: &[(&str, String)]) -> String {
    let shown: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let wide = shown.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    let line = |(label, value): &&(&str, String)| {
        let value = value.replace('\n', &format!("\n{}", " ".repeat(wide + GAP.len())));
        format!("{}{GAP}{value}\n", pad(&label.bold().to_string(), wide, Align::Left))
    };
    shown.iter().map(line).collect()
}

/// What the eye sees of a cell: its characters without colours.
fn width(cell: &str) -> usize {
    anstream::adapter::strip_str(cell).to_string().chars().count()
}

fn pad(cell: &str, wide: usize, align: Align) -> String {
    let fill = " ".repeat(wide.saturating_sub(width(cell)));
    if align == Align::Left { format!("{cell}{fill}") } else { format!("{fill}{cell}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_their_colours_and_empty_ones_vanish() {
        let mut table = Table::new(&[("NAME", Align::Left), ("NOTE", Align::Left), ("N", Align::Right)]);
        table.row(vec!["ridge".green().to_string(), String::new(), "7".into()]);
        table.row(vec!["é".into(), String::new(), "1,024".into()]);
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "NAME       N\nridge      7\né      1,024\n");
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let text = facts(&[("a", "1".into()), ("gone", String::new()), ("long", "x\ny".into())]);
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "a     1\nlong  x\n      y\n");
    }
}
