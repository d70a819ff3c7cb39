//! Rows as a table, or one below the other.

use super::paint::width;

/// The rows of one page, each cell printed.
#[derive(Debug, Default)]
pub(in crate::cli::shell) struct Page {
    /// The names of the columns, painted.
    pub(in crate::cli::shell) names: Vec<String>,
    /// The cells, painted.
    pub(in crate::cli::shell) rows: Vec<Vec<String>>,
}

fn pad(out: &mut String, spaces: usize) {
    out.extend(std::iter::repeat_n(' ', spaces));
}

fn rule(out: &mut String, widths: &[usize]) {
    out.push('-');
    for (index, width) in widths.iter().enumerate() {
        if index > 0 {
            out.push_str("-+-");
        }
        out.extend(std::iter::repeat_n('-', *width));
    }
    out.push_str("-\n");
}

impl Page {
    /// The page as a table, with the names above it if `header`.
    pub(in crate::cli::shell) fn table(&self, header: bool) -> String {
        let mut widths: Vec<_> = self.names.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (most, cell) in widths.iter_mut().zip(row) {
                *most = (*most).max(width(cell));
            }
        }
        let mut out = String::new();
        if header {
            out.push(' ');
            for (index, (name, most)) in self.names.iter().zip(&widths).enumerate() {
                if index > 0 {
                    out.push_str(" | ");
                }
                out.push_str(name);
                if index + 1 < self.names.len() {
                    pad(&mut out, most.saturating_sub(width(name)));
                }
            }
            out.push('\n');
            rule(&mut out, &widths);
        }
        for row in &self.rows {
            out.push(' ');
            for (index, (cell, most)) in row.iter().zip(&widths).enumerate() {
                if index > 0 {
                    out.push_str(" | ");
                }
                pad(&mut out, most.saturating_sub(width(cell)));
                out.push_str(cell);
            }
            out.push('\n');
        }
        out
    }

    /// Each row as lines of name and value; `before` rows came on earlier pages.
    pub(in crate::cli::shell) fn expanded(&self, before: usize) -> String {
        let most = self.names.iter().map(|name| width(name)).max().unwrap_or(0);
        let cells = self.rows.iter().flatten();
        let values = cells.map(|cell| width(cell)).max().unwrap_or(0);
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            out.push_str(&format!("@ Row {}\n", before + index + 1));
            rule(&mut out, &[most, values]);
            for (name, cell) in self.names.iter().zip(row) {
                out.push(' ');
                out.push_str(name);
                pad(&mut out, most.saturating_sub(width(name)));
                out.push_str(" | ");
                out.push_str(cell);
                out.push('\n');
            }
            out.push('\n');
        }
        out
    }
}

/// Names side by side, as many to a line as `columns` characters hold; read downwards.
pub(in crate::cli::shell) fn columnize(names: &[String], columns: usize) -> String {
    let widest = names.iter().map(|name| width(name)).max().unwrap_or(0) + 2;
    let across = (columns / widest.max(1)).clamp(1, names.len().max(1));
    let down = names.len().div_ceil(across);
    let mut out = String::new();
    for line in 0..down {
        let mut text = String::new();
        for name in names.iter().skip(line).step_by(down.max(1)) {
            text.push_str(name);
            pad(&mut text, widest.saturating_sub(width(name)));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        Page {
            names: ["id", "name", "note"].map(str::to_owned).to_vec(),
            rows: vec![row(["1", "日本", "null"]), row(["100", "b", "a longer text"])],
        }
    }

    #[test]
    fn a_table_is_laid_out_as_in_cqlsh() {
        let expected = " id  | name | note\n\
                        -----+------+---------------\n\
                        \x20  1 | 日本 |          null\n\
                        \x20100 |    b | a longer text\n";
        assert_eq!(page().table(true), expected);
    }

    #[test]
    fn expanded_rows_are_numbered_across_pages() {
        let text = page().expanded(10);
        assert!(
            text.starts_with("@ Row 11\n------+---------------\n id   | 1\n name | 日本\n"),
            "{text}"
        );
        assert!(text.contains("@ Row 12\n"));
    }

    #[test]
    fn names_fill_the_line() {
        let names = ["a", "bb", "ccc"].map(str::to_owned);
        assert_eq!(columnize(&names, 80), "a    bb   ccc\n");
        assert_eq!(columnize(&names, 10), "a    ccc\nbb\n");
    }
}
