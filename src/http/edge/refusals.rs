//! Bounds the log lines about refusals. A client can send refused requests without end; a line for each would
//! fill the log and hide everything else in it.

use super::client_ip;
use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

/// Maximum lines a second, for all clients together.
const LINES_MAX: u32 = 40;

/// Maximum lines a second about one client.
const CLIENT_LINES_MAX: u8 = 10;

/// Number of counters. Clients with keys on the same counter share its lines.
const COUNTS: usize = 256;

/// The lines of the current second.
pub(crate) struct Refusals {
    started: Instant,
    /// Seeded at random, so that no caller can choose a key that shares a victim's counter.
    hasher: RandomState,
    written: Mutex<Written>,
}

struct Written {
    /// Seconds since the start.
    second: u64,
    lines: u32,
    of_clients: [u8; COUNTS],
    /// Refusals without a line since the last line.
    left_out: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        let written = Written { second: 0, lines: 0, of_clients: [0; COUNTS], left_out: 0 };
        Self { started: Instant::now(), hasher: RandomState::new(), written: Mutex::new(written) }
    }
}

impl Refusals {
    /// Counts a refusal. `None` if it gets no line, else the number of refusals left out since the last line.
    pub(crate) fn take(&self, client: IpAddr, at: Instant) -> Option<u64> {
        let second = at.saturating_duration_since(self.started).as_secs();
        let count = self.hasher.hash_one(client_ip::key(client)) as usize % COUNTS;
        let mut written = self.written.lock();
        if second > written.second {
            written.second = second;
            written.lines = 0;
            written.of_clients = [0; COUNTS];
        }
        if written.lines >= LINES_MAX || written.of_clients[count] >= CLIENT_LINES_MAX {
            written.left_out += 1;
            return None;
        }
        written.lines += 1;
        written.of_clients[count] += 1;
        Some(std::mem::take(&mut written.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lines(refusals: &Refusals, client: [u8; 4], tries: usize, at: Instant) -> usize {
        (0..tries).filter(|_| refusals.take(client.into(), at).is_some()).count()
    }

    #[test]
    fn a_client_gets_ten_lines_a_second_and_the_next_line_counts_those_left_out() {
        let refusals = Refusals::default();
        let at = refusals.started;
        assert_eq!(lines(&refusals, [203, 0, 113, 9], 1_000, at), 10);
        let next = at + Duration::from_secs(1);
        assert_eq!(refusals.take([203, 0, 113, 9].into(), next), Some(990));
        assert_eq!(refusals.take([203, 0, 113, 9].into(), next), Some(0));
    }

    #[test]
    fn all_clients_together_get_forty_lines_a_second() {
        let refusals = Refusals::default();
        let at = refusals.started;
        let clients = (0..=255).map(|last| lines(&refusals, [198, 51, 100, last], 5, at));
        assert_eq!(clients.sum::<usize>(), 40);
        assert_eq!(lines(&refusals, [203, 0, 113, 9], 1, at + Duration::from_secs(1)), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let refusals = Refusals::default();
        let take = |last: u16| {
            let client = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
            refusals.take(client.into(), refusals.started)
        };
        assert_eq!((0..100).filter_map(take).count(), 10);
    }
}
