//! The kinds of problem. One table: a new kind is one row here.

use http::StatusCode;

/// Makes [`Code`] from rows of variant, code, status, title and description.
macro_rules! codes {
    ($($variant:ident $code:literal $status:ident $title:literal $description:literal)+) => {
        /// The kind of a problem, for programs.
        #[expect(clippy::doc_markdown, reason = "responses show the descriptions as plain text")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $description] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status of its responses.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// The kind in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What causes the problem, and what the caller can do.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)+ }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" BAD_REQUEST "The request cannot be read"
        "The body is not JSON, or the path or the query can't be read. The detail says where. Correct the \
         request: the same request is refused again."
    Unauthenticated "unauthenticated" UNAUTHORIZED "A token is needed"
        "The request has no token, or one that is not accepted. Send a valid token as Authorization: Bearer."
    Forbidden "forbidden" FORBIDDEN "Not allowed"
        "The token lacks a scope or belongs to another user, or a page of another origin sent the request."
    NotFound "not_found" NOT_FOUND "Not found"
        "There is no such path, flight, booking, itinerary, refund, waiting list entry, webhook or delivery, or it is \
         another user's."
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "The path does not support this method. The Allow header lists the methods that it supports."
    RequestTimeout "request_timeout" REQUEST_TIMEOUT "The body came too slowly"
        "The body did not arrive within SERVER_READ_TIMEOUT. Nothing was done; send the request again."
    InsufficientSeats "insufficient_seats" CONFLICT "Not enough seats left"
        "The flight has fewer free seats than were asked for, or they go to those who wait for it. Ask for fewer, \
         choose another flight, or wait for this one: the detail says where. Of an itinerary nothing is held; the \
         list of errors has the flight's place in the request."
    FlightNotBookable "flight_not_bookable" CONFLICT "The flight can't be booked"
        "The flight has departed, is cancelled, or departs too soon to be booked."
    TooManyPending "too_many_pending" CONFLICT "Too many seats are held unpaid"
        "The user would hold more unpaid seats of the flight than MAX_PENDING_PER_USER. Repeat the request \
         after a payment has ended, or cancel a pending booking."
    PriceChanged "price_changed" CONFLICT "The price has changed"
        "The price is not expected_price any more. Nothing is held; the member price has the price of now."
    RefundChanged "refund_changed" CONFLICT "The refund has changed"
        "The cancellation would give back another amount than expected_refund. Nothing is cancelled; the members \
         refund and fee have the figures of now."
    VersionConflict "version_conflict" CONFLICT "The flight has changed"
        "The flight has changed since the version in the body. Read it again and repeat the change."
    SeatsInUse "seats_in_use" CONFLICT "The seats are in use"
        "The new seat counts leave fewer seats than are sold or held. The detail has the counts."
    BookingNotCancellable "booking_not_cancellable" CONFLICT "The booking can't be cancelled"
        "The booking has failed, so there is nothing to cancel; or its itinerary can only be cancelled as a whole. The \
         detail says which."
    BookingNotChangeable "booking_not_changeable" CONFLICT "The booking can't be changed"
        "Only a completed booking moves to another flight, before its flight departs or is cancelled, and unless an \
         earlier service took its payment."
    ChangePending "change_pending" CONFLICT "A change waits for its payment"
        "A change of the booking or of its itinerary waits for the payment of its difference. Wait for its outcome, or \
         cancel the whole itinerary."
    DifferenceChanged "difference_changed" CONFLICT "The difference has changed"
        "The change costs another amount than expected_difference. Nothing is changed; the member difference has the \
         figure of now, which comes back if it is below zero."
    PaymentNotDue "payment_not_due" CONFLICT "No payment is due"
        "The booking was not held to be paid later, is paid already, or has ended."
    PaymentInProgress "payment_in_progress" CONFLICT "A payment is in progress"
        "The last payment of the booking has not ended. Wait for its outcome before the next."
    HoldExpired "hold_expired" CONFLICT "The hold has ended"
        "The seats were held until hold_expires_at. Book again."
    TooManyAttempts "too_many_attempts" CONFLICT "Too many payments were declined"
        "Five payments of the booking were declined, and no further one is taken. Book again."
    PassengerNotChangeable "passenger_not_changeable" CONFLICT "The passenger can't be changed"
        "The flight has departed, the booking failed, it or the passenger was cancelled, or the passenger's data \
         were erased: nobody travels with these data any more."
    NotExtendable "not_extendable" CONFLICT "The hold can't be extended"
        "The hold was extended before, is not to be paid later, has ended, or ends with the departure."
    RefundNotFailed "refund_not_failed" CONFLICT "The refund has not failed"
        "The refund is under way or done. Only one that the gateway refused is asked for again."
    AlreadyWaiting "already_waiting" CONFLICT "The user waits for the flight already"
        "The user has an entry of the flight's waiting list that waits, or whose offer is open. Leave the line or \
         decline the offer first."
    SeatsAvailable "seats_available" CONFLICT "The flight has seats"
        "The party would get its seats now: book them instead of waiting."
    WaitlistFull "waitlist_full" CONFLICT "The waiting list is full"
        "1,000 parties wait for the flight already."
    NoOffer "no_offer" CONFLICT "There is no offer"
        "The entry has no open offer: it still waits, it buys its seats by itself, or its offer has ended."
    TooManyWebhooks "too_many_webhooks" CONFLICT "Too many webhooks"
        "The caller has 100 webhooks already. Delete one first."
    FlightCancelled "flight_cancelled" CONFLICT "The flight is cancelled"
        "A cancelled flight can't be changed."
    CursorExpired "cursor_expired" GONE "Events may be missing"
        "The events after the cursor are no longer kept, or the log was deleted and begun again. Read what was missed \
         another way, and go on from the member oldest: the oldest event that is kept."
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED "The flight has changed"
        "If-Match does not list the flight's version. Read the flight again and repeat the change."
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "The body is larger than 64 KiB."
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE
        "The body must be application/json"
        "Send the body as Content-Type: application/json, in UTF-8 and without compression."
    MisdirectedRequest "misdirected_request" MISDIRECTED_REQUEST "Not a name of this service"
        "The Host is not a name of this service: a page under another name sent the request, or a proxy \
         passed its own name on. ALLOWED_HOSTS lists the names, beside localhost and addresses."
    ValidationFailed "validation_failed" UNPROCESSABLE_ENTITY "Some fields are invalid"
        "Fields of the request break rules. The list of errors has each field and its rule."
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The idempotency key was used before"
        "A different request used the Idempotency-Key within the last 24 hours. Send a new request with a \
         new key."
    VersionRequired "version_required" PRECONDITION_REQUIRED "The flight's version is needed"
        "A change of seat counts needs the flight's version: send it in the body, or its ETag as If-Match."
    RateLimited "rate_limited" TOO_MANY_REQUESTS "Too many requests"
        "The client sends more requests than RATE_LIMIT_RPS and RATE_LIMIT_BURST allow, or looks for bookings \
         without a result too often. Wait for the seconds in Retry-After."
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong here"
        "A fault of the service. Its log has the cause under the id of the request."
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Too busy just now"
        "The service has more requests than it can handle. Nothing was done; repeat the request after the \
         seconds in Retry-After."
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Unavailable just now"
        "The store or the issuer of the tokens' keys does not answer, or not in time. Repeat the request \
         after the seconds in Retry-After, with the same Idempotency-Key: it may have been carried out."
}
