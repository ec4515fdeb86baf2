//! Checks a database of the specified schema before it is adopted: rows that break a rule stop the
//! adoption, other rows are changed by it.

use crate::store::StoreError;
use sqlx::PgConnection;

/// Maximum examples of a symptom.
const EXAMPLES_MAX: usize = 5;

/// A property of another service's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symptom {
    /// The property, in words.
    pub what: &'static str,
    /// What adoption does with the rows; `None` if they stop it.
    pub treatment: Option<&'static str>,
    /// How many rows have the property.
    pub rows: i64,
    /// Some of the rows.
    pub examples: Vec<String>,
}

/// The checks: the symptom, its treatment, and a statement that names the rows.
const LOOKS: &[(&str, Option<&str>, &str)] = &[
    (
        "flights whose seats are negative or more than there are",
        None,
        "SELECT 'flight ' || id FROM flights
          WHERE available_seats < 0 OR total_seats <= 0 OR available_seats > total_seats",
    ),
    (
        "flights that sold more seats than are missing",
        None,
        "SELECT 'flight ' || f.id FROM flights AS f
           JOIN (SELECT flight_id, sum(seats_booked) AS seats FROM bookings
                  WHERE status = 'completed' GROUP BY flight_id) AS b ON b.flight_id = f.id
          WHERE f.total_seats - f.available_seats < b.seats",
    ),
    (
        "flights without a price, or from a place to itself",
        None,
        "SELECT 'flight ' || id FROM flights
          WHERE price <= 0 OR lower(trim(source)) = lower(trim(destination))",
    ),
    (
        "flights of unknown status",
        None,
        "SELECT 'flight ' || id FROM flights
          WHERE flight_status NOT IN ('scheduled', 'on_time', 'delayed', 'departed', 'cancelled')",
    ),
    (
        "bookings without a flight",
        None,
        "SELECT 'booking ' || b.id FROM bookings AS b
          WHERE NOT EXISTS (SELECT 1 FROM flights AS f WHERE f.id = b.flight_id)",
    ),
    (
        "bookings without seats or a price",
        None,
        "SELECT 'booking ' || id FROM bookings WHERE seats_booked <= 0 OR booking_price <= 0",
    ),
    (
        "bookings of unknown status",
        None,
        "SELECT 'booking ' || id FROM bookings
          WHERE status NOT IN ('pending', 'completed', 'failed', 'cancelled')",
    ),
    (
        "flights without a time of creation",
        Some("created before they depart, so that they close then"),
        "SELECT 'flight ' || id FROM flights WHERE created_at IS NULL",
    ),
    (
        "bookings stuck in pending: their payment never ran",
        Some(
            "failed, with the reason adopted; their seats count as sold elsewhere, until `migrate \
             --release-stuck` puts them on sale",
        ),
        "SELECT 'booking ' || id FROM bookings WHERE coalesce(status, 'pending') = 'pending'",
    ),
    (
        "completed bookings, paid at a gateway that is not ours",
        Some("a captured payment, marked adopted"),
        "SELECT 'booking ' || id FROM bookings WHERE status = 'completed'",
    ),
    (
        "bookings whose payment reference is missing, malformed or used twice",
        Some("a reference of their own"),
        "SELECT 'booking ' || id FROM bookings
          WHERE payment_reference_id IS NULL OR payment_reference_id !~ '^PAY-[0-9a-f]{32}$'
             OR EXISTS (SELECT 1 FROM bookings AS earlier
                         WHERE earlier.payment_reference_id = bookings.payment_reference_id
                           AND earlier.id < bookings.id)",
    ),
    (
        "flights with seats missing that no completed booking has",
        Some("those seats are blocked, as sold elsewhere"),
        "SELECT 'flight ' || f.id FROM flights AS f
           LEFT JOIN (SELECT flight_id, sum(seats_booked) AS seats FROM bookings
                       WHERE status = 'completed' GROUP BY flight_id) AS b ON b.flight_id = f.id
          WHERE f.total_seats - f.available_seats > coalesce(b.seats, 0)",
    ),
];

/// Runs every check. Symptoms without rows are left out.
pub(in crate::store) async fn examine(
    connection: &mut PgConnection,
) -> Result<Vec<Symptom>, StoreError> {
    let mut symptoms = Vec::new();
    for (what, treatment, rows) in LOOKS {
        let found: Vec<String> = sqlx::query_scalar(*rows).fetch_all(&mut *connection).await?;
        if !found.is_empty() {
            symptoms.push(Symptom {
                what,
                treatment: *treatment,
                rows: found.len() as i64,
                examples: found.into_iter().take(EXAMPLES_MAX).collect(),
            });
        }
    }
    Ok(symptoms)
}

/// Fails with a list of the symptoms that stop the adoption, if there are any.
pub(super) async fn refuse_what_is_ill(connection: &mut PgConnection) -> Result<(), StoreError> {
    let symptoms = examine(connection).await?;
    let ill = symptoms.iter().filter(|symptom| symptom.treatment.is_none());
    let list: Vec<_> = ill
        .map(|Symptom { what, rows, examples, .. }| {
            format!("{rows} {what}: {}", examples.join(", "))
        })
        .collect();
    if list.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow::anyhow!(
        "the database cannot be adopted, and nothing was changed:\n  {}",
        list.join("\n  ")
    )))
}
