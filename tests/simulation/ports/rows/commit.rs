//! A commit: what is stale, what is written, and what it must not break.

use super::{Rows, refused};
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, Flight, FlightId, FlightStatus, Payment, PaymentNotes,
    Refund, SeatCount,
};
use airline_booking::rules::{
    Change, ChangeSet, ChangesId, Claim, IdempotencyRecord, NetChanges, RequestRecord, Seen, Stale,
};
use airline_booking::store::{Committed, StoreError, invalidation_of};
use std::collections::BTreeSet;
use tokio::time::Instant;

impl Rows {
    /// Writes what is not stale, as a commit's transaction does.
    pub fn commit(&mut self, changes: &ChangeSet, locked: &Stale) -> Result<Committed, StoreError> {
        let all = changes.fold(&Stale::default());
        let mut stale = self.stale(&all);
        if planted!(order_guards_its_first_flight_alone) {
            let later = changes.iter().flat_map(|(_, changes)| changes.flights.iter().skip(1));
            later.for_each(|change| _ = stale.flights.remove(&change.after.id));
        }
        stale.flights.extend(&locked.flights);
        let net = changes.fold(&stale);
        self.commits += 1;
        self.check(&net)?;
        if let Some(invalidation) = invalidation_of(&net, changes) {
            self.add_invalidation(invalidation);
        }
        self.note_free_seats(changes, &net.stale);
        let written_not = net.stale.clone();
        let orders = net.bookings.iter().map(|change| change.after.payment_reference);
        let orders: BTreeSet<_> =
            orders.chain(net.payments.iter().map(|change| change.after.order)).collect();
        if planted!(commit_written_in_halves) && self.commits.is_multiple_of(16) {
            self.write(NetChanges { flights: net.flights, ..NetChanges::default() });
        } else {
            self.write(net);
        }
        self.check_limits(changes, &written_not);
        self.check_orders(&orders);
        if planted!(stale_rows_are_not_reported) {
            return Ok(Committed::default());
        }
        Ok(Committed::of(changes, &stale, locked))
    }

    /// A user that holds seats under a limit has no more unpaid seats than that, unless it holds others in the same
    /// commit.
    fn check_limits(&mut self, changes: &ChangeSet, stale: &BTreeSet<ChangesId>) {
        let written = changes.iter().filter(|(id, _)| !stale.contains(id));
        let new = written.flat_map(|(_, changes)| {
            let new = changes.bookings.iter().filter(|change| change.was.is_none());
            new.map(|Change { after: booking, .. }| {
                ((booking.flight_id, booking.user_id), booking.created_at, changes.pending_max)
            })
        });
        let new: Vec<_> = new.collect();
        for (holder, at, most) in &new {
            let is_only_one = new.iter().filter(|(other, ..)| other == holder).count() == 1;
            let Some(most) = most.filter(|_| is_only_one) else { continue };
            let pending = self.count_pending(*holder, *at);
            if pending > i64::from(most) {
                self.complaints
                    .push(format!("limit: {holder:?} has {pending} unpaid seats of {most}"));
            }
        }
    }

    /// Notes the free seats that commands leave, also those in the middle of a batch.
    fn note_free_seats(&mut self, changes: &ChangeSet, stale: &BTreeSet<ChangesId>) {
        let now = Instant::now();
        for (id, changes) in changes.iter() {
            if stale.contains(&id) {
                continue;
            }
            if !changes.flights.is_empty() {
                self.history.push(changes.clone());
            }
            for Change { after: flight, .. } in &changes.flights {
                self.free.entry(flight.id).or_default().push((now, flight.free_seats()));
            }
        }
    }

    /// Notes a flight's free seats where another than a commit changes it.
    pub fn note_free_seats_of(&mut self, flight: FlightId) {
        let free = self.flights[&flight].free_seats();
        self.free.entry(flight).or_default().push((Instant::now(), free));
    }

    /// Whether the flight had so many free seats at some time since then.
    pub fn had_free_seats(&self, flight: FlightId, free: SeatCount, since: Instant) -> bool {
        let all = self.free.get(&flight).map(Vec::as_slice).unwrap_or_default();
        let before = all.partition_point(|(at, _)| *at < since).saturating_sub(1);
        all[before..].iter().any(|(_, known)| *known == free)
    }

