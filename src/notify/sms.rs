//! SMS over HTTP, by the API of Twilio: `POST /2010-04-01/Accounts/{account}/Messages.json`.
//!
//! The API knows no idempotency key: an SMS whose answer is lost goes out once more.

use super::provider::{Letter, Provider, ProviderError, Said};
use crate::config::SmsSettings;
use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::redirect::Policy;

/// A provider with the API of Twilio.
pub struct SmsProvider {
    client: reqwest::Client,
    url: String,
    settings: SmsSettings,
}

impl SmsProvider {
    /// Fails if no client can be built. Connects to nothing.
    pub fn new(settings: &SmsSettings) -> Result<Self, ProviderError> {
        crate::tls::provide();
        // Without redirects: the token goes to the provider alone.
        let client = reqwest::Client::builder().redirect(Policy::none()).build().map_err(lost)?;
        let SmsSettings { base, account, .. } = settings;
        let url = format!("{base}/2010-04-01/Accounts/{account}/Messages.json");
        Ok(Self { client, url, settings: settings.clone() })
    }

    fn form(&self, letter: &Letter) -> String {
        let from = &self.settings.from;
        let is_service = from.len() == 34 && from.starts_with("MG");
        let sender = if is_service { "MessagingServiceSid" } else { "From" };
        let text = String::from_utf8_lossy(&letter.body);
        form_urlencoded::Serializer::new(String::new())
            .append_pair("To", &letter.recipient)
            .append_pair(sender, from)
            .append_pair("Body", &text)
            .finish()
    }
}

/// A failure without the address and what was sent.
fn lost(error: reqwest::Error) -> ProviderError {
    ProviderError(error.without_url().to_string())
}

#[async_trait]
impl Provider for SmsProvider {
    async fn hand_over(&self, letter: &Letter) -> Result<Said, ProviderError> {
        let SmsSettings { account, token, .. } = &self.settings;
        let answer = self
            .client
            .post(&self.url)
            .basic_auth(account, Some(token.expose()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(self.form(letter))
            .send()
            .await
            .map_err(lost)?;
        // The answer's text may name the recipient, and is not read.
        said(answer.status())
    }
}

fn said(status: StatusCode) -> Result<Said, ProviderError> {
    match status {
        status if status.is_success() => Ok(Said::Taken),
        StatusCode::TOO_MANY_REQUESTS => Ok(Said::Later(status.as_str().to_owned())),
        // A number that does not exist, or must not be written to.
        StatusCode::BAD_REQUEST => Ok(Said::Refused(status.as_str().to_owned())),
        // The account, the address or the provider itself.
        status => Err(ProviderError(format!("the SMS provider answered {}", status.as_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(from: &str) -> SmsProvider {
        let settings = SmsSettings {
            base: "https://sms.example".into(),
            account: "AC1".into(),
            token: "hush".into(),
            from: from.into(),
            country_code: None,
        };
        SmsProvider::new(&settings).expect("a provider")
    }

    #[test]
    fn a_message_is_a_form() {
        let recipient = "+919876543210".to_owned();
        let letter = Letter { id: "1".into(), recipient, body: "Ja & नमस्ते".into() };
        let form = provider("+15005550006").form(&letter);
        let expected = "To=%2B919876543210&From=%2B15005550006&Body=Ja+%26+";
        assert!(form.starts_with(expected), "{form}");
        let service = format!("MG{}", "0".repeat(32));
        assert!(provider(&service).form(&letter).contains("MessagingServiceSid=MG0"));
        let provider = provider("Airline");
        assert_eq!(provider.url, "https://sms.example/2010-04-01/Accounts/AC1/Messages.json");
    }

    #[test]
    fn a_number_is_refused_and_an_account_fails() {
        assert_eq!(said(StatusCode::CREATED).expect("taken"), Said::Taken);
        assert!(matches!(said(StatusCode::BAD_REQUEST), Ok(Said::Refused(_))));
        assert!(matches!(said(StatusCode::TOO_MANY_REQUESTS), Ok(Said::Later(_))));
        for status in [401, 403, 404, 302, 500, 503] {
            assert!(said(StatusCode::from_u16(status).expect("a status")).is_err(), "{status}");
        }
    }
}
