//! The status as metrics.

use super::{Row, Status};
use crate::output::metrics::{Label, Metrics};

impl Status {
    /// The metrics.
    pub(super) fn metrics(&self) -> String {
        let mut metrics = Metrics::default();
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        metrics.gauges("binfmt_dispatch_build_info", "The version of this command.", [(version, 1)]);
        metrics.gauge(
            "binfmt_dispatch_ready",
            "Whether all expected architectures run through binfmt-dispatch.",
            self.is_ready(),
        );
        metrics.gauge(
            "binfmt_dispatch_registry_visible",
            "Whether this process sees the kernel's entries. If not, test programs alone tell what runs.",
            self.mounted,
        );
        if self.mounted {
            metrics.gauge(
                "binfmt_dispatch_registry_enabled",
                "Whether entries are turned on, all together.",
                self.enabled,
            );
            metrics.gauge(
                "binfmt_dispatch_other_entries",
                "Entries with names that are not in the table.",
                self.others.len() as u64,
            );
            metrics.gauge(
                "binfmt_dispatch_interrupted_entries",
                "Temporary entries that interrupted runs left.",
                self.interrupted.len() as u64,
            );
            self.each(&mut metrics, "registered", "Whether the kernel has the entry.", |row| Some(row.registered));
            self.each(&mut metrics, "enabled", "Whether the entry is turned on.", |row| {
                row.registered.then_some(row.enabled)
            });
            self.each(&mut metrics, "shadowed", "Whether a newer entry gets its programs.", |row| {
                row.registered.then_some(row.shadowed_by.is_some())
            });
        }
        self.each(&mut metrics, "ours", "Whether its interpreter is binfmt-dispatch.", |row| Some(row.ours));
        self.each(&mut metrics, "runs", "Whether a test program of the architecture ran.", |row| row.runs);
        self.each(&mut metrics, "current", "Whether the registered image is the one of this command.", |row| {
            Some(row.identity.as_ref()? == self.identity.as_ref()?)
        });
        let info = self.shown().filter_map(|row| {
            let known = [("version", row.version.as_deref()?), ("identity", row.identity.as_deref()?)];
            Some((row.labels().into_iter().chain(known).collect(), 1))
        });
        metrics.gauges("binfmt_dispatch_entry_info", "What is registered.", info);
        metrics.into_text()
    }

    fn each(&self, metrics: &mut Metrics, name: &str, help: &str, value: impl Fn(&Row) -> Option<bool>) {
        let samples = self.shown().filter_map(|row| Some((row.labels().to_vec(), u64::from(value(row)?))));
        metrics.gauges(&format!("binfmt_dispatch_entry_{name}"), help, samples);
    }

    /// The rows with an entry, and those that should have one.
    fn shown(&self) -> impl Iterator<Item = &Row> {
        self.entries.iter().filter(|row| row.registered || self.expects(row))
    }

    /// Whether the programs of a row should run through binfmt-dispatch: those that are named, or
    /// else registered or embedded.
    fn expects(&self, row: &Row) -> bool {
        let wanted = self.is_part || row.embedded && row.disabled_by.is_none();
        row.registered || wanted && !row.native
    }

    /// Whether all of these do, and there is one.
    pub(super) fn is_ready(&self) -> bool {
        let mut expected = self.entries.iter().filter(|row| self.expects(row)).peekable();
        self.enabled && expected.peek().is_some() && expected.all(Row::works)
    }

    /// The architectures for which [`Status::is_ready`] is false.
    pub(super) fn missing(&self) -> Vec<String> {
        let missing = self.entries.iter().filter(|row| self.expects(row) && !row.works());
        let mut names: Vec<String> = missing.map(|row| row.architecture.clone()).collect();
        names.dedup();
        names
    }
}

impl Row {
    fn works(&self) -> bool {
        self.registered && self.is_good()
    }

    fn labels(&self) -> [Label<'_>; 2] {
        [("architecture", &self.architecture), ("entry", &self.entry)]
    }
}
