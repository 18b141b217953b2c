//! Aligned columns for people.

use std::fmt;

use anstyle::Style;

use super::text::width;
use crate::style::{HEADING, OUTPUT, PLAIN, paint_if};

/// Blanks between columns.
const GAP: usize = 2;

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

    fn length(&self) -> usize {
        self.text.chars().count()
    }

    /// Cuts the text to `most` characters, at its beginning or at its end.
    fn cut(&mut self, most: usize, beginning: bool) {
        let length = self.length();
        if length <= most {
            return;
        }
        let kept = most.saturating_sub(1);
        self.text = match beginning {
            true => format!("…{}", self.text.chars().skip(length - kept).collect::<String>()),
            false => format!("{}…", self.text.chars().take(kept).collect::<String>()),
        };
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::new(text, PLAIN)
    }
}

/// A way to make columns narrower, by the title of one of them.
#[derive(Clone, Copy, Debug)]
pub enum Narrow {
    /// Its cells are cut at their ends, and keep at least so many characters.
    End(&'static str, usize),
    /// They are cut at their beginnings.
    Beginning(&'static str, usize),
    /// It is left out.
    Drop(&'static str),
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

    /// The same so that no row is wrapped, if standard output is a terminal: made narrower in these
    /// ways, as far as needed.
    pub fn fitting(self, ways: &[Narrow]) -> Self {
        match width() {
            Some(width) => self.narrowed(width, ways),
            None => self,
        }
    }

    fn narrowed(mut self, most: usize, ways: &[Narrow]) -> Self {
        for way in ways {
            let widths = self.widths();
            let whole = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let (Narrow::End(title, _) | Narrow::Beginning(title, _) | Narrow::Drop(title)) = *way;
            let column = self.rows.first().and_then(|titles| titles.iter().position(|cell| cell.text == title));
            let (Some(column), Some(excess @ 1..)) = (column, whole.checked_sub(most)) else { continue };
            for row in self.rows.iter_mut().filter(|row| column < row.len()) {
                // Titles stay whole.
                let most = |least: usize| least.max(title.len()).max(widths[column].saturating_sub(excess));
                match *way {
                    Narrow::Drop(_) => _ = row.remove(column),
                    Narrow::End(_, least) => row[column].cut(most(least), false),
                    Narrow::Beginning(_, least) => row[column].cut(most(least), true),
                }
            }
        }
        self
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(Cell::length).max();
        (0..columns).map(|column| width(column).unwrap_or(0)).collect()
    }

    fn text(&self, coloured: bool) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let mut blanks = 0;
            for (cell, width) in row.iter().zip(&widths) {
                text += &format!("{:blanks$}{}", "", paint_if(coloured, cell.style, &cell.text));
                blanks = width - cell.length() + GAP;
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
    fn rows_are_made_to_fit() {
        let ways =
            [Narrow::Beginning("PATH", 5), Narrow::End("ALSO", 4), Narrow::Drop("ALSO"), Narrow::Beginning("PATH", 2)];
        let narrowed = |most| {
            let mut columns = Columns::new(&["NAME", "PATH", "ALSO"]);
            columns.push(["a", "/usr/bin/x", "one two"]);
            columns.push(["b", "", "é"]);
            columns.narrowed(most, &ways).text(false)
        };
        assert_eq!(narrowed(25), "NAME  PATH        ALSO\na     /usr/bin/x  one two\nb     -           é\n");
        assert_eq!(narrowed(24), "NAME  PATH       ALSO\na     …sr/bin/x  one two\nb     -          é\n");
        assert_eq!(narrowed(18), "NAME  PATH   ALSO\na     …in/x  one …\nb     -      é\n");
        assert_eq!(narrowed(11), "NAME  PATH\na     …in/x\nb     -\n");
        assert_eq!(narrowed(8), "NAME  PATH\na     …n/x\nb     -\n");
    }

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
