//! The vendors' SDKs drive the gateway, and an upstream that was written elsewhere answers.
//!
//! `tests/clients/setup.sh` installs what these need; without it they fail and say so.

#[cfg(test)]
mod aimock;
#[cfg(test)]
mod script;
#[cfg(test)]
mod sdks;
