//! What gateways do when their Redis is away, slow, empty or refuses, and when one of them is gone: serve on.
//!
//! Each module is one kind of fault, [`trial`] is what most of them have in common.

#[cfg(test)]
mod away;
#[cfg(test)]
mod emptied;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod trial;
