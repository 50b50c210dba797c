//! What a real API server makes of the definitions, of the examples, and of objects that are wrong.

mod admin;
mod corpus;
mod definitions;
mod examples;
mod mint;
mod stand_in;
