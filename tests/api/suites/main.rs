//! What a real API server makes of the definitions, of the examples, and of objects that are wrong.

mod corpus;
mod definitions;
mod examples;
