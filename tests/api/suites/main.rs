//! What a real API server makes of the definitions, of the examples, and of objects that are wrong; and what the operator
//! makes of a real API server.

mod corpus;
mod definitions;
mod examples;
mod operator;
