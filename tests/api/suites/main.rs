//! What a real API server makes of the definitions, of the examples, of objects that are wrong, and of the operator.

mod corpus;
mod definitions;
mod discovery;
mod examples;
