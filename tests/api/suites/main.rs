//! What a real API server makes of the definitions, of the chart, of the examples, of objects that are wrong, and of what the
//! operator writes.

mod admin;
mod chart;
mod corpus;
mod definitions;
mod discovery;
mod examples;
mod leader;
mod mint;
mod stand_in;
mod status;
