//! What was used.

use pool::usage::{Day, Dimension, Report, Row};
use proto::admin::v1;
use snapshot::Timestamp;
use tonic::Status;

use super::{access::Visible, refusal::invalid, state::moment};

/// The longest time that usage can be asked for, in days, today included.
const DAYS_MAX: u32 = 35;

/// The days of whom does not say.
const DAYS: u32 = 7;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The days, today included.
    pub(super) days: std::ops::RangeInclusive<Day>,
    /// By what to tell it; empty is by all.
    dimensions: Vec<Dimension>,
}

impl Question {
    /// Reads a request.
    pub(super) fn read(request: &v1::GetUsageRequest, now: Timestamp) -> Result<Self, Status> {
        let days = match request.days {
            0 => DAYS,
            days @ 1..=DAYS_MAX => days,
            _ => {
                return Err(invalid(
                    "days",
                    &format!("expected 1 to {DAYS_MAX}, or 0 for {DAYS}"),
                ));
            }
        };
        let dimensions = request.dimensions.iter().enumerate();
        let dimensions = dimensions.map(|(index, value)| {
            let known = v1::Dimension::try_from(*value).ok().and_then(dimension);
            known.ok_or_else(|| {
                invalid(
                    &format!("dimensions[{index}]"),
                    &format!("no such value: {value}"),
                )
            })
        });
        let today = Day::of(now);
        Ok(Self {
            days: today.minus(days.saturating_sub(1))..=today,
            dimensions: dimensions.collect::<Result<_, _>>()?,
        })
    }

    /// The answer: what may be seen of a report.
    pub(super) fn answer(&self, report: Report, visible: &Visible) -> v1::GetUsageResponse {
        let is_asked = |row: &Row| self.dimensions.is_empty() || self.dimensions.contains(&row.dimension);
        let is_visible = |row: &Row| match row.name.split_once('/') {
            Some((namespace, _)) => visible.has(namespace),
            // What is counted together is nobody's.
            None => *visible == Visible::All,
        };
        let rows = report
            .rows
            .into_iter()
            .filter(|row| is_asked(row) && is_visible(row));
        v1::GetUsageResponse {
            since: Some(moment(self.days.start().begins())),
            complete: true,
            rows: rows.map(|row| told(&row)).collect(),
        }
    }
}

fn told(row: &Row) -> v1::UsageRow {
    let counts = row.tally.counts;
    v1::UsageRow {
        day: row.day.to_string(),
        dimension: match row.dimension {
            Dimension::Client => v1::Dimension::Client,
            Dimension::Route => v1::Dimension::Route,
            Dimension::Provider => v1::Dimension::Provider,
            Dimension::Credential => v1::Dimension::Credential,
            Dimension::Model => v1::Dimension::Model,
        }
        .into(),
        name: row.name.to_string(),
        usage: Some(v1::Usage {
            requests: counts.requests,
            estimated_requests: counts.estimated_requests,
            input_tokens: counts.tokens.input,
            cached_tokens: counts.tokens.cached,
            cache_write_tokens: counts.tokens.cache_write,
            output_tokens: counts.tokens.output,
            reasoning_tokens: counts.tokens.reasoning,
            estimated_tokens: counts.estimated_tokens,
        }),
    }
}

const fn dimension(asked: v1::Dimension) -> Option<Dimension> {
    Some(match asked {
        v1::Dimension::Unspecified => return None,
        v1::Dimension::Client => Dimension::Client,
        v1::Dimension::Route => Dimension::Route,
        v1::Dimension::Provider => Dimension::Provider,
        v1::Dimension::Credential => Dimension::Credential,
        v1::Dimension::Model => Dimension::Model,
    })
}

#[cfg(test)]
mod tests {
    use pool::{
        TokenCounts,
        usage::{Counts, Tally},
    };

    use super::*;

    /// 2026-01-01.
    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn ask(days: u32, dimensions: &[i32]) -> Result<Question, Status> {
        let request = v1::GetUsageRequest {
            namespace: String::new(),
            days,
            dimensions: dimensions.to_vec(),
        };
        Question::read(&request, NOW)
    }

    #[test]
    fn questions_have_bounds() {
        let first = |days| {
            ask(days, &[])
                .map(|question| question.days.start().to_string())
                .ok()
        };
        assert_eq!(first(0).as_deref(), Some("2025-12-26"));
        assert_eq!(first(1).as_deref(), Some("2026-01-01"));
        assert_eq!(first(35).as_deref(), Some("2025-11-28"));
        assert_eq!(first(36), None);
        for unknown in [0, 99, -1] {
            let refused = ask(1, &[v1::Dimension::Client.into(), unknown]).expect_err("it is not known");
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(
                refused.message().starts_with("dimensions[1]: "),
                "{}",
                refused.message()
            );
        }
    }

    #[test]
    fn an_answer_has_what_may_be_seen() {
        let row = |dimension, name: &str| Row {
            day: Day::of(NOW),
            dimension,
            name: name.into(),
            tally: Tally {
                counts: Counts {
                    requests: 2,
                    tokens: TokenCounts {
                        input: 30,
                        output: 4,
                        ..TokenCounts::default()
                    },
                    ..Counts::default()
                },
                open: 1,
                reserved: 100,
            },
        };
        let report = || Report {
            rows: vec![
                row(Dimension::Client, "team/a"),
                row(Dimension::Client, "teams/b"),
                row(Dimension::Route, "team/up/m"),
                row(Dimension::Route, "other"),
            ],
        };
        let names = |dimensions: &[i32], visible| {
            let answer = ask(1, dimensions).expect("a question").answer(report(), &visible);
            let names: Vec<String> = answer.rows.into_iter().map(|row| row.name).collect();
            names.join(" ")
        };
        let team = || Visible::Only(["team".to_owned()].into());
        let client = v1::Dimension::Client.into();
        assert_eq!(names(&[], Visible::All), "team/a teams/b team/up/m other");
        assert_eq!(names(&[], team()), "team/a team/up/m");
        assert_eq!(names(&[client], team()), "team/a");
        assert_eq!(names(&[], Visible::Only([].into())), "");
        let answer = ask(1, &[]).expect("a question").answer(report(), &team());
        let usage = answer.rows[0].usage.expect("it was used");
        assert_eq!(
            (usage.requests, usage.input_tokens, usage.output_tokens),
            (2, 30, 4)
        );
    }
}
