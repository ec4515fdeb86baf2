//! What a listener heard.

use crate::support::smtp::SmtpPeer;
use std::collections::{BTreeMap, HashSet};

/// The ids of events of each flight, in the order in which they came, with repeats.
pub type Heard = BTreeMap<i64, Vec<String>>;

/// Without the repeats.
pub fn first_of_each(heard: &Heard) -> Heard {
    let once = |ids: &Vec<String>| {
        let mut seen = HashSet::new();
        ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect()
    };
    heard.iter().map(|(flight, ids)| (*flight, once(ids))).collect()
}

/// Addresses and ids of the mails that were sent, once each.
pub fn mails(smtp: &SmtpPeer) -> HashSet<(String, String)> {
    let mails = smtp.mails().into_iter();
    mails.map(|mail| (mail.to.clone(), mail.header("Message-ID"))).collect()
}

/// Expects so many mails to each address. Gives how many were sent twice, with the same id.
pub fn expect_mails(smtp: &SmtpPeer, expected: &BTreeMap<String, usize>) -> usize {
    let mut sent = BTreeMap::<String, usize>::new();
    let once = mails(smtp);
    for (address, _) in &once {
        *sent.entry(address.clone()).or_default() += 1;
    }
    assert_eq!(&sent, expected);
    smtp.mails().len() - once.len()
}
