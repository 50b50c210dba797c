//! Reads `/metrics`.

use std::{collections::BTreeMap, fmt::Write as _};

/// One scrape, parsed.
#[derive(Debug)]
pub struct Metrics {
    text: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Parses Prometheus' text format. Fails on a line that is none of it.
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(parse_line)
            .collect();
        Self {
            text: text.to_owned(),
            samples,
        }
    }

    /// The scrape as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sum over all samples of `name` whose labels hold `labels`. A value also fits when it is the last part of
    /// `namespace/name`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.fitting(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether [`Metrics::sum`] is `expected`.
    pub fn is(&self, name: &str, labels: &[(&str, &str)], expected: f64) -> bool {
        (self.sum(name, labels) - expected).abs() < 1e-9
    }

    /// Whether any sample of `name` has `labels`.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.fitting(name, labels).next().is_some()
    }

    /// The names of the labels of `name`'s samples, in alphabetical order.
    pub fn labels(&self, name: &str) -> Vec<String> {
        let mut labels: Vec<String> = self
            .fitting(name, &[])
            .flat_map(|sample| sample.labels.keys().cloned())
            .collect();
        labels.sort();
        labels.dedup();
        labels
    }

    /// All samples of `name`, one a line, for messages of failed assertions.
    pub fn show(&self, name: &str) -> String {
        let mut text = String::new();
        for sample in self.fitting(name, &[]) {
            let _ = writeln!(text, "{}{:?} {}", sample.name, sample.labels, sample.value);
        }
        if text.is_empty() {
            return format!("no sample of {name}");
        }
        text
    }

    /// Asserts that the sum is `expected`, and shows all samples when it is not.
    #[track_caller]
    pub fn expect(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        assert!(
            self.is(name, labels, expected),
            "{name}{labels:?} is {}, expected {expected}; samples:\n{}",
            self.sum(name, labels),
            self.show(name)
        );
    }

    fn fitting<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(label, expected)| {
                    sample.labels.get(*label).is_some_and(|value| {
                        value == expected
                            || value
                                .strip_suffix(expected)
                                .is_some_and(|rest| rest.ends_with('/'))
                    })
                })
        })
    }
}

fn parse_line(line: &str) -> Sample {
    let (name, labels, value) = if let Some((name, rest)) = line.split_once('{') {
        let end = rest.rfind('}').expect("labels end with a brace");
        (name, Some(&rest[..end]), &rest[end + 1..])
    } else {
        let (name, value) = line.split_once(' ').expect("a sample has a value");
        (name, None, value)
    };
    let value = value.trim().split(' ').next().unwrap_or_default();
    Sample {
        name: name.to_owned(),
        labels: labels.map(parse_labels).unwrap_or_default(),
        value: value
            .replace("+Inf", "inf")
            .parse()
            .expect("a sample's value is a number"),
    }
}

fn parse_labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text.trim_end_matches(',');
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                '"' => {
                    end = at + 1;
                    break;
                }
                other => value.push(other),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &after[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_labels() {
        let metrics = Metrics::parse(
            "# HELP a b\na{p=\"default/x\",q=\"1\"} 2\na{p=\"y\",q=\"1\"} 3\na{p=\"x{\\\"}\",q=\"2\"} 4\nb 1.5\nh_bucket{le=\"+Inf\"} 7\n",
        );
        metrics.expect("a", &[("q", "1")], 5.0);
        metrics.expect("a", &[("p", "x")], 2.0);
        metrics.expect("a", &[("p", "x{\"}")], 4.0);
        metrics.expect("b", &[], 1.5);
        metrics.expect("h_bucket", &[("le", "+Inf")], 7.0);
        assert_eq!(metrics.labels("a"), ["p", "q"]);
    }
}
