//! Changes of flight, to flights that cost more, less or the same, or that do not fit.

use super::{Answer, Client};
use airline_booking::booking::MoveBooking;

const ROUTE: &str = "/api/v1/bookings/{id}/change";

impl Client {
    /// Moves a booking to some flight, and repeats a request with a key whose answer is lost.
    pub(super) async fn change(&mut self) {
        let Some(booking) = self.any_booking() else { return };
        let request = MoveBooking {
            booking_id: booking.id,
            user_id: booking.user_id,
            flight_id: self.world.any_flight(),
            method: self.some_method(),
            expected_difference: None,
            pending_max: (self.world.chance.below(4) == 0).then_some(6),
            request: self.some_key(ROUTE),
        };
        let (id, flight) = (booking.id, request.flight_id);
        let name = format!("user {} moves booking {id} to flight {flight}", self.user);
        for _ in 0..if request.request.is_some() { 2 } else { 1 } {
            let request = request.clone();
            let answer =
                self.ask(&name, async move |service| service.bookings.change_flight(request).await);
            match answer.await {
                Answer::Is(changed) => {
                    self.see_order(&changed.order);
                    let moved = changed.order.booking(id).map(|booking| booking.flight_id);
                    // The booking of a difference moves once that is paid.
                    self.changes += usize::from(moved == Some(flight));
                    break;
                }
                Answer::Unknown(_) => {}
                Answer::Refused(_) | Answer::NotNow(_) => break,
            }
        }
    }
}
