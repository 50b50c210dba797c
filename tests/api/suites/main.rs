//! What a real API server makes of the definitions, of the examples, of objects that are wrong, and of what the operator
//! writes.

mod corpus;
mod definitions;
mod examples;
mod leader;
mod status;
