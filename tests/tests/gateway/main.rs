//! The gateway seen from outside: the real process, and an upstream that does as it is told.
//!
//! Each module is one subject. Every test has a gateway of its own, so that all can run at the same time.

#[cfg(test)]
mod affinity;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod bad_requests;
#[cfg(test)]
mod bad_resources;
#[cfg(test)]
mod bad_upstreams;
#[cfg(test)]
mod breaker;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod hygiene;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod manage;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod models;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod passthrough;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod rests;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod stateful;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod wire;
