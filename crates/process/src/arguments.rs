//! Arguments that both processes take.

mod log;
mod redis;

pub use log::LogArguments;
pub use redis::{RedisArguments, RedisUrl};
