//! What a real API server makes of the definitions, of the chart, of the examples, and of objects that are wrong.

mod admin;
mod chart;
mod corpus;
mod definitions;
mod examples;
mod mint;
mod stand_in;
