//! Aligned columns for people.

use std::fmt;

use anstyle::Style;

use crate::style::{HEADING, OUTPUT, PLAIN, paint_if};

/// Rows of equally many cells, shown one below the other.
#[derive(Debug, Default)]
pub struct Columns {
    rows: Vec<Vec<Cell>>,
}

/// Text and its style.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in a style.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Cell { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::new(text, PLAIN)
    }
}

impl Columns {
    /// Columns with these titles.
    pub fn new(titles: &[&str]) -> Self {
        Columns { rows: vec![titles.iter().map(|title| Cell::new(*title, HEADING)).collect()] }
    }

    /// Adds a row; an empty cell is shown as a dash.
    pub fn push<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let shown = |cell: Cell| if cell.text.is_empty() { Cell { text: "-".to_owned(), ..cell } } else { cell };
        self.rows.push(cells.into_iter().map(|cell| shown(cell.into())).collect());
    }

    fn text(&self, coloured: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = |cell: &Cell| cell.text.chars().count();
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(length).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut blanks = 0;
            for (cell, width) in row.iter().zip(&widths) {
                text += &format!("{:blanks$}{}", "", paint_if(coloured, cell.style, &cell.text));
                blanks = width - length(cell) + 2;
            }
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(*OUTPUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::GOOD;

    #[test]
    fn cells_stand_below_their_titles() {
        let mut columns = Columns::new(&["NAME", "STATE", "NOTE"]);
        columns.push(["qemu-arm".into(), Cell::new("ok", GOOD), "é".into()]);
        columns.push(["é", "", "x"]);
        assert_eq!(columns.text(false), "NAME      STATE  NOTE\nqemu-arm  ok     é\né         -      x\n");
        let coloured = "\x1b[1mNAME\x1b[0m      \x1b[1mSTATE\x1b[0m  \x1b[1mNOTE\x1b[0m\n\
                        qemu-arm  \x1b[32mok\x1b[0m     é\né         -      x\n";
        assert_eq!(columns.text(true), coloured);
    }
}
