//! The dashboard and the alerts query series that the service has.

use crate::sources::read;
use airline_booking::telemetry::Metrics;
use std::collections::BTreeSet;

/// The names of series in a query: its words with an underscore, but those of the language.
fn series(query: &str) -> BTreeSet<String> {
    const LANGUAGE: [&str; 2] = ["histogram_quantile", "max_over_time"];
    let outside_quotes = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside_quotes.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
    let words = words.filter(|word| word.contains('_') && !LANGUAGE.contains(word));
    words.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_rules_name_series_that_there_are() {
    let rules = read("deploy/prometheus/rules.yml");
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let metrics = Metrics::new();
    let told = metrics.render();
    let registered = told.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    // Those with labels have no series, and so no name there, before they are first used.
    let guide = read("docs/operations.md");
    let documented =
        guide.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let known: BTreeSet<&str> = recorded
        .chain(registered.filter_map(|line| line.split(' ').next()))
        .chain(documented)
        .collect();

    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/airline-booking.json"))
            .expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut named: BTreeSet<String> =
        targets.flat_map(|target| series(target["expr"].as_str().expect("a query"))).collect();
    assert!(named.len() > 20, "{named:?}");
    let queries = rules.split("expr:").skip(1).map(|rule| {
        rule.split("\n        for:").next().unwrap_or_default().split("\n        labels:").next()
    });
    for query in queries.flatten() {
        let query = query.split("\n      - ").next().unwrap_or_default();
        named.extend(series(query.split("\n  - name").next().unwrap_or_default()));
    }
    let is_known = |name: &String| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        known.contains(name.as_str()) || base.is_some_and(|base| known.contains(base))
    };
    let unknown: Vec<_> =
        named.iter().filter(|name| !is_known(name) && !name.starts_with("process_")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
