//! Idle reports and the deadlock verdict.
//!
//! A processor on which nothing can happen unless a message arrives says so in an ordered message. A report counts as long as no
//! message but idle reports is ordered after what its sender had applied; when the reports of all processors count, nothing can
//! happen anywhere any more. All processors see the same reports in the same order, so they reach the verdict at the same
//! message.
//!
//! Implements: DESIGN 9; ORCA 9.5.

use std::collections::BTreeMap;

use crate::message::IdleReport;

/// Which processors are known to be idle.
#[derive(Debug)]
pub(crate) struct Idle {
    processors: u32,
    /// Number of the last ordered message that was no idle report.
    activity: u64,
    reports: BTreeMap<u32, IdleReport>,
    /// The activity that this processor last reported after.
    reported: Option<u64>,
}

impl Idle {
    pub(crate) fn new(processors: u32) -> Idle {
        Idle {
            processors,
            activity: 0,
            reports: BTreeMap::new(),
            reported: None,
        }
    }

    /// An ordered message that could wake somebody.
    pub(crate) fn on_activity(&mut self, number: u64) {
        self.activity = number;
        self.reports.clear();
    }

    /// This processor is idle: true if it has not said so since the last activity.
    pub(crate) fn begin_report(&mut self) -> bool {
        let first = self.reported != Some(self.activity);
        self.reported = Some(self.activity);
        first
    }

    /// Number of the last message that could wake somebody.
    pub(crate) fn activity(&self) -> u64 {
        self.activity
    }

    /// This processor has said so since the last activity.
    pub(crate) fn has_reported(&self) -> bool {
        self.reported == Some(self.activity)
    }

    /// A report; `applied`: the last ordered message that its sender had applied. Gives all reports if every processor is idle.
    pub(crate) fn on_report(
        &mut self,
        from: u32,
        applied: u64,
        report: IdleReport,
    ) -> Option<&BTreeMap<u32, IdleReport>> {
        if applied < self.activity {
            return None;
        }
        self.reports.insert(from, report);
        let balanced = self.reports.values().map(|report| report.sent).sum::<u64>()
            == self
                .reports
                .values()
                .map(|report| report.received)
                .sum::<u64>();
        (self.reports.len() == self.processors as usize && balanced).then_some(&self.reports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_needs_every_processor_and_no_message_between() {
        let mut idle = Idle::new(2);
        idle.on_activity(5);
        assert!(idle.on_report(0, 5, IdleReport::default()).is_none());
        // A write was ordered after the first report.
        idle.on_activity(7);
        assert!(idle.on_report(1, 7, IdleReport::default()).is_none());
        // A report from before that write arrives late and says nothing.
        assert!(idle.on_report(0, 5, IdleReport::default()).is_none());
        assert!(idle.on_report(0, 7, IdleReport::default()).is_some());
    }

    #[test]
    fn a_processor_reports_once_after_each_activity() {
        let mut idle = Idle::new(2);
        assert!(idle.begin_report());
        assert!(!idle.begin_report());
        idle.on_activity(1);
        assert!(idle.begin_report());
    }

    #[test]
    fn unbalanced_counts_are_messages_on_their_way() {
        let mut idle = Idle::new(2);
        let sent = IdleReport {
            sent: 1,
            ..IdleReport::default()
        };
        assert!(idle.on_report(0, 0, sent.clone()).is_none());
        assert!(idle.on_report(1, 0, IdleReport::default()).is_none());
        let received = IdleReport {
            received: 1,
            ..IdleReport::default()
        };
        assert!(idle.on_report(1, 0, received).is_some());
    }
}
