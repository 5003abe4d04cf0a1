//! What was moved beyond the limits, in any window.
//!
//! Owns which operations a limit's allowance is compared with: the group's with those of all
//! members, a connection's own with its own, each direction by itself; and what the clients saw.

use std::collections::BTreeMap;

use crate::audit::{AuditLog, Budget, Record, Span, Way, worst_excess};
use crate::client::Receipt;
use crate::limits::Terms;

/// The worst excess of the group and of every connection's own limit, in both directions.
pub(super) fn of_log(log: &AuditLog, group: Option<Terms>, each: Option<Terms>) -> u64 {
    let mut worst = 0;
    for way in [Way::Read, Way::Write] {
        let spans = |records: &[&Record]| -> Vec<Span> {
            records.iter().map(|record| Span::from(*record)).collect()
        };
        let records: Vec<&Record> = log.records.iter().filter(|r| r.way == way).collect();
        if let Some(terms) = group {
            let budget = terms.budget(log.group.unwrap_or_default());
            worst = worst.max(worst_excess(&spans(&records), &budget));
        }
        let Some(terms) = each else { continue };
        let mut by_connection: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
        for record in records {
            by_connection.entry(record.connection).or_default().push(record);
        }
        for (connection, records) in by_connection {
            let start = log.limits.get(&connection).copied().unwrap_or_default();
            worst = worst.max(worst_excess(&spans(&records), &terms.budget(start)));
        }
    }
    worst
}

/// The excess the clients saw. When ticks began is unknown to them, so one tick more is allowed.
pub(super) fn of_receipts(receipts: &[Receipt], terms: &Terms) -> u64 {
    let spans: Vec<Span> = receipts
        .iter()
        .map(|receipt| Span { from_ns: receipt.at_ns, to_ns: receipt.at_ns, bytes: receipt.bytes })
        .collect();
    let burst = terms.burst + terms.tick.map_or(0, |tick| tick.bytes);
    worst_excess(&spans, &Budget::Continuous { bytes_per_sec: terms.bytes_per_sec, burst })
}

impl From<&Record> for Span {
    fn from(record: &Record) -> Self {
        Self { from_ns: record.before_ns, to_ns: record.after_ns, bytes: record.bytes }
    }
}
