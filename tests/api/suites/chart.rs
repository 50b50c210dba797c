//! The chart: what it renders is accepted, what it is told wrong is refused, and it gives no right too many.

mod manifests;
mod redis;
mod refusals;
mod releases;
mod rights;
