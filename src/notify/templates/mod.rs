//! The texts of messages: shipped ones, each of which a file in `TEMPLATES_DIR` replaces.
//!
//! `TYPE.txt` has the subject of a mail in its first line and what the mail says first behind it; `layout.txt` and
//! `layout.html` put that above the booking. `TYPE.sms` is the text of an SMS. An empty file turns a message off. All
//! are read and tried out at the start.

mod shipped;

use super::content::{Content, ShownFlight, ShownPassenger, ShownRefund};
use crate::domain::{Channel, MessageKind};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;
use strum::VariantArray as _;

/// Maximum characters of an SMS: ten parts.
const SMS_CHARS_MAX: usize = 670;

/// Maximum size of a template.
const TEMPLATE_BYTES_MAX: u64 = 256 * 1024;

/// The templates of both channels.
pub struct Templates {
    environment: Environment<'static>,
    /// Those that are empty.
    off: Vec<String>,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The folder or a file cannot be read.
    #[error("TEMPLATES_DIR: {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// No message has a template of this name, or it is too large.
    #[error("TEMPLATES_DIR: {0} is the name of no template, or has more than 256 KiB")]
    Unknown(String),
    /// It does not do what templates do.
    #[error("the template {0}: {1}")]
    Unsound(String, minijinja::Error),
}

/// A mail's texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// What a layout is given.
#[derive(Serialize)]
struct Layout<'a> {
    subject: &'a str,
    /// The text behind the subject, by paragraphs.
    paragraphs: Vec<&'a str>,
    #[serde(flatten)]
    content: &'a Content,
}

/// The name of a message's own template.
fn name_of(kind: MessageKind, channel: Channel) -> String {
    let end = match channel {
        Channel::Mail => "txt",
        Channel::Sms => "sms",
    };
    format!("{}.{end}", kind.as_str())
}

/// Every name that a template may have.
fn names() -> Vec<String> {
    let layouts = ["layout.txt", "layout.html"].map(str::to_owned);
    let own = [Channel::Mail, Channel::Sms]
        .into_iter()
        .flat_map(|channel| MessageKind::VARIANTS.iter().map(move |kind| name_of(*kind, channel)));
    layouts.into_iter().chain(own).collect()
}

impl Templates {
    /// The shipped templates, and those of a folder instead of them. Each is tried out on an example.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut texts: HashMap<String, String> = shipped::texts();
        if let Some(folder) = folder {
            texts.extend(read(folder)?);
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let lines = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment
            .set_syntax(lines.map_err(|error| TemplateError::Unsound(String::new(), error))?);
        let is_empty = |name: &String| texts.get(name).is_none_or(|text| text.trim().is_empty());
        let off: Vec<String> = names().into_iter().filter(is_empty).collect();
        for (name, text) in texts {
            let added = environment.add_template_owned(name.clone(), text);
            added.map_err(|error| TemplateError::Unsound(name, error))?;
        }
        let templates = Self { environment, off };
        templates.try_out()?;
        Ok(templates)
    }

    fn try_out(&self) -> Result<(), TemplateError> {
        for kind in MessageKind::VARIANTS {
            let example = example(*kind);
            if self.tells(*kind, Channel::Mail) {
                self.page(&example)?;
            }
            if self.tells(*kind, Channel::Sms) {
                self.sms(&example)?;
            }
        }
        Ok(())
    }

    /// Whether an event is told by a channel.
    pub(super) fn tells(&self, kind: MessageKind, channel: Channel) -> bool {
        !self.off.contains(&name_of(kind, channel))
    }

    /// The texts of a mail.
    pub(super) fn page(&self, content: &Content) -> Result<Page, TemplateError> {
        let own = self.render(&name_of(content.kind, Channel::Mail), content)?;
        let (subject, rest) = own.trim().split_once('\n').unwrap_or((own.trim(), ""));
        let paragraphs = rest.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
        let layout = Layout { subject, paragraphs: paragraphs.collect(), content };
        let text = self.render("layout.txt", &layout)?;
        let html = self.render("layout.html", &layout)?;
        Ok(Page { subject: subject.to_owned(), text, html })
    }

    /// The text of an SMS.
    pub(super) fn sms(&self, content: &Content) -> Result<String, TemplateError> {
        let text = self.render(&name_of(content.kind, Channel::Sms), content)?;
        let words: Vec<_> = text.split_whitespace().collect();
        Ok(words.join(" ").chars().take(SMS_CHARS_MAX).collect())
    }

    fn render(&self, name: &str, values: &impl Serialize) -> Result<String, TemplateError> {
        let unsound = |error| TemplateError::Unsound(name.to_owned(), error);
        let template = self.environment.get_template(name).map_err(unsound)?;
        template.render(Serde(values)).map_err(unsound)
    }
}

