//! What the crate promises, checked through its public interface.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod peeks;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod taps;
