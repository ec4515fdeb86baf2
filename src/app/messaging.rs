//! Wires the messages to travellers: the consumer of events, and a sender a channel that is configured.

use super::App;
use super::shared::Shared;
use crate::config::{Config, MessageSettings, Role};
use crate::domain::Channel;
use crate::messages::Topic;
use crate::notify::{Announcer, Sender, SenderParts, Shown, SmsProvider, SmtpProvider, Templates};
use crate::telemetry::Progress;
use std::sync::Arc;
use tokio::sync::Notify;

/// The consumer group while topics stay in the process: the default of `KAFKA_MESSAGE_GROUP_ID`.
const MESSAGE_GROUP: &str = "message-service";

/// The domain of ids in calendars while no mail is sent.
const NO_DOMAIN: &str = "airline-booking.invalid";

/// The consumer group that turns events into messages.
fn message_group(config: &Config) -> &str {
    config.kafka.as_ref().map_or(MESSAGE_GROUP, |kafka| &kafka.message_group_id)
}

/// The parts that send messages to travellers.
pub(super) struct Messaging {
    announcer: Arc<Announcer>,
    senders: Vec<(&'static str, Sender)>,
}

impl Messaging {
    /// `None` while no provider is configured. Fails if a template or a setting of a provider is unusable.
    pub(super) fn of(shared: &Shared, config: &Config) -> anyhow::Result<Option<Self>> {
        let settings = &config.messages;
        if !settings.is_on() {
            return Ok(None);
        }
        let templates = Arc::new(Templates::load(settings.templates.as_deref())?);
        let parts = sender_parts(shared, config, templates);
        let senders = senders(settings, &parts)?;
        let announcer = Arc::new(announcer(shared, config, &parts));
        Ok(Some(Self { announcer, senders }))
    }
}

fn sender_parts(shared: &Shared, config: &Config, templates: Arc<Templates>) -> SenderParts {
    let MessageSettings { mail, sms, .. } = &config.messages;
    let ports = shared.ports.clone();
    SenderParts {
        store: ports.store,
        clock: ports.clock,
        templates,
        shown: Shown {
            references: ports.references,
            zone: config.schedule_timezone,
            public_url: config.public_url.clone(),
            country_code: sms.as_ref().and_then(|sms| sms.country_code.clone()),
        },
        domain: mail.as_ref().map_or(NO_DOMAIN, |mail| mail.domain()).to_owned(),
        metrics: ports.metrics,
        due: Arc::new(Notify::new()),
    }
}

fn senders(
    settings: &MessageSettings,
    parts: &SenderParts,
) -> anyhow::Result<Vec<(&'static str, Sender)>> {
    let mut senders = Vec::new();
    if let Some(mail) = &settings.mail {
        let provider = SmtpProvider::new(mail)?;
        senders.push(("mails", Sender::of_mail(provider, settings.timeout, parts.clone())));
    }
    if let Some(sms) = &settings.sms {
        let provider = Arc::new(SmsProvider::new(sms)?);
        senders.push(("SMS", Sender::of_sms(provider, settings.timeout, parts.clone())));
    }
    Ok(senders)
}

fn announcer(shared: &Shared, config: &Config, parts: &SenderParts) -> Announcer {
    let MessageSettings { mail, sms, .. } = &config.messages;
    let channels = [mail.is_some().then_some(Channel::Mail), sms.is_some().then_some(Channel::Sms)];
    let ports = shared.ports.clone();
    Announcer {
        bus: ports.bus,
        store: ports.store,
        clock: ports.clock,
        ids: ports.ids,
        group: message_group(config).to_owned(),
        templates: parts.templates.clone(),
        channels: channels.into_iter().flatten().collect(),
        domain: parts.domain.clone(),
        country_code: parts.shown.country_code.clone(),
        metrics: ports.metrics,
        due: parts.due.clone(),
        progress: Progress::default(),
    }
}

impl App {
    /// Makes the parts that send messages, and their consumer group, which misses no event from now on.
    pub(super) async fn prepare_messages(&self) -> anyhow::Result<Option<Messaging>> {
        if !self.has(Role::Notify) {
            return Ok(None);
        }
        let messaging = Messaging::of(&self.shared, &self.config)?;
        if messaging.is_some() {
            let group = message_group(&self.config);
            self.shared.ports.bus.consume(Topic::AirlineEvents, group).await?;
        }
        Ok(messaging)
    }

    /// Starts the consumer and the senders.
    pub(super) fn start_messages(&self, messaging: Messaging) {
        let Messaging { announcer, senders } = messaging;
        let (progress, bus) = (announcer.progress.clone(), announcer.bus.clone());
        let group = announcer.group.clone();
        self.metrics.watch_worker("messages", move |now| {
            progress.stalled_for(bus.waiting_since(Topic::AirlineEvents, &group), now)
        });
        // It ends behind the relay's last messages, so that a stop leaves none of them waiting.
        let last = &self.workers.stops().relay;
        self.workers.spawn("messages", last, async move { announcer.run().await });
        for (name, sender) in senders {
            let stop = self.workers.stops().intake.clone();
            self.workers.spawn_draining(name, async move { sender.run(&stop).await });
        }
    }
}
