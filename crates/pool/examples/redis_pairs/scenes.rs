//! What is picked from.

use pool::{
    Member,
    testing::{World, member, rolling, with_quota},
};
use snapshot::{CallLimits, Strategy};

/// Members, and how they are used.
#[derive(Clone)]
pub(crate) struct Scene {
    /// Its name in the results.
    pub(crate) name: String,
    /// The order of picks.
    pub(crate) strategy: Strategy,
    /// The credentials.
    pub(crate) members: Vec<Member>,
    /// How many of them do not rest.
    pub(crate) usable: usize,
    /// How many conversations there are, where picks belong to one.
    pub(crate) conversations: Option<u64>,
    /// Whether a caller with limits is let in before each pick.
    pub(crate) enters: bool,
}

impl Scene {
    fn new(name: &str, members: Vec<Member>) -> Self {
        Self {
            name: name.to_owned(),
            strategy: Strategy::RoundRobin,
            usable: members.len(),
            members,
            conversations: None,
            enters: false,
        }
    }

    /// The Provider and its caller.
    pub(crate) fn world(&self) -> World {
        let mut world = World::new(self.strategy, &self.members);
        if self.enters {
            world.limits = limits(Some(100_000), Some(u32::MAX), Some(u64::MAX / 4));
        }
        world
    }
}

/// All scenes.
pub(crate) fn all() -> Vec<Scene> {
    let concurrency = limits(Some(100_000), None, None);
    let requests = limits(Some(100_000), Some(u32::MAX), None);
    let tokens = limits(Some(100_000), Some(u32::MAX), Some(u64::MAX / 4));
    let plain = CallLimits::default;
    let mut scenes: Vec<Scene> = [3, 100, 1000]
        .map(|count| Scene::new(&format!("plain-{count}"), members(count, plain())))
        .into();
    scenes.push(Scene {
        usable: 1,
        ..Scene::new("resting-999-of-1000", members(1000, plain()))
    });
    for count in [3, 1000] {
        scenes.push(Scene::new(
            &format!("concurrency-{count}"),
            members(count, concurrency),
        ));
    }
    scenes.push(Scene::new("requests-100", members(100, requests)));
    scenes.push(Scene::new("tokens-100", members(100, tokens)));
    let window = || rolling("day", 86_400);
    let quota = (0..100).map(|number| with_quota(&name(number), &[window()]));
    scenes.push(Scene::new("quota-100", quota.collect()));
    scenes.push(Scene {
        strategy: Strategy::LeastBusy,
        ..Scene::new("least-busy-100", members(100, plain()))
    });
    scenes.push(Scene {
        strategy: Strategy::MostHeadroom,
        ..Scene::new("most-headroom-100", members(100, requests))
    });
    scenes.push(Scene {
        conversations: Some(1000),
        ..Scene::new("affinity-100", members(100, plain()))
    });
    scenes.push(Scene {
        enters: true,
        ..Scene::new("client-limits-100", members(100, plain()))
    });
    scenes
}

fn members(count: usize, limits: CallLimits) -> Vec<Member> {
    let members = (0..count).map(|number| Member {
        limits,
        ..member(&name(number))
    });
    members.collect()
}

fn name(number: usize) -> String {
    format!("account-{number:04}")
}

const fn limits(concurrency: Option<u32>, requests: Option<u32>, tokens: Option<u64>) -> CallLimits {
    CallLimits {
        concurrency,
        requests_per_minute: requests,
        tokens_per_minute: tokens,
    }
}
