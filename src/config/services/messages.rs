//! `SMTP_*`, `MAIL_FROM`, `SMS_*`: the providers that send messages to travellers.

use super::url::{host_of, is_this_machine, parameter, unknown_parameter};
use crate::config::environment::Environment;
use crate::config::{Secret, values};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How messages to travellers are sent.
#[derive(Debug, Clone)]
pub struct MessageSettings {
    /// `SMTP_URL` and its parts; `None`: no mail is sent.
    pub mail: Option<MailSettings>,
    /// `SMS_ACCOUNT` and its parts; `None`: no SMS is sent.
    pub sms: Option<SmsSettings>,
    /// `TEMPLATES_DIR`: a folder with templates that replace the shipped ones.
    pub templates: Option<PathBuf>,
    /// `MESSAGE_TIMEOUT`: maximum time to hand over one message.
    pub timeout: Duration,
}

impl MessageSettings {
    /// Whether any message is sent.
    pub const fn is_on(&self) -> bool {
        self.mail.is_some() || self.sms.is_some()
    }
}

/// How to reach an SMTP server.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How connections are protected.
    pub protection: SmtpProtection,
    /// User and password, if the server asks for them.
    pub credentials: Option<(String, Secret)>,
    /// `SMTP_CA`: a file of trusted certificate authorities; `None`: the system's.
    pub authorities: Option<PathBuf>,
    /// `MAIL_FROM`: the sender, an address or `Name <address>`.
    pub from: String,
}

impl MailSettings {
    /// The domain of the sender's address.
    pub fn domain(&self) -> &str {
        address_of(&self.from).rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }
}

impl fmt::Display for MailSettings {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SMTP at {}:{}", self.host, self.port)
    }
}

/// How connections to an SMTP server are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpProtection {
    /// TLS from the start (`smtps://`).
    Tls,
    /// TLS by STARTTLS, without which nothing is sent (`smtp://`).
    StartTls,
    /// None (`smtp://…?tls=off`), to a server on this machine.
    Off,
}

/// How to reach an SMS provider with the API of Twilio.
#[derive(Debug, Clone)]
pub struct SmsSettings {
    /// `SMS_URL`: the origin of the API.
    pub base: String,
    /// `SMS_ACCOUNT`.
    pub account: String,
    /// `SMS_TOKEN`.
    pub token: Secret,
    /// `SMS_FROM`: a number with a plus, a name, or a messaging service (`MG…`).
    pub from: String,
    /// `SMS_COUNTRY_CODE`: the code of numbers that have none; `None`: such numbers get no SMS.
    pub country_code: Option<String>,
}

impl Environment<'_> {
    pub(in crate::config) fn messages(&mut self) -> MessageSettings {
        MessageSettings {
            mail: self.mail(),
            sms: self.sms(),
            templates: self.value("TEMPLATES_DIR").map(PathBuf::from),
            timeout: self.read("MESSAGE_TIMEOUT", values::positive_duration),
        }
    }

    /// `None` without `SMTP_URL`.
    fn mail(&mut self) -> Option<MailSettings> {
        let from = self.text("MAIL_FROM");
        let authorities = self.value("SMTP_CA").map(PathBuf::from);
        let url = self.value("SMTP_URL")?;
        if !is_sender(&from) {
            self.problem(
                "MAIL_FROM must be an address such as tickets@airline.example, or Name <address>, \
                 with SMTP_URL",
            );
        }
        match server_of(&url) {
            Ok(server) => Some(MailSettings { authorities, from, ..server }),
            Err(rule) => {
                self.problem(format!("SMTP_URL {rule}"));
                None
            }
        }
    }

    /// `None` without `SMS_ACCOUNT`.
    fn sms(&mut self) -> Option<SmsSettings> {
        let base = self.read("SMS_URL", origin);
        let country_code = self.read("SMS_COUNTRY_CODE", values::optional(country_code));
        let (token, from) = (self.text("SMS_TOKEN"), self.text("SMS_FROM"));
        let account = self.value("SMS_ACCOUNT")?;
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_word(&account) {
            self.problem("SMS_ACCOUNT must be letters and digits");
        }
        if token.is_empty() || from.is_empty() || from.contains(char::is_control) {
            self.problem("SMS_ACCOUNT needs SMS_TOKEN and SMS_FROM");
        }
        Some(SmsSettings { base, account, token: Secret(token), from, country_code })
    }
}

/// The address of `address` or `Name <address>`.
fn address_of(from: &str) -> &str {
    from.rsplit_once('<').map_or(from, |(_, rest)| rest).trim_end_matches('>').trim()
}

fn is_sender(from: &str) -> bool {
    let address = address_of(from);
    let parts = address.split_once('@');
    let is_plain = |part: &str| !part.is_empty() && !part.contains([' ', '@', '<', '>', '"']);
    parts.is_some_and(|(local, domain)| is_plain(local) && is_plain(domain))
        && !from.contains(char::is_control)
}

