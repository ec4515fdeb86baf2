//! Corrections of passengers, some at the same moment, some again with their key.

use super::{Answer, Client};
use airline_booking::domain::{BookingId, BookingStatus, PassengerPatch};
use airline_booking::rules::Mend;
use std::sync::Arc;

const ROUTE: &str = "/api/v1/bookings/{id}/passengers/{n}";

/// A correction that was confirmed. No other has its address.
#[derive(Debug, Clone)]
pub struct Mended {
    pub booking: BookingId,
    pub place: u16,
    pub email: Arc<str>,
}

impl Client {
    /// Corrects the address of a passenger, by one request or by two at the same moment.
    pub(super) async fn mend(&mut self) {
        let Some(booking) = self.any_booking() else { return };
        let place = self.world.chance.below(booking.party_size() as u64) as u16;
        let (one, other) = (self.correction(booking.id, place), self.correction(booking.id, place));
        if self.world.chance.below(2) == 0 {
            self.send_mend(one).await;
            return;
        }
        // A cancellation or another correction at the same moment must lose neither.
        let (asked, again) = (self.ask_to_mend(one.clone()), self.ask_to_mend(other.clone()));
        let (asked, again) = tokio::join!(asked, again);
        self.note(&one, &asked);
        self.note(&other, &again);
    }

    fn correction(&mut self, booking_id: BookingId, place: u16) -> Mend {
        let request = self.some_key(ROUTE);
        let email = format!("{}.{}@b.example", self.user, self.keys);
        let patch = PassengerPatch { email: Some(email.into()), ..PassengerPatch::default() };
        Mend { booking_id, place, patch, request }
    }

    async fn send_mend(&mut self, mend: Mend) {
        let attempts = if mend.request.is_some() { 3 } else { 1 };
        for _ in 0..attempts {
            let answer = self.ask_to_mend(mend.clone()).await;
            self.note(&mend, &answer);
            if !matches!(answer, Answer::Unknown(_)) {
                return;
            }
        }
    }

    async fn ask_to_mend(&self, mend: Mend) -> Answer<i64> {
        let (user, booking) = (self.user, mend.booking_id);
        let name = format!("user {user} corrects passenger {} of booking {booking}", mend.place);
        self.ask(&name, async move |service| {
            let mended = service.bookings.mend(mend).await?;
            let its = mended.order.bookings.iter().find(|its| its.id == booking);
            Ok(its.map_or(0, |its| its.version))
        })
        .await
    }

    /// Remembers a confirmed correction.
    fn note(&mut self, mend: &Mend, answer: &Answer<i64>) {
        if !matches!(answer, Answer::Is(_)) {
            return;
        }
        let Some(email) = mend.patch.email.clone() else { return };
        let (booking, place) = (mend.booking_id, mend.place);
        let known = self.seen.bookings.get(&booking);
        let is_over = known.is_some_and(|known| {
            matches!(known.status, BookingStatus::Cancelled | BookingStatus::Failed)
        });
        if is_over {
            let what = format!("passenger {place} of booking {booking}, which has ended");
            self.complaints.push(format!("user {} corrected {what}", self.user));
        }
        self.mended.push(Mended { booking, place, email });
    }
}
