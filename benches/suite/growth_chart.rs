//! The chart of how throughput and p99 change as work grows: two panels, both axes logarithmic.

use serde::Serialize;
use std::fmt::Write as _;

/// One line of each panel.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<Point>,
}

/// What was measured at one size of the work.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    /// Clients or flights.
    pub size: f64,
    /// A second.
    pub rate: f64,
    pub p99_ms: f64,
}

const COLOURS: [&str; 4] = ["#3b7ea1", "#c4622d", "#4f8a3d", "#7a5195"];
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 46.0;

/// Sizes that the x axis names.
const SIZES: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 2_048.0];

/// A logarithmic axis: from a power of ten to a power of ten, or from one size to another.
struct Axis {
    from: f64,
    to: f64,
    length: f64,
}

impl Axis {
    /// Whole decades around these values.
    fn decades(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-3);
        let most = values.fold(least, f64::max);
        let to = 10_f64.powf((most * 1.001).log10().ceil());
        Self { from: 10_f64.powf(least.log10().floor()), to, length: HEIGHT }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(self.from) / self.from).ln() / (self.to / self.from).ln();
        part * self.length
    }
}

/// Throughput on the left, p99 on the right.
pub fn draw(series: &[Series]) -> String {
    let (width, height) = (2.0 * WIDTH + 190.0, HEIGHT + TOP + 50.0 + 20.0 * series.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>As work grows</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    panel(&mut svg, 70.0, "Throughput, a second", series, |point| point.rate);
    panel(&mut svg, WIDTH + 160.0, "p99, milliseconds", series, |point| point.p99_ms);
    for (number, line) in series.iter().enumerate() {
        let (y, colour) = (TOP + HEIGHT + 52.0 + 20.0 * number as f64, colour(number));
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<rect x=\"70\" y=\"{}\" width=\"24\" height=\"4\" fill=\"{colour}\"/>\n\
             <text x=\"102\" y=\"{y}\">{}</text>\n",
            y - 6.0,
            line.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

fn panel(svg: &mut String, left: f64, title: &str, series: &[Series], value: fn(&Point) -> f64) {
    let values = series.iter().flat_map(|line| line.points.iter().map(value));
    let x = Axis { from: 1.0, to: 2_500.0, length: WIDTH };
    let y = Axis::decades(values);
    let bottom = TOP + HEIGHT;
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">{title}</text>",
        TOP - 16.0
    );
    let mut decade = y.from;
    while decade <= y.to * 1.001 {
        let at = bottom - y.at(decade);
        let _ = write!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{decade}</text>\n",
            left + WIDTH,
            left - 8.0,
            at + 4.0
        );
        decade *= 10.0;
    }
    for size in SIZES {
        let at = left + x.at(size);
        let _ = write!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#eee\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{size}</text>\n",
            bottom + 18.0
        );
    }
    for (number, line) in series.iter().enumerate() {
        let colour = colour(number);
        let at = |point: &Point| (left + x.at(point.size), bottom - y.at(value(point)));
        let points: Vec<_> = line.points.iter().map(at).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}
