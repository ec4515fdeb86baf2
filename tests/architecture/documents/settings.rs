//! The documents list the settings and the problem codes that there are.

use crate::sources::read;
use airline_booking::config::SETTINGS;
use airline_booking::http::ProblemCode;
use std::collections::BTreeSet;

#[test]
fn the_page_and_the_example_list_exactly_the_settings_with_defaults_and_descriptions() {
    let settings: BTreeSet<_> = SETTINGS
        .iter()
        .map(|s| (s.name.to_owned(), s.default.to_owned(), s.help.to_owned()))
        .collect();
    let page = read("docs/settings.md");
    let table = page.split("| Variable | Default |").nth(1).expect("the table of settings");
    let documented = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let mut cell = || cells.next().expect("three cells");
            let (name, default) = (cell().trim_matches('`'), cell());
            let default = if default == "(empty)" { "" } else { default.trim_matches('`') };
            (name.to_owned(), default.to_owned(), cell().to_owned())
        })
        .collect::<BTreeSet<_>>();
    assert_eq!(documented, settings);

    let example = read(".env.example");
    // AUTH must be chosen, so it is commented out: loading the file chooses nothing.
    let example = example.replace(
        "# Commented out: loading this file must not choose for you where others reach the port.\n#AUTH=off",
        "AUTH=off",
    );
    let entries = example.split("\n\n").skip(1).map(|entry| entry.split_once('\n'));
    let listed: BTreeSet<_> = entries
        .map(|entry| {
            let (help, setting) = entry.expect("a description and a setting");
            let help = help.strip_prefix("# ").and_then(|help| help.strip_suffix('.'));
            let (name, default) = setting.trim_end().split_once('=').expect("a name and a value");
            (name.to_owned(), default.to_owned(), help.expect("a sentence").to_owned())
        })
        .collect();
    assert_eq!(listed, settings);
}

#[test]
fn the_operators_guide_names_every_problem_code() {
    let guide = read("docs/operations.md");
    for code in ProblemCode::ALL {
        assert!(guide.contains(&format!("| `{}` |", code.as_str())), "code {}", code.as_str());
    }
}