    /// Rows that are not as the changes were decided on.
    fn stale(&self, net: &NetChanges) -> Stale {
        let is_key_taken = |record: &&IdempotencyRecord| {
            let known = self.keys.get(&record.name());
            let old = record.created_at - IdempotencyRecord::KEPT_FOR;
            known.is_some_and(|known| known.created_at > old) && !planted!(keys_lapse_at_once)
        };
        let is_request_taken = |RequestRecord { request, created_at, .. }: &&RequestRecord| {
            let known = self.requests.get(&request.name());
            request.meets(known, *created_at) != Claim::New(()) && !planted!(keys_lapse_at_once)
        };
        let is_flight_stale = |id, version| {
            self.flights.get(id).map(|f| f.version) != Some(version)
                && !planted!(version_is_not_checked)
        };
        let is_booking_stale = |id: &BookingId, was: Option<Seen<BookingStatus>>| {
            let seen = |b: &Booking| Seen { status: b.status, version: b.version };
            let is_mended = net.passengers.iter().any(|change| change.booking_id == *id);
            let is_ignored = planted!(statuses_are_not_checked)
                || planted!(mend_ignores_the_version) && is_mended
                || planted!(taken_number_is_not_noticed) && was.is_none();
            self.bookings.get(id).map(seen) != was && !is_ignored
        };
        let is_payment_stale = |reference, was| {
            let seen = |p: &Payment| Seen { status: p.status, version: p.version };
            self.payments.get(reference).map(seen) != was && !planted!(statuses_are_not_checked)
        };
        let exceeded = net.pending_limits.iter().filter(|limit| {
            self.pending_seats(limit.holder, limit.at) > i64::from(limit.pending_max)
        });
        let flights = net.flights.iter().filter(|c| is_flight_stale(&c.after.id, c.was.version));
        let bookings = net.bookings.iter().filter(|c| {
            let is_paid_otherwise = c.was.is_none()
                && self
                    .order(&c.after.payment_reference)
                    .iter()
                    .any(|other| other.id != c.after.id && other.segment == c.after.segment);
            is_booking_stale(&c.after.id, c.was) || is_paid_otherwise
        });
        let payments = net.payments.iter().filter(|c| is_payment_stale(&c.after.reference, c.was));
        let refunds = net.refunds.iter().filter(|c| {
            self.refunds.get(&c.after.id).map(|refund| refund.status) != c.was
                && !planted!(statuses_are_not_checked)
        });
        let entries = net.entries.iter().filter(|c| {
            self.entries.get(&c.after.id).map(|entry| entry.version) != c.was
                && !planted!(statuses_are_not_checked)
        });
        Stale {
            flights: flights.map(|c| c.after.id).collect(),
            bookings: bookings.map(|c| c.after.id).collect(),
            payments: payments.map(|c| c.after.reference).collect(),
            refunds: refunds.map(|c| c.after.id).collect(),
            entries: entries.map(|c| c.after.id).collect(),
            keys: net
                .idempotency
                .iter()
                .filter(is_key_taken)
                .map(IdempotencyRecord::name)
                .collect(),
            pending: exceeded.map(|limit| limit.holder).collect(),
            requests: net
                .requests
                .iter()
                .filter(is_request_taken)
                .map(|r| r.request.name())
                .collect(),
        }
    }

    /// The rules of the schema. A commit that breaks one is refused; nothing that is decided ever should.
    fn check(&mut self, net: &NetChanges) -> Result<(), StoreError> {
        for change in &net.flights {
            if !change.after.is_sound() {
                self.complaints.push(format!("a commit breaks I1: {:?}", change.after));
                return Err(refused(format!("flight {} breaks I1", change.after.id)));
            }
        }
        Ok(())
    }

    fn write(&mut self, net: NetChanges) {
        for change in net.flights {
            let Some(row) = self.flights.get_mut(&change.after.id) else { continue };
            let is_off = |flight: &Flight| flight.flight_status == FlightStatus::Cancelled;
            if is_off(&change.after) && !is_off(&change.was) {
                self.cancelled_at.insert(row.id, change.after.updated_at);
            }
            *row = if change.after.differs_in_inventory_alone(&change.was) {
                with_inventory_of(row, &change.after)
            } else {
                change.after
            };
        }
        for change in net.payments {
            let after = change.after;
            if let Some(row) = self.payments.get_mut(&after.reference) {
                if after.has_several_steps() {
                    let noted = row.notes.take().map(|notes| *notes).unwrap_or_default();
                    let return_url = after.return_url().cloned();
                    let notes = PaymentNotes { return_url, ..noted }.boxed();
                    *row = Payment { notes, ..after };
                    continue;
                }
                (row.status, row.updated_at) = (after.status, after.updated_at);
                row.version = after.version;
            } else {
                self.payments.insert(after.reference, after);
            }
        }
        for change in net.bookings {
            let after = change.after;
            if let Some(row) = self.bookings.get_mut(&after.id) {
                self.earlier.insert(row.id, row.clone());
                (row.status, row.failure_reason) = (after.status, after.failure_reason);
                (row.updated_at, row.version) = (after.updated_at, after.version);
                if after.is_rewritten && !planted!(cancelled_part_is_not_written) {
                    let passengers = row.passengers.take();
                    *row = Booking { passengers, ..after };
                }
            } else {
                self.paid_by.entry(after.payment_reference).or_default().push(after.id);
                self.bookings.insert(after.id, after);
            }
        }
        for change in net.passengers {
            self.correct(change);
        }
        for change in net.refunds {
            if planted!(refunds_are_not_written) && change.was.is_none() {
                continue;
            }
            let after = change.after;
            if let Some(row) = self.refunds.get_mut(&after.id) {
                *row = Refund { attempts: row.attempts, ..after };
            } else {
                self.refunds.insert(after.id, after);
            }
        }
        self.write_entries(net.entries);
        self.keys.extend(net.idempotency.into_iter().map(|record| (record.name(), record)));
        self.requests.extend(net.requests.into_iter().map(|r| (r.request.name(), r)));
        self.publish(&net.events);
    }
}

/// A hold or a settlement writes a flight's inventory alone, whatever its other columns are by now.
fn with_inventory_of(row: &Flight, after: &Flight) -> Flight {
    Flight {
        available_seats: after.available_seats,
        held_seats: after.held_seats,
        blocked_seats: after.blocked_seats,
        version: after.version,
        updated_at: after.updated_at,
        ..row.clone()
    }
}
