//! How many processes share the store, and so each limit while it is away.
//!
//! Tags cannot tell: they know the processes that used them of late, and others may be called the moment after.

use std::sync::Arc;

use tokio::{runtime::Handle, task::JoinHandle, time::sleep};

use crate::redis::{link::Urgency, reply::Reply, scripts::ROLL, tag::Context};

/// Says again and again that this process lives, until it is dropped.
#[derive(Debug)]
pub(super) struct Roll(JoinHandle<()>);

impl Roll {
    /// Begins. Called inside a runtime.
    pub(super) fn call(context: Arc<Context>) -> Self {
        Self(Handle::current().spawn(async move {
            let mut link = context.link.changes();
            loop {
                if !context.link.is_up() {
                    if link.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                let call = ROLL
                    .on(&[format!("{}:{{processes}}", context.prefix)])
                    .arg(context.clock())
                    .arg(&context.owner);
                let answer = context.link.run(&call, Urgency::Background).await;
                if let Ok(reply) = answer.and_then(Reply::new) {
                    let sharers = u32::try_from(reply.number(0)).unwrap_or(1).max(1);
                    context.local.set_sharers(context.now(), sharers);
                }
                sleep(context.pace.beat).await;
            }
        }))
    }
}

impl Drop for Roll {
    fn drop(&mut self) {
        self.0.abort();
    }
}
