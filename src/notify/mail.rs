//! A mail as bytes: HTML and text, and the flights as a calendar.

use super::provider::ProviderError;
use super::templates::Page;
use super::text::one_line;
use crate::store::TakenMessage;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};

/// Why a mail cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    /// The recipient is no address.
    #[error("the recipient is no e-mail address")]
    Recipient,
    /// The parts make no mail.
    #[error("{0}")]
    Parts(String),
}

/// Reads the sender of mails.
pub(super) fn sender(text: &str) -> Result<Mailbox, ProviderError> {
    text.parse().map_err(|error| ProviderError(format!("MAIL_FROM: {error}")))
}

/// A mail with its headers. The same message is the same bytes, however often it is written, while its rows stay.
pub(super) fn mail(
    message: &TakenMessage,
    from: &Mailbox,
    names: &[String],
    page: Page,
    calendar: Option<String>,
) -> Result<Vec<u8>, Unwritable> {
    let address: Address = message.recipient.parse().map_err(|_| Unwritable::Recipient)?;
    let name = match names {
        [name] => Some(one_line(name)),
        _ => None,
    };
    let boundary = |part: &str| format!("{}-{part}", message.id);
    let alternatives = MultiPart::alternative()
        .boundary(boundary("texts"))
        .singlepart(SinglePart::plain(page.text))
        .singlepart(SinglePart::html(page.html));
    let mut parts = MultiPart::mixed().boundary(boundary("parts")).multipart(alternatives);
    if let Some(calendar) = calendar {
        let kind = ContentType::parse("text/calendar; charset=utf-8; method=PUBLISH");
        let kind = kind.map_err(|error| Unwritable::Parts(error.to_string()))?;
        parts = parts.singlepart(Attachment::new("flights.ics".to_owned()).body(calendar, kind));
    }
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mail = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(name, address))
        .subject(one_line(&page.subject))
        .date(message.created_at.into())
        .message_id(message.message_id.clone())
        // No answer of a holiday's note, and no mail of a list server, comes back (RFC 3834).
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .multipart(parts)
        .map_err(|error| Unwritable::Parts(error.to_string()))?;
    Ok(mail.formatted())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BookingId, MessageKind};

    fn message(recipient: &str) -> TakenMessage {
        TakenMessage {
            id: "0123".repeat(8),
            event_id: "booking.completed/1".into(),
            recipient: recipient.into(),
            booking_id: BookingId(1),
            kind: MessageKind::BookingCompleted,
            attempts: 1,
            message_id: Some("<0123@airline.example>".into()),
            created_at: "2025-01-15T10:00:00Z".parse().expect("an instant"),
        }
    }

    fn page(subject: &str) -> Page {
        Page {
            subject: subject.into(), text: "Guten Tag".into(), html: "<p>नमस्ते</p>".into()
        }
    }

    fn written(recipient: &str, name: &str, subject: &str) -> Result<String, Unwritable> {
        let from = sender("Airline <tickets@airline.example>").expect("a sender");
        let names = [name.to_owned()];
        let calendar = Some("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n".to_owned());
        let bytes = mail(&message(recipient), &from, &names, page(subject), calendar)?;
        Ok(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn names_of_every_script_are_encoded_and_no_text_begins_a_header() {
        for name in [
            "Zoë Müller",
            "अमित शर्मा",
            "山田太郎",
            "محمد",
            "Ољга\r\nBcc: x@y.example",
            "a\"b\\c <x@y.example>, d",
            "=?utf-8?q?x?=",
        ] {
            let text = written("a@b.example", name, &format!("Subject of {name}")).expect("a mail");
            assert!(text.is_ascii(), "{text}");
            let (head, _) = text.split_once("\r\n\r\n").expect("a head");
            let lines: Vec<_> =
                head.split("\r\n").filter(|l| !l.starts_with([' ', '\t'])).collect();
            let names: Vec<_> = lines.iter().filter_map(|l| Some(l.split_once(':')?.0)).collect();
            assert_eq!(names.len(), lines.len(), "{head}");
            let all = [
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "Auto-Submitted",
                "MIME-Version",
                "Content-Type",
            ];
            let mut known: Vec<_> = names.iter().map(|its| its.to_lowercase()).collect();
            let mut expected: Vec<_> = all.iter().map(|its| its.to_lowercase()).collect();
            known.sort();
            expected.sort();
            assert_eq!(known, expected, "{head}");
        }
    }

    #[test]
    fn a_mail_is_written_twice_the_same() {
        let write = || written("a@b.example", "Asha Rao", "Confirmed").expect("a mail");
        assert_eq!(write(), write());
        assert!(write().contains("Message-ID: <0123@airline.example>\r\n"), "{}", write());
        assert!(write().contains("Date: Wed, 15 Jan 2025 10:00:00 +0000\r\n"), "{}", write());
        assert!(write().contains("text/calendar; charset=utf-8; method=PUBLISH"), "{}", write());
    }

    #[test]
    fn a_recipient_that_is_no_address_is_refused() {
        for recipient in ["", "a", "a@b.example\r\nBcc: x@y.example", "a@b c", "a@b, c@d"] {
            let refused = written(recipient, "Asha", "Confirmed");
            assert!(matches!(refused, Err(Unwritable::Recipient)), "{recipient:?}");
        }
    }
}
