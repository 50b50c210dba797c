//! What a real API server makes of the definitions, of the chart, of the examples, and of objects that are wrong.

mod chart;
mod corpus;
mod definitions;
mod examples;
