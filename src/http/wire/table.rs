//! Tables as CSV (RFC 4180), for spreadsheets.

use http::{HeaderName, HeaderValue, header};

/// The first line has the names of the columns.
pub(crate) const CSV: (HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));

/// What a spreadsheet takes for the start of a formula, tab and return included (OWASP, CSV injection).
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Lines of cells.
#[derive(Default)]
pub(crate) struct Table(String);

impl Table {
    /// Appends a line.
    ///
    /// A cell that a spreadsheet would take for a formula begins with `'` instead: what travellers typed
    /// must not run on an operator's machine.
    pub(crate) fn line(&mut self, cells: impl IntoIterator<Item: AsRef<str>>) {
        for (place, cell) in cells.into_iter().enumerate() {
            if place > 0 {
                self.0.push(',');
            }
            self.cell(cell.as_ref());
        }
        self.0.push_str("\r\n");
    }

    /// The whole text.
    pub(crate) fn text(self) -> String {
        self.0
    }

    fn cell(&mut self, text: &str) {
        let guard = if text.starts_with(FORMULA_STARTS) { "'" } else { "" };
        if text.contains(['"', ',', '\r', '\n']) {
            let text = text.replace('"', "\"\"");
            self.0.extend(["\"", guard, &text, "\""]);
        } else {
            self.0.extend([guard, text]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> String {
        let mut table = Table::default();
        table.line(cells);
        table.text()
    }

    #[test]
    fn cells_with_commas_quotes_and_line_breaks_are_quoted() {
        assert_eq!(line(&["a", "", " b "]), "a,, b \r\n");
        assert_eq!(line(&["a,b", "\"c\"", "d\r\ne"]), "\"a,b\",\"\"\"c\"\"\",\"d\r\ne\"\r\n");
    }

    #[test]
    fn cells_that_look_like_formulas_begin_with_an_apostrophe() {
        for start in FORMULA_STARTS.into_iter().filter(|start| *start != '\r') {
            assert_eq!(line(&[&format!("{start}1")]), format!("'{start}1\r\n"));
        }
        assert_eq!(line(&["\r1", "=\"a\",1"]), "\"'\r1\",\"'=\"\"a\"\",1\"\r\n");
        assert_eq!(line(&["1-1", "'=1", "a@b"]), "1-1,'=1,a@b\r\n");
    }
}
