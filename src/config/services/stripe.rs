//! `PAYMENT_GATEWAY` and `STRIPE_*`: who takes the money.

use super::url::{host_of, is_this_machine};
use crate::config::Secret;
use crate::config::environment::Environment;

/// Minimum length of a webhook's secret after its prefix. Stripe's have 32 characters.
const WEBHOOK_SECRET_BYTES_MIN: usize = 24;

/// How to reach a Stripe account.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// `STRIPE_SECRET_KEY`: a secret or a restricted key.
    pub secret_key: Secret,
    /// `STRIPE_API_BASE`: the origin of the API.
    pub api_base: String,
    /// `STRIPE_WEBHOOK_SECRETS`: any of them signs webhooks; empty: webhooks are not taken.
    pub webhook_secrets: Vec<Secret>,
}

impl Environment<'_> {
    /// `None` with `PAYMENT_GATEWAY=simulated`.
    pub(in crate::config) fn stripe(&mut self) -> Option<StripeSettings> {
        let is_stripe = self.read("PAYMENT_GATEWAY", is_stripe);
        let api_base = self.read("STRIPE_API_BASE", api_base);
        let webhook_secrets = self.read("STRIPE_WEBHOOK_SECRETS", webhook_secrets);
        let secret_key = self.text("STRIPE_SECRET_KEY");
        if !is_stripe {
            return None;
        }
        if !is_secret_key(&secret_key) {
            self.problem(
                "STRIPE_SECRET_KEY must be a secret key (sk_…) or a restricted key (rk_…) with \
                 PAYMENT_GATEWAY=stripe",
            );
        }
        Some(StripeSettings { secret_key: Secret(secret_key), api_base, webhook_secrets })
    }
}

fn is_stripe(text: &str) -> Result<bool, String> {
    match text {
        "simulated" => Ok(false),
        "stripe" => Ok(true),
        _ => Err("must be simulated or stripe".into()),
    }
}

fn is_secret_key(text: &str) -> bool {
    let rest = text.strip_prefix("sk_").or_else(|| text.strip_prefix("rk_"));
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_word))
}

fn webhook_secrets(text: &str) -> Result<Vec<Secret>, String> {
    let listed = text.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    let secrets: Vec<_> = listed.map(Secret::from).collect();
    let is_sound = |secret: &Secret| {
        let rest = secret.expose().strip_prefix("whsec_");
        rest.is_some_and(|rest| rest.len() >= WEBHOOK_SECRET_BYTES_MIN)
    };
    if secrets.iter().all(is_sound) {
        return Ok(secrets);
    }
    Err("must be a comma-separated list of signing secrets (whsec_…) of Stripe's webhooks".into())
}

/// An origin. The key is sent there, so it must be TLS unless it is this machine.
fn api_base(text: &str) -> Result<String, String> {
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
            Err("must be an origin such as https://api.stripe.com; http only on this machine"
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn stripe_needs_a_secret_key_and_a_protected_connection() {
        let stripe = |key: &str, base: &str| {
            let variables = [
                ("PAYMENT_GATEWAY", "stripe"),
                ("STRIPE_SECRET_KEY", key),
                ("STRIPE_API_BASE", base),
            ];
            Config::of(&variables).map(|config| config.stripe.expect("Stripe"))
        };
        let settings = stripe("sk_test_1", "").expect("sound");
        assert_eq!(settings.api_base, "https://api.stripe.com");
        assert!(!format!("{settings:?}").contains("sk_test_1"));
        assert!(stripe("rk_live_1", "http://127.0.0.1:12111/").is_ok());
        for key in ["", "pk_test_1", "sk_", "sk_test 1"] {
            let told = stripe(key, "").expect_err(key).to_string();
            assert!(told.contains("STRIPE_SECRET_KEY must be a secret key"), "{told}");
            assert!(key.len() <= "sk_".len() || !told.contains(key), "{told}");
        }
        for base in ["http://api.stripe.com", "https://a@b.example", "https://a.example/v1", "ftp"]
        {
            let told = stripe("sk_test_1", base).expect_err(base).to_string();
            assert!(told.contains("STRIPE_API_BASE must be an origin"), "{told}");
        }
    }

    #[test]
    fn webhooks_are_signed_by_any_of_several_secrets() {
        let secrets = |list: &str| {
            let variables = [
                ("PAYMENT_GATEWAY", "stripe"),
                ("STRIPE_SECRET_KEY", "sk_test_1"),
                ("STRIPE_WEBHOOK_SECRETS", list),
            ];
            Config::of(&variables).map(|config| config.stripe.expect("Stripe").webhook_secrets)
        };
        assert!(secrets("").expect("none").is_empty());
        let one = format!("whsec_{}", "a1".repeat(16));
        assert_eq!(secrets(&format!("{one}, {one},")).expect("two").len(), 2);
        for wrong in ["whsec_short".to_owned(), "a1".repeat(16), format!("{one},b")] {
            let told = secrets(&wrong).expect_err("not a secret of Stripe").to_string();
            assert!(
                told.contains("STRIPE_WEBHOOK_SECRETS must") && !told.contains(&wrong),
                "{told}"
            );
        }
    }

    #[test]
    fn the_simulated_gateway_needs_no_key() {
        assert!(Config::of(&[]).expect("sound").stripe.is_none());
        let unused = Config::of(&[("STRIPE_SECRET_KEY", "pk_test_1")]);
        assert!(unused.expect("sound").stripe.is_none());
        assert!(Config::of(&[("PAYMENT_GATEWAY", "paypal")]).is_err());
    }
}
