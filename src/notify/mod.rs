//! Messages to travellers, by mail and SMS.
//!
//! A consumer of `airline-events` ([`Announcer`]) turns events into rows of `messages`, once an event, channel and
//! recipient. It takes the type and the ids from a message and everything else from rows: a forged event tells nothing
//! false. A sender a channel ([`Sender`]) takes the rows that are due, writes the text from the rows of now, and hands
//! it to the provider. A provider that fails delays its own messages and nothing else.

mod address;
mod announcer;
mod calendar;
mod content;
mod facts;
mod lines;
mod mail;
mod provider;
mod sender;
mod sms;
mod smtp;
mod templates;
mod text;
mod told;

pub use announcer::Announcer;
pub use content::Shown;
pub use provider::{Letter, Provider, ProviderError, Said};
pub use sender::{GIVE_UP_AFTER, Sender, SenderParts};
pub use sms::SmsProvider;
pub use smtp::SmtpProvider;
pub use templates::{TemplateError, Templates};
