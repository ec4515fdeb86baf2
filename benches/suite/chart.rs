//! The chart of the ratios.

use std::fmt::Write as _;

/// A bar for each ratio, by name; the line is the baseline.
pub fn ratios(rows: &[(&str, f64)]) -> String {
    let most = rows.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
    let (left, width, line) = (330.0, 520.0, 28.0);
    let height = line * rows.len() as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"940\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>Ratio to the baseline</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (number, (name, ratio)) in rows.iter().enumerate() {
        let (y, bar) = (20.0 + line * number as f64, width * ratio / most);
        let text = y + 14.0;
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{left}\" y=\"{y}\" width=\"{bar:.0}\" height=\"20\" fill=\"#3b7ea1\"/>\n\
             <text x=\"{:.0}\" y=\"{text}\">{ratio:.2} ×</text>\n",
            left - 8.0,
            left + bar + 6.0
        );
    }
    let one = left + width / most;
    let _ = write!(
        svg,
        "<line x1=\"{one:.0}\" x2=\"{one:.0}\" y1=\"10\" y2=\"{height}\" stroke=\"#c33\"/>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" fill=\"#c33\">baseline</text>\n</svg>\n",
        one + 4.0,
        height - 6.0
    );
    svg
}
