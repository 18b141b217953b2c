//! Aligned columns for people.

use std::fmt;

/// Rows of equally many cells, shown one below the other.
#[derive(Debug, Default)]
pub struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// Columns with these titles.
    pub fn new(titles: &[&str]) -> Self {
        Columns { rows: vec![titles.iter().map(std::string::ToString::to_string).collect()] }
    }

    /// Adds a row; an empty cell is shown as a dash.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_their_titles() {
        let mut columns = Columns::new(&["NAME", "STATE"]);
        columns.push(["qemu-arm".into(), "ok".into()]);
        columns.push(["é".into(), String::new()]);
        assert_eq!(columns.to_string(), "NAME      STATE\nqemu-arm  ok\né         -\n");
    }
}
