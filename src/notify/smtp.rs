//! Mail over SMTP (RFC 5321), one message after the other over one connection.

use super::mail::sender;
use super::provider::{Letter, Provider, ProviderError, Said};
use crate::config::{MailSettings, SmtpProtection};
use async_trait::async_trait;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a connection is kept for the next message. Servers close idle ones after some minutes.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Shutting down (RFC 5321, section 3.8).
const CLOSING: u16 = 421;

/// An SMTP server.
pub struct SmtpProvider {
    settings: MailSettings,
    from: Mailbox,
    tls: Option<TlsParameters>,
    hello: ClientId,
    /// The connection of the last message, while it is good.
    kept: Mutex<Option<(AsyncSmtpConnection, Instant)>>,
}

/// A step of the protocol that did not go as it should.
enum Stop {
    /// It concerns this message.
    Said(Said),
    /// It concerns every message.
    Failed(ProviderError),
}

impl SmtpProvider {
    /// Fails if `MAIL_FROM` is no address, or `SMTP_CA` cannot be read. Connects to nothing.
    pub fn new(settings: &MailSettings) -> Result<Self, ProviderError> {
        crate::tls::provide();
        let tls = match settings.protection {
            SmtpProtection::Off => None,
            SmtpProtection::Tls | SmtpProtection::StartTls => Some(tls(settings)?),
        };
        Ok(Self {
            from: sender(&settings.from)?,
            tls,
            hello: ClientId::Domain(settings.domain().to_owned()),
            settings: settings.clone(),
            kept: Mutex::default(),
        })
    }

    /// The sender.
    pub(super) fn from(&self) -> &Mailbox {
        &self.from
    }

    /// The connection of the last message, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, ProviderError> {
        let kept = self.kept.lock().take();
        if let Some((mut connection, since)) = kept
            && since.elapsed() < IDLE_MAX
            && connection.test_connected().await
        {
            return Ok(connection);
        }
        let MailSettings { host, port, protection, credentials, .. } = &self.settings;
        let server = (host.as_str(), *port);
        let wrapped = self.tls.clone().filter(|_| *protection == SmtpProtection::Tls);
        let connected = match wrapped {
            Some(tls) => {
                AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, Some(tls), None)
                    .await
            }
            None => {
                let stream =
                    connect(server).await.map_err(|error| ProviderError(error.to_string()))?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await
            }
        };
        let mut connection = connected.map_err(|error| failed(&error))?;
        if let (SmtpProtection::StartTls, Some(tls)) = (protection, &self.tls) {
            connection.starttls(tls.clone(), &self.hello).await.map_err(|error| failed(&error))?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection
                .auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(|error| failed(&error))?;
        }
        Ok(connection)
    }

    /// One mail transaction.
    async fn send(
        &self,
        connection: &mut AsyncSmtpConnection,
        letter: &Letter,
    ) -> Result<(), Stop> {
        let to: Address = letter.recipient.parse().map_err(|_| Stop::refused("no address"))?;
        let mut options = Vec::new();
        if !letter.recipient.is_ascii() || !letter.body.is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Stop::refused("the server takes addresses of ASCII alone"));
            }
            options.push(MailParameter::SmtpUtfEight);
        }
        let from = Mail::new(Some(self.from.email.clone()), options);
        connection.command(from).await.map_err(|error| Stop::Failed(failed(&error)))?;
        connection.command(Rcpt::new(to, Vec::new())).await.map_err(|error| Stop::of(&error))?;
        connection.command(Data).await.map_err(|error| Stop::of(&error))?;
        connection.message(&letter.body).await.map_err(|error| Stop::of(&error))?;
        Ok(())
    }
}

/// A text and the line that ends it are two pieces. Without this the second waits until the server acknowledges the
/// first, which takes 40 ms.
async fn connect(server: (&str, u16)) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Stop {
    fn refused(reason: &str) -> Self {
        Self::Said(Said::Refused(reason.to_owned()))
    }

    /// What an answer about a recipient or a text means. Its text may name the recipient, and is dropped.
    fn of(error: &Error) -> Self {
        let Some(code) = error.status().map(u16::from) else { return Self::Failed(failed(error)) };
        match code {
            CLOSING => Self::Failed(failed(error)),
            500.. => Self::refused(&code.to_string()),
            _ => Self::Said(Said::Later(code.to_string())),
        }
    }
}

/// The failure of a server, without what it said.
fn failed(error: &Error) -> ProviderError {
    ProviderError(match error.status() {
        Some(code) => format!("the SMTP server answered {}", u16::from(code)),
        None => error.to_string(),
    })
}

fn tls(settings: &MailSettings) -> Result<TlsParameters, ProviderError> {
    let mut tls = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.authorities {
        let unreadable = |why: &dyn std::fmt::Display| {
            ProviderError(format!("SMTP_CA {}: {why}", file.display()))
        };
        let pem = std::fs::read(file).map_err(|error| unreadable(&error))?;
        let authorities = Certificate::from_pem(&pem).map_err(|error| unreadable(&error))?;
        tls = tls.certificate_store(CertificateStore::None).add_root_certificate(authorities);
    }
    tls.build().map_err(|error| failed(&error))
}

#[async_trait]
impl Provider for SmtpProvider {
    /// The connection is kept only after a message that went through; a call that is dropped closes it.
    async fn hand_over(&self, letter: &Letter) -> Result<Said, ProviderError> {
        let mut connection = self.connection().await?;
        match self.send(&mut connection, letter).await {
            Ok(()) => {
                *self.kept.lock() = Some((connection, Instant::now()));
                Ok(Said::Taken)
            }
            Err(stop) => {
                // The answer to QUIT matters to nobody.
                let closing = connection.abort();
                let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
                match stop {
                    Stop::Said(said) => Ok(said),
                    Stop::Failed(error) => Err(error),
                }
            }
        }
    }
}
