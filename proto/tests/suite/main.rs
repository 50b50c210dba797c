//! The protocols, as their users see them.

#[cfg(test)]
mod any;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod deltas;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod transfers;
