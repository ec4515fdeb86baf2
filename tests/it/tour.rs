//! `docs/tour.md`, run line by line by bash and curl: each command succeeds, and each answer is as shown.

use crate::support::process::Server;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Stands for what differs each time: a whole value, the end of a text, or further fields.
const ANYTHING: &str = "…";

/// What stands between the outputs of two steps.
const END_OF_STEP: &str = "\u{1e}";

/// A block of commands, and the answer that the page shows for its last one.
struct Step {
    commands: String,
    shown: Option<Value>,
}

/// The steps of a page: blocks of `bash`, each with the block of `json` that follows it.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, block) in page.split("\n```").enumerate().filter(|(at, _)| at % 2 == 1) {
        let (language, text) = block.split_once('\n').unwrap_or_else(|| panic!("block {at}"));
        match (language, steps.last_mut()) {
            ("bash", _) => steps.push(Step { commands: text.to_owned(), shown: None }),
            ("json", Some(step)) => {
                step.shown =
                    Some(serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")));
            }
            _ => panic!("a block of {language}"),
        }
    }
    steps
}

/// Where an answer differs from what is shown; `None` if it is as shown.
fn difference(shown: &Value, answer: &Value, at: &str) -> Option<String> {
    match (shown, answer) {
        (Value::String(text), _) if text == ANYTHING => None,
        (Value::String(text), Value::String(answer)) => {
            let is_alike = match text.strip_suffix(ANYTHING) {
                Some(beginning) => answer.starts_with(beginning),
                None => text == answer,
            };
            (!is_alike).then(|| format!("{at}: {answer:?}, not {text:?}"))
        }
        (Value::Object(fields), Value::Object(answers)) => {
            let is_open = fields.contains_key(ANYTHING);
            let unknown = answers.keys().find(|key| !is_open && !fields.contains_key(*key));
            unknown.map(|key| format!("{at}/{key} is not shown")).or_else(|| {
                fields.iter().filter(|(key, _)| *key != ANYTHING).find_map(|(key, value)| {
                    match answers.get(key) {
                        Some(answer) => difference(value, answer, &format!("{at}/{key}")),
                        None => Some(format!("{at}/{key} is not in the answer")),
                    }
                })
            })
        }
        (Value::Array(all), Value::Array(answers)) if all.len() == answers.len() => {
            let mut pairs = all.iter().zip(answers).enumerate();
            pairs.find_map(|(place, (one, answer))| {
                difference(one, answer, &format!("{at}/{place}"))
            })
        }
        (Value::Number(number), Value::Number(answer)) if number.as_f64() == answer.as_f64() => {
            None
        }
        _ => (shown != answer).then(|| format!("{at}: {answer}, not {shown}")),
    }
}

/// Runs all commands in one shell, which stops at the first that fails; the output of each step.
async fn run(steps: &[Step], base: &str, directory: &Path) -> Vec<String> {
    let mut script = "set -euo pipefail\n".to_owned();
    for step in steps {
        script += &step.commands.replace("http://localhost:8080", base);
        script.extend(["\nprintf '", END_OF_STEP, "'\n"]);
    }
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(directory).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = bash.output().await.expect("bash runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "a command failed after {printed}");
    printed.split_terminator(END_OF_STEP).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_works_line_by_line_and_answers_as_shown() {
    let page = std::fs::read_to_string("docs/tour.md").expect("the page");
    let steps = steps(&page);
    assert!(steps.iter().filter(|step| step.shown.is_some()).count() > 10);
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_as(directory.path(), &[], &["serve"], Stdio::inherit()).await;
    let printed = run(&steps, &server.base, directory.path()).await;
    assert_eq!(printed.len(), steps.len());
    for (step, printed) in steps.iter().zip(printed) {
        let is_refusal = step.shown.as_ref().is_some_and(|shown| shown["status"].is_u64());
        let refusals = printed.matches(r#""type":"/problems/"#).count();
        assert_eq!(refusals, usize::from(is_refusal), "{}\n{printed}", step.commands);
        let Some(shown) = &step.shown else { continue };
        let last = printed.lines().last().unwrap_or_default();
        let answers = serde_json::Deserializer::from_str(last).into_iter::<Value>();
        let answer = answers.last().unwrap_or_else(|| panic!("no answer to {}", step.commands));
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {printed}"));
        let difference = difference(shown, &answer, "");
        assert!(difference.is_none(), "{}\n{}\n{answer}", difference.unwrap(), step.commands);
    }
}

#[test]
fn an_answer_differs_by_a_value_a_missing_field_or_one_more() {
    let shown = serde_json::json!({"id": 1, "name": "PAY-…", "at": "…", "list": [1]});
    let of = |id, name: &str, list: &[i32]| serde_json::json!({"id": id, "name": name, "at": 5, "list": list});
    let differs = |answer: &Value| difference(&shown, answer, "").is_some();
    assert!(!differs(&of(1, "PAY-7", &[1])));
    assert!(differs(&of(2, "PAY-7", &[1])));
    assert!(differs(&of(1, "REF-7", &[1])));
    assert!(differs(&of(1, "PAY-7", &[1, 2])));
    let mut more = of(1, "PAY-7", &[1]);
    more["more"] = serde_json::json!(1);
    assert!(differs(&more));
    let mut fewer = of(1, "PAY-7", &[1]);
    fewer.as_object_mut().expect("an object").remove("at");
    assert!(differs(&fewer));
}
