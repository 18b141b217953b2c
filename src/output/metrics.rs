//! Metrics in the text format of Prometheus, version 0.0.4.

/// The media type of the format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A label of a sample: its name and its value.
pub type Label<'l> = (&'static str, &'l str);

/// Families of metrics, as text.
#[derive(Debug, Default)]
pub struct Metrics(String);

impl Metrics {
    /// Adds a family of gauges; without samples, nothing.
    pub fn gauges<'l>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Vec<Label<'l>>, u64)>) {
        let mut text = String::new();
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            text += &format!("{name}{labels} {value}\n");
        }
        if !text.is_empty() {
            self.0 += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n{text}");
        }
    }

    /// Adds a gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<u64>) {
        self.gauges(name, help, [(Vec::new(), value.into())]);
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// The value of a label, between quotation marks.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_a_head_and_values_are_escaped() {
        let mut metrics = Metrics::default();
        metrics.gauge("a_total", "Some.", true);
        metrics.gauges("none", "Nothing.", []);
        metrics.gauges("b", "Others.", [(vec![("x", "a\"\\\n"), ("y", "")], 7), (vec![("x", "é")], 0)]);
        assert_eq!(
            metrics.into_text(),
            "# HELP a_total Some.\n# TYPE a_total gauge\na_total 1\n# HELP b Others.\n# TYPE b gauge\n\
             b{x=\"a\\\"\\\\\\n\",y=\"\"} 7\nb{x=\"é\"} 0\n"
        );
    }
}
