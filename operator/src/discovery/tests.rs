//! The whole server on a real socket, with gateways that speak as real ones do. Only who may come in is said by a
//! stand-in of the API server; `tests/api` has a real one.

mod access;
mod client;
mod protocol;
mod tls;
mod world;

use self::{
    client::{Gateway, Heard},
    world::{World, contents},
};
