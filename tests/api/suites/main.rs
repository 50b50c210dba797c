//! What a real API server makes of the definitions, of the chart, of the examples and of objects that are wrong; and what
//! the operator makes of a real API server.

mod admin;
mod chart;
mod corpus;
mod definitions;
mod digest_key;
mod discovery;
mod examples;
mod leader;
mod mint;
mod operator;
mod stand_in;
mod status;
