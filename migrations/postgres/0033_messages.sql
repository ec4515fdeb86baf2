-- Mails and SMS to travellers: a row for each event, channel and recipient. Personal data: deleted with the passengers.
CREATE TABLE messages (
    id TEXT COLLATE "C" PRIMARY KEY,
    -- What it tells: the type, subject and version of the event. Made by the service, whatever a message says.
    event_id TEXT COLLATE "C" NOT NULL,
    channel TEXT NOT NULL,
    -- An e-mail address or a telephone number of a passenger.
    recipient TEXT COLLATE "C" NOT NULL,
    booking_id BIGINT NOT NULL REFERENCES bookings (id) ON DELETE CASCADE,
    -- The type of the event.
    type TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    -- How often it was taken to be sent.
    attempts INTEGER NOT NULL DEFAULT 0,
    -- When it is due. A sender that takes it moves this to the end of its own time.
    next_attempt_at TIMESTAMP NOT NULL,
    -- Message-ID of a mail, the same at each attempt.
    message_id TEXT,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CONSTRAINT messages_channel_known CHECK (channel IN ('mail', 'sms')),
    CONSTRAINT messages_status_known CHECK (status IN ('pending', 'sent', 'failed')),
    CONSTRAINT messages_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT messages_mail_has_id CHECK ((channel = 'mail') = (message_id IS NOT NULL))
);

-- An event is told once to each recipient.
CREATE UNIQUE INDEX messages_once ON messages (event_id, channel, recipient);
-- The senders' look for the next message.
CREATE INDEX messages_due ON messages (channel, next_attempt_at, id) WHERE status = 'pending';
-- From a booking to its messages.
CREATE INDEX messages_by_booking ON messages (booking_id);