/// The server of a URL; the sender and the authorities are not set yet. An error continues "`SMTP_URL`".
fn server_of(url: &str) -> Result<MailSettings, String> {
    let rule = "must be smtps://user:password@host:port or smtp://user:password@host:port";
    let (scheme, rest) = url.split_once("://").ok_or(rule)?;
    if let Some(problem) = unknown_parameter(url, |name| name == "tls") {
        return Err(format!("{problem}; it may have tls"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, place) =
        authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (protection, port) = match (scheme, parameter(url, &["tls"]).as_deref()) {
        ("smtps", None) => (SmtpProtection::Tls, 465),
        ("smtp", None | Some("required")) => (SmtpProtection::StartTls, 587),
        ("smtp", Some("off")) if is_this_machine(host_of(url)) => (SmtpProtection::Off, 25),
        ("smtp", Some("off")) => {
            return Err("must not have tls=off unless the server is this machine".into());
        }
        _ => return Err(rule.into()),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, text)) if !text.contains(']') => (host, text.parse().map_err(|_| rule)?),
        _ => (place, port),
    };
    if host.is_empty() {
        return Err(rule.into());
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = user.map(|user| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        (decoded(name), Secret(decoded(password)))
    });
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (authorities, from) = (None, String::new());
    Ok(MailSettings { host, port, protection, credentials, authorities, from })
}

/// An origin. The token is sent there, so it must be TLS unless it is this machine.
fn origin(text: &str) -> Result<String, String> {
    let origin = text.trim_end_matches('/');
    let place = origin.strip_prefix("https://").or_else(|| {
        let place = origin.strip_prefix("http://")?;
        is_this_machine(host_of(origin)).then_some(place)
    });
    match place {
        Some(place) if !place.is_empty() && !place.contains(['/', '?', '#', '@']) => {
            Ok(origin.to_owned())
        }
        _ => {
            Err("must be an origin such as https://api.twilio.com; http only on this machine"
                .into())
        }
    }
}

fn country_code(text: &str) -> Result<String, String> {
    let digits = text.trim_start_matches('+');
    let is_code = (1..=3).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    if is_code {
        Ok(digits.to_owned())
    } else {
        Err("must be a country code such as 91, or empty".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn mail(url: &str) -> Result<MailSettings, String> {
        let variables = [("SMTP_URL", url), ("MAIL_FROM", "Airline <tickets@airline.example>")];
        let config = Config::of(&variables).map_err(|error| error.to_string())?;
        Ok(config.messages.mail.expect("mail"))
    }

    #[test]
    fn no_message_is_sent_unless_a_provider_is_set() {
        let messages = Config::of(&[("MAIL_FROM", "a@b.example")]).expect("sound").messages;
        assert!(!messages.is_on());
        assert_eq!(messages.timeout, Duration::from_secs(30));
    }

    #[test]
    fn mail_goes_by_tls_or_to_this_machine() {
        for (url, protection, port) in [
            ("smtps://mail.example", SmtpProtection::Tls, 465),
            ("smtp://mail.example", SmtpProtection::StartTls, 587),
            ("smtp://u:p@mail.example:2525?tls=required", SmtpProtection::StartTls, 2525),
            ("smtp://localhost:1025?tls=off", SmtpProtection::Off, 1025),
        ] {
            let settings = mail(url).expect(url);
            assert_eq!((settings.protection, settings.port), (protection, port), "{url}");
            assert_eq!(settings.domain(), "airline.example");
        }
        for url in [
            "smtp://mail.example?tls=off",
            "smtp://mail.example?tls=opportunistic",
            "smtp://mail.example?ssl=1",
            "smtps://",
            "mail.example:25",
            "smtp://mail.example:port",
        ] {
            let told = mail(url).expect_err(url);
            assert!(told.contains("SMTP_URL "), "{told}");
        }
    }

    #[test]
    fn a_password_is_decoded_and_never_shown() {
        let settings = mail("smtps://us%40er:p%3Ahush@mail.example").expect("sound");
        let (user, password) = settings.credentials.clone().expect("credentials");
        assert_eq!((user.as_str(), password.expose()), ("us@er", "p:hush"));
        assert!(!format!("{settings:?} {settings}").contains("hush"));
        let told = mail("smtp://u:hush@mail.example?tls=maybe").expect_err("no such protection");
        assert!(!told.contains("hush"), "{told}");
    }

    #[test]
    fn a_sender_is_one_address_without_line_breaks() {
        for from in ["", "tickets", "a@b@c", "A <a@b.example>\nBcc: x@y.example", "a b@c.example"] {
            let variables = [("SMTP_URL", "smtps://mail.example"), ("MAIL_FROM", from)];
            let told = Config::of(&variables).expect_err(from).to_string();
            assert!(told.contains("MAIL_FROM must be"), "{told}");
        }
    }

    #[test]
    fn sms_need_an_account_with_its_token_and_sender() {
        let all = [("SMS_ACCOUNT", "AC1"), ("SMS_TOKEN", "hush"), ("SMS_FROM", "+15005550006")];
        let sms = Config::of(&all).expect("sound").messages.sms.expect("SMS");
        assert_eq!((sms.base.as_str(), sms.country_code), ("https://api.twilio.com", None));
        let more = [all.as_slice(), &[("SMS_COUNTRY_CODE", "+91")]].concat();
        let sms = Config::of(&more).expect("sound").messages.sms.expect("SMS");
        assert_eq!(sms.country_code.as_deref(), Some("91"));
        assert!(Config::of(&all[..2]).is_err());
        for (name, value) in [
            ("SMS_URL", "http://sms.example"),
            ("SMS_COUNTRY_CODE", "0091"),
            ("SMS_ACCOUNT", "AC/../1"),
        ] {
            let mut variables = all.to_vec();
            variables.retain(|(its, _)| *its != name);
            variables.push((name, value));
            assert!(Config::of(&variables).is_err(), "{name}={value}");
        }
    }
}
