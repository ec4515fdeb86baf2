//! Metrics and alerts: the code, the rules, their tests and the operator's guide name the same ones.

use crate::sources::{read, sources};
use airline_booking::telemetry::Metrics;
use std::collections::BTreeSet;

/// What a name stands behind in `src/telemetry/`, if it is a metric's.
const REGISTRATIONS: [&str; 10] = [
    ".counter(",
    ".counters(",
    ".gauge(",
    ".gauges(",
    ".float_gauge(",
    ".float_gauges(",
    ".histogram(",
    ".histograms(",
    "by_topic(",
    "IntGauge::new(",
];

/// The metrics that the code registers, also those that show only once they have a series.
fn registered() -> BTreeSet<String> {
    let sources = sources();
    let telemetry = sources.iter().filter(|source| source.is_in(&["telemetry/"]));
    let names = telemetry.flat_map(|source| {
        let calls = REGISTRATIONS.iter().flat_map(|call| source.code.split(call).skip(1));
        calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
    });
    names.map(str::to_owned).collect()
}

/// The first cells of a table of the operator's guide, without backticks and labels.
fn rows_of(head: &str) -> BTreeSet<String> {
    let guide = read("docs/operations.md");
    let table = guide.split(head).nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split(['`', '{']).next());
    names.map(str::to_owned).collect()
}

/// The words behind a key of a YAML file, one a line.
fn values_of(file: &str, key: &str) -> BTreeSet<String> {
    let text = read(file);
    let values = text.lines().filter_map(|line| Some(line.split_once(key)?.1.trim().to_owned()));
    values.collect()
}

#[test]
fn the_guide_lists_exactly_the_metrics_that_the_code_registers() {
    let registered = registered();
    let shown = Metrics::new().render();
    let shown = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in shown.filter(|name| !name.starts_with("process_")) {
        assert!(
            registered.contains(name),
            "{name} is registered by a call that this test overlooks"
        );
    }
    let mut documented = rows_of("| metric | what it counts |");
    assert!(documented.remove("process_*"), "the library's own metrics");
    assert_eq!(documented, registered);
}

#[test]
fn every_alert_is_in_the_guide_and_fires_in_a_test() {
    let alerts = values_of("deploy/prometheus/rules.yml", "- alert: ");
    assert_eq!(rows_of("| alert | severity | fires when |"), alerts);

    let tests = read("tests/observability/rules_test.yml");
    let cases = tests.split("alertname: ").skip(1);
    let fired = cases.filter(|case| case.contains("exp_alerts:") && case.contains("summary:"));
    let fired: BTreeSet<_> = fired.filter_map(|case| case.lines().next()).collect();
    assert_eq!(fired, alerts.iter().map(String::as_str).collect());
}

#[test]
fn the_guide_says_the_severity_of_each_alert() {
    let (rules, guide) = (read("deploy/prometheus/rules.yml"), read("docs/operations.md"));
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().expect("a name");
        let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split('}').next());
        let row = format!("| `{name}` | {} |", severity.expect("a severity"));
        assert!(guide.contains(&row), "{row}");
    }
}
