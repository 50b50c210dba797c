//! Gateways that share a Redis: what one learns, all know.
//!
//! Each module is one subject. Every test has gateways and a Redis of its own, so that all can run at the same time.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod affinity;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod breaker;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod manage;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod rests;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod usage;
