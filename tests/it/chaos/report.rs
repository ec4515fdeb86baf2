//! What a run of chaos counted.

use super::clients::Histories;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many findings of a kind are shown.
const SHOWN_MAX: usize = 10;

#[derive(Default)]
pub struct Report {
    pub histories: Histories,
    /// Each fault's times from its end to the first 201 of the slower replica.
    recoveries: BTreeMap<String, Vec<Duration>>,
    pub ends: BTreeMap<String, usize>,
    /// How long it took until nothing was open.
    pub rest: Duration,
    /// On the topic of events.
    pub messages: usize,
    pub accepted: usize,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub unpaid: Vec<String>,
    pub unrefunded: Vec<String>,
    /// What this machine could not do.
    pub left_out: Vec<&'static str>,
    /// Everything else that must not be.
    pub oddities: Vec<String>,
}

impl Report {
    pub fn recovered(&mut self, fault: String, after: Duration) {
        self.recoveries.entry(fault).or_default().push(after);
    }

    /// Whether all that must not be is not.
    pub fn is_sound(&self) -> bool {
        let findings = [&self.lost, &self.doubled, &self.unpaid, &self.unrefunded, &self.oddities];
        findings.iter().all(|found| found.is_empty()) && self.histories.oddities.is_empty()
    }

    #[allow(clippy::print_stdout, reason = "its output is what `tests/chaos` shows")]
    pub fn show(&mut self) {
        self.oddities.append(&mut self.histories.oddities);
        let findings = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("unpaid", &self.unpaid),
            ("unrefunded", &self.unrefunded),
            ("wrong", &self.oddities),
        ];
        for (kind, found) in findings {
            for finding in found.iter().take(SHOWN_MAX) {
                println!("{kind}: {finding}");
            }
        }
        for (kind, count) in &self.histories.answers {
            println!("answers: {count} of {kind}");
        }
        let ends: Vec<_> = self.ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
        println!("ends of bookings: {}", ends.join(", "));
        println!(
            "all quiet after {} ms; {} events on their topic",
            self.rest.as_millis(),
            self.messages
        );
        let mut faults = 0;
        for (fault, times) in &mut self.recoveries {
            times.sort_unstable();
            faults += times.len();
            let (count, median) = (times.len(), times[(times.len() - 1) / 2].as_millis());
            let largest = times[count - 1].as_millis();
            println!(
                "fault: {count} × {fault}; 201 again after {median} ms (median), {largest} ms (max)"
            );
        }
        println!("{faults} faults, {} other violations", self.oddities.len());
        self.left_out.push("moving partitions between brokers, because there is one broker");
        for what in &self.left_out {
            println!("left out: {what}");
        }
        println!(
            "{} accepted, {} lost, {} doubled, {} unpaid seats, {} unrefunded",
            self.accepted,
            self.lost.len(),
            self.doubled.len(),
            self.unpaid.len(),
            self.unrefunded.len()
        );
    }
}