/// The templates of a folder. A file of another name is refused: misspelt, it would replace nothing.
fn read(folder: &Path) -> Result<HashMap<String, String>, TemplateError> {
    let unreadable = |name: &str| {
        let name = name.to_owned();
        move |error| TemplateError::Unreadable(name, error)
    };
    let shown = folder.display().to_string();
    let known = names();
    let mut texts = HashMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(&shown))? {
        let entry = entry.map_err(unreadable(&shown))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Kubernetes keeps the files of a volume in hidden folders.
        if name.starts_with('.') {
            continue;
        }
        let size = std::fs::metadata(entry.path()).map_err(unreadable(&name))?.len();
        if !known.contains(&name) || size > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::Unknown(name));
        }
        let text = std::fs::read_to_string(entry.path()).map_err(unreadable(&name))?;
        texts.insert(name, text);
    }
    Ok(texts)
}

/// An example with a value of everything.
fn example(kind: MessageKind) -> Content {
    let refund = ShownRefund { amount: "10.00".into(), status: "done", reason: "traveller" };
    let passenger = ShownPassenger { name: "Asha Rao".into(), is_cancelled: false };
    let time = "Mon 20 Jan 2025, 10:00 UTC";
    let flight = ShownFlight {
        number: "AB101".into(),
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at: time.into(),
        arrives_at: time.into(),
        was: time.into(),
        status: "completed",
        is_flight_cancelled: false,
        passengers: vec![passenger],
    };
    Content {
        kind,
        reference: "ABC234".into(),
        names: vec!["Asha Rao".into()],
        flights: vec![flight],
        price: "2500.00".into(),
        fee: "0.00".into(),
        currency: "INR".into(),
        failure_reason: "hold_expired",
        pay_by: time.into(),
        refunds: vec![refund.clone()],
        refund: Some(refund),
        link: "https://airline.example".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(files: &[(&str, &str)]) -> Result<Templates, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        Templates::load(Some(folder.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn every_event_has_a_mail_and_urgent_ones_an_sms() {
        let templates = Templates::load(None).expect("sound");
        for kind in MessageKind::VARIANTS {
            assert!(templates.tells(*kind, Channel::Mail), "{kind:?}");
            let page = templates.page(&example(*kind)).expect("a page");
            assert!(page.subject.contains("ABC234"), "{page:?}");
            assert!(page.html.contains("ABC234") && page.text.contains("ABC234"));
            assert!(!page.text.contains("\n\n\n"), "{}", page.text);
        }
        let sms = |kind| templates.tells(kind, Channel::Sms);
        assert!(sms(MessageKind::BookingCompleted) && sms(MessageKind::FlightMoved));
        assert!(!sms(MessageKind::RefundDone) && !sms(MessageKind::DisputeWon));
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let templates = Templates::load(None).expect("sound");
        let mut content = example(MessageKind::BookingCompleted);
        content.names = vec!["<b>Ann</b> & Co".into()];
        let page = templates.page(&content).expect("a page");
        assert!(page.html.contains("&lt;b&gt;Ann"), "{}", page.html);
        assert!(!page.html.contains("<b>Ann"));
        assert!(page.text.contains("Dear <b>Ann</b> & Co,"), "{}", page.text);
    }

    #[test]
    fn a_file_replaces_a_template_and_an_empty_one_turns_it_off() {
        let own = "Hallo {{ reference }}\n\nGute Reise.";
        let files = [("booking.completed.txt", own), ("booking.completed.sms", "\n")];
        let templates = in_folder(&files).expect("sound");
        let page = templates.page(&example(MessageKind::BookingCompleted)).expect("a page");
        assert_eq!(page.subject, "Hallo ABC234");
        assert!(page.text.contains("Gute Reise.") && page.html.contains("Gute Reise."));
        assert!(!templates.tells(MessageKind::BookingCompleted, Channel::Sms));
        let added = in_folder(&[("refund.done.sms", "{{ refund.amount }}")]).expect("sound");
        assert!(added.tells(MessageKind::RefundDone, Channel::Sms));
    }

    #[test]
    fn an_unusable_template_is_refused_at_the_start() {
        for (name, text) in [
            ("booking.complete.txt", "misspelt"),
            ("booking.completed.txt", "{% if %}"),
            ("booking.completed.txt", "{{ refrence }}"),
            ("layout.html", "{{ flights[0].departure }}"),
        ] {
            let told = in_folder(&[(name, text)]).err().expect("unusable");
            assert!(told.contains(name), "{told}");
        }
        assert!(Templates::load(Some(Path::new("/nowhere/at/all"))).is_err());
    }
}
