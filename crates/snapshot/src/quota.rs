//! Quotas of credentials and budgets of callers: so much within each of their periods.

use std::{sync::Arc, time::Duration};

use crate::Calendar;

/// So much within each of its periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaWindow {
    /// What it is called; unique among the windows of one object.
    pub name: Arc<str>,
    /// When it begins and ends.
    pub period: Period,
    /// Requests within one period at most.
    pub requests: Option<u64>,
    /// Tokens within one period at most.
    pub tokens: Option<u64>,
}

/// When a window begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// Begins with the first request after the one before has ended, and lasts so long.
    Rolling(Duration),
    /// Begins and ends with the calendar.
    Calendar(Calendar),
}
